"""State from elsewhere and back out: imports of other programs' exports, and our own portable form."""
