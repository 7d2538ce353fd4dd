"""Workflows: what was begun, and the results of its finished steps."""
