"""Pack Segue into one zip for `spark-submit --py-files`: what a cluster's executors import, who see no folder of ours."""

import sys
import zipfile
from pathlib import Path

from jobs.paths import PACKAGE


def write_zip(target: Path) -> None:
    """Write the zip of every module of `jobs`; the same modules make the same bytes."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(PACKAGE.rglob("*.py")):
            archive.writestr(zipfile.ZipInfo(str(path.relative_to(PACKAGE.parent))), path.read_bytes())


if __name__ == "__main__":
    write_zip(Path(sys.argv[1]))
