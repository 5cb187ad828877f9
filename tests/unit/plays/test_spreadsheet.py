"""Deezer's history, a sheet of a workbook, as its cells are written: shared, inline, numbers."""

import re
import zipfile
from datetime import UTC, datetime

import pytest

from jobs.errors import InputError
from jobs.plays import spreadsheet
from jobs.plays.history_files import read_history

MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
LINK = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
HEADER = ["Song Title", "Artist", "ISRC", "Album Title", "IP Address", "Listening Time", "Platform Name"]
HEADER += ["Platform Model", "Date"]


def write_workbook(path, rows, sheet="10_listeningHistory"):
    """Write cells of text as shared strings, the last column inline; None is a cell that is not there."""
    strings, lines = [], []
    for number, row in enumerate(rows, 1):
        cells = []
        for column, value in enumerate(row):
            reference = f'r="{chr(65 + column)}{number}"'
            if value is None:
                continue
            if isinstance(value, float | int):
                cells.append(f"<c {reference}><v>{value}</v></c>")
            elif column == len(row) - 1:
                cells.append(f'<c {reference} t="inlineStr"><is><t>{value}</t></is></c>')
            else:
                cells.append(f'<c {reference} t="s"><v>{len(strings)}</v></c>')
                strings.append(f"<si><r><t>{value[:1]}</t></r><r><t>{value[1:]}</t></r></si>")
        lines.append(f'<row r="{number}">{"".join(cells)}</row>')
    sheets = f'<sheet name="01_profile" r:id="rId1"/><sheet name="{sheet}" r:id="rId2"/>'
    links = "".join(f'<Relationship Id="rId{n}" Target="worksheets/sheet{n}.xml"/>' for n in (1, 2))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "xl/workbook.xml", f'<workbook {MAIN} xmlns:r="{LINK}"><sheets>{sheets}</sheets></workbook>'
        )
        archive.writestr("xl/_rels/workbook.xml.rels", f"<Relationships>{links}</Relationships>")
        archive.writestr("xl/sharedStrings.xml", f"<sst {MAIN}>{''.join(strings)}</sst>")
        archive.writestr(
            "xl/worksheets/sheet2.xml",
            f"<worksheet {MAIN}><sheetData>{''.join(lines)}</sheetData></worksheet>",
        )


def play(**changed):
    row = {"Song Title": "Food", "Artist": "AWOL", "ISRC": "FRX202100001", "Album Title": "A Way"}
    row |= {"Listening Time": 168, "Date": "2026-11-21 20:15:00", **changed}
    return [row.get(name) for name in HEADER]


def test_history_of_deezer_is_read(tmp_path):
    rows = [play(), play(Date=46_347.84375, **{"Listening Time": 12}), play(**{"Listening Time": -1})]
    rows += [play(Artist=None), play(Date="yesterday")]
    write_workbook(tmp_path / "deezer-data_1.xlsx", [HEADER, *rows])
    rejected = []
    listens = list(read_history(tmp_path / "deezer-data_1.xlsx", reject=rejected.append))
    at = datetime(2026, 11, 21, 20, 15, tzinfo=UTC)
    assert [(each.artist, each.title, each.album, each.started_at) for each in listens] == [
        ("AWOL", "Food", "A Way", at)
    ] * 3
    assert [(each.played_s, each.is_finished) for each in listens] == [
        (168.0, True),
        (12.0, False),
        (None, False),
    ]
    assert [(row.row, row.reason) for row in rejected] == [(5, "no artist or title"), (6, "unreadable time")]


def test_workbook_of_another_kind_is_refused(tmp_path):
    write_workbook(tmp_path / "x.xlsx", [HEADER], sheet="Table 1")
    with pytest.raises(InputError, match="workbook of Deezer, found the sheets 01_profile, Table 1"):
        list(read_history(tmp_path / "x.xlsx"))


def test_damaged_workbook_is_refused_in_one_line(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.xlsx", "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook>")
    with (
        zipfile.ZipFile(tmp_path / "x.xlsx") as archive,
        pytest.raises(InputError, match="^expected a workbook"),
    ):
        list(spreadsheet.iter_rows(archive, re.compile("x")))
