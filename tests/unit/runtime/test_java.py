"""A Java that Spark runs on is found and wrapped. The executables are shell scripts."""

import multiprocessing
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.runtime import java

ARGUMENTS = [
    "--add-modules",
    "java.sql",
    "-Dname=two  words",
    "it's",
    'a "quote"',
    "$HOME",
    "",
    "*",
    "--add-modules",
]


def executable(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def prints_version(version: str) -> str:
    return f"echo 'Picked up JAVA_TOOL_OPTIONS: -Dx' >&2; echo 'openjdk version \"{version}\" 2025-01-01' >&2"


@pytest.fixture
def bundled(tmp_path: Path) -> Path:
    """A runtime that prints its arguments, each on a line."""
    executable(tmp_path / "it's bundled" / "bin" / "java", "printf '<%s>\\n' \"$@\"")
    return tmp_path / "it's bundled"


def home(tmp_path: Path, bundled: Path, **environment: str) -> Path:
    return java.java_home({"PATH": "/nowhere", **environment}, tmp_path / "share", bundled)


def wrapped_java(home: Path) -> str:
    """The Java that the wrapper of a home starts."""
    return shlex.split((home / "bin" / "java").read_text().splitlines()[1])[4]


def test_java_home_variable_comes_before_the_path(tmp_path: Path, bundled: Path) -> None:
    executable(tmp_path / "jdk" / "bin" / "java", prints_version("17.0.15"))
    executable(tmp_path / "other" / "bin" / "java", prints_version("21"))
    found = home(tmp_path, bundled, JAVA_HOME=str(tmp_path / "jdk"), PATH=str(tmp_path / "other" / "bin"))
    assert wrapped_java(found) == str(tmp_path / "jdk" / "bin" / "java")


def test_link_on_the_path_leads_to_the_home(tmp_path: Path, bundled: Path) -> None:
    executable(tmp_path / "jdk" / "bin" / "java", prints_version("21.0.8"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").symlink_to(tmp_path / "jdk" / "bin" / "java")
    assert wrapped_java(home(tmp_path, bundled, PATH=str(tmp_path / "bin"))) == str(
        tmp_path / "jdk" / "bin" / "java"
    )


def test_read_only_installation_uses_java_unwrapped(tmp_path: Path, bundled: Path) -> None:
    executable(tmp_path / "jdk" / "bin" / "java", prints_version("17.0.15"))
    (tmp_path / "share").write_text("no folder")
    assert home(tmp_path, bundled, JAVA_HOME=str(tmp_path / "jdk")) == tmp_path / "jdk"


def test_wrapped_home_is_not_wrapped_again(tmp_path: Path, bundled: Path) -> None:
    """Airflow gives its tasks the JAVA_HOME of a wrapped Java."""
    found = home(tmp_path, bundled)
    assert home(tmp_path, bundled, JAVA_HOME=str(found)) == found


@pytest.mark.parametrize(
    "script",
    [
        prints_version("11.0.2"),
        prints_version("1.8.0_402"),
        "echo 'no Java here' >&2",
        # A runtime without Spark's module, and a broken one.
        f'case "$*" in *jdk.incubator.vector*) exit 1 ;; esac; {prints_version("21.0.8")}',
        f"{prints_version('21.0.8')}; exit 127",
    ],
)
def test_java_that_spark_cannot_use_is_skipped(tmp_path: Path, bundled: Path, script: str) -> None:
    executable(tmp_path / "jdk" / "bin" / "java", script)
    found = home(tmp_path, bundled, JAVA_HOME=str(tmp_path / "jdk"), PATH=str(tmp_path / "jdk" / "bin"))
    assert wrapped_java(found) == str(bundled / "bin" / "java")


def test_java_that_hangs_is_skipped(tmp_path: Path, bundled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "_VERSION_LIMIT_S", 0.2)
    executable(tmp_path / "jdk" / "bin" / "java", "exec sleep 30")
    assert wrapped_java(home(tmp_path, bundled, JAVA_HOME=str(tmp_path / "jdk"))) == str(
        bundled / "bin" / "java"
    )


@pytest.mark.parametrize(
    "spelling", [["--add-modules=jdk.incubator.vector"], ["--add-modules", "jdk.incubator.vector"]]
)
def test_wrapper_drops_only_the_missing_module(tmp_path: Path, bundled: Path, spelling: list[str]) -> None:
    command = [str(home(tmp_path, bundled) / "bin" / "java"), *ARGUMENTS[:4], *spelling, *ARGUMENTS[4:]]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert output.splitlines() == [f"<{word}>" for word in ARGUMENTS]


def test_wrapper_keeps_the_module_if_java_has_it(tmp_path: Path, bundled: Path) -> None:
    executable(tmp_path / "jdk" / "bin" / "java", f"{prints_version('21.0.8')}; printf '<%s>\\n' \"$@\"")
    command = [
        str(home(tmp_path, bundled, JAVA_HOME=str(tmp_path / "jdk")) / "bin" / "java"),
        java._VECTOR_OPTION,
        *ARGUMENTS,
    ]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert output.splitlines() == [f"<{word}>" for word in [java._VECTOR_OPTION, *ARGUMENTS]]


def test_wrapper_returns_the_exit_status(tmp_path: Path) -> None:
    executable(tmp_path / "jre" / "bin" / "java", "exit 7")
    wrapper = home(tmp_path, tmp_path / "jre") / "bin" / "java"
    assert subprocess.run([str(wrapper)], check=False, timeout=120).returncode == 7


def test_wrapper_of_another_python_is_rewritten(
    tmp_path: Path, bundled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/moved/python")
        home(tmp_path, bundled)
    wrapper = home(tmp_path, bundled) / "bin" / "java"
    assert (
        "<x>"
        in subprocess.run([str(wrapper), "x"], capture_output=True, text=True, check=True, timeout=120).stdout
    )


def run_wrapper(tmp_path: Path, bundled: Path) -> str:
    wrapper = home(tmp_path, bundled) / "bin" / "java"
    return subprocess.run([str(wrapper), "x"], capture_output=True, text=True, check=True, timeout=30).stdout


def test_concurrent_processes_leave_one_wrapper(tmp_path: Path, bundled: Path) -> None:
    with multiprocessing.get_context("forkserver").Pool(8) as pool:
        outputs = pool.starmap(run_wrapper, [(tmp_path, bundled)] * 8, chunksize=1)
    assert outputs == ["<x>\n"] * 8
    assert os.listdir(home(tmp_path, bundled) / "bin") == ["java"]
