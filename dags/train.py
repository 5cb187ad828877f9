"""Train a model on FEATURES and publish it: embed, cluster, evaluate, promote, publish, recommend."""

from airflow.sdk import DAG, chain

from jobs.orchestration.alerts import alert
from jobs.orchestration.tasks import ASSETS, step
from jobs.pipeline import TRAIN

with DAG(
    "train",
    description="Train a model on FEATURES, evaluate it and publish it",
    schedule=[ASSETS["FEATURES"]],
    catchup=False,
    max_active_runs=1,
    on_failure_callback=alert,
    tags=["segue"],
    doc_md="""
### Train
Starts when FEATURES is updated, or by ▶. Every trial of the grid search is a run in MLflow; a task's result
names the model version and links to it. The previous model serves until the last task is done. With unchanged
features no model is trained.
""",
):
    chain(*[step(name) for name in TRAIN])
