"""A user's list of recommendations, as an object, as a document and as a row of RECOMMENDATIONS."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from jobs.recommender import profiles


class RecommendedItem(NamedTuple):
    """One track of a list: its rank from 1, its score (0 if it was not scored) and the reason in words."""

    rank: int
    track_id: str
    score: float
    reason: str


@dataclass(frozen=True, slots=True)
class RecommendationList:
    """A user's list.

    `as_of` is the time of the newest play that it follows from, `offsets` name all of these plays.
    """

    user_id: str
    model_version: str
    as_of: datetime | None
    offsets: dict[str, int]
    items: list[RecommendedItem]

    def to_document(self) -> dict[str, Any]:
        """Return the document of `recommendations`."""
        return {
            "_id": self.user_id,
            "model_version": self.model_version,
            "as_of": self.as_of,
            "offsets": self.offsets,
            profiles.SEQUENCE: profiles.sequence(self.offsets),
            "items": to_documents(self.items),
        }

    def to_row(self) -> dict[str, Any]:
        """Return the row of RECOMMENDATIONS, the offsets as JSON."""
        return {
            "user_id": self.user_id,
            "model_version": self.model_version,
            "as_of": self.as_of,
            "offsets": json.dumps(self.offsets, sort_keys=True),
            "items": to_documents(self.items),
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "RecommendationList":
        """Return the list of a row of RECOMMENDATIONS."""
        return cls(
            user_id=row["user_id"],
            model_version=row["model_version"],
            as_of=row["as_of"],
            offsets=json.loads(row["offsets"]),
            items=[RecommendedItem(**item) for item in row["items"]],
        )


def to_documents(items: list[RecommendedItem]) -> list[dict[str, Any]]:
    """Return items as they are stored, in the store and in the lake."""
    return [item._asdict() for item in items]
