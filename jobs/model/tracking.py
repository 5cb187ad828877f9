"""MLflow tracking: the connection, and the experiment's runs with their metrics, plots and tables.

This module and `registry` are the only ones that call MLflow; `served_model` is code that MLflow calls.
"""

import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import filelock
import mlflow
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from jobs import settings
from jobs.errors import StepError

EXPERIMENT = "segue"

# Shows MLflow's page for model training, not the one for language models that it asks about otherwise.
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}

# A server that takes requests and does not answer is given up after two and a half minutes, not after ten.
_REQUEST_LIMITS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}

# MLflow's own lines and bars would break the progress display.
_QUIET = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}


def connect(uri: str | None, lake: Path) -> str:
    """Use the server at `uri`, or for None the lake's own SQLite file and folder; return the address.

    Raises StepError if the server does not answer.
    """
    if uri is None:
        uri = f"sqlite:///{database(lake)}"
    for name, value in (_REQUEST_LIMITS | _QUIET).items():
        os.environ.setdefault(name, value)
    _configure_logging()
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        if mlflow.get_experiment_by_name(EXPERIMENT) is None:
            is_server = "://" in uri and "sqlite" not in uri
            artifacts = None if is_server else (lake / "mlflow").as_uri()
            mlflow.create_experiment(EXPERIMENT, artifacts, _EXPERIMENT_TAGS)
        mlflow.set_experiment(EXPERIMENT)
    except MlflowException as error:
        raise StepError(
            f"--mlflow: expected an MLflow server at {uri}, found: {str(error).splitlines()[0]}"
        ) from error
    return uri


def database(lake: Path) -> Path:
    """Return the lake's SQLite file of runs and models, created with all its tables or not at all.

    MLflow creates the tables one by one, and cannot continue where a kill or a full disk has stopped it.
    """
    file = settings.mlflow_database(lake)
    folder = file.parent
    if file.exists():
        return file
    _configure_logging()
    scratch = folder / ".new"
    folder.mkdir(exist_ok=True)
    with filelock.FileLock(folder / ".lock"):
        shutil.rmtree(scratch, ignore_errors=True)  # left by a process that was killed
        if not file.exists():
            scratch.mkdir()
            try:
                complete = scratch / file.name
                SqlAlchemyStore(f"sqlite:///{complete}", folder.as_uri()).engine.dispose()
                complete.rename(file)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    return file


def _configure_logging() -> None:
    # Their INFO lines are about database tables and code paths.
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # MLflow logs a trace of 90 lines for errors that it also raises; we report the exception in one line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


@contextmanager
def server_errors() -> Iterator[None]:
    """Raise StepError where the MLflow server stops answering in the middle of a step; also a decorator.

    MLflow raises the same exception class for every failure, so that one is recognized by the text that
    `mlflow.utils.rest_utils.http_request` begins its message with. A test calls a server that is gone.
    """
    try:
        yield
    except MlflowException as error:
        if "API request to http" not in str(error):
            raise
        reason = str(error).splitlines()[0][:300]
        raise StepError(
            f"--mlflow: expected the server to answer, found: {reason}; re-run the same command to resume"
        ) from error


@server_errors()
def end_killed_runs(lake_id: str) -> int:
    """End the runs of this lake that a killed process left open, as KILLED; return their number."""
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(EXPERIMENT)
    running = client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'")
    # The tag is not part of MLflow's filter, which cannot express a path with an apostrophe.
    killed = [run for run in running if run.data.tags.get("lake") == lake_id]
    for run in killed:
        client.set_terminated(run.info.run_id, "KILLED")
    return len(killed)


@contextmanager
def start_run(
    name: str, tags: dict[str, str], parameters: dict[str, Any], *, nested: bool = False
) -> Iterator[str]:
    """Open a run and yield its id; it ends as failed if the block raises."""
    with server_errors(), mlflow.start_run(run_name=name, tags=tags, nested=nested) as run:
        mlflow.log_params(parameters)
        yield run.info.run_id


@server_errors()
def rename_run(name: str) -> None:
    """Rename the open run."""
    mlflow.set_tag("mlflow.runName", name)


@server_errors()
def log_metrics(**metrics: float) -> None:
    """Log metrics in the open run."""
    mlflow.log_metrics(metrics)


@server_errors()
def log_curve(name: str, values: dict[int, float]) -> None:
    """Log a metric's values by step (k, or epoch) in the open run."""
    run_id = mlflow.active_run().info.run_id
    points = [Metric(name, value, 0, step) for step, value in values.items()]
    mlflow.MlflowClient().log_batch(run_id, metrics=points)


@server_errors()
def log_plots(figures: dict[str, Any]) -> None:
    """Log figures in the open run, each as <name>.png; None is left out."""
    for name, figure in figures.items():
        if figure is not None:
            mlflow.log_figure(figure, f"{name}.png")


@server_errors()
def log_table(name: str, rows: list[dict[str, Any]]) -> None:
    """Log rows as <name>.json in the open run."""
    mlflow.log_dict({"rows": rows}, f"{name}.json")


@cache
def git_commit() -> str:
    """Return the commit of this code, or "unknown" where it is installed without its repository."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    return "unknown"
