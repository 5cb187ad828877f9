"""Which Python `.ci/setup` takes. Python and uv are shell scripts that write down how they were called."""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

TOOLS = {
    *("bash", "basename", "cat", "chmod", "cp", "cut", "dirname", "du", "find", "head"),
    *("id", "ln", "mkdir", "mktemp", "readlink", "rm", "sleep", "touch"),
}

# $version and $venv are replaced. A virtual environment is a copy of this script, with a fake uv beside it.
PYTHON = """\
#!/bin/sh
echo "python$version $*" >> "$LOG"
case "$*" in
  *version_info*) echo $version ;;
  *python_version*) echo $version.1 ;;
  *"import ensurepip"*) exit $venv ;;
  "-m venv "*) mkdir -p .venv/bin && cp "$0" .venv/bin/python && cp "$LOG.uv" .venv/bin/uv ;;
esac
"""
UV = """\
#!/bin/sh
echo "uv $*" >> "$LOG"
case "$*" in
  --version) echo uv 0.13.8 ;;
  "python install "*) exit ${NO_NETWORK:-0} ;;
  "python find "*) echo "$UV_PYTHON" ;;
  "venv "*) mkdir -p .venv/bin && cp "$UV_PYTHON" .venv/bin/python && cp "$LOG.uv" .venv/bin/uv ;;
esac
"""


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def fake_python(path: Path, version: str, *, has_venv: bool = True) -> Path:
    return script(path, PYTHON.replace("$version", version).replace("$venv", "0" if has_venv else "1"))


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs set-up with the programs in tmp_path/bin.

    It returns exit status, output, and the calls.
    """
    programs = tmp_path / "bin"
    programs.mkdir()
    for tool in TOOLS:
        (programs / tool).symlink_to(str(shutil.which(tool)))
    (programs / "id").unlink()
    script(programs / "id", "#!/bin/sh\necho 1000\n")
    (tmp_path / "project" / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "setup", tmp_path / "project" / ".ci")
    script(tmp_path / "log.uv", UV)
    fake_python(tmp_path / "uv-python", "3.13")

    def set_up(*words: str, **variables: str) -> tuple[int, str, str]:
        log = tmp_path / "log"
        environment = {"PATH": str(programs), "LOG": str(log), "UV_PYTHON": str(tmp_path / "uv-python")}
        result = subprocess.run(
            ["bash", str(tmp_path / "project" / ".ci" / "setup"), *words],
            env=environment | {"TMPDIR": str(tmp_path)} | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        return result.returncode, result.stdout, log.read_text() if log.exists() else ""

    return set_up


def test_newest_python_in_the_range_is_taken(
    tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    fake_python(tmp_path / "bin" / "python3", "3.12")
    fake_python(tmp_path / "bin" / "python3.13", "3.13")
    fake_python(tmp_path / "bin" / "python3.11", "3.11")
    fake_python(tmp_path / "bin" / "python", "3.15")
    code, output, calls = run()
    assert code == 0, output
    assert f"Python 3.13.1 ({tmp_path}/bin/python3.13) in .venv" in output
    assert "python3.13 -m venv --clear .venv" in calls
    assert "uv pip install --quiet --python .venv/bin/python --require-hashes -r requirements.lock" in calls
    assert (tmp_path / "project" / ".venv" / ".ready").exists()


def test_older_python_that_can_make_environments_is_taken(
    tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    fake_python(tmp_path / "bin" / "python3.13", "3.13", has_venv=False)
    fake_python(tmp_path / "bin" / "python3.12", "3.12")
    code, output, calls = run()
    assert code == 0, output
    assert "python3.12 -m venv --clear .venv" in calls


def test_uv_makes_the_environment_without_venv(
    tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    python = fake_python(tmp_path / "bin" / "python3", "3.13", has_venv=False)
    shutil.copy(tmp_path / "log.uv", tmp_path / "bin" / "uv")
    code, output, calls = run()
    assert code == 0, output
    assert f"uv venv --quiet --clear --seed --python {python} .venv" in calls


def test_uv_installs_python_where_there_is_none(
    tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    fake_python(tmp_path / "bin" / "python3", "3.9")
    shutil.copy(tmp_path / "log.uv", tmp_path / "bin" / "uv")
    code, output, calls = run()
    assert code == 0, output
    assert "no Python of 3.14, 3.13, 3.12, 3.11 on the PATH: uv installs its own 3.13" in output
    assert "uv python install --quiet 3.13" in calls
    assert "python3.13 -m venv --clear .venv" in calls


def test_machine_without_python_and_network_gets_one_line(
    tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    shutil.copy(tmp_path / "log.uv", tmp_path / "bin" / "uv")
    code, output, _ = run(NO_NETWORK="1")
    assert code == 2
    assert output.splitlines()[-1].startswith(
        "segue: expected a Python of 3.14, 3.13, 3.12, 3.11, found none"
    )
    assert not os.path.exists(tmp_path / "project" / ".venv")


def test_environment_of_another_version_is_made_again(
    tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    fake_python(tmp_path / "bin" / "python3", "3.13")
    script(tmp_path / "project" / ".venv" / "bin" / "python", "#!/bin/sh\nexit 127\n")
    code, output, calls = run()
    assert code == 0, output
    assert "python3.13 -m venv --clear .venv" in calls


def test_second_run_keeps_the_environment(tmp_path: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    fake_python(tmp_path / "bin" / "python3", "3.13")
    run()
    (tmp_path / "log").unlink()
    code, output, calls = run()
    assert code == 0, output
    assert "-m venv" not in calls


def test_test_tools_are_installed_by_both_locks(
    tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    """What they depend on has its hashes in the first."""
    fake_python(tmp_path / "bin" / "python3", "3.13")
    run()
    code, output, calls = run("dev")
    assert code == 0, output
    assert "--require-hashes -r requirements.lock -r requirements-dev.lock" in calls
    assert (tmp_path / "project" / ".venv" / ".ready-dev").exists()


def test_second_set_up_waits_for_the_first(tmp_path: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    fake_python(tmp_path / "bin" / "python3", "3.13")
    lock = tmp_path / "project" / ".venv.lock"
    with subprocess.Popen(["sleep", "60"]) as first:
        lock.symlink_to(str(first.pid))
        # Killed, it leaves its lock; not waited for, it would still be a process.
        threading.Timer(1.0, lambda: (first.kill(), first.wait())).start()
        code, output, calls = run()
    assert code == 0, output
    assert f"another set-up is running (process {first.pid}): waiting for it" in output
    assert output.count("waiting") == 1 and "python3.13 -m venv" in calls
    assert not lock.is_symlink()
