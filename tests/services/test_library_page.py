"""The collection on the page, in a real browser over 20,000 tracks: lists, albums, artists, genres."""

import json
import re

import pytest

from serving.catalog import stable_id
from tests import browser, synthetic_lake
from tests.services.accessibility import violations
from tests.services.player import free_port, get, healthy, open_page, start, stop, until, wait_for

ALBUM = stable_id("al", "Crtist 002", "Clbum 3 by 002")
ARTIST = stable_id("ar", "Crtist 002")
VIEWS = (
    *("albums", "artists", "tracks", "genres", "genre/Jazz", f"album/{ALBUM}", f"artist/{ARTIST}"),
    *("library", "playlists", "queue", "search/crtist", "settings", "", "liked", "history"),
    "similar/t00001",
)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return synthetic_lake.make_large(tmp_path_factory.mktemp("library") / "lake")


@pytest.fixture(scope="module")
def lyrics(lake):
    """Lyrics with times beside the file of every track."""
    (lake.root / "audio" / "64k" / "tone.lrc").write_text("[00:00.00]One\n[00:04.00]Two\n")


@pytest.fixture(scope="module")
def address(lake):
    port = free_port()
    process = start(lake.root, "serving", "serve", "--port", str(port))
    found = f"http://127.0.0.1:{port}"
    wait_for(lambda: healthy(found))
    yield found
    stop(process)


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as found:
        yield found


@pytest.fixture(scope="module")
def desktop(address, chromium):
    return open_page(chromium[1], address)


@pytest.fixture(scope="module")
def phone(address, chromium):
    playwright, program = chromium
    return open_page(program, address, **playwright.devices["Pixel 7"])


@pytest.fixture(params=["desktop", "phone"])
def page(request):
    return request.getfixturevalue(request.param)


def go(page, place, selector):
    page.evaluate("place => (location.hash = `#/${place}`)", place)
    page.wait_for_selector(f"main[data-address='#/{place}'] {selector}")


def queue(page):
    return page.evaluate("segue.queue.map((item) => item.track.id)")


def test_albums_are_sorted_filtered_and_found_by_letter(page):
    go(page, "albums", ".card")
    assert page.inner_text(".count") == "2,000 albums"
    page.get_by_role("navigation", name="Jump to a letter").get_by_role("button", name="M").click()
    page.wait_for_selector(".card:has-text('Mlbum 0 by 012')")
    page.select_option("[aria-label=Genre]", "Jazz")
    page.wait_for_selector(".count:text-is('500 albums')")
    page.select_option("[aria-label=Order]", "year")
    page.wait_for_selector(".browse:not([aria-busy]) [data-index='0']:has-text('1984')")
    page.click("[aria-label='Reverse the order']")
    page.wait_for_selector(".browse:not([aria-busy]) [data-index='0']:has-text('1980')")
    page.fill("[aria-label='Filter albums']", "clbum 002")
    page.wait_for_selector(".count:text-is('5 albums')")
    page.reload()
    page.wait_for_selector(".count:text-is('5 albums')")
    assert page.evaluate("location.hash") == "#/albums?q=clbum+002&sort=year&genre=Jazz&reverse=true"


def test_album_page_has_facts_and_numbers(page):
    go(page, f"album/{ALBUM}", ".numbered")
    text = page.inner_text(".head")
    assert all(
        part in text for part in ("Clbum 3 by 002", "Crtist 002", "1983", "Jazz", "10 tracks", "1 minute")
    )
    assert page.locator(".numbered .digits").all_text_contents() == [str(n) for n in range(1, 11)]
    page.wait_for_selector("section:has-text('Sounds similar') .card")
    similar = page.locator("section:has-text('Sounds similar') .card .who").all_text_contents()
    assert len(similar) == 6 and all(int(each[7:10]) % 4 == 2 for each in similar)  # the artists of Jazz


def test_shuffled_album_returns_to_its_order(desktop):
    go(desktop, f"album/{ALBUM}", ".numbered")
    ids = desktop.locator(".numbered").evaluate_all("rows => rows.map((row) => row.dataset.track)")
    desktop.get_by_role("button", name="Shuffle", exact=True).first.click()
    until(desktop, "() => segue.queue.length === 10 && segue.shuffle")
    shuffled = queue(desktop)
    assert shuffled != ids and sorted(shuffled) == ids
    desktop.click(".bar [aria-label=Shuffle]")
    assert queue(desktop) == [shuffled[0], *(each for each in ids if each != shuffled[0])]
    desktop.get_by_role("button", name="Play", exact=True).first.click()
    assert queue(desktop) == ids


def test_artist_page_has_albums_and_similar_artists(page):
    go(page, f"artist/{ARTIST}", ".card")
    assert "5 albums · 50 tracks" in page.inner_text(".head")
    years = page.locator("section:has(h2:text-is('Albums')) .card .who").all_text_contents()
    assert [year[:4] for year in years] == ["1984", "1983", "1982", "1981", "1980"]
    page.wait_for_selector(".card.round")
    assert all(int(name[-3:]) % 4 == 2 for name in page.locator(".card.round .name").all_text_contents())


def test_genre_page_leads_to_its_albums_and_tracks(page):
    go(page, "genres", ".genre")
    page.locator(".genre:has-text('Dub')").click()
    page.wait_for_selector("main h1:text-is('Dub')")
    page.get_by_role("link", name="All 5,000 tracks").click()
    page.wait_for_selector(".count:text-is('5,000 tracks')")
    page.wait_for_selector("main .line:has-text('Drtist 003')")


def test_long_list_has_few_nodes_wherever_it_is(page):
    go(page, "tracks", ".line")
    for place in (0, 600_000, 1e9):
        page.evaluate("place => (document.querySelector('main').scrollTop = place)", place)
        page.wait_for_selector("main .placeholder", state="detached")
        page.wait_for_selector("main .line")
        assert page.locator("main *").count() < 600
    page.wait_for_selector("main .line[aria-posinset='20000']")  # it may show the lines before for a moment
    last = page.locator("main .line").last
    assert last.get_attribute("aria-posinset") == last.get_attribute("aria-setsize") == "20000"


def test_row_of_a_long_list_plays_from_there_on(desktop):
    go(desktop, "tracks?sort=artist", ".line")
    desktop.evaluate("document.querySelector('main').scrollTop = 60 * 5000")
    desktop.locator("main [data-index='5005'] .art").click()
    until(desktop, "() => segue.queue.length === 200")
    names = sorted(f"{chr(65 + n % 26)}rtist {n:03d}" for n in range(400))
    first = int(names[100][-3:]) * 50 + 5  # each artist has 50 tracks
    assert queue(desktop)[:2] == [f"t{first:05d}", f"t{first + 1:05d}"]


def test_going_back_restores_the_place(page):
    go(page, "albums", ".card")
    page.evaluate("document.querySelector('main').scrollTop = 4000")
    until(page, "() => [...document.querySelectorAll('main .card')].every((card) => card.dataset.index > 20)")
    place, name = page.evaluate(
        """() => {
          const main = document.querySelector("main");
          const card = main.querySelectorAll(".card")[10];
          const found = [main.scrollTop, card.querySelector(".name").textContent];
          card.querySelector("a").click();
          return found;
        }"""
    )
    assert place == 4000
    page.wait_for_selector(f"main .head h1:text-is('{name}')")
    assert page.evaluate("document.querySelector('main').scrollTop") == 0
    page.go_back()
    page.wait_for_selector(f"main[data-address='#/albums'] .card .name:text-is('{name}')")
    assert abs(page.evaluate("document.querySelector('main').scrollTop") - place) < 2


def test_arrow_keys_move_in_a_grid(desktop):
    go(desktop, "settings", "h1")
    go(desktop, "albums", ".card")
    desktop.locator("main .card a").first.focus()
    lefts = desktop.locator("main .card").evaluate_all(
        "cards => cards.map((card) => card.getBoundingClientRect().left)"
    )
    columns = len(set(lefts))
    index = "document.activeElement.closest('[data-index]')?.dataset.index"
    for key, expected in (("ArrowDown", columns), ("ArrowRight", columns + 1), ("End", 1999), ("Home", 0)):
        desktop.keyboard.press(key)
        until(desktop, f"expected => {index} === expected", arg=str(expected))
    name = desktop.locator("main [data-index='0'] .name").text_content()
    desktop.keyboard.press("Enter")
    desktop.wait_for_selector(f".head h1:text-is('{name}')")


def test_search_finds_every_kind_by_keyboard(page, address):
    playlist = get(address, "api/playlists", body={"name": "Crtist evening", "tracks": ["t00100"]})
    go(page, "settings", "h1")
    page.fill("#q", "crtist")
    page.wait_for_selector("main h1:text-is('“crtist”')")
    sections = page.locator("main section h2").all_text_contents()
    assert sections == ["Artists", "Albums", "Playlists"]
    page.wait_for_selector("main .line:has-text('by Crtist')")
    page.fill("#q", "crtist 002")
    page.wait_for_selector("main h1:text-is('“crtist 002”')")
    assert page.locator("main .chip.artist").all_text_contents() == ["Crtist 002"]
    page.press("#q", "ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector("main:not([aria-busy]) .head h1:text-is('Crtist 002')")
    assert page.input_value("#q") == ""
    page.go_back()
    page.wait_for_selector("main h1:text-is('“crtist 002”')")
    assert page.input_value("#q") == "crtist 002"
    page.evaluate(f"fetch('/api/playlists/{playlist['id']}', {{method: 'DELETE'}})")


def answer(page, name, action):
    """Fill the dialog that asks for a name."""
    page.fill("dialog.ask input", name)
    page.get_by_role("dialog").get_by_role("button", name=action).click()
    page.wait_for_selector("dialog.ask", state="detached")


def titles(page):
    return [each.split(" ")[1] for each in page.locator("main .sortable .name").all_text_contents()]


def test_playlist_is_made_sorted_renamed_and_deleted(page):
    go(page, f"album/{ALBUM}", ".numbered")
    page.click(".head [aria-haspopup=menu]")
    page.get_by_role("menuitem", name="Add to a playlist …").click()
    page.get_by_role("menuitem", name="New playlist …").click()
    answer(page, "Evening", "Create")
    go(page, "playlists", ".card:has(.name:text-is('Evening'))")
    page.locator(".card:has(.name:text-is('Evening')) a").click()
    page.wait_for_selector(".head h1:text-is('Evening')")
    page.locator(".sortable .handle").first.focus()
    for _ in range(2):
        page.keyboard.press("ArrowDown")
    assert titles(page)[:4] == ["2", "3", "1", "4"]
    page.locator("[aria-label^='Remove Song 2 ']").click()
    page.wait_for_selector(".head .facts:has-text('9 tracks')")  # the server has all three changes
    page.reload()
    page.wait_for_selector(".sortable .line")
    assert titles(page)[:4] == ["3", "1", "4", "5"]
    page.click(".head [aria-haspopup=menu]")
    page.get_by_role("menuitem", name="Rename …").click()
    assert violations(page) == []
    answer(page, "Night", "Rename")
    page.wait_for_selector(".head h1:text-is('Night')")
    page.click(".head [aria-haspopup=menu]")
    page.get_by_role("menuitem", name="Delete …").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_selector(".empty-state:has-text('Make a playlist here')")


def test_found_tracks_are_added_to_an_empty_playlist(page, address):
    made = get(address, "api/playlists", body={"name": "Empty", "tracks": []})
    go(page, f"playlist/{made['id']}", ".finder")
    page.fill("[aria-label='Find tracks to add']", "crtist 002")
    for number in (1, 2):
        page.locator(".finder [aria-label^='Add ']").nth(number).click()
    page.wait_for_selector(".head .facts:has-text('2 tracks')")
    assert page.locator("main .sortable .line").count() == 2
    assert len(get(address, f"api/playlists/{made['id']}")["items"]) == 2
    assert violations(page) == []
    page.fill("[aria-label='Find tracks to add']", "nothing at all")
    page.wait_for_selector(".finder li:has-text('No track has words')")
    page.evaluate(f"fetch('/api/playlists/{made['id']}', {{method: 'DELETE'}})")


def drag(page, source, target):
    """Drag the handle of one row onto the lower half of another row."""
    start_box = page.locator(f"[data-index='{source}'] .handle").bounding_box()
    end_box = page.locator(f"[data-index='{target}'] .handle").bounding_box()
    page.mouse.move(start_box["x"] + 9, start_box["y"] + 9)
    page.mouse.down()
    page.mouse.move(end_box["x"] + 9, end_box["y"] + 20, steps=5)
    page.wait_for_selector(".sortable .marker:not([hidden])")
    page.mouse.up()


def test_queue_is_dragged_and_saved(desktop, address):
    go(desktop, f"album/{ALBUM}", ".numbered")
    desktop.get_by_role("button", name="Play", exact=True).first.click()
    ids = queue(desktop)
    go(desktop, "queue", ".sortable .line")
    drag(desktop, 1, 4)
    until(desktop, "id => segue.queue[4].track.id === id", arg=ids[1])
    assert queue(desktop) == [ids[0], *ids[2:5], ids[1], *ids[5:]]
    drag(desktop, 0, 2)  # the one that plays
    until(desktop, "id => segue.index === 2 && segue.track.id === id", arg=ids[0])
    desktop.click("[data-index='0'] [aria-label^=Remove]")
    until(desktop, "id => segue.index === 1 && segue.track.id === id", arg=ids[0])
    desktop.get_by_role("button", name="Save as a playlist").click()
    answer(desktop, "From the queue", "Create")
    (saved,) = get(address, "api/playlists")
    assert [t["id"] for t in get(address, f"api/playlists/{saved['id']}")["items"]] == queue(desktop)
    desktop.evaluate(f"fetch('/api/playlists/{saved['id']}', {{method: 'DELETE'}})")


def test_playlist_of_a_subsonic_client_appears_at_once(desktop, address):
    go(desktop, "playlists", "h1")
    secret = get(address, "api/app-passwords", body={"label": "client"})["secret"]
    client = f"apiKey={secret}&v=1.16.1&c=test&f=json"
    made = get(address, f"rest/createPlaylist?{client}&name=Of+a+client&songId=t00007")
    made = made["subsonic-response"]["playlist"]
    desktop.locator(".card:has-text('Of a client') a").click()
    desktop.wait_for_selector(".sortable .line")
    get(address, f"rest/updatePlaylist?{client}&playlistId={made['id']}&songIdToAdd=t00009")
    desktop.wait_for_selector(".sortable [data-track=t00009]")
    get(address, f"rest/deletePlaylist?{client}&id={made['id']}")


def test_sleep_timer_stops_the_music(desktop):
    go(desktop, f"album/{ALBUM}", ".numbered")
    desktop.get_by_role("button", name="Play", exact=True).first.click()
    until(desktop, "() => segue.playing")
    desktop.evaluate("segue.sleepIn(0.005)")
    until(desktop, "() => !segue.playing && segue.sleepAt === 0")
    desktop.evaluate("segue.toggle()")
    desktop.click(".bar [aria-label='Sleep timer']")
    desktop.get_by_role("menuitem", name="Stop after this track").click()
    first = queue(desktop)[0]
    desktop.evaluate("segue.seek(segue.duration - 0.3)")
    until(desktop, "() => !segue.playing && segue.sleepAt === 0")
    assert desktop.evaluate("segue.track.id") == first


def test_slow_view_shows_that_it_is_loading(page):
    go(page, "settings", "h1")
    held = []
    page.route("**/api/liked", lambda route: held.append(route))
    page.evaluate("location.hash = '#/liked'")
    page.wait_for_selector("main[aria-busy=true] h1:text-is('Liked')")
    page.wait_for_selector("main .skeleton")
    wait_for(lambda: page.evaluate("true") and held)
    held[0].continue_()
    page.wait_for_selector("main:not([aria-busy]) .empty-state")
    page.unroute("**/api/liked")


def test_crossfade_plays_two_tracks_at_once(desktop):
    go(desktop, f"album/{ALBUM}", ".numbered")
    desktop.evaluate("import('/static/sound.js').then((sound) => sound.setSound('crossfade', 2))")
    desktop.get_by_role("button", name="Play", exact=True).first.click()
    until(desktop, "() => segue.playing && segue.audios[1].readyState === 4")
    desktop.evaluate("() => { window.last = segue.audio; segue.seek(segue.duration - 3); }")
    until(desktop, "() => segue.index === 1 && segue.playing && !last.paused && last.volume < 1")
    until(desktop, "() => last.paused && segue.audio.volume === 1")
    desktop.evaluate("import('/static/sound.js').then((sound) => sound.setSound('crossfade', 0))")
    assert desktop.evaluate("segue.index") == 1


def test_album_of_two_discs_plays_in_order_with_its_gain(desktop, address):
    album = get(address, f"api/albums/{ALBUM}")
    for number, track in enumerate(album["tracks"]):
        track |= {"disc_no": 1 + number // 5, "track_no": 1 + number % 5}
    desktop.route(f"**/api/albums/{ALBUM}", lambda route: route.fulfill(json=album))
    gain = {"track_gain_db": -6.0, "album_gain_db": -12.0}
    desktop.route("**/api/tracks/*/gain", lambda route: route.fulfill(json=gain))
    go(desktop, "settings", ".choice")
    group = desktop.get_by_role("group", name="Loudness (ReplayGain)")
    group.get_by_role("button", name="same for all albums").click()
    go(desktop, f"album/{ALBUM}", ".disc h2")
    assert desktop.locator(".disc h2").all_text_contents() == ["Disc 1", "Disc 2"]
    assert desktop.locator(".numbered .digits").all_text_contents() == [*"12345", *"12345"]
    desktop.locator(".disc").nth(1).locator(".number").first.click()
    until(desktop, "() => segue.playing && Math.abs(segue.audio.volume - 10 ** (-12 / 20)) < 0.001")
    assert desktop.evaluate("segue.index") == 5
    assert queue(desktop) == [track["id"] for track in album["tracks"]]
    go(desktop, "settings", ".choice")
    group.get_by_role("button", name="same for all tracks").click()
    until(desktop, "() => Math.abs(segue.audio.volume - 10 ** (-6 / 20)) < 0.001")
    group.get_by_role("button", name="as it is").click()
    until(desktop, "() => segue.audio.volume === 1")
    desktop.unroute("**/api/tracks/*/gain")
    desktop.unroute(f"**/api/albums/{ALBUM}")


def test_small_quality_asks_for_the_small_file(desktop):
    go(desktop, "settings", ".choice")
    group = desktop.get_by_role("group", name="Quality")
    group.get_by_role("button", name="small").click()
    desktop.evaluate("segue.next()")
    until(desktop, "() => segue.playing && segue.audio.src.endsWith('/audio?quality=small')")
    group.get_by_role("button", name="automatic").click()
    desktop.evaluate("segue.next()")
    until(desktop, "() => segue.playing && segue.audio.src.endsWith('/audio')")


def test_lyrics_follow_the_track(page, lyrics):
    go(page, f"album/{ALBUM}", ".numbered")
    page.get_by_role("button", name="Play", exact=True).first.click()
    until(page, "() => segue.playing")
    page.click(".bar .open")
    page.click("#sheet [aria-label=Lyrics]")
    page.wait_for_selector(".lyrics [aria-current]:has-text('One')")
    page.locator(".lyrics").get_by_role("button", name="Two").click()
    page.wait_for_selector(".lyrics [aria-current]:has-text('Two')")
    assert page.evaluate("segue.position") >= 4
    assert violations(page) == []
    page.click("#sheet [aria-label=Close]")
    page.evaluate("segue.pause()")


def test_history_is_imported_from_a_file(desktop, tmp_path):
    file = tmp_path / "listens.jsonl"
    names = [("Song 1 of 0 by Artist 000", "Artist 000"), ("Elsewhere", "Nobody")]
    listens = [
        {"listened_at": 1_700_000_000 + n, "track_metadata": {"track_name": title, "artist_name": artist}}
        for n, (title, artist) in enumerate(names)
    ]
    file.write_text("".join(f"{json.dumps(each)}\n" for each in listens))
    go(desktop, "settings", "#history-file")
    desktop.set_input_files("#history-file", file)
    status = desktop.locator(".panel [role=status]:has-text('2 listens read')").inner_text()
    assert "1 imported, 0 there already, 1 of tracks that are not" in status and "Nobody - Else" in status


def test_plays_are_forwarded_until_it_is_stopped(desktop):
    go(desktop, "settings", "form.field")
    desktop.fill("[aria-label='User token, from your ListenBrainz settings']", "0123456789abcdef")
    desktop.get_by_role("button", name="Connect").click()
    row = desktop.locator("li:has-text('ListenBrainz')")
    row.get_by_text("Plays are forwarded").wait_for()
    go(desktop, "genres", ".genre")
    go(desktop, "settings", "li:has-text('Plays are forwarded')")
    desktop.get_by_label("Stop forwarding to ListenBrainz").click()
    row.get_by_role("button", name="Connect").wait_for()
    assert desktop.locator("li:has-text('Last.fm')").count() == 0  # the operator has no key of its API


def test_plays_and_playlists_are_exported(desktop):
    go(desktop, "settings", "form.field")
    with desktop.expect_download() as download:
        desktop.get_by_text("Export the plays of this collection").click()
    assert download.value.suggested_filename.endswith(".jsonl")


def test_each_reason_is_given_once(desktop):
    found = desktop.evaluate(
        """import("/static/reasons.js").then(({sections}) =>
          sections([..."AABABACADAAB"].map((reason, rank) => ({rank, reason})), "For you", 12)
            .map(({title, items}) => [title, items.map((item) => item.reason)]))"""
    )
    assert found == [["For you", ["A", "B", "", "C", "D", ""]], ["A", [""] * 6]]


def test_long_title_leaves_the_buttons_in_sight(address, chromium):
    for width, height in ((390, 600), (1440, 700), (390, 844)):
        page = open_page(chromium[1], address, viewport={"width": width, "height": height})
        page.evaluate(
            """fetch("/api/tracks/t00001").then((answer) => answer.json()).then((track) => segue.play(
              [{...track, title: "A title that goes on ".repeat(15), artist: "Somebody ".repeat(30)}]))"""
        )
        page.click(".bar .open")
        box = page.locator("#sheet .play").bounding_box()
        assert box["y"] + box["height"] <= height, (width, height)
        assert page.evaluate("document.querySelector('#sheet').scrollWidth <= innerWidth")
        page.close()


# In the page: texts and labels that are neither of the strings, which are marked, nor of the library.
_UNMARKED = """() => {
  const names = /Segue|ListenBrainz|English|Deutsch/g;
  const data = /lbum|rtist|Song|client|\\b(by|of)\\b|Jazz|Dub|Folk|Techno|local/g;
  const found = [];
  const check = (text, where) => {
    let rest = text ?? "";
    for (let before = ""; before !== rest;) [before, rest] = [rest, rest.replace(/⟦[^⟦⟧]*⟧/g, "")];
    if (/\\p{L}{2,}/u.test(rest.replace(names, "").replace(data, ""))) found.push(`${where}: ${text}`);
  };
  for (const element of document.body.querySelectorAll("*")) {
    if (!element.checkVisibility() || element.matches("script, noscript")) continue;
    for (const name of ["aria-label", "title", "placeholder"]) check(element.getAttribute(name), name);
    for (const node of element.childNodes)
      if (node.nodeType === Node.TEXT_NODE) check(node.data, element.tagName);
  }
  return [...new Set(found)];
}"""


def test_every_text_is_of_the_strings(address, chromium):
    page = open_page(chromium[1], address, locale="de-DE")
    assert page.evaluate("document.documentElement.lang") == "de"
    page.wait_for_selector(".pill:has-text('Überrasche mich')")

    def mark(route):
        source = route.fetch().text().replace("`", "")  # of commands, which are elements of their own
        route.fulfill(body=re.sub(r'(?<=: )"([^"]*)"', r'"⟦\1⟧"', source), content_type="text/javascript")

    page.route("**/strings/de.js", mark)
    page.reload()
    page.wait_for_selector("#start")
    for place in (*VIEWS, "map", "album/nothing"):
        go(page, place, "h1")
        assert page.evaluate(_UNMARKED) == [], place
    go(page, f"album/{ALBUM}", ".numbered")
    page.locator(".head .pill").first.click()
    for opener in (
        ".numbered [aria-haspopup=menu]",
        ".head [aria-haspopup=menu]",
        ".bar .right [aria-haspopup=menu]",
    ):
        page.locator(opener).first.click()
        page.wait_for_selector("#menu:not([hidden])")
        assert page.evaluate(_UNMARKED) == [], opener
        page.keyboard.press("Escape")
    page.click(".bar .open")
    assert page.evaluate(_UNMARKED) == []
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(page, scheme):
    for place in VIEWS:
        go(page, place, "*")
        assert violations(page, scheme) == [], place
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), place


def test_console_is_silent(desktop, phone):
    assert desktop.console + phone.console == []
