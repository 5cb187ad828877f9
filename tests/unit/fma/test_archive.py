"""Archives that are unsafe, damaged or too large, and what they leave on the disk."""

import stat
import zipfile

import pytest

from jobs.errors import InputError, StepError
from jobs.fma import archive


@pytest.fixture
def zipped(tmp_path):
    """Return a function that writes an archive of texts by name."""

    def write(**members):
        path = tmp_path / "fma.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, text in members.items():
                file.writestr(name, text)
        return path

    return write


def unpack(path, target):
    pieces = []
    return archive.unpack(path, target, on_bytes=pieces.append), sum(pieces)


def test_unpack_makes_the_top_folder_the_target(zipped, tmp_path):
    path = zipped(**{"fma/000/000002.mp3": "two", "fma/README.txt": "read", "fma/001/": ""})
    assert unpack(path, tmp_path / "out") == (2, 7)
    assert (tmp_path / "out" / "000" / "000002.mp3").read_text() == "two"
    assert {entry.name for entry in tmp_path.iterdir()} == {"fma.zip", "out"}


@pytest.mark.parametrize(
    "name", ["../evil.mp3", "fma/../../evil.mp3", "/etc/evil.mp3", "fma\\..\\..\\evil.mp3", "C:/evil.mp3"]
)
def test_unpack_refuses_a_path_outside_the_target(zipped, tmp_path, name):
    path = zipped(**{"fma/a.mp3": "a", name: "evil"})
    with pytest.raises(InputError, match="expected files below one folder, found the path .*evil.mp3"):
        unpack(path, tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["fma.zip"]


def test_unpack_refuses_a_link(tmp_path):
    path = tmp_path / "fma.zip"
    with zipfile.ZipFile(path, "w") as file:
        link = zipfile.ZipInfo("fma/way-out")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc")
    with pytest.raises(InputError, match="expected files only, found the link 'fma/way-out'"):
        unpack(path, tmp_path / "out")


def test_unpack_refuses_a_zip_bomb(zipped, tmp_path):
    path = zipped(**{"fma/zeros": b"\0" * (65 * 2**20)})
    with pytest.raises(InputError, match="a ZIP bomb"):
        unpack(path, tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["fma.zip"]


def test_unpack_of_a_damaged_archive_leaves_nothing(zipped, tmp_path):
    path = zipped(**{"fma/a.mp3": "a" * 10_000, "fma/b.mp3": "".join(map(str, range(10_000)))})
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(InputError, match="expected a complete ZIP archive, found"):
        unpack(path, tmp_path / "out")
    path.write_bytes(data[:-200])
    with pytest.raises(InputError, match="expected a complete ZIP archive, found"):
        unpack(path, tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["fma.zip"]


def test_unpack_checks_free_space_first(zipped, tmp_path, monkeypatch):
    path = zipped(**{"fma/a.mp3": "a" * 1000})
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 999}))
    with pytest.raises(StepError, match="GiB free to unpack, found 0.0 GiB"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unpack_replaces_the_remains_of_a_killed_run(zipped, tmp_path):
    (tmp_path / ".out.part" / "fma").mkdir(parents=True)
    (tmp_path / ".out.part" / "fma" / "half.mp3").write_text("half")
    unpack(zipped(**{"fma/a.mp3": "a"}), tmp_path / "out")
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["a.mp3"]
