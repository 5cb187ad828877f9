"""What Airflow needs of us: the DAGs' parts, the executor, what a night has to do."""
