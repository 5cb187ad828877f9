"""Resumable download of the Free Music Archive's archives, verified by their published SHA-1."""

import hashlib
import logging
import re
import time
from dataclasses import dataclass
from pathlib import Path

import requests
import urllib3

from jobs.errors import InputError, StepError
from jobs.fma.archive import check_free_space
from jobs.paths import escape_control_chars, sync

log = logging.getLogger("segue")


@dataclass(frozen=True)
class Archive:
    """One archive of the data set.

    `size` is its length in bytes (approximate), `unpacked_ratio` how many times as much it unpacks to.
    """

    name: str
    sha1: str
    size: int
    unpacked_ratio: float

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

# Consecutive attempts that may fail without a new byte.
MAX_ATTEMPTS = 6
# Seconds before the first retry; the pause doubles with every failure.
RETRY_PAUSE_S = 1.0

# Seconds to wait for a connection, and for the next bytes.
_TIMEOUT_S = (15, 60)
_CHUNK_BYTES = 2**20

_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class _IncompleteDownload(Exception):
    """A transfer failed in a way that another attempt may mend."""


class ResumableDownload:
    """The download of one archive to a partial file, which later attempts and later processes continue.

    Only the SHA-1 decides whether the file is complete, because servers may promise a wrong length.
    """

    def __init__(self, url: str, part: Path, archive: Archive) -> None:
        self.url = url
        self.part = part
        self.archive = archive
        # Whether the partial file comes from several requests, which may have delivered different files.
        self._is_assembled = file_size(part) > 0

    def run(self) -> None:
        """Download until the file has the published SHA-1.

        The number of attempts is limited only where the file stops growing: a slow line that breaks off every
        few minutes still delivers 93 GiB.

        Raises
        ------
        InputError
            The address has no such file, or a different one.
        StepError
            MAX_ATTEMPTS attempts in a row brought no new byte.
        """
        failures = 0
        with requests.Session() as session:
            while True:
                size_before = file_size(self.part)
                error = self._try_request(session)
                has_grown = file_size(self.part) > size_before
                if (error is None or not has_grown) and self._is_complete():
                    return
                if error is None:
                    if not has_grown:
                        self._discard_wrong_file()
                    continue
                failures = 0 if has_grown else failures + 1
                self._is_assembled = True
                self._wait_for_retry(failures, error)

    def _try_request(self, session: requests.Session) -> Exception | None:
        """Make one request; return the error where another attempt may mend it."""
        try:
            self._request(session)
        except (requests.RequestException, urllib3.exceptions.HTTPError, _IncompleteDownload) as error:
            return error
        return None

    def _is_complete(self) -> bool:
        return file_size(self.part) > 0 and sha1_file(self.part) == self.archive.sha1

    def _discard_wrong_file(self) -> None:
        """Remove a complete download with the wrong SHA-1.

        Pieces of two files are downloaded again from the start. A file that came in one piece would come
        again, so it raises InputError.
        """
        sha1 = sha1_file(self.part)
        size = file_size(self.part)
        self.part.unlink()
        if not self._is_assembled:
            raise InputError(
                f"{self.url}: expected the SHA-1 {self.archive.sha1}, found {sha1} ({size:,} bytes): "
                "another file, removed; check --base-url"
            )
        log.warning(
            "%s: the downloaded pieces belong to different files, restarting from the first byte", self.url
        )
        self._is_assembled = False

    def _wait_for_retry(self, failures: int, error: Exception) -> None:
        if failures == MAX_ATTEMPTS:
            raise StepError(
                f"{self.url}: expected the rest after {file_size(self.part):,} bytes, found in "
                f"{MAX_ATTEMPTS} attempts: {escape_control_chars(str(error))[:200]}; "
                "re-run the same command to resume"
            ) from error
        log.warning("%s: interrupted after %d bytes, resuming", self.url, file_size(self.part))
        time.sleep(RETRY_PAUSE_S * 2**failures)

    def _request(self, session: requests.Session) -> None:
        """Request the missing bytes once and append them to the partial file, as many as arrive."""
        size = file_size(self.part)
        headers = {"Accept-Encoding": "identity"}
        if size:
            headers["Range"] = f"bytes={size}-"
        with session.get(self.url, headers=headers, stream=True, timeout=_TIMEOUT_S) as response:
            if response.status_code == 416:  # there are no bytes after these: the SHA-1 decides
                return
            if 400 <= response.status_code < 500:
                raise InputError(
                    f"{self.url}: expected an archive, found HTTP {response.status_code}; check --base-url"
                )
            response.raise_for_status()
            start = _first_byte(response, size)
            if start not in (0, size):
                self.part.unlink(missing_ok=True)
                raise _IncompleteDownload(
                    f"expected the bytes from {size:,}, found those from {start:,} in the answer"
                )
            self._check_free_space(response, start)
            self._append(response, start)

    def _check_free_space(self, response: requests.Response, start: int) -> None:
        """Raise StepError unless the disk holds the archive and its unpacked files."""
        promised = start + int(response.headers.get("Content-Length") or 0)
        archive_bytes = promised
        if promised == start:  # without a length, trust the published size
            archive_bytes = max(promised, self.archive.size)
        needed = int(archive_bytes * (1 + self.archive.unpacked_ratio)) - start
        check_free_space(self.part.parent, needed, f"for {self.archive.file} and its unpacked files")

    def _append(self, response: requests.Response, start: int) -> None:
        with self.part.open("ab" if start else "wb") as file:
            # Not iter_content: it drops the piece during which a connection breaks.
            while chunk := response.raw.read1(_CHUNK_BYTES):
                if file.tell() == 0 and not chunk.startswith(b"PK"):
                    beginning = escape_control_chars(chunk[:40].decode("latin-1"))
                    raise InputError(
                        f"{self.url}: expected a ZIP archive, found {beginning!r}; check --base-url"
                    )
                file.write(chunk)
            file.flush()
            sync(file.fileno())


def _first_byte(response: requests.Response, requested: int) -> int:
    """Return the position of the first byte in the answer: 0 if the server ignores Range."""
    if response.status_code != 206:
        return 0
    match = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    return int(match[1]) if match else requested


def file_size(path: Path) -> int:
    """Return a file's size in bytes, 0 if it does not exist."""
    return path.stat().st_size if path.exists() else 0


def sha1_file(path: Path) -> str:
    """Return the SHA-1 of a file's content in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest()
