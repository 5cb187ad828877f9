"""The weights at set-up: a failed download costs the embedding, not the set-up."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from jobs.errors import StepError
from jobs.musicnn import weights
from jobs.musicnn.checkpoint import CheckpointError, read_checkpoint
from jobs.runtime import install


def test_setup_continues_after_failed_download(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def no_network(command: list[str], **_: object) -> subprocess.CompletedProcess:
        return subprocess.CompletedProcess(
            command, 1, "", "WARNING: retrying\nERROR: no matching distribution\n"
        )

    monkeypatch.setattr(subprocess, "run", no_network)
    with pytest.raises(StepError, match="with pip, found ERROR: no matching distribution"):
        weights.install(tmp_path)
    monkeypatch.setattr(weights, "install", lambda: weights.read(tmp_path))
    assert install._install_weights().startswith("musicnn: no weights, tracks are embedded without them (")


def test_set_up_without_weights_by_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGUE_MUSICNN", "off")
    assert install._install_weights() == "musicnn: off (SEGUE_MUSICNN)"
    assert not weights.is_available()


def test_damaged_weights_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "weights.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(StepError, match=r"expected MusiCNN's weights, found .*; delete that file and run"):
        weights.read(tmp_path)


def test_installed_weights_are_those_of_the_package() -> None:
    with np.load(weights.FOLDER / "weights.npz") as arrays:
        sizes = {name: arrays[name].shape for name in arrays.files}
    assert sizes["tags/kernel"] == (200, 50) and sizes["timbral_38/kernel"][:2] == (7, 38)
    assert "ISC" in (weights.FOLDER / "LICENSE.md").read_text()


def test_what_is_no_checkpoint_is_refused() -> None:
    with pytest.raises(CheckpointError, match="found 7 bytes without its magic number"):
        read_checkpoint(b"nothing", b"")
