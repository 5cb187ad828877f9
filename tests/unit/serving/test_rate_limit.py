"""Token buckets, by a clock that the test sets."""

import sys
import threading
from types import SimpleNamespace

import pytest

from serving import rate_limit
from serving.problems import RequestError
from serving.rate_limit import TokenBucketLimiter


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until the test advances it."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(rate_limit, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_burst_is_allowed_then_one_token_per_interval(clock):
    limiter = TokenBucketLimiter(rate=0.5, burst=3)
    for _ in range(3):
        limiter.consume("anna")
    with pytest.raises(RequestError, match="try again in 2 s") as refused:
        limiter.consume("anna")
    assert (refused.value.status_code, refused.value.headers) == (429, {"Retry-After": "2"})
    limiter.consume("bert")  # a bucket of its own
    clock.now += 2
    limiter.consume("anna")
    with pytest.raises(RequestError):
        limiter.consume("anna")


def test_least_recently_used_key_is_dropped(clock):
    limiter = TokenBucketLimiter(rate=1e-9, burst=1, max_keys=2)
    limiter.consume("anna")
    limiter.consume("bert")
    limiter.consume("carl")
    limiter.consume("anna")  # dropped, so it starts with a full bucket
    with pytest.raises(RequestError):
        limiter.consume("carl")


def test_threads_spend_exactly_the_tokens_there_are():
    limiter, allowed = TokenBucketLimiter(rate=1e-9, burst=1_000, max_keys=2), []

    def spend():
        for _ in range(500):
            try:
                limiter.consume("anna")
                allowed.append(1)
            except RequestError:
                pass

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=spend) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert len(allowed) == 1_000
