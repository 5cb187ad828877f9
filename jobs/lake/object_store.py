"""The objects below one address of an object store, as in s3://bucket/prefix: whole and conditional puts,
listings, ranges.

The address, the keys and the region come from the environment, as for every client of S3 (AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL for another provider), or from the machine's role. Each
request is repeated for a minute; what fails then is a StepError in one line, without a secret.
"""

import io
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, BinaryIO, cast

import obstore
import pyarrow as pa
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from jobs.errors import StepError

# How long a request is repeated, and how long one attempt may take.
_RETRY_LIMIT = timedelta(seconds=60)
_ATTEMPT_LIMIT = timedelta(seconds=30)
_CONNECT_LIMIT = timedelta(seconds=5)
_MAX_RETRIES = 20
_LONGEST_PAUSE = timedelta(seconds=5)

# Where a machine of a cloud asks for the keys of its role, if the environment has none.
_METADATA_HOST = "http://169.254."

# Characters of the store's answer in an error message.
_MAX_ANSWER_CHARACTERS = 160


class ConflictError(Exception):
    """A conditional put was refused: another writer was first."""


@dataclass(frozen=True)
class StoredObject:
    """One object of a listing: its key below the store's address, and its size in bytes."""

    key: str
    size: int


@dataclass(frozen=True)
class ObjectStore:
    """The objects below `url`. It can be pickled; each process opens its own connections."""

    url: str

    @cached_property
    def _store(self) -> S3Store:
        bucket, _, prefix = self.url.removeprefix("s3://").partition("/")
        return S3Store(
            bucket,
            prefix=prefix or None,
            # An endpoint on http:// is one that the user has named.
            client_options={
                "allow_http": True,
                "connect_timeout": _CONNECT_LIMIT,
                "timeout": _ATTEMPT_LIMIT,
            },
            retry_config={
                "max_retries": _MAX_RETRIES,
                "retry_timeout": _RETRY_LIMIT,
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": _LONGEST_PAUSE,
                    "base": 2,
                },
            },
        )

    def __getstate__(self) -> dict[str, str]:
        """Leave the connections out."""
        return {"url": self.url}

    def get(self, key: str) -> tuple[bytes, str] | None:
        """Return an object's content and its ETag, None if there is none."""
        with self._one_line_errors():
            try:
                answer = obstore.get(self._store, key)
                return bytes(answer.bytes()), str(answer.meta["e_tag"])
            except FileNotFoundError as error:
                self._raise_if_no_bucket(error)
                return None

    def get_range(self, key: str, start: int, end: int) -> Any:
        """Return the bytes from `start` up to `end` as a buffer; FileNotFoundError if there is no object."""
        with self._one_line_errors():
            return obstore.get_range(self._store, key, start=start, end=end)

    def put(self, key: str, data: bytes | BinaryIO) -> None:
        """Write an object whole, whatever was there."""
        with self._one_line_errors():
            obstore.put(self._store, key, data)

    def put_if(self, key: str, data: bytes, etag: str | None) -> str:
        """Write an object if its ETag is `etag` (None: if there is none yet); return the new ETag.

        `data` must differ from everything that was ever put there: by that a put whose answer was lost, and
        whose repetition was refused, is known for our own.

        Raises ConflictError if another writer was first.
        """
        mode: Any = "create" if etag is None else {"e_tag": etag}
        try:
            with self._one_line_errors():
                return str(obstore.put(self._store, key, data, mode=mode, use_multipart=False)["e_tag"])
        except (ConflictError, StepError):
            found = None
            with suppress(StepError):
                found = self.get(key)
            if found is None or found[0] != data:
                raise
            return found[1]

    def list(self, prefix: str) -> list[StoredObject]:
        """Return the objects below the folder `prefix`, sorted by key."""
        with self._one_line_errors():
            found = [
                StoredObject(meta["path"], meta["size"])
                for page in obstore.list(self._store, prefix)
                for meta in page
            ]
        return sorted(found, key=lambda each: each.key)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; what is gone already is fine."""
        paths = list(keys)
        if paths:
            with self._one_line_errors(), suppress(FileNotFoundError):
                obstore.delete(self._store, paths)

    @contextmanager
    def _one_line_errors(self) -> Iterator[None]:
        """Turn the errors of obstore, which have several lines, into ours."""
        try:
            yield
        except (AlreadyExistsError, PreconditionError):
            raise ConflictError from None
        except FileNotFoundError as error:
            self._raise_if_no_bucket(error)
            raise FileNotFoundError("expected an object of the lake, found none") from None
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise StepError(
                f"--lake: expected keys that may read and write {self.url}, found them refused "
                f"({_answer(error)}); set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            ) from None
        except (BaseError, OSError) as error:
            self._raise_if_no_bucket(error)
            if _METADATA_HOST in str(error):
                raise StepError(
                    f"--lake: expected keys for {self.url}, found neither AWS_ACCESS_KEY_ID "
                    "in the environment nor a role of this machine; set the variables"
                ) from None
            raise StepError(
                f"--lake: expected {self.url} to answer, found {_answer(error)}; "
                "check the store, then re-run the same command to resume"
            ) from None

    def _raise_if_no_bucket(self, error: Exception) -> None:
        if "NoSuchBucket" in str(error):
            bucket = self.url.removeprefix("s3://").partition("/")[0]
            raise StepError(
                f"--lake: expected the bucket {bucket}, found none of that name; create it first"
            ) from None


def _answer(error: Exception) -> str:
    """Return the reason in an error's text: the store's code if it has one, else its last clause."""
    text = str(error)
    code = re.search(r"<Code>([^<]{1,80})</Code>", text)
    if code:
        return code[1]
    reason = " ".join(text.split("Debug source")[0].split()).rpartition(" - ")[2]
    return reason[:_MAX_ANSWER_CHARACTERS].strip() or type(error).__name__


@dataclass(frozen=True)
class ParquetObject:
    """A Parquet file in the store; `jobs.lake.parquet.StoredFile`."""

    store: ObjectStore
    key: str
    size: int

    @property
    def name(self) -> str:
        """The file's name without folders."""
        return self.key.rpartition("/")[2]

    def open(self) -> pa.NativeFile:
        """Open it for random reads, each of which is one request."""
        return pa.PythonFile(_RangeReader(self), mode="r")


class _RangeReader(io.RawIOBase):
    """Reads ranges of an object whose size is known."""

    def __init__(self, file: ParquetObject) -> None:
        self._file = file
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._file.size}[whence]
        self._position = start + offset
        return self._position

    def read(self, size: int = -1) -> Any:
        end = self._file.size if size < 0 else min(self._file.size, self._position + size)
        if end <= self._position:
            return b""
        data = self._file.store.get_range(self._file.key, self._position, end)
        self._position = end
        return data


@contextmanager
def upload(store: ObjectStore, key: str, uploaded: list[ParquetObject]) -> Iterator[BinaryIO]:
    """Yield a temporary file; put it into the store at the end, and add it to `uploaded`."""
    with tempfile.TemporaryFile() as file:
        yield cast(BinaryIO, file)
        size = file.seek(0, 2)
        file.seek(0)
        store.put(key, cast(BinaryIO, file))
    uploaded.append(ParquetObject(store, key, size))
