"""The model that MLflow serves: features to embedding and cluster. Logged as code, with its parameters.

MLflow calls this module; it does not call MLflow.
"""

from typing import Any

import mlflow
import numpy as np
import pandas as pd

from jobs.model.embedding import Embedder, nearest_cluster


class SegueModel(mlflow.pyfunc.PythonModel):
    """Apply the embedder as the batch does; the cluster is that of the nearest centroid by cosine."""

    def load_context(self, context: Any) -> None:
        """Read the parameters that were logged with the model."""
        arrays = np.load(context.artifacts["parameters"])
        self.embedder = Embedder.from_arrays(arrays)
        self.centroids = arrays["centroids"]

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return {"embedding": float32 (tracks, dimensions), "cluster": int32 (tracks,)} of feature rows.

        A recipe that uses genres reads them from the column `genres`, separated by "|", if the frame has it.
        """
        genres = None
        if self.embedder.genres and "genres" in model_input:
            genres = [text.split("|") if isinstance(text, str) else [] for text in model_input["genres"]]
        embeddings = self.embedder.apply(model_input[list(self.embedder.columns)].to_numpy(), genres)
        return {"embedding": embeddings, "cluster": nearest_cluster(embeddings, self.centroids)}


mlflow.models.set_model(SegueModel())
