"""The demo library's synthesizer: instruments, styles, covers, albums."""
