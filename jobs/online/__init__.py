"""The online store (MongoDB): what serving and stream read; it can be rebuilt from the lake."""
