"""A task reports a failed step. The hook is Airflow's, spark-submit is a shell script."""

import os
from types import SimpleNamespace

import pytest
from airflow.exceptions import AirflowException
from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook
from airflow.sdk.exceptions import AirflowFailException

from jobs.orchestration import tasks

ERROR_LINE = "segue extract: expected a, found b"


def hook_message(tmp_path, monkeypatch, status):
    """Return the message of the exception that the hook raises if spark-submit exits with this status."""
    script = tmp_path / "spark-submit"
    script.write_text(
        f"#!/bin/sh\necho some line of Spark\necho '{ERROR_LINE}'\necho another line\nexit {status}\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(AirflowException) as raised:
        SparkSubmitHook(conn_id="spark_default").submit("application.py")
    return str(raised.value)


@pytest.mark.parametrize("status", [1, 2, 137])
def test_exit_status_is_read_from_the_hook(tmp_path, monkeypatch, status):
    assert tasks.exit_status(hook_message(tmp_path, monkeypatch, status)) == status


def test_message_without_a_status_has_none():
    assert tasks.exit_status("the driver was lost") is None


@pytest.mark.parametrize(
    ("status", "is_final", "advice"), [(2, True, "not retried"), (1, False, "is retried")]
)
def test_only_bad_input_is_final(tmp_path, monkeypatch, status, is_final, advice):
    failure = tasks._task_failure(hook_message(tmp_path, monkeypatch, status))
    assert isinstance(failure, AirflowFailException) == is_final
    assert str(failure).startswith(f"{ERROR_LINE}\nWhat to do: ") and advice in str(failure)


def test_link_to_mlflow_has_the_address_of_browsers(monkeypatch):
    """In compose the tasks' address of MLflow is a name that no browser can resolve."""
    monkeypatch.setattr(tasks, "XCom", SimpleNamespace(get_value=lambda **_: {"model_version": 3}))
    monkeypatch.setenv("SEGUE_MLFLOW", "http://mlflow:5000")
    assert (
        tasks.ModelLink()
        .get_link(None, ti_key=None)
        .startswith("http://mlflow:5000/#/models/segue/versions/3")
    )
    monkeypatch.setenv("SEGUE_MLFLOW_PUBLIC", "http://127.0.0.1:5000")
    assert (
        tasks.ModelLink()
        .get_link(None, ti_key=None)
        .startswith("http://127.0.0.1:5000/#/models/segue/versions/3")
    )
