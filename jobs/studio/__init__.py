"""The demo library's studio: instruments, drums, harmony, styles, sleeves and the discography. Nothing here does I/O."""
