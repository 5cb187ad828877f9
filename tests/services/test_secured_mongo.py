"""A MongoDB as in production: TLS, a password, a replica set, writes by majority that are repeated if lost.

The server is the embedded one behind the front of tests/compose, which adds these.
"""

import asyncio
import ssl
import threading

import pytest

from jobs.errors import StepError
from jobs.online import mongo
from jobs.runtime import embedded_mongo
from tests.compose.stand_ins.mongo import front as fronts
from tests.services.test_secured_kafka import certificate

USER, PASSWORD = "segue", "a-password"


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    """A front with TLS over an embedded server; its address as docs/operating.md has it."""
    folder = tmp_path_factory.mktemp("secured")
    ca = certificate(folder / "certificates")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(ca.with_name("server.pem"))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    with embedded_mongo.embedded_mongo(folder / "mongo") as uri:
        replica_set = fronts.ReplicaSet("segue", folder)
        front = fronts.Front(replica_set, fronts.User(USER, PASSWORD), fronts.backend_port(uri))
        starting = asyncio.start_server(front.serve, "127.0.0.1", 0, ssl=context)
        server = asyncio.run_coroutine_threadsafe(starting, loop).result(30)
        port = server.sockets[0].getsockname()[1]
        config = {"_id": "segue", "members": [{"_id": 0, "host": f"127.0.0.1:{port}"}]}
        assert replica_set.initiate(config) == {"ok": 1.0}
        yield (
            front,
            (
                f"mongodb://{USER}:{PASSWORD}@127.0.0.1:{port}/segue?authSource=admin&replicaSet=segue"
                f"&tls=true&tlsCAFile={ca}&w=majority&wTimeoutMS=10000"
                "&retryWrites=true&readPreference=primary"
                "&maxPoolSize=50&connectTimeoutMS=5000&socketTimeoutMS=20000"
            ),
        )
        loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(60)


def documents(*numbers):
    return [{"_id": f"t{number}", "number": number} for number in numbers]


def test_production_settings_connect_and_write_by_majority(secured):
    front, uri = secured
    with mongo.database(uri) as database:
        assert mongo.upsert(database["tracks"], documents(1, 2)) == 2
        assert [each["number"] for each in mongo.find(database["tracks"], ["t1", "t2"])] == [1, 2]
        assert mongo.delete(database["tracks"], ["t1", "t2"]) == 2
    assert front.write_concerns and all(each["w"] == "majority" for each in front.write_concerns)


def test_write_whose_answer_is_lost_is_done_once(secured):
    front, uri = secured
    front.answers_to_lose = 1
    before = front.repeated_writes
    with mongo.database(uri) as database:
        database["counts"].update_one({"_id": "n"}, {"$inc": {"value": 1}}, upsert=True)
        assert database["counts"].find_one({"_id": "n"}) == {"_id": "n", "value": 1}
    assert front.repeated_writes == before + 1


def test_wrong_password_is_one_line_without_it(secured):
    _, uri = secured
    with pytest.raises(StepError) as raised, mongo.database(uri.replace(PASSWORD, "another"), timeout_s=3):
        pass
    assert str(raised.value).startswith("--mongo: expected MongoDB to answer at 127.0.0.1:")
    assert "Authentication failed" in str(raised.value) and "another" not in str(raised.value)


def test_unknown_certificate_is_refused(secured, tmp_path):
    _, uri = secured
    other = certificate(tmp_path)
    own = uri.split("tlsCAFile=")[1].split("&")[0]
    with (
        pytest.raises(StepError, match="certificate verify failed"),
        mongo.database(uri.replace(own, str(other)), timeout_s=1),
    ):
        pass
