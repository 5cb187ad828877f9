"""The player in a real browser, over the real store, broker and stream.

Plays reach the stream and change the page.
"""

import json
import urllib.request
from argparse import Namespace
from contextlib import ExitStack

import pytest
from kafka import KafkaConsumer

from jobs.online import mongo
from jobs.plays import topics
from jobs.runtime import embedded_kafka, embedded_mongo, stream_status
from jobs.steps import recommend
from tests import browser, synthetic_lake
from tests.services.accessibility import violations
from tests.services.player import (
    PATIENCE,
    free_port,
    healthy,
    open_page,
    publish,
    start,
    stop,
    until,
    wait_for,
)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return synthetic_lake.make(tmp_path_factory.mktemp("player") / "lake", seconds=8.0)


@pytest.fixture(scope="module")
def services(lake):
    """The address of the player, with MongoDB, Kafka and the stream behind it."""
    with ExitStack() as stack:
        uri = stack.enter_context(embedded_mongo.mongo_uri(None, lake.root))
        stack.enter_context(embedded_kafka.kafka_address(None, lake.root))
        with mongo.database(uri) as database:
            publish(database, lake)
        recommend.main(Namespace(lake=str(lake.root), mongo=uri, master="local[1]"))
        port = free_port()
        for name, *words in (("stream", "stream"), ("serving", "serve", "--port", str(port))):
            stack.callback(stop, start(lake.root, name, *words))
        address = f"http://127.0.0.1:{port}"
        wait_for(lambda: healthy(address))
        wait_for(lambda: stream_status.is_alive(lake.root))
        yield address


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as found:
        yield found


@pytest.fixture(scope="module")
def page(services, chromium):
    return open_page(chromium[1], services)


@pytest.fixture(scope="module")
def sent(lake):
    """Return a function that gives the events in Kafka so far, oldest first."""
    consumer = KafkaConsumer(
        topics.PLAYS,
        bootstrap_servers=embedded_kafka.find_embedded(lake.root),
        auto_offset_reset="earliest",
        group_id=None,
        consumer_timeout_ms=300,
    )
    found = []

    def read():
        found.extend(json.loads(message.value) for message in consumer)
        return found

    yield read
    consumer.close()


def recommended(page):
    return page.evaluate("segue.recommended.map((item) => item.track.id + item.reason)")


def changed(page, before):
    until(
        page,
        "before => JSON.stringify(segue.recommended.map((item) => item.track.id + item.reason)) !== before",
        arg=json.dumps(before, separators=(",", ":"), ensure_ascii=False),
    )


def test_default_list_is_visible_and_plays(page):
    cards = page.locator("#cards .card")
    assert cards.count() >= 8
    page.click("#start")
    until(page, "() => segue.playing && segue.audio.currentTime > 0.5")
    first = page.evaluate("segue.audio.currentTime")
    until(page, "first => segue.audio.currentTime > first + 0.5", arg=first)
    assert page.locator(".bar .big").get_attribute("aria-label") == "Pause"


def test_dragging_the_bar_seeks(page):
    page.locator(".bar .seek input").evaluate(
        "bar => { bar.value = 500; bar.dispatchEvent(new Event('input')); }"
    )
    until(page, "() => segue.audio.currentTime >= 4 && !segue.audio.seeking")
    assert page.evaluate("segue.audio.currentTime") < 5.5


def test_finished_track_reaches_kafka_and_changes_the_list(page, sent):
    """How long it takes is in docs/player.md; here only that nobody asks for it."""
    playing, before = page.evaluate("segue.track.id"), recommended(page)
    page.evaluate("segue.seek(segue.duration - 0.4)")
    until(page, "id => segue.track.id !== id && segue.playing", arg=playing)
    changed(page, before)
    events = wait_for(lambda: [e for e in sent() if e["event"] == "finished"])
    assert (events[0]["track_id"], events[0]["user_id"]) == (playing, "local")
    assert [e["event"] for e in sent() if e["track_id"] == playing][:2] == ["started", "finished"]
    reasons = page.locator(".next .recommended .why").all_inner_texts()
    assert any("sounds like" in reason for reason in reasons)


def test_skip_reaches_kafka_with_its_position(page, sent):
    until(page, "() => segue.started")
    skipped = page.evaluate("segue.track.id")
    page.click(".bar [aria-label=Next]")
    (event,) = wait_for(lambda: [e for e in sent() if e["event"] == "skipped"])
    assert event["track_id"] == skipped and 0 <= event["position_s"] <= 8


def test_like_and_dislike_change_the_page(page, sent, services):
    liked = page.evaluate("segue.track.id")
    before = recommended(page)
    page.click(".bar [data-heart]")
    page.wait_for_selector(".bar [data-heart][aria-pressed=true]")
    wait_for(lambda: [e for e in sent() if (e["event"], e["track_id"]) == ("liked", liked)])
    changed(page, before)
    row = page.locator(".next .recommended .line").first
    unwanted = row.get_attribute("data-track")
    row.locator("[aria-haspopup=menu]").click()
    page.get_by_role("menuitem", name="Less of this").click()
    until(page, "id => !segue.suggestions.some((item) => item.track.id === id)", arg=unwanted)
    wait_for(lambda: [e for e in sent() if (e["event"], e["track_id"]) == ("disliked", unwanted)])
    page.evaluate("location.hash = '#/liked'")
    page.wait_for_selector(f"main [data-track={liked}]")


def test_search_finds_while_typing(page):
    page.fill("#q", "artist 6 song c")
    page.wait_for_selector("main [data-track=t32]")
    assert page.locator("main .line").count() == 1
    page.fill("#q", "<img src=x onerror=alert(1)>")
    page.wait_for_selector("main .empty")


def test_map_plays_the_clicked_track(page, services):
    with urllib.request.urlopen(f"{services}/api/map") as answer:
        visible = json.loads(answer.read())
    assert len(visible["ids"]) == 40
    assert {each["tracks"] for each in visible["names"]} == {5} and len(visible["names"]) == 8
    assert all(any(genre in each["name"] for genre in synthetic_lake.GENRES) for each in visible["names"])
    page.evaluate("location.hash = '#/map'")
    canvas = page.locator(".mapbox canvas")
    canvas.wait_for()
    box = canvas.bounding_box()
    number = visible["ids"].index("t38")
    place = [
        ((visible[axis][number] + 1.08) / 2.16) * box[size]
        for axis, size in (("x", "width"), ("y", "height"))
    ]
    canvas.click(position={"x": place[0], "y": place[1]})
    until(page, "() => segue.track.id === 't38' && segue.playing")


def test_reload_resumes_queue_and_position(page):
    page.evaluate("segue.play([{track: segue.track}, ...segue.suggestions.slice(0, 2)])")
    until(page, "() => segue.playing && segue.audio.currentTime > 0.1")
    page.evaluate("segue.seek(3)")
    until(page, "() => segue.audio.currentTime > 3.2")
    page.evaluate("segue.pause()")
    queue = page.evaluate("segue.queue.map((item) => item.track.id)")
    page.reload()
    page.wait_for_selector("main > *")
    assert page.evaluate("segue.queue.map((item) => item.track.id)") == queue
    assert 3 <= page.evaluate("segue.position") < 8
    page.click(".bar .big")
    until(page, "() => segue.playing && segue.audio.currentTime > 3")


def test_missing_file_is_skipped(page, lake):
    page.evaluate("segue.pause()")
    gone = lake.root / "audio" / "64k" / "t20.wav"
    held = gone.read_bytes()
    gone.unlink()
    try:
        page.evaluate("fetch('/api/tracks/t20').then((a) => a.json()).then((track) => segue.play([{track}]))")
        until(page, "() => segue.track && segue.track.id !== 't20' && segue.playing")
    finally:
        gone.write_bytes(held)


def test_keyboard_alone_is_enough(page):
    page.evaluate("document.activeElement.blur()")
    until(page, "() => segue.playing")
    page.keyboard.press("k")
    until(page, "() => !segue.playing")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "q"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('nav') !== null")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("place", ["", "search/artist", "map", "history", "settings", "liked", "queue"])
def test_axe_finds_no_violation(page, place, scheme):
    page.evaluate("place => (location.hash = `#/${place}`)", place)
    page.wait_for_selector("main > *")
    assert violations(page, scheme) == []


def test_phone_layout_is_complete_without_overflow(services, chromium):
    playwright, program = chromium
    page = program.new_context(**playwright.devices["Pixel 7"]).new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(services)
    page.tap("#start")
    until(page, "() => segue.playing")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.tap(".bar .open")
    page.wait_for_selector("#sheet[open] .front")
    assert page.locator("#sheet .big").bounding_box()["width"] >= 44
    assert page.evaluate("document.querySelector('#sheet').scrollWidth <= innerWidth")
    assert violations(page) == []
    page.close()


def test_page_stays_within_its_size(services, chromium):
    """200 KiB without audio and covers is the goal; nothing is fetched from elsewhere."""
    page = chromium[1].new_context().new_page()
    sizes = {}
    page.on("response", lambda r: sizes.update({r.url: int(r.headers.get("content-length", 0))}))
    page.goto(services)
    page.wait_for_selector("#start")
    page.close()
    assert len(sizes) > 8 and all(url.startswith(services) for url in sizes)
    assert sum(size for url, size in sizes.items() if "/cover" not in url) < 200 * 1024


def test_console_is_silent(page):
    assert [line for line in page.console if "404" not in line and "t20" not in line] == []
