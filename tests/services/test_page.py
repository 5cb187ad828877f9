"""The page in a real browser over store and broker, no stream: all that it can do, then what it does when parts go away."""

import http.client
import json
import os
import signal
import struct
from contextlib import ExitStack, closing, contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from filelock import FileLock
from kafka import KafkaConsumer

from jobs.online import mongo
from jobs.plays import topics
from jobs.runtime import embedded_kafka, embedded_mongo, embedded_server
from serving.db.accounts import Accounts
from serving.db.database import Database
from tests import browser, synthetic_lake
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

# Keeps what the page does with the keys of headphones, and how far it has shifted.
_WATCH = """
window.keys = {};
MediaSession.prototype.setActionHandler = (name, act) => (keys[name] = act);
window.shifted = 0;
new PerformanceObserver((list) => list.getEntries().forEach((entry) => (shifted += entry.hadRecentInput ? 0 : entry.value)))
  .observe({type: "layout-shift", buffered: true});
"""


class Serving:
    """`segue serve` over the planted lake, on one port whenever it runs; Kafka beside it, MongoDB started by it."""

    def __init__(self, lake):
        self.lake, self.port = lake, free_port()
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
        """kill -9 of an embedded server."""
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
    with browser.chromium() as found:
        yield found[1]


@pytest.fixture(scope="module")
def page(serving, chromium):
    return open_page(chromium, serving.address, scripts=[_WATCH])


def play(page, *track_ids):
    """Play these tracks as a queue, as a click on a list does."""
    page.evaluate(
        "ids => Promise.all(ids.map((id) => fetch(`/api/tracks/${id}`).then((a) => a.json()))).then((t) => segue.play(t))",
        list(track_ids),
    )
    playing(page, track_ids[0])


def playing(page, track_id):
    until(page, "id => segue.track?.id === id && segue.playing && segue.started", arg=track_id)


def end(page):
    """Go to just before the track's end."""
    page.evaluate("segue.seek(segue.duration - 0.3)")


def go(page, address, selector):
    """Open an address of the page and wait for what it shows."""
    page.evaluate("address => (location.hash = address)", address)
    page.wait_for_selector(selector)


@contextmanager
def held(page, path):
    """Hold back what the page asks under /api; gives a function that waits for so many questions and returns all so far."""
    found = []

    def questions(count):
        # Playwright hears of them while it is asked something itself.
        wait_for(lambda: page.evaluate("true") and len(found) >= count)
        return list(found)

    page.route(f"**/api/{path}", lambda question: found.append(question))
    try:
        yield questions
    finally:
        page.unroute(f"**/api/{path}")


def menu(page, track_id, name):
    page.locator(f"main [data-track={track_id}] [aria-haspopup=menu]").first.click()
    page.get_by_role("menuitem", name=name).click()


# --- what it can do ---


def test_nothing_moves_while_it_loads(page):
    until(page, "() => [...document.images].every((image) => image.complete || image.loading === 'lazy')")
    assert page.evaluate("shifted") < 0.02


def test_it_can_be_installed(page, serving):
    session = page.context.new_cdp_session(page)
    assert session.send("Page.getAppManifest")["errors"] == []
    found = [each["errorId"] for each in session.send("Page.getInstallabilityErrors")["installabilityErrors"]]
    assert set(found) <= {"in-incognito"}  # as every page of a test is
    icons = page.evaluate(
        """() => fetch("/static/manifest.webmanifest").then((a) => a.json()).then(async ({icons}) => {
          const found = {};
          for (const {src, sizes, type} of icons) if (type === "image/png")
            found[sizes] = [...new Uint8Array(await (await fetch(src)).arrayBuffer()).slice(0, 24)];
          return found;
        })"""
    )
    assert {"192x192", "512x512"} == {
        "x".join(map(str, struct.unpack(">II", bytes(b)[16:24]))) for b in icons.values()
    }


def test_shuffle_mixes_what_is_ahead_and_nothing_else(page):
    ids = [f"t{n}" for n in range(10, 30)]
    play(page, *ids)
    page.click(".bar [aria-label=Shuffle]")
    page.wait_for_selector(".bar [aria-label=Shuffle][aria-pressed=true]")
    mixed = page.evaluate("segue.queue.map((item) => item.track.id)")
    assert mixed != ids and sorted(mixed) == ids and mixed[0] == "t10"
    page.click(".bar [aria-label=Shuffle]")
    page.wait_for_selector(".bar [aria-label=Shuffle][aria-pressed=false]")


def test_repeat_begins_the_track_or_the_queue_again(page):
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


def test_the_next_track_is_loaded_before_this_one_ends(page):
    play(page, "t03", "t04")
    until(
        page,
        "() => segue.audios[1].src.endsWith('/api/tracks/t04/audio') && segue.audios[1].readyState === 4",
    )
    end(page)
    playing(page, "t04")


def test_the_keys_of_headphones_work(page):
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


def test_every_key_does_its_work(page):
    play(page, "t13", "t14")
    page.evaluate("document.activeElement.blur()")
    for key, now in (
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
        until(page, f"() => {now}")


def test_the_map_is_walked_by_its_keys(page):
    go(page, "#/map", ".mapbox canvas")
    page.locator(".mapbox canvas").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(
        ".mapbox .tip:not([hidden]):has-text('Artist 2')"
    )  # where t13 is, which was played last
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    until(page, "() => segue.current.reason === 'from the map' && segue.playing")


def test_volume_and_mute_are_heard(page):
    page.locator(".bar [aria-label=Volume]").evaluate(
        "bar => { bar.value = 500; bar.dispatchEvent(new Event('input')); }"
    )
    assert page.evaluate("segue.audio.volume") == 0.25
    page.click(".bar [aria-label=Mute]")
    assert page.evaluate("segue.audio.volume") == 0
    page.keyboard.press("m")
    assert page.evaluate("segue.audio.volume") == 0.25
    page.evaluate("segue.setVolume(1)")


def test_history_says_what_became_of_each(page, serving):
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


def test_what_sounds_like_a_track_is_shown_with_how_much(page):
    go(page, "#/search/song a of 5", "main [data-track=t25]")
    menu(page, "t25", "What sounds like this")
    page.wait_for_selector("main h1:has-text('Like Song A of 5')")
    near = page.locator("main .line").evaluate_all("rows => rows.slice(1, 5).map((row) => row.innerText)")
    assert all("Artist 5" in row and "sounds very much like Song A of 5" in row for row in near)  # as planted


def test_an_artist_is_played_no_more_and_then_again(page, serving):
    play(page, "t31", "t11", "t12")
    go(page, "#/search/song a of 2", "main [data-track=t10]")
    menu(page, "t10", "Don't play Artist 2")
    until(
        page,
        "() => segue.queue.length === 1 && !segue.suggestions.some((item) => item.track.artist === 'Artist 2')",
    )
    assert [each["name"] for each in get(serving.address, "api/blocked")] == ["Artist 2"]
    go(page, "#/settings", "[aria-label='Play Artist 2 again']")
    page.click("[aria-label='Play Artist 2 again']")
    wait_for(lambda: not get(serving.address, "api/blocked"))


def test_a_radio_by_mood_goes_on_without_a_repeat(page):
    go(page, "#/", "#start")
    page.get_by_role("button", name="Calm").click()
    until(page, "() => segue.radio && segue.playing")
    heard = []
    for _ in range(15):
        heard.append(page.evaluate("segue.track.id"))
        page.evaluate("segue.next()")
        until(page, "id => segue.track.id !== id && segue.playing", arg=heard[-1])
    assert len(set(heard)) == 15


def queue(page):
    return page.evaluate("segue.queue.map((item) => item.track.id)")


@contextmanager
def the_last_track_of_a_radio(page):
    """Play it, and hold back the question for more."""
    page.evaluate("segue.playRadio({track_id: 't00'}, 'radio')")
    with held(page, "radio") as questions:
        page.evaluate("segue.jump(segue.queue.length - 1)")
        until(page, "() => segue.playing && segue.started")
        yield questions


def test_a_radio_that_answers_late_is_asked_once(page):
    with the_last_track_of_a_radio(page) as questions:
        until(
            page, "() => segue.position > 1.5"
        )  # some six ticks, at each of which the next track would be loaded
        length = len(queue(page))
        for each in questions(1):
            each.continue_()
        until(page, "length => segue.queue.length > length", arg=length)
        page.evaluate("segue.next()")
    assert len(queue(page)) == len(set(queue(page)))


def test_what_is_chosen_while_a_radio_is_asked_is_what_plays(page):
    with the_last_track_of_a_radio(page) as questions:
        page.evaluate("() => { window.going = segue.next(); }")
        play(page, "t20", "t21")
        for each in questions(1):
            each.continue_()
        page.evaluate("going")
    assert (queue(page), page.evaluate("segue.track.id")) == (["t20", "t21"], "t20")


@pytest.mark.parametrize(
    ("then", "radio"),
    [
        ("segue.playRadio({track_id: 't30'}, 'second')", "second"),
        ("segue.jump(1)", None),
        ("segue.clear()", None),
    ],
)
def test_the_last_choice_wins_whichever_answers_first(page, then, radio):
    play(page, "t20", "t21")
    with held(page, "radio") as questions:
        page.evaluate(f"() => {{ window.going = [segue.playRadio({{track_id: 't00'}}, 'first'), {then}]; }}")
        for each in reversed(questions(2 if radio else 1)):
            with page.expect_response("**/api/radio"):
                each.continue_()
        page.evaluate("Promise.all(going)")
    assert page.evaluate("segue.radio?.label") == radio


def test_what_is_chosen_after_a_failure_is_not_skipped(page):
    play(page, "t20", "t21", "t22")
    page.evaluate("() => { segue.audio.dispatchEvent(new Event('error')); segue.jump(1); }")
    page.wait_for_timeout(600)  # it would go on after 300 ms
    assert page.evaluate("segue.track.id") == "t21"


@pytest.mark.parametrize("words", ["100%", "%41"])
def test_any_words_can_be_searched(page, words):
    page.fill("#q", words)
    page.wait_for_selector(f"main h1:text-is('“{words}”')")


def test_an_address_that_is_none_is_not_there(page):
    go(page, "#/search/%", "main h1:has-text('Not there')")
    page.get_by_role("button", name="Home").click()
    page.wait_for_selector("#start")


def test_dark_and_light_are_chosen_and_kept(page):
    seen = {}
    for name in ("dark", "light"):
        go(page, "#/settings", ".chip")
        page.get_by_role("button", name=name, exact=True).click()
        page.reload()
        page.wait_for_selector("main > *")
        seen[name] = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert seen == {"dark": "rgb(18, 16, 23)", "light": "rgb(246, 244, 239)"}
    page.evaluate("localStorage.removeItem('segue.theme')")


def test_an_app_password_is_made_and_taken_back(page, serving):
    go(page, "#/settings", "form.field")
    page.fill("main [aria-label='Name of the client']", "phone")
    page.click("main form.field button")
    secret = page.locator(".secret").inner_text()
    token = {"Authorization": f"Token {secret}"}
    assert get(serving.address, "1/validate-token", headers=token)["valid"]
    page.click("[aria-label='Take back phone']")
    wait_for(lambda: not get(serving.address, "1/validate-token", headers=token)["valid"])


def tell(page, track_id):
    """Have the page tell that a track has begun."""
    page.evaluate("id => import('/static/api.js').then((api) => api.tell('started', {id}, 0))", track_id)


@pytest.fixture
def another(chromium):
    """A browser of its own: pages made of it are its tabs."""
    context = chromium.new_context()
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


def tab(context, address):
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("#start")
    return page


def sent(context):
    """What becomes of each play event that these pages send from now on."""
    found = []

    def see(answer):
        if answer.url.endswith("/api/events"):
            found.append((answer.status, answer.request.post_data_json["track_id"]))

    context.on("response", see)
    return found


def test_plays_that_tabs_could_not_send_are_sent_by_the_next_in_order(serving, another):
    """Also those that an older page kept, all in one list."""
    another.route("**/api/events", lambda route: route.abort())
    tabs = [tab(another, serving.address) for _ in range(2)]
    for number, each in enumerate(tabs):
        tell(each, f"t{number:02d}")
    old = {
        "event_id": "of-old",
        "track_id": "t02",
        "event": "started",
        "played_at": "2026-01-01T00:00:00.000Z",
    }
    tabs[0].evaluate("old => localStorage.setItem('segue.events', JSON.stringify([old]))", old)
    for each in tabs:
        each.close()
    another.unroute("**/api/events")
    taken = sent(another)
    last = tab(another, serving.address)
    until(last, "() => !Object.keys(localStorage).some((key) => key.startsWith('segue.event'))")
    assert taken == [(202, "t02"), (202, "t00"), (202, "t01")]


def test_without_storage_plays_live_as_long_as_the_page(serving, another):
    another.add_init_script(
        "Object.defineProperty(window, 'localStorage', {get() { throw new Error('forbidden'); }})"
    )
    another.route("**/api/events", lambda route: route.abort())
    page = tab(another, serving.address)
    for track_id in ("t00", "t01"):
        tell(page, track_id)
    taken = sent(another)  # before they can get through: the page tries now and then by itself
    another.unroute("**/api/events")
    page.evaluate("() => dispatchEvent(new Event('online'))")
    wait_for(lambda: page.evaluate("true") and len(taken) == 2)
    assert taken == [(202, "t00"), (202, "t01")]


def test_of_many_plays_the_newest_are_kept_in_order(serving, another):
    another.route("**/api/events", lambda route: route.abort())
    page = tab(another, serving.address)
    page.evaluate(
        """import('/static/api.js').then((api) => {
          for (let n = 0; n < 510; n += 1) api.tell("started", {id: `x${n}`}, 0);
        })"""
    )
    kept = page.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('segue.event.')).sort()")
    ids = page.evaluate("keys => keys.map((key) => JSON.parse(localStorage[key]).track_id)", kept)
    assert ids == [f"x{n}" for n in range(10, 510)]


def log_in(page, password, name="anna"):
    page.wait_for_selector(".login form")
    page.fill(".login [name=name]", name)
    page.fill(".login [name=password]", password)
    page.click(".login button")


@pytest.fixture
def users(page, serving):
    """anna and bert; the page, which would be logged out, is elsewhere meanwhile."""
    page.goto("about:blank")
    with closing(Database(serving.lake.root)) as ledger:  # as `segue user add` does
        accounts = Accounts(ledger)
        for name in ("anna", "bert"):
            accounts.add(name, "a good password", restore=True)
        yield
        for name in ("anna", "bert"):
            accounts.remove(name)
    page.goto(serving.address)
    page.wait_for_selector("#start")


def test_with_users_the_page_asks_who_it_is_and_changes_the_password(serving, users, another):
    own = another.new_page()
    own.goto(serving.address)
    log_in(own, "a bad password")
    own.wait_for_selector(".login .wrong:has-text('do not go together')")
    assert not Axe().run(own).response["violations"]
    log_in(own, "a good password")
    own.wait_for_selector("#start")
    go(own, "#/settings", "form [aria-label='New password']")
    own.fill("[aria-label='Present password']", "a good password")
    own.fill("[aria-label='New password']", "a better password")
    own.get_by_role("button", name="Change").click()
    own.wait_for_selector("#toast.shown:has-text('is changed')")
    own.get_by_role("button", name="Log out").click()
    log_in(own, "a better password")
    own.wait_for_selector("#start, form [aria-label='New password']")


def history(page):
    return page.evaluate(
        "fetch('/api/history').then((a) => a.json()).then((rows) => rows.map((row) => row.track.id))"
    )


def log_out(page):
    page.evaluate("fetch('/api/logout', {method: 'POST'})")
    page.reload()


def test_plays_wait_for_the_listener_whose_they_are(serving, users, another):
    own = another.new_page()
    own.goto(serving.address)
    log_in(own, "a good password")
    own.wait_for_selector("#start")
    left_open = tab(another, serving.address)
    another.route("**/api/events", lambda route: route.abort())
    tell(own, "t03")
    log_out(own)
    another.unroute("**/api/events")
    log_in(own, "a good password", "bert")
    own.wait_for_selector("#start")
    tell(own, "t04")
    wait_for(lambda: "t04" in history(own))
    assert history(own) == ["t04"]
    left_open.wait_for_selector("#foot :text('bert')")  # anna's page has tried, with bert's cookie
    log_out(own)
    log_in(own, "a good password")
    own.wait_for_selector("#start")
    wait_for(lambda: history(own) == ["t03"])


QUEUE = "segue.queue.map((item) => item.track.id)"


def test_a_queue_is_its_listeners_alone(serving, users, another):
    own = another.new_page()
    own.goto(serving.address)
    log_in(own, "a good password")
    own.wait_for_selector("#next .recommended .line")
    own.evaluate("segue.play(segue.suggestions.slice(0, 2))")
    queue = own.evaluate(QUEUE)
    assert len(queue) == 2
    log_out(own)
    own.wait_for_selector(".login form")
    assert own.evaluate(QUEUE) == [] and own.inner_text("#bar .what").startswith("Nothing playing")
    log_in(own, "a good password", "bert")
    own.wait_for_selector("#start")
    assert own.evaluate(QUEUE) == [] and own.inner_text("#bar .what").startswith("Nothing playing")
    log_out(own)
    log_in(own, "a good password")
    own.wait_for_selector("#start")
    assert own.evaluate(QUEUE) == queue and not own.inner_text("#bar .what").startswith("Nothing playing")


# --- when parts go away ---


@contextmanager
def away(page):
    """While the test itself has the service away, Chromium says in many ways that it is; none of that is the page's."""
    before = len(page.said)
    yield
    page.said[before:] = [line for line in page.said[before:] if "net::ERR_" not in line]


def test_without_mongodb_the_page_says_so_and_plays_on_from_the_last_copy(page, serving):
    go(page, "#/", "#start")
    before = get(serving.address, "api/recommendations")["items"]
    assert len(before) > 5
    play(page, "t32", "t33")
    with FileLock(
        serving.lake.root / "mongo" / "mongo.lock"
    ):  # serving would start it again within two seconds
        serving.kill(embedded_mongo.MONGO)
        page.wait_for_selector("#notice:not([hidden]):has-text('MongoDB')")
        assert (healthy(serving.address)["mongo"], healthy(serving.address)["ok"]) == (False, True)
        end(page)
        playing(page, "t33")
        page.evaluate("segue.next()")
        until(page, "() => segue.track.id !== 't33' && segue.playing")
        assert get(serving.address, "api/recommendations")["items"] == before
        assert len(get(serving.address, "api/map")["ids"]) in (0, 40)  # 0 where nobody had looked at it
        page.locator(
            "#cards .card [data-heart], .bar [data-heart]"
        ).first.click()  # a like is kept here, told later
    page.wait_for_selector("#notice", state="hidden")
    assert healthy(serving.address)["mongo"]
    with serving.database() as database:
        wait_for(lambda: database["feedback"].find_one({"user_id": "local", "liked": True}))
        recommend(database, "t20", "t21", "t22")
    until(page, "() => segue.recommended.map((item) => item.track.id).join() === 't20,t21,t22'")


def send(serving, number):
    event = {"track_id": f"t{number % 40:02d}", "event": "started", "event_id": f"e{number:03d}"}
    assert get(serving.address, "api/events", body=event)["event_id"] == event["event_id"]


def test_without_kafka_plays_are_kept_in_order_even_when_serving_is_killed(page, serving):
    page.evaluate("segue.pause()")
    wait_for(lambda: healthy(serving.address)["kafka"])
    serving.kill(embedded_kafka.KAFKA)
    for number in range(20):
        send(serving, number)
    health = healthy(serving.address)
    assert (health["kafka"], health["waiting"]) == (False, 20)
    with away(page):
        stop(serving.process, signal.SIGKILL)
        page.wait_for_selector("#notice:not([hidden]):has-text('does not answer')")
        with embedded_mongo.mongo_uri(None, serving.lake.root) as uri, mongo.database(uri) as database:
            recommend(database, "t30", "t31")  # while nobody listens
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
        consumer_timeout_ms=1000,
    )
    found = [
        event for event in map(json.loads, (m.value for m in consumer)) if event["event_id"].startswith("e")
    ]
    consumer.close()
    found = [event["event_id"] for event in found if len(event["event_id"]) == 4]
    assert list(dict.fromkeys(found)) == [f"e{number:03d}" for number in range(40)]


def listen(serving, last=None):
    """Connect as EventSource does, and cut the connection after the first list; return its id and tracks, None for no list.

    `state` is always the first message, and a list that the sender has not seen comes at once.
    """
    connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=2)
    connection.request("GET", "/api/live", headers={"Last-Event-ID": last} if last else {})
    answer, event = connection.getresponse(), {}
    try:
        while True:
            name, _, value = answer.readline().decode().rstrip("\n").partition(": ")
            event[name] = value
            if not name and event.get("event") == "recommendations":
                return event["id"], [item["track"]["id"] for item in json.loads(event["data"])["items"]]
    except TimeoutError:
        return None
    finally:
        connection.close()


def test_who_reconnects_gets_what_was_missed_and_nothing_twice(serving):
    first, _ = listen(serving)
    assert listen(serving, first) is None
    with serving.database() as database:
        recommend(database, "t05", "t06", "t07")
    second, missed = listen(serving, first)
    assert missed == ["t05", "t06", "t07"] and second != first
    assert listen(serving, second) is None


def test_the_console_is_silent(page):
    assert page.said == []
