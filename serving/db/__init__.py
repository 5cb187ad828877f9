"""The accounts database (SQLite): users, sessions, feedback, playlists."""
