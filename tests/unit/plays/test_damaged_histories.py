"""Histories of every form, cut, spliced and with flipped bits: rows, rejected rows or one line, no more."""

import json
import zipfile

import numpy as np

from jobs.errors import InputError
from jobs.plays.history_files import read_history
from tests.unit.plays import test_history_files as files
from tests.unit.plays.test_history_apple import ACTIVITY, ACTIVITY_TABLE, DAILY, DAILY_TABLE
from tests.unit.plays.test_history_youtube import MUSIC
from tests.unit.plays.test_spreadsheet import HEADER, play, write_workbook

COUNT = 400


def write_histories(folder):
    (mark,) = files.test_listen_is_read.pytestmark
    texts = {**dict(mark.args[1]), ACTIVITY: ACTIVITY_TABLE, DAILY: DAILY_TABLE}
    texts["watch-history.json"] = json.dumps([MUSIC] * 5)
    for name, text in texts.items():
        (folder / name).write_text(text)
    write_workbook(folder / "deezer-data_1.xlsx", [HEADER, *[play()] * 5])
    with zipfile.ZipFile(folder / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("listens/1.jsonl", (files.LISTENBRAINZ + "\n") * 50)
        for name in (ACTIVITY, DAILY, "watch-history.json", "deezer-data_1.xlsx"):
            archive.write(folder / name, name)
    return sorted(folder.iterdir())


def damage(data, random):
    place = int(random.integers(0, max(1, len(data))))
    change = random.integers(5)
    if change == 0:
        return data[:place]
    if change == 1:
        return data[:place] + bytes(random.integers(0, 256, 20, dtype=np.uint8)) + data[place:]
    if change == 2:
        return data + data
    if change == 3:
        return data[:place] + data[place + int(random.integers(1, 40)) :]
    flipped = bytearray(data)
    if flipped:
        flipped[place] ^= 1 << int(random.integers(8))
    return bytes(flipped)


def test_damaged_history_is_read_or_refused_in_one_line(tmp_path):
    (tmp_path / "whole").mkdir()
    histories = [(path.name, path.read_bytes()) for path in write_histories(tmp_path / "whole")]
    random = np.random.default_rng(26)
    n_read = 0
    for number in range(COUNT):
        name, data = histories[number % len(histories)]
        for _ in range(random.integers(1, 4)):
            data = damage(data, random)
        (tmp_path / name).write_bytes(data)
        rejected = []
        try:
            n_read += bool(list(read_history(tmp_path / name, reject=rejected.append)))
        except InputError as error:
            assert str(error).startswith("expected") and "\n" not in str(error), name
        for row in rejected:
            json.dumps(row.to_dict()).encode()
    assert 0.2 * COUNT < n_read < 0.9 * COUNT
