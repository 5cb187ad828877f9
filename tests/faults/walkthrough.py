"""Getting started, replayed in a real browser: from `make run` to `segue down` and back, with a picture of
each step.

    python -m tests.faults.walkthrough [--out walkthrough] [--folder DIR]

Over the demo library and a lake of its own (in a temporary folder, or --folder); about 15 minutes on two
cores. Writes a report with times and output (walkthrough.md), pictures, and an animation of the player
(listening.webp) to --out. Exit 1 if a step differs from what the README promises.
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

# Time limits of a page and of a DAG run.
_PAGE_S, _RUN_S = 60, 1_200

# Demo tracks added to the default sixty.
_MORE = 6

# The recommended list, as the page holds it.
_LIST = "segue.recommended.map((item) => `${item.track.title}: ${item.reason}`)"


class Walkthrough:
    """The report so far: steps with their seconds and output, pictures, animation frames."""

    def __init__(self, folder: Path, out: Path, program: Browser) -> None:
        self.lake, self.out, self.program = folder / "lake", out, program
        self.lines, self.frames = [""] * 0, [Image.Image()] * 0
        out.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Time one step; its headline has the seconds."""
        print(f"== {title}", flush=True)
        at, started = len(self.lines), time.monotonic()
        yield
        self.lines.insert(at, f"\n## {title} ({time.monotonic() - started:.0f} s)\n")

    def report(self, text: str) -> None:
        """Add a line to the report."""
        print(text, flush=True)
        self.lines.append(text)

    def command(self, *words: str, status: int = 0) -> str:
        """Run a command and return its output; the report has the longest wait without a new line."""
        variables, started = environment(self.lake), time.monotonic()
        process = subprocess.Popen(
            words, cwd=ROOT, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        output, silence, last = [], 0.0, started
        for line in process.stdout:
            silence, last = max(silence, time.monotonic() - last), time.monotonic()
            output.append(line)
            print(line, end="", flush=True)
        code, command_line = (
            process.wait(),
            " ".join(Path(word).name if word == SEGUE else word for word in words),
        )
        expect(
            code == status,
            f"`{command_line}`: expected exit {status}, found {code}: {''.join(output)[-500:]}",
        )
        wanted = [line.rstrip() for line in output if not re.match(r"\d\d:\d\d:\d\d ", line)]
        text = re.sub(r"(admin|viewer) / [^\s;]+", r"\1 / ********", "\n".join(wanted))
        self.lines.append(
            f"`{command_line}`, {time.monotonic() - started:.0f} s, "
            f"at most {silence:.0f} s without a line:\n\n```\n{text}\n```\n"
        )
        return "".join(output)

    def page(self, address: str) -> Page:
        """Open a page in a context of its own."""
        page = self.program.new_context(viewport=SIZE).new_page()  # type: ignore[arg-type]
        page.set_default_timeout(_PAGE_S * 1000)
        page.goto(address)
        return page

    def screenshot(self, page: Page, name: str) -> None:
        """Save a screenshot of the page."""
        page.screenshot(path=self.out / f"{name}.jpg", type="jpeg", quality=70)
        self.lines.append(f"![{name}]({name}.jpg)\n")

    def animation_frame(self, page: Page) -> None:
        """Add a screenshot to the animation."""
        command_line = Image.open(io.BytesIO(page.screenshot(type="jpeg", quality=90)))
        self.frames.append(command_line.resize((800, 500), Image.Resampling.LANCZOS))

    def write(self) -> None:
        """Write report and animation."""
        (self.out / "walkthrough.md").write_text("\n".join(self.lines) + "\n")
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
    """Exit with a message unless the condition holds."""
    if not good:
        raise SystemExit(otherwise)


def until(question: Callable[[], Any], what: str, seconds: float = _PAGE_S) -> Any:
    """Poll until the answer is true; return it."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        expect(time.monotonic() < deadline, f"expected {what} within {seconds:.0f} s, found nothing")
        time.sleep(0.2)
    return answer


def first_run(walkthrough: Walkthrough) -> dict[str, str]:
    """Run `make run`; return the printed addresses and Airflow's password."""
    with walkthrough.step("make run"):
        output = walkthrough.command("make", "run")
        found = {
            "player": re.search(r"the player +(http\S+)", output),
            "airflow": re.search(r"Airflow +(http\S+)", output),
            "password": re.search(r"admin / ([^\s;]+)", output),
            "mlflow": re.search(r"MLflow +(http\S+)", output),
        }
    expect(all(found.values()), f"expected addresses and a login, found {output[-800:]}")
    return {name: match[1] for name, match in found.items() if match}


def play_tracks(walkthrough: Walkthrough, address: str) -> None:
    """Play, finish, like, skip; the list must change by itself each time."""
    with walkthrough.step("Listening"):
        page = walkthrough.page(address)
        page.wait_for_selector("#start")
        walkthrough.screenshot(page, "player")
        walkthrough.animation_frame(page)
        page.click("#start")
        until(lambda: page.evaluate("segue.playing && segue.audio.currentTime > 1"), "music")
        walkthrough.animation_frame(page)
        for name, act in {
            "a track to its end": lambda: page.evaluate("segue.seek(segue.duration - 1)"),
            "a like": lambda: page.click(".bar [data-heart]"),
            "a skip": lambda: page.click(".bar [aria-label=Next]"),
            "another track to its end": lambda: page.evaluate("segue.seek(segue.duration - 1)"),
        }.items():
            page.wait_for_timeout(2_500)  # long enough to count as played
            expect_new_list(walkthrough, page, name, act)
        walkthrough.screenshot(page, "player-after")
        page.evaluate("location.hash = '#/map'")
        page.wait_for_selector(".mapbox canvas")
        page.wait_for_timeout(1_000)
        walkthrough.screenshot(page, "map")
        walkthrough.animation_frame(page)
        page.context.close()


def expect_new_list(walkthrough: Walkthrough, page: Page, name: str, act: Callable[[], object]) -> None:
    """Act in the player and wait for a new list."""
    before, playing = page.evaluate(_LIST), page.evaluate("segue.track.title")
    started = time.monotonic()
    act()
    after = until(lambda: (now := page.evaluate(_LIST)) != before and now, f"a new list after {name}")
    seconds = time.monotonic() - started
    page.wait_for_timeout(700)
    walkthrough.animation_frame(page)
    expect(any(": " in line and line.split(": ", 1)[1] for line in after), "expected reasons, found none")
    walkthrough.report(
        f"- {name} ({playing}): a new list after {seconds:.1f} s. Now first: {'; '.join(after[:3])}"
    )


def airflow(walkthrough: Walkthrough, found: dict[str, str]) -> Page:
    """Log in to Airflow with the printed password; return the page."""
    page = walkthrough.page(found["airflow"])
    page.fill("input[name=username]", "admin")
    page.fill("input[name=password]", found["password"])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda address: "login" not in address)
    return page


def trigger(walkthrough: Walkthrough, page: Page, base: str, dag: str) -> None:
    """Press ▶ on a DAG's page and Trigger in its dialog."""
    page.goto(f"{base}/dags/{dag}")
    page.get_by_role("button", name="Trigger", exact=False).first.click()
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    page.wait_for_timeout(1_000)
    walkthrough.screenshot(page, f"airflow-{dag}-dialog")
    dialog.get_by_role("button", name="Trigger", exact=True).click()
    dialog.wait_for(state="hidden")


def wait_for_run(walkthrough: Walkthrough, page: Page, base: str, dag: str) -> None:
    """Wait for a DAG's latest run to end, through the page's own API; it must succeed."""
    started = time.monotonic()

    def state() -> str:
        runs = page.request.get(f"{base}/api/v2/dags/{dag}/dagRuns?order_by=-id&limit=1").json()["dag_runs"]
        return runs[0]["state"] if runs and runs[0]["state"] in ("success", "failed") else ""

    found = until(state, f"the end of {dag}", _RUN_S)
    walkthrough.report(f"- `{dag}`: {found} after {time.monotonic() - started:.0f} s")
    page.goto(f"{base}/dags/{dag}")
    page.wait_for_timeout(3_000)
    walkthrough.screenshot(page, f"airflow-{dag}")
    expect(found == "success", f"expected {dag} to be a success, found {found}")


def more_music(walkthrough: Walkthrough, found: dict[str, str]) -> Page:
    """Add files, press ▶ on `ingest`; `train` follows by itself and the player has the new tracks."""
    with walkthrough.step(f"{_MORE} more tracks, ▶ on ingest"):
        walkthrough.command(SEGUE, "demo", "--out", "demo", "--tracks", str(60 + _MORE))
        page = airflow(walkthrough, found)
        trigger(walkthrough, page, found["airflow"], "ingest")
        wait_for_run(walkthrough, page, found["airflow"], "ingest")
        wait_for_run(walkthrough, page, found["airflow"], "train")
        player = walkthrough.page(found["player"])

        def tracks() -> int:
            return int(player.request.get(f"{found['player']}/api/tracks?limit=1").json()["total"])

        until(lambda: tracks() == 60 + _MORE, f"{60 + _MORE} tracks in the player")
        walkthrough.report(f"- the player has {tracks()} tracks")
        player.context.close()
        return page


def models(walkthrough: Walkthrough, address: str) -> None:
    """Open the model and its runs in MLflow."""
    with walkthrough.step("MLflow"):
        page = walkthrough.page(address)
        page.get_by_text("champion").first.wait_for()
        page.wait_for_timeout(1_500)
        walkthrough.screenshot(page, "mlflow-model")
        page.goto(f"{address.partition('#')[0]}#/experiments/1/runs?workflowType=machine_learning")
        page.get_by_text(", version").first.wait_for()
        page.wait_for_timeout(2_000)
        walkthrough.screenshot(page, "mlflow-runs")
        page.context.close()


def promotions(walkthrough: Walkthrough) -> None:
    """A worse model is refused, an equal one promoted; then roll back."""
    with walkthrough.step("A promotion refused, one granted, and back"):
        for words in (
            ["embed", "--recipe", "fma518", "--dimensions", "1"],
            ["cluster", "--k", "4", "--seeds", "1"],
        ):
            walkthrough.command(SEGUE, *words)
        walkthrough.command(SEGUE, "evaluate")
        output = walkthrough.command(SEGUE, "promote", status=1)
        expect("is not promoted" in output, f"expected a refusal with its reason, found {output}")
        for words in (["embed"], ["cluster", "--seed", "7", "--seeds", "1"], ["evaluate"]):
            walkthrough.command(SEGUE, *words)
        expect("gate passed" in walkthrough.command(SEGUE, "promote"), "expected the promotion to be granted")
        walkthrough.command(SEGUE, "models")
        walkthrough.command(SEGUE, "rollback")


def nightly_run(walkthrough: Walkthrough, page: Page, base: str) -> None:
    """Press ▶ on nightly_refresh, which learns from the plays so far."""
    with walkthrough.step("Nightly run"):
        trigger(walkthrough, page, base, "nightly_refresh")
        wait_for_run(walkthrough, page, base, "nightly_refresh")
        page.context.close()


def end_and_again(walkthrough: Walkthrough) -> None:
    """`segue status`, `segue down`, `make run` again: nothing is processed twice."""
    with walkthrough.step("Down, and make run again"):
        walkthrough.command(SEGUE, "status")
        walkthrough.command(SEGUE, "down")
        expect(
            "0 attempted" in walkthrough.command("make", "run"), "expected the second run to find nothing new"
        )
        walkthrough.command(SEGUE, "down")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path("walkthrough"), help="folder of the report and the pictures"
    )
    parser.add_argument(
        "--folder", type=Path, help="folder of the lake, kept (default: a temporary one, deleted)"
    )
    arguments = parser.parse_args()
    folder = (arguments.folder or Path(tempfile.mkdtemp(prefix="segue-walkthrough-"))).absolute()
    with browser.chromium() as (_, program):
        walkthrough = Walkthrough(folder, arguments.out, program)
        walkthrough.lines.append(f"# Getting started, {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores\n")
        try:
            found = first_run(walkthrough)
            play_tracks(walkthrough, found["player"])
            page = more_music(walkthrough, found)
            models(walkthrough, found["mlflow"])
            promotions(walkthrough)
            nightly_run(walkthrough, page, found["airflow"])
            end_and_again(walkthrough)
        finally:
            walkthrough.write()
            subprocess.run(
                [SEGUE, "down"], env=environment(walkthrough.lake), capture_output=True, check=False
            )
    if not arguments.folder:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
