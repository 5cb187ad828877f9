"""The archive that set-up has written is taken by the JVM as it is: one of other jars would be passed over without a word."""

import subprocess
from pathlib import Path

import pyspark
import pytest

from jobs.runtime import java

JARS = Path(pyspark.__file__).parent / "jars"


def launched(home: Path, path: str) -> subprocess.CompletedProcess[str]:
    """Start what a session is submitted by with the archive, or not at all."""
    command = [
        home / "bin" / "java",
        "-Xshare:on",
        "-cp",
        path,
        "org.apache.spark.deploy.SparkSubmit",
        "--version",
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_sparks_jvm_can_use_it():
    home = java.java_home()
    (slf4j,) = JARS.glob("slf4j-api-*.jar")
    assert (home / "classes.jsa").stat().st_size > 50e6
    done = launched(home, f"{slf4j}:{JARS}/*")
    assert done.returncode == 0 and f"version {pyspark.__version__}" in done.stderr, (
        done.stdout[:500] + done.stderr[:500]
    )


def test_this_would_tell(tmp_path):
    (tmp_path / "spark" / "jars").mkdir(parents=True)
    for jar in JARS.glob("*.jar"):
        if not jar.name.startswith("scala-library"):
            (tmp_path / "spark" / "jars" / jar.name).symlink_to(jar)
    done = launched(java.java_home(), f"{tmp_path}/spark/jars/*")
    assert done.returncode != 0 and "Welcome" not in done.stderr


@pytest.mark.parametrize("name", ["spark.driver.extraClassPath", "spark.driver.userClassPathFirst"])
def test_our_settings_leave_the_class_path_as_it_is(name):
    assert all(name not in file.read_text() for file in (Path(java.LOCK).parent).glob("*.conf"))
