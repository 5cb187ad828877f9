"""The DAGs' building blocks: tasks, change detection, the executor."""
