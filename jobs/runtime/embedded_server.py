"""A server that runs in a JVM over a folder of the lake, shared by all processes that need it.

There is one server per folder. The first process that needs it starts it, later ones connect, the last one
stops it:

                    start                    answers
    no server ───────────────▶ starting ───────────────▶ running ◀──┐ connect, release
        ▲                         │                         │  └────┘
        │      fails: kill        │                         │ the last process releases it, or all have died,
        ├─────────────────────────┘                         │ or it does not answer
        │                     JVM has ended                 ▼
        └────────────────────────────────────────────── stopping

Five files in the folder, here those of `mongo` (embedded_mongo.py; `kafka` is in embedded_kafka.py):

- `mongo.lock`: locked while a process connects, starts or releases;
- `mongo.users`: locked, shared, by every connected process, so that the last one knows that it is the last;
- `mongo.alive`: a named pipe, the JVM's stdin. Every connected process holds the write end open. When the
  last of them has gone, even by kill -9, the JVM reads the end of the pipe and exits;
- `mongo.json`: address and process id, valid only if the pipe has a reader and the server answers;
- `mongo.log`: stderr of the JVM.
"""

import errno
import fcntl
import json
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil
from filelock import FileLock, Timeout
from py4j.java_gateway import JavaGateway

from jobs import paths
from jobs.errors import StepError
from jobs.runtime import jars, jvm_gateway

log = logging.getLogger("segue")

# A start takes 1.5 s on an idle machine, Kafka's 4 s.
START_LIMIT_S = 60

# A stop takes 0.1 s, Kafka's 1 s.
_STOP_LIMIT_S = 10

# An answer takes milliseconds.
ANSWER_LIMIT_S = 5

# How often `serve_forever` asks the server.
_POLL_INTERVAL_S = 10

# Pause between two questions to a server that has just started.
_ANSWER_INTERVAL_S = 0.2

# Pause between two looks whether the JVM has ended.
_END_INTERVAL_S = 0.01


@dataclass(frozen=True, kw_only=True)
class EmbeddedServer:
    """A kind of server."""

    # Short name: prefix of its files.
    name: str
    # Name in messages.
    title: str
    # Group of `spark_conf/jars.lock`.
    jars: str
    # Java's options for a folder.
    options: Callable[[Path], list[str]]
    # Starts the server over the folder in the JVM of the gateway; returns its address.
    serve: Callable[[JavaGateway, Path], str]
    # Whether the server at an address does its work; an open port is not enough.
    is_answering: Callable[[str], bool]

    def process_marker(self, data: Path) -> str:
        """Return the argument on the JVM's command line that identifies the server of a folder."""
        return f"-Dsegue.{self.name}={data.absolute()}"

    def file(self, data: Path, suffix: str) -> Path:
        """Return one of the server's files: lock, users, alive, json or log."""
        return data / f"{self.name}.{suffix}"


class ServerState(NamedTuple):
    """The content of the state file."""

    address: str
    pid: int


@contextmanager
def connect_or_start(server: EmbeddedServer, data: Path) -> Iterator[str]:
    """Give the address of the server over `data`, which is started if it does not run.

    Raises
    ------
    StepError
        It does not start; the message has the end of its log.
    """
    paths.make_private_dir(data)
    lock = server.file(data, "lock")
    limit_s = START_LIMIT_S + _STOP_LIMIT_S
    try:
        with FileLock(lock, timeout=limit_s):
            lease = _connect(server, data) or _start(server, data)
    except Timeout as error:
        raise StepError(
            f"{data}: expected the embedded {server.title} to start, "
            f"found another process starting or stopping it for {limit_s} s; "
            f"find the process that holds {lock} and run the command again"
        ) from error
    try:
        yield lease.state.address
    finally:
        lease.release()


class _Lease:
    """One process's connection to a server: the pipe's write end, and a shared lock on the users' file."""

    def __init__(self, server: EmbeddedServer, data: Path) -> None:
        """Open both. OSError (ENXIO) if the pipe has no reader: there is no server."""
        self.state = ServerState("", 0)
        self._server = server
        self._data = data
        self._pipe = os.open(server.file(data, "alive"), os.O_WRONLY | os.O_NONBLOCK)
        self._users = os.open(server.file(data, "users"), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._users, fcntl.LOCK_SH)

    def close(self) -> None:
        os.close(self._pipe)
        os.close(self._users)

    def is_last(self) -> bool:
        """Return whether no other process is connected.

        The caller holds the lock, so that none connects meanwhile.
        """
        try:
            fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            fcntl.flock(self._users, fcntl.LOCK_SH)  # a failed attempt has released the shared lock
        return True

    def release(self) -> None:
        """Disconnect.

        The last process stops the server and waits, so that the next one does not meet it half dead.
        """
        lock = FileLock(self._server.file(self._data, "lock"), timeout=_STOP_LIMIT_S)
        with suppress(Timeout), lock:
            if self.is_last():
                self.stop()
        self.close()

    def stop(self) -> None:
        """Stop the server.

        By a line on its stdin, then by SIGKILL if the process id is still that of the server.
        """
        with suppress(BrokenPipeError):
            os.write(self._pipe, b"\n")
        if not self._wait_until_gone(_STOP_LIMIT_S):
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(self.state.pid)
                if self._server.process_marker(self._data) in process.cmdline():
                    process.kill()
            self._wait_until_gone(_STOP_LIMIT_S)
        self._server.file(self._data, "json").unlink(missing_ok=True)

    def _wait_until_gone(self, seconds: float) -> bool:
        """Wait until the pipe has no reader, that is, the JVM has ended.

        Return whether that happened in time.
        """
        deadline = time.monotonic() + seconds
        while self._has_reader():
            if time.monotonic() > deadline:
                return False
            time.sleep(_END_INTERVAL_S)
        return True

    def _has_reader(self) -> bool:
        """Return whether the JVM holds the pipe; to open it is what every POSIX system answers alike."""
        try:
            os.close(os.open(self._server.file(self._data, "alive"), os.O_WRONLY | os.O_NONBLOCK))
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return False
        return True


def read_state(server: EmbeddedServer, data: Path) -> ServerState | None:
    """Return address and process id from the state file, or None if there is none."""
    try:
        state = json.loads(server.file(data, "json").read_text())
        return ServerState(str(state["uri"]), int(state["pid"]))
    except (OSError, ValueError, LookupError, TypeError):
        return None


def is_running(server: EmbeddedServer, data: Path) -> bool:
    """Return whether the process of the state file lives, without asking the server."""
    state = read_state(server, data)
    with suppress(psutil.NoSuchProcess):
        return state is not None and psutil.Process(state.pid).status() != psutil.STATUS_ZOMBIE
    return False


def _connect(server: EmbeddedServer, data: Path) -> _Lease | None:
    """Connect to the running server; None if there is none.

    A server that does not answer is stopped. So is one that no process was connected to: it may have read the
    end of the pipe, and then still answers while it shuts down, and loses what is written to it.
    """
    state = read_state(server, data)
    if state is None:
        return None
    try:
        lease = _Lease(server, data)
    except OSError:
        return None
    lease.state = state
    abandoned = lease.is_last()
    if not abandoned and server.is_answering(state.address):
        return lease
    if not abandoned:
        message = "%s: the embedded %s (process %d) does not answer: restarting it"
        log.warning(message, data, server.title, state.pid)
    lease.stop()
    lease.close()
    return None


def _start(server: EmbeddedServer, data: Path) -> _Lease:
    """Start a JVM on the pipe and the server in it; every wait is bounded."""
    reader = _open_pipe(server, data)
    lease = _Lease(server, data)
    try:
        process = jvm_gateway.launch(
            [*server.options(data), server.process_marker(data)],
            jars.jar_files(server.jars),
            stdin=reader,
            log_file=server.file(data, "log"),
        )
    except BaseException:
        lease.close()
        raise
    finally:
        os.close(reader)
    try:
        lease.state = _configure(server, data, process)
    except BaseException as error:
        process.kill()
        process.wait()
        lease.close()
        if isinstance(error, jvm_gateway.JvmError | OSError | ValueError):
            raise StepError(_failure(server, data, error)) from error
        raise
    return lease


def _open_pipe(server: EmbeddedServer, data: Path) -> int:
    """Create the pipe if need be; return its read end, emptied.

    A killed server may have left a line unread.
    """
    pipe = server.file(data, "alive")
    if not pipe.is_fifo():
        os.mkfifo(pipe, 0o600)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        os.read(reader, 4096)
    os.set_blocking(reader, True)
    return reader


def _configure(server: EmbeddedServer, data: Path, process: "subprocess.Popen[bytes]") -> ServerState:
    """Start the server in the JVM, check that it answers, write the state file."""
    deadline = time.monotonic() + START_LIMIT_S
    address = jvm_gateway.configure(
        process, lambda gateway: server.serve(gateway, data), limit_s=START_LIMIT_S
    )
    while not server.is_answering(address):  # a first query can take seconds on a machine under load
        if process.poll() is not None or time.monotonic() > deadline:
            raise jvm_gateway.JvmError("no answer to a query")
        time.sleep(_ANSWER_INTERVAL_S)
    state = json.dumps({"uri": address, "pid": process.pid})
    paths.atomic_write(server.file(data, "json"), state, mode=0o600, fsync=False)
    return ServerState(address, process.pid)


def _failure(server: EmbeddedServer, data: Path, error: Exception) -> str:
    """Return the error message for a failed start, with the end of the JVM's log."""
    file = server.file(data, "log")
    lines = file.read_text(errors="replace").split("\n") if file.exists() else []
    log_end = " | ".join(line.strip() for line in lines if line.strip())[-600:] or "nothing"
    found = str(error).replace("\n", " ")[:300]
    expected = f"expected the embedded {server.title} to start"
    return f"{data}: {expected}, found {found}; its log ({file}) ends: {log_end}"


def serve_forever(server: EmbeddedServer, data: Path) -> None:
    """Keep the server over `data` running until SIGTERM or SIGINT: what `segue up` starts."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.is_set():
        with connect_or_start(server, data) as address:
            log.info("%s", address)
            while not stop.wait(_POLL_INTERVAL_S) and server.is_answering(address):
                pass
