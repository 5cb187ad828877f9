"""How well the lists foretell what people play next: the hybrid beside popularity, the sound alone and plain ALS.

Plays are split by time: what came before the split is known, and the tracks that a listener finished or liked after
it, not heard before, are what a list of ten is to hold. Each system sees the same plays; the weight of co-listening in the
hybrid is chosen on an earlier split, of the known plays themselves, so that the figures are of plays it was not chosen by.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from jobs import profiles, ranking
from jobs.evaluation import LIST, play_metrics

# Of the plays, in the order of time, so many are known.
KNOWN = 0.8

# Listeners who are asked about, evenly over all.
LISTENERS = 500

# Weights of co-listening and of popularity that are tried, beside sound's 1.
TOGETHER, POPULAR = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0), (0.0, 0.05, 0.2)

_HEARD = ("finished", "liked")

Play = dict[str, Any]
Lists = Callable[[Sequence[profiles.Profile]], np.ndarray]


def split(plays: Sequence[Play], known: float = KNOWN) -> tuple[list[Play], list[Play]]:
    """Return the plays before and after the split, in the order of time."""
    ordered = sorted(plays, key=lambda play: (play["played_at"], play["event_id"]))
    at = int(len(ordered) * known)
    return ordered[:at], ordered[at:]


def asked(
    places: Mapping[str, int], before: Sequence[Play], after: Sequence[Play]
) -> tuple[list[profiles.Profile], list[set[int]], list[set[int]]]:
    """Return the listeners that something is foretold for: profiles before, tracks heard before, tracks first heard after."""
    heard: dict[str, tuple[set[int], set[int]]] = {}
    for side, plays in enumerate((before, after)):
        for play in plays:
            if play["event"] in _HEARD and play["track_id"] in places:
                heard.setdefault(play["user_id"], (set(), set()))[side].add(places[play["track_id"]])
    users = sorted(user for user, (old, new) in heard.items() if old and new - old)
    users = users[:: max(1, len(users) // LISTENERS)][:LISTENERS]
    made = {user: profiles.empty(user) for user in users}
    for play in before:
        if play["user_id"] in made:
            profiles.add(made[play["user_id"]], play)
    return list(made.values()), [heard[user][0] for user in users], [heard[user][1] - heard[user][0] for user in users]


def by_ranking(catalogue: ranking.Catalogue, blend: ranking.Blend, known: Sequence[set[int]]) -> Lists:
    """Return a system: what `ranking.recommend` gives by a blend, without what each listener knows already."""
    given = replace(catalogue, blend=blend)

    def lists(asking: Sequence[profiles.Profile]) -> np.ndarray:
        found = np.full((len(asking), LIST), -1)
        for row, (profile, old) in enumerate(zip(asking, known, strict=True)):
            exclude = {str(given.ids[number]) for number in old}
            items = ranking.recommend(given, profile, count=LIST, exclude=exclude)
            found[row, : len(items)] = [given.places[item["track_id"]] for item in items]
        return found

    return lists


def by_scores(scores: np.ndarray, known: Sequence[set[int]]) -> np.ndarray:
    """Return the best LIST of scores (users, tracks), or (tracks,) for everybody alike, without what each one knows."""
    found = np.full((len(known), LIST), -1)
    for row, old in enumerate(known):
        own = (scores if scores.ndim == 1 else scores[row]).astype(float).copy()
        own[list(old)] = -np.inf
        best = np.argsort(-own, kind="stable")[:LIST]
        best = best[np.isfinite(own[best])]
        found[row, : len(best)] = best
    return found


def figures(lists: np.ndarray, after: Sequence[set[int]]) -> dict[str, float]:
    """Return recall@10 and NDCG@10 (see `evaluation.play_metrics`)."""
    return play_metrics(lists, after)


def choose(
    catalogue: ranking.Catalogue,
    asking: Sequence[profiles.Profile],
    known: Sequence[set[int]],
    after: Sequence[set[int]],
) -> ranking.Blend:
    """Return the blend whose lists have the best NDCG; the least co-listening where several have."""
    tried = [ranking.Blend(together=together, popular=popular) for together in TOGETHER for popular in POPULAR]
    scores = [figures(by_ranking(catalogue, b, known)(asking), after)["plays_ndcg_at_10"] for b in tried]
    return tried[int(np.argmax(np.round(scores, 6)))]
