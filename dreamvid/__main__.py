"""`python -m dreamvid`: the command line."""

import sys

from dreamvid.cli import main

sys.exit(main())
