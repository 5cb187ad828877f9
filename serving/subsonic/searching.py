"""Searching: artists, albums and songs by the beginnings of words."""

from serving.subsonic.protocol import Answer, SubsonicRequest, method


@method("search3", "search2")
def _search(request: SubsonicRequest) -> Answer:
    query = request.query
    pages = {
        kind: (query.number(f"{kind}Offset", 0, 10_000_000), query.number(f"{kind}Count", 20))
        for kind in ("artist", "album", "song")
    }
    text = query.text("query", "").strip('"')
    if text == "*":  # as "": all
        text = ""
    key = "searchResult3" if request.name == "search3" else "searchResult2"
    return {key: request.library.search(text, pages)}
