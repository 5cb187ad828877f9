"""OpenSubsonic's extension `sonicSimilarity`.

Similar tracks with their cosines, and a path between two tracks.
"""

from serving.subsonic.protocol import Answer, SubsonicRequest, method


@method("getSonicSimilarTracks")
def _similar_tracks(request: SubsonicRequest) -> Answer:
    track = request.state.track(request.query.text("id"))
    by_id = request.state.catalog.by_id
    neighbours = request.state.online_store.similar(track.track_id)
    known = [item for item in neighbours if item["track_id"] in by_id][: request.query.number("count", 10)]
    return {
        "sonicMatch": [
            {
                "entry": request.library.song(by_id[item["track_id"]]),
                "similarity": round(max(0.0, item["score"]), 4),
            }
            for item in known
        ]
    }


@method("findSonicPath")
def _path(request: SubsonicRequest) -> Answer:
    start = request.state.track(request.query.text("startSongId"))
    end = request.state.track(request.query.text("endSongId"))
    champion = request.state.online_store.champion()
    count = request.query.number("count", 25, 100)
    path = request.state.radio.path_between(request.state.catalog, champion, start, end, count)
    return {
        "sonicMatch": [
            {"entry": request.library.song(track), "similarity": round(cosine, 4)} for track, cosine in path
        ]
    }
