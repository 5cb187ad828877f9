"""The order of packages: a module imports only what stands on an earlier line. `docs/architecture.md` has the picture."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ORDER = (
    ("errors", "paths", "progress", "settings", "pipeline"),
    (
        "lake",
        "runtime",
        "spark",
        "audio",
        "dsp",
        "fma",
        "library",
        "plays",
        "model",
        "online",
        "recommender",
        "streaming",
    ),
    ("serving", "demo"),
    ("steps", "commands"),
)
