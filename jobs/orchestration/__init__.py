"""What the DAGs are made of: tasks, change detection, the executor."""
