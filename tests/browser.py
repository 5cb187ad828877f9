"""The browser of the tests: Debian's Chromium, installed or unpacked by `.ci/browser`, else the one Playwright has fetched."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Playwright, sync_playwright

UNPACKED = str(Path(sys.prefix, "share", "chromium"))


def path() -> str | None:
    """Return where the browser is, None where there is none that starts."""
    with sync_playwright() as playwright:
        found = (
            shutil.which("chromium") or shutil.which("chromium", path=UNPACKED) or playwright.chromium.executable_path
        )
        try:
            playwright.chromium.launch(executable_path=found, args=["--no-sandbox"]).close()
        except Error:  # no such file, or its libraries are missing
            return None
        return found


@contextmanager
def chromium() -> Iterator[tuple[Playwright, Browser]]:
    """Give Playwright and a headless Chromium; the test is skipped where there is none (and fails in CI)."""
    program = path()
    if program is None:
        pytest.skip("the player was not tried in a browser: type sudo apt-get install chromium")
    with sync_playwright() as playwright:
        # Sound without a sound card; a click is still needed before anything plays.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--mute-audio"])
        try:
            yield playwright, browser
        finally:
            browser.close()
