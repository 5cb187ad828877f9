"""The picture of an album that lies beside its files: cover.jpg, folder.png, front.webp, albumart.jpg."""

import os
from functools import lru_cache
from pathlib import Path

# In the order of precedence.
_NAMES = ("cover", "folder", "front", "albumart", "album", "artwork")
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def find_cover(folder: Path) -> Path | None:
    """Return the cover in a folder, whatever the case of its name, or None."""
    try:
        return _find(folder, folder.stat().st_mtime_ns)
    except OSError:
        return None


@lru_cache(maxsize=1_000)  # a folder of thousands of tracks is listed once
def _find(folder: Path, _mtime_ns: int) -> Path | None:
    ranks = {
        name + suffix: (place, kind)
        for place, name in enumerate(_NAMES)
        for kind, suffix in enumerate(_SUFFIXES)
    }
    with os.scandir(folder) as entries:
        found = [entry.name for entry in entries if entry.name.lower() in ranks]
    return folder / min(found, key=lambda name: (ranks[name.lower()], name)) if found else None
