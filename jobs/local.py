"""The embedded services: what a laptop has instead of servers.

`mongo` runs mongo-java-server, which speaks MongoDB's protocol, in a JVM of its own: one server per data directory,
used by every process of this machine that asks, stopped by the last to leave. Four small files see to it:

- `mongo.lock`: held while somebody comes or goes;
- `mongo.users`: locked, shared, by everyone inside, so that the last to leave knows;
- `mongo.alive`: a named pipe, the JVM's stdin. Everyone inside holds its other end open: when the last of them is gone,
  be it by kill -9, the JVM reads the pipe's end and exits;
- `mongo.json`: the address and the process id, believed only when the pipe has a reader and the server answers.
"""

import fcntl
import json
import logging
import os
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import py4j.java_gateway
import pymongo
from filelock import FileLock, Timeout
from py4j.java_gateway import GatewayParameters, JavaGateway
from py4j.protocol import Py4JError, Py4JJavaError
from pymongo.errors import PyMongoError

from jobs import java
from jobs.errors import StepError

log = logging.getLogger("segue")

# Seconds: a start takes 1.5 on an idle machine; a stop 0.1; an answer milliseconds.
_START_LIMIT_S, _STOP_LIMIT_S, _ANSWER_LIMIT_S = 60, 10, 5

_JAVA_OPTIONS = [
    # A find or a count without `_id` brings the whole collection to the heap: 60,000 tracks with their features (7 KB
    # each) need 1.7 GB for it. Less than a quarter of the memory would be a limit on the library, more would not do
    # beside Spark. What is not needed is not taken: 200 MB for a small library, with this collector.
    "-XX:MaxRAMPercentage=25",
    "-XX:+UseSerialGC",
    # Otherwise it lives on with its port open and answers no more.
    "-XX:+ExitOnOutOfMemoryError",
    # What the VM itself has to say belongs in the log: stdout is for the gateway's port and token.
    "-XX:+DisplayVMOutputToStderr",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
]

# Error codes of org.h2.mvstore.DataUtils that say nothing about the file's contents: writing failed, locked.
_NOT_DAMAGE = (2, 7)


@contextmanager
def mongo_at(uri: str | None, lake: Path) -> Iterator[str]:
    """Give the address of MongoDB: `uri`, or where it is None an embedded server's, with its data in the lake."""
    if uri is not None:
        yield uri
        return
    with mongo(lake / "mongo") as embedded:
        yield embedded


@contextmanager
def mongo(data: Path) -> Iterator[str]:
    """Give the address of the embedded server over `data`: the one that runs, or one started now."""
    data.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(data / "mongo.lock", timeout=_START_LIMIT_S + _STOP_LIMIT_S):
            stay = _join(data) or _start(data)
    except Timeout as error:
        raise StepError(
            f"{data}: expected the embedded MongoDB to start, found another process starting or stopping it for "
            f"{_START_LIMIT_S + _STOP_LIMIT_S} s; see who holds {data}/mongo.lock and run the command again"
        ) from error
    try:
        yield stay.uri
    finally:
        stay.leave()


class _Stay:
    """One user's hold on a server: the pipe's end, which keeps it alive, and a share of `mongo.users`."""

    def __init__(self, data: Path) -> None:
        self.data, self.uri, self.pid = data, "", 0
        # ENXIO where nobody reads: no server.
        self._pipe = os.open(data / "mongo.alive", os.O_WRONLY | os.O_NONBLOCK)
        self._users = os.open(data / "mongo.users", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._users, fcntl.LOCK_SH)

    def close(self) -> None:
        os.close(self._pipe)
        os.close(self._users)

    def leave(self) -> None:
        """Let go; the last one stops the server, and waits, so that the next does not meet it half dead."""
        with suppress(Timeout, BlockingIOError), FileLock(self.data / "mongo.lock", timeout=_STOP_LIMIT_S):
            fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.stop()
        self.close()

    def stop(self) -> None:
        """End the server: by a line on its stdin, else by a signal, once the process is known to be the server."""
        with suppress(BrokenPipeError):
            os.write(self._pipe, b"\n")
        if not self._gone(_STOP_LIMIT_S):
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(self.pid)
                if _mark(self.data) in process.cmdline():
                    process.kill()
            self._gone(_STOP_LIMIT_S)
        (self.data / "mongo.json").unlink(missing_ok=True)

    def _gone(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._pipe, 0)  # nothing but the error that a pipe without a reader has
        return bool(poll.poll(seconds * 1000))


def _mark(data: Path) -> str:
    return f"-Dsegue.mongo={data.absolute()}"


def _join(data: Path) -> _Stay | None:
    """Hold on to the server that runs, if one runs; one that does not answer is ended."""
    try:
        state = json.loads((data / "mongo.json").read_text())
        uri, pid = str(state["uri"]), int(state["pid"])
        stay = _Stay(data)
    except (OSError, ValueError, LookupError, TypeError):
        return None
    stay.uri, stay.pid = uri, pid
    if not _answers(stay.uri):
        log.warning("%s: the embedded MongoDB (process %d) does not answer: starting it again", data, stay.pid)
        stay.stop()
        stay.close()
        return None
    return stay


def _answers(uri: str) -> bool:
    """Ask for a document: a server out of memory keeps its port open and even answers a ping."""
    limit = _ANSWER_LIMIT_S * 1000
    try:
        with pymongo.MongoClient[dict[str, Any]](
            uri, serverSelectionTimeoutMS=limit, socketTimeoutMS=limit, connectTimeoutMS=limit
        ) as client:
            client.admin.command("ping")
            client.get_default_database()["settings"].find_one({"_id": "champion"})
    except PyMongoError:
        return False
    return True


def _start(data: Path) -> _Stay:
    """Start a JVM on the pipe, the store and the server in it; every wait is bounded."""
    deadline = time.monotonic() + _START_LIMIT_S
    pipe = data / "mongo.alive"
    if not pipe.is_fifo():
        os.mkfifo(pipe, 0o600)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        os.read(reader, 4096)  # a line that the server before this one was too far gone to read
    os.set_blocking(reader, True)
    stay = _Stay(data)
    try:
        process = _launch(data, reader)
    except BaseException:
        stay.close()
        raise
    finally:
        os.close(reader)
    try:
        port, token = (_line(process, deadline) for _ in range(2))
        if not port.isdigit():
            raise ValueError(f"Java saying: {port}: {token}")
        stay.pid, stay.uri = process.pid, f"mongodb://127.0.0.1:{_serve(data, int(port), token, deadline)}/segue"
        if not _answers(stay.uri):
            raise ValueError("no answer to a query")
        _write(data / "mongo.json", json.dumps({"uri": stay.uri, "pid": stay.pid}))
    except BaseException as error:
        process.kill()
        process.wait()
        stay.close()
        if isinstance(error, ValueError | OSError | Py4JError):
            raise StepError(_failure(data, error)) from error
        raise
    return stay


def _launch(data: Path, stdin: int) -> "subprocess.Popen[bytes]":
    paths = [py4j.java_gateway.find_jar_path(), *map(str, java.jars("mongo"))]
    command = [str(java.java_home() / "bin" / "java"), *_JAVA_OPTIONS, _mark(data), "-cp", os.pathsep.join(paths)]
    command += ["py4j.GatewayServer", "--die-on-broken-pipe", "--enable-auth", "0"]
    with (data / "mongo.log").open("wb") as log_file:
        # A session of its own: Ctrl-C is for the command, which stops the server when it is done with it.
        return subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=log_file, start_new_session=True)


def _line(process: "subprocess.Popen[bytes]", deadline: float) -> str:
    """Read one line of what the JVM says at its start: the gateway's port, then its token."""
    assert process.stdout is not None
    line = b""
    while not line.endswith(b"\n"):
        if not select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise ValueError(f"nothing after {_START_LIMIT_S} s")
        read = os.read(process.stdout.fileno(), 1)
        if not read:
            raise ValueError("that Java has ended")
        line += read
    return line.decode().strip()


def _serve(data: Path, gateway_port: int, token: str, deadline: float) -> int:
    """Open the store and bind the server through py4j; return the port. The gateway is closed for good after it."""
    parameters = GatewayParameters(
        address="127.0.0.1",
        port=gateway_port,
        auth_token=token,
        read_timeout=max(1.0, deadline - time.monotonic()),
    )
    gateway = JavaGateway(gateway_parameters=parameters)
    try:
        backend = _open(gateway.jvm, data / "segue.mv.db")
        server = gateway.jvm.de.bwaldvogel.mongo.MongoServer(backend)
        server.bind("127.0.0.1", 0)
        return int(server.getLocalAddress().getPort())
    except Py4JJavaError as error:  # what it says is in Java, and gone with the gateway
        raise ValueError(str(error.java_exception)) from error
    finally:
        gateway.shutdown()


def _open(jvm: Any, file: Path) -> Any:
    """Open the store; a damaged one is set aside, since all that it holds is in the lake."""
    try:
        return _backend(jvm, file)
    except Py4JJavaError as error:
        code = getattr(error.java_exception, "getErrorCode", lambda: 0)()
        if code in _NOT_DAMAGE or not os.access(file, os.R_OK | os.W_OK):
            raise
        number = 1 + len(list(file.parent.glob(f"{file.name}.damaged-*")))
        aside = file.with_name(f"{file.name}.damaged-{number}")
        file.rename(aside)
        log.warning("%s is damaged: it is now %s, and the store starts empty; publish again", file, aside.name)
        return _backend(jvm, file)


def _backend(jvm: Any, file: Path) -> Any:
    """Open a store that writes every document before it is acknowledged, and uses at once the space it frees.

    As H2 does by itself, kill -9 loses the last second of acknowledged writes, and the file is six times as large.
    """
    builder = getattr(jvm.org.h2.mvstore, "MVStore$Builder")
    store = builder().fileName(str(file)).autoCommitBufferSize(1).compress().open()
    store.setRetentionTime(0)
    # What is smaller than the buffer's least size, 1 KB (a deletion, a like), is written by the clock: every millisecond.
    store.setAutoCommitDelay(1)
    # However this JVM ends, but for a kill -9 of its own: what that millisecond held back is written.
    closing = jvm.java.beans.EventHandler.create(jvm.java.lang.Class.forName("java.lang.Runnable"), store, "close")
    jvm.java.lang.Runtime.getRuntime().addShutdownHook(jvm.java.lang.Thread(closing))
    try:
        return jvm.de.bwaldvogel.mongo.backend.h2.H2Backend(store)
    except Py4JJavaError:
        store.closeImmediately()
        raise


def _write(path: Path, text: str) -> None:
    scratch = path.with_suffix(".new")
    scratch.write_text(text)
    scratch.chmod(0o600)
    scratch.replace(path)


def _failure(data: Path, error: Exception) -> str:
    lines = (data / "mongo.log").read_text(errors="replace").split("\n")
    said = " | ".join(line.strip() for line in lines if line.strip())[-600:] or "nothing"
    what = str(error).replace("\n", " ")[:300]
    return f"{data}: expected the embedded MongoDB to start, found {what}; its log ({data}/mongo.log) ends: {said}"
