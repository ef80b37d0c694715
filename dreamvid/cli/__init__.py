"""The command line: thin commands, progress, and the one place where errors become messages."""

from dreamvid.cli.app import main

__all__ = ["main"]
