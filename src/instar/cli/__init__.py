"""The command line: one file per command group, no logic."""

from instar.cli.main import main

__all__ = ["main"]
