"""Read new music into the lake: compress, catalog, extract."""

from airflow.sdk import DAG

from jobs.orchestration.alerts import alert
from jobs.orchestration.tasks import library_params, sharded_step, shards, step

with DAG(
    "ingest",
    description="Read new music into the lake: compress, catalog, extract",
    schedule=None,
    max_active_runs=1,
    params=library_params(),
    on_failure_callback=alert,
    tags=["segue"],
    doc_md="""
### Ingest
Press ▶ and choose the folder of music: its new and changed files are compressed, cataloged (table TRACKS)
and analyzed (table FEATURES). Run it again at any time: only new files are processed. `train` starts when
this DAG has updated FEATURES.
""",
):
    sharded_step("compress", shards()) >> step("catalog") >> step("extract")
