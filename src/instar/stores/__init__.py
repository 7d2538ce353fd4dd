"""State that can move: one folder per port, one file per backend."""
