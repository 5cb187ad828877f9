"""Addresses and secrets.

Only this file reads them from the environment; a command line option overrides each.
"""

import argparse
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from jobs.errors import InputError

# Process id of the Airflow task that has submitted a job: the job ends with it.
_TASK_PID_VARIABLE = "SEGUE_TASK"

# For processes beside Spark's: numpy, numba and OpenMP would each start a thread per core, and Spark already
# runs one worker per core.
SINGLE_THREAD_ENV = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}

_MIN_TOKEN_CHARACTERS = 16

KAFKA_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
KAFKA_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the addresses of the lake, MongoDB, Kafka, MLflow and the Spark master, and --summary-json."""
    group = parser.add_argument_group("addresses (each also an environment variable)")
    group.add_argument(
        "--lake",
        metavar="URI",
        default=os.environ.get("SEGUE_LAKE", "lake"),
        help="folder of the tables and the compressed audio, on a disk that every worker can read, or "
        "s3://bucket/prefix of the tables, with all else in the folder SEGUE_STATE (SEGUE_LAKE, default "
        "./lake)",
    )
    group.add_argument(
        "--mongo",
        metavar="URI",
        default=os.environ.get("SEGUE_MONGO"),
        help="MongoDB, as in mongodb://host:27017/segue "
        "(SEGUE_MONGO; default: an embedded server with its data in the lake)",
    )
    group.add_argument(
        "--kafka",
        metavar="HOST:PORT",
        default=os.environ.get("SEGUE_KAFKA"),
        help="Kafka bootstrap server (SEGUE_KAFKA; default: an embedded broker with its data in the lake)",
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
        help="Spark master (SEGUE_MASTER; default local[*], every core of this machine)",
    )
    parser.add_argument(
        "--summary-json", type=Path, metavar="FILE", help="also write the summary to FILE as JSON"
    )


def dag_settings() -> dict[str, str]:
    """Return the settings of the DAGs from Airflow's environment, each "" if it is not set.

    library: folder of music of nightly_refresh. spark_conf: name of a file in spark_conf/. py_files: zip of
    Segue for a cluster's executors, "" where they have it installed. webhook: URL that alerts are posted to.
    lake, mlflow: as --lake and --mlflow. mlflow_public: MLflow's address for a browser, if it is another one.
    """
    names = ("LIBRARY", "SPARK_CONF", "PY_FILES", "WEBHOOK", "LAKE", "MLFLOW", "MLFLOW_PUBLIC")
    return {name.lower(): os.environ.get(f"SEGUE_{name}", "") for name in names}


def musicnn_enabled() -> bool:
    """Return whether MusiCNN's weights are to be installed and used: SEGUE_MUSICNN, `on` (default) or `off`.

    Raises InputError for another value.
    """
    value = os.environ.get("SEGUE_MUSICNN") or "on"
    if value not in ("on", "off"):
        raise InputError(f"SEGUE_MUSICNN: expected on or off, found {value!r}")
    return value == "on"


def listenbrainz_address() -> str:
    """Return the address of ListenBrainz' API, for users who forward their plays (SEGUE_LISTENBRAINZ)."""
    return os.environ.get("SEGUE_LISTENBRAINZ") or "https://api.listenbrainz.org"


def lastfm() -> dict[str, str]:
    """Return Last.fm's API for users who forward their plays: address, page, key, secret.

    Key and secret are of the operator's own API account (SEGUE_LASTFM_KEY, SEGUE_LASTFM_SECRET); without them
    nobody can connect.
    """
    return {
        "address": os.environ.get("SEGUE_LASTFM") or "https://ws.audioscrobbler.com/2.0/",
        "page": os.environ.get("SEGUE_LASTFM_PAGE") or "https://www.last.fm/api/auth/",
        "key": os.environ.get("SEGUE_LASTFM_KEY", ""),
        "secret": os.environ.get("SEGUE_LASTFM_SECRET", ""),
    }


def metrics_token() -> str:
    """Return the token that reads the player's metrics, SEGUE_METRICS_TOKEN; "" if only admins may.

    Raises InputError if it is too short to keep others out.
    """
    token = os.environ.get("SEGUE_METRICS_TOKEN", "")
    if token and len(token) < _MIN_TOKEN_CHARACTERS:
        raise InputError(
            f"SEGUE_METRICS_TOKEN: expected {_MIN_TOKEN_CHARACTERS} characters or more, found {len(token)}; "
            "make one with `openssl rand -hex 16`"
        )
    return token


def airflow_task_pid() -> int | None:
    """Return the process id of the Airflow task that has submitted this job, or None."""
    pid = os.environ.get(_TASK_PID_VARIABLE)
    return None if pid is None else int(pid)


def export_task_pid() -> None:
    """Record in the environment, for the jobs that this process submits, that it is their task."""
    os.environ[_TASK_PID_VARIABLE] = str(os.getpid())


def add_fma_argument(parser: argparse.ArgumentParser) -> None:
    """Add the base address of FMA's archives."""
    parser.add_argument(
        "--base-url",
        dest="fma_url",
        metavar="URL",
        default=os.environ.get("SEGUE_FMA", "https://os.unil.cloud.switch.ch/fma"),
        help="base URL of FMA's archives (SEGUE_FMA, default %(default)s)",
    )


def lake_path(uri: str) -> Path:
    """Return the absolute path of the lake's folder; its address is a path, a file:// or an s3:// URI.

    For s3:// it is the folder of what stays on this machine's disk, SEGUE_STATE (default ./segue-state).
    Raises InputError for other schemes.
    """
    path = uri.removeprefix("file://")
    if lake_store(uri) is not None:
        path = os.environ.get("SEGUE_STATE") or "segue-state"
    return Path(path).expanduser().absolute()


def lake_store(uri: str) -> str | None:
    """Return the address of the tables in an object store, s3://bucket or s3://bucket/prefix; None on a disk.

    Raises InputError for another scheme, and for an address without a bucket.
    """
    path = uri.removeprefix("file://")
    if "://" not in path:
        return None
    if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]+(/[^/?#]+)*/?", path):
        raise InputError(
            f"--lake: expected a folder on a mounted disk, a file:// URI or s3://bucket/prefix, found {uri!r}"
        )
    return path.rstrip("/")


def mlflow_database(lake: Path) -> Path:
    """Return the SQLite file of MLflow's runs and models, used without --mlflow."""
    return lake / "mlflow" / "mlflow.db"


def mlflow_model_url(server: str, version: str | None = None) -> str:
    """Return the address of the model's page in MLflow, or of one version's.

    The query selects MLflow's view for model training; its default is the one for language models.
    """
    path = "/#/models/segue" if version is None else f"/#/models/segue/versions/{version}"
    return f"{server}{path}?workflowType=machine_learning"


@dataclass(frozen=True, kw_only=True)
class KafkaSecurity:
    """How Kafka clients connect; a value is "" if it is not set.

    Attributes
    ----------
    protocol
        One of `KAFKA_PROTOCOLS`.
    ca
        PEM file of trusted certificates.
    mechanism
        One of `KAFKA_MECHANISMS`.
    user, password
        Required with SASL, as is the mechanism.
    """

    protocol: str
    ca: str
    mechanism: str
    user: str
    password: str = field(repr=False)


def kafka_security() -> KafkaSecurity:
    """Return the security settings of Kafka clients, from SEGUE_KAFKA_PROTOCOL (default PLAINTEXT) and so on.

    Raises InputError for an invalid or missing value.
    """
    security = KafkaSecurity(
        protocol=os.environ.get("SEGUE_KAFKA_PROTOCOL") or "PLAINTEXT",
        ca=os.environ.get("SEGUE_KAFKA_CA", ""),
        mechanism=os.environ.get("SEGUE_KAFKA_MECHANISM", ""),
        user=os.environ.get("SEGUE_KAFKA_USER", ""),
        password=os.environ.get("SEGUE_KAFKA_PASSWORD", ""),
    )
    _check_kafka_value("PROTOCOL", security.protocol, KAFKA_PROTOCOLS)
    if security.protocol.startswith("SASL_"):
        _check_kafka_value("MECHANISM", security.mechanism, KAFKA_MECHANISMS)
        _check_kafka_value("USER", security.user)
        _check_kafka_value("PASSWORD", security.password)
    if security.ca and not os.access(security.ca, os.R_OK):
        raise InputError(f"SEGUE_KAFKA_CA: expected a readable PEM file of certificates, found {security.ca}")
    return security


def _check_kafka_value(name: str, value: str, allowed: tuple[str, ...] = ()) -> None:
    """Raise InputError if a value is missing or not in `allowed` (empty: any value).

    The error does not contain the value, which may be a secret.
    """
    if value and (not allowed or value in allowed):
        return
    expected = " or ".join(allowed) or "a value"
    found = "another one" if value else "none"
    raise InputError(f"SEGUE_KAFKA_{name}: expected {expected}, found {found}")
