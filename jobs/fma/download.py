"""`segue fma download`: FMA's archives, resumed where they broke off, checked by their published SHA-1, unpacked once."""

import argparse
import hashlib
import logging
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import urllib3

from jobs import progress, settings
from jobs.errors import InputError, StepError
from jobs.fma import archive
from jobs.paths import escape_control_chars

log = logging.getLogger("segue")


@dataclass(frozen=True)
class Archive:
    """An archive of the data set: its published SHA-1, its bytes (about), and how many times as much it unpacks to."""

    name: str
    sha1: str
    size: int
    unpacks_to: float

    @property
    def file(self) -> str:
        """The name of the ZIP file."""
        return f"{self.name}.zip"


# As published in the README of github.com/mdeff/fma.
METADATA = Archive("fma_metadata", "f0df49ffe5f2a6008d7dc83c6915b31835dfe733", 342 * 2**20, 4.5)
SUBSETS = {
    "small": Archive("fma_small", "ade154f733639d52e35e32f5593efe5be76c6d70", int(7.2 * 2**30), 1.05),
    "medium": Archive("fma_medium", "c67b69ea232021025fca9231fc1c7c1a063ab50b", 22 * 2**30, 1.05),
    "large": Archive("fma_large", "497109f4dd721066b5ce5e5f250ec604dc78939e", 93 * 2**30, 1.05),
    "full": Archive("fma_full", "0f0ace23fbe9ba30ecb7e95f763e435ea802b8ab", 879 * 2**30, 1.05),
}

# Attempts without a new byte until it is given up, and the first pause between them, seconds; it doubles each time.
MAX_ATTEMPTS = 6
RETRY_PAUSE_S = 1.0

# Seconds to wait for a connection, and for the next bytes.
_TIMEOUT_S = (15, 60)
_CHUNK_BYTES = 2**20

_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class _IncompleteDownload(Exception):
    """A transfer that went wrong in a way that another attempt may mend."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--subset", choices=list(SUBSETS), help="7, 22, 93 or 879 GiB of audio")
    parser.add_argument("--metadata", action="store_true", help="fma_metadata: 342 MiB, 1.4 GiB unpacked")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to unpack into")
    parser.add_argument(
        "--keep-archive", action="store_true", help="leave the ZIP files beside what is unpacked"
    )
    settings.add_fma_argument(parser)


def main(arguments: argparse.Namespace) -> dict[str, Any]:
    """Download and unpack what was asked for and is not there yet; return the counts."""
    wanted = [
        *([METADATA] if arguments.metadata else []),
        *([SUBSETS[arguments.subset]] if arguments.subset else []),
    ]
    if not wanted:
        raise InputError("expected --subset small, medium, large or full, or --metadata, found neither")
    out = arguments.out.expanduser().absolute()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"--out: expected a folder that can be written, found {out}: {error.strerror}"
        ) from error
    missing = [each for each in wanted if not (out / each.name).exists()]
    files = sum(
        _download_and_verify(each, out, arguments.fma_url.rstrip("/"), keep=arguments.keep_archive)
        for each in missing
    )
    return {"archives": len(wanted), "unpacked now": len(missing), "files": files}


def _download_and_verify(wanted: Archive, out: Path, base: str, *, keep: bool) -> int:
    """Download, check and unpack one archive; return its number of files."""
    path = out / wanted.file
    part = path.with_name(f"{path.name}.part")
    if not path.exists():
        with progress.watch(f"{wanted.file}, MiB", wanted.size >> 20, lambda: _size(part) >> 20):
            fetch(f"{base}/{wanted.file}", part, wanted)
        part.replace(path)
    elif _sha1(path) != wanted.sha1:
        raise InputError(
            f"{path}: expected the SHA-1 {wanted.sha1}, found another file; remove it and run this again"
        )
    done = 0

    def count(written: int) -> None:
        nonlocal done
        done += written

    total = int(wanted.size * wanted.unpacks_to)
    with progress.watch(f"unpack {wanted.name}, MiB", total >> 20, lambda: done >> 20):
        files = archive.unpack(path, out / wanted.name, unpacked=count)
    if not keep:
        path.unlink()
    return files


def fetch(url: str, part: Path, wanted: Archive) -> None:
    """Download to the file `part`, going on where it ends, until it has the published SHA-1.

    InputError where the address has no such file or another one, StepError where it does not get on.
    """
    failures, assembled = 0, _size(part) > 0
    with requests.Session() as session:
        while True:
            before, broken = _size(part), None
            try:
                _attempt(session, url, part, wanted)
            except (requests.RequestException, urllib3.exceptions.HTTPError, _IncompleteDownload) as error:
                broken = error
            grown = _size(part) > before
            # Whatever the server says of the length: it is all there when the SHA-1 says so.
            if (broken is None or not grown) and _size(part) and _sha1(part) == wanted.sha1:
                return
            if broken is None:
                if not grown:  # and there is no more of it
                    _refuse(url, part, wanted, final=not assembled)
                    assembled = False
                continue
            failures, assembled = 0 if grown else failures + 1, True
            if failures == MAX_ATTEMPTS:
                raise StepError(
                    f"{url}: expected the rest after {_size(part):,} bytes, found in {MAX_ATTEMPTS} attempts: "
                    f"{escape_control_chars(str(broken))[:200]}; the same command goes on from here"
                ) from broken
            log.warning("%s: broken off after %d bytes, going on", url, _size(part))
            time.sleep(RETRY_PAUSE_S * 2**failures)


def _refuse(url: str, part: Path, wanted: Archive, *, final: bool) -> None:
    """Remove a download that is another file; InputError where it came in one piece, and would come so again."""
    found, size = _sha1(part), _size(part)
    part.unlink()
    if final:
        raise InputError(
            f"{url}: expected the SHA-1 {wanted.sha1}, found {found} ({size:,} bytes): another file, removed; see --base-url"
        )
    log.warning("%s: the pieces do not fit together, starting again", url)


def _attempt(session: requests.Session, url: str, part: Path, wanted: Archive) -> None:
    """Add to `part` what it lacks, in one request; it is left as far as it came."""
    have = _size(part)
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    with session.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S) as response:
        if response.status_code == 416:  # nothing after these bytes: the SHA-1 says whether it is all
            return
        if 400 <= response.status_code < 500:
            raise InputError(f"{url}: expected an archive, found HTTP {response.status_code}; see --base-url")
        response.raise_for_status()
        start = _start(response, have)
        if start not in (0, have):
            part.unlink(missing_ok=True)
            raise _IncompleteDownload(
                f"the server sends the bytes from {start:,} instead of those from {have:,}"
            )
        promised = start + int(response.headers.get("Content-Length") or 0)
        needed = max(promised, wanted.size if promised == start else 0)
        archive.check_free_space(
            part.parent, int(needed * (1 + wanted.unpacks_to)) - start, f"for {wanted.file} and what is in it"
        )
        with part.open("ab" if start else "wb") as file:
            # Not iter_content: it throws away the piece in which a connection breaks off.
            while chunk := response.raw.read1(_CHUNK_BYTES):
                if file.tell() == 0 and not chunk.startswith(b"PK"):
                    raise InputError(
                        f"{url}: expected a ZIP archive, found {escape_control_chars(chunk[:40].decode('latin-1'))!r}; see --base-url"
                    )
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())


def _start(response: requests.Response, have: int) -> int:
    """Return the position of the first byte that is sent: 0 where the server ignores Range."""
    if response.status_code != 206:
        return 0
    found = _RANGE.match(response.headers.get("Content-Range", ""))
    return int(found[1]) if found else have


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sha1(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest()
