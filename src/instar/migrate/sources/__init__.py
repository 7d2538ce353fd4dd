"""Readers of what other programs export: one file per format, each a pure function from a path to items."""
