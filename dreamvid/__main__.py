"""Run the command line: `python -m dreamvid`, and what the installed program `dreamvid` calls."""

from typing import NoReturn

from dreamvid.cli import main
from dreamvid.runtime.process import exit_process


def program() -> NoReturn:
    """Run the command line with the arguments of this process, and end the process."""
    exit_process(main())


if __name__ == "__main__":
    program()
