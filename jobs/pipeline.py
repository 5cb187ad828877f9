"""The pipeline, declared once: the console, `segue run`, the DAGs and the docs read this list.

Only the standard library is imported here, so that Airflow parses the DAGs quickly.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Step:
    """One stage of the batch: `segue <name>`, module `jobs.steps.<name>`, Airflow's task id."""

    name: str
    # One line for `segue --help`.
    summary: str
    # One or two sentences for Airflow's page.
    description: str
    # Tables of the lake, or one of OTHER_STORES. In Airflow each written one is an asset.
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    # Airflow's time limit for the task.
    max_hours: float = 2
    # Arguments of Airflow's task; Jinja templates over the run's parameters.
    airflow_arguments: tuple[str, ...] = ()


# What steps read and write besides tables: the music, metrics and aliases in MLflow, the online store.
OTHER_STORES = ("MUSIC", "EVALUATION", "CHAMPION", "MONGODB")

STEPS = (
    Step(
        name="compress",
        summary="compress new and changed files with FFmpeg",
        description="Compress one shard of new and changed files with FFmpeg. Unusable files are recorded in "
        "REJECTS.",
        reads=("MUSIC",),
        writes=("FILES", "REJECTS"),
        max_hours=24,
        airflow_arguments=(
            "--library={{ params.library }}",
            "--bitrate={{ params.bitrate }}",
            "{{ '--in-place' if params.in_place else '--no-in-place' }}",
        ),
    ),
    Step(
        name="catalog",
        summary="read tags and metadata into TRACKS: id, title, artist, genre",
        description="Read the tags of every file into TRACKS; rows of deleted files are removed.",
        reads=("FILES", "FMA_METADATA"),
        writes=("TRACKS",),
    ),
    Step(
        name="extract",
        summary="compute the audio features of new tracks with librosa",
        description="Compute the audio features of new tracks, as librosa defines them, on Spark.",
        reads=("TRACKS",),
        writes=("FEATURES", "REJECTS"),
        max_hours=48,
    ),
    Step(
        name="deduplicate",
        summary="find tracks that are the same recording, by acoustic fingerprint",
        description="Find tracks that are the same recording, by acoustic fingerprint (Chromaprint).",
        reads=("TRACKS",),
        writes=("FINGERPRINTS", "DUPLICATE_PAIRS"),
    ),
    Step(
        name="embed",
        summary="fit the embedder and compute one vector per track",
        description="Fit the embedder (standardization, PCA) and compute one vector per track.",
        reads=("FEATURES", "TRACKS"),
        writes=("EMBEDDERS", "VECTORS"),
    ),
    Step(
        name="cluster",
        summary="train K-Means over a grid of k and register the model in MLflow",
        description="Train K-Means over a grid of k, one MLflow run each, and register the best model. "
        "Skipped where the same data and settings have a model already.",
        reads=("VECTORS",),
        writes=("EMBEDDINGS",),
        max_hours=6,
    ),
    Step(
        name="evaluate",
        summary="measure the model, the champion and the baselines, in MLflow",
        description="Measure the model, the champion and the baselines; all metrics are in its MLflow run.",
        reads=("FEATURES", "EMBEDDINGS", "PLAYS"),
        writes=("EVALUATION",),
    ),
    Step(
        name="promote",
        summary="make the challenger champion if it passes the quality gate",
        description="The quality gate: a challenger of the champion's settings becomes champion unless it is "
        "worse, one of other settings if it is better.",
        reads=("EVALUATION",),
        writes=("CHAMPION",),
        airflow_arguments=("--allow-refusal",),
    ),
    Step(
        name="publish",
        summary="write tracks, neighbours and the champion to MongoDB",
        description="Write tracks and neighbours to MongoDB; the pointer to the champion is switched last.",
        reads=("TRACKS", "EMBEDDINGS", "DUPLICATE_PAIRS"),
        writes=("MONGODB",),
    ),
    Step(
        name="recommend",
        summary="compute item similarity and recommendations from all plays",
        description="Compute item similarities from all plays, then recommendations for every user and the "
        "default list.",
        reads=("PLAYS", "EMBEDDINGS"),
        writes=("PLAYS", "ITEM_SIMILARITIES", "RECOMMENDATIONS"),
    ),
)

BY_NAME = {step.name: step for step in STEPS}

# The DAG `ingest` runs these, `train` the rest; `nightly_refresh` runs all.
INGEST = ("compress", "catalog", "extract")
TRAIN = tuple(step.name for step in STEPS if step.name not in INGEST)
