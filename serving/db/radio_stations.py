"""Internet radio stations: addresses that clients play themselves; all users see the same ones."""

import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

from jobs.errors import InputError
from serving.db.database import Database, utc_now

_MAX_STATIONS, _MAX_TEXT = 1_000, 1_000


@dataclass(frozen=True)
class RadioStation:
    """A station; `home_url` is "" if unknown."""

    station_id: str
    title: str
    stream_url: str
    home_url: str = ""


class RadioStations:
    """The table of stations; every method is safe to call from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_stations(self) -> list[RadioStation]:
        """Return all stations by title."""
        statement = "SELECT id, title, stream_url, home_url FROM radio_stations ORDER BY title, id"
        return [RadioStation(*row) for row in self._database.fetch_all(statement)]

    def create(self, title: str, stream_url: str, home_url: str = "") -> RadioStation:
        """Add a station. Raises InputError for no name, no web address, or one station too many."""
        if len(self.list_stations()) >= _MAX_STATIONS:
            raise InputError(f"expected at most {_MAX_STATIONS} radio stations; delete one first")
        station = RadioStation(f"ra-{secrets.token_hex(8)}", title, stream_url, home_url)
        self._write(station, utc_now())
        return station

    def update(self, station: RadioStation) -> bool:
        """Change a station; return whether there is one of its id. Raises InputError as `create`."""
        rows = self._database.fetch_all("SELECT created FROM radio_stations WHERE id = ?", station.station_id)
        if rows:
            self._write(station, rows[0][0])
        return bool(rows)

    def _write(self, station: RadioStation, created: str) -> None:
        if not station.title.strip() or len(station.title) > _MAX_TEXT:
            raise InputError(f"name: expected 1 to {_MAX_TEXT} characters, found {len(station.title)}")
        for name, url in (("streamUrl", station.stream_url), ("homepageUrl", station.home_url)):
            if (url or name == "streamUrl") and not _is_web_address(url):
                raise InputError(f"{name}: expected an address http:// or https://, found {ascii(url)[:80]}")
        row = (station.station_id, station.title, station.stream_url, station.home_url, created)
        with self._database.transaction() as change:
            change.execute("INSERT OR REPLACE INTO radio_stations VALUES (?, ?, ?, ?, ?)", row)

    def delete(self, station_id: str) -> bool:
        """Delete a station; return whether there was one."""
        with self._database.transaction() as change:
            result = change.execute("DELETE FROM radio_stations WHERE id = ?", (station_id,))
        return bool(result.rowcount)


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and len(url) <= _MAX_TEXT
