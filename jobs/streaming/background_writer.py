"""Writes to the store in a thread, while the next lists are ranked."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from jobs.online import mongo


class BackgroundWriter:
    """Writes to the store, one write after the other, in a thread.

    The store works while the next lists are ranked. With `fenced` no stored document is replaced by an older
    one (`mongo.upsert_fenced`).
    """

    def __init__(self, *, fenced: bool = False) -> None:
        self.seconds = 0.0
        self._fenced = fenced
        self._has_failed = False
        self._pool = ThreadPoolExecutor(1, "store")
        self._writes: list[Future[None]] = []

    def upsert(self, collection: Any, documents: Iterable[mongo.Document], field: str) -> None:
        """Queue an upsert behind the writes before it; a document is older if its `field` is smaller."""
        write = partial(mongo.upsert_fenced, field=field) if self._fenced else mongo.upsert
        self._writes.append(self._pool.submit(self._write, write, collection, documents))

    def _write(
        self, write: Callable[[Any, Any], int], collection: Any, documents: Iterable[mongo.Document]
    ) -> None:
        if self._has_failed:
            return
        started = time.monotonic()
        self._has_failed = True  # until the write has succeeded
        write(collection, documents)
        self._has_failed = False
        self.seconds += time.monotonic() - started

    def __enter__(self) -> "BackgroundWriter":
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for every write.

        Raises what the first failed write raised; the writes after it were left out.
        """
        try:
            for write in self._writes:
                write.result()
        finally:
            self._pool.shutdown(cancel_futures=True)
