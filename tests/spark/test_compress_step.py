import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.errors import InputError
from jobs.lake.schemas import FEATURES, FILES, REJECTS, TRACKS
from jobs.paths import to_path, to_text

STEPS = ("compress", "catalog", "extract")


def half(path):
    os.truncate(path, path.stat().st_size // 2)


# By name: how a song becomes unusable, the step that says so, and what it says.
BAD = {
    "pointer.mp3": (
        lambda p: p.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid"),
        "a Git LFS pointer",
    ),
    "text.ogg": (lambda p: p.write_text("../elsewhere.ogg"), "text ('../elsewhere.ogg')"),
    "empty.mp3": (lambda p: p.write_bytes(b""), "an empty file"),
    "folder.mp3": (lambda p: (p.unlink(), p.mkdir()), "a directory"),
    "pipe.mp3": (lambda p: (p.unlink(), os.mkfifo(p)), "something else (a pipe, a socket, a device)"),
    "zeros.wav": (lambda p: p.write_bytes(bytes(9_999)), "zero bytes"),
    "half.mp3": (half, "truncated"),
    "half.flac": (half, "truncated"),
    "half.wav": (half, "truncated"),
    "half.ogg": (half, "truncated"),
    "half.m4a": (half, "the beginning of MP4, and the rest broken or missing"),
    "random.mp3": (lambda p: p.write_bytes(bytes((i * i * 7919 >> 5) % 251 for i in range(30_000))), ""),
    "garbage.mp3": (lambda p: p.write_bytes(p.read_bytes()[:600] + b"\x55\xaa" * 20_000), ""),
    "header.flac": (lambda p: p.write_bytes(p.read_bytes()[:8_300]), ""),
}


def run_all(step, **options):
    return {name: step(name, **options) for name in STEPS}


def attempted(counts):
    return [counts["compress"]["attempted"], counts["catalog"]["new"], counts["extract"]["attempted"]]


def test_bad_files_are_rejected_once(step, song, table, music):
    for number, (name, (break_it, _)) in enumerate(BAD.items()):
        song(name, seconds=5, seed=number)
        break_it(music / name)
    song("short.mp3", seconds=0.1)
    odd = [
        'it\'s "quoted".mp3',
        "new\nline.mp3",
        "🎵.m4a",
        "-i.mp3",
        os.fsdecode(b"\xff\xfe.mp3"),
        "x" * 246 + ".mp3",
    ]
    for number, name in enumerate(odd):
        song("x.mp3" if name.endswith("mp3") else "x.m4a", seed=100 + number).rename(music / name)
    song("good.mp3")
    shutil.copy(music / "good.mp3", music / "twin.mp3")
    paths = {name: to_text(music / name) for name in [*BAD, *odd, "good.mp3", "short.mp3"]}

    counts = run_all(step)
    rejected = {row["path"]: row for row in table(REJECTS)}
    for name, (_, reason) in BAD.items():
        error = rejected.pop(paths[name])["error"]
        assert reason in error and error.startswith("expected ") and "\n" not in error, (name, error)
    assert "expected at least 0.5 s of sound, found 0.1" in rejected.pop(paths["short.mp3"])["error"]
    assert rejected == {}
    features = {row["track_id"] for row in table(FEATURES)}
    tracks = {row["path"]: row["track_id"] for row in table(TRACKS)}
    assert all(tracks[paths[name]] in features for name in [*odd, "good.mp3"])
    assert counts["catalog"]["duplicates"] == 1 and to_text(music / "twin.mp3") not in tracks
    assert len(table(FILES)) == len(BAD) + len(odd) + 3
    assert all(os.path.exists(to_path(row["audio_path"])) for row in table(FILES) if row["audio_path"])

    before = (table(FILES), table(TRACKS), table(REJECTS))
    assert attempted(run_all(step)) == [0, 0, 0]
    assert (table(FILES), table(TRACKS), table(REJECTS)) == before

    song("half.mp3", seed=200)  # the same name with usable audio
    (music / "empty.mp3").unlink()
    run_all(step, retry_rejected=True)
    again = {row["path"]: row for row in table(REJECTS)}
    first = {row["path"]: row for row in before[2]}
    assert set(first) - set(again) == {paths["half.mp3"], paths["empty.mp3"]} and set(again) < set(first)
    assert {row["attempts"] for row in again.values()} == {2}
    assert all(row["first_seen"] == first[path]["first_seen"] for path, row in again.items())


def test_in_place_twice_and_without_tables(step, song, table, music, lake):
    for number, name in enumerate(("a.mp3", "b.flac", "c.wav", "d.ogg")):
        song(name, "title=Aria", seed=number)
    step("compress")  # beside first: the rows of files whose names change must go
    leftover = music / ".segue-0123456789abcdef.part"
    leftover.write_bytes(b"of a killed run")
    counts = step("compress", in_place=True)
    assert (counts["compressed"], counts["attempted"], counts["rejected"]) == (4, 4, 0)
    assert sorted(os.listdir(music)) == ["a.mp3", "b.mp3", "c.mp3", "d.ogg"]
    files = table(FILES)
    assert [Path(row["path"]).name for row in files] == ["a.mp3", "b.mp3", "c.mp3", "d.ogg"]
    assert all(row["audio_path"] == row["path"] for row in files)
    assert step("compress", in_place=True)["attempted"] == 0
    shutil.rmtree(lake.root)
    lake.root.mkdir()
    assert step("compress", in_place=True)["compressed"] == 4
    assert table(FILES) == files
    assert step("compress")["attempted"] == 0  # nothing is left to do beside, either


def test_changed_target_and_removed_file(step, song, table, music):
    song("a.mp3")
    song("b.mp3", seed=8)
    assert step("compress")["compressed"] == 2
    assert step("compress", bitrate="48k")["attempted"] == 2
    assert {Path(row["audio_path"]).parts[-3] for row in table(FILES)} == {"48k"}
    (music / "b.mp3").unlink()
    counts = step("compress", bitrate="48k")
    assert (counts["found"], counts["attempted"]) == (1, 0)
    assert [row["path"] for row in table(FILES)] == [str(music / "a.mp3")]
    Path(table(FILES)[0]["audio_path"]).unlink()
    assert step("compress", bitrate="48k")["attempted"] == 1  # its result had gone


def test_other_library_in_lake_stays(step, song, table, music, tmp_path):
    song("a.mp3")
    other = tmp_path / "music-two"
    other.mkdir()
    song("b.mp3", seed=8).rename(other / "b.mp3")
    step("compress")
    step("compress", library=str(other))
    assert [row["path"] for row in table(FILES)] == [str(other / "b.mp3"), str(music / "a.mp3")]


def test_missing_folder_raises_input_error(step, tmp_path):
    with pytest.raises(InputError, match="expected a folder of music, found nothing"):
        step("compress", library=str(tmp_path / "nowhere"))


def segue(*arguments):
    command = [sys.executable, "-m", "jobs", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_console_script(song, music, tmp_path):
    song("a.mp3")
    (music / "bad.mp3").write_text("no audio")
    lake = str(tmp_path / "lake-two")
    missing = segue("compress", "--library", str(tmp_path / "nowhere"), "--lake", lake)
    assert missing.returncode == 2 and missing.stderr.count("\n") == 1
    done = segue("compress", "--library", str(music), "--lake", lake, "--master", "local[2]")
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout
        == "compress: 2 found, 1 compressed, 0 unchanged, 1 rejected, 2 attempted, 0 skipped (not audio)\n"
    )
