"""Every night, all of it for what is new."""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, Param, chain

from jobs.orchestration.tasks import (
    alert,
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
    description="Every night, all of it for what is new",
    # A first `segue up` at half past two begins no night: Airflow's default looks a tenth of a day back.
    schedule=CronTriggerTimetable("0 2 * * *", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    params={
        **library_params(),
        "force": Param(False, type="boolean", title="Even if nothing is new", description="run every step"),
    },
    on_failure_callback=alert,
    # A late night ends as a failed one; the next goes on from where it was. (DeadlineAlert breaks dag.test() in 3.3.2.)
    dagrun_timeout=timedelta(hours=6),
    tags=["segue"],
    doc_md="""
### Nightly refresh
At 02:00 (UTC), every step for what has changed since the last whole night; a night with nothing new says so and skips the
rest. A night that fails, or is not done after six hours, is told in `lake/logs/alerts.log`, in `segue status`, and to
`SEGUE_WEBHOOK`; the model before it serves on. The music is `SEGUE_LIBRARY`.
""",
):
    # FEATURES is not announced: `train` would do the same again.
    new = shards()
    rest = [step(name, outlets=name != "extract") for name in (*INGEST[1:], *TRAIN)]
    chain(has_new_data(), new, sharded_step("compress", new), *rest, record_state())
