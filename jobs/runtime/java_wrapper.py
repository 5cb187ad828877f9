"""Start Java as Segue wants it: what `bin/java` is in the homes of `java.java_home`. Standard library only, to be quick.

    python jobs/runtime/java_wrapper.py JAVA ARCHIVE {vector|none} WORD…

Of Spark's command lines two things are changed. What the runtime has no module for is not asked for. And classes come from
an archive (Application Class-Data Sharing, JEP 350), which takes a third off the start of a session: that needs each jar
named once, where Spark names one twice, and in the same order every time.
"""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

VECTOR_MODULE = "jdk.incubator.vector"

# Where it is set, the archive is written by this JVM when it ends, to this file.
ARCHIVE_ENV = "SEGUE_CLASS_ARCHIVE"

# What Spark puts before "jars/*": a folder of settings, and the one jar that is to come first.
_SPARK = re.compile(
    r"(?:(?P<conf>[^:]*):)?(?:(?P<first>[^:]*/slf4j-api-[^:/]*\.jar):)?(?P<jars>[^:]*/jars)/\*"
)


def rewrite_arguments(given: Sequence[str], archive: str, *, has_vector: bool, write: str = "") -> list[str]:
    """Return the words for Java of those given."""
    made: list[str] = []
    rest = list(given)
    while rest:
        word = rest.pop(0)
        if not has_vector and word == f"--add-modules={VECTOR_MODULE}":
            continue
        if not has_vector and word == "--add-modules" and rest[:1] == [VECTOR_MODULE]:
            rest.pop(0)
            continue
        if word in ("-cp", "-classpath") and rest and (spark := _SPARK.fullmatch(rest[0])):
            rest[0] = _path(spark)
            made += _options(archive, "org.apache.spark.deploy.SparkSubmit" in rest, write)
        made.append(word)
    return made


def _path(spark: re.Match[str]) -> str:
    """Return the class path with every jar once, the order that of the names."""
    conf = [spark["conf"]] if spark["conf"] and Path(spark["conf"]).is_dir() else []
    jars = sorted(map(str, Path(spark["jars"]).glob("*.jar")))
    first = [jar for jar in jars if Path(jar).name.startswith("slf4j-api-")]
    return ":".join([*conf, *first, *(jar for jar in jars if jar not in first)])


def _options(archive: str, submits: bool, write: str) -> list[str]:
    if write:
        return [f"-XX:ArchiveClassesAtExit={write}", "-Xlog:cds=off,cds+dynamic=off"] if submits else []
    # An archive of other jars, or of another Java, is passed over by the JVM; that is no news on every start.
    return (
        [f"-XX:SharedArchiveFile={archive}", "-Xlog:cds=off,cds+dynamic=off"]
        if Path(archive).exists()
        else []
    )


def main() -> None:
    """Become the Java of the command line."""
    java, archive, modules, *given = sys.argv[1:]
    made = rewrite_arguments(
        given, archive, has_vector=modules == "vector", write=os.environ.get(ARCHIVE_ENV, "")
    )
    os.execv(java, [java, *made])


if __name__ == "__main__":
    main()
