"""Served lists beside plain systems on a real history of counts: NDCG@10, recall@10, diversity and reach.

    python -m tests.bench.bench_taste FILE [--seed 0] [--users N] [--days 90]

FILE has a user, an item and a count per line, separated by blanks, tabs or commas, perhaps below a header
(`user_artists.dat` of hetrec2011-lastfm-2k). Of users with five or more items each pair is held out with
probability .2. The plain systems are written here, independent of `jobs`, and their settings are chosen on a
further fifth of the known pairs; so are Segue's. Segue's
lists go the way of the stream: events, `profiles.add_play`, `tuning.select_weights`, the rows of
ITEM_SIMILARITIES, `ranking.recommendation_list` (of 30, from which known items are taken out). Items have
random vectors, since there is no sound.

Counts are divided so that the median pair has ten plays, at most 60. `--days` spreads the plays at random
over so many days; with 0 they have all the same time.
"""

import argparse
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

from jobs.model.embedding import l2_normalize
from jobs.model.metrics import K, ranking_metrics
from jobs.plays import splits
from jobs.plays.events import PlayEvent
from jobs.recommender import item_catalog, item_similarities, profiles, ranking, scoring, tuning
from jobs.recommender.item_catalog import ItemCatalog
from jobs.steps import recommend

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
MEDIAN_PLAYS, MAX_PLAYS = 10, 60
BOOTSTRAPS = 1_000
HELD_OUT, MIN_ITEMS = 0.2, 5
MAX_EASE_ITEMS = 6_000

Lists = np.ndarray


@dataclass(frozen=True)
class Split:
    """Known plays (users, items) as counts, and the held-out items of each user, an empty set for some."""

    known: csr_array
    later: list[set[int]]


def read_triplets(file: Path) -> csr_array:
    """Return the plays (users, items) of a file of user, item and count."""
    counts: dict[tuple[str, str], float] = {}
    for line in file.read_text("utf-8", errors="replace").splitlines():
        fields = re.split(r"[\t,; ]+", line.strip())
        if len(fields) >= 3 and re.fullmatch(r"\d+(\.\d+)?", fields[2]) and float(fields[2]) > 0:
            pair = (fields[0], fields[1])
            counts[pair] = counts.get(pair, 0) + float(fields[2])
    users, rows = np.unique([user for user, _ in counts], return_inverse=True)
    items, columns = np.unique([item for _, item in counts], return_inverse=True)
    values = np.array(list(counts.values()))
    plays = np.clip(np.round(values * MEDIAN_PLAYS / np.median(values)), 1, MAX_PLAYS)
    return csr_array((plays, (rows, columns)), shape=(len(users), len(items)))


def hold_out(plays: csr_array, seed: int) -> Split:
    """Hold out each pair with probability .2."""
    is_later = np.random.default_rng(seed).random(plays.nnz) < HELD_OUT
    later = [
        set(plays.indices[start:end][is_later[start:end]].tolist())
        for start, end in zip(plays.indptr[:-1], plays.indptr[1:], strict=True)
    ]
    known = plays.copy()
    known.data = np.where(is_later, 0, plays.data)
    known.eliminate_zeros()
    return Split(known, later)


def cold_items(known: csr_array) -> np.ndarray:
    """Return which items (n,) have at most as many users as the least played third of the played ones."""
    n_users = np.bincount(known.indices, minlength=known.shape[1])
    return n_users <= np.percentile(n_users[n_users > 0], 100 / 3)


def best_new(scores: np.ndarray, known: csr_array, among: np.ndarray | None = None) -> Lists:
    """Return the ten best items of each user (users, 10) that the user does not know, among some or all."""
    scores = np.array(scores, dtype=float)
    scores[known.nonzero()] = -np.inf
    if among is not None:
        scores[:, ~among] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :K]


def popularity(known: csr_array) -> np.ndarray:
    """Return the number of users of each item, for every user."""
    return np.tile(np.bincount(known.indices, minlength=known.shape[1]), (known.shape[0], 1))


def bm25(known: csr_array, b: float, n_neighbours: int, k1: float = 1.2) -> np.ndarray:
    """Return the scores of item-kNN with BM25 weights of log counts."""
    log_counts = csr_array(known).astype(float)
    log_counts.data = np.log1p(log_counts.data)
    items = csr_array(log_counts.T)
    lengths = np.asarray(items.sum(axis=1)).ravel()
    lengths = np.repeat(1 - b + b * lengths / lengths.mean(), np.diff(items.indptr))
    idf = np.log(items.shape[0]) - np.log1p(np.bincount(items.indices, minlength=items.shape[1]))
    items.data = items.data * (k1 + 1) / (k1 * lengths + items.data) * idf[items.indices]
    similarities = csr_array(items @ items.T)
    for start, end in zip(similarities.indptr[:-1], similarities.indptr[1:], strict=True):
        row = similarities.data[start:end]
        if len(row) > n_neighbours:
            row[row < np.partition(row, -n_neighbours)[-n_neighbours]] = 0
    return np.asarray((log_counts @ similarities).toarray())


def als(known: csr_array, regularization: float, dimensions: int = 128) -> np.ndarray:
    """Return the scores of implicit ALS on log counts, one system of equations per row."""

    def solve(rows: csr_array, factors: np.ndarray) -> np.ndarray:
        constant = factors.T @ factors + regularization * np.eye(dimensions, dtype=np.float32)
        solved = np.zeros((rows.shape[0], dimensions), dtype=np.float32)
        for row, (start, end) in enumerate(zip(rows.indptr[:-1], rows.indptr[1:], strict=True)):
            if end > start:
                chosen, values = factors[rows.indices[start:end]], rows.data[start:end]
                system = constant + (chosen.T * values) @ chosen
                solved[row] = np.linalg.solve(system, chosen.T @ (1 + values))
        return solved

    log_counts = csr_array(known).astype(np.float32)
    log_counts.data = np.log1p(log_counts.data)
    by_item = csr_array(log_counts.T)
    rng = np.random.default_rng(1)
    items = (0.01 * rng.standard_normal((known.shape[1], dimensions))).astype(np.float32)
    for _ in range(6):
        users = solve(log_counts, items)
        items = solve(by_item, users)
    return np.asarray(solve(log_counts, items) @ items.T)


def ease(known: csr_array, regularization: float) -> np.ndarray:
    """Return the scores of EASE (Steck 2019) over the items of two or more users, the most played ones."""
    n_users = np.bincount(known.indices, minlength=known.shape[1])
    items = np.argsort(-n_users, kind="stable")[: min(MAX_EASE_ITEMS, int((n_users > 1).sum()))]
    is_played = csr_array(known)[:, items].toarray().astype(np.float32) > 0
    played = is_played.astype(np.float32)
    gram = played.T @ played + regularization * np.eye(len(items), dtype=np.float32)
    inverse = np.linalg.inv(gram)
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    scores = np.full(known.shape, -1e3)
    scores[:, items] = played @ weights
    return scores


PLAIN: dict[str, list[Callable[[csr_array], np.ndarray]]] = {
    "popularity": [popularity],
    "BM25": [partial(bm25, b=b, n_neighbours=200, k1=k1) for k1, b in ((1.2, 0.2), (1.2, 0.6), (3.0, 0.2))],
    "ALS": [partial(als, regularization=value) for value in (20.0, 40.0)],
    "EASE": [partial(ease, regularization=value) for value in (100.0, 400.0)],
}


def ndcg_by_user(lists: Lists, later: list[set[int]]) -> dict[str, np.ndarray]:
    """Return NDCG@10 and recall@10 of each user with held-out items."""
    values = []
    for row, items in zip(lists, later, strict=True):
        if items:
            metrics = ranking_metrics(row[None], [items])
            values.append([metrics["next_play_ndcg_at_10"], metrics["next_play_recall_at_10"]])
    ndcg, recall = np.array(values).T
    return {"ndcg": ndcg, "recall": recall}


def plain_lists(split: Split, seed: int) -> Iterator[tuple[str, Lists, Lists]]:
    """Yield each plain system's lists of all and of cold items; its setting is best on a further fifth."""
    inner = hold_out(split.known, seed + 1)
    for name, options in PLAIN.items():
        chosen = options[0]
        if len(options) > 1:
            means = []
            for option in options:
                lists = best_new(option(inner.known), inner.known)
                means.append(ndcg_by_user(lists, inner.later)["ndcg"].mean())
            chosen = options[int(np.argmax(means))]
        scores = chosen(split.known)
        cold = cold_items(split.known)
        yield name, best_new(scores, split.known), best_new(scores, split.known, cold)


def play_events(known: csr_array, days: float, seed: int) -> list[PlayEvent]:
    """Return the known plays as `finished` events, in order of time."""
    rng = np.random.default_rng(seed)
    pairs = known.tocoo()
    plays: list[PlayEvent] = []
    for user, item, count in zip(*pairs.coords, pairs.data.astype(int).tolist(), strict=True):
        for seconds in np.round(rng.random(count) * days * 86_400).tolist():
            play = PlayEvent(
                event_id=f"{len(plays):08d}",
                user_id=f"u{user:06d}",
                track_id=f"t{item:06d}",
                event="finished",
                played_at=BEGIN + timedelta(seconds=seconds),
            )
            plays.append(play)
    return sorted(plays, key=lambda play: (play.played_at, play.event_id))


def random_vectors(n_items: int) -> np.ndarray:
    """Return vectors (n, 32) that know nothing."""
    return l2_normalize(np.random.default_rng(0).standard_normal((n_items, 32))).astype(np.float32)


def vectors_of_other_users(plays: csr_array) -> np.ndarray:
    """Return vectors (n, 32) in place of a sound: the strongest directions of other users' plays."""
    log_counts = csr_array(plays).astype(float)
    log_counts.data = np.log1p(log_counts.data)
    directions = svds(log_counts, k=32, v0=np.ones(min(log_counts.shape)))[2].T
    noise = 1e-4 * np.random.default_rng(0).standard_normal(directions.shape)
    return l2_normalize(directions + noise).astype(np.float32)


def catalog_of(vectors: np.ndarray) -> ItemCatalog:
    """Return a catalog of items by an artist each."""
    n_items = len(vectors)
    rng = np.random.default_rng(0)
    ids = np.array([f"t{item:06d}" for item in range(n_items)])
    return ItemCatalog(
        model_version="1",
        ids=ids,
        titles=ids,
        artists=ids,
        recordings=ids,
        vectors=vectors,
        clusters=rng.integers(max(2, n_items // 100), size=n_items),
        plays=np.zeros(n_items, dtype=int),
    )


def fit_catalog(vectors: np.ndarray, plays: list[PlayEvent]) -> tuple[ItemCatalog, tuning.SelectedWeights]:
    """Return the catalog as `segue recommend` makes it of these plays, and what it chose."""
    catalog = catalog_of(vectors)
    selected = tuning.select_weights(catalog, plays[-splits.MAX_PLAYS :]) or tuning.SelectedWeights()
    counts: dict[tuple[str, str], int] = {}
    for play in plays:
        pair = (play.user_id, play.track_id)
        counts[pair] = counts.get(pair, 0) + 1
    users, tracks = zip(*sorted(counts), strict=True)
    table = pa.table(
        {"user_id": users, "track_id": tracks, "plays": [counts[pair] for pair in sorted(counts)]}
    )
    rows = recommend.item_similarity_rows(catalog, table, selected).to_batches()
    found = item_similarities.from_batches(rows, catalog.ids)
    weights = replace(selected.weights, regularization=selected.factor_config.regularization)
    return item_catalog.with_item_similarities(catalog.with_weights(weights), found), selected


def co_listening_scores(catalog: ItemCatalog, listeners: list[profiles.Profile]) -> np.ndarray:
    """Return the scores of all items (users, n) by similar items and factors, as ranking weighs them."""
    queries = [scoring.query_profile(catalog, profile) for profile in listeners]
    scores = np.zeros((len(queries), len(catalog.ids)), dtype=np.float32)
    for row, found in enumerate(scoring.signals(catalog, queries)):
        if found.similar.any():
            scores[row] += catalog.weights.collaborative * found.similar / found.similar.max()
        if found.user is not None and catalog.factors is not None:
            products = catalog.factors @ found.user
            scores[row] += catalog.weights.factors * products / max(products.max(), 1e-9)
    return scores


def served_lists(
    split: Split, vectors: np.ndarray, days: float, seed: int
) -> Iterator[tuple[str, Lists, Lists]]:
    """Yield Segue's lists as they are served less the known items, and ranked without them.

    With each the lists of cold items alone, by co-listening.
    """
    plays = play_events(split.known, days, seed)
    started = time.process_time()
    catalog, selected = fit_catalog(vectors, plays)
    print(f"chosen in {time.process_time() - started:.0f} CPU s: {selected}", flush=True)
    by_user = {f"u{user:06d}": profiles.new_profile(f"u{user:06d}") for user in range(split.known.shape[0])}
    for play in plays:
        profiles.add_play(by_user[play.user_id], play)
    served = np.full((len(by_user), K), -1)
    ranked_without_known = np.full((len(by_user), K), -1)
    started = time.process_time()
    for row, profile in enumerate(by_user.values()):
        items = ranking.recommendation_list(catalog, profile).items
        known = set(split.known.indices[split.known.indptr[row] : split.known.indptr[row + 1]].tolist())
        new = [item for item in items if catalog.index_of[item.track_id] not in known]
        excluded = {str(catalog.ids[index]) for index in known}
        without_known = ranking.recommend(catalog, profile, count=K, exclude=excluded)
        for lists, chosen in ((served, new), (ranked_without_known, without_known)):
            chosen_indices = [catalog.index_of[item.track_id] for item in chosen[:K]]
            lists[row, : len(chosen_indices)] = chosen_indices
    milliseconds = (time.process_time() - started) * 1_000 / len(by_user)
    print(f"{milliseconds:.2f} CPU ms a list of {len(catalog.ids)} items", flush=True)
    scores = co_listening_scores(catalog, list(by_user.values()))
    cold = best_new(scores, split.known, cold_items(split.known))
    yield "Segue, served", served, cold
    yield "Segue, known excluded", ranked_without_known, cold


def diversity(lists: Lists, known: csr_array) -> float:
    """Return 1 less the mean cosine of two items of a list, by who plays them."""
    items = csr_array((np.ones(known.nnz), known.indices, known.indptr), known.shape).tocsc()
    lengths = np.sqrt(np.maximum(np.bincount(known.indices, minlength=known.shape[1]), 1))
    cosines = []
    for row in lists:
        chosen = row[row >= 0]
        vectors = items[:, chosen].toarray() / lengths[chosen]
        products = vectors.T @ vectors
        if len(chosen) > 1:
            cosines.append(products[np.triu_indices(len(chosen), 1)].mean())
    return 1 - float(np.mean(cosines))


def print_row(name: str, lists: Lists, cold_lists: Lists, split: Split) -> None:
    """Print NDCG and recall with 95 % bootstrap intervals, the reach of the lists, and recall of cold items.

    Of cold items in the lists of all items, and in lists of cold items alone.
    """
    rng = np.random.default_rng(0)
    values = ndcg_by_user(lists, split.later)
    texts = []
    for metric in values.values():
        means = metric[rng.integers(len(metric), size=(BOOTSTRAPS, len(metric)))].mean(axis=1)
        low, high = np.percentile(means, [2.5, 97.5])
        texts.append(f"{metric.mean():.3f} [{low:.3f}, {high:.3f}]")
    n_users = np.bincount(split.known.indices, minlength=split.known.shape[1])
    listed = lists[lists >= 0]
    coverage = len(np.unique(listed)) / split.known.shape[1]
    novelty = -np.log2(np.maximum(n_users[listed], 1) / len(lists)).mean()
    cold = cold_items(split.known)
    later_cold = [{item for item in items if cold[item]} for items in split.later]
    recalls = [float("nan")] * 2
    if any(later_cold):
        recalls = [ndcg_by_user(found, later_cold)["recall"].mean() for found in (lists, cold_lists)]
    print(
        f"{name:24s} {texts[0]}  {texts[1]}  {coverage:8.3f} {novelty:8.2f} "
        f"{diversity(lists, split.known):9.3f} {recalls[0]:8.3f} {recalls[1]:8.3f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="user, item and count per line")
    parser.add_argument("--seed", type=int, default=0, help="of the held-out items (default 0)")
    parser.add_argument("--users", type=int, help="use only so many users, drawn at random")
    parser.add_argument("--days", type=float, default=90, help="days of the plays' random times (default 90)")
    parser.add_argument("--served-only", action="store_true", help="leave the plain systems out")
    parser.add_argument(
        "--sound",
        action="store_true",
        help="evaluate every other user, and stand the plays of the others in for the sound of the items",
    )
    arguments = parser.parse_args()
    plays = read_triplets(arguments.file)
    plays = csr_array(plays[np.diff(plays.indptr) >= MIN_ITEMS])
    if arguments.users:
        rng = np.random.default_rng(arguments.seed)
        plays = plays[np.sort(rng.permutation(plays.shape[0])[: arguments.users])]
    plays = csr_array(plays[:, np.unique(plays.indices)])
    others = plays[1::2]
    if arguments.sound:
        plays = csr_array(plays[::2])
    split = hold_out(plays, arguments.seed)
    print(f"{plays.shape[0]} users, {plays.shape[1]} items, {plays.nnz} pairs")
    print(
        "system                   NDCG@10               recall@10             coverage  novelty diversity"
        "  cold recall: of all, of cold"
    )
    if not arguments.served_only:
        for name, lists, cold_lists in plain_lists(split, arguments.seed):
            print_row(name, lists, cold_lists, split)
    systems = {"": random_vectors(plays.shape[1])}
    if arguments.sound:
        systems[" with sound"] = vectors_of_other_users(others)
    for suffix, vectors in systems.items():
        for name, lists, cold_lists in served_lists(split, vectors, arguments.days, arguments.seed):
            print_row(name + suffix, lists, cold_lists, split)


if __name__ == "__main__":
    main()
