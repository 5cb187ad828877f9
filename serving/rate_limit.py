"""Rate limits by key: token buckets."""

import threading
import time

from cachetools import LRUCache

from serving.problems import RequestError


class TokenBucketLimiter:
    """Allows `burst` requests at once and `rate` per second for each key (a user name or an address).

    The `max_keys` most recently used keys are remembered. Safe to call from any thread.
    """

    def __init__(self, rate: float, burst: int, max_keys: int = 20_000) -> None:
        self.rate, self.burst = rate, burst
        # Tokens left, and when they were counted (monotonic seconds).
        self._levels: LRUCache[str, tuple[float, float]] = LRUCache(max_keys)
        self._lock = threading.Lock()

    def consume(self, key: str, count: int = 1) -> None:
        """Take `count` tokens. Raises RequestError (429, with Retry-After) if there are too few."""
        now = time.monotonic()
        with self._lock:
            level, counted_at = self._levels.get(key, (float(self.burst), now))
            level = min(self.burst, level + (now - counted_at) * self.rate)
            is_allowed = level >= count
            self._levels[key] = (level - count if is_allowed else level, now)
        if not is_allowed:
            wait_s = max(1, round((count - level) / self.rate))
            raise RequestError(
                429,
                f"expected fewer requests, found too many; try again in {wait_s} s",
                {"Retry-After": str(wait_s)},
            )
