"""How well lists foretell what people play next: the hybrid beside the sound, co-listening, plain ALS and popularity.

Plays are split by time: what came before the split is known, and the tracks that a listener finished or liked after
it, never started before, are what a list of ten is to hold. Each system sees the same plays and names the ten it scores best:
the rules of `ranking.py` (an artist's share, something from elsewhere), which would cost all alike, are left out. How the
hybrid is blended is chosen on earlier splits, of the known plays themselves: the figures are of plays it was not chosen by.
"""

import copy
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from pyspark.ml.recommendation import ALS
from pyspark.sql import SparkSession

from jobs.model.metrics import K, ranking_metrics
from jobs.plays.splits import TUNING_SPLITS, Play, temporal_split
from jobs.recommender import collaborative, item_catalog, profiles, ranking

# Listeners who are asked about, evenly over all: for a figure, and for each choice.
EVALUATION_USERS, TUNING_USERS = 500, 150

# What is tried: first how co-listening is made, then the weights of sound, co-listening and popularity. The parts alone
# are among them, so the choice is never worse, on the plays it is made by, than the best of its parts.
CONFIG_GRID = tuple(
    collaborative.CollaborativeConfig(content_weight=sound, power=power)
    for sound in (0.0, 0.2, 1.0)
    for power in (1.0, 2.0, 3.0)
)
CONTENT_ONLY, COLLABORATIVE_ONLY, POPULARITY_ONLY = (
    item_catalog.RankingWeights(1.0, 0.0, 0.0),
    item_catalog.RankingWeights(0.0, 64.0, 0.0),
    item_catalog.RankingWeights(0.0, 0.0, 64.0),
)
DEFAULT_WEIGHTS = item_catalog.RankingWeights(4.0, 64.0, 0.0)
WEIGHT_GRID = (
    *(
        CONTENT_ONLY,
        COLLABORATIVE_ONLY,
        POPULARITY_ONLY,
        DEFAULT_WEIGHTS,
        item_catalog.RankingWeights(10.0, 0.0, 0.0),
    ),
    *(
        item_catalog.RankingWeights(*weights)
        for weights in ((1.0, 2.0, 0.0), (1.0, 8.0, 0.0), (1.0, 32.0, 0.0), (16.0, 64.0, 0.0))
    ),
    *(item_catalog.RankingWeights(*weights) for weights in ((1.0, 8.0, 0.2), (4.0, 64.0, 1.0))),
)

_HEARD = ("finished", "liked")

ItemSets = Sequence[set[int]]
T = TypeVar("T")


@dataclass(frozen=True)
class SelectedWeights:
    """How co-listening is made, and how much each part counts."""

    config: collaborative.CollaborativeConfig
    weights: item_catalog.RankingWeights


@dataclass(frozen=True)
class Holdout:
    """Listeners with their profiles as of a split, the tracks each had met before it, and those first met and heard after."""

    profiles: list[profiles.Profile]
    before: list[set[int]]
    after: list[set[int]]


def build_holdout(
    places: Mapping[str, int], before: Iterable[Play], after: Iterable[Play], most: int = EVALUATION_USERS
) -> Holdout:
    """Return what is to be foretold: of at most so many listeners who were there before and heard something new after."""
    heard: dict[str, tuple[set[int], set[int]]] = {}
    before = list(before)
    for side, plays in enumerate((before, after)):
        for play in plays:
            if (side == 0 or play["event"] in _HEARD) and play["track_id"] in places:
                heard.setdefault(play["user_id"], (set(), set()))[side].add(places[play["track_id"]])
    users = sorted(user for user, (old, new) in heard.items() if old and new - old)
    users = users[:: max(1, len(users) // most)][:most]
    made = {user: profiles.new_profile(user) for user in users}
    for play in before:
        if play["user_id"] in made:
            profiles.add_play(made[play["user_id"]], play)
    return Holdout(
        list(made.values()),
        [heard[user][0] for user in users],
        [heard[user][1] - heard[user][0] for user in users],
    )


class FittedRecommender:
    """What is learned from plays: who heard what, how many each track; links and lists by any recipe and blend."""

    def __init__(self, catalogue: item_catalog.ItemCatalog, plays: Sequence[Play]) -> None:
        """Learn from plays of the catalogue's tracks."""
        places = catalogue.index_of
        pairs = sorted(_pairs(places, plays))
        users = np.array([user for user, _ in pairs], dtype=str)
        self._heard = collaborative.interaction_matrix(
            users, np.array([track for _, track in pairs], dtype=int), len(places)
        )
        self.listeners = listener_counts(places, plays)
        nobody = np.full(len(places), "")
        self._catalogue = replace(catalogue, artists=nobody, recordings=catalogue.ids, plays=self.listeners)

    def factorize(self, recipe: collaborative.CollaborativeConfig) -> np.ndarray:
        """Return what links follow from (see `together.factors`)."""
        return collaborative.factorize(self._heard, self._catalogue.vectors, recipe)

    def recommend(
        self, links: collaborative.ItemSimilarities, blend: item_catalog.RankingWeights, question: Holdout
    ) -> np.ndarray:
        """Return each listener's best LIST tracks (listeners, LIST), of what was not heard before; -1 where it ends."""
        catalogue = self._with(links, blend)
        found = np.full((len(question.profiles), K), -1)
        for row, (profile, old) in enumerate(zip(question.profiles, question.before, strict=True)):
            exclude = {str(catalogue.ids[number]) for number in old}
            # One more, since the tenth is what is tried from elsewhere, which has no score.
            items = ranking.recommend(catalogue, profile, count=K + 1, exclude=exclude)
            kept = [i["track_id"] for i in items if (i["rank"], i["score"]) != (K, 0.0)][:K]
            found[row, : len(kept)] = [catalogue.index_of[track_id] for track_id in kept]
        return found

    def _with(
        self, links: collaborative.ItemSimilarities, blend: item_catalog.RankingWeights
    ) -> item_catalog.ItemCatalog:
        """Return the catalogue with links and blend; a copy, and no new one, keeps its index."""
        made = copy.copy(self._catalogue)
        object.__setattr__(made, "together", links)
        object.__setattr__(made, "blend", blend)
        return made


def select_weights(catalogue: item_catalog.ItemCatalog, plays: Sequence[Play]) -> SelectedWeights | None:
    """Return what foretells best, by NDCG over the splits of CHOSEN_AT; None where nobody can be asked.

    With few listeners much would be chance: what is chosen has to beat the usual mixture by more than that.
    """
    trials = []
    for share in TUNING_SPLITS:
        before, after = temporal_split(plays, share)
        question = build_holdout(catalogue.index_of, before, after, TUNING_USERS)
        if question.profiles:
            trials.append((FittedRecommender(catalogue, before), question))
    if not trials:
        return None

    def gains(
        links: Mapping[FittedRecommender, collaborative.ItemSimilarities], blend: item_catalog.RankingWeights
    ) -> np.ndarray:
        return np.concatenate(
            [_gains(t.recommend(links[t], blend, question), question) for t, question in trials]
        )

    factors = {
        (t, recipe.content_weight): t.factorize(recipe)
        for t, _ in trials
        for recipe in CONFIG_GRID
        if recipe.power == 1
    }
    made = {
        recipe: {
            t: collaborative.item_similarities(factors[t, recipe.content_weight], recipe) for t, _ in trials
        }
        for recipe in CONFIG_GRID
    }
    recipe = _best_by_one_standard_error(
        {recipe: gains(made[recipe], DEFAULT_WEIGHTS) for recipe in CONFIG_GRID},
        collaborative.CollaborativeConfig(),
    )
    blend = _best_by_one_standard_error(
        {blend: gains(made[recipe], blend) for blend in WEIGHT_GRID}, DEFAULT_WEIGHTS
    )
    return SelectedWeights(recipe, blend)


def _best_by_one_standard_error(gains: Mapping[T, np.ndarray], usual: T) -> T:
    """Return the option with the most gain; the usual one where the others' lead is less than its own standard error."""
    best = max(gains, key=lambda option: round(float(gains[option].mean()), 6))
    lead = gains[best] - gains[usual]
    return best if lead.mean() > lead.std() / np.sqrt(len(lead)) else usual


def _gains(lists: np.ndarray, question: Holdout) -> np.ndarray:
    """Return each listener's NDCG."""
    rows = zip(lists, question.after, strict=True)
    return np.array([ranking_metrics(row[None], [own])["plays_ndcg_at_10"] for row, own in rows])


def evaluate_systems(
    catalogue: item_catalog.ItemCatalog, before: Sequence[Play], question: Holdout, spark: SparkSession
) -> dict[str, dict[str, float]]:
    """Return recall@10 and NDCG@10 of each system, which knows the plays before, for the question."""
    choice = select_weights(catalogue, before) or SelectedWeights(
        collaborative.CollaborativeConfig(), CONTENT_ONLY
    )
    trained = FittedRecommender(catalogue, before)
    alone = replace(choice.config, content_weight=0.0)
    links, by_plays = (
        collaborative.item_similarities(trained.factorize(recipe), recipe)
        for recipe in (choice.config, alone)
    )
    users = [profile["_id"] for profile in question.profiles]
    lists = {
        "hybrid": trained.recommend(links, choice.weights, question),
        "sound": trained.recommend({}, CONTENT_ONLY, question),
        "together": trained.recommend(by_plays, COLLABORATIVE_ONLY, question),
        "als": top_k(als_scores(spark, catalogue.index_of, before, users), question.before),
        "popularity": top_k(trained.listeners, question.before),
    }
    return {name: ranking_metrics(found, question.after) for name, found in lists.items()}


def top_k(scores: np.ndarray, known: ItemSets) -> np.ndarray:
    """Return the best LIST of scores (users, tracks), or (tracks,) for everybody alike, without what each one knows."""
    found = np.full((len(known), K), -1)
    for row, old in enumerate(known):
        own = (scores if scores.ndim == 1 else scores[row]).astype(float).copy()
        own[list(old)] = -np.inf
        best = np.argsort(-own, kind="stable")[:K]
        best = best[np.isfinite(own[best])]
        found[row, : len(best)] = best
    return found


def als_scores(
    spark: SparkSession, places: Mapping[str, int], plays: Sequence[Play], users: Sequence[str]
) -> np.ndarray:
    """Return the scores (users, tracks) of plain ALS with Spark's defaults, of how often each was finished or liked."""
    numbers = {user: number for number, user in enumerate(sorted({play["user_id"] for play in plays}))}
    heard = Counter(
        (numbers[play["user_id"]], places[play["track_id"]])
        for play in plays
        if play["event"] in _HEARD and play["track_id"] in places
    )
    if not heard:  # Spark's ALS takes no empty table
        return np.zeros((len(users), len(places)))
    rows = [(user, track, float(count)) for (user, track), count in sorted(heard.items())]
    frame = spark.createDataFrame(rows, "user int, item int, rating float").coalesce(1)
    # Few blocks: what is judged is small, and each costs Spark a task in every step.
    learner = ALS(
        implicitPrefs=True, userCol="user", itemCol="item", ratingCol="rating", seed=0
    ).setNumBlocks(2)
    model = learner.fit(frame)
    of = [np.zeros((len(numbers), learner.getRank())), np.zeros((len(places), learner.getRank()))]
    for factors, found in zip(of, (model.userFactors, model.itemFactors), strict=True):
        for row in found.collect():
            factors[row["id"]] = row["features"]
    return np.asarray(of[0][[numbers[user] for user in users]] @ of[1].T)


def listener_counts(places: Mapping[str, int], plays: Sequence[Play]) -> np.ndarray:
    """Return how many have finished or liked each track, (tracks,)."""
    return np.bincount([track for _, track in _pairs(places, plays)], minlength=len(places))


def _pairs(places: Mapping[str, int], plays: Sequence[Play]) -> set[tuple[str, int]]:
    """Return who has finished or liked which track."""
    return {
        (p["user_id"], places[p["track_id"]])
        for p in plays
        if p["event"] in _HEARD and p["track_id"] in places
    }
