"""The page in a real browser with MongoDB and Kafka, without the stream: all functions, then outages."""

import http.client
import json
import os
import signal
import struct
from contextlib import ExitStack, closing, contextmanager

import pytest
from filelock import FileLock
from kafka import KafkaConsumer

from jobs.online import mongo
from jobs.plays import topics
from jobs.recommender import profiles
from jobs.runtime import embedded_kafka, embedded_mongo, embedded_server
from serving.db.accounts import Accounts
from serving.db.database import Database
from tests import browser, synthetic_lake
from tests.services.accessibility import violations
from tests.services.player import (
    PATIENCE,
    free_port,
    get,
    healthy,
    open_page,
    publish,
    recommend,
    start,
    stop,
    until,
    wait_for,
)
from tests.unit.recommender.conftest import make_event

# Records the media key handlers that the page registers, and its cumulative layout shift.
_WATCH = """
window.keys = {};
MediaSession.prototype.setActionHandler = (name, action) => (keys[name] = action);
window.layoutShift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) layoutShift += entry.value;
}).observe({type: "layout-shift", buffered: true});
"""


class Serving:
    """`segue serve` over the synthetic lake, always on the same port, with embedded Kafka and MongoDB."""

    def __init__(self, lake):
        self.lake = lake
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.kafka = ExitStack()
        self.start_kafka()
        self.start()

    def start(self):
        self.process = start(self.lake.root, "serving", "serve", "--port", str(self.port))
        wait_for(lambda: (healthy(self.address) or {}).get("mongo"))

    def start_kafka(self):
        address = self.kafka.enter_context(embedded_kafka.kafka_address(None, self.lake.root))
        topics.ensure_topics(address)

    def kill(self, program):
        """Kill an embedded server (kill -9)."""
        os.kill(embedded_server.read_state(program, self.lake.root / program.name)[1], signal.SIGKILL)

    def database(self):
        return mongo.database(embedded_server.read_state(embedded_mongo.MONGO, self.lake.root / "mongo")[0])

    def close(self):
        stop(self.process)
        self.kafka.close()


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return synthetic_lake.make(tmp_path_factory.mktemp("page") / "lake", seconds=8.0)


@pytest.fixture(scope="module")
def serving(lake):
    running = Serving(lake)
    with running.database() as database:
        publish(database, lake)
        recommend(database, *(f"t{n:02d}" for n in range(0, 40, 3)))
    yield running
    running.close()


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as (_, instance):
        yield instance


@pytest.fixture(scope="module")
def page(serving, chromium):
    return open_page(chromium, serving.address, scripts=[_WATCH])


def play(page, *track_ids):
    """Play these tracks as a queue, like a click on a list."""
    page.evaluate(
        """(ids) => Promise.all(ids.map((id) => fetch(`/api/tracks/${id}`).then((answer) => answer.json())))
          .then((tracks) => segue.play(tracks))""",
        list(track_ids),
    )
    playing(page, track_ids[0])


def playing(page, track_id):
    until(page, "id => segue.track?.id === id && segue.playing && segue.started", arg=track_id)


def end(page):
    """Seek to just before the track's end."""
    page.evaluate("segue.seek(segue.duration - 0.3)")


def go(page, address, selector):
    """Open an address of the page and wait until an element of its view is shown."""
    page.evaluate("address => (location.hash = address)", address)
    page.wait_for_selector(selector)


@contextmanager
def held_requests(page, path):
    """Hold back the page's requests of an API path.

    Yields a function that waits for a number of requests and returns all of them.
    """
    routes = []

    def wait_for_requests(count):
        # Playwright processes events only during one of its own calls.
        wait_for(lambda: page.evaluate("true") and len(routes) >= count)
        return list(routes)

    page.route(f"**/api/{path}", lambda route: routes.append(route))
    try:
        yield wait_for_requests
    finally:
        page.unroute(f"**/api/{path}")


def menu(page, track_id, name):
    page.locator(f"main [data-track={track_id}] [aria-haspopup=menu]").first.click()
    page.get_by_role("menuitem", name=name).click()


# --- functions ---


def test_loading_shifts_no_layout(page):
    until(page, "() => [...document.images].every((image) => image.complete || image.loading === 'lazy')")
    assert page.evaluate("layoutShift") < 0.02


def test_page_can_be_installed(page, serving):
    session = page.context.new_cdp_session(page)
    assert session.send("Page.getAppManifest")["errors"] == []
    errors = session.send("Page.getInstallabilityErrors")["installabilityErrors"]
    assert {error["errorId"] for error in errors} <= {"in-incognito"}  # like every page of a test
    icons = page.evaluate(
        """() => fetch("/static/manifest.webmanifest").then((a) => a.json()).then(async ({icons}) => {
          const headers = {};
          for (const {src, sizes, type} of icons) if (type === "image/png")
            headers[sizes] = [...new Uint8Array(await (await fetch(src)).arrayBuffer()).slice(0, 24)];
          return headers;
        })"""
    )
    assert {"192x192", "512x512"} == {
        "x".join(map(str, struct.unpack(">II", bytes(b)[16:24]))) for b in icons.values()
    }


def test_shuffle_permutes_only_upcoming_tracks(page):
    ids = [f"t{n}" for n in range(10, 30)]
    play(page, *ids)
    page.click(".bar [aria-label=Shuffle]")
    page.wait_for_selector(".bar [aria-label=Shuffle][aria-pressed=true]")
    shuffled = page.evaluate("segue.queue.map((item) => item.track.id)")
    assert shuffled != ids and sorted(shuffled) == ids and shuffled[0] == "t10"
    page.click(".bar [aria-label=Shuffle]")
    page.wait_for_selector(".bar [aria-label=Shuffle][aria-pressed=false]")


def test_repeat_restarts_the_track_or_the_queue(page):
    play(page, "t01", "t02")
    page.click(".bar [aria-label='Repeat: off']")
    page.click(".bar [aria-label='Repeat: the queue']")
    end(page)
    until(page, "() => segue.track.id === 't01' && segue.playing && segue.position < 2")
    page.click(".bar [aria-label='Repeat: this track']")
    page.click(".bar [aria-label='Repeat: off']")
    page.keyboard.press("n")
    playing(page, "t02")
    end(page)
    playing(page, "t01")
    page.evaluate("segue.repeat = 'off'")


def test_next_track_is_preloaded(page):
    play(page, "t03", "t04")
    until(
        page,
        "() => segue.audios[1].src.endsWith('/api/tracks/t04/audio') && segue.audios[1].readyState === 4",
    )
    end(page)
    playing(page, "t04")


def test_media_keys_control_the_player(page):
    play(page, "t06", "t07")
    assert page.evaluate("navigator.mediaSession.metadata.title") == "Song B of 1"
    assert page.evaluate("navigator.mediaSession.metadata.artwork.length") == 3
    page.evaluate("keys.pause()")
    until(page, "() => !segue.playing && navigator.mediaSession.playbackState === 'paused'")
    page.evaluate("keys.play()")
    until(page, "() => segue.playing")
    page.evaluate("keys.seekto({seekTime: 5})")
    until(page, "() => segue.position >= 5")
    page.evaluate("keys.seekbackward({seekOffset: 4})")
    until(page, "() => segue.position < 4")
    page.evaluate("keys.nexttrack()")
    playing(page, "t07")
    page.evaluate("keys.previoustrack()")
    playing(page, "t06")


def test_keyboard_shortcuts_control_the_player(page):
    play(page, "t13", "t14")
    page.evaluate("document.activeElement.blur()")
    for key, expected in (
        ("s", "segue.shuffle"),
        ("s", "!segue.shuffle"),
        ("r", "segue.repeat === 'all'"),
        ("r", "segue.repeat === 'one'"),
        ("r", "segue.repeat === 'off'"),
        ("l", "segue.track.liked === true"),
        ("l", "segue.track.liked === null"),
        ("ArrowRight", "segue.position >= 5"),
        ("ArrowLeft", "segue.position < 4"),
        ("n", "segue.track.id === 't14' && segue.playing"),
        ("p", "segue.track.id === 't13' && segue.playing"),
        (" ", "!segue.playing"),
    ):
        page.keyboard.press(key)
        until(page, f"() => {expected}")


def test_arrow_keys_move_on_the_map(page):
    go(page, "#/map", ".mapbox canvas")
    page.locator(".mapbox canvas").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(
        ".mapbox .tip:not([hidden]):has-text('Artist 2')"
    )  # the artist of t13, the track played last
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    until(page, "() => segue.current.reason === 'from the map' && segue.playing")


def test_path_on_the_map_becomes_a_playlist(page, serving):
    play(page, "t00", "t01")
    go(page, "#/map", ".mapbox canvas")
    page.get_by_role("button", name="Path from here to there").click()
    page.wait_for_selector(".hint:has-text('From “Song A of 0”')")
    page.locator(".mapbox canvas").focus()
    page.keyboard.press("ArrowRight")  # selects the track that plays
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Save as a playlist").click()
    page.fill("dialog.ask input", "A walk")
    page.get_by_role("dialog").get_by_role("button", name="Create").click()
    (saved,) = wait_for(lambda: get(serving.address, "api/playlists"))
    items = get(serving.address, f"api/playlists/{saved['id']}")["items"]
    assert items[0]["id"] == "t00" and len(items) > 2
    page.evaluate(f"fetch('/api/playlists/{saved['id']}', {{method: 'DELETE'}})")


def test_search_on_the_map_marks_what_it_finds(page):
    go(page, "#/map", ".mapbox canvas")
    page.fill("[aria-label='Find on the map']", "artist 5")
    page.wait_for_selector(".hint:text-is('5 tracks on the map')")
    page.fill("[aria-label='Find on the map']", "nobody")
    page.wait_for_selector(".hint:text-is('Nothing of this on the map')")
    page.fill("[aria-label='Find on the map']", "")
    page.wait_for_selector(".hint", state="hidden")
    for scheme in ("dark", "light"):
        assert violations(page, scheme) == [], scheme


def test_line_round_tracks_on_the_map_becomes_a_list(page, serving):
    go(page, "#/map", ".mapbox canvas")
    page.get_by_role("button", name="Draw round tracks").click()
    box = page.locator(".mapbox canvas").bounding_box()
    left, top = box["x"] + 2, box["y"] + 2
    right, bottom = left + box["width"] - 4, top + box["height"] - 4
    bottom = min(bottom, 690)  # above the bar of the player
    page.mouse.move(left, (top + bottom) / 2)
    page.mouse.down()
    for x, y in ((left, top), (right, top), (right, bottom), (left, bottom)):
        page.mouse.move(x, y, steps=4)
    page.mouse.up()
    page.wait_for_selector("main section h2:has-text('within the line')")
    count = int(page.locator("main section h2").inner_text().split(" ")[0])
    assert 20 < count <= 40 and page.locator("main section .line").count() == count
    artists = page.locator("main section .line .who a:first-child").all_text_contents()
    changes = sum(a != b for a, b in zip(artists, artists[1:], strict=False))
    assert changes < 16  # each is followed by its neighbour, most often of the same artist
    page.get_by_role("button", name="Save as a playlist").click()
    page.fill("dialog.ask input", "Round")
    page.get_by_role("dialog").get_by_role("button", name="Create").click()
    (saved,) = wait_for(lambda: get(serving.address, "api/playlists"))
    assert saved["tracks"] == count
    page.evaluate(f"fetch('/api/playlists/{saved['id']}', {{method: 'DELETE'}})")


def test_why_this_opens_what_a_track_rests_on(page, serving):
    profile = profiles.new_profile("local")
    profiles.add_play(profile, make_event("finished", "t25"))
    with serving.database() as database:
        mongo.upsert(database["profiles"], [profiles.to_document(profile)])
    go(page, "#/search/song b of 5", "main [data-track=t26]")
    menu(page, "t26", "Why this?")
    dialog = page.get_by_role("dialog", name="Why “Song B of 5”?")
    dialog.locator(".line:has-text('Song A of 5')").wait_for()
    assert "very similar · finished 1 time" in dialog.inner_text()
    for scheme in ("dark", "light"):
        assert violations(page, scheme) == [], scheme
    dialog.get_by_role("button", name="Less of this").click()
    page.wait_for_selector("#toast.visible:has-text('less of what sounds like it')")
    assert get(serving.address, "api/tracks/t26")["liked"] is False
    menu(page, "t26", "Take back “less of this”")
    wait_for(lambda: get(serving.address, "api/tracks/t26")["liked"] is None)


def test_volume_and_mute_change_the_audio(page):
    page.locator(".bar [aria-label=Volume]").evaluate(
        "bar => { bar.value = 500; bar.dispatchEvent(new Event('input')); }"
    )
    assert page.evaluate("segue.audio.volume") == 0.25
    page.click(".bar [aria-label=Mute]")
    assert page.evaluate("segue.audio.volume") == 0
    page.keyboard.press("m")
    assert page.evaluate("segue.audio.volume") == 0.25
    page.evaluate("segue.setVolume(1)")


def test_history_shows_the_outcome_of_each_play(page, serving):
    play(page, "t08", "t09")
    wait_for(lambda: ((get(serving.address, "api/now-playing") or {}).get("track") or {}).get("id") == "t08")
    page.click(".bar [aria-label=Next]")
    playing(page, "t09")
    end(page)
    until(page, "() => segue.track.id !== 't09'")
    wait_for(
        lambda: [
            r
            for r in get(serving.address, "api/history")
            if (r["track"]["id"], r["event"]) == ("t09", "finished")
        ]
    )
    go(page, "#/history", "main [data-track=t09]")
    assert "played to the end" in page.locator("main [data-track=t09]").first.inner_text()
    assert "skipped at 0:0" in page.locator("main [data-track=t08]").first.inner_text()


def test_similar_tracks_have_a_reason(page):
    go(page, "#/search/song a of 5", "main [data-track=t25]")
    menu(page, "t25", "Similar tracks")
    page.wait_for_selector("main h1:has-text('Like Song A of 5')")
    reasons = page.locator("main .line").evaluate_all("rows => rows.slice(1, 5).map((row) => row.innerText)")
    assert all(
        "Artist 5" in row and "sounds very much like Song A of 5" in row for row in reasons
    )  # the planted neighbours


def test_artist_can_be_blocked_and_unblocked(page, serving):
    play(page, "t31", "t11", "t12")
    go(page, "#/search/song a of 2", "main [data-track=t10]")
    menu(page, "t10", "Don't play Artist 2")
    until(
        page,
        "() => segue.queue.length === 1"
        " && !segue.suggestions.some((item) => item.track.artist === 'Artist 2')",
    )
    assert [artist["name"] for artist in get(serving.address, "api/blocked")] == ["Artist 2"]
    go(page, "#/settings", "[aria-label='Play Artist 2 again']")
    page.click("[aria-label='Play Artist 2 again']")
    wait_for(lambda: not get(serving.address, "api/blocked"))


def test_mood_radio_does_not_repeat(page):
    go(page, "#/", "#start")
    page.get_by_role("button", name="Calm", exact=True).click()
    until(page, "() => segue.radio && segue.playing")
    played = []
    for _ in range(15):
        played.append(page.evaluate("segue.track.id"))
        page.evaluate("segue.next()")
        until(page, "id => segue.track.id !== id && segue.playing", arg=played[-1])
    assert len(set(played)) == 15


def queue(page):
    return page.evaluate("segue.queue.map((item) => item.track.id)")


@contextmanager
def last_track_of_a_radio(page):
    """Play the last track of a radio, and hold back the request for more."""
    page.evaluate("segue.playRadio({track_id: 't00'}, 'radio')")
    with held_requests(page, "radio") as wait_for_requests:
        page.evaluate("segue.jump(segue.queue.length - 1)")
        until(page, "() => segue.playing && segue.started")
        yield wait_for_requests


def test_slow_radio_is_requested_once(page):
    with last_track_of_a_radio(page) as wait_for_requests:
        until(
            page, "() => segue.position > 1.5"
        )  # some six ticks, each of which would preload the next track
        length = len(queue(page))
        for request in wait_for_requests(1):
            request.continue_()
        until(page, "length => segue.queue.length > length", arg=length)
        page.evaluate("segue.next()")
    assert len(queue(page)) == len(set(queue(page)))


def test_choice_during_a_radio_request_plays(page):
    with last_track_of_a_radio(page) as wait_for_requests:
        page.evaluate("() => { window.pendingCalls = segue.next(); }")
        play(page, "t20", "t21")
        for request in wait_for_requests(1):
            request.continue_()
        page.evaluate("pendingCalls")
    assert (queue(page), page.evaluate("segue.track.id")) == (["t20", "t21"], "t20")


@pytest.mark.parametrize(
    ("action", "radio"),
    [
        ("segue.playRadio({track_id: 't30'}, 'second')", "second"),
        ("segue.jump(1)", None),
        ("segue.clear()", None),
    ],
)
def test_last_choice_wins_in_any_order_of_answers(page, action, radio):
    play(page, "t20", "t21")
    with held_requests(page, "radio") as wait_for_requests:
        page.evaluate(
            f"() => {{ window.pendingCalls = [segue.playRadio({{track_id: 't00'}}, 'first'), {action}]; }}"
        )
        for request in reversed(wait_for_requests(2 if radio else 1)):
            with page.expect_response("**/api/radio"):
                request.continue_()
        page.evaluate("Promise.all(pendingCalls)")
    assert page.evaluate("segue.radio?.label") == radio


def test_choice_after_a_failure_is_not_skipped(page):
    play(page, "t20", "t21", "t22")
    page.evaluate("() => { segue.audio.dispatchEvent(new Event('error')); segue.jump(1); }")
    page.wait_for_timeout(600)  # without the choice the next track would start after 300 ms
    assert page.evaluate("segue.track.id") == "t21"


@pytest.mark.parametrize("query", ["100%", "%41"])
def test_search_accepts_any_text(page, query):
    page.fill("#q", query)
    page.wait_for_selector(f"main h1:text-is('“{query}”')")


def test_malformed_address_is_not_found(page):
    go(page, "#/search/%", "main h1:has-text('Not found')")
    page.get_by_role("button", name="Home").click()
    page.wait_for_selector("#start")


def test_theme_survives_a_reload(page):
    colours = {}
    for name in ("dark", "light"):
        go(page, "#/settings", ".chip")
        page.get_by_role("button", name=name, exact=True).click()
        page.reload()
        page.wait_for_selector("main > *")
        colours[name] = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colours == {"dark": "rgb(18, 16, 23)", "light": "rgb(246, 244, 239)"}
    page.evaluate("localStorage.removeItem('segue.theme')")


def test_app_password_is_created_and_revoked(page, serving):
    go(page, "#/settings", "form.field")
    page.fill("main [aria-label='Name of the client']", "phone")
    page.click("main form.field button")
    secret = page.locator(".secret").inner_text()
    token = {"Authorization": f"Token {secret}"}
    assert get(serving.address, "1/validate-token", headers=token)["valid"]
    page.click("[aria-label='Revoke phone']")
    wait_for(lambda: not get(serving.address, "1/validate-token", headers=token)["valid"])


def report_start(page, track_id):
    """Make the page report that a track has started."""
    page.evaluate(
        "id => import('/static/api.js').then((api) => api.reportEvent('started', {id}, 0))", track_id
    )


@pytest.fixture
def context(chromium):
    """A browser context of its own, with its own storage and cookies."""
    created = chromium.new_context(service_workers="block")
    created.set_default_timeout(PATIENCE)
    yield created
    created.close()


def new_tab(context, address):
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("#start")
    return page


def record_sent(context):
    """Return a list that receives (HTTP status, track_id) of each play event sent from now on."""
    sent = []

    def record(response):
        if response.url.endswith("/api/events"):
            sent.append((response.status, response.request.post_data_json["track_id"]))

    context.on("response", record)
    return sent


def test_unsent_plays_are_sent_by_the_next_tab(serving, context):
    context.route("**/api/events", lambda route: route.abort())
    tabs = [new_tab(context, serving.address) for _ in range(2)]
    for number, open_tab in enumerate(tabs):
        report_start(open_tab, f"t{number:02d}")
    for open_tab in tabs:
        open_tab.close()
    context.unroute("**/api/events")
    sent = record_sent(context)
    next_tab = new_tab(context, serving.address)
    until(next_tab, "() => !Object.keys(localStorage).some((key) => key.startsWith('segue.event'))")
    assert sent == [(202, "t00"), (202, "t01")]


def test_plays_are_sent_without_storage(serving, context):
    context.add_init_script(
        "Object.defineProperty(window, 'localStorage', {get() { throw new Error('forbidden'); }})"
    )
    context.route("**/api/events", lambda route: route.abort())
    page = new_tab(context, serving.address)
    for track_id in ("t00", "t01"):
        report_start(page, track_id)
    sent = record_sent(context)  # before the route is opened, because the page retries by itself
    context.unroute("**/api/events")
    page.evaluate("() => dispatchEvent(new Event('online'))")
    wait_for(lambda: page.evaluate("true") and len(sent) == 2)
    assert sent == [(202, "t00"), (202, "t01")]


def test_storage_keeps_the_newest_500_plays_in_order(serving, context):
    context.route("**/api/events", lambda route: route.abort())
    page = new_tab(context, serving.address)
    page.evaluate(
        """import('/static/api.js').then((api) => {
          for (let n = 0; n < 510; n += 1) api.reportEvent("started", {id: `x${n}`}, 0);
        })"""
    )
    keys = page.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('segue.event.')).sort()")
    ids = page.evaluate("keys => keys.map((key) => JSON.parse(localStorage[key]).track_id)", keys)
    assert ids == [f"x{n}" for n in range(10, 510)]


def log_in(page, password, name="anna"):
    page.wait_for_selector(".login form")
    page.fill(".login [name=name]", name)
    page.fill(".login [name=password]", password)
    page.click(".login button")


@pytest.fixture
def users(page, serving):
    """Add the users anna and bert; meanwhile the shared page, which would be logged out, is left."""
    page.goto("about:blank")
    with closing(Database(serving.lake.root)) as database:  # as `segue user add` does
        accounts = Accounts(database)
        for name in ("anna", "bert"):
            accounts.add(name, "a good password", restore=True)
        yield
        for name in ("anna", "bert"):
            accounts.remove(name)
    page.goto(serving.address)
    page.wait_for_selector("#start")


def test_login_and_change_of_password(serving, users, context):
    own_page = context.new_page()
    own_page.goto(serving.address)
    log_in(own_page, "a bad password")
    own_page.wait_for_selector(".login .wrong:has-text('Wrong name or password')")
    assert violations(own_page) == []
    log_in(own_page, "a good password")
    own_page.wait_for_selector("#start")
    go(own_page, "#/settings", "form [aria-label='New password']")
    own_page.fill("[aria-label='Current password']", "a good password")
    own_page.fill("[aria-label='New password']", "a better password")
    own_page.get_by_role("button", name="Change").click()
    own_page.wait_for_selector("#toast.visible:has-text('is changed')")
    own_page.get_by_role("button", name="Log out").click()
    log_in(own_page, "a better password")
    own_page.wait_for_selector("#start, form [aria-label='New password']")


def history(page):
    return page.evaluate(
        "fetch('/api/history').then((a) => a.json()).then((rows) => rows.map((row) => row.track.id))"
    )


def log_out(page):
    page.evaluate("fetch('/api/logout', {method: 'POST'})")
    page.reload()


def test_unsent_plays_wait_for_their_user(serving, users, context):
    own_page = context.new_page()
    own_page.goto(serving.address)
    log_in(own_page, "a good password")
    own_page.wait_for_selector("#start")
    left_open = new_tab(context, serving.address)
    context.route("**/api/events", lambda route: route.abort())
    report_start(own_page, "t03")
    log_out(own_page)
    context.unroute("**/api/events")
    log_in(own_page, "a good password", "bert")
    own_page.wait_for_selector("#start")
    report_start(own_page, "t04")
    wait_for(lambda: "t04" in history(own_page))
    assert history(own_page) == ["t04"]
    left_open.wait_for_selector("#foot :text('bert')")  # anna's page has tried to send with bert's cookie
    log_out(own_page)
    log_in(own_page, "a good password")
    own_page.wait_for_selector("#start")
    wait_for(lambda: history(own_page) == ["t03"])


QUEUE = "segue.queue.map((item) => item.track.id)"


def test_each_user_has_a_queue(serving, users, context):
    own_page = context.new_page()
    own_page.goto(serving.address)
    log_in(own_page, "a good password")
    own_page.wait_for_selector("#next .recommended .line")
    own_page.evaluate("segue.play(segue.suggestions.slice(0, 2))")
    queue = own_page.evaluate(QUEUE)
    assert len(queue) == 2
    log_out(own_page)
    own_page.wait_for_selector(".login form")
    assert own_page.evaluate(QUEUE) == [] and own_page.inner_text("#bar .current").startswith(
        "Nothing playing"
    )
    log_in(own_page, "a good password", "bert")
    own_page.wait_for_selector("#start")
    assert own_page.evaluate(QUEUE) == [] and own_page.inner_text("#bar .current").startswith(
        "Nothing playing"
    )
    log_out(own_page)
    log_in(own_page, "a good password")
    own_page.wait_for_selector("#start")
    assert own_page.evaluate(QUEUE) == queue and not own_page.inner_text("#bar .current").startswith(
        "Nothing playing"
    )


# --- outages ---


@contextmanager
def expected_network_errors(page):
    """Drop Chromium's messages about failed requests while the test itself stops the service."""
    before = len(page.console)
    yield
    page.console[before:] = [line for line in page.console[before:] if "net::ERR_" not in line]


def test_playlist_is_shared_with_another_user(serving, users, context):
    own_page = context.new_page()
    own_page.goto(serving.address)
    log_in(own_page, "a good password")
    own_page.wait_for_selector("#start")
    made = own_page.evaluate(
        """fetch("/api/playlists", {method: "POST", headers: {"Content-Type": "application/json"},
          body: JSON.stringify({name: "Ours", tracks: ["t01", "t02"]})}).then((answer) => answer.json())"""
    )
    go(own_page, f"#/playlist/{made['id']}", ".sortable .handle")
    own_page.click(".head [aria-haspopup=menu]")
    own_page.get_by_role("menuitem", name="Show to all listeners").click()
    own_page.wait_for_selector(".head .facts:has-text('2 tracks · for all listeners')")
    log_out(own_page)
    log_in(own_page, "a good password", "bert")
    own_page.wait_for_selector(".sortable [data-track=t02]")
    assert "2 tracks · by anna" in own_page.inner_text(".head .facts")
    assert own_page.locator(".sortable .handle").count() == 0
    own_page.click(".head [aria-haspopup=menu]")
    entries = own_page.get_by_role("menuitem").all_text_contents()
    assert "Play next" in entries and not {"Rename …", "Delete …"} & set(entries)
    own_page.keyboard.press("Escape")
    go(own_page, "#/playlists", ".card:has-text('2 tracks · by anna')")


STORED_PATHS = """(async () => {
  const found = {};
  for (const name of await caches.keys()) {
    const cache = await caches.open(name);
    const requests = name.startsWith("segue-user-") ? await cache.keys() : [];
    found[name] = requests.map(({url}) => url.slice(location.origin.length));
  }
  return found;
})()"""


def test_page_works_without_the_server(page, serving, chromium):
    page.goto("about:blank")
    own_page = open_page(chromium, serving.address, service_workers="allow")
    own_page.click("#start")
    until(own_page, "() => navigator.serviceWorker.controller && segue.playing")
    play(own_page, "t17", "t18")
    stored = lambda: own_page.evaluate(STORED_PATHS).get("segue-user-local", [])  # noqa: E731
    wait_for(lambda: {"/api/state", "/api/tracks/t17/audio?quality=small"} <= set(stored()))
    go(own_page, "#/settings", "form.field")
    stop(serving.process, signal.SIGKILL)
    own_page.goto("about:blank")
    own_page.goto(f"{serving.address}/#/")
    own_page.wait_for_selector("#start")
    own_page.wait_for_selector("#notice:not([hidden]):has-text('does not answer')")
    own_page.evaluate("segue.toggle()")  # the queue of before
    until(own_page, "() => segue.track.id === 't17' && segue.playing && segue.position > 0.5")
    own_page.evaluate("segue.seek(5)")
    until(own_page, "() => segue.playing && segue.position > 5.3")
    own_page.evaluate("location.hash = '#/settings'")
    own_page.wait_for_selector("main:has-text('Segue does not answer')")  # app passwords are not stored
    serving.start()
    own_page.wait_for_selector("#notice", state="hidden")
    own_page.close()
    page.goto(serving.address)
    page.wait_for_selector("#start")


def test_log_out_deletes_what_is_stored(serving, users, chromium):
    own_page = chromium.new_context(service_workers="allow").new_page()
    own_page.set_default_timeout(PATIENCE)
    own_page.goto(serving.address)
    for name in ("anna", "bert"):
        log_in(own_page, "a good password", name)
        own_page.wait_for_selector("#start, form.field")
        wait_for(
            lambda name=name: "/api/state" in own_page.evaluate(STORED_PATHS).get(f"segue-user-{name}", [])
        )
        users_stored = [each for each in own_page.evaluate(STORED_PATHS) if each.startswith("segue-user-")]
        assert users_stored == [f"segue-user-{name}"]
        go(own_page, "#/settings", "form.field")
        own_page.get_by_role("button", name="Log out").click()
        own_page.wait_for_selector(".login form")
        assert not any(each.startswith("segue-user-") for each in own_page.evaluate(STORED_PATHS))
    own_page.close()


def test_mongodb_outage_does_not_stop_playback(page, serving):
    go(page, "#/", "#start")
    before = get(serving.address, "api/recommendations")["items"]
    assert len(before) > 5
    play(page, "t32", "t33")
    with FileLock(
        serving.lake.root / "mongo" / "mongo.lock"
    ):  # otherwise serving would restart it within two seconds
        serving.kill(embedded_mongo.MONGO)
        page.wait_for_selector("#notice:not([hidden]):has-text('MongoDB')")
        assert (healthy(serving.address)["mongo"], healthy(serving.address)["ok"]) == (False, True)
        end(page)
        playing(page, "t33")
        page.evaluate("segue.next()")
        until(page, "() => segue.track.id !== 't33' && segue.playing")
        assert get(serving.address, "api/recommendations")["items"] == before
        assert len(get(serving.address, "api/map")["ids"]) in (
            0,
            40,
        )  # 0 if the map has not been loaded before
        page.locator(
            "#cards .card [data-heart], .bar [data-heart]"
        ).first.click()  # the like is stored here and sent later
    page.wait_for_selector("#notice", state="hidden")
    assert healthy(serving.address)["mongo"]
    with serving.database() as database:
        wait_for(lambda: database["feedback"].find_one({"user_id": "local", "liked": True}))
        recommend(database, "t20", "t21", "t22")
    until(page, "() => segue.recommended.map((item) => item.track.id).join() === 't20,t21,t22'")


def send(serving, number):
    event = {"track_id": f"t{number % 40:02d}", "event": "started", "event_id": f"e{number:03d}"}
    assert get(serving.address, "api/events", body=event)["event_id"] == event["event_id"]


def test_kafka_outage_and_kill_keep_plays_in_order(page, serving):
    page.evaluate("segue.pause()")
    wait_for(lambda: healthy(serving.address)["kafka"])
    serving.kill(embedded_kafka.KAFKA)
    for number in range(20):
        send(serving, number)
    health = healthy(serving.address)
    assert (health["kafka"], health["waiting"]) == (False, 20)
    with expected_network_errors(page):
        stop(serving.process, signal.SIGKILL)
        page.wait_for_selector("#notice:not([hidden]):has-text('does not answer')")
        with embedded_mongo.mongo_uri(None, serving.lake.root) as uri, mongo.database(uri) as database:
            recommend(database, "t30", "t31")  # while no page is connected
        serving.start()
        page.wait_for_selector("#notice", state="hidden")
    until(page, "() => segue.recommended.map((item) => item.track.id).join() === 't30,t31'")
    for number in range(20, 40):
        send(serving, number)
    assert healthy(serving.address)["waiting"] == 40
    serving.start_kafka()
    wait_for(lambda: healthy(serving.address)["kafka"])
    consumer = KafkaConsumer(
        topics.PLAYS,
        bootstrap_servers=embedded_kafka.find_embedded(serving.lake.root),
        auto_offset_reset="earliest",
        group_id=None,
        consumer_timeout_ms=300,
    )
    event_ids = []

    def all_read():
        event_ids.extend(json.loads(message.value)["event_id"] for message in consumer)
        return "e039" in event_ids

    wait_for(all_read)
    consumer.close()
    own_ids = [event_id for event_id in event_ids if event_id.startswith("e") and len(event_id) == 4]
    assert list(dict.fromkeys(own_ids)) == [f"e{number:03d}" for number in range(40)]


def first_list(serving, last_id=None):
    """Connect like an EventSource and return the id and tracks of the first list, None if none comes.

    `state` is always the first message; a list newer than `last_id` follows at once.
    """
    connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=2)
    connection.request("GET", "/api/events/stream", headers={"Last-Event-ID": last_id} if last_id else {})
    response = connection.getresponse()
    event = {}
    try:
        while True:
            name, _, value = response.readline().decode().rstrip("\n").partition(": ")
            event[name] = value
            if not name and event.get("event") == "recommendations":
                return event["id"], [item["track"]["id"] for item in json.loads(event["data"])["items"]]
    except TimeoutError:
        return None
    finally:
        connection.close()


def test_reconnecting_stream_gets_only_missed_lists(serving):
    first, _ = first_list(serving)
    assert first_list(serving, first) is None
    with serving.database() as database:
        recommend(database, "t05", "t06", "t07")
    second, missed = first_list(serving, first)
    assert missed == ["t05", "t06", "t07"] and second != first
    assert first_list(serving, second) is None


def test_console_has_no_messages(page):
    assert page.console == []
