"""``python -m studio``: the browser studio, and its commands."""

import sys

from studio.cli import main

if __name__ == "__main__":
    sys.exit(main())
