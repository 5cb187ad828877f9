"""Embeddings, clusters, their metrics, and the model registry."""

import os

# MLflow reads these while it is imported, whichever module of this package imports it first: no telemetry.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
