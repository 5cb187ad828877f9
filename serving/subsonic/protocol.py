"""Requests and answers of the OpenSubsonic API: parameters in, XML or JSON out, Subsonic's error codes."""

import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import msgspec
from fastapi import Response

from serving.app_state import AppState
from serving.db.accounts import User
from serving.subsonic.library_view import LibraryView

VERSION = "1.16.1"
_NAMESPACE = "http://subsonic.org/restapi"

# What no XML 1.0 document may hold.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# Error codes: https://opensubsonic.netlify.app/docs/responses/error/
GENERIC, MISSING = 0, 10
WRONG_CREDENTIALS, CONFLICTING, INVALID_API_KEY, FORBIDDEN, NOT_FOUND = 40, 43, 44, 50, 70


class SubsonicError(Exception):
    """A failed request: one of Subsonic's error codes, and one line."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Query:
    """The parameters of a request; each may occur several times."""

    def __init__(self, values: dict[str, list[str]]) -> None:
        self._values = values

    def all(self, name: str) -> list[str]:
        """Return every value of a parameter."""
        return self._values.get(name, [])

    def text(self, name: str, default: str | None = None) -> str:
        """Return a parameter. Raises SubsonicError if it is missing and has no default."""
        found = self._values.get(name)
        if found:
            return found[0]
        if default is None:
            raise SubsonicError(MISSING, f"expected the parameter {name}, found none")
        return default

    def number(self, name: str, default: int, maximum: int = 500) -> int:
        """Return a parameter as a number, at most `maximum`; an empty one is left out.

        Raises SubsonicError for other text.
        """
        text = self.text(name, "") or str(default)
        if not text.isascii() or not text.isdecimal():
            raise SubsonicError(GENERIC, f"{name}: expected a number, found {ascii(text)[:40]}")
        return min(int(text[:9]), maximum)


class SubsonicRequest:
    """One request: user, method, parameters, and the parts to answer it with."""

    def __init__(
        self,
        state: AppState,
        user: User,
        query: Query,
        name: str,
        *,
        base_url: str = "/",
        body: bytes = b"",
        if_none_match: str = "",
    ) -> None:
        self.state, self.user, self.query, self.name = state, user, query, name
        # The server's address as the client knows it, with a slash at its end; and what a POST has sent.
        self.base_url, self.body = base_url, body
        self.if_none_match = if_none_match
        self.library = LibraryView(state, user)

    def known_track_ids(self, track_ids: list[str]) -> list[str]:
        """Return the ids, without empty ones. Raises RequestError (404) for an unknown track."""
        return [self.state.track(track_id).track_id for track_id in track_ids if track_id]

    def is_own_name(self) -> bool:
        """Return whether the parameter `username`, if there is one, is the user's name, in any case."""
        return self.query.text("username", self.user.name).casefold() == self.user.name.casefold()


Answer = dict[str, Any] | Response
METHODS: dict[str, Callable[[SubsonicRequest], Answer]] = {}


def method(
    *names: str,
) -> Callable[[Callable[[SubsonicRequest], Answer]], Callable[[SubsonicRequest], Answer]]:
    """Register a function as the handler of these methods."""

    def register(function: Callable[[SubsonicRequest], Answer]) -> Callable[[SubsonicRequest], Answer]:
        METHODS.update(dict.fromkeys(names, function))
        return function

    return register


def render(query: Query, content: dict[str, Any], status: str = "ok", *, status_code: int = 200) -> Response:
    """Return an answer in the requested format, XML or JSON."""
    head = {
        "status": status,
        "version": VERSION,
        "type": "segue",
        "serverVersion": "0.2",
        "openSubsonic": True,
    }
    form = query.text("f", "xml")
    if form in ("json", "jsonp"):
        # Twelve times as fast as the standard library's: an answer may have 500 albums.
        body = msgspec.json.encode({"subsonic-response": {**head, **content}})
        callback = query.text("callback", "")
        if form == "jsonp" and re.fullmatch(r"[A-Za-z_$][\w$.]{0,99}", callback, re.ASCII):
            script = b"%s(%s);" % (callback.encode(), body)
            return Response(script, status_code, media_type="application/javascript")
        return Response(body, status_code, media_type="application/json")
    root = ElementTree.Element("subsonic-response", {"xmlns": _NAMESPACE})
    _fill(root, {**head, **content})
    text = ElementTree.tostring(root, "utf-8", xml_declaration=True)
    return Response(text, status_code, media_type="application/xml")


def _fill(element: ElementTree.Element, content: dict[str, Any]) -> None:
    """Write plain values as attributes, dicts as elements, lists as one element per item."""
    for name, value in content.items():
        if isinstance(value, dict):
            _fill(ElementTree.SubElement(element, name), value)
        elif isinstance(value, list):
            for item in value:
                child = ElementTree.SubElement(element, name)
                if isinstance(item, dict):
                    _fill(child, item)
                else:
                    child.text = _plain(item)
        elif name == "value":
            element.text = _plain(value)
        elif value is not None:
            element.set(name, _plain(value))


def _plain(value: Any) -> str:
    """Return a value as text of the characters that XML 1.0 allows, up to U+10FFFF."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return _NOT_XML.sub("", text)
