"""`python -m jobs` and `spark-submit jobs/__main__.py`: fix the module path, then call the command line."""

import os
import sys
from pathlib import Path

if __package__ in (None, ""):  # spark-submit puts jobs/ itself first on sys.path
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from jobs.cli import INTERRUPTED_STATUS, main  # noqa: E402

if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # An interrupted command ends at once; sys.exit would first wait for the threads of its unfinished work.
    os._exit(status) if status == INTERRUPTED_STATUS else sys.exit(status)
