"""Addresses and secrets, read from the environment in this file alone; a command line option overrides each."""

import argparse
import os
from pathlib import Path

from jobs.errors import InputError

# The process of the task that has submitted a job: for the job to end with it.
_TASK = "SEGUE_TASK"

KAFKA_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
KAFKA_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the addresses that every command knows: the lake, MongoDB, Kafka, MLflow and the Spark master."""
    group = parser.add_argument_group("addresses (each also an environment variable)")
    group.add_argument(
        "--lake",
        metavar="URI",
        default=os.environ.get("SEGUE_LAKE", "lake"),
        help="folder of the tables and the compressed audio, on a disk that every worker sees "
        "(SEGUE_LAKE, default ./lake)",
    )
    group.add_argument(
        "--mongo",
        metavar="URI",
        default=os.environ.get("SEGUE_MONGO"),
        help="MongoDB, as in mongodb://host:27017/segue (SEGUE_MONGO; default: an embedded server with its data in the lake)",
    )
    group.add_argument(
        "--kafka",
        metavar="HOST:PORT",
        default=os.environ.get("SEGUE_KAFKA"),
        help="Kafka (SEGUE_KAFKA; default: an embedded broker with its data in the lake)",
    )
    group.add_argument(
        "--mlflow",
        metavar="URI",
        default=os.environ.get("SEGUE_MLFLOW"),
        help="MLflow tracking server (SEGUE_MLFLOW; default: SQLite in the lake)",
    )
    group.add_argument(
        "--master",
        default=os.environ.get("SEGUE_MASTER", "local[*]"),
        help="Spark master (SEGUE_MASTER, default local[*]: every core of this machine)",
    )
    parser.add_argument(
        "--summary-json", type=Path, metavar="FILE", help="also write the summary to FILE, as JSON"
    )


def dag_settings() -> dict[str, str]:
    """Return what the DAGs are told by who starts Airflow; all of it can be empty.

    `library` is the folder of music of nightly_refresh, `spark_conf` the file's name in spark_conf/, `py_files` the zip
    that brings Segue to a cluster's executors, `webhook` where alerts are posted.
    """
    names = ("LIBRARY", "SPARK_CONF", "PY_FILES", "WEBHOOK", "LAKE", "MLFLOW")
    return {name.lower(): os.environ.get(f"SEGUE_{name}", "") for name in names}


def airflow_task_pid() -> int | None:
    """Return the process of the Airflow task that has submitted this job, None where none has."""
    return int(os.environ[_TASK]) if _TASK in os.environ else None


def export_task_pid() -> None:
    """Tell the jobs that this process will submit that it is their task."""
    os.environ[_TASK] = str(os.getpid())


def add_fma_argument(parser: argparse.ArgumentParser) -> None:
    """Add the address that FMA's archives are below."""
    parser.add_argument(
        "--base-url",
        dest="fma_url",
        metavar="URL",
        default=os.environ.get("SEGUE_FMA", "https://os.unil.cloud.switch.ch/fma"),
        help="where the archives are (SEGUE_FMA, default %(default)s)",
    )


def lake_path(uri: str) -> Path:
    """Turn the lake's address, a path or a file:// URI, into an absolute path.

    Raises InputError for other schemes: compressed audio and the flip of a table's pointer need a mounted file system.
    """
    path = uri.removeprefix("file://")
    if "://" in path:
        raise InputError(f"--lake: expected a folder on a mounted disk or a file:// URI, found {uri!r}")
    return Path(path).expanduser().absolute()


def mlflow_database(lake: Path) -> Path:
    """Return where MLflow's runs and models are kept, where no server of somebody's keeps them: an SQLite file."""
    return lake / "mlflow" / "mlflow.db"


def mlflow_model_url(server: str, version: str | None = None) -> str:
    """Return where MLflow shows the model, or a version of it; it opens at training, not at language models."""
    path = "/#/models/segue" if version is None else f"/#/models/segue/versions/{version}"
    return f"{server}{path}?workflowType=machine_learning"


def kafka_security() -> dict[str, str]:
    """Return how Kafka's clients prove who they are, each "" where it is not set; SEGUE_KAFKA_<NAME>.

    `protocol` PLAINTEXT (default), SSL, SASL_PLAINTEXT or SASL_SSL; `ca` a PEM file of certificates to trust; `mechanism`
    PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; `user` and `password`. InputError for what is none of these, or is missing.
    """
    names = ("PROTOCOL", "CA", "MECHANISM", "USER", "PASSWORD")
    given = {name.lower(): os.environ.get(f"SEGUE_KAFKA_{name}", "") for name in names}
    given["protocol"] = given["protocol"] or "PLAINTEXT"
    allowed: dict[str, tuple[str, ...]] = {"protocol": KAFKA_PROTOCOLS}
    if given["protocol"].startswith("SASL_"):
        allowed |= {"mechanism": KAFKA_MECHANISMS, "user": (), "password": ()}
    for name, values in allowed.items():
        if not given[name] or (values and given[name] not in values):
            wanted, found = " or ".join(values) or "a value", "another one" if given[name] else "none"
            raise InputError(f"SEGUE_KAFKA_{name.upper()}: expected {wanted}, found {found}")
    if given["ca"] and not os.access(given["ca"], os.R_OK):
        raise InputError(
            f"SEGUE_KAFKA_CA: expected a PEM file of certificates, found {given['ca']}, which cannot be read"
        )
    return given
