"""The tasks of the DAGs in `dags/`: a step as a Spark task, assets, pool, and retries.

Airflow imports this module whenever it parses a DAG, so it imports nothing heavy: Spark runs in its own
processes.
"""

import json
import re
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from airflow.exceptions import AirflowException
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import Asset, BaseOperatorLink, Param, task
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.xcom import XCom

from jobs import pipeline, settings
from jobs.paths import ROOT

T = TypeVar("T")

# One slot, because a lake has one writer: tasks of two runs wait here instead of failing at the lake's lock.
POOL = "lake"

ENVIRONMENT = {"PYSPARK_PYTHON": sys.executable, **settings.SINGLE_THREAD_ENV}

# For failures that may pass: a lost worker, a full disk, an unavailable database. Bad input is not retried.
RETRIES: dict[str, Any] = {
    "retries": 3,
    "retry_delay": timedelta(minutes=1),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=15),
}

ASSETS = {
    name: Asset(name=name, uri=f"segue://lake/{name}", group="table")
    for step in pipeline.STEPS
    for name in step.writes
}

# `segue` exits with 2 for bad input, with 1 for any other failure.
_BAD_INPUT_STATUS = 2

_ADVICE_BAD_INPUT = (
    "Bad input: not retried. Fix what the error above names (the run's parameters or the addresses), "
    "then start a new DAG run."
)
_ADVICE_FAILURE = (
    "The tables and the model online are unchanged. The task is retried; if it still fails, fix what the "
    "error above names and clear this task: the step resumes."
)


class ModelLink(BaseOperatorLink):
    """The link from a task that made or published a model to its version in MLflow."""

    name = "MLflow model"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the URL of the version; empty if the task returned none, or MLflow has no server."""
        result = XCom.get_value(ti_key=ti_key, key="return_value") or {}
        given = settings.dag_settings()
        server = given["mlflow_public"] or given["mlflow"]
        if not server.startswith("http") or not result.get("model_version"):
            return ""
        return settings.mlflow_model_url(server, str(result["model_version"]))


class SegueStep(SparkSubmitOperator):
    """Submit `segue COMMAND` to Spark; the task's result is the step's summary."""

    application_args: Any
    ui_color = "#d5e8d4"
    operator_extra_links = (ModelLink(),)

    def __init__(self, *, shard: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.shard = shard

    def execute(self, context: Any) -> dict[str, Any]:
        """Run the step and return its summary.

        Raises
        ------
        AirflowFailException
            The input is bad; Airflow does not retry.
        AirflowException
            Another failure; Airflow retries.
        """
        settings.export_task_pid()
        with tempfile.TemporaryDirectory(prefix="segue-") as folder:
            summary = Path(folder, "summary.json")
            shard = [f"--shard={self.shard}"] if self.shard else []
            self.application_args = [*(self.application_args or []), *shard, f"--summary-json={summary}"]
            try:
                super().execute(context)
            except AirflowException as error:
                raise _task_failure(str(error)) from None
            # A driver that runs inside the cluster does not write to this machine.
            return json.loads(summary.read_text()) if summary.is_file() else {}


def _task_failure(message: str) -> AirflowException:
    """Return the exception to raise for a failed submit: the step's error line, and what to do."""
    if exit_status(message) == _BAD_INPUT_STATUS:
        return AirflowFailException(f"{_error_line(message)}\nWhat to do: {_ADVICE_BAD_INPUT}")
    return AirflowException(f"{_error_line(message)}\nWhat to do: {_ADVICE_FAILURE}")


def exit_status(message: str) -> int | None:
    """Return spark-submit's exit status from the message of SparkSubmitHook, or None if it has none.

    The provider offers the status nowhere else. tests/dags/test_tasks.py runs the real hook and fails if an
    upgrade changes the text.
    """
    found = re.search(r"Error code is: (\d+)\.", message)
    return int(found[1]) if found else None


def _error_line(message: str) -> str:
    """Return the error line that `segue` printed; without one, the last lines that Spark printed."""
    lines = [line for line in message.splitlines() if line.strip()]
    for line in reversed(lines):
        if line.startswith(("segue ", "segue:")):
            return line
    return "\n".join(lines[-5:])


def step(name: str, *, outlets: bool = True) -> SegueStep:
    """Return the task of a step; without `outlets` its tables start no other DAG."""
    return SegueStep(**step_options(name, outlets=outlets))


def sharded_step(name: str, shards: Any, *, outlets: bool = True) -> Any:
    """Return the task of a step mapped over shards ("1/3"), one task instance each."""
    return SegueStep.partial(**step_options(name, outlets=outlets)).expand(shard=shards)


def step_options(name: str, *, outlets: bool) -> dict[str, Any]:
    """Return the operator's arguments for a step of the pipeline."""
    given = settings.dag_settings()
    declaration = pipeline.BY_NAME[name]
    return {
        "task_id": name,
        "conn_id": "spark_default",
        "application": str(ROOT / "jobs" / "__main__.py"),
        "application_args": [name, *declaration.airflow_arguments],
        "name": f"segue-{name}",
        "properties_file": str(ROOT / "spark_conf" / (given["spark_conf"] or "local.conf")),
        "py_files": given["py_files"] or None,
        "env_vars": ENVIRONMENT,
        "outlets": [ASSETS[table] for table in declaration.writes] if outlets else [],
        "pool": POOL,
        "execution_timeout": timedelta(hours=declaration.max_hours),
        "doc_md": f"**`segue {name}`**: {declaration.description}\n\nWrites {', '.join(declaration.writes)}. "
        "Processes only what is new; an interrupted step resumes.",
        **RETRIES,
    }


@task(
    pool=POOL,
    doc_md="Count the new and changed files and divide them into shards, so that a retry repeats little.",
    **RETRIES,
)
def shards(params: Any = None) -> list[str]:
    """Return the shards of the new and changed files."""
    from jobs.orchestration import change_detection

    return _call(change_detection.shards, params)


@task.short_circuit(
    pool=POOL,
    doc_md="Compare music, plays and parameters with the last complete nightly run; skip the rest if equal.",
    **RETRIES,
)
def has_new_data(params: Any = None) -> bool:
    """Return whether the nightly run has anything to do."""
    from jobs.orchestration import change_detection

    return _call(change_detection.has_changes, params)


@task(
    pool=POOL,
    doc_md="Record the state that this run leaves, for the next nightly run to compare with.",
    **RETRIES,
)
def record_state(params: Any = None) -> None:
    """Record that the nightly run is complete."""
    from jobs.orchestration import change_detection

    _call(change_detection.record_state, params)


def _call(function: Callable[[str, Any], T], params: Any) -> T:
    """Call a function of `change_detection` with the lake's address; bad input fails the task for good."""
    from jobs.errors import InputError

    try:
        return function(settings.dag_settings()["lake"] or "lake", params)
    except InputError as error:
        raise AirflowFailException(f"{error}\nWhat to do: {_ADVICE_BAD_INPUT}") from None


def library_params() -> dict[str, Param]:
    """Return the parameters of a DAG that reads a folder of music, for the form of Airflow's page."""
    return {
        "library": Param(
            settings.dag_settings()["library"],
            type="string",
            title="Folder of music",
            description="searched recursively, on a disk that Airflow and the Spark workers see",
        ),
        "bitrate": Param("64k", type="string", title="Bit rate", description="bits per second, as in 64k"),
        "in_place": Param(
            False,
            type="boolean",
            title="In place",
            description="replace the originals by their compressed files (otherwise they stay unchanged)",
        ),
    }
