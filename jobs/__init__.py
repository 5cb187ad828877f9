"""Segue: a folder of music becomes a streaming service that knows what to play next."""
