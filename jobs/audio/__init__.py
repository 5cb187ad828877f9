"""One audio file: decoding, transcoding, tags, fingerprint."""
