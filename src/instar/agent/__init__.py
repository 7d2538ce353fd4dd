"""The agent: one chat turn, and what it remembers of it."""
