"""The DAGs as data: ids, edges, assets, the commands submitted to Spark, and the cost of parsing them."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from airflow.serialization.decoders import decode_timetable
from airflow.serialization.encoders import encode_timetable
from airflow.timetables import trigger
from airflow.timetables.base import TimeRestriction

from jobs.cli import COMMANDS
from tests.dags.conftest import ROOT

TRAIN = ["deduplicate", "embed", "cluster", "evaluate", "promote", "publish", "recommend"]
INGEST = ["shards", "compress", "catalog", "extract"]
TASKS = {
    "ingest": INGEST,
    "train": TRAIN,
    "nightly_refresh": ["has_new_data", *INGEST, *TRAIN, "record_state"],
}

SUBMIT = [
    *("spark-submit", "--master", "local[2]", "--properties-file", f"{ROOT}/spark_conf/local.conf"),
    *("--name", "segue-{step}", f"{ROOT}/jobs/__main__.py", "{step}"),
]
ARGUMENTS = {
    "compress": ["--library=/music", "--bitrate=96k", "--in-place"],
    "promote": ["--allow-refusal"],
    **dict.fromkeys(
        ("catalog", "extract", "deduplicate", "embed", "cluster", "evaluate", "publish", "recommend"), []
    ),
}


def test_dags_import_and_are_these(bag):
    assert bag.import_errors == {}
    assert set(bag.dags) == set(TASKS)


@pytest.mark.parametrize("name", TASKS)
def test_tasks_run_in_this_order(bag, name):
    dag = bag.dags[name]
    assert [task.task_id for task in dag.topological_sort()] == TASKS[name]
    for before, after in zip(TASKS[name], TASKS[name][1:], strict=False):
        assert before in dag.get_task(after).upstream_task_ids


def test_spark_tasks_are_commands_of_segue(bag):
    steps = {
        task.task_id for dag in bag.dags.values() for task in dag.tasks if hasattr(task, "application_args")
    }
    mapped = {task.task_id for dag in bag.dags.values() for task in dag.tasks if task.is_mapped}
    assert (steps | mapped) == set(ARGUMENTS) and set(ARGUMENTS) <= set(COMMANDS)


@pytest.mark.parametrize("name", TASKS)
def test_tasks_have_docs_retries_and_the_pool(bag, name):
    dag = bag.dags[name]
    assert dag.doc_md and dag.max_active_runs == 1 and not dag.catchup
    for task in dag.tasks:
        options = task.partial_kwargs if task.is_mapped else vars(task)
        assert (options["pool"], options["retries"]) == ("lake", 3), task.task_id
        assert options["doc_md"] and options["retry_exponential_backoff"]


def first_run(bag, monkeypatch, now):
    """Return when the scheduler starts the first nightly run."""
    schedule = decode_timetable(encode_timetable(bag.dags["nightly_refresh"].timetable))
    monkeypatch.setattr(trigger, "utcnow", lambda: now)
    first = schedule.next_dagrun_info(
        last_automated_data_interval=None,
        restriction=TimeRestriction(earliest=None, latest=None, catchup=False),
    )
    return first.run_after


@pytest.mark.parametrize("hour", [0, 1.99, 2.01, 3, 4.5, 23])
def test_first_nightly_run_is_the_next_one_due(bag, monkeypatch, hour):
    midnight = datetime(2026, 11, 22, tzinfo=UTC)
    expected = midnight + timedelta(hours=2) if hour < 2 else midnight + timedelta(hours=26)
    assert first_run(bag, monkeypatch, midnight + timedelta(hours=hour)) == expected


def test_train_follows_ingest_but_not_the_nightly_run(bag):
    def outlets(dag):
        return {asset.name for task in bag.dags[dag].tasks for asset in (task.outlets or [])}

    (trigger_asset,) = [asset.name for asset in bag.dags["train"].timetable.asset_condition.objects]
    assert trigger_asset == "FEATURES"
    assert "FEATURES" in outlets("ingest")
    assert "FEATURES" not in outlets("nightly_refresh") and "MONGODB" in outlets("nightly_refresh")


@pytest.mark.parametrize("step", ARGUMENTS)
def test_submitted_command(bag, step):
    dag = bag.dags["nightly_refresh"]
    task = dag.get_task(step)
    if task.is_mapped:
        from jobs.orchestration.tasks import SegueStep, step_options

        task = SegueStep(**{**step_options(step, outlets=True), "task_id": "unmapped"})
    task.render_template_fields({"params": {"library": "/music", "bitrate": "96k", "in_place": True}})
    command = task._get_hook()._build_spark_submit_command(task.application)
    assert command == [word.format(step=step) for word in SUBMIT] + ARGUMENTS[step]


def test_parsing_imports_nothing_heavy():
    """Spark, librosa and MLflow cost seconds, and Airflow parses the folder again and again."""
    script = (
        "import sys; sys.path.insert(0, 'dags'); import ingest, train, nightly_refresh; print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    heavy = {"pyspark", "librosa", "mlflow", "numba", "pandas", "pyarrow", "sklearn", "scipy"}
    assert not heavy & set(done.stdout.split())
