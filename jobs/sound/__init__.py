"""Signal -> features: what a recording sounds like, in numbers. No files, no Spark: arrays in, arrays out."""
