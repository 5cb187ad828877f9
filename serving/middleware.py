"""Checks on every request (host, origin, size) and security headers on every answer.

Plain ASGI: Starlette's BaseHTTPMiddleware buffers, which would hold back event streams.
"""

import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect

from serving.problems import RequestError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_SAFE = ("GET", "HEAD", "OPTIONS")
_LOOPBACK = ("127.0.0.1", "::1", "testclient")
_LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1", "testserver")

# Limits of a body; ListenBrainz clients send up to 1,000 listens at once, Subsonic's queues of thousands.
_MAX_BODY_BYTES, _MAX_IMPORT_BYTES = 64 * 1024, 2 * 1024 * 1024
# A listening history is written to a file as it comes.
_MAX_HISTORY_BYTES = 512 * 1024 * 1024
_IMPORT = ("/1/submit-listens", "/rest/", "/api/playlists", "/api/tracks/list")

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


# The APIs of other clients accept app passwords only, no cookie: their web pages may call them and show
# covers.
_CLIENTS = ("/rest/", "/1/")
_CLIENT_HEADERS = [
    *(header for header in _HEADERS if header[0] != b"cross-origin-resource-policy"),
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-headers", b"*, Authorization"),
    (b"access-control-allow-methods", b"GET, POST, HEAD"),
]


class SecurityMiddleware:
    """The outermost layer of the application."""

    def __init__(
        self,
        app: Any,
        *,
        has_users: Callable[[], bool],
        error_response: Callable[[RequestError], Any],
        record_request: Any,
    ) -> None:
        """Wrap `app`.

        Parameters
        ----------
        app
            The ASGI application.
        has_users
            Whether there are users.
        error_response
            Returns the ASGI response to a RequestError.
        record_request
            Called with status and seconds after each request.
        """
        self.app, self.has_users, self.error_response, self.record_request = (
            app,
            has_users,
            error_response,
            record_request,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        started, status = time.monotonic(), 0
        # A client whose address of the server ends in a slash asks for //rest/ping.
        scope = {**scope, "path": re.sub("/{2,}", "/", scope["path"])}

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                present = {name for name, _ in message["headers"]}
                added = _CLIENT_HEADERS if scope["path"].startswith(_CLIENTS) else _HEADERS
                message["headers"] = [
                    *message["headers"],
                    *(header for header in added if header[0] not in present),
                ]
            await send(message)

        try:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            if not self.has_users():
                _check_local(scope, headers)
            _check_origin(scope, headers)
            body_limited = _limit_body(scope, headers, receive)
            await self.app(scope, body_limited, answer)
        except RequestError as refused:
            if status == 0:
                await self.error_response(refused)(scope, receive, answer)
        except ClientDisconnect:
            pass  # the client left before its body was complete
        finally:
            self.record_request(status, time.monotonic() - started)


def _check_local(scope: Scope, headers: dict[str, str]) -> None:
    """Without users, serve this machine only, and only under its own names (DNS rebinding)."""
    client = scope.get("client")
    host = urlsplit("//" + headers.get("host", "")).hostname if _is_host(headers.get("host", "")) else None
    if (
        (client is not None and client[0] not in _LOOPBACK)
        or host not in _LOCAL_HOSTS
        or "x-forwarded-for" in headers
    ):
        raise RequestError(
            403,
            "expected a request from this machine: without users (`segue user add NAME`) no other is served",
        )


def _is_host(text: str) -> bool:
    try:
        return bool(urlsplit("//" + text).hostname)
    except ValueError:
        return False


def _check_origin(scope: Scope, headers: dict[str, str]) -> None:
    """Refuse changes that a browser requests from another site. Other clients send neither header."""
    if scope["method"] in _SAFE or scope["path"].startswith(_CLIENTS):
        return
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    host = headers.get("host", "")
    foreign_origin = origin is not None and origin.partition("://")[2] != host
    if site not in (None, "same-origin", "none") or (site is None and foreign_origin):
        raise RequestError(403, "expected a request from Segue's own page, found one from another site")


def _limit_body(scope: Scope, headers: dict[str, str], receive: Receive) -> Receive:
    """Return `receive` with a size limit: it raises RequestError (413) for a body that is too large."""
    limit = _MAX_IMPORT_BYTES if scope["path"].startswith(_IMPORT) else _MAX_BODY_BYTES
    if scope["path"] == "/api/history-import":
        limit = _MAX_HISTORY_BYTES
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise RequestError(400, "expected a Content-Length that is a number")
    if int(length) > limit:
        raise RequestError(
            413, f"expected at most {limit} bytes, found {length[:20]}", {"Connection": "close"}
        )
    read = 0

    async def limited() -> MutableMapping[str, Any]:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > limit:
            raise RequestError(413, f"expected at most {limit} bytes, found more", {"Connection": "close"})
        return message

    return limited
