"""Signal to features: arrays in, arrays out. No files, no Spark."""
