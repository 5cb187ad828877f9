"""A model of what is in FEATURES: embed, cluster, and what is online shows it."""

from airflow.sdk import DAG, chain

from jobs.orchestration.tasks import ASSETS, alert, step
from jobs.pipeline import TRAIN

with DAG(
    "train",
    description="A model of what is in FEATURES, brought online",
    schedule=[ASSETS["FEATURES"]],
    catchup=False,
    max_active_runs=1,
    on_failure_callback=alert,
    tags=["segue"],
    doc_md="""
### Train
Starts by itself when FEATURES is updated, or by ▶. Every run of the grid is in MLflow; a task's result names the model's
version and links to it. Until the last task is done, the model before serves on; where nothing is new, nothing is trained.
""",
):
    chain(*[step(name) for name in TRAIN])
