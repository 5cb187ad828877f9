"""A real cluster's locks: a broker that takes nobody but by TLS and a password.

All our clients get through, no other does.
"""

import dataclasses
import ipaddress
import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kafka import KafkaProducer
from kafka.admin import UserScramCredentialUpsertion

from jobs.errors import InputError, StepError
from jobs.lake.storage import Lake
from jobs.plays import play_log, spool, topics
from jobs.plays.events import PlayEvent
from jobs.plays.producer import Producer
from jobs.runtime import embedded_kafka, embedded_mongo, embedded_server
from tests import synthetic_lake
from tests.services.conftest import SEGUE, environment

USER, PASSWORD = "segue", 'a "long" \\ word'

# Beside PLAIN; of the two SCRAM mechanisms one is open and one is not.
SCRAM, CLOSED = "SCRAM-SHA-512", "SCRAM-SHA-256"

# Jaas has its own way to write a text.
_QUOTED = PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
_JAAS = (
    "org.apache.kafka.common.security.plain.PlainLoginModule required "
    f'user_{USER}="{_QUOTED}" username="{USER}" password="{_QUOTED}";'
)

SECURED = embedded_kafka._SETTINGS.replace("PLAINTEXT://", "SASL_SSL://") + "\n".join(
    [
        "",
        "listener.security.protocol.map=CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL",
        "security.inter.broker.protocol=SASL_SSL",
        "sasl.mechanism.inter.broker.protocol=PLAIN",
        f"sasl.enabled.mechanisms=PLAIN,{SCRAM}",
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config="
        "org.apache.kafka.common.security.scram.ScramLoginModule required;",
        # A file of Java's properties takes a backslash for itself.
        "listener.name.sasl_ssl.plain.sasl.jaas.config=" + _JAAS.replace("\\", "\\\\"),
        "ssl.keystore.type=PEM",
        "ssl.keystore.location={data}/server.pem",
        "ssl.truststore.type=PEM",
        "ssl.truststore.location={data}/ca.pem",
        "",
    ]
)


def certificate(folder: Path) -> Path:
    """Write a certificate of 127.0.0.1 that signs itself (ca.pem), and the same with its key (server.pem)."""
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kafka")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    pem = (
        made.add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    formats = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "ca.pem").write_bytes(pem)
    (folder / "server.pem").write_bytes(key.private_bytes(*formats) + pem)
    return folder / "ca.pem"


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    """A lake, the address of a secured broker over it, and the environment that opens it."""
    lake = synthetic_lake.make(tmp_path_factory.mktemp("secured") / "lake", seconds=0.1)
    ca = certificate(lake.root / "kafka")
    given = {"PROTOCOL": "SASL_SSL", "CA": str(ca), "MECHANISM": "PLAIN", "USER": USER, "PASSWORD": PASSWORD}
    opened = {f"SEGUE_KAFKA_{name}": value for name, value in given.items()}
    server = dataclasses.replace(embedded_kafka.KAFKA, is_answering=lambda address: True)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(embedded_kafka, "_SETTINGS", SECURED)
        for name, value in opened.items():
            patched.setenv(name, value)
        with embedded_server.connect_or_start(server, lake.root / "kafka") as address:
            with topics.admin(address) as client:
                user = UserScramCredentialUpsertion(USER, SCRAM, PASSWORD)
                assert client.alter_user_scram_credentials([user]) == {USER: None}
            yield lake, address, opened


def segue(
    lake: Lake, address: str, opened: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    command = [SEGUE, *arguments, "--kafka", address]
    return subprocess.run(
        command, env=environment(lake.root) | opened, capture_output=True, text=True, timeout=300, check=False
    )


def finished(event_id: str, user: str, track: str, at: datetime) -> PlayEvent:
    return PlayEvent(event_id=event_id, user_id=user, track_id=track, event="finished", played_at=at)


def test_all_clients_connect_with_plain(secured, tmp_path):
    lake, address, opened = secured
    topics.ensure_topics(address)
    at = datetime.now(UTC) - timedelta(minutes=5)
    with Producer(address, spool.spool_dir(lake.root)) as producer:
        for number in range(3):
            producer.send(finished(f"e{number}", "ann", f"t0{number}", at + timedelta(minutes=number)))
        assert producer.flush(30)
    raw = KafkaProducer(**topics.kafka_python_config(address))
    raw.send(topics.PLAYS, value=b"not json", key=b"ann").get(30)
    raw.close()
    lines = tmp_path / "listens.jsonl"
    lines.write_text(
        "".join(json.dumps(row) + "\n" for row in listened(at, "Song A of 1", "Song B of 1", "Other"))
    )
    imported = segue(lake, address, opened, "import-plays", "--user", "rob", str(lines))
    assert (
        "3 listens, 2 sent, 0 there already, 1 unmatched, top unmatched Artist 1 - Other" in imported.stdout
    ), imported
    with embedded_mongo.embedded_mongo(lake.root / "mongo"):
        done = segue(lake, address, opened, "stream", "--once")
    assert done.returncode == 0, done.stderr
    assert "5 plays, 1 rejected" in done.stdout
    plays = {(row["user_id"], row["track_id"]) for row in play_log.read(lake).to_pylist()}
    assert plays == {("ann", "t00"), ("ann", "t01"), ("ann", "t02"), ("rob", "t05"), ("rob", "t06")}
    again = segue(lake, address, opened, "import-plays", "--user", "rob", str(lines))
    assert "3 listens, 0 sent, 2 there already, 1 unmatched" in again.stdout, again


def test_all_clients_connect_with_scram(secured, monkeypatch):
    lake, address, opened = secured
    opened = opened | {"SEGUE_KAFKA_MECHANISM": SCRAM}
    monkeypatch.setenv("SEGUE_KAFKA_MECHANISM", SCRAM)
    topics.ensure_topics(address)
    with Producer(address, spool.spool_dir(lake.root)) as producer:
        producer.send(finished("scram", "eve", "t09", datetime.now(UTC) - timedelta(minutes=1)))
        assert producer.flush(30)
    with embedded_mongo.embedded_mongo(lake.root / "mongo"):
        done = segue(lake, address, opened, "stream", "--once")
    assert done.returncode == 0, done.stderr
    plays = {(row["user_id"], row["track_id"]) for row in play_log.read(lake).to_pylist()}
    assert ("eve", "t09") in plays


def listened(at: datetime, *titles: str) -> list[dict[str, object]]:
    """Return listens of ListenBrainz, a second apart."""
    listens = []
    for number, title in enumerate(titles):
        names = {"artist_name": "Artist 1", "track_name": title}
        listens.append({"listened_at": int(at.timestamp()) + number, "track_metadata": names})
    return listens


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"SEGUE_KAFKA_PASSWORD": "wrong"}, "SEGUE_KAFKA_PASSWORD"),
        ({"SEGUE_KAFKA_CA": "other"}, "SEGUE_KAFKA_CA"),
        ({"SEGUE_KAFKA_CA": "/nowhere/ca.pem"}, "SEGUE_KAFKA_CA"),
        ({"SEGUE_KAFKA_PROTOCOL": "PLAINTEXT"}, "SEGUE_KAFKA_PROTOCOL"),
        ({"SEGUE_KAFKA_PROTOCOL": "TLS"}, "SEGUE_KAFKA_PROTOCOL"),
        ({"SEGUE_KAFKA_MECHANISM": CLOSED}, "SEGUE_KAFKA_MECHANISM"),
        ({"SEGUE_KAFKA_MECHANISM": SCRAM, "SEGUE_KAFKA_PASSWORD": "wrong"}, "SEGUE_KAFKA_PASSWORD"),
    ],
)
def test_refused_client_gets_one_line(secured, tmp_path, monkeypatch, changed, expected):
    _, address, _ = secured
    if changed.get("SEGUE_KAFKA_CA") == "other":
        changed = {"SEGUE_KAFKA_CA": str(certificate(tmp_path))}
    for name, value in changed.items():
        monkeypatch.setenv(name, value)
    with pytest.raises((StepError, InputError)) as error, topics.admin(address, timeout_s=3):
        pass
    line = str(error.value)
    assert "expected" in line and expected in line and "\n" not in line and "wrong" not in line, line


def test_refused_command_prints_one_line(secured):
    lake, address, opened = secured
    opened = opened | {"SEGUE_KAFKA_PROTOCOL": "TLS"}
    done = segue(lake, address, opened, "produce", "--users", "1", "--count", "1")
    assert (done.returncode, done.stderr.count("\n")) == (
        2,
        1,
    ) and "SEGUE_KAFKA_PROTOCOL: expected PLAINTEXT or" in done.stderr
