"""Correct the command line that Spark gives to Java, then become Java: the `bin/java` of `java.java_home`
runs this.

    python jobs/runtime/java_wrapper.py JAVA ARCHIVE {vector|none} ARGUMENT…

Two things are changed in Spark's command lines. A module that the runtime does not have is not requested. And
classes are loaded from an archive (Application Class-Data Sharing, JEP 350), which takes a third off the
start of a session; for that each jar must be named once and always in the same order, while Spark names one
jar twice.

It runs isolated (`python -I`), with the standard library only: it must start quickly, and it cannot import
`jobs`.
"""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

VECTOR_MODULE = "jdk.incubator.vector"

# An environment variable: the file that this JVM writes the class archive to when it ends.
ARCHIVE_ENV = "SEGUE_CLASS_ARCHIVE"

# Silences the JVM's warning about an archive of other jars or of another Java, which it then ignores.
_QUIET = "-Xlog:cds=off,cds+dynamic=off"

_SPARK_SUBMIT = "org.apache.spark.deploy.SparkSubmit"

# Spark's class path: an optional folder of settings, optionally the one jar that must come first, then
# "jars/*".
_SPARK_CLASS_PATH = re.compile(
    r"(?:(?P<conf>[^:]*):)?(?:(?P<first>[^:]*/slf4j-api-[^:/]*\.jar):)?(?P<jars>[^:]*/jars)/\*"
)


def rewrite_arguments(
    arguments: Sequence[str], archive: str, *, has_vector: bool, write_archive: str = ""
) -> list[str]:
    """Return Java's arguments for those that Spark gave.

    Parameters
    ----------
    arguments
        The command line without `java`.
    archive
        Path of the class archive, which need not exist.
    has_vector
        Whether the runtime has the module that Spark requests.
    write_archive
        Path to write a new archive to when the JVM ends; "" uses `archive` instead.
    """
    result: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if not has_vector and word == f"--add-modules={VECTOR_MODULE}":
            continue
        if not has_vector and word == "--add-modules" and rest[:1] == [VECTOR_MODULE]:
            rest.pop(0)
            continue
        if word in ("-cp", "-classpath") and rest:
            class_path = _SPARK_CLASS_PATH.fullmatch(rest[0])
            if class_path:
                rest[0] = _ordered_class_path(class_path)
                result += _archive_options(archive, write_archive, is_submit=_SPARK_SUBMIT in rest)
        result.append(word)
    return result


def _ordered_class_path(class_path: re.Match[str]) -> str:
    """Return the class path with every jar once: slf4j's API first, then by name."""
    conf = class_path["conf"]
    jars = sorted(str(path) for path in Path(class_path["jars"]).glob("*.jar"))
    slf4j = [jar for jar in jars if Path(jar).name.startswith("slf4j-api-")]
    others = [jar for jar in jars if jar not in slf4j]
    folders = [conf] if conf and Path(conf).is_dir() else []
    return ":".join([*folders, *slf4j, *others])


def _archive_options(archive: str, write_archive: str, *, is_submit: bool) -> list[str]:
    """Return the JVM's options to write the archive, to use it, or neither."""
    if write_archive:
        return [f"-XX:ArchiveClassesAtExit={write_archive}", _QUIET] if is_submit else []
    return [f"-XX:SharedArchiveFile={archive}", _QUIET] if Path(archive).exists() else []


def main() -> None:
    """Replace this process by the Java of the command line."""
    java, archive, modules, *arguments = sys.argv[1:]
    rewritten = rewrite_arguments(
        arguments,
        archive,
        has_vector=modules == "vector",
        write_archive=os.environ.get(ARCHIVE_ENV, ""),
    )
    os.execv(java, [java, *rewritten])


if __name__ == "__main__":
    main()
