"""File names as text that Parquet, MongoDB and a log line can hold, and back.

POSIX names are bytes. Text columns hold UTF-8, so a byte that is not stands as `\\xNN`; a backslash is doubled, which
keeps the way back unambiguous.
"""

import os
import re
from contextlib import suppress
from pathlib import Path

# The repository (or site-packages, where Segue is installed), and the package `jobs` in it.
PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent

_ESCAPED = re.compile(r"\\x[0-9a-f]{2}|\\\\")


def to_text(path: str | os.PathLike[str]) -> str:
    r"""Return the path as valid UTF-8 text: `b"a\xff"` becomes `a\xff` in six characters."""
    doubled = os.fspath(path).replace("\\", "\\\\")
    return re.sub("[\udc80-\udcff]", lambda match: f"\\x{ord(match[0]) - 0xDC00:02x}", doubled)


def to_path(text: str) -> str:
    """Return what `to_text` was given, as the operating system's functions take it."""
    return _ESCAPED.sub(lambda m: "\\" if m[0] == "\\\\" else chr(0xDC00 + int(m[0][2:], 16)), text)


def escape_control_chars(text: str) -> str:
    """Return the text with control characters escaped, so that a name with a newline cannot break a log line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def make_private_dir(folder: Path) -> Path:
    """Make a folder that its owner alone can enter, whatever the files in it allow; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(PermissionError):  # another's folder: the owner has decided
        folder.chmod(0o700)
    return folder
