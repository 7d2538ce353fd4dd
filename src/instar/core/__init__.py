"""Values and rules. No input or output; imports nothing else of instar."""
