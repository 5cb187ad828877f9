import numpy as np
import pyarrow as pa

from jobs.audio.fingerprint import fingerprint, fingerprint_track
from jobs.lake.schemas import FINGERPRINTS
from jobs.steps.deduplicate import failed_hashes


def test_frame_every_eighth_of_a_second(sound):
    frames = fingerprint(str(sound("song.ogg", seconds=15.0)))
    assert frames.dtype == np.uint32 and 90 < len(frames) <= 15 / 0.124


def test_undecodable_track_has_no_frames():
    assert len(fingerprint_track({"audio_path": "/nowhere.mp3"})["fingerprint"]) == 0


def test_failed_fingerprint_is_tried_again():
    """A track of three seconds has no frames; a longer one without frames could not be read just then."""
    rows = [("short", 3.0, []), ("away", 30.0, []), ("fine", 30.0, [1, 2])]
    table = pa.Table.from_pylist(
        [dict(zip(FINGERPRINTS.names, row, strict=True)) for row in rows], schema=FINGERPRINTS.arrow_schema()
    )
    assert failed_hashes(table) == {"away"}
