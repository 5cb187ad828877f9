"""Ten errands of a listener on the page: presses, keys, and seconds, beside Navidrome's.

The errands are done in a real Chromium, so the presses are those that are needed, and the seconds of the
machine are measured. A person's seconds follow from presses and keys by the keystroke-level model (Card,
Moran and Newell 1980: 1.35 s to decide, 1.1 s to point, 0.2 s to press; 0.28 s a key), for both.
Navidrome's presses are read from its source (github.com/navidrome/navidrome, `ui/src`, commit 295886cb9). Run
`python -m tests.bench.bench_errands`.
"""

import json
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import FilePayload, Locator, Page

from serving.db.accounts import Accounts
from serving.db.database import Database
from tests import browser, synthetic_lake
from tests.services.player import free_port, healthy, start, stop, wait_for

PRESS_S, KEY_S = 1.35 + 1.1 + 0.2, 0.28

# Presses and keys with Navidrome; None where it does not have that.
NAVIDROME: dict[str, tuple[int, int] | None] = {
    "find an album and play it": (2, 7),
    "make a playlist of five tracks": (9, 7),
    "save the queue as a playlist": (2, 7),
    "follow a mix": None,
    "turn off an artist": None,
    "import a history": None,
    "read the lyrics": (1, 0),
    "stop the music in 30 minutes": None,
    "prepare a telephone's player": (0, 0),
    "share a playlist with all listeners": (2, 0),
}


@dataclass
class Hands:
    """Presses and types on a page, and counts both."""

    page: Page
    presses: int = 0
    keys: int = 0

    def press(self, what: str | Locator) -> None:
        """Press an element."""
        (self.page.locator(what).first if isinstance(what, str) else what.first).click()
        self.presses += 1

    def button(self, name: str, role: str = "button") -> None:
        """Press a button, or another element with a role, by its name."""
        self.press(self.page.get_by_role(role, name=name, exact=True))  # type: ignore[arg-type]

    def type(self, text: str) -> None:
        """Type into the element that has the focus."""
        self.page.keyboard.type(text)
        self.keys += len(text)


def find_album(hands: Hands) -> None:
    """Search for an album and play it."""
    hands.press("#q")
    hands.type("álbum 3")
    card = hands.page.locator("main .card:has-text('Álbum 3')")
    card.first.hover()
    hands.press(card.get_by_role("button", name="Play Álbum 3"))
    wait_for(lambda: hands.page.evaluate("segue.track?.album === 'Álbum 3' && segue.playing"))


def make_playlist(hands: Hands) -> None:
    """Make a playlist of five tracks that one search finds."""
    hands.button("Playlists", "link")
    hands.button("New playlist")
    hands.type("Evening")
    hands.button("Create")
    hands.press("[aria-label='Find tracks to add']")
    hands.type("song")
    added = hands.page.locator(".finder .line [aria-label^='Add ']")
    added.first.wait_for()
    for number in range(5):
        hands.press(added.nth(number))
    hands.page.wait_for_selector(".facts:has-text('5 tracks')")


def save_queue(hands: Hands) -> None:
    """Save the queue as a playlist."""
    hands.press(".bar [aria-label=Queue]")
    hands.button("Save as a playlist")
    hands.type("Queue 1")
    hands.button("Create")
    hands.page.wait_for_selector("dialog.ask", state="detached")


def follow_mix(hands: Hands) -> None:
    """Play a mix of the day."""
    hands.button("Home", "link")
    card = hands.page.locator("main .card.mix").first
    card.hover()
    hands.press(card.locator(".go"))
    wait_for(lambda: hands.page.evaluate("segue.queue.length > 4 && segue.playing"))


def turn_off_artist(hands: Hands) -> None:
    """Let the artist that plays not be played any more."""
    hands.press("#next .line [aria-haspopup=menu]")
    hands.press(hands.page.get_by_role("menuitem").last)
    hands.page.wait_for_selector("#toast.visible:has-text('will not be played')")


def import_history(hands: Hands) -> None:
    """Import a history; the file dialog of the system counts as one press."""
    about = {"track_name": "Song A of 0", "artist_name": "Artist 0"}
    listen = json.dumps({"listened_at": 1_700_000_000, "track_metadata": about}).encode()
    hands.button("Settings", "link")
    with hands.page.expect_file_chooser() as chooser:
        hands.press(".drop")
    chooser.value.set_files(FilePayload(name="listens.jsonl", mimeType="application/json", buffer=listen))
    hands.presses += 1
    hands.page.wait_for_selector(".panel [role=status]:has-text('1 listen read')")


def read_lyrics(hands: Hands) -> None:
    """Open the lyrics of the track that plays."""
    hands.press(".bar [aria-label=Lyrics]")
    hands.page.wait_for_selector(".lyrics li")
    hands.page.keyboard.press("Escape")  # not counted: it begins the next errand


def stop_later(hands: Hands) -> None:
    """Set the sleep timer."""
    hands.press(".bar [aria-label='Sleep timer']")
    hands.button("Stop in 30 minutes", "menuitem")
    hands.page.wait_for_selector("#toast.visible")


def prepare_telephone(hands: Hands) -> None:
    """Create an app password."""
    hands.button("Settings", "link")
    hands.press("[aria-label='Name of the client']")
    hands.type("phone")
    hands.button("Create a password")
    hands.page.wait_for_selector(".copied code")


def share_playlist(hands: Hands) -> None:
    """Let all listeners see a playlist."""
    hands.button("Playlists", "link")
    hands.press("main .card:has-text('Evening') a")
    hands.press(".head [aria-haspopup=menu]")
    hands.button("Show to all listeners", "menuitem")
    hands.page.wait_for_selector(".facts:has-text('for all listeners')")


ERRANDS: tuple[Callable[[Hands], None], ...] = (
    *(find_album, make_playlist, save_queue, follow_mix, turn_off_artist),
    *(import_history, read_lyrics, stop_later, prepare_telephone, share_playlist),
)


def _person_s(presses: int, keys: int) -> str:
    return f"{presses} + {keys} keys, {presses * PRESS_S + keys * KEY_S:.0f} s"


def main() -> None:
    """Do all errands; print a table."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "lake"
        lake = synthetic_lake.make(folder, seconds=60.0)
        with closing(Database(lake.root)) as database:
            Accounts(database).add("anna", "a good password", admin=True)
        port = free_port()
        stack.callback(stop, start(lake.root, "serving", "serve", "--port", str(port)))
        wait_for(lambda: healthy(f"http://127.0.0.1:{port}"))
        _, program = stack.enter_context(browser.chromium())
        page = program.new_page(viewport={"width": 1440, "height": 900})
        page.goto(f"http://127.0.0.1:{port}")
        page.fill(".login [name=name]", "anna")
        page.fill(".login [name=password]", "a good password")
        page.click(".login button")
        page.wait_for_selector("#start")
        print("| errand | Segue | of which the machine | Navidrome |\n| --- | --- | --- | --- |")
        for errand, (name, other) in zip(ERRANDS, NAVIDROME.items(), strict=True):
            hands = Hands(page)
            before = time.monotonic()
            errand(hands)
            machine_s = time.monotonic() - before
            theirs = _person_s(*other) if other else "not there"
            print(f"| {name} | {_person_s(hands.presses, hands.keys)} | {machine_s:.1f} s | {theirs} |")


if __name__ == "__main__":
    main()
