"""New music comes in: compress, catalog, extract."""

from airflow.sdk import DAG

from jobs.orchestration.tasks import alert, library_params, sharded_step, shards, step

with DAG(
    "ingest",
    description="New music comes in: compress, catalog, extract",
    schedule=None,
    max_active_runs=1,
    params=library_params(),
    on_failure_callback=alert,
    tags=["segue"],
    doc_md="""
### Ingest
Press ▶, say where the music is, and its new and changed files are compressed, described (TRACKS) and listened to
(FEATURES). Run it again whenever you like: only what is new is done. `train` follows by itself, because FEATURES is
what it waits for.
""",
):
    sharded_step("compress", shards()) >> step("catalog") >> step("extract")
