"""FMA's metadata: the real 682 records, and everything that can be wrong with a file, with its line."""

import csv
import io
import shutil
import zipfile

import pytest

from jobs.errors import InputError
from jobs.fma import metadata_tables, track_metadata
from jobs.fma.csv_records import ParseProblems
from jobs.fma.source import MetadataSource
from jobs.lake.schemas import FMA_GENRES, FMA_METADATA
from jobs.lake.storage import Lake

# Physical lines before the first record.
HEADER_LINES = 3


@pytest.fixture(scope="module")
def real(recordings):
    return recordings / "fma_metadata"


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


@pytest.fixture
def folder(tmp_path, real):
    """A folder with the first ten real records, to be spoilt."""
    made = tmp_path / "fma_metadata"
    made.mkdir()
    shutil.copyfile(real / "genres.csv", made / "genres.csv")
    with (real / "tracks.csv").open(newline="") as file:
        rows = list(csv.reader(file))[: HEADER_LINES + 10]
    write(made, rows)
    return made


def read(folder):
    with (folder / "tracks.csv").open(newline="") as file:
        return list(csv.reader(file))


def write(folder, rows):
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    (folder / "tracks.csv").write_bytes(text.getvalue().encode())


def bring(folder, lake, lenient=False):
    return metadata_tables.load_metadata(str(folder), lake, lenient=lenient)


def ids(lake):
    return lake.read_arrow(FMA_METADATA, "track_id")["track_id"].to_pylist()


def test_all_682_real_records_with_every_cell(real, lake):
    assert bring(real, lake) == {"metadata records": 682}
    rows = {row["track_id"]: row for row in lake.read_arrow(FMA_METADATA).to_pylist()}
    assert len(rows) == 682
    food, spiritual = rows["2"], rows["20"]
    assert (food["track_title"], food["artist_name"], food["track_genres"]) == ("Food", "AWOL", [21])
    assert (food["track_listens"], food["set_subset"], food["line"]) == (1293, "small", HEADER_LINES + 1)
    assert food["album_date_released"].isoformat() == "2009-01-05T00:00:00+00:00"
    assert food["artist_latitude"] == pytest.approx(40.0583238)
    assert (
        spiritual["artist_bio"] == "Songs written by: Nicky Cook VOCALS, CAJON AND TABLA+ UKELELE"
    )  # two lines of HTML
    assert spiritual["track_genres"] == [76, 103] and spiritual["track_genre_top"] is None
    assert "lo fi" in spiritual["artist_tags"] and spiritual["track_tags"] == []
    assert rows["193"]["artist_name"] == "Ed Askew"
    assert not any("<p>" in (row["artist_bio"] or "") for row in rows.values())


def test_the_genre_tree(real, lake):
    bring(real, lake)
    genres = {row["genre_id"]: row for row in lake.read_arrow(FMA_GENRES).to_pylist()}
    assert len(genres) == 163
    assert genres[1] == {
        "genre_id": 1,
        "title": "Avant-Garde",
        "parent_id": 38,
        "top_id": 38,
        "tracks": 8693,
        "colour": "#006666",
    }
    assert genres[12]["parent_id"] is None
    above = track_metadata.genre_ancestors(list(genres.values()))
    assert above[16] == ["Novelty", "Experimental"]  # Sound Effects: two levels below the root
    assert above[12] == []


def test_reading_again_writes_nothing(real, lake):
    bring(real, lake)
    before = lake.version(FMA_METADATA), lake.version(FMA_GENRES)
    bring(real, lake)
    assert (lake.version(FMA_METADATA), lake.version(FMA_GENRES)) == before


def test_the_archive_is_read_without_unpacking(folder, lake, tmp_path):
    with zipfile.ZipFile(tmp_path / "fma_metadata.zip", "w", zipfile.ZIP_DEFLATED) as zipped:
        for name in ("tracks.csv", "genres.csv"):
            zipped.write(folder / name, f"fma_metadata/{name}")
    assert bring(tmp_path / "fma_metadata.zip", lake) == {"metadata records": 10}


def test_a_broken_off_file(real, folder, lake):
    shutil.copyfile(real / "tracks.truncated.csv", folder / "tracks.csv")
    with pytest.raises(
        InputError, match=r"tracks\.csv line 2107: expected the quoted field .* line 2109"
    ) as error:
        bring(folder, lake)
    assert "\n" not in str(error.value)
    assert lake.version(FMA_METADATA) is None and not list((lake.root / "FMA_METADATA").glob("v*"))
    assert bring(folder, lake, lenient=True) == {"metadata records": 682, "records left out": 1}
    with pytest.raises(InputError):  # what was taken leniently is not taken for whole afterwards
        bring(folder, lake)


def spoil_width(rows):
    rows[5] = rows[5][:-3]


def spoil_number(rows):
    rows[5][rows[1].index("duration")] = "long"


def spoil_list(rows):
    rows[5][rows[1].index("genres")] = "[21"


def spoil_date(rows):
    rows[5][rows[1].index("date_released")] = "yesterday"


def spoil_id(rows):
    rows[5][0] = "two"


def spoil_twice(rows):
    rows[5][0] = rows[4][0]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_width, "expected 53 fields, found 50"),
        (spoil_number, "track/duration: expected a whole number, found 'long'"),
        (spoil_list, "track/genres: expected a list of numbers as in .*, found '.21'"),
        (spoil_date, "album/date_released: expected a date as in .*, found 'yesterday'"),
        (spoil_id, "track_id: expected a whole number, found 'two'"),
        (spoil_twice, "expected each track_id once, found 3 again .first on line 5."),
    ],
)
def test_a_broken_record_is_named_and_can_be_left_out(folder, lake, spoil, message):
    rows = read(folder)
    taken = [row[0] for row in rows[HEADER_LINES:]]
    del taken[5 - HEADER_LINES]
    spoil(rows)
    write(folder, rows)
    with pytest.raises(InputError, match=rf"tracks\.csv line 6: {message}"):
        bring(folder, lake)
    assert lake.count_rows(FMA_METADATA) == 0
    assert bring(folder, lake, lenient=True) == {"metadata records": 9, "records left out": 1}
    assert ids(lake) == taken


def test_another_encoding(folder, lake):
    text = (folder / "tracks.csv").read_bytes()
    (folder / "tracks.csv").write_bytes(text.replace(b"Electric Ave", b"Electric Caf\xe9"))
    with pytest.raises(InputError, match=r"tracks\.csv line 5: expected UTF-8, found the byte 0xe9"):
        bring(folder, lake)
    assert bring(folder, lake, lenient=True) == {"metadata records": 9, "records left out": 1}
    (folder / "tracks.csv").write_bytes(text.decode().encode("utf-16"))
    with pytest.raises(InputError, match=r"tracks\.csv line 1: expected UTF-8, found UTF-16"):
        bring(folder, lake)
    (folder / "tracks.csv").write_bytes(b"\xef\xbb\xbf" + text)
    assert bring(folder, lake) == {"metadata records": 10}


def test_a_missing_column(folder, lake):
    rows = read(folder)
    place = rows[1].index("genre_top")
    write(folder, [row[:place] + row[place + 1 :] for row in rows])
    with pytest.raises(
        InputError, match=r"tracks\.csv line 2: expected the column track/genre_top, found none"
    ):
        bring(folder, lake, lenient=True)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "<html>\n<body>\nNot found\n"])
def test_no_tracks_csv_at_all(folder, lake, text):
    (folder / "tracks.csv").write_text(text)
    with pytest.raises(InputError, match=r"tracks\.csv line 3: expected FMA's header"):
        bring(folder, lake)


def test_missing_files(tmp_path, folder, lake):
    with pytest.raises(
        InputError, match="--metadata: expected the folder fma_metadata or its archive, found nothing at"
    ):
        bring(tmp_path / "nowhere", lake)
    (folder / "genres.csv").unlink()
    with pytest.raises(InputError, match=r"--metadata: expected genres\.csv, found none in"):
        bring(folder, lake)


def test_a_genre_that_leads_nowhere(folder, lake):
    text = (folder / "genres.csv").read_text()
    (folder / "genres.csv").write_text(text.replace("\n1,8693,38,", "\n1,8693,4711,"))
    with pytest.raises(
        InputError, match=r"genres\.csv line 2: expected a tree, found no way from genre 1 to a root"
    ):
        bring(folder, lake)


def test_only_the_first_problems_are_logged(caplog):
    problems = ParseProblems("tracks.csv", lenient=True)
    for line in range(20):
        problems.report(line, "expected x")
    assert problems.count == 20 and len(caplog.records) == 5


def test_a_bomb_in_the_archive_is_refused(tmp_path, lake):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("fma_metadata/tracks.csv", b"\0" * 100_000_000)
    with pytest.raises(InputError, match=r"bomb\.zip: expected at most 100 times .*tracks\.csv.*a ZIP bomb"):
        MetadataSource(str(tmp_path / "bomb.zip"))
