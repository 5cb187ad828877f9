"""Zip the package `jobs` for `spark-submit --py-files`: a cluster's executors import Segue from that zip.

python -m jobs.runtime.py_files segue.zip
"""

import sys
import zipfile
from pathlib import Path

from jobs.paths import PACKAGE


def write_zip(target: Path) -> None:
    """Write every module of `jobs` to a zip; the same modules give the same bytes."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(PACKAGE.rglob("*.py")):
            archive.writestr(zipfile.ZipInfo(str(path.relative_to(PACKAGE.parent))), path.read_bytes())


if __name__ == "__main__":
    write_zip(Path(sys.argv[1]))
