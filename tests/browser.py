"""The browser of the tests: Debian's Chromium, installed or unpacked by `.ci/browser`, else Playwright's."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

# Unpacked by `.ci/browser`: Chromium, and the program that starts Playwright's driver with the libraries it
# needs.
UNPACKED = Path(sys.prefix, "share", "chromium")
if (UNPACKED / "node").exists():
    os.environ.setdefault("PLAYWRIGHT_NODEJS_PATH", str(UNPACKED / "node"))


def path() -> str | None:
    """Return the path of a browser that starts, or None."""
    try:
        with sync_playwright() as playwright:
            unpacked = shutil.which("chromium", path=str(UNPACKED))
            program = shutil.which("chromium") or unpacked or playwright.chromium.executable_path
            playwright.chromium.launch(executable_path=program, args=["--no-sandbox"]).close()
            return program
    except Exception:  # noqa: BLE001 - no such file, or a library of the browser or of the driver is missing
        return None


@contextmanager
def chromium() -> Iterator[tuple[Playwright, Browser]]:
    """Yield Playwright and a headless Chromium.

    Skip the test if there is no browser (in CI a skip is a failure).
    """
    program = path()
    if program is None:
        pytest.skip(
            "expected a browser, found none that starts; run sudo apt-get install chromium libatomic1"
        )
    with sync_playwright() as playwright:
        # Playback works without a sound card; the page still needs a click before it may play.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--mute-audio"])
        try:
            yield playwright, browser
        finally:
            browser.close()
