"""Run the command line: `python -m dreamvid`."""

import sys

from dreamvid.cli import main

sys.exit(main())
