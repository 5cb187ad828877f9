"""One writer at a time for a lake in an object store: the object `lease.json`, put and renewed conditionally.

No clocks are compared. Whoever finds another's lease watches it: renewed meanwhile, it is in use; not
renewed for `TERM_S` seconds, it was left by a process that is dead or cut off, and is taken. A process
whose lease was taken learns it at its next renewal, and cannot commit: `check` is called before a pointer
is switched, by a put that is conditional itself.
"""

import json
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock

from jobs.errors import StepError
from jobs.lake.object_store import ConflictError, ObjectStore
from jobs.paths import atomic_write

_KEY = "lease.json"

# A lease holds so long after its last renewal, and is renewed so often.
TERM_S = 30.0
_RENEWAL_S = TERM_S / 3
# How often a lease of another holder is looked at.
_WATCH_S = 1.0


class Lease:
    """The lease of the lake in `store`, for processes that share the folder `root` on this machine."""

    def __init__(self, store: ObjectStore, root: Path) -> None:
        self._store = store
        self._root = root
        self._etag: str | None = None  # None: not held
        self._renewed_at = 0.0
        self._lost = False
        self._mutex = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lease during the block, renewed by a thread.

        Raises StepError if another process holds it. A lease that a killed process with the same folder has
        left is taken at once: the kernel has released that process's lock of the folder.
        """
        lock = filelock.FileLock(self._root / ".lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise self._busy("this machine") from None
        stop = threading.Event()
        renewal = threading.Thread(target=self._renew_until, args=(stop,), name="lease", daemon=True)
        try:
            self._acquire()
            renewal.start()
            try:
                yield
            finally:
                stop.set()
                renewal.join()
                self._release()
        finally:
            lock.release()

    def check(self) -> None:
        """Raise StepError if this process held the lease and has lost it."""
        with self._mutex:
            if self._etag is not None and time.monotonic() - self._renewed_at > _RENEWAL_S:
                self._renew()
            if self._lost:
                raise StepError(
                    f"expected to hold {self._store.url}/{_KEY} until the end, found it taken after "
                    f"{TERM_S:.0f} s without a renewal; re-run the same command to resume"
                )

    def _acquire(self) -> None:
        """Take the lease if it is free, left, or ours from a killed process."""
        self._lost = False
        found = self._store.get(_KEY)
        holder = _holder(found[0]) if found else None
        if found is not None and holder not in (None, self._own_id()):
            self._watch(found[1], str(holder))
        try:
            self._put(found[1] if found else None, self._own_id())
        except ConflictError:
            raise self._busy("another one that was first") from None

    def _watch(self, etag: str, holder: str) -> None:
        """Return once the lease was not renewed for its term; StepError as soon as it is."""
        began = time.monotonic()
        while time.monotonic() - began < TERM_S:
            time.sleep(_WATCH_S)
            found = self._store.get(_KEY)
            if found is None or found[1] != etag:
                raise self._busy(holder.partition("@")[2])

    def _renew_until(self, stop: threading.Event) -> None:
        while not stop.wait(_RENEWAL_S):
            with self._mutex:
                self._renew()

    def _renew(self) -> None:
        """Renew the lease; what fails is tried again until its term is over."""
        try:
            self._put(self._etag, self._own_id())
        except ConflictError:
            self._lost = True
        except StepError:
            self._lost = self._lost or time.monotonic() - self._renewed_at > TERM_S

    def _release(self) -> None:
        """Free the lease if it is still ours; one that cannot be freed expires."""
        with suppress(ConflictError, StepError):
            if not self._lost:
                self._put(self._etag, None)
        self._etag = None

    def _put(self, etag: str | None, holder: str | None) -> None:
        asked_at = time.monotonic()
        # The nonce makes every content, and so every ETag, another one.
        content = json.dumps({"holder": holder, "nonce": secrets.token_hex(8)}).encode()
        self._etag = self._store.put_if(_KEY, content, etag)
        self._renewed_at = asked_at

    def _own_id(self) -> str:
        """Return this folder's id, made on first use, and this machine's name."""
        file = self._root / ".lease_id"
        if not file.exists():
            atomic_write(file, secrets.token_hex(8))
        return f"{file.read_text()}@{socket.gethostname()}"

    def _busy(self, where: str) -> StepError:
        return StepError(
            f"expected the lake {self._store.url} to be free, found another segue at work in it ({where}); "
            "wait for it or stop it"
        )


def _holder(content: bytes) -> str | None:
    """Return who holds a lease, None if it was freed."""
    document: dict[str, Any] = json.loads(content)
    holder: str | None = document["holder"]
    return holder
