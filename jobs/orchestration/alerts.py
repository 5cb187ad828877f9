"""Alerts of failed and late DAG runs. The DAGs import this module, so it imports nothing heavy."""

import json
import logging
import urllib.request
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any

from jobs import settings

log = logging.getLogger("segue")

# Seconds that the webhook may take.
_WEBHOOK_LIMIT_S = 10


def alert(context: Any) -> None:
    """Report a failed or late run: in the log, in the lake's alerts.log, and to the webhook if any."""
    run = context["dag_run"]
    what = "did not finish in time" if context.get("reason") == "timed_out" else "failed"
    _send_alert(f"{context['dag'].dag_id} {what} ({run.run_id}); the previous model serves on")


def _send_alert(text: str) -> None:
    given = settings.dag_settings()
    log.error("ALERT: %s", text)
    logs = settings.lake_path(given["lake"] or "lake") / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with (logs / "alerts.log").open("a") as file:
        file.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}\n")
    if given["webhook"]:
        _post(given["webhook"], {"text": f"Segue: {text}"})


def _post(url: str, body: dict[str, str]) -> None:
    """Post JSON to a webhook. A failure is logged: the DAG run has failed already."""
    try:
        request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=_WEBHOOK_LIMIT_S).close()
    except (OSError, ValueError, HTTPException) as error:  # ValueError: not a URL
        log.error("the webhook did not accept the alert: %s", error)
