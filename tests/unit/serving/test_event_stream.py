"""Server-sent events: users get their own and everybody's, slow readers the latest."""

import asyncio

from serving import event_stream
from serving.event_stream import EventHub, sse_event


async def reader(hub, user, first=()):
    stream = hub.stream(user, list(first), on_open=lambda: None, on_close=lambda: None)
    assert (await anext(stream)).startswith(b"retry:")
    return stream


def message(text):
    return sse_event("recommendations", {"n": text}, f"id-{text}")


def test_event_has_its_id():
    assert message(1) == b'id: id-1\nevent: recommendations\ndata: {"n":1}\n\n'
    assert sse_event("state", {"mongo": False}) == b'event: state\ndata: {"mongo":false}\n\n'


def test_users_get_their_own_and_everybodys_events():
    async def run():
        hub = EventHub(asyncio.get_running_loop())
        anna, bert = await reader(hub, "anna", [b"first"]), await reader(hub, "bert")
        assert await anext(anna) == b"first"
        waiting = asyncio.create_task(anext(bert))
        asyncio.create_task(asyncio.sleep(0))
        mine = asyncio.create_task(anext(anna))
        await asyncio.sleep(0)
        hub.publish("anna", "recommendations", {"n": 1}, "id-1")
        assert await mine == message(1)
        assert not waiting.done()
        hub.publish(None, "state", {"mongo": True})
        assert await waiting == sse_event("state", {"mongo": True})
        await anna.aclose()
        await bert.aclose()
        assert hub.open_streams == 0 and not hub._streams

    asyncio.run(run())


def test_event_seen_before_reconnecting_does_not_repeat():
    async def run():
        hub = EventHub(asyncio.get_running_loop())
        stream = hub.stream("anna", [], last_event_id="id-1", on_open=lambda: None, on_close=lambda: None)
        await anext(stream)
        following = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        for number in (1, 2, 2, 3):
            hub._publish("anna", (f"id-{number}", message(number)))
        assert [await following, await anext(stream)] == [message(2), message(3)]
        await stream.aclose()

    asyncio.run(run())


def test_stream_ends_after_logout(monkeypatch):
    monkeypatch.setattr(event_stream, "_HEARTBEAT_S", 0.01)

    async def run():
        hub, allowed = EventHub(asyncio.get_running_loop()), [True, False]
        stream = hub.stream(
            "anna", [], is_allowed=lambda: allowed.pop(0), on_open=lambda: None, on_close=lambda: None
        )
        assert [text async for text in stream] == [b"retry: 1500\n\n", b": still here\n\n"]
        assert hub.open_streams == 0

    asyncio.run(run())


def test_slow_reader_misses_the_oldest_events_only():
    async def run():
        hub = EventHub(asyncio.get_running_loop())
        stream = hub.stream("anna", [], on_open=lambda: None, on_close=lambda: None)
        await anext(stream)
        first = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        for number in range(30):
            hub._publish("anna", (f"id-{number}", message(number)))
        got = [await first, *[await anext(stream) for _ in range(7)]]
        assert got[-1] == message(29) and len(set(got)) == 8
        hub.close()
        assert [text async for text in stream] == []

    asyncio.run(run())
