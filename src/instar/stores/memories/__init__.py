"""Memories: remembered statements, found by words and by meaning."""
