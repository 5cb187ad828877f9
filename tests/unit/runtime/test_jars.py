"""The jars are those of the lock. Nothing is fetched: Java is a shell script."""

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.errors import StepError
from jobs.runtime import jars
from tests.unit.runtime.test_java import executable, prints_version

SUM = hashlib.sha256(b"a jar").hexdigest()
LOCK = f"""\
# A comment.
[mongo]
# Why.
require org.example:server:1.0  # and why not 2.0
exclude org.example:heavy
org.example:server:1.0  {SUM}  server-1.0.jar

[kafka-broker]
org.example:broker:2.0  {SUM}  broker-2.0.jar
"""


def test_lock_is_parsed_by_group() -> None:
    groups = jars.read_lock(LOCK)
    assert list(groups) == ["mongo", "kafka-broker"]
    assert groups["mongo"].required == ["org.example:server:1.0"]
    assert groups["mongo"].excluded == ["org.example:heavy"]
    assert groups["mongo"].files == {"server-1.0.jar": jars.LockedJar("org.example:server:1.0", SUM)}


@pytest.mark.parametrize(
    "line", ["require org.example:server", "org.example:server:1.0 beef server.jar", "[two words]"]
)
def test_invalid_line_is_named(line: str) -> None:
    with pytest.raises(StepError, match=r"line 2: expected .* found .*; correct it and run"):
        jars.read_lock(f"[mongo]\n{line}\n")


def test_jar_before_any_group_is_refused() -> None:
    with pytest.raises(StepError, match="line 1"):
        jars.read_lock(f"org.example:server:1.0 {SUM} server-1.0.jar\n")


def test_committed_lock_has_the_embedded_mongo() -> None:
    names = jars.read_lock(jars.LOCK_FILE.read_text())["mongo"].files
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


def fail_to_start(*_: object, **__: object) -> None:
    raise AssertionError("no process should start")


def test_installed_jars_need_no_java(installed: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", fail_to_start)
    assert jars.jar_files("mongo", **installed) == [installed["folder"] / "server-1.0.jar"]


def test_wrong_hash_names_expected_found_and_remedy(installed: dict[str, Path]) -> None:
    (installed["folder"] / "server-1.0.jar").write_bytes(b"another")
    with pytest.raises(StepError) as caught:
        jars.jar_files("mongo", **installed)
    found = hashlib.sha256(b"another").hexdigest()
    assert str(caught.value).count("\n") == 0
    for part in ("server-1.0.jar", f"expected SHA-256 {SUM}", f"found {found}", "delete that file and run"):
        assert part in str(caught.value)


def fake_fetch(content: bytes) -> Callable[..., None]:
    """Return a stand-in for Ivy: every coordinate's jar has this content."""

    def fetch(coordinates: list[str], scratch: Path, *, transitive: bool) -> None:
        assert not transitive, "what the lock does not name must not come"
        for coordinate in coordinates:
            _, name, version = coordinate.split(":")
            (scratch / f"{name}-{version}.jar").write_bytes(content)

    return fetch


def test_missing_jar_is_fetched(installed: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jars, "_fetch", fake_fetch(b"a jar"))
    (path,) = jars.jar_files("kafka-broker", **installed)
    assert path.read_bytes() == b"a jar"


def test_all_groups_are_downloaded_at_once(
    installed: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    more = "".join(f"org.example:part{number}:1  {SUM}  part{number}-1.jar\n" for number in range(20))
    installed["lock"].write_text(LOCK + more)
    asked: list[str] = []

    def fetch(coordinates: list[str], scratch: Path, *, transitive: bool) -> None:
        asked.extend(coordinates)
        fake_fetch(b"a jar")(coordinates, scratch, transitive=transitive)

    monkeypatch.setattr(jars, "_fetch", fetch)
    jars.download_all(**installed)
    missing = ["org.example:broker:2.0", *(f"org.example:part{number}:1" for number in range(20))]
    assert sorted(asked) == sorted(missing)
    assert len(list(installed["folder"].iterdir())) == 22


def test_fetched_jar_with_a_wrong_hash_is_not_stored(
    installed: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jars, "_fetch", fake_fetch(b"evil"))
    with pytest.raises(
        StepError, match="expected SHA-256 .* found .*; run `python -m jobs.runtime.jars lock`"
    ):
        jars.jar_files("kafka-broker", **installed)
    assert not (installed["folder"] / "broker-2.0.jar").exists()


def test_unknown_group_is_named(installed: dict[str, Path]) -> None:
    with pytest.raises(
        StepError, match=r"expected a group of jars.lock \(mongo, kafka-broker\), found 'redis'"
    ):
        jars.jar_files("redis", **installed)


@pytest.mark.parametrize(
    ("output", "reason"),
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
def test_failed_fetch_names_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, reason: str
) -> None:
    fake = executable(
        tmp_path / "bin" / "java",
        f"{prints_version('17.0.1')}; [ $# -lt 3 ] || {{ echo '{output}'; exit 1; }}",
    )
    monkeypatch.setenv("JAVA_HOME", str(fake.parent.parent))
    (tmp_path / "jars.lock").write_text(LOCK)
    with pytest.raises(StepError) as caught:
        jars.jar_files("mongo", lock=tmp_path / "jars.lock", folder=tmp_path / "jars")
    assert "expected to fetch org.example:server:1.0" in str(caught.value)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lock_keeps_lines_written_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(
        coordinates: list[str], scratch: Path, *, transitive: bool, excluded: list[str]
    ) -> dict[str, str]:
        (scratch / "new-3.jar").write_bytes(b"a jar")
        return {"new-3.jar": "org.example:new:3"}

    monkeypatch.setattr(jars, "_fetch", fetch)
    (tmp_path / "jars.lock").write_text(LOCK)
    jars.write_lock(tmp_path / "jars.lock")
    lines = [line for line in LOCK.splitlines() if "  " + SUM not in line]
    new = f"org.example:new:3  {SUM}  new-3.jar"
    expected = "\n".join([*lines[:5], new, "", *lines[6:], new]) + "\n"
    assert (tmp_path / "jars.lock").read_text() == expected
