"""The demo library's studio: instruments, styles, sleeves, albums, and the tape that records them."""
