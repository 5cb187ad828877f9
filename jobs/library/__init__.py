"""The tables FILES and TRACKS: from a folder of music to track rows."""
