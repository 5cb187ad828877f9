"""Detect changes for the DAGs: the shards of new files, and whether a nightly run has anything to do."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jobs import paths
from jobs.audio.transcode import parse_bit_rate
from jobs.errors import InputError
from jobs.lake import schemas
from jobs.lake.storage import Lake, lake_at
from jobs.library import files_table, known_files, moves, scan
from jobs.paths import PACKAGE
from jobs.plays import play_log

# Files of one shard: about 20 minutes of compression on one machine; a retry repeats no more than one shard.
_MAX_SHARD_FILES = 5_000

# In the lake's folder: the state that the last complete nightly run left.
_STATE_FILE = ".nightly_state.json"


def shards(lake_uri: str, params: dict[str, Any]) -> list[str]:
    """Return the shards ("1/3", "2/3", "3/3") of the files that `segue compress` has to process.

    There is at least one, even if no file is new: deleted files have to leave the tables. Raises InputError
    for the same parameters as `segue compress`.
    """
    lake = lake_at(lake_uri)
    bit_rate = parse_bit_rate(params["bitrate"])
    in_place = bool(params["in_place"])
    known = known_files.read_known_files(lake)
    library = _scan(params, lake)
    known |= moves.find_moved(library, known).rows
    files = library.files
    n_new = 0
    for file in files:
        row = known.get(file["path"])
        if not files_table.is_up_to_date(file, row, bit_rate=bit_rate, in_place=in_place, retry=False):
            n_new += 1
    n_shards = max(1, -(-n_new // _MAX_SHARD_FILES))
    print(f"{len(files)} files, {n_new} new or changed: {n_shards} shard{'s' if n_shards > 1 else ''}")
    return [f"{number}/{n_shards}" for number in range(1, n_shards + 1)]


def has_changes(lake_uri: str, params: dict[str, Any]) -> bool:
    """Return whether anything has changed since the last complete nightly run.

    That is: music, parameters, tables, plays, or Segue's own code.
    """
    lake = lake_at(lake_uri)
    state_file = lake.root / _STATE_FILE
    if play_log.play_table(lake).pending_files():
        return True
    if params.get("force") or not state_file.exists():
        return True
    if json.loads(state_file.read_text()) != _state(lake, params, _scan(params, lake).files):
        return True
    print("Nothing new: music, plays and parameters are those of the last nightly run. The rest is skipped.")
    return False


def record_state(lake_uri: str, params: dict[str, Any]) -> None:
    """Record the state that a complete nightly run leaves, for the next run to compare with.

    Its files are those of the table FILES, not those on the disk: what was added, changed or deleted during
    the run is new to the next one.
    """
    lake = lake_at(lake_uri)
    prefix = scan.path_prefix(Path(params["library"]).expanduser().resolve())
    rows = [row for row in lake.read_arrow(schemas.FILES).to_pylist() if row["path"].startswith(prefix)]
    paths.atomic_write(lake.root / _STATE_FILE, json.dumps(_state(lake, params, rows)))


def _state(lake: Lake, params: dict[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return what a nightly run depends on: files, parameters, each table's version, Segue's code."""
    file_stats = sorted([row[name] for name in ("path", *scan.FILE_STAT_COLUMNS)] for row in rows)
    run_params = {name: params[name] for name in ("library", "bitrate", "in_place")}
    versions = {table.name: getattr(lake.version(table), "name", "") for table in schemas.TABLES}
    code = b"".join(path.read_bytes() for path in sorted(PACKAGE.rglob("*.py")))
    return {
        "files": hashlib.sha256(json.dumps(file_stats).encode()).hexdigest(),
        "params": json.dumps(run_params, sort_keys=True),
        "tables": json.dumps(versions),
        "segue": hashlib.sha256(code).hexdigest(),
    }


def _scan(params: dict[str, Any], lake: Lake) -> scan.ScanResult:
    if not params["library"]:
        raise InputError(
            "library: expected a folder of music, found none named; name it in the run's parameters, "
            "or for every nightly run with `segue up --library DIR` (SEGUE_LIBRARY)"
        )
    library = moves.scan_library(params["library"], lake)
    if isinstance(library, moves.MovedLibrary):
        print(library.describe())
        return scan.ScanResult(library.root)
    return library
