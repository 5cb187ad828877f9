"""MLflow: the experiment's runs and the registered model. No other module talks to MLflow."""

import hashlib
import logging
import os
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

# Before MLflow is imported: no telemetry, no progress bars, no chatter in a batch job's output.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import filelock
import mlflow
import numpy as np
from mlflow.entities import Metric
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.types import ColSpec, Schema, TensorSpec

from jobs import settings
from jobs.errors import InputError, StepError
from jobs.model.embedding import Embedder
from jobs.model.metrics import Clusters

# Its INFO lines tell of database tables and code paths, in the middle of the progress display.
for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.ERROR)
# Ninety lines of what is raised as well, and told in one.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)

MODEL = "segue"
EXPERIMENT = "segue"
# What MLflow's page asks each newcomer for: this is about training, not about language models.
_KIND = {"mlflow.experimentKind": "custom_model_development"}
# The aliases: what is to be online, what was trained last and may take its place, what a rollback goes back to; and what
# one takes back, until it is over.
CHAMPION, CHALLENGER, PREVIOUS, ROLLING_BACK = "champion", "challenger", "previous", "withdrawn"


def connect(uri: str | None, lake: Path) -> str:
    """Use the tracking server at `uri`, or SQLite and a folder in the lake where it is None; return the address.

    StepError where a server does not answer.
    """
    folder = lake / "mlflow"
    if uri is None:
        uri = f"sqlite:///{database(lake)}"
    # A server that takes requests and does not answer is given up after two minutes and a half, not after ten.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        if mlflow.get_experiment_by_name(EXPERIMENT) is None:
            at = None if "://" in uri and "sqlite" not in uri else folder.as_uri()
            mlflow.create_experiment(EXPERIMENT, at, _KIND)
        mlflow.set_experiment(EXPERIMENT)
    except MlflowException as error:
        raise StepError(
            f"--mlflow: expected an MLflow server at {uri}, found: {str(error).splitlines()[0]}"
        ) from error
    return uri


def database(lake: Path) -> Path:
    """Return the SQLite file of runs and models in the lake; it is there with all its tables, or not at all.

    MLflow makes them one by one, and never goes on where a kill or a full disk has ended it.
    """
    file = settings.mlflow_database(lake)
    folder = file.parent
    if file.exists():
        return file
    scratch = folder / ".new"
    folder.mkdir(exist_ok=True)
    with filelock.FileLock(folder / ".lock"):
        shutil.rmtree(scratch, ignore_errors=True)  # of a process that was killed
        if not file.exists():
            scratch.mkdir()
            try:
                made = scratch / file.name
                SqlAlchemyStore(f"sqlite:///{made}", folder.as_uri()).engine.dispose()
                made.rename(file)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    return file


def versions(**tags: str) -> list[ModelVersion]:
    """Return the registered versions that carry all these tags, newest first; none of a format before this one."""
    found = mlflow.MlflowClient().search_model_versions(f"name = '{MODEL}'")
    matching = [
        v
        for v in found
        if "model_hash" in v.tags and all(v.tags.get(name) == value for name, value in tags.items())
    ]
    return sorted(matching, key=lambda version: -int(version.version))


def version(number: str | None) -> ModelVersion:
    """Return a registered version, the newest where None; StepError where there is no such one."""
    found = versions()
    if not found:
        raise StepError("expected a registered model, found none; run `segue cluster` first")
    chosen = found[0] if number is None else next((v for v in found if str(v.version) == str(number)), None)
    if chosen is None:
        known = ", ".join(str(v.version) for v in reversed(found))
        raise InputError(f"expected a version of the registered model ({known}), found {number!r}")
    return chosen


def version_by_alias(alias: str) -> ModelVersion | None:
    """Return the version that has this alias, None where none has."""
    number = next(
        (m.aliases.get(alias) for m in mlflow.MlflowClient().search_registered_models(f"name = '{MODEL}'")),
        None,
    )
    return next((v for v in versions() if number is not None and str(v.version) == str(number)), None)


def aliases() -> dict[str, str]:
    """Return the version of each alias."""
    found = mlflow.MlflowClient().search_registered_models(f"name = '{MODEL}'")
    return {alias: str(number) for model in found for alias, number in model.aliases.items()}


def end_killed_runs(lake_id: str) -> int:
    """Mark the runs of this lake that a killed process left open as killed; return their number."""
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(EXPERIMENT)
    running = client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'")
    # Not in the filter: it has no way to write a path with an apostrophe.
    own = [run for run in running if run.data.tags.get("lake") == lake_id]
    for run in own:
        client.set_terminated(run.info.run_id, "KILLED")
    return len(own)


@contextmanager
def start_run(
    name: str, tags: dict[str, str], parameters: dict[str, Any], *, nested: bool = False
) -> Iterator[str]:
    """Open a run and yield its id; it ends as failed where the block raises."""
    with mlflow.start_run(run_name=name, tags=tags, nested=nested) as opened:
        mlflow.log_params(parameters)
        yield opened.info.run_id


def rename(name: str) -> None:
    """Give the open run another name."""
    mlflow.set_tag("mlflow.runName", name)


def log_metrics(**metrics: float) -> None:
    """Log the metrics in the open run."""
    mlflow.log_metrics(metrics)


def log_plots(pictures: dict[str, Any]) -> None:
    """Log figures in the open run, each as <name>.png; None is left out."""
    for name, picture in pictures.items():
        if picture is not None:
            mlflow.log_figure(picture, f"{name}.png")


def log_curve(name: str, values: dict[int, float]) -> None:
    """Log a curve in the open run: metric values by step (k, or epoch)."""
    run_id = mlflow.active_run().info.run_id
    points = [Metric(name, value, 0, step) for step, value in values.items()]
    mlflow.MlflowClient().log_batch(run_id, metrics=points)


def log_table(name: str, rows: list[dict[str, Any]]) -> None:
    """Log rows as <name>.json in the open run."""
    mlflow.log_dict({"rows": rows}, f"{name}.json")


def model_hash(embedder: Embedder, clusters: Clusters) -> str:
    """Return the SHA-256 of every number that the model is made of: the same data and seed give the same one."""
    digest = hashlib.sha256(f"{clusters.nprobe}".encode())
    for name, array in sorted({**embedder.arrays(), "centroids": clusters.centroids}.items()):
        digest.update(f"{name} {array.shape} ".encode())
        digest.update(
            str(array).encode() if array.dtype.kind == "U" else np.ascontiguousarray(array).tobytes()
        )
    return digest.hexdigest()


@cache
def git_commit() -> str:
    """Return the commit of this code, "unknown" where it is installed without its repository."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    return "unknown"


def register(
    embedder: Embedder, clusters: Clusters, *, run_id: str, tags: dict[str, str], folder: Path
) -> ModelVersion:
    """Log the model in the open run and register it as the next version of `segue`, its tags on it from the start."""
    parameters = folder / "parameters.npz"
    arrays: dict[str, Any] = {
        **embedder.arrays(),
        "centroids": clusters.centroids,
        "probes": np.array(clusters.nprobe),
    }
    np.savez(parameters, **arrays)
    # The signature is given, an input example would say the same again.
    warnings.filterwarnings("ignore", message=".*input example", category=UserWarning)
    logged = mlflow.pyfunc.log_model(
        name="model",
        python_model=str(Path(__file__).with_name("served_model.py")),
        artifacts={"parameters": str(parameters)},
        signature=_signature(embedder),
        pip_requirements=[f"numpy=={np.__version__}", "pandas"],
        code_paths=[str(_packaged(folder))],
        metadata=tags,
    )
    client = mlflow.MlflowClient()
    try:
        client.create_registered_model(
            MODEL, description="Features of a track to its embedding and its cluster"
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client.create_model_version(MODEL, logged.model_uri, run_id, tags=tags, model_id=logged.model_id)


def _packaged(folder: Path) -> Path:
    """Return a package `jobs` that holds just what the model needs, so that it loads where Segue is not installed."""
    package, here = folder / "jobs", Path(__file__).parent
    for file in (
        here.parent / "__init__.py",
        *map(here.joinpath, ("__init__.py", "embedding.py", "transforms.py")),
    ):
        target = package / file.relative_to(here.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    return package


def _signature(embedder: Embedder) -> ModelSignature:
    inputs = [ColSpec("float", name) for name in embedder.columns]
    if embedder.genres:
        inputs.append(ColSpec("string", "genres", required=False))
    outputs = Schema([TensorSpec(np.dtype(np.float32), (-1, embedder.dimensions), "embedding")])
    outputs.inputs.append(TensorSpec(np.dtype(np.int32), (-1,), "cluster"))
    return ModelSignature(inputs=Schema(inputs), outputs=outputs)


def load(version: ModelVersion) -> tuple[Embedder, Clusters]:
    """Return what a registered version is made of."""
    folder = mlflow.artifacts.download_artifacts(f"models:/{MODEL}/{version.version}")
    saved = np.load(Path(folder) / "artifacts" / "parameters.npz")
    return Embedder.from_arrays(saved), Clusters(saved["centroids"], int(saved["probes"]))


def log_evaluation(version: ModelVersion, figures: dict[str, dict[str, float]], **tags: str) -> None:
    """Log each system's figures in the version's run as "<system>/<metric>"; the tags, written last, say it is done."""
    client = mlflow.MlflowClient()
    points = [
        Metric(f"{s}/{metric}", value, 0, 0) for s, own in figures.items() for metric, value in own.items()
    ]
    client.log_batch(version.run_id, metrics=points)
    client.log_dict(version.run_id, figures, "evaluation.json")
    set_tags(version, **tags)


def evaluation(version: ModelVersion) -> dict[str, dict[str, float]]:
    """Return the figures logged last for a version, by system and metric; empty where it was never evaluated."""
    if "evaluated" not in version.tags and "evaluated" not in _fresh(version).tags:
        return {}
    found: dict[str, dict[str, float]] = mlflow.artifacts.load_dict(f"runs:/{version.run_id}/evaluation.json")
    return found


def _fresh(version: ModelVersion) -> ModelVersion:
    return mlflow.MlflowClient().get_model_version(MODEL, version.version)


def set_tags(version: ModelVersion, **tags: str) -> None:
    """Set tags on a version; an empty text takes the tag away."""
    client = mlflow.MlflowClient()
    for name, value in tags.items():
        if value:
            client.set_model_version_tag(MODEL, version.version, name, value)
        elif name in _fresh(version).tags:
            client.delete_model_version_tag(MODEL, version.version, name)


def set_challenger(version: str) -> None:
    """Make `version` the challenger, unless it is the champion."""
    found = aliases()
    if found.get(CHAMPION) != version != found.get(CHALLENGER):
        mlflow.MlflowClient().set_registered_model_alias(MODEL, CHALLENGER, version)


def set_champion(version: str) -> None:
    """Make `version` the champion, and the champion before it the one to roll back to: the alias moves in one step.

    A rollback that was under way is over then.
    """
    client, found = mlflow.MlflowClient(), aliases()
    if found.get(CHAMPION) not in (None, version):
        client.set_registered_model_alias(MODEL, PREVIOUS, found[CHAMPION])
    if found.get(CHAMPION) != version:
        client.set_registered_model_alias(MODEL, CHAMPION, version)
    if found.get(CHALLENGER) == version:
        client.delete_registered_model_alias(MODEL, CHALLENGER)
    if ROLLING_BACK in found:
        client.delete_registered_model_alias(MODEL, ROLLING_BACK)


def restore_previous() -> tuple[str, str]:
    """Make the previous champion the champion again; return (from, to). The gate will not let the other one back.

    Stopped at any line the next call goes on with the same two, until `crown` ends it. InputError where there is no
    previous one.
    """
    client, found = mlflow.MlflowClient(), aliases()
    old = found.get(ROLLING_BACK, found.get(CHAMPION))
    new = found.get(PREVIOUS) if found.get(PREVIOUS) != old else found.get(CHAMPION)
    if old is None or new is None or new == old:
        raise InputError("expected a previous champion to go back to, found none; see `segue models`")
    client.set_registered_model_alias(MODEL, ROLLING_BACK, old)
    set_tags(version(old), rolled_back=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))
    client.set_registered_model_alias(MODEL, CHAMPION, new)
    client.set_registered_model_alias(MODEL, PREVIOUS, old)
    return old, new
