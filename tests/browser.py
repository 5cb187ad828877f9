"""The browser of the tests: Debian's Chromium, installed or unpacked by `.ci/browser`, else Playwright's."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

# What `.ci/browser` has unpacked: Chromium, and what starts Playwright's driver with the libraries it needs.
UNPACKED = Path(sys.prefix, "share", "chromium")
if (UNPACKED / "node").exists():
    os.environ.setdefault("PLAYWRIGHT_NODEJS_PATH", str(UNPACKED / "node"))


def path() -> str | None:
    """Return where the browser is, None where there is none that starts."""
    try:
        with sync_playwright() as playwright:
            unpacked = shutil.which("chromium", path=str(UNPACKED))
            found = shutil.which("chromium") or unpacked or playwright.chromium.executable_path
            playwright.chromium.launch(executable_path=found, args=["--no-sandbox"]).close()
            return found
    except Exception:  # noqa: BLE001 - no such file, or a library of the browser's or of the driver's is missing
        return None


@contextmanager
def chromium() -> Iterator[tuple[Playwright, Browser]]:
    """Give Playwright and a headless Chromium; the test is skipped where there is none (and fails in CI)."""
    program = path()
    if program is None:
        pytest.skip("the player was not tried in a browser: type sudo apt-get install chromium libatomic1")
    with sync_playwright() as playwright:
        # Sound without a sound card; a click is still needed before anything plays.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--mute-audio"])
        try:
            yield playwright, browser
        finally:
            browser.close()
