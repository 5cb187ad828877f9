"""What axe finds on a page of the player."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page


def violations(page: Page, scheme: str | None = None) -> list[tuple[str, list[str]]]:
    """Return the rules of WCAG that the page breaks, with at most three elements each.

    Without motion, in the colours of `scheme` if given: a line or message that fades has no contrast.
    """
    page.emulate_media(reduced_motion="reduce", **({"color_scheme": scheme} if scheme else {}))
    page.wait_for_timeout(150)
    found = Axe().run(page).response["violations"]
    page.emulate_media(reduced_motion="no-preference", **({"color_scheme": "light"} if scheme else {}))
    return [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found]
