"""The spool: an event is on the disk before `send` returns, in order, and goes only when Kafka has it. Kafka is a fake."""

import json
import os
import resource
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import FileIO
from pathlib import Path

import pytest

from jobs import events, producer
from jobs.errors import StepError
from tests.unit.test_events import GOOD


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


@contextmanager
def closed(sender):
    """A producer that does not wait for Kafka at its end."""
    yield sender
    sender.close(timeout_s=0)


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
    assert not sender.flush(0.05) and sender.waiting == 50
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


KILLED = """
import sys; from pathlib import Path
from jobs import producer; from tests.unit.test_producer import event
sender = producer.Producer(None, Path(sys.argv[1]))
for number in range(10_000):
    sender.send(event(number)); print(number, flush=True)
"""


def test_kill_9_loses_nothing_that_send_has_returned_for(broker, tmp_path):
    root = Path(producer.__file__).parent.parent
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=-1, text=True, cwd=root)
    for line in process.stdout:
        if line == "99\n":
            process.kill()
            break
    promised = [int(line) for line in process.stdout] or [99]
    process.wait()
    with (next(tmp_path.glob("*/*.jsonl"))).open("ab") as file:
        file.write(b'{"event_id":"torn')  # as a kill amid a write leaves it
    with producer.Producer("kafka:9092", tmp_path) as sender:
        sender.send(event("last"))
        assert sender.flush(10)
    numbers = [int(e[1:]) for e in broker.messages[:-1]]
    assert numbers == list(range(len(numbers))) and len(numbers) > max(promised)
    assert broker.messages[-1] == "elast"


def test_a_broker_that_goes_amid_a_group_gets_the_rest_later(broker, tmp_path):
    broker.limit = 7
    sender = producer.Producer("kafka:9092", tmp_path)
    for number in range(20):
        sender.send(event(number))
    assert not sender.flush(0.1)
    broker.limit = None
    assert sender.flush(10)
    sender.close()
    assert list(dict.fromkeys(broker.messages)) == [f"e{n}" for n in range(20)]  # some twice, none lost, in order


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


def test_files_go_when_kafka_has_them(broker, tmp_path, monkeypatch):
    monkeypatch.setattr(producer, "_FILE_BYTES", 2_000)
    with producer.Producer("kafka:9092", tmp_path) as sender:
        for number in range(300):
            sender.send(event(number))
        assert sender.flush(10)
        sender.send(event(300))
        assert sender.flush(10)
        assert len(list(tmp_path.glob("*/*.jsonl"))) <= 2
    assert len(broker.messages) == 301


def test_what_is_no_event_is_refused_at_once(broker, tmp_path):
    with producer.Producer("kafka:9092", tmp_path) as sender, pytest.raises(events.BadEvent):
        sender.send({**GOOD, "event": "eaten"})
    assert not broker.messages


@contextmanager
def full_disk(room):
    """No file of this process grows beyond so many bytes: a write is cut short there, and fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_on_a_full_disk_an_event_is_taken_whole_or_refused_and_it_goes_on_when_there_is_room(broker, tmp_path):
    with producer.Producer("kafka:9092", tmp_path) as sender:
        sender.send(event(0))
        assert sender.flush(10)
        size = next(tmp_path.glob("*/*.jsonl")).stat().st_size
        broker.away = True
        with full_disk(2 * size + size // 2):
            sender.send(event(1))
            for number in (2, 3):
                with pytest.raises(StepError, match="expected room for plays in .*, found: File too large"):
                    sender.send(event(number))
        broker.away = False
        sender.send(event(4))
        assert sender.flush(10) and sender.waiting == 0
    assert broker.messages == ["e0", "e1", "e4"]


def test_no_room_for_the_next_file_leaves_the_one_before(broker, tmp_path, monkeypatch):
    monkeypatch.setattr(producer, "_FILE_BYTES", 1)
    with producer.Producer("kafka:9092", tmp_path) as sender:
        sender.send(event(0))
        with monkeypatch.context() as patched:
            patched.setattr(sender, "_new_file", lambda: (_ for _ in ()).throw(OSError(28, "No space left on device")))
            with pytest.raises(StepError, match="found: No space left on device"):
                sender.send(event(1))
        sender.send(event(2))
        assert sender.flush(10)
    assert broker.messages == ["e0", "e2"]


def test_no_room_for_the_mark_is_no_reason_to_stop(broker, tmp_path, caplog):
    with producer.Producer("kafka:9092", tmp_path) as sender:
        (tmp_path / "0" / "acknowledged.new").mkdir()
        for number in range(3):
            sender.send(event(number))
        assert sender.flush(10)
    assert broker.messages == ["e0", "e1", "e2"] and not caplog.records


def test_the_order_of_files_is_that_of_events_even_where_the_clock_goes_back(broker, tmp_path, monkeypatch):
    monkeypatch.setattr(producer, "_FILE_BYTES", 1)
    broker.away = True
    left = producer.Producer("kafka:9092", tmp_path)
    now = producer.time.time_ns()
    for number in range(6):
        monkeypatch.setattr(producer.time, "time_ns", lambda at=now - number * 3_600 * 10**9: at)
        left.send(event(number))
    left.close(timeout_s=0)
    broker.away = False
    with producer.Producer("kafka:9092", tmp_path) as sender:
        assert sender.flush(10)
    assert broker.messages == [f"e{n}" for n in range(6)]


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
        assert sender.flush(10) and sender.waiting == 0
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


def test_a_spool_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StepError, match="folder for plays that can be written"):
        producer.Producer(None, tmp_path / "file")
    assert os.listdir(tmp_path) == ["file"]


class Halves:
    """A file of the spool whose lines appear in two steps, the sender looking in between, as on a busy machine."""

    def __init__(self, file, look):
        self.file, self.look, self.name = file, look, file.name

    def write(self, line):
        self.file.write(line[: len(line) // 2])
        self.look()
        self.file.write(line[len(line) // 2 :])
        return len(line)

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_a_line_seen_half_written_is_sent_whole_and_counted_once(broker, tmp_path, monkeypatch):
    broker.away = True
    sender = producer.Producer("kafka:9092", tmp_path)
    seen = []
    monkeypatch.setattr(sender, "_drop", lambda *_: None)  # `send` holds the lock that it needs
    sender._out = Halves(sender._out, lambda: seen.append([group for group, _ in sender._groups()]))
    for number in range(3):
        sender.send(event(number))
    assert [len(groups[0]) if groups else 0 for groups in seen] == [0, 1, 2]
    broker.away = False
    assert sender.flush(10) and sender.waiting == 0
    sender.close()
    assert broker.messages == ["e0", "e1", "e2"]


def test_a_sender_that_reads_on_while_a_line_is_written_takes_no_half_of_it(broker, tmp_path):
    broker.away = True
    with closed(producer.Producer("kafka:9092", tmp_path)) as sender:
        sender.send(event(0))
        line = events.encode(event(1)) + b"\n"
        sender._out.write(line[:20])
        groups = sender._groups()
        assert [json.loads(each)["event_id"] for each in next(groups)[0]] == ["e0"]
        sender._out.write(line[20:])
        assert [json.loads(each)["event_id"] for group, _ in groups for each in group] == ["e1"]
        assert [json.loads(each)["event_id"] for group, _ in sender._groups() for each in group] == ["e0", "e1"]


class Growing(FileIO):
    """A file whose half-written last line is finished at the moment when its end has been read."""

    rest = b""

    def read(self, size=-1):
        found = super().read(size)
        if not found or size > len(found):
            with Path(self.name).open("ab") as other:
                other.write(self.rest)
            self.rest = b""
        return found

    def readall(self):
        return self.read(1 << 20)


def test_a_line_that_is_finished_while_its_file_is_read_is_one_line(tmp_path):
    path = tmp_path / "plays.jsonl"
    path.write_bytes(b"one\ntw")
    with Growing(path) as file:
        file.rest = b"o\nthree\n"
        found = []
        while lines := producer._whole(file):
            found += lines
    assert found == [b"one\n", b"two\n", b"three\n"]


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


def test_a_file_that_grew_after_its_end_was_read_is_kept(broker, tmp_path, monkeypatch):
    monkeypatch.setattr(producer, "_FILE_BYTES", 1)  # every event begins a new file
    broker.away = True
    with closed(producer.Producer("kafka:9092", tmp_path)) as sender:
        sender.send(event(0))
        oldest = sender._files[0]
        groups = sender._groups()
        end = next(groups)[1][1]
        sender._out.write(events.encode(event(1)) + b"\n")  # of another thread, into the same file
        sender.send(event(2))
        assert Path(sender._out.name) != oldest
        sender._drop(oldest, end)
        assert oldest.exists() and lines(tmp_path) == ["e0", "e1", "e2"]


def test_half_a_line_on_a_full_disk_does_not_spoil_the_next(broker, tmp_path):
    broker.away = True
    with closed(producer.Producer("kafka:9092", tmp_path)) as sender:
        out = sender._out

        class Full:
            name, tell, truncate, seek, fileno = out.name, out.tell, out.truncate, out.seek, out.fileno

            def write(self, line):
                if out.tell() > 0:
                    raise OSError(28, "No space left on device")
                return out.write(line[:10])

        sender._out = Full()
        with pytest.raises(StepError, match="No space"):
            sender.send(event(0))
        sender._out = out
        sender.send(event(1))
        assert lines(tmp_path) == ["e1"] and sender.waiting == 1


@pytest.mark.parametrize("time", ["1700000000", "20261121", "never", None])
def test_a_time_in_the_spool_that_nobody_can_read_counts_as_now_and_holds_up_nothing(time):
    event = {**GOOD, "played_at": time}
    sent = json.loads(producer._in_time(json.dumps(event).encode(), event))
    assert abs(datetime.fromisoformat(sent["played_at"]) - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_line_of_the_spool_that_is_no_event_goes_to_the_stream_as_it_is():
    assert producer._in_time(b'{"user_id": "u"}', {"user_id": "u"}) == b'{"user_id": "u"}'
