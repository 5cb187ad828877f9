"""The producer delivers every event, in order, through outages and restarts. Kafka is a fake."""

import dataclasses
import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobs.errors import StepError
from jobs.plays import events, producer
from tests.unit.plays.test_events import EVENT, FIELDS


class Broker:
    """The messages of a fake Kafka. It fails while `is_down`, and by itself after `limit` messages."""

    def __init__(self):
        self.messages = []
        self.is_down = False
        self.limit = None

    def deliver(self, client, lines):
        for line in lines:
            if self.is_down or (self.limit is not None and len(self.messages) >= self.limit):
                raise StepError("down")
            self.messages.append(json.loads(line)["event_id"])


@pytest.fixture
def broker(monkeypatch):
    fake = Broker()
    monkeypatch.setattr(producer, "_connect", lambda address: object())
    monkeypatch.setattr(producer, "_close", lambda client: None)
    monkeypatch.setattr(producer, "_deliver", fake.deliver)
    monkeypatch.setattr(producer, "_RETRY_S", 0.01)
    return fake


def event(number, **changed):
    return dataclasses.replace(EVENT, event_id=f"e{number}", **changed)


def lines(spool: Path):
    files = sorted(spool.glob("*/*.jsonl"), key=lambda file: file.name)
    return [json.loads(line)["event_id"] for file in files for line in file.read_bytes().splitlines()]


def test_events_arrive_in_order(broker, tmp_path):
    with producer.Producer("kafka:9092", tmp_path) as sender:
        for number in range(200):
            sender.send(event(number))
        assert sender.flush(10)
    assert broker.messages == [f"e{n}" for n in range(200)]


def test_events_wait_on_disk_while_kafka_is_unavailable(broker, tmp_path):
    broker.is_down = True
    sender = producer.Producer("kafka:9092", tmp_path)
    for number in range(50):
        sender.send(event(number))
        assert lines(tmp_path)[-1] == f"e{number}"
    assert not sender.flush(0.05) and sender.pending == 50
    broker.is_down = False
    assert sender.flush(10)
    sender.close()
    assert broker.messages == [f"e{n}" for n in range(50)]


def test_next_producer_sends_what_a_closed_one_left_first(broker, tmp_path):
    broker.is_down = True
    left = producer.Producer("kafka:9092", tmp_path)
    for number in range(5):
        left.send(event(number))
    left.close(timeout_s=0)
    broker.is_down = False
    with producer.Producer("kafka:9092", tmp_path) as sender:
        sender.send(event(5))
        assert sender.flush(10)
    assert broker.messages == [f"e{n}" for n in range(6)]
    assert lines(tmp_path) == ["e5"] or lines(tmp_path) == []


def test_broker_failing_within_a_batch_gets_the_rest_later(broker, tmp_path):
    broker.limit = 7
    sender = producer.Producer("kafka:9092", tmp_path)
    for number in range(20):
        sender.send(event(number))
    assert not sender.flush(0.1)
    broker.limit = None
    assert sender.flush(10)
    sender.close()
    assert list(dict.fromkeys(broker.messages)) == [
        f"e{n}" for n in range(20)
    ]  # some are sent twice, none is lost, and they are in order


def test_two_producers_write_separate_files(broker, tmp_path):
    with (
        producer.Producer("kafka:9092", tmp_path) as first,
        producer.Producer("kafka:9092", tmp_path) as second,
    ):
        first.send(event(1))
        second.send(event(2))
        assert first.flush(10) and second.flush(10)
    assert sorted(broker.messages) == ["e1", "e2"]


def test_many_threads_send_at_once(broker, tmp_path):
    with producer.Producer("kafka:9092", tmp_path) as sender:

        def work(first):
            for number in range(first, first + 50):
                sender.send(event(number))

        threads = [threading.Thread(target=work, args=(first,)) for first in range(0, 400, 50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sender.flush(10)
    assert sorted(broker.messages) == sorted(f"e{n}" for n in range(400))


def test_invalid_event_is_refused_at_once(broker, tmp_path):
    with producer.Producer("kafka:9092", tmp_path) as sender, pytest.raises(events.InvalidEvent):
        sender.send(event(1, event="eaten"))
    assert not broker.messages


def test_event_ahead_of_a_clock_set_back_counts_as_now():
    class Client:
        sent = []

        def send(self, topic, *, value, key):
            self.sent.append(value)
            return self

        def get(self, timeout):
            pass

    now = datetime.now(UTC)
    times = [now + timedelta(minutes=minutes) for minutes in (-120, 0, 4, 61)]
    lines = [events.encode(event(number, played_at=at)) for number, at in enumerate(times)]
    producer._deliver(Client(), [line + b"\n" for line in lines])
    assert Client.sent[:3] == lines[:3]
    last = events.parse(Client.sent[3], now)
    assert (last.event_id, last.user_id) == ("e3", EVENT.user_id)
    assert abs(last.played_at - now) < timedelta(minutes=1)


def test_adopted_older_files_keep_the_count_right(broker, tmp_path):
    other = producer.Producer(None, tmp_path / "elsewhere")
    other.send(event("other"))
    other.close(timeout_s=0)
    broker.limit = 2
    sender = producer.Producer("kafka:9092", tmp_path / "spool")
    for number in range(2):
        sender.send(event(number))
    assert sender.flush(10)
    sender.send(event(2))
    sender.close(timeout_s=0)
    broker.limit = None
    (tmp_path / "elsewhere" / "0").rename(tmp_path / "spool" / "1")
    with producer.Producer("kafka:9092", tmp_path / "spool") as sender:
        assert sender.flush(10)
        sender.send(event(3))
        assert sender.flush(10) and sender.pending == 0
    assert list(dict.fromkeys(broker.messages)) == ["e0", "e1", "eother", "e2", "e3"]


def test_outage_and_recovery_are_logged_once(broker, tmp_path, caplog):
    broker.is_down = True
    with producer.Producer("kafka:9092", tmp_path) as sender:
        for number in range(5):
            sender.send(event(number))
        assert not sender.flush(0.1)
        broker.is_down = False
        assert sender.flush(10)
    assert [record.message.split(",")[0] for record in caplog.records] == [
        "Kafka is unavailable",
        "Kafka is available again",
    ]


def test_damaged_line_is_sent_for_the_stream_to_reject():
    class Client:
        sent = []

        def send(self, topic, *, value, key):
            self.sent.append((value, key))
            return self

        def get(self, timeout):
            pass

    producer._deliver(Client(), [b"{spoilt\n", b"7\n", events.encode(event(1)) + b"\n"])
    assert Client.sent[:2] == [(b"{spoilt", None), (b"7", None)]
    assert json.loads(Client.sent[2][0])["event_id"] == "e1"


@pytest.mark.parametrize("time", ["1700000000", "20261121", "never", None])
def test_unreadable_time_in_the_spool_counts_as_now(time):
    fields = {**FIELDS, "played_at": time}
    sent = json.loads(producer._limit_time(json.dumps(fields).encode(), fields))
    assert abs(datetime.fromisoformat(sent["played_at"]) - datetime.now(UTC)) < timedelta(minutes=1)


def test_invalid_line_of_the_spool_is_sent_unchanged():
    assert producer._limit_time(b'{"user_id": "u"}', {"user_id": "u"}) == b'{"user_id": "u"}'
