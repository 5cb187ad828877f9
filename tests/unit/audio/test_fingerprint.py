import numpy as np

from jobs.audio.fingerprint import fingerprint, fingerprint_track


def test_frame_every_eighth_of_a_second(sound):
    frames = fingerprint(str(sound("song.ogg", seconds=15.0)))
    assert frames.dtype == np.uint32 and 90 < len(frames) <= 15 / 0.124


def test_undecodable_track_has_no_frames():
    assert len(fingerprint_track({"audio_path": "/nowhere.mp3"})["fingerprint"]) == 0
