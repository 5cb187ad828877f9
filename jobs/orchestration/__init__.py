"""The DAGs' building blocks: tasks, alerts, change detection, the executor."""
