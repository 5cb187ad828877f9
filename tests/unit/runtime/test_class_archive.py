"""The class archive is written only into Segue's own folder; tests/spark has the real one."""

import os
from pathlib import Path

from jobs.runtime import class_archive


def test_archive_is_not_written_into_a_foreign_java(tmp_path: Path) -> None:
    java = tmp_path / "jdk" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\n')
    java.chmod(0o755)
    assert not class_archive.write_class_archive(tmp_path / "jdk")
    assert not (tmp_path / "called").exists()
    assert os.listdir(tmp_path / "jdk") == ["bin"]
