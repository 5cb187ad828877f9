"""Request and response models. Durations and positions are in seconds, times ISO 8601 in UTC."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, RootModel, StringConstraints

from jobs.plays.events import EventType

# Names of serving.radio.MOODS.
Mood = Literal["calm", "energetic", "bright", "dark"]

# The file of the library, or the compressed one.
Quality = Literal["original", "small"]

# No control characters and no lone surrogates: ids are keys in MongoDB and Kafka.
Id = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
Text = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")]


def _to_whole_number(value: object) -> object:
    """Return 3 for 3.0: JSON has one kind of number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Seconds = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class Problem(BaseModel):
    """An error (RFC 9457); `detail` says what was expected and what was found."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


class StrictModel(BaseModel):
    """A request body; unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Letter(BaseModel):
    """A letter, and the place of the first item that begins with it."""

    letter: str
    offset: int


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
    genre_predicted: bool = Field(
        description="whether the genre is predicted from the sound, as no tag has one"
    )
    track_no: int | None
    disc_no: int | None
    duration_s: float
    liked: bool | None = Field(None, description="by this user; null if neither liked nor disliked")


class LyricsLine(BaseModel):
    """A line of lyrics; `start_s` is null without times."""

    start_s: float | None
    text: str


class LyricsOut(BaseModel):
    """The lyrics of a track; no lines if there are none."""

    synced: bool
    lines: list[LyricsLine]


class Gain(BaseModel):
    """ReplayGain in decibels; null if the file has none."""

    track_gain_db: float | None
    album_gain_db: float | None


class Tracks(BaseModel):
    """One page of tracks; `total` is how many there are in all."""

    total: int
    letters: list[Letter] = []
    items: list[TrackOut]


class RecommendedTrack(BaseModel):
    """One recommended track with its score and the reason in words."""

    rank: int
    score: float | None
    reason: str
    track: TrackOut


class Recommendations(BaseModel):
    """A list of recommendations; `personal` is false for the default list."""

    personal: bool
    model_version: str | None
    as_of: str | None
    items: list[RecommendedTrack]


class Evidence(BaseModel):
    """A track of the user's that another resembles, -1 to 1, and words for what is common in their sound."""

    track: TrackOut
    similarity: float
    finished: int = Field(description="how often the user played it to the end")
    words: list[str]


class Explanation(BaseModel):
    """What leads to a track: words for its sound, own tracks that sound like it, and by common listeners."""

    words: list[str]
    sound: list[Evidence]
    listeners: list[Evidence]


class Mix(BaseModel):
    """A list of a theme; `cover` is the track whose cover stands for it, `tracks` how many there are."""

    id: str
    day: str
    title: str
    comment: str
    tracks: int
    cover: str


class Mixes(BaseModel):
    """A user's mixes of a day."""

    items: list[Mix]


class MixWithTracks(Mix):
    """A mix and its tracks, in order."""

    items: list[TrackOut]


class AlbumSummary(BaseModel):
    """An album without its tracks; its cover is at /api/albums/{id}/cover."""

    id: str
    name: str
    artist: str
    artist_id: str
    year: int | None
    genre: str
    tracks: int
    duration_s: float


class Albums(BaseModel):
    """One page of albums; `letters` is empty unless they are in order of names."""

    total: int
    letters: list[Letter]
    items: list[AlbumSummary]


class ArtistSummary(BaseModel):
    """An artist; `album_id` has a cover to show."""

    id: str
    name: str
    albums: int
    tracks: int
    album_id: str


class Artists(BaseModel):
    """One page of artists; `letters` is empty unless they are in order of names."""

    total: int
    letters: list[Letter]
    items: list[ArtistSummary]


class Artist(BaseModel):
    """An artist: the tracks that this user plays most, the albums, and all tracks in order of albums."""

    id: str
    name: str
    blocked: bool
    top: list[TrackOut]
    albums: list[AlbumSummary]
    appears_on: list[AlbumSummary] = Field(description="albums of others with tracks by this artist")
    tracks: list[TrackOut]


class AlbumOut(BaseModel):
    """An album and its tracks, in order."""

    id: str
    name: str
    artist: str
    artist_id: str
    year: int | None
    genre: str
    duration_s: float
    tracks: list[TrackOut]


class GenreOut(BaseModel):
    """A genre; `album_ids` are the albums of its first artists, with covers to show."""

    name: str
    tracks: int
    album_ids: list[str]


class Genres(RootModel[list[GenreOut]]):
    """All genres."""


class PlaylistOut(BaseModel):
    """A playlist; `missing` counts its tracks that are not in the collection now."""

    id: str
    name: str
    owner: str
    public: bool = Field(description="whether every user may read it")
    comment: str
    tracks: int
    missing: int
    duration_s: float
    album_ids: list[str] = Field(description="albums with covers to show, at most 4")
    created: str
    changed: str


class PlaylistWithTracks(PlaylistOut):
    """A playlist and its tracks, in order."""

    items: list[TrackOut]


class SearchResults(BaseModel):
    """What a search finds beside tracks, best first."""

    artists: list[ArtistSummary]
    albums: list[AlbumSummary]
    playlists: list[PlaylistOut]


class TrackIds(StrictModel):
    """Tracks, in order."""

    tracks: Annotated[list[Id], Field(max_length=5000)]


class NewPlaylist(StrictModel):
    """A playlist to make."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
    tracks: Annotated[list[Id], Field(max_length=5000)] = []


class PlaylistChange(StrictModel):
    """What changes of a playlist; null stays as it is."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$")] | None = None
    comment: Text | None = None
    public: bool | None = Field(None, description="whether every user may read it")
    tracks: Annotated[list[Id], Field(max_length=5000)] | None = None
    changed: Annotated[str, StringConstraints(max_length=40)] | None = Field(
        None, description="`changed` of the version that `tracks` is a change of"
    )


class PlayEvent(StrictModel):
    """A play event of the logged-in user; the time is now unless given."""

    track_id: Id
    event: EventType
    event_id: Id | None = Field(
        None, description="chosen by the player, so that sending it twice counts once"
    )
    position_s: Seconds | None = None
    session_id: Id | None = None
    played_at: Annotated[str, StringConstraints(max_length=40)] | None = Field(
        None, description="ISO 8601 with zone"
    )
    listener: Id | None = Field(
        None, description="the user the player believes to be logged in; 409 if it is another"
    )


class EventAccepted(BaseModel):
    """The event is on disk and will reach Kafka."""

    event_id: str


class Rating(StrictModel):
    """True: like; false: dislike; null: neither."""

    liked: bool | None


class BlockRequest(StrictModel):
    """True: block the artist; false: unblock."""

    blocked: bool


class RadioRequest(StrictModel):
    """A radio: one seed (track, album, artist, genre or mood), and what it has played, oldest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": [name], "properties": {name: {"type": "string"}}}
                for name in ("track_id", "album_id", "artist_id", "genre", "mood")
            ]
        }
    )

    track_id: Id | None = None
    album_id: Id | None = None
    artist_id: Id | None = None
    genre: Text | None = None
    mood: Mood | None = None
    played: Annotated[list[Id], Field(max_length=500)] = []
    count: Annotated[int, Field(ge=1, le=50), BeforeValidator(_to_whole_number)] = 10
    salt: Annotated[int, Field(ge=0, le=2**31), BeforeValidator(_to_whole_number)] = 0


class HistoryItem(BaseModel):
    """One row of the play history."""

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
    """What the page needs at its start."""

    user: str
    admin: bool
    users: bool = Field(description="whether there are users, and so a login")
    mongo: bool
    waiting: int = Field(description="play events not yet in Kafka")
    tracks: int
    model_version: str | None
    genres: list[NamedCount]
    moods: list[str]


class ClusterName(BaseModel):
    """A cluster of the map: its name by genre and sound, and its centre."""

    cluster: int
    name: str
    tracks: int
    x: float
    y: float


class CollectionMap(BaseModel):
    """The collection in two dimensions, -1 to 1, similar tracks near each other.

    All lists but `names` are as long as `ids`.
    """

    model_version: str | None
    ids: list[str]
    x: list[float]
    y: list[float]
    clusters: list[int]
    names: list[ClusterName]


class Login(StrictModel):
    """Name and password of a user."""

    name: Text
    password: Text


class NewPassword(StrictModel):
    """The current password and the new one."""

    old: Text
    new: Text


class NewUser(StrictModel):
    """A user to add."""

    name: Text
    password: Text
    admin: bool = False


class UserOut(BaseModel):
    """A user."""

    name: str
    admin: bool


class NewAppPassword(StrictModel):
    """The client that an app password is for."""

    label: Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")]


class AppPasswordOut(BaseModel):
    """An app password; `secret` is returned once, on creation."""

    id: str
    label: str
    created: str
    secret: str | None = None


class HistoryImport(BaseModel):
    """What became of an imported history; `known` were there already, `unmatched` are of no track here."""

    listens: int
    imported: int
    known: int
    unmatched: int
    rejected: int
    top_unmatched: list[str]


class RejectedFile(BaseModel):
    """A file of the library that a step could not use."""

    path: str
    step: str
    reason: str
    first_seen: str
    attempts: int


class RejectedFiles(BaseModel):
    """The latest rejected files; `total` is how many there are in all."""

    total: int
    items: list[RejectedFile]


class Health(BaseModel):
    """`ok` while tracks can be played; and which parts are available."""

    ok: bool
    tracks: int
    mongo: bool
    kafka: bool
    waiting: int


ForwardingService = Literal["listenbrainz", "lastfm"]


class ForwardingToken(StrictModel):
    """A user token of ListenBrainz, or a login token of Last.fm."""

    token: Annotated[str, StringConstraints(min_length=8, max_length=128, pattern=r"^[A-Za-z0-9_-]+$")]


class ForwardingOut(BaseModel):
    """Whether my plays are forwarded, how many wait or were refused, and why the last try failed."""

    available: bool = Field(description="whether the operator has set up this service")
    enabled: bool
    pending: int
    refused: int
    last_error: str


class LastFmLogin(BaseModel):
    """A login that has begun at Last.fm, and the page on which I allow it."""

    token: str
    url: str
