"""A newcomer's hour, replayed: from `make run` to `segue down` and back, in a real browser, with a picture of each step.

    python -m tests.faults.walkthrough [--out hour] [--folder DIR]

Over the demo library and a lake of its own (in a temporary folder, else --folder), on two cores some 15 minutes. Writes to
--out what was done, how long it took and what was said (hour.md), the pictures, and what listening looks like
(listening.webp). Exit 1 where a step ends otherwise than the README leads one to expect.
"""

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page

from tests import browser
from tests.services.conftest import SEGUE, environment

ROOT = Path(__file__).resolve().parents[2]
SIZE = {"width": 1280, "height": 800}

# Seconds that a page may take for what is shown at once; a run of a DAG.
_PAGE_S, _RUN_S = 60, 1_200

# New tracks of the demo library, after its own sixty.
_MORE = 6

# What the recommended list holds, as the page has it.
_LIST = "segue.recommended.map((item) => `${item.track.title}: ${item.reason}`)"


class Hour:
    """What was done so far: steps with their seconds, what each said, pictures."""

    def __init__(self, folder: Path, out: Path, program: Browser) -> None:
        self.lake, self.out, self.program = folder / "lake", out, program
        self.lines, self.frames = [""] * 0, [Image.Image()] * 0
        out.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Count the seconds of one step; they are its headline."""
        print(f"== {title}", flush=True)
        at, begun = len(self.lines), time.monotonic()
        yield
        self.lines.insert(at, f"\n## {title} ({time.monotonic() - begun:.0f} s)\n")

    def say(self, text: str) -> None:
        """Add a line to the report."""
        print(text, flush=True)
        self.lines.append(text)

    def command(self, *words: str, status: int = 0) -> str:
        """Type a command, wait for its end; return what it said. The longest wait without a new line is noted."""
        given, begun = environment(self.lake), time.monotonic()
        process = subprocess.Popen(
            words, cwd=ROOT, env=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        said, silence, last = [], 0.0, begun
        for line in process.stdout:
            silence, last = max(silence, time.monotonic() - last), time.monotonic()
            said.append(line)
            print(line, end="", flush=True)
        code, shown = process.wait(), " ".join(Path(word).name if word == SEGUE else word for word in words)
        expect(code == status, f"`{shown}`: expected exit {status}, found {code}: {''.join(said)[-500:]}")
        wanted = [line.rstrip() for line in said if not re.match(r"\d\d:\d\d:\d\d ", line)]
        text = re.sub(r"(admin|viewer) / [^\s;]+", r"\1 / ********", "\n".join(wanted))
        self.lines.append(
            f"`{shown}`, {time.monotonic() - begun:.0f} s, at most {silence:.0f} s without a line:\n\n```\n{text}\n```\n"
        )
        return "".join(said)

    def page(self, address: str) -> Page:
        """Open a page in a context of its own."""
        page = self.program.new_context(viewport=SIZE).new_page()  # type: ignore[arg-type]
        page.set_default_timeout(_PAGE_S * 1000)
        page.goto(address)
        return page

    def picture(self, page: Page, name: str) -> None:
        """Keep what the page shows."""
        page.screenshot(path=self.out / f"{name}.jpg", type="jpeg", quality=70)
        self.lines.append(f"![{name}]({name}.jpg)\n")

    def frame(self, page: Page) -> None:
        """Keep what the page shows for the animation."""
        shown = Image.open(io.BytesIO(page.screenshot(type="jpeg", quality=90)))
        self.frames.append(shown.resize((800, 500), Image.Resampling.LANCZOS))

    def write(self) -> None:
        """Write report and animation."""
        (self.out / "hour.md").write_text("\n".join(self.lines) + "\n")
        if self.frames:
            first, *rest = self.frames
            first.save(
                self.out / "listening.webp",
                save_all=True,
                append_images=rest,
                duration=1100,
                loop=0,
                quality=60,
                method=6,
            )


def expect(good: bool, otherwise: str) -> None:
    """End the hour where something is not as expected."""
    if not good:
        raise SystemExit(otherwise)


def until(question: Callable[[], Any], what: str, seconds: float = _PAGE_S) -> Any:
    """Ask until the answer is true; return it."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        expect(time.monotonic() < deadline, f"expected {what} within {seconds:.0f} s, found nothing of it")
        time.sleep(0.2)
    return answer


def first_run(hour: Hour) -> dict[str, str]:
    """`make run`; return the addresses that it prints, and Airflow's login."""
    with hour.step("make run"):
        said = hour.command("make", "run")
        found = {
            "player": re.search(r"the player +(http\S+)", said),
            "airflow": re.search(r"Airflow +(http\S+)", said),
            "password": re.search(r"admin / ([^\s;]+)", said),
            "mlflow": re.search(r"MLflow +(http\S+)", said),
        }
    expect(all(found.values()), f"expected addresses and a login, found {said[-800:]}")
    return {name: match[1] for name, match in found.items() if match}


def listen(hour: Hour, address: str) -> None:
    """Play, let a track end, skip, like, dislike; each time the list must change by itself."""
    with hour.step("Listening"):
        page = hour.page(address)
        page.wait_for_selector("#start")
        hour.picture(page, "player")
        hour.frame(page)
        page.click("#start")
        until(lambda: page.evaluate("segue.playing && segue.audio.currentTime > 1"), "music")
        hour.frame(page)
        for name, act in {
            "a track to its end": lambda: page.evaluate("segue.seek(segue.duration - 1)"),
            "a like": lambda: page.click(".bar [data-heart]"),
            "a skip": lambda: page.click(".bar [aria-label=Next]"),
            "another track to its end": lambda: page.evaluate("segue.seek(segue.duration - 1)"),
        }.items():
            page.wait_for_timeout(2_500)  # long enough to have been heard
            heard(hour, page, name, act)
        hour.picture(page, "player-after")
        page.evaluate("location.hash = '#/map'")
        page.wait_for_selector(".mapbox canvas")
        page.wait_for_timeout(1_000)
        hour.picture(page, "map")
        hour.frame(page)
        page.context.close()


def heard(hour: Hour, page: Page, name: str, act: Callable[[], object]) -> None:
    """Do something that is heard of, and wait for the other list."""
    before, playing = page.evaluate(_LIST), page.evaluate("segue.track.title")
    begun = time.monotonic()
    act()
    after = until(lambda: (now := page.evaluate(_LIST)) != before and now, f"another list after {name}")
    seconds = time.monotonic() - begun
    page.wait_for_timeout(700)
    hour.frame(page)
    expect(any(": " in line and line.split(": ", 1)[1] for line in after), "expected reasons, found none")
    hour.say(f"- {name} ({playing}): another list after {seconds:.1f} s. Now first: {'; '.join(after[:3])}")


def airflow(hour: Hour, found: dict[str, str]) -> Page:
    """Log in, as the printed lines say; return the page."""
    page = hour.page(found["airflow"])
    page.fill("input[name=username]", "admin")
    page.fill("input[name=password]", found["password"])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda address: "login" not in address)
    return page


def press(hour: Hour, page: Page, base: str, dag: str) -> None:
    """Press ▶ on a DAG, in its page's dialog too."""
    page.goto(f"{base}/dags/{dag}")
    page.get_by_role("button", name="Trigger", exact=False).first.click()
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    page.wait_for_timeout(1_000)
    hour.picture(page, f"airflow-{dag}-dialog")
    dialog.get_by_role("button", name="Trigger", exact=True).click()
    dialog.wait_for(state="hidden")


def ended(hour: Hour, page: Page, base: str, dag: str) -> None:
    """Wait for the end of a DAG's latest run, by what the page itself asks; it must be a success."""
    begun = time.monotonic()

    def state() -> str:
        runs = page.request.get(f"{base}/api/v2/dags/{dag}/dagRuns?order_by=-id&limit=1").json()["dag_runs"]
        return runs[0]["state"] if runs and runs[0]["state"] in ("success", "failed") else ""

    found = until(state, f"the end of {dag}", _RUN_S)
    hour.say(f"- `{dag}`: {found} after {time.monotonic() - begun:.0f} s")
    page.goto(f"{base}/dags/{dag}")
    page.wait_for_timeout(3_000)
    hour.picture(page, f"airflow-{dag}")
    expect(found == "success", f"expected {dag} to be a success, found {found}")


def more_music(hour: Hour, found: dict[str, str]) -> Page:
    """Add files to the folder, press ▶ on `ingest`; `train` follows by itself, and the player has them."""
    with hour.step(f"{_MORE} more tracks, ▶ on ingest"):
        hour.command(SEGUE, "demo", "--out", "demo", "--tracks", str(60 + _MORE))
        page = airflow(hour, found)
        press(hour, page, found["airflow"], "ingest")
        ended(hour, page, found["airflow"], "ingest")
        ended(hour, page, found["airflow"], "train")
        player = hour.page(found["player"])

        def tracks() -> int:
            return int(player.request.get(f"{found['player']}/api/tracks?limit=1").json()["total"])

        until(lambda: tracks() == 60 + _MORE, f"{60 + _MORE} tracks in the player")
        hour.say(f"- the player has {tracks()} tracks")
        player.context.close()
        return page


def models(hour: Hour, address: str) -> None:
    """What MLflow shows of it."""
    with hour.step("MLflow"):
        page = hour.page(address)
        page.get_by_text("champion").first.wait_for()
        page.wait_for_timeout(1_500)
        hour.picture(page, "mlflow-model")
        page.goto(f"{address.partition('#')[0]}#/experiments/1/runs?workflowType=machine_learning")
        page.get_by_text(", version").first.wait_for()
        page.wait_for_timeout(2_000)
        hour.picture(page, "mlflow-runs")
        page.context.close()


def promotions(hour: Hour) -> None:
    """A model that is worse is refused, one that is as good is granted; then one step back."""
    with hour.step("A promotion refused, one granted, and back"):
        for words in (
            ["embed", "--recipe", "fma518", "--dimensions", "1"],
            ["cluster", "--k", "4", "--seeds", "1"],
        ):
            hour.command(SEGUE, *words)
        hour.command(SEGUE, "evaluate")
        said = hour.command(SEGUE, "promote", status=1)
        expect("is not promoted" in said, f"expected a refusal with its reason, found {said}")
        for words in (["embed"], ["cluster", "--seed", "7", "--seeds", "1"], ["evaluate"]):
            hour.command(SEGUE, *words)
        expect("gate passed" in hour.command(SEGUE, "promote"), "expected the promotion to be granted")
        hour.command(SEGUE, "models")
        hour.command(SEGUE, "rollback")


def night(hour: Hour, page: Page, base: str) -> None:
    """▶ on nightly_refresh: what was played meanwhile is learned from."""
    with hour.step("A night"):
        press(hour, page, base, "nightly_refresh")
        ended(hour, page, base, "nightly_refresh")
        page.context.close()


def end_and_again(hour: Hour) -> None:
    """`segue status`, `segue down`, `make run` once more: nothing is done twice."""
    with hour.step("Down, and make run again"):
        hour.command(SEGUE, "status")
        hour.command(SEGUE, "down")
        expect("0 tried now" in hour.command("make", "run"), "expected the second run to find nothing new")
        hour.command(SEGUE, "down")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("hour"), help="folder of report and pictures")
    parser.add_argument(
        "--folder", type=Path, help="of the lake, which stays; else a temporary one, which goes"
    )
    arguments = parser.parse_args()
    folder = (arguments.folder or Path(tempfile.mkdtemp(prefix="segue-hour-"))).absolute()
    with browser.chromium() as (_, program):
        hour = Hour(folder, arguments.out, program)
        hour.lines.append(f"# A newcomer's hour, {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores\n")
        try:
            found = first_run(hour)
            listen(hour, found["player"])
            page = more_music(hour, found)
            models(hour, found["mlflow"])
            promotions(hour)
            night(hour, page, found["airflow"])
            end_and_again(hour)
        finally:
            hour.write()
            subprocess.run([SEGUE, "down"], env=environment(hour.lake), capture_output=True, check=False)
    if not arguments.folder:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
