"""Prefix search: per query word one or two slices of a sorted array, whatever the collection's size."""

import unicodedata
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from jobs.library.accents import is_mark, without_accents

# Words of a query that count; each costs a pass over all documents.
_MAX_WORDS = 8


def normalize_text(text: str) -> str:
    """Return text as a search compares it: casefolded, no accents, letters and digits only, single blanks.

    A name of symbols alone stays as it is, so that `!!!` and `÷` are found by their own spelling.
    """
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(char if char.isalnum() or is_mark(char) else " " for char in decomposed)
    return " ".join(without_accents(letters).split()) or normalize_identity(text)


def normalize_identity(text: str) -> str:
    """Return a name as an id is made of it: composed, casefolded, single blanks; symbols and marks count."""
    composed = unicodedata.normalize("NFC", text).casefold()
    return " ".join(unicodedata.normalize("NFC", composed).split())


class PrefixIndex:
    """Index over documents 0..n-1 with weighted fields; a whole word scores more than a prefix."""

    def __init__(self, fields: Sequence[tuple[float, Sequence[str]]]) -> None:
        """Index `fields`: (weight, normalized text of each document), all of the same length."""
        self.size = len(fields[0][1]) if fields else 0
        entries: dict[str, dict[int, float]] = {}
        for weight, texts in fields:
            for document, text in enumerate(texts):
                words = text.split()
                for position, word in enumerate(words):
                    found = entries.setdefault(word, {})
                    # The first word of a field, and words of a short field, weigh more.
                    worth = weight * (1.2 if position == 0 else 1.0) * (1 + 1 / (2 + len(words)))
                    found[document] = max(found.get(document, 0.0), worth)
        self._words = sorted(entries)
        counts = [len(entries[word]) for word in self._words]
        self._starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        total = int(self._starts[-1])
        self._documents = np.fromiter((d for word in self._words for d in entries[word]), np.int32, total)
        self._weights = np.fromiter(
            (w for word in self._words for w in entries[word].values()), np.float32, total
        )

    def search(self, query: str) -> np.ndarray:
        """Return the documents in which every query word is the prefix of a word, best first; all for ""."""
        words = list(dict.fromkeys(normalize_text(query).split()))[:_MAX_WORDS]
        if not words:
            return np.arange(self.size) if not query.strip() else np.zeros(0, np.int64)
        scores = np.ones(self.size, np.float32)
        for word in words:
            scores *= self._word_scores(word)
        found = np.flatnonzero(scores)
        return found[np.argsort(-scores[found], kind="stable")]

    def _word_scores(self, word: str) -> np.ndarray:
        first = bisect_left(self._words, word)
        last = bisect_left(self._words, word + "\U0010ffff")
        start, middle, end = (int(self._starts[n]) for n in (first, min(first + 1, last), last))
        scores = np.zeros(self.size, np.float32)
        if first < last and self._words[first] == word:  # a whole word scores twice a prefix
            np.maximum.at(scores, self._documents[start:middle], 2 * self._weights[start:middle])
            start = middle
        np.maximum.at(scores, self._documents[start:end], self._weights[start:end])
        return scores
