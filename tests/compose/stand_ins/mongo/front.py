"""A mongod for the compose file: mongo-java-server behind a front that adds what production has.

    mongod --replSet NAME --keyFile FILE --bind_ip_all

The front adds SCRAM-SHA-256 for one user (MONGO_INITDB_ROOT_USERNAME and _PASSWORD), refuses every command of
a connection that has not logged in, answers as a replica set of one member, which is no primary before
`replSetInitiate`, and answers a repeated write of a session (retryable writes) without repeating it.
Everything else is passed on unchanged. tests/services/test_secured_mongo.py uses it with TLS.
"""

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import os
import secrets
import stat
import struct
import sys
from pathlib import Path
from typing import Any

import bson

from jobs.runtime import embedded_mongo

DATA = Path("/data/db")
PORT = 27017
SESSION_MINUTES = 30
OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
ITERATIONS = 15_000
WITHOUT_LOGIN = ("ping", "buildInfo", "buildinfo", "getParameter", "atlasVersion")

Document = dict[str, Any]


class ReplicaSet:
    """The configuration of one member, kept in a file."""

    def __init__(self, name: str, data: Path) -> None:
        self.name = name
        self._file = data / "replica-set.json"
        self.host: str | None = json.loads(self._file.read_text()) if self._file.exists() else None

    def initiate(self, config: Document) -> Document:
        """Become the primary of a set with this configuration."""
        if self.host is not None:
            return failure(23, "AlreadyInitialized", "already initialized")
        if config["_id"] != self.name or len(config["members"]) != 1:
            return failure(93, "InvalidReplicaSetConfig", "expected one member of the set of --replSet")
        self.host = config["members"][0]["host"]
        self._file.write_text(json.dumps(self.host))
        return {"ok": 1.0}

    def status(self) -> Document:
        """Answer replSetGetStatus."""
        if self.host is None:
            return failure(94, "NotYetInitialized", "no replset config has been received")
        member = {"_id": 0, "name": self.host, "health": 1.0, "state": 1, "stateStr": "PRIMARY", "self": True}
        return {"set": self.name, "myState": 1, "members": [member], "ok": 1.0}

    def hello(self, answer: Document) -> Document:
        """Add the set's fields to the server's answer to hello."""
        is_primary = self.host is not None
        answer.update({"ismaster": is_primary, "isWritablePrimary": is_primary, "secondary": False})
        answer["logicalSessionTimeoutMinutes"] = SESSION_MINUTES
        if self.host is None:
            return {**answer, "isreplicaset": True, "info": "Does not have a valid replica set config"}
        hosts = {"hosts": [self.host], "primary": self.host, "me": self.host}
        return {**answer, "setName": self.name, "setVersion": 1, **hosts}


class User:
    """The one user, with the salted password of SCRAM-SHA-256."""

    def __init__(self, name: str, password: str) -> None:
        self.name = name
        self.salt = secrets.token_bytes(28)
        self.salted = hashlib.pbkdf2_hmac("sha256", password.encode(), self.salt, ITERATIONS)


class Login:
    """SCRAM-SHA-256 (RFC 5802, RFC 7677) of one connection."""

    def __init__(self, user: User) -> None:
        self._user = user
        self._first = ""
        self._nonce = ""
        self.done = False

    def start(self, payload: bytes) -> Document:
        """Answer saslStart."""
        self._first = payload.decode().removeprefix("n,,")
        fields = dict(part.split("=", 1) for part in self._first.split(","))
        self._nonce = fields["r"] + secrets.token_urlsafe(24)
        if fields["n"] != self._user.name:
            return failure(18, "AuthenticationFailed", "Authentication failed.")
        salt = base64.b64encode(self._user.salt).decode()
        self._server_first = f"r={self._nonce},s={salt},i={ITERATIONS}"
        return answer_sasl(self._server_first, done=False)

    def go_on(self, payload: bytes) -> Document:
        """Answer saslContinue: check the client's proof and send the server's."""
        text = payload.decode()
        if not text:
            return answer_sasl("", done=True)
        without_proof, proof = text.rsplit(",p=", 1)
        message = ",".join([self._first, self._server_first, without_proof]).encode()
        client_key = hmac.digest(self._user.salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
        expected = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        if not hmac.compare_digest(expected, base64.b64decode(proof)):
            return failure(18, "AuthenticationFailed", "Authentication failed.")
        self.done = True
        server_key = hmac.digest(self._user.salted, b"Server Key", "sha256")
        verifier = base64.b64encode(hmac.digest(server_key, message, "sha256")).decode()
        return answer_sasl(f"v={verifier}", done=True)


def answer_sasl(payload: str, *, done: bool) -> Document:
    """Return the answer to a step of the login."""
    return {"conversationId": 1, "done": done, "payload": payload.encode(), "ok": 1.0}


def failure(code: int, name: str, text: str) -> Document:
    """Return an answer that is an error."""
    return {"ok": 0.0, "errmsg": text, "code": code, "codeName": name}


class Front:
    """What all connections share."""

    def __init__(self, replica_set: ReplicaSet, user: User, backend_port: int) -> None:
        self.replica_set = replica_set
        self.user = user
        self.backend_port = backend_port
        # The answers to the writes of sessions, by session and number of the write.
        self.answers: dict[tuple[bytes, int], bytes] = {}
        # For tests: how many answers to writes are lost, with the connection, after the write was done.
        self.answers_to_lose = 0
        self.repeated_writes = 0
        self.write_concerns: list[Document] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client."""
        await Connection(self).serve(reader, writer)


class Connection:
    """One client, and its own connection to the server behind."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._login = Login(front.user)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer until the client ends."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._front.backend_port)
        try:
            while True:
                answer = await self._answer(await read_message(reader))
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self._writer.close()

    async def _answer(self, message: bytes) -> bytes:
        """Return the bytes that answer a message; none for one that asks for none."""
        request, opcode = struct.unpack("<i4xi", message[4:16])
        command = parse(message, opcode)
        name = next(iter(command))
        if name in ("hello", "ismaster", "isMaster"):
            answer = self._front.replica_set.hello(parse_answer(await self._ask_server(message)))
            if "saslSupportedMechs" in command:
                answer["saslSupportedMechs"] = ["SCRAM-SHA-256"]
            return encode(answer, request, opcode)
        own = self._own_answer(name, command)
        if own is not None:
            return encode(own, request, opcode)
        if opcode == OP_MSG and message[16] & 2:  # moreToCome: the client waits for no answer
            self._writer.write(message)
            await self._writer.drain()
            return b""
        if "txnNumber" in command:
            return await self._answer_write(message, request, command)
        return await self._ask_server(message)

    async def _answer_write(self, message: bytes, request: int, command: Document) -> bytes:
        """Answer a write that a driver may repeat, which is done once."""
        front = self._front
        key = (bytes(command["lsid"]["id"]), command["txnNumber"])
        front.write_concerns.append(command.get("writeConcern", {}))
        if key in front.answers:
            front.repeated_writes += 1
            return encode(parse_answer(front.answers[key]), request, OP_MSG)
        front.answers[key] = await self._ask_server(message)
        if len(front.answers) > 1000:
            del front.answers[next(iter(front.answers))]
        if front.answers_to_lose:
            front.answers_to_lose -= 1
            raise ConnectionError("the answer was to be lost")
        return front.answers[key]

    def _own_answer(self, name: str, command: Document) -> Document | None:
        """Return the front's own answer to a command, or None if the server answers it."""
        if name == "saslStart":
            if command["mechanism"] != "SCRAM-SHA-256":
                return failure(334, "MechanismUnavailable", "expected SCRAM-SHA-256")
            return self._login.start(bytes(command["payload"]))
        if name == "saslContinue":
            return self._login.go_on(bytes(command["payload"]))
        if not self._login.done and name not in WITHOUT_LOGIN:
            return failure(13, "Unauthorized", f"Command {name} requires authentication")
        if name == "endSessions":
            return {"ok": 1.0}
        if name == "replSetInitiate":
            return self._front.replica_set.initiate(command[name])
        if name == "replSetGetStatus":
            return self._front.replica_set.status()
        return None

    async def _ask_server(self, message: bytes) -> bytes:
        self._writer.write(message)
        await self._writer.drain()
        return await read_message(self._reader)


async def read_message(reader: asyncio.StreamReader) -> bytes:
    """Read one message of MongoDB's protocol."""
    length = await reader.readexactly(4)
    return length + await reader.readexactly(struct.unpack("<i", length)[0] - 4)


def parse(message: bytes, opcode: int) -> Document:
    """Return the command of an OP_MSG or of an OP_QUERY."""
    if opcode == OP_MSG:
        offset = 20
        while message[offset] == 1:  # a sequence of documents; the command may follow
            offset += 1 + struct.unpack_from("<i", message, offset + 1)[0]
        offset += 1
    elif opcode == OP_QUERY:
        offset = message.index(b"\0", 20) + 1 + 8
    else:
        raise ConnectionError(f"expected OP_MSG or OP_QUERY, found {opcode}")
    (size,) = struct.unpack_from("<i", message, offset)
    return bson.decode(message[offset : offset + size])


def parse_answer(message: bytes) -> Document:
    """Return the document of an OP_MSG or of an OP_REPLY."""
    (opcode,) = struct.unpack_from("<i", message, 12)
    return bson.decode(message[36:] if opcode == OP_REPLY else message[21:])


def encode(answer: Document, request: int, opcode: int) -> bytes:
    """Return the message that answers a request of this kind."""
    document = bson.encode(answer)
    if opcode == OP_QUERY:
        body, answer_opcode = struct.pack("<iqii", 8, 0, 0, 1) + document, OP_REPLY
    else:
        body, answer_opcode = b"\0\0\0\0\0" + document, OP_MSG
    return struct.pack("<iiii", 16 + len(body), 0, request, answer_opcode) + body


async def main() -> None:
    """Serve on every address until the process is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--replSet", required=True)
    parser.add_argument("--keyFile", type=Path, required=True)
    parser.add_argument("--bind_ip_all", action="store_true", required=True)
    arguments = parser.parse_args()
    if stat.S_IMODE(arguments.keyFile.stat().st_mode) & 0o077:
        sys.exit(f"permissions on {arguments.keyFile} are too open")
    if not 6 <= len(arguments.keyFile.read_text()) <= 1024:
        sys.exit(f"security key in {arguments.keyFile} has a length out of 6 to 1024")
    user = User(os.environ["MONGO_INITDB_ROOT_USERNAME"], os.environ["MONGO_INITDB_ROOT_PASSWORD"])
    with embedded_mongo.embedded_mongo(DATA) as uri:
        front = Front(ReplicaSet(arguments.replSet, DATA), user, backend_port(uri))
        async with await asyncio.start_server(front.serve, "0.0.0.0", PORT) as server:
            await server.serve_forever()


def backend_port(uri: str) -> int:
    """Return the port of the embedded server's address."""
    return int(uri.split(":")[2].split("/")[0])


if __name__ == "__main__":
    asyncio.run(main())
