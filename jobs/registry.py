"""MLflow: the experiment's runs and the registered model. No other module talks to MLflow."""

import logging
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Before MLflow is imported: no telemetry, no progress bars, no chatter in a batch job's output.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
import numpy as np
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec

from jobs.embedding import Projection
from jobs.errors import StepError

# Its INFO lines tell of database tables and code paths, in the middle of the progress display.
for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.ERROR)

MODEL = "segue"
EXPERIMENT = "segue"
CHAMPION = "champion"


def connect(uri: str | None, lake: Path) -> str:
    """Use the tracking server at `uri`, or SQLite and a folder in the lake where it is None; return the address.

    StepError where a server does not answer.
    """
    folder = lake / "mlflow"
    if uri is None:
        folder.mkdir(exist_ok=True)
        uri = f"sqlite:///{folder / 'mlflow.db'}"
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        if mlflow.get_experiment_by_name(EXPERIMENT) is None:
            mlflow.create_experiment(EXPERIMENT, None if "://" in uri and "sqlite" not in uri else folder.as_uri())
        mlflow.set_experiment(EXPERIMENT)
    except MlflowException as error:
        raise StepError(f"--mlflow: expected an MLflow server at {uri}, found: {str(error).splitlines()[0]}") from error
    return uri


def versions(**tags: str) -> list[ModelVersion]:
    """Return the registered versions that carry all these tags, newest first."""
    found = mlflow.MlflowClient().search_model_versions(f"name = '{MODEL}'")
    matching = [v for v in found if all(v.tags.get(name) == value for name, value in tags.items())]
    return sorted(matching, key=lambda version: -int(version.version))


def end_killed_runs(lake_id: str) -> int:
    """Mark the runs of this lake that a killed process left open as killed; return their number."""
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs = client.search_runs([experiment.experiment_id], f"attributes.status = 'RUNNING' AND tags.lake = '{lake_id}'")
    for run in runs:
        client.set_terminated(run.info.run_id, "KILLED")
    return len(runs)


@contextmanager
def run(name: str, tags: dict[str, str], parameters: dict[str, Any], *, nested: bool = False) -> Iterator[str]:
    """Open a run and yield its id; it ends as failed where the block raises."""
    with mlflow.start_run(run_name=name, tags=tags, nested=nested) as opened:
        mlflow.log_params(parameters)
        yield opened.info.run_id


def log_metrics(**metrics: float) -> None:
    """Log the metrics in the open run."""
    mlflow.log_metrics(metrics)


def log_grid(silhouettes: dict[int, float], chosen: int, figure: Any) -> None:
    """Log in the parent run what its children found: the curve over k as metric, table and picture, and the choice."""
    for k, silhouette in silhouettes.items():
        mlflow.log_metric("silhouette_by_k", silhouette, step=k)
    mlflow.log_metrics({"k": chosen, "silhouette": silhouettes[chosen]})
    mlflow.log_figure(figure, "silhouette.png")
    mlflow.log_dict({str(k): value for k, value in silhouettes.items()}, "silhouette.json")


def register(
    projection: Projection, centroids: np.ndarray, *, run_id: str, tags: dict[str, str], folder: Path
) -> ModelVersion:
    """Log the model in the open run and register it as the next version of `segue`, its tags on it from the start."""
    parameters = folder / "parameters.npz"
    np.savez(
        parameters,
        features=np.array(projection.features),
        mean=projection.mean,
        scale=projection.scale,
        loadings=projection.loadings,
        centroids=centroids,
    )
    # The signature is given, an input example would say the same again.
    warnings.filterwarnings("ignore", message=".*input example", category=UserWarning)
    logged = mlflow.pyfunc.log_model(
        name="model",
        python_model=str(Path(__file__).with_name("served_model.py")),
        artifacts={"parameters": str(parameters)},
        signature=_signature(projection),
        pip_requirements=[f"numpy=={np.__version__}", "pandas"],
        code_paths=[str(_packaged(folder))],
        metadata=tags,
    )
    client = mlflow.MlflowClient()
    try:
        client.create_registered_model(MODEL, description="Features of a track to its embedding and its cluster")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client.create_model_version(MODEL, logged.model_uri, run_id, tags=tags, model_id=logged.model_id)


def _packaged(folder: Path) -> Path:
    """Return a package `jobs` that holds just what the model needs, so that it loads where Segue is not installed."""
    package = folder / "jobs"
    package.mkdir()
    for name in ("__init__.py", "embedding.py"):
        shutil.copy(Path(__file__).with_name(name), package)
    return package


def _signature(projection: Projection) -> ModelSignature:
    inputs = Schema([ColSpec("float", name) for name in projection.features])
    outputs = Schema([TensorSpec(np.dtype(np.float32), (-1, projection.loadings.shape[1]), "embedding")])
    outputs.inputs.append(TensorSpec(np.dtype(np.int32), (-1,), "cluster"))
    return ModelSignature(inputs=inputs, outputs=outputs)


def centroids(version: ModelVersion) -> np.ndarray:
    """Return the unit centroids (k, dimensions) of a registered version."""
    folder = mlflow.artifacts.download_artifacts(f"models:/{MODEL}/{version.version}")
    return np.load(Path(folder) / "artifacts" / "parameters.npz")["centroids"]


def crown(version: str) -> None:
    """Make `version` the champion: the alias moves in one step."""
    mlflow.MlflowClient().set_registered_model_alias(MODEL, CHAMPION, version)
