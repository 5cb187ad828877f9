"""The model as MLflow serves it: rows of features in, embedding and cluster out. Logged as code, with its parameters."""

from typing import Any

import mlflow
import numpy as np
import pandas as pd

from jobs.embedding import Projection, nearest_cluster


class SegueModel(mlflow.pyfunc.PythonModel):
    """Standardise, project, scale to unit length; the cluster is the nearest centroid by cosine."""

    def load_context(self, context: Any) -> None:
        """Read the parameters that were logged with the model."""
        saved = np.load(context.artifacts["parameters"])
        self.projection = Projection(tuple(saved["features"]), saved["mean"], saved["scale"], saved["loadings"])
        self.centroids = saved["centroids"]

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return {"embedding": float32 (tracks, dimensions), "cluster": int32 (tracks,)} of a frame of features."""
        embeddings = self.projection.apply(model_input[list(self.projection.features)].to_numpy())
        return {"embedding": embeddings, "cluster": nearest_cluster(embeddings, self.centroids)}


mlflow.models.set_model(SegueModel())
