"""A JVM that Python starts and configures through py4j: its start-up protocol on stdout, and shutdown hooks.

py4j's GatewayServer prints two lines, its port and its token; `configure` connects with them, calls the
function that starts a server in the JVM, and closes the gateway for good.
"""

import os
import select
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import py4j.java_gateway
from py4j.java_gateway import GatewayParameters, JavaGateway
from py4j.protocol import Py4JError, Py4JJavaError

from jobs.runtime import java

T = TypeVar("T")


class JvmError(Exception):
    """The JVM, or the server in it, did not start; the message continues "expected …, found"."""


def launch(options: list[str], jars: list[Path], *, stdin: int, log_file: Path) -> "subprocess.Popen[bytes]":
    """Start a JVM with a gateway; its stderr goes to `log_file`."""
    class_path = [py4j.java_gateway.find_jar_path(), *(str(jar) for jar in jars)]
    command = [
        str(java.java_home() / "bin" / "java"),
        *options,
        *("-cp", os.pathsep.join(class_path)),
        *("py4j.GatewayServer", "--die-on-broken-pipe", "--enable-auth", "0"),
    ]
    with log_file.open("wb") as log:
        # In a session of its own: Ctrl-C is for the command, which stops the server when it no longer needs
        # it.
        return subprocess.Popen(
            command, stdin=stdin, stdout=subprocess.PIPE, stderr=log, start_new_session=True
        )


def configure(process: "subprocess.Popen[bytes]", call: Callable[[JavaGateway], T], *, limit_s: float) -> T:
    """Wait for the gateway of a JVM, run `call` with it, close it; return what `call` returned.

    Raises
    ------
    JvmError
        The JVM ends, prints something else, throws, or takes longer than `limit_s` seconds.
    """
    deadline = time.monotonic() + limit_s
    port = _read_line(process, deadline, limit_s)
    token = _read_line(process, deadline, limit_s)
    if not port.isdigit():
        raise JvmError(f"Java printing: {port}: {token}")
    parameters = GatewayParameters(
        address="127.0.0.1",
        port=int(port),
        auth_token=token,
        read_timeout=max(1.0, deadline - time.monotonic()),
    )
    gateway = JavaGateway(gateway_parameters=parameters)
    try:
        return call(gateway)
    except Py4JJavaError as error:  # its message is in the JVM and must be read while the gateway is open
        raise JvmError(str(error.java_exception)) from error
    except Py4JError as error:
        raise JvmError(str(error)) from error
    finally:
        gateway.shutdown()


def _read_line(process: "subprocess.Popen[bytes]", deadline: float, limit_s: float) -> str:
    """Read one line of the JVM's stdout; JvmError at the deadline, or if the JVM ends before."""
    assert process.stdout is not None
    line = b""
    while not line.endswith(b"\n"):
        if not select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise JvmError(f"nothing after {limit_s} s")
        character = os.read(process.stdout.fileno(), 1)
        if not character:
            raise JvmError("that Java has ended")
        line += character
    return line.decode().strip()


def add_shutdown_hook(jvm: Any, target: Any, method: str) -> None:
    """Have the JVM call a method of a Java object when it ends, in whatever way but kill -9."""
    runnable = jvm.java.lang.Class.forName("java.lang.Runnable")
    hook = jvm.java.beans.EventHandler.create(runnable, target, method)
    jvm.java.lang.Runtime.getRuntime().addShutdownHook(jvm.java.lang.Thread(hook))
