"""``python -m studio``: the browser studio, and its commands."""

import sys

INTERRUPTED = 130
"""The exit status after Ctrl-C while nothing was under way yet."""

if __name__ == "__main__":
    try:
        from studio.cli import main

        status = main()
    except KeyboardInterrupt:
        status = INTERRUPTED
    sys.exit(status)
