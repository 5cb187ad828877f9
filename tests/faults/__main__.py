"""A night: all that is too long for CI, one after another, with a report of each; some two and a half hours on two cores.

    python -m tests.soak [--out night]

As root: a disk that is to be full is a file system of its own. Exit 1 where any has ended otherwise than well.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def soaks(out: Path, folder: Path) -> dict[str, list[str]]:
    """Return each one's name and arguments; they write to `out`, and the hour leaves its lake in `folder` for the stream."""
    report = {
        name: ["--report", str(out / f"{name}.md")] for name in ("kills", "network", "registry", "disk")
    }
    return {
        "hour": ["--out", str(out / "hour"), "--folder", str(folder)],
        "stream": ["--lake", str(folder / "lake"), "--minutes", "60", "--rate", "20"],
        "kills": ["--kills", "50", *report["kills"]],
        "network": ["--clock", "--disk-mib", "300", *report["network"]],
        "registry": report["registry"],
        "disk": report["disk"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path("night"), help="folder of reports, pictures and what was printed"
    )
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("expected root, who may mount a disk to fill")
    arguments.out.mkdir(parents=True, exist_ok=True)
    folder, bad = Path(tempfile.mkdtemp(prefix="segue-night-")), []
    for name, words in soaks(arguments.out.absolute(), folder).items():
        begun = time.monotonic()
        with (arguments.out / f"{name}.log").open("w") as log:
            done = subprocess.run(
                [sys.executable, "-m", f"tests.soak.{name}", *words], stdout=log, stderr=log, check=False
            )
        print(
            f"{name}: exit {done.returncode} after {(time.monotonic() - begun) / 60:.0f} min, {log.name}",
            flush=True,
        )
        bad += [name] * (done.returncode != 0)
    if not bad:
        shutil.rmtree(folder)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
