"""The producer: events reach Kafka in order, all of them, whatever happens to it. Kafka is a fake here."""

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobs.errors import StepError
from jobs.plays import events, producer
from tests.unit.plays.test_events import GOOD


class Broker:
    """What Kafka has; `away` as long as it is not to be reached, `limit` messages until it goes away by itself."""

    def __init__(self):
        self.messages, self.away, self.limit = [], False, None

    def deliver(self, client, lines):
        for line in lines:
            if self.away or (self.limit is not None and len(self.messages) >= self.limit):
                raise StepError("away")
            self.messages.append(json.loads(line)["event_id"])


@pytest.fixture
def broker(monkeypatch):
    fake = Broker()
    monkeypatch.setattr(producer, "_connect", lambda address: object())
    monkeypatch.setattr(producer, "_close", lambda client: None)
    monkeypatch.setattr(producer, "_deliver", fake.deliver)
    monkeypatch.setattr(producer, "_RETRY_S", 0.01)
    return fake


def event(number):
    return {**GOOD, "event_id": f"e{number}"}


def lines(spool: Path):
    files = sorted(spool.glob("*/*.jsonl"), key=lambda file: file.name)
    return [json.loads(line)["event_id"] for file in files for line in file.read_bytes().splitlines()]


def test_events_arrive_in_order(broker, tmp_path):
    with producer.Producer("kafka:9092", tmp_path) as sender:
        for number in range(200):
            sender.send(event(number))
        assert sender.flush(10)
    assert broker.messages == [f"e{n}" for n in range(200)]


def test_while_kafka_is_away_they_wait_on_the_disk_and_follow_in_order(broker, tmp_path):
    broker.away = True
    sender = producer.Producer("kafka:9092", tmp_path)
    for number in range(50):
        sender.send(event(number))
        assert lines(tmp_path)[-1] == f"e{number}"
    assert not sender.flush(0.05) and sender.pending == 50
    broker.away = False
    assert sender.flush(10)
    sender.close()
    assert broker.messages == [f"e{n}" for n in range(50)]


def test_the_next_producer_sends_what_a_closed_one_left_before_its_own(broker, tmp_path):
    broker.away = True
    left = producer.Producer("kafka:9092", tmp_path)
    for number in range(5):
        left.send(event(number))
    left.close(timeout_s=0)
    broker.away = False
    with producer.Producer("kafka:9092", tmp_path) as sender:
        sender.send(event(5))
        assert sender.flush(10)
    assert broker.messages == [f"e{n}" for n in range(6)]
    assert lines(tmp_path) == ["e5"] or lines(tmp_path) == []


def test_a_broker_that_goes_amid_a_group_gets_the_rest_later(broker, tmp_path):
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
    ]  # some twice, none lost, in order


def test_two_producers_do_not_share_a_file(broker, tmp_path):
    with producer.Producer("kafka:9092", tmp_path) as one, producer.Producer("kafka:9092", tmp_path) as other:
        one.send(event(1))
        other.send(event(2))
        assert one.flush(10) and other.flush(10)
    assert sorted(broker.messages) == ["e1", "e2"]


def test_many_threads(broker, tmp_path):
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


def test_what_is_no_event_is_refused_at_once(broker, tmp_path):
    with producer.Producer("kafka:9092", tmp_path) as sender, pytest.raises(events.InvalidEvent):
        sender.send({**GOOD, "event": "eaten"})
    assert not broker.messages


def test_what_was_played_before_the_clock_went_back_is_not_ahead_of_the_broker():
    class Client:
        sent = []

        def send(self, topic, *, value, key):
            self.sent.append(value)
            return self

        def get(self, timeout):
            pass

    now = datetime.now(UTC)
    times = [now + timedelta(minutes=minutes) for minutes in (-120, 0, 4, 61)]
    lines = [events.encode({**event(number), "played_at": at}) for number, at in enumerate(times)]
    producer._deliver(Client(), [line + b"\n" for line in lines])
    assert Client.sent[:3] == lines[:3]
    last = events.parse(Client.sent[3], now)
    assert (last["event_id"], last["user_id"]) == ("e3", GOOD["user_id"])
    assert abs(last["played_at"] - now) < timedelta(minutes=1)


def test_files_of_others_before_a_mark_do_not_confuse_the_count(broker, tmp_path):
    other = producer.Producer(None, tmp_path / "elsewhere")
    other.send(event("other"))
    other.close(timeout_s=0)
    broker.limit = 2
    own = producer.Producer("kafka:9092", tmp_path / "spool")
    for number in range(2):
        own.send(event(number))
    assert own.flush(10)
    own.send(event(2))
    own.close(timeout_s=0)
    broker.limit = None
    (tmp_path / "elsewhere" / "0").rename(tmp_path / "spool" / "1")
    with producer.Producer("kafka:9092", tmp_path / "spool") as sender:
        assert sender.flush(10)
        sender.send(event(3))
        assert sender.flush(10) and sender.pending == 0
    assert list(dict.fromkeys(broker.messages)) == ["e0", "e1", "eother", "e2", "e3"]


def test_kafkas_absence_is_told_once_and_its_return(broker, tmp_path, caplog):
    broker.away = True
    with producer.Producer("kafka:9092", tmp_path) as sender:
        for number in range(5):
            sender.send(event(number))
        assert not sender.flush(0.1)
        broker.away = False
        assert sender.flush(10)
    assert [record.message.split(",")[0] for record in caplog.records] == ["Kafka is away", "Kafka is back"]


def test_what_cannot_be_read_goes_to_the_stream_which_keeps_it():
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
def test_a_time_in_the_spool_that_nobody_can_read_counts_as_now_and_holds_up_nothing(time):
    event = {**GOOD, "played_at": time}
    sent = json.loads(producer._in_time(json.dumps(event).encode(), event))
    assert abs(datetime.fromisoformat(sent["played_at"]) - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_line_of_the_spool_that_is_no_event_goes_to_the_stream_as_it_is():
    assert producer._in_time(b'{"user_id": "u"}', {"user_id": "u"}) == b'{"user_id": "u"}'
