"""What the endpoint takes and gives, as its OpenAPI shows it. Durations and positions in seconds, times ISO 8601 in UTC."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from jobs.plays.events import EventType
from serving.radio import MOODS

# No control characters, no lone surrogates: ids are keys of MongoDB and of Kafka.
Id = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
Text = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")]


def _whole(value: object) -> object:
    """JSON knows one kind of number: 3.0 is an integer there."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Seconds = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class Problem(BaseModel):
    """An error (RFC 9457, application/problem+json): `detail` says what was expected and what was found."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


class StrictModel(BaseModel):
    """What is sent to us: an unknown field is a mistake of the sender, and is said to be."""

    model_config = ConfigDict(extra="forbid", strict=True)


class TrackOut(BaseModel):
    """One track; its audio is at /api/tracks/{id}/audio, its cover at /api/tracks/{id}/cover."""

    id: str
    title: str
    artist: str
    artist_id: str
    album: str
    album_id: str
    year: int | None
    genre: str
    duration_s: float
    liked: bool | None = Field(None, description="by this listener; null where neither liked nor disliked")


class Tracks(BaseModel):
    """One page of tracks; `total` is how many there are in all."""

    total: int
    items: list[TrackOut]


class RecommendedTrack(BaseModel):
    """One recommended track: score and the reason in words."""

    rank: int
    score: float | None
    reason: str
    track: TrackOut


class Recommendations(BaseModel):
    """A list of recommendations; `personal` is false where it is the curated start list."""

    personal: bool
    model_version: str | None
    as_of: str | None
    items: list[RecommendedTrack]


class Artist(BaseModel):
    """An artist and the tracks there are."""

    id: str
    name: str
    blocked: bool
    tracks: list[TrackOut]


class AlbumOut(BaseModel):
    """An album and its tracks, in order."""

    id: str
    name: str
    artist: str
    artist_id: str
    tracks: list[TrackOut]


class PlayEvent(StrictModel):
    """What a player has to say; the listener is who is logged in, and the time is now unless it is given."""

    track_id: Id
    event: EventType
    event_id: Id | None = Field(None, description="of the player, so that sending it twice counts once")
    position_s: Seconds | None = None
    session_id: Id | None = None
    played_at: Annotated[str, StringConstraints(max_length=40)] | None = Field(
        None, description="ISO 8601 with zone"
    )
    listener: Id | None = Field(
        None, description="whom the player took for its listener; 409 for another than asks"
    )


class EventAccepted(BaseModel):
    """The event is kept, and will reach Kafka."""

    event_id: str


class Rating(StrictModel):
    """True likes, false dislikes, null takes either back."""

    liked: bool | None


class BlockRequest(StrictModel):
    """True: never play this artist to me."""

    blocked: bool


class RadioRequest(StrictModel):
    """Where a radio starts (one of the first four), and what it has played already, oldest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": [name], "properties": {name: {"type": "string"}}}
                for name in ("track_id", "artist_id", "genre", "mood")
            ]
        }
    )

    track_id: Id | None = None
    artist_id: Id | None = None
    genre: Text | None = None
    mood: Literal[tuple(MOODS)] | None = None  # type: ignore[valid-type]
    played: Annotated[list[Id], Field(max_length=500)] = []
    count: Annotated[int, Field(ge=1, le=50), BeforeValidator(_whole)] = 10
    salt: Annotated[int, Field(ge=0, le=2**31), BeforeValidator(_whole)] = 0


class HistoryItem(BaseModel):
    """One line of the listening history."""

    track: TrackOut
    event: str
    position_s: float | None
    at: str


class NamedCount(BaseModel):
    """A name and how many tracks have it."""

    name: str
    tracks: int


class ArtistName(BaseModel):
    """An artist's id and name."""

    id: str
    name: str


class State(BaseModel):
    """What a page has to know at its start."""

    user: str
    admin: bool
    users: bool = Field(description="whether there are users, and so a login")
    mongo: bool
    waiting: int = Field(description="play events that are kept, and not yet in Kafka")
    tracks: int
    model_version: str | None
    genres: list[NamedCount]
    moods: list[str]


class CollectionMap(BaseModel):
    """The collection in two dimensions, -1 to 1; near is alike. All lists are as long as `ids`."""

    model_version: str | None
    ids: list[str]
    x: list[float]
    y: list[float]
    clusters: list[int]


class Login(StrictModel):
    """Name and password of a user."""

    name: Text
    password: Text


class NewPassword(StrictModel):
    """A listener's own password: the present one, and what it is to be."""

    old: Text
    new: Text


class NewUser(StrictModel):
    """A user to be added."""

    name: Text
    password: Text
    admin: bool = False


class UserOut(BaseModel):
    """A user."""

    name: str
    admin: bool


class NewAppPassword(StrictModel):
    """Which client an app password is for."""

    label: Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")]


class AppPasswordOut(BaseModel):
    """An app password; `secret` is shown once, when it is made."""

    id: str
    label: str
    created: str
    secret: str | None = None


class Health(BaseModel):
    """`ok` while tracks can be played; what is away is named."""

    ok: bool
    tracks: int
    mongo: bool
    kafka: bool
    waiting: int
