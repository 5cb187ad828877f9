"""What the DAGs in `dags/` are made of: a step as a Spark task, the assets, the pool, retries, and alerts.

Imported by Airflow whenever it parses a DAG, so nothing heavy stands here: Spark runs in processes of its own.
"""

import json
import logging
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.exceptions import AirflowException
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import Asset, BaseOperatorLink, Param, task
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.xcom import XCom

from jobs import pipeline, settings
from jobs.paths import ROOT

log = logging.getLogger("segue")

# One writer per lake: tasks of two runs wait for each other here instead of failing at the lake's lock.
POOL = "lake"

# Numpy and numba each start a thread per core, and Spark already runs a worker per core.
ENVIRONMENT = {
    "PYSPARK_PYTHON": sys.executable,
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"),
}

# What may pass (a lost worker, a full disk, a database at rest) is tried again, later and later; bad input is not.
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

_ADVICE = {
    2: "The input is at fault, so it is not tried again. Mend what the line above says (the run's parameters or the "
    "addresses) and start the DAG anew.",
    1: "Nothing is half done: tables and the model that serves are as before. It is tried again; if that fails too, see "
    "the lines above, mend it, and clear this task: the step goes on from where it was stopped.",
}


class ModelLink(BaseOperatorLink):
    """From a task that made or published a model to its version in MLflow."""

    name = "MLflow model"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the version's page, empty where the task told of none."""
        result = XCom.get_value(ti_key=ti_key, key="return_value") or {}
        server = settings.dag_settings()["mlflow"]
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
        """Run the step; fail for good where its input is bad, else so that it is tried again."""
        settings.export_task_pid()
        with tempfile.TemporaryDirectory(prefix="segue-") as folder:
            summary = Path(folder, "summary.json")
            shard = [f"--shard={self.shard}"] if self.shard else []
            self.application_args = [*(self.application_args or []), *shard, f"--summary-json={summary}"]
            try:
                super().execute(context)
            except AirflowException as error:
                bad_input = "Error code is: 2." in str(error)
                kind = AirflowFailException if bad_input else AirflowException
                raise kind(
                    f"{_error_line(str(error))}\nWhat to do: {_ADVICE[2 if bad_input else 1]}"
                ) from None
            # In a cluster's own driver there is no such file here.
            return json.loads(summary.read_text()) if summary.is_file() else {}


def _error_line(message: str) -> str:
    """Return the step's own line of what went wrong, where it has one, else the end of what Spark printed."""
    lines = [line for line in message.splitlines() if line.strip()]
    return next(
        (line for line in reversed(lines) if line.startswith(("segue ", "segue:"))), "\n".join(lines[-5:])
    )


def step(name: str, *, outlets: bool = True) -> SegueStep:
    """Return the task of a step; `outlets=False` where its tables are not to start other DAGs."""
    return SegueStep(**_options(name, outlets))


def sharded_step(name: str, shards: Any, *, outlets: bool = True) -> Any:
    """Return the task of a step that is mapped over shards ("1/3"): one instance for each."""
    return SegueStep.partial(**_options(name, outlets)).expand(shard=shards)


def _options(name: str, outlets: bool) -> dict[str, Any]:
    given = settings.dag_settings()
    of = pipeline.BY_NAME[name]
    return {
        "task_id": name,
        "conn_id": "spark_default",
        "application": str(ROOT / "jobs" / "__main__.py"),
        "application_args": [name, *of.airflow_arguments],
        "name": f"segue-{name}",
        "properties_file": str(ROOT / "spark_conf" / (given["spark_conf"] or "local.conf")),
        "py_files": given["py_files"] or None,
        "env_vars": ENVIRONMENT,
        "outlets": [ASSETS[table] for table in of.writes] if outlets else [],
        "pool": POOL,
        "execution_timeout": timedelta(hours=of.max_hours),
        "doc_md": f"**`segue {name}`**: {of.description}\n\nWrites {', '.join(of.writes)}. Does only what is new; "
        "killed, it goes on from where it was.",
        **RETRIES,
    }


@task(
    pool=POOL,
    doc_md="Counts what is new in the folder and cuts it into shards, so that a retry repeats little.",
    **RETRIES,
)
def shards(params: Any = None) -> list[str]:
    """Return the shards of what is new."""
    from jobs.orchestration import change_detection

    return _call(change_detection.shards, params)


@task.short_circuit(
    pool=POOL,
    doc_md="Compares music, plays and parameters with the last whole night's; where nothing is new, all else is skipped.",
    **RETRIES,
)
def has_new_data(params: Any = None) -> bool:
    """Tell whether this night has anything to do."""
    from jobs.orchestration import change_detection

    return _call(change_detection.has_changes, params)


@task(
    pool=POOL,
    doc_md="Keeps what this night left, so that the next one knows whether anything is new.",
    **RETRIES,
)
def record_state(params: Any = None) -> None:
    """Mark the night as whole."""
    from jobs.orchestration import change_detection

    _call(change_detection.record_state, params)


def _call(question: Callable[[str, Any], Any], params: Any) -> Any:
    from jobs.errors import InputError

    try:
        return question(settings.dag_settings()["lake"] or "lake", params)
    except InputError as error:
        raise AirflowFailException(f"{error}\nWhat to do: {_ADVICE[2]}") from None


def library_params() -> dict[str, Param]:
    """Return the parameters of a DAG that reads a folder of music, as the UI's form shows them."""
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
            description="replace the originals by their compressed files (else they stay as they are)",
        ),
    }


def alert(context: Any) -> None:
    """Tell that a run has failed or was late: in the log, in the lake's alerts.log, and to the webhook where there is one."""
    run = context["dag_run"]
    how = "was not done in time" if context.get("reason") == "timed_out" else "has failed"
    _send_alert(f"{context['dag'].dag_id} {how} ({run.run_id}); the model before it serves on")


def _send_alert(text: str) -> None:
    given = settings.dag_settings()
    log.error("ALERT: %s", text)
    logs = settings.lake_path(given["lake"] or "lake") / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with (logs / "alerts.log").open("a") as file:
        file.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}\n")
    if given["webhook"]:
        body = json.dumps({"text": f"Segue: {text}"}).encode()
        request = urllib.request.Request(given["webhook"], body, {"Content-Type": "application/json"})
        try:
            urllib.request.urlopen(request, timeout=10).close()
        except OSError as error:
            log.error("the webhook did not take the alert: %s", error)
