"""The lease of a lake in an object store: one writer, whoever is killed or cut off."""

import threading

import pytest

from jobs.errors import StepError
from jobs.lake import lease as lease_module
from jobs.lake.lease import Lease
from jobs.lake.object_store import ObjectStore


@pytest.fixture
def make(tmp_path, store_url, monkeypatch):
    """Return a function that makes the lease as a machine of some name has it; terms take two seconds."""
    monkeypatch.setattr(lease_module, "TERM_S", 2.0)
    monkeypatch.setattr(lease_module, "_RENEWAL_S", 0.4)
    monkeypatch.setattr(lease_module, "_WATCH_S", 0.1)

    def machine(name):
        (tmp_path / name).mkdir(exist_ok=True)
        return Lease(ObjectStore(store_url), tmp_path / name)

    return machine


def take(lease):
    with lease.held():
        lease.check()


def test_one_holder_on_a_machine_and_on_others(make):
    with make("a").held():
        for other in ("a", "b"):
            with pytest.raises(StepError, match="found another segue at work in it"):
                take(make(other))
    take(make("b"))
    take(make("a"))


def test_lease_of_a_killed_process_is_taken(make):
    left = make("a")
    left._acquire()  # and no more: killed
    take(make("a"))
    left = make("a")
    left._acquire()
    take(make("b"))  # two seconds later
    with pytest.raises(StepError, match=r"expected to hold s3://.*lease.json until the end"):
        left._renewed_at = 0.0  # as after a long pause of the machine
        left.check()


def test_renewed_lease_outlives_its_term(make, store_url):
    lease = make("a")
    with lease.held():
        first = ObjectStore(store_url).get("lease.json")
        assert not threading.Event().wait(2.5)
        lease.check()
        assert ObjectStore(store_url).get("lease.json") != first
        with pytest.raises(StepError, match="another segue"):
            take(make("b"))


def test_lost_answers(make, object_store):
    object_store.faults.only, object_store.faults.lost = "lease.json", 2
    lease = make("a")
    with lease.held():
        lease._renew()
        lease.check()
    object_store.faults.only = ""
    assert object_store.faults.lost == 0
    take(make("b"))


def test_of_two_at_once_one_gets_it(make):
    entered, refused, barrier = [], [], threading.Barrier(4)

    def run(name):
        barrier.wait(60)
        try:
            with make(name).held():
                entered.append(name)
                threading.Event().wait(1)
                entered.append(name)
        except StepError:
            refused.append(name)

    threads = [threading.Thread(target=run, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(entered) + 2 * len(refused) == 8 and entered[::2] == entered[1::2] and len(entered) >= 2
