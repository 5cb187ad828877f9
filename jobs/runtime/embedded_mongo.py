"""The embedded MongoDB: mongo-java-server, which speaks MongoDB's protocol, with its data in the lake (see `embedded.py`)."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymongo
from py4j.java_gateway import JavaGateway
from py4j.protocol import Py4JJavaError
from pymongo.errors import PyMongoError

from jobs.runtime import embedded_server

log = logging.getLogger("segue")

_JAVA_OPTIONS = [
    # A find or a count without `_id` brings the whole collection to the heap: 60,000 tracks with their features (7 KB
    # each) need 1.7 GB for it. Less than a quarter of the memory would be a limit on the library, more would not do
    # beside Spark. What is not needed is not taken: 200 MB for a small library, with this collector.
    "-XX:MaxRAMPercentage=25",
    # A VM begins with a 64th of the machine's memory, and fills it with garbage before it looks.
    "-Xms64m",
    "-XX:+UseSerialGC",
    # Otherwise it lives on with its port open and answers no more.
    "-XX:+ExitOnOutOfMemoryError",
    # What the VM itself has to say belongs in the log: stdout is for the gateway's port and token.
    "-XX:+DisplayVMOutputToStderr",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
]

# Documents are written together: after so many milliseconds, or KiB.
_COMMIT_MS, _BUFFER_KB = 10, 1_024

# Bytes of a page. A document that comes alone rewrites its page: with H2's own 16 KB a play takes the stream a fifth longer.
_PAGE = 4_096

# Milliseconds for which the file keeps what has been replaced. With H2's own 45,000 it is six times as large.
_RETENTION_MS = 10_000

# Percent of the file that is valid, below which the store moves what is. With H2's own 90 it writes some nine bytes for each
# one that is replaced, as long as anything is: with a million listeners it is not done with that (docs/growth.md).
_FILL = 50

# States of the store, at most one each _COMMIT_MS, that a find over a whole collection can outlast: it reads what was there
# when it began, while what has been replaced is cleared away behind it ("Chunk not found", with H2's own 5 after 50 ms).
_STATES = 400

# Error codes of org.h2.mvstore.DataUtils that say nothing about the file's contents: writing failed, locked.
_NOT_DAMAGE = (2, 7)


@contextmanager
def mongo_uri(uri: str | None, lake: Path) -> Iterator[str]:
    """Give the address of MongoDB: `uri`, or where it is None an embedded server's, with its data in the lake."""
    if uri is not None:
        yield uri
        return
    with embedded_mongo(lake / "mongo") as embedded_uri:
        yield embedded_uri


@contextmanager
def embedded_mongo(data: Path) -> Iterator[str]:
    """Give the address of the embedded server over `data`: the one that runs, or one started now."""
    with embedded_server.connect_or_start(MONGO, data) as uri:
        yield uri


def _answers(uri: str) -> bool:
    """Ask for a document: a server out of memory keeps its port open and even answers a ping."""
    limit = embedded_server.ANSWER_LIMIT_S * 1000
    try:
        with pymongo.MongoClient[dict[str, Any]](
            uri, serverSelectionTimeoutMS=limit, socketTimeoutMS=limit, connectTimeoutMS=limit
        ) as client:
            client.admin.command("ping")
            client.get_default_database()["state"].find_one({"_id": "champion"})
    except PyMongoError:
        return False
    return True


def _serve(gateway: JavaGateway, data: Path) -> str:
    """Open the store and bind the server; return its address."""
    backend = _open(gateway.jvm, data / "segue.mv.db")
    server = gateway.jvm.de.bwaldvogel.mongo.MongoServer(backend)
    # What the last milliseconds held back is written, once nobody is served any more: what the store takes after that write
    # is acknowledged, and gone.
    embedded_server.add_shutdown_hook(gateway.jvm, server, "shutdownNow")
    server.bind("127.0.0.1", 0)
    return f"mongodb://127.0.0.1:{int(server.getLocalAddress().getPort())}/segue"


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
        log.warning(
            "%s is damaged: it is now %s, and the store starts empty; publish again", file, aside.name
        )
        return _backend(jvm, file)


def _backend(jvm: Any, file: Path) -> Any:
    """Open a store that a kill -9 takes back by some milliseconds at most, to a state that it was in.

    Everything in it follows from the lake, and who writes to it looks at the start whether it is there; a document
    written for itself would cost six times as much. As H2 does by itself, the last second of writes would be lost.
    """
    builder = getattr(jvm.org.h2.mvstore, "MVStore$Builder")
    settings = builder().fileName(str(file)).autoCommitBufferSize(_BUFFER_KB).pageSplitSize(_PAGE)
    store = settings.autoCompactFillRate(_FILL).compress().open()
    store.setRetentionTime(_RETENTION_MS)
    store.setVersionsToKeep(_STATES)
    store.setAutoCommitDelay(_COMMIT_MS)
    try:
        return jvm.de.bwaldvogel.mongo.backend.h2.H2Backend(store)
    except Py4JJavaError:
        store.closeImmediately()
        raise


MONGO = embedded_server.EmbeddedServer(
    "mongo", "MongoDB", "mongo", lambda data: _JAVA_OPTIONS, _serve, _answers
)


if __name__ == "__main__":
    embedded_server.serve_forever(MONGO, Path(sys.argv[1]))
