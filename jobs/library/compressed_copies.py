"""The compressed files in the lake: when a source's tags change, its copy gets them without being encoded."""

import os
import shutil
from pathlib import Path
from typing import Any

from jobs.audio import transcode
from jobs.errors import raise_if_system_fault
from jobs.library import replace
from jobs.paths import fsync_dir, to_path


def has_copy(row: Any) -> bool:
    """Return whether the file to play of a row of FILES is a compressed copy of its file."""
    return bool(row["outcome"] == "compressed" and row["audio_path"] not in (None, row["path"]))


def update_copy(row: dict[str, Any], *, parts: str) -> dict[str, Any]:
    """Give the compressed copy of a row of FILES the tags of its source; return the row.

    The copy is replaced whole, by a file from the folder `parts`. A copy that is missing, or whose tags
    cannot be written, stays as it is: the tags in TRACKS are those of the source. Raises StepError if the
    disk or the machine fails.
    """
    copy = to_path(row["audio_path"])
    temp_path = None
    try:
        Path(parts).mkdir(parents=True, exist_ok=True)
        temp_path = replace.create_temp(parts)
        shutil.copyfile(copy, temp_path)
        transcode.update_tags(to_path(row["path"]), temp_path)
        os.chmod(temp_path, 0o644)
        fsync_dir(temp_path)  # works for a file, too
        os.replace(temp_path, copy)
    except Exception as error:  # mutagen raises many kinds
        raise_if_system_fault(error, row["audio_path"])
    finally:
        if temp_path is not None:
            replace.remove_temp(temp_path)
    return row
