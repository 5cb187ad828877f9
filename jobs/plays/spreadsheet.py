"""Rows of a sheet in a workbook of Office Open XML (.xlsx), as Deezer exports a history."""

import posixpath
import re
import zipfile
from collections.abc import Iterator
from typing import IO
from xml.etree import ElementTree

from jobs.errors import InputError
from jobs.plays.history_tables import TableRow

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_LINK = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_WORKBOOK = "xl/workbook.xml"

_MAX_COLUMNS = 128


def is_workbook(archive: zipfile.ZipFile) -> bool:
    """Return whether an archive is a workbook."""
    return _WORKBOOK in archive.namelist()


def iter_rows(archive: zipfile.ZipFile, sheet: re.Pattern[str]) -> Iterator[TableRow]:
    """Yield the rows of the sheet whose name matches, a row at a time.

    Raises
    ------
    InputError
        If there is no such sheet, or it is no XML.
    """
    try:
        path = _find_sheet(archive, sheet)
        strings = _shared_strings(archive)
        with archive.open(path) as stream:
            yield from _read_sheet(stream, strings)
    except (ElementTree.ParseError, KeyError, ValueError) as error:
        raise InputError(f"expected a workbook, found {type(error).__name__}: {error}") from error


def _find_sheet(archive: zipfile.ZipFile, sheet: re.Pattern[str]) -> str:
    names = {}
    for element in ElementTree.fromstring(archive.read(_WORKBOOK)).iter(f"{_MAIN}sheet"):
        names[element.get("name") or ""] = element.get(_LINK)
    found = next((name for name in names if sheet.search(name)), None)
    if found is None:
        raise InputError(f"expected a workbook of Deezer, found the sheets {', '.join(names)[:120]}")
    for link in ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels")):
        if link.get("Id") == names[found]:
            return posixpath.normpath(posixpath.join("/xl", link.get("Target") or ""))[1:]
    raise InputError(f"expected the sheet {ascii(found)}, found no file of it")


def _shared_strings(archive: zipfile.ZipFile) -> list[str]:
    if "xl/sharedStrings.xml" not in archive.namelist():
        return []
    strings = []
    with archive.open("xl/sharedStrings.xml") as stream:
        for _, element in ElementTree.iterparse(stream):
            if element.tag == f"{_MAIN}si":
                strings.append(_text(element))
                element.clear()
    return strings


def _text(element: ElementTree.Element) -> str:
    return "".join(each.text or "" for each in element.iter(f"{_MAIN}t"))


def _read_sheet(stream: IO[bytes], strings: list[str]) -> Iterator[TableRow]:
    number = 0
    for _, element in ElementTree.iterparse(stream):
        if element.tag != f"{_MAIN}row":
            continue
        number += 1
        fields: list[str] = []
        for cell in element.iter(f"{_MAIN}c"):
            column = _column(cell.get("r"), len(fields))
            if column < _MAX_COLUMNS:
                fields += [""] * (column + 1 - len(fields))
                fields[column] = _value(cell, strings)
        element.clear()
        yield TableRow(number, fields, "\t".join(fields))


def _column(reference: str | None, following: int) -> int:
    """Return the number of the column of a cell as BC7, from 0."""
    letters = re.match(r"[A-Z]{1,3}", reference or "")
    if letters is None:
        return following
    column = 0
    for letter in letters[0]:
        column = 26 * column + ord(letter) - ord("A") + 1
    return column - 1


def _value(cell: ElementTree.Element, strings: list[str]) -> str:
    if cell.get("t") == "inlineStr":
        return _text(cell)
    value = cell.findtext(f"{_MAIN}v") or ""
    return strings[int(value)] if cell.get("t") == "s" else value
