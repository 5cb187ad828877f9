"""What every request passes before anything looks at it: where it comes from, how large it is, how often; and the headers of
every answer. Plain ASGI, since anything that buffers would hold back streams.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_SAFE = ("GET", "HEAD", "OPTIONS")
_LOOPBACK = ("127.0.0.1", "::1", "testclient")
_LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1", "testserver")

# Bytes of a body; ListenBrainz's clients send up to 1,000 listens at once.
_MAX_BODY_BYTES, _MAX_IMPORT_BYTES = 64 * 1024, 2 * 1024 * 1024
_IMPORT = "/1/submit-listens"

CSP = "; ".join(
    (
        "default-src 'none'",
        *(f"{what}-src 'self'" for what in ("script", "style", "connect", "media", "manifest", "worker")),
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)

_HEADERS = [
    (b"content-security-policy", CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


# Other players' APIs take no cookie, only what a client was given for itself: their web pages may ask, and show covers.
_CLIENTS = ("/rest/", "/1/")
_CLIENT_HEADERS = [
    *(each for each in _HEADERS if each[0] != b"cross-origin-resource-policy"),
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-headers", b"*, Authorization"),
    (b"access-control-allow-methods", b"GET, POST, HEAD"),
]


class RequestError(HTTPException):
    """A request that is turned away: status, and the line that says why."""

    def __init__(self, status: int, expected: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, expected, headers)

    def __str__(self) -> str:
        return str(self.detail)


class TokenBucketLimiter:
    """At most `burst` at once and `rate` a second for each key; the keys that were idle longest are forgotten."""

    def __init__(self, rate: float, burst: int, keys: int = 20_000) -> None:
        self.rate, self.burst, self._keys = rate, burst, keys
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def consume(self, key: str, count: int = 1) -> None:
        """Count a request; Refused (429) where there were too many."""
        now = time.monotonic()
        level, at = self._levels.get(key, (float(self.burst), now))
        level = min(self.burst, level + (now - at) * self.rate)
        self._levels[key] = (level - count if level >= count else level, now)
        self._levels.move_to_end(key)
        if len(self._levels) > self._keys:
            self._levels.popitem(last=False)
        if level < count:
            wait = max(1, round((count - level) / self.rate))
            raise RequestError(
                429,
                f"expected fewer requests, found too many; try again in {wait} s",
                {"Retry-After": str(wait)},
            )


class SecurityMiddleware:
    """The outermost layer."""

    def __init__(
        self, app: Any, *, anyone: Callable[[], bool], refuse: Callable[[RequestError], Any], seen: Any
    ) -> None:
        """`anyone` tells whether there are users, `refuse` makes the answer to a Refused, `seen(status, seconds)` counts."""
        self.app, self.anyone, self.refuse, self.seen = app, anyone, refuse, seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through or turn it away."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        begun, status = time.monotonic(), 0

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = {name for name, _ in message["headers"]}
                ours = _CLIENT_HEADERS if scope["path"].startswith(_CLIENTS) else _HEADERS
                message["headers"] = [*message["headers"], *(each for each in ours if each[0] not in given)]
            await send(message)

        try:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            if not self.anyone():
                _check_local(scope, headers)
            _check_origin(scope, headers)
            limited = _limited(scope, headers, receive)
            await self.app(scope, limited, answer)
        except RequestError as refused:
            if status == 0:
                await self.refuse(refused)(scope, receive, answer)
        except ClientDisconnect:
            pass  # gone before the body was whole: nobody is left to be told
        finally:
            self.seen(status, time.monotonic() - begun)


def _check_local(scope: Scope, headers: dict[str, str]) -> None:
    """Without users only this machine is served, and only by its own names: a foreign page's name may lead here as well."""
    client = scope.get("client")
    host = urlsplit("//" + headers.get("host", "")).hostname if _is_host(headers.get("host", "")) else None
    if (
        (client is not None and client[0] not in _LOOPBACK)
        or host not in _LOCAL_HOSTS
        or "x-forwarded-for" in headers
    ):
        raise RequestError(
            403,
            "expected a user to have been added (`segue user add NAME`) before others than this machine are served",
        )


def _is_host(text: str) -> bool:
    try:
        return bool(urlsplit("//" + text).hostname)
    except ValueError:
        return False


def _check_origin(scope: Scope, headers: dict[str, str]) -> None:
    """A change that a browser asks for must come from our own page. Clients that are no browser send neither header."""
    if scope["method"] in _SAFE or scope["path"].startswith(_CLIENTS):
        return
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    host = headers.get("host", "")
    foreign_origin = origin is not None and origin.partition("://")[2] != host
    if site not in (None, "same-origin", "none") or (site is None and foreign_origin):
        raise RequestError(403, "expected a request from Segue's own page, found one from another site")


def _limited(scope: Scope, headers: dict[str, str], receive: Receive) -> Receive:
    """Return `receive`, but Refused (413) as soon as a body is larger than any request's has to be."""
    most = _MAX_IMPORT_BYTES if scope["path"] == _IMPORT else _MAX_BODY_BYTES
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise RequestError(400, "expected a Content-Length that is a number")
    if int(length) > most:
        raise RequestError(
            413, f"expected at most {most} bytes, found {length[:20]}", {"Connection": "close"}
        )
    read = 0

    async def limited() -> MutableMapping[str, Any]:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > most:
            raise RequestError(413, f"expected at most {most} bytes, found more", {"Connection": "close"})
        return message

    return limited
