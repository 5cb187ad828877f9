"""The JVM accepts the class archive that set-up wrote. It would ignore an archive of other jars silently."""

import subprocess
from pathlib import Path

import pyspark
import pytest

from jobs.paths import ROOT
from jobs.runtime import java

JARS = Path(pyspark.__file__).parent / "jars"


def run_submit(home: Path, class_path: str) -> subprocess.CompletedProcess[str]:
    """Run spark-submit in a JVM that fails if it cannot use the archive (`-Xshare:on`)."""
    command = [
        home / "bin" / "java",
        "-Xshare:on",
        "-cp",
        class_path,
        "org.apache.spark.deploy.SparkSubmit",
        "--version",
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_jvm_of_spark_uses_the_archive():
    home = java.java_home()
    (slf4j,) = JARS.glob("slf4j-api-*.jar")
    assert (home / "classes.jsa").stat().st_size > 50e6
    done = run_submit(home, f"{slf4j}:{JARS}/*")
    assert done.returncode == 0 and f"version {pyspark.__version__}" in done.stderr, (
        done.stdout[:500] + done.stderr[:500]
    )


def test_archive_of_other_jars_fails_under_share_on(tmp_path):
    (tmp_path / "spark" / "jars").mkdir(parents=True)
    for jar in JARS.glob("*.jar"):
        if not jar.name.startswith("scala-library"):
            (tmp_path / "spark" / "jars" / jar.name).symlink_to(jar)
    done = run_submit(java.java_home(), f"{tmp_path}/spark/jars/*")
    assert done.returncode != 0 and "Welcome" not in done.stderr


@pytest.mark.parametrize("name", ["spark.driver.extraClassPath", "spark.driver.userClassPathFirst"])
def test_settings_leave_the_class_path_unchanged(name):
    assert all(name not in file.read_text() for file in (ROOT / "spark_conf").glob("*.conf"))
