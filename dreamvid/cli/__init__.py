"""The command line: thin commands, and the one place where errors become messages and exit codes."""

from dreamvid.cli.app import main

__all__ = ["main"]
