"""What there is to do: the shards of new files, and whether a night has anything to do at all. Called by the DAGs."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from jobs import settings
from jobs.errors import InputError
from jobs.lake import schemas
from jobs.lake.storage import Lake
from jobs.library import scan
from jobs.paths import PACKAGE
from jobs.plays import play_log
from jobs.steps.compress import is_done, parse_bit_rate

# Files of one shard: some 20 minutes of compressing on one machine, so that a retry repeats no more.
_SHARD_FILES = 5_000

# The tables' state that the last whole night left, beside them.
_STAMP = ".night.json"


def shards(lake_uri: str, params: dict[str, Any]) -> list[str]:
    """Return the shards ("1/3", "2/3", "3/3") of the files that compress has something to do for; at least one.

    One is left where nothing is new: deleted files have to leave the tables. InputError as `segue compress`.
    """
    lake = Lake(settings.lake_path(lake_uri))
    bit_rate, in_place = parse_bit_rate(params["bitrate"]), bool(params["in_place"])
    known = {row["path"]: row for row in lake.read_arrow(schemas.FILES).to_pylist()}
    files = _scan(params, lake).files
    new = sum(not is_done(file, known.get(file["path"]), bit_rate, in_place, False) for file in files)
    of = max(1, -(-new // _SHARD_FILES))
    print(f"{len(files)} files, {new} new or changed: {of} shard{'s' if of > 1 else ''}")
    return [f"{number}/{of}" for number in range(1, of + 1)]


def has_changes(lake_uri: str, params: dict[str, Any]) -> bool:
    """Tell whether anything has changed since the last whole night: music, parameters, tables, plays, Segue itself."""
    lake = Lake(settings.lake_path(lake_uri))
    stamp = lake.root / _STAMP
    if play_log.play_table(lake).pending_files():
        return True
    if params.get("force") or not stamp.exists():
        return True
    if json.loads(stamp.read_text()) != _state(lake, params, _scan(params, lake).files):
        return True
    print(
        "Nothing new: music, plays and parameters are those of the last night. A no-op night; the model serves on."
    )
    return False


def record_state(lake_uri: str, params: dict[str, Any]) -> None:
    """Keep the state that a whole night leaves, for the next one to compare with.

    Its files are those of FILES: what has come, changed or gone while the night was at work is new to the next one.
    """
    lake = Lake(settings.lake_path(lake_uri))
    below = scan.path_prefix(Path(params["library"]).expanduser().resolve())
    taken = [row for row in lake.read_arrow(schemas.FILES).to_pylist() if row["path"].startswith(below)]
    scratch = lake.root / f"{_STAMP}.new"
    scratch.write_text(json.dumps(_state(lake, params, taken)))
    os.replace(scratch, lake.root / _STAMP)


def _state(lake: Lake, params: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, str]:
    """Return what a night's work depends on: the library's files, parameters, each table's version, the code."""
    found = sorted([row[name] for name in ("path", *scan.FILE_STAT_COLUMNS)] for row in rows)
    files = hashlib.sha256(json.dumps(found).encode()).hexdigest()
    asked = json.dumps({name: params[name] for name in ("library", "bitrate", "in_place")}, sort_keys=True)
    versions = {table.name: getattr(lake.version(table), "name", "") for table in schemas.TABLES}
    code = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(PACKAGE.rglob("*.py"))))
    return {"files": files, "params": asked, "tables": json.dumps(versions), "segue": code.hexdigest()}


def _scan(params: dict[str, Any], lake: Lake) -> scan.ScanResult:
    if not params["library"]:
        raise InputError(
            "library: expected a folder of music, found none named; name it in the run's parameters, or for every night "
            "with `segue up --library DIR` (SEGUE_LIBRARY)"
        )
    return scan.scan(params["library"], lake.root)
