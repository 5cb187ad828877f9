"""What a laptop has instead of servers: a program of Java over a folder of the lake, in a JVM of its own.

One server per folder, used by every process of this machine that asks, stopped by the last to leave. Four small files
see to it, here for the program `mongo` (`local.py`); `kafka` is in `broker.py`:

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
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import py4j.java_gateway
from filelock import FileLock, Timeout
from py4j.java_gateway import GatewayParameters, JavaGateway
from py4j.protocol import Py4JError, Py4JJavaError

from jobs import paths
from jobs.errors import StepError
from jobs.runtime import jars, java

log = logging.getLogger("segue")

# Seconds: a start takes 1.5 on an idle machine, Kafka's 4; a stop 0.1, Kafka's 1; an answer milliseconds.
START_LIMIT_S, _STOP_LIMIT_S, ANSWER_LIMIT_S = 60, 10, 5

# Seconds between two looks at the server by who keeps it up.
_POLL_INTERVAL_S = 10


@dataclass(frozen=True)
class EmbeddedServer:
    """A server that Java runs: its short name and the one in messages, its jars, what it is started with and asked."""

    name: str
    title: str
    jars: str
    options: Callable[[Path], list[str]]
    # Starts the server over the folder in the JVM of the gateway, and returns its address.
    serve: Callable[[JavaGateway, Path], str]
    # Tells whether the server at an address does its work; an open port is not enough.
    answers: Callable[[str], bool]

    def process_marker(self, data: Path) -> str:
        """Return the word of the command line that tells whose JVM it is."""
        return f"-Dsegue.{self.name}={data.absolute()}"

    def file(self, data: Path, kind: str) -> Path:
        """Return one of the program's files: lock, users, alive, json or log."""
        return data / f"{self.name}.{kind}"


@contextmanager
def connect_or_start(program: EmbeddedServer, data: Path) -> Iterator[str]:
    """Give the address of the server over `data`: the one that runs, or one started now."""
    paths.make_private_dir(data)
    lock = program.file(data, "lock")
    try:
        with FileLock(lock, timeout=START_LIMIT_S + _STOP_LIMIT_S):
            stay = _join(program, data) or _start(program, data)
    except Timeout as error:
        raise StepError(
            f"{data}: expected the embedded {program.title} to start, found another process starting or stopping it for "
            f"{START_LIMIT_S + _STOP_LIMIT_S} s; see who holds {lock} and run the command again"
        ) from error
    try:
        yield stay.address
    finally:
        stay.release()


class _Lease:
    """One user's hold on a server: the pipe's end, which keeps it alive, and a share of the users' file."""

    def __init__(self, program: EmbeddedServer, data: Path) -> None:
        self.program, self.data, self.address, self.pid = program, data, "", 0
        # ENXIO where nobody reads: no server.
        self._pipe = os.open(program.file(data, "alive"), os.O_WRONLY | os.O_NONBLOCK)
        self._users = os.open(program.file(data, "users"), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._users, fcntl.LOCK_SH)

    def close(self) -> None:
        os.close(self._pipe)
        os.close(self._users)

    def is_last(self) -> bool:
        """Tell whether nobody else is inside; asked while the lock is held, so that nobody comes meanwhile."""
        try:
            fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            fcntl.flock(self._users, fcntl.LOCK_SH)  # a try that fails has let go of it
        return True

    def release(self) -> None:
        """Let go; the last one stops the server, and waits, so that the next does not meet it half dead."""
        lock = FileLock(self.program.file(self.data, "lock"), timeout=_STOP_LIMIT_S)
        with suppress(Timeout), lock:
            if self.is_last():
                self.stop()
        self.close()

    def stop(self) -> None:
        """End the server: by a line on its stdin, else by a signal, once the process is known to be the server."""
        with suppress(BrokenPipeError):
            os.write(self._pipe, b"\n")
        if not self._gone(_STOP_LIMIT_S):
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(self.pid)
                if self.program.process_marker(self.data) in process.cmdline():
                    process.kill()
            self._gone(_STOP_LIMIT_S)
        self.program.file(self.data, "json").unlink(missing_ok=True)

    def _gone(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._pipe, 0)  # nothing but the error that a pipe without a reader has
        return bool(poll.poll(seconds * 1000))


def read_state(program: EmbeddedServer, data: Path) -> tuple[str, int] | None:
    """Return address and process id as the server's state file has them; None where there is no such file."""
    try:
        found = json.loads(program.file(data, "json").read_text())
        return str(found["uri"]), int(found["pid"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def is_running(program: EmbeddedServer, data: Path) -> bool:
    """Tell whether the process of the state file lives, without asking the server."""
    found = read_state(program, data)
    with suppress(psutil.NoSuchProcess):
        return found is not None and psutil.Process(found[1]).status() != psutil.STATUS_ZOMBIE
    return False


def _join(program: EmbeddedServer, data: Path) -> _Lease | None:
    """Hold on to the server that runs, if one runs; one that does not answer is ended, and one that nobody held until now.

    That one has seen the pipe's end, or may have: it still answers while it ends, and would forget what it is told.
    """
    found = read_state(program, data)
    if found is None:
        return None
    try:
        stay = _Lease(program, data)
    except OSError:
        return None
    stay.address, stay.pid = found
    alone = stay.is_last()
    if not alone and program.answers(stay.address):
        return stay
    if not alone:
        log.warning(
            "%s: the embedded %s (process %d) does not answer: starting it again",
            data,
            program.title,
            stay.pid,
        )
    stay.stop()
    stay.close()
    return None


def _start(program: EmbeddedServer, data: Path) -> _Lease:
    """Start a JVM on the pipe and the server in it; every wait is bounded."""
    deadline = time.monotonic() + START_LIMIT_S
    pipe = program.file(data, "alive")
    if not pipe.is_fifo():
        os.mkfifo(pipe, 0o600)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        os.read(reader, 4096)  # a line that the server before this one was too far gone to read
    os.set_blocking(reader, True)
    stay = _Lease(program, data)
    try:
        process = _launch(program, data, reader)
    except BaseException:
        stay.close()
        raise
    finally:
        os.close(reader)
    try:
        port, token = (_line(process, deadline) for _ in range(2))
        if not port.isdigit():
            raise ValueError(f"Java saying: {port}: {token}")
        stay.pid, stay.address = process.pid, _serve(program, data, int(port), token, deadline)
        if not program.answers(stay.address):
            raise ValueError("no answer to a query")
        _write(program.file(data, "json"), json.dumps({"uri": stay.address, "pid": stay.pid}))
    except BaseException as error:
        process.kill()
        process.wait()
        stay.close()
        if isinstance(error, ValueError | OSError | Py4JError):
            raise StepError(_failure(program, data, error)) from error
        raise
    return stay


def _launch(program: EmbeddedServer, data: Path, stdin: int) -> "subprocess.Popen[bytes]":
    paths = [py4j.java_gateway.find_jar_path(), *map(str, jars.jar_files(program.jars))]
    command = [str(java.java_home() / "bin" / "java"), *program.options(data), program.process_marker(data)]
    command += [
        "-cp",
        os.pathsep.join(paths),
        "py4j.GatewayServer",
        "--die-on-broken-pipe",
        "--enable-auth",
        "0",
    ]
    with program.file(data, "log").open("wb") as log_file:
        # A session of its own: Ctrl-C is for the command, which stops the server when it is done with it.
        return subprocess.Popen(
            command, stdin=stdin, stdout=subprocess.PIPE, stderr=log_file, start_new_session=True
        )


def _line(process: "subprocess.Popen[bytes]", deadline: float) -> str:
    """Read one line of what the JVM says at its start: the gateway's port, then its token."""
    assert process.stdout is not None
    line = b""
    while not line.endswith(b"\n"):
        if not select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise ValueError(f"nothing after {START_LIMIT_S} s")
        read = os.read(process.stdout.fileno(), 1)
        if not read:
            raise ValueError("that Java has ended")
        line += read
    return line.decode().strip()


def _serve(program: EmbeddedServer, data: Path, gateway_port: int, token: str, deadline: float) -> str:
    """Start the server through py4j; return its address. The gateway is closed for good after it."""
    parameters = GatewayParameters(
        address="127.0.0.1",
        port=gateway_port,
        auth_token=token,
        read_timeout=max(1.0, deadline - time.monotonic()),
    )
    gateway = JavaGateway(gateway_parameters=parameters)
    try:
        return program.serve(gateway, data)
    except Py4JJavaError as error:  # what it says is in Java, and gone with the gateway
        raise ValueError(str(error.java_exception)) from error
    finally:
        gateway.shutdown()


def add_shutdown_hook(jvm: Any, target: Any, method: str) -> None:
    """Have the JVM call a method when it ends, however it ends, but for a kill -9."""
    closing = jvm.java.beans.EventHandler.create(
        jvm.java.lang.Class.forName("java.lang.Runnable"), target, method
    )
    jvm.java.lang.Runtime.getRuntime().addShutdownHook(jvm.java.lang.Thread(closing))


def _write(path: Path, text: str) -> None:
    scratch = path.with_suffix(".new")
    scratch.write_text(text)
    scratch.chmod(0o600)
    scratch.replace(path)


def _failure(program: EmbeddedServer, data: Path, error: Exception) -> str:
    file = program.file(data, "log")
    lines = file.read_text(errors="replace").split("\n") if file.exists() else []
    said = " | ".join(line.strip() for line in lines if line.strip())[-600:] or "nothing"
    what = str(error).replace("\n", " ")[:300]
    return (
        f"{data}: expected the embedded {program.title} to start, found {what}; its log ({file}) ends: {said}"
    )


def serve_forever(program: EmbeddedServer, data: Path) -> None:
    """Hold on to the server over `data` until this process is told to end: what `segue up` runs."""
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    while not told.is_set():
        with connect_or_start(program, data) as address:
            log.info("%s", address)
            while not told.wait(_POLL_INTERVAL_S) and program.answers(address):
                pass
