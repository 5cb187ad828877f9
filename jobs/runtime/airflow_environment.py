"""The environment of the services.

Airflow's settings, MLflow's, the addresses, this installation's Python and Java.
"""

import json
import os
from collections.abc import Mapping

from jobs import settings
from jobs.paths import ROOT
from jobs.runtime import java
from jobs.runtime.supervisor import BIN, PROCESS_MARKER, USERS, ServiceHome


def service_environment(
    home: ServiceHome, ports: Mapping[str, int], *, master: str, library: str | None
) -> dict[str, str]:
    """Return the environment variables of all services; write the password file of Airflow's users.

    Parameters
    ----------
    home
        The folder of the lake's services.
    ports
        Port by service: "airflow", "mlflow", "serving".
    master
        Spark master of Airflow's tasks.
    library
        Folder of music for nightly_refresh, or None.
    """
    variables = {
        PROCESS_MARKER: str(home.lake),
        "SEGUE_LAKE": home.address,
        "SEGUE_STATE": str(home.lake),
        "SEGUE_MLFLOW": f"http://127.0.0.1:{ports['mlflow']}",
        "SEGUE_SPARK_CONF": "local.conf" if master.startswith("local") else "cluster.conf",
        "PATH": f"{BIN}:{os.environ.get('PATH', os.defpath)}",
        "JAVA_HOME": str(java.java_home()),
        **_mlflow(home),
        **_airflow(home, ports["airflow"], master),
    }
    if library is not None:
        variables["SEGUE_LIBRARY"] = library
    return {**os.environ, **variables}


def _mlflow(home: ServiceHome) -> dict[str, str]:
    """Return the settings of MLflow's server.

    The two underscored names are private to MLflow: `mlflow server --backend-store-uri …
    --default-artifact-root … --no-serve-artifacts` sets them for its workers, which we start directly.
    tests/unit/runtime/test_airflow_environment.py fails if an upgrade renames them. Models are files in the
    lake, with or without the server.
    """
    return {
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{settings.mlflow_database(home.lake)}",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": (home.lake / "mlflow").as_uri(),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def _airflow(home: ServiceHome, port: int, master: str) -> dict[str, str]:
    """Return Airflow's settings: SQLite, two parallel tasks, one admin and one viewer."""
    keys = home.secrets()
    home.write("passwords.json", {name: keys[name] for name in USERS})
    address = f"http://127.0.0.1:{port}"
    data = home.lake / "airflow"
    return {
        "AIRFLOW_HOME": str(data),
        "AIRFLOW_CONN_SPARK_DEFAULT": json.dumps({"conn_type": "spark", "host": master}),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{data / 'airflow.db'}",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "jobs.orchestration.executor.Executor",
        # Executor ends forked workers with their scheduler; Python 3.14 would start them another way.
        "AIRFLOW__CORE__MP_START_METHOD": "fork",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        # Notice the tasks of a killed scheduler within a minute (the default is five).
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
        "AIRFLOW__CORE__FERNET_KEY": keys["fernet"],
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{name}" for name in USERS),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home.folder / "passwords.json"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__API__SECRET_KEY": keys["session"],
        "AIRFLOW__API_AUTH__JWT_SECRET": keys["jwt"],
    }
