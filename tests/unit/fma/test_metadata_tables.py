"""FMA's metadata: the real 682 records, and every fault that a file can have, reported with its line."""

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
def real_metadata(recordings):
    return recordings / "fma_metadata"


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


@pytest.fixture
def folder(tmp_path, real_metadata):
    """A folder with the first ten real records, for a test to spoil."""
    copied = tmp_path / "fma_metadata"
    copied.mkdir()
    shutil.copyfile(real_metadata / "genres.csv", copied / "genres.csv")
    with (real_metadata / "tracks.csv").open(newline="") as file:
        rows = list(csv.reader(file))[: HEADER_LINES + 10]
    write(copied, rows)
    return copied


def read(folder):
    with (folder / "tracks.csv").open(newline="") as file:
        return list(csv.reader(file))


def write(folder, rows):
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    (folder / "tracks.csv").write_bytes(text.getvalue().encode())


def load(folder, lake, *, skip_invalid=False):
    return metadata_tables.load_metadata(str(folder), lake, skip_invalid=skip_invalid)


def ids(lake):
    return lake.read_arrow(FMA_METADATA, "track_id")["track_id"].to_pylist()


def test_load_metadata_reads_every_cell_of_682_records(real_metadata, lake):
    assert load(real_metadata, lake) == {"metadata records": 682}
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


def test_load_metadata_reads_the_genre_tree(real_metadata, lake):
    load(real_metadata, lake)
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


def test_loading_the_same_metadata_writes_nothing(real_metadata, lake):
    load(real_metadata, lake)
    before = lake.version(FMA_METADATA), lake.version(FMA_GENRES)
    load(real_metadata, lake)
    assert (lake.version(FMA_METADATA), lake.version(FMA_GENRES)) == before


def test_load_metadata_reads_an_archive_without_unpacking(folder, lake, tmp_path):
    with zipfile.ZipFile(tmp_path / "fma_metadata.zip", "w", zipfile.ZIP_DEFLATED) as zipped:
        for name in ("tracks.csv", "genres.csv"):
            zipped.write(folder / name, f"fma_metadata/{name}")
    assert load(tmp_path / "fma_metadata.zip", lake) == {"metadata records": 10}


def test_truncated_file_is_refused_unless_skipping(real_metadata, folder, lake):
    shutil.copyfile(real_metadata / "tracks.truncated.csv", folder / "tracks.csv")
    with pytest.raises(
        InputError, match=r"tracks\.csv line 2107: expected the quoted field .* line 2109"
    ) as error:
        load(folder, lake)
    assert "\n" not in str(error.value)
    assert lake.version(FMA_METADATA) is None and not list((lake.root / "FMA_METADATA").glob("v*"))
    assert load(folder, lake, skip_invalid=True) == {"metadata records": 682, "invalid records skipped": 1}
    with pytest.raises(InputError):  # a skipping import does not count as a strict one
        load(folder, lake)


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
def test_invalid_record_is_named_and_can_be_skipped(folder, lake, spoil, message):
    rows = read(folder)
    valid_ids = [row[0] for row in rows[HEADER_LINES:]]
    del valid_ids[5 - HEADER_LINES]
    spoil(rows)
    write(folder, rows)
    with pytest.raises(InputError, match=rf"tracks\.csv line 6: {message}"):
        load(folder, lake)
    assert lake.count_rows(FMA_METADATA) == 0
    assert load(folder, lake, skip_invalid=True) == {"metadata records": 9, "invalid records skipped": 1}
    assert ids(lake) == valid_ids


def test_other_encodings_are_refused(folder, lake):
    text = (folder / "tracks.csv").read_bytes()
    (folder / "tracks.csv").write_bytes(text.replace(b"Electric Ave", b"Electric Caf\xe9"))
    with pytest.raises(InputError, match=r"tracks\.csv line 5: expected UTF-8, found the byte 0xe9"):
        load(folder, lake)
    assert load(folder, lake, skip_invalid=True) == {"metadata records": 9, "invalid records skipped": 1}
    (folder / "tracks.csv").write_bytes(text.decode().encode("utf-16"))
    with pytest.raises(InputError, match=r"tracks\.csv line 1: expected UTF-8, found UTF-16"):
        load(folder, lake)
    (folder / "tracks.csv").write_bytes(b"\xef\xbb\xbf" + text)
    assert load(folder, lake) == {"metadata records": 10}


def test_missing_column_is_refused(folder, lake):
    rows = read(folder)
    place = rows[1].index("genre_top")
    write(folder, [row[:place] + row[place + 1 :] for row in rows])
    with pytest.raises(
        InputError, match=r"tracks\.csv line 2: expected the column track/genre_top, found none"
    ):
        load(folder, lake, skip_invalid=True)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "<html>\n<body>\nNot found\n"])
def test_file_without_fma_header_is_refused(folder, lake, text):
    (folder / "tracks.csv").write_text(text)
    with pytest.raises(InputError, match=r"tracks\.csv line 3: expected FMA's header"):
        load(folder, lake)


def test_missing_files_are_refused(tmp_path, folder, lake):
    with pytest.raises(
        InputError, match="--metadata: expected the folder fma_metadata or its archive, found nothing at"
    ):
        load(tmp_path / "nowhere", lake)
    (folder / "genres.csv").unlink()
    with pytest.raises(InputError, match=r"--metadata: expected genres\.csv, found none in"):
        load(folder, lake)


def test_genre_without_a_root_is_refused(folder, lake):
    text = (folder / "genres.csv").read_text()
    (folder / "genres.csv").write_text(text.replace("\n1,8693,38,", "\n1,8693,4711,"))
    with pytest.raises(
        InputError, match=r"genres\.csv line 2: expected a tree, found no path from genre 1 to a root"
    ):
        load(folder, lake)


def test_parse_problems_logs_only_the_first_five(caplog):
    problems = ParseProblems("tracks.csv", skip_invalid=True)
    for line in range(20):
        problems.report(line, "expected x")
    assert problems.count == 20 and len(caplog.records) == 5


def test_metadata_source_refuses_a_zip_bomb(tmp_path, lake):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("fma_metadata/tracks.csv", b"\0" * 100_000_000)
    with pytest.raises(InputError, match=r"bomb\.zip: expected at most 100 times .*tracks\.csv.*a ZIP bomb"):
        MetadataSource(str(tmp_path / "bomb.zip"))
