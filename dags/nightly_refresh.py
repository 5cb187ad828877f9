"""Every night, run every step for what has changed."""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, Param, chain

from jobs.orchestration.alerts import alert
from jobs.orchestration.tasks import (
    has_new_data,
    library_params,
    record_state,
    sharded_step,
    shards,
    step,
)
from jobs.pipeline import INGEST, TRAIN

with DAG(
    "nightly_refresh",
    description="Every night, run every step for what has changed",
    # A first `segue up` at half past two must not start a run: Airflow's default looks a tenth of a day back.
    schedule=CronTriggerTimetable("0 2 * * *", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    params={
        **library_params(),
        "force": Param(
            False, type="boolean", title="Force", description="run every step even if nothing is new"
        ),
    },
    on_failure_callback=alert,
    # A run that takes longer fails; the next one resumes. (DeadlineAlert breaks dag.test() in Airflow 3.3.2.)
    dagrun_timeout=timedelta(hours=6),
    tags=["segue"],
    doc_md="""
### Nightly refresh
At 02:00 UTC, runs every step for what has changed since the last complete nightly run; with no change the
rest is skipped. A run that fails, or takes more than six hours, is reported in `lake/logs/alerts.log`, in
`segue status`, and to `SEGUE_WEBHOOK`; the previous model serves on. The folder of music is `SEGUE_LIBRARY`.
""",
):
    shard_list = shards()
    # Without FEATURES as an outlet: `train` would start and repeat the steps below.
    later_steps = [step(name, outlets=name != "extract") for name in (*INGEST[1:], *TRAIN)]
    chain(has_new_data(), shard_list, sharded_step("compress", shard_list), *later_steps, record_state())
