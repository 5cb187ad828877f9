"""Errors of a request, and their form on the wire: problem+json (RFC 9457)."""

from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"


class RequestError(HTTPException):
    """A refused request: its status, and one line that says what was expected and what was found."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, detail, headers)

    def __str__(self) -> str:
        return str(self.detail)


def problem(status: int, detail: str) -> dict[str, Any]:
    """Return the members of an RFC 9457 problem."""
    return {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}


def problem_response(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Return an error as an RFC 9457 response."""
    return JSONResponse(problem(status, detail), status, headers, MEDIA_TYPE)
