"""A stand-in for MongoDB in measurements: its protocol, documents in memory, a set delay of each answer.

    python -m tests.bench.store_stand_in [--delay-ms 1]

It prints its address. Only what `jobs/online/mongo.py` sends is understood: documents by `_id`, bulks, the
condition of `upsert_fenced`, and `$set` of dotted names. A document is neither parsed below its first level
nor written anywhere, so that it takes little CPU time.
"""

import argparse
import asyncio
import struct
from collections.abc import Callable
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument

_OP_MSG = 2013
_OP_QUERY = 2004  # only the driver's first greeting
_HEADER = struct.Struct("<iiii")
_DUPLICATE_KEY = 11000
_HELLO = {
    "ismaster": True,
    "helloOk": True,
    "maxBsonObjectSize": 16 << 20,
    "maxMessageSizeBytes": 48_000_000,
    "maxWriteBatchSize": 100_000,
    "minWireVersion": 0,
    "maxWireVersion": 17,
    "readOnly": False,
    "ok": 1.0,
}

Document = dict[str, Any]


class Store:
    """Collections of documents by `_id`."""

    def __init__(self) -> None:
        self.collections: dict[str, dict[Any, Any]] = {}

    def answer(self, command: Document, documents: list[RawBSONDocument]) -> Document:
        """Return the answer to a command; `documents` are those of its bulk."""
        name = next(iter(command))
        handler: Callable[..., Document] = getattr(self, f"_{name.lower()}", self._other)
        return handler(command, documents)

    def _other(self, command: Document, documents: list[RawBSONDocument]) -> Document:
        return _HELLO  # hello, ping, endSessions

    def _find(self, command: Document, documents: list[RawBSONDocument]) -> Document:
        collection = self.collections.get(command["find"], {})
        wanted = command.get("filter", {}).get("_id")
        if isinstance(wanted, dict):
            found = [collection[key] for key in wanted["$in"] if key in collection]
        elif wanted is None:
            found = list(collection.values())
        else:
            found = [collection[wanted]] if wanted in collection else []
        cursor = {"firstBatch": found, "id": bson.Int64(0), "ns": f"segue.{command['find']}"}
        return {"cursor": cursor, "ok": 1.0}

    def _count(self, command: Document, documents: list[RawBSONDocument]) -> Document:
        return {"n": len(self.collections.get(command["count"], {})), "ok": 1.0}

    def _insert(self, command: Document, documents: list[RawBSONDocument]) -> Document:
        collection = self.collections.setdefault(command["insert"], {})
        errors = []
        for index, document in enumerate(documents):
            if document["_id"] in collection:
                errors.append({"index": index, "code": _DUPLICATE_KEY, "errmsg": "E11000"})
            else:
                collection[document["_id"]] = document
        return {"n": len(documents) - len(errors), "ok": 1.0, **({"writeErrors": errors} if errors else {})}

    def _update(self, command: Document, documents: list[RawBSONDocument]) -> Document:
        collection = self.collections.setdefault(command["update"], {})
        errors = []
        for index, update in enumerate(documents):
            key, *conditions = update["q"].items()
            stored = collection.get(key[1])
            if "$set" in update["u"]:
                collection[key[1]] = _set(stored, bson.decode(update["u"].raw)["$set"])
            elif stored is not None and any(stored.get(f, 0) > each["$not"]["$gt"] for f, each in conditions):
                errors.append({"index": index, "code": _DUPLICATE_KEY, "errmsg": "E11000"})
            else:
                collection[key[1]] = update["u"]
        count = len(documents) - len(errors)
        return {"n": count, "nModified": count, "ok": 1.0, **({"writeErrors": errors} if errors else {})}


def _set(stored: Any, changes: Document) -> RawBSONDocument:
    document: Document = bson.decode(stored.raw) if stored is not None else {}
    for name, value in changes.items():
        *parents, last = name.split(".", 1)
        target = document.setdefault(parents[0], {}) if parents else document
        target[last] = value
    return RawBSONDocument(bson.encode(document))


def _parse(body: bytes) -> tuple[Document, list[RawBSONDocument]]:
    """Return the command of an OP_MSG and the documents of its bulk."""
    command: Document = {}
    documents: list[RawBSONDocument] = []
    at = 4  # after the flags
    while at < len(body):
        kind = body[at]
        size = int.from_bytes(body[at + 1 : at + 5], "little")
        section = body[at + 1 : at + 1 + size]
        at += 1 + size
        if kind == 0:
            command = bson.decode(section)
            continue
        place = section.index(0, 4) + 1  # after the name of the sequence
        while place < size:
            length = int.from_bytes(section[place : place + 4], "little")
            documents.append(RawBSONDocument(section[place : place + length]))
            place += length
    for name in ("documents", "updates"):
        documents += [RawBSONDocument(bson.encode(each)) for each in command.get(name, ())]
    return command, documents


async def _serve(store: Store, delay_s: float, reader: asyncio.StreamReader, writer: Any) -> None:
    try:
        while True:
            length, request, _, code = _HEADER.unpack(await reader.readexactly(_HEADER.size))
            body = await reader.readexactly(length - _HEADER.size)
            if code == _OP_QUERY:
                answer = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(_HELLO)
            else:
                answer = bytes(5) + bson.encode(store.answer(*_parse(body)))
                await asyncio.sleep(delay_s)
            kind = 1 if code == _OP_QUERY else _OP_MSG
            writer.write(_HEADER.pack(_HEADER.size + len(answer), 0, request, kind) + answer)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--delay-ms", type=float, default=1.0, help="delay of each answer (default 1)")
    delay_s = parser.parse_args().delay_ms / 1000
    store = Store()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _serve(store, delay_s, reader, writer)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=64 << 20)
    print(f"mongodb://127.0.0.1:{server.sockets[0].getsockname()[1]}/segue", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
