"""Long-running fault-injection suites, one after another, with a report of each; about two and a half hours
on two cores.

    python -m tests.faults [--out faults]

Needs root: the disk to fill is a file system of its own. Exit 1 if any suite fails.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def suites(out: Path, folder: Path) -> dict[str, list[str]]:
    """Return each suite's module and arguments.

    `walkthrough` leaves its lake in `folder` for `long_stream`.
    """
    report = {
        name: ["--report", str(out / f"{name}.md")]
        for name in (
            *("process_kills", "store_kills", "network_faults", "registry_faults"),
            *("disk_full", "kafka_replicas"),
        )
    }
    return {
        "walkthrough": ["--out", str(out / "walkthrough"), "--folder", str(folder)],
        "long_stream": ["--lake", str(folder / "lake"), "--minutes", "60", "--rate", "20"],
        "process_kills": ["--kills", "50", *report["process_kills"]],
        "store_kills": ["--kills", "50", *report["store_kills"]],
        "network_faults": ["--clock", "--disk-mib", "300", *report["network_faults"]],
        "registry_faults": report["registry_faults"],
        "disk_full": report["disk_full"],
        "kafka_replicas": report["kafka_replicas"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path("faults"), help="folder of reports, logs and pictures"
    )
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("expected root, to mount a disk to fill")
    arguments.out.mkdir(parents=True, exist_ok=True)
    folder, bad = Path(tempfile.mkdtemp(prefix="segue-faults-")), []
    for name, words in suites(arguments.out.absolute(), folder).items():
        started = time.monotonic()
        with (arguments.out / f"{name}.log").open("w") as log:
            done = subprocess.run(
                [sys.executable, "-m", f"tests.faults.{name}", *words], stdout=log, stderr=log, check=False
            )
        print(
            f"{name}: exit {done.returncode} after {(time.monotonic() - started) / 60:.0f} min, {log.name}",
            flush=True,
        )
        bad += [name] * (done.returncode != 0)
    if not bad:
        shutil.rmtree(folder)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
