"""Metrics and logs: all names and all redaction in one place."""
