"""MLflow's model registry: versions of the model `segue`, their aliases, tags and evaluations.

`tracking.connect` comes first. See `tracking` for runs.
"""

import hashlib
import shutil
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.entities import Metric
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec

from jobs.errors import InputError, StepError
from jobs.model.embedding import Embedder
from jobs.model.ivf_index import Clusters
from jobs.model.metrics import SystemMetrics
from jobs.model.query_scores import QueryScores
from jobs.model.tracking import server_errors
from jobs.paths import PACKAGE

MODEL = "segue"

# The version that is to be online.
CHAMPION = "champion"
# The version trained last; the quality gate decides whether it replaces the champion.
CHALLENGER = "challenger"
# The champion before this one: a rollback restores it.
PREVIOUS = "previous"
# The version that an unfinished rollback takes offline; absent otherwise.
ROLLING_BACK = "rolling_back"

# The artifact with the score of every query.
_SCORES_FILE = "query_scores.json"

# What a model needs to load where Segue is not installed, relative to the package `jobs`.
_PACKAGED_MODULES = ("__init__.py", "model/__init__.py", "model/embedding.py", "model/transforms.py")


@server_errors()
def versions(**tags: str) -> list[ModelVersion]:
    """Return the registered versions that have all these tags, newest first."""
    matching = []
    for version in mlflow.MlflowClient().search_model_versions(f"name = '{MODEL}'"):
        has_tags = all(version.tags.get(name) == value for name, value in tags.items())
        if has_tags and "model_hash" in version.tags:
            matching.append(version)
    return sorted(matching, key=lambda version: -int(version.version))


def version(number: str | None) -> ModelVersion:
    """Return a registered version, or for None the newest.

    Raises StepError if there is no version at all, InputError if `number` is none of them.
    """
    registered = versions()
    if not registered:
        raise StepError("expected a registered model, found none; run `segue cluster` first")
    if number is None:
        return registered[0]
    for candidate in registered:
        if str(candidate.version) == str(number):
            return candidate
    known = ", ".join(str(candidate.version) for candidate in reversed(registered))
    raise InputError(f"expected a version of the registered model ({known}), found {number!r}")


def version_by_alias(alias: str) -> ModelVersion | None:
    """Return the version that has this alias, or None."""
    number = aliases().get(alias)
    return next((version for version in versions() if str(version.version) == number), None)


@server_errors()
def aliases() -> dict[str, str]:
    """Return the version number of each alias."""
    numbers = {}
    for model in mlflow.MlflowClient().search_registered_models(f"name = '{MODEL}'"):
        for alias, number in model.aliases.items():
            numbers[alias] = str(number)
    return numbers


@server_errors()
def delete_aliases() -> list[str]:
    """Delete every alias, so that no version is champion or challenger any more; return their names."""
    names = sorted(aliases())
    for alias in names:
        mlflow.MlflowClient().delete_registered_model_alias(MODEL, alias)
    return names


def model_hash(embedder: Embedder, clusters: Clusters) -> str:
    """Return the SHA-256 of every number in the model: the same data and seed give the same hash."""
    digest = hashlib.sha256(f"{clusters.nprobe}".encode())
    for name, array in sorted({**embedder.arrays(), "centroids": clusters.centroids}.items()):
        digest.update(f"{name} {array.shape} ".encode())
        is_text = array.dtype.kind == "U"
        digest.update(str(array).encode() if is_text else np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


@server_errors()
def register(
    embedder: Embedder, clusters: Clusters, *, run_id: str, tags: dict[str, str], folder: Path
) -> ModelVersion:
    """Log the model in the open run and register it as the next version, with its tags from the start.

    `folder` is a scratch folder. Returns the new version.
    """
    parameters = folder / "parameters.npz"
    arrays: dict[str, Any] = {
        **embedder.arrays(),
        "centroids": clusters.centroids,
        "nprobe": np.array(clusters.nprobe),
    }
    np.savez(parameters, **arrays)
    # MLflow asks for an input example; the signature that we pass holds the same.
    warnings.filterwarnings("ignore", message=".*input example", category=UserWarning)
    logged = mlflow.pyfunc.log_model(
        name="model",
        python_model=str(Path(__file__).with_name("served_model.py")),
        artifacts={"parameters": str(parameters)},
        signature=_signature(embedder),
        pip_requirements=[f"numpy=={np.__version__}", "pandas"],
        code_paths=[str(_copy_package(folder))],
        metadata=tags,
    )
    client = mlflow.MlflowClient()
    try:
        client.create_registered_model(
            MODEL, description="Features of a track to its embedding and its cluster"
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client.create_model_version(MODEL, logged.model_uri, run_id, tags=tags, model_id=logged.model_id)


def _copy_package(folder: Path) -> Path:
    """Copy the modules that a model needs into a package `jobs` in `folder`; return the package."""
    package = folder / "jobs"
    for module in _PACKAGED_MODULES:
        target = package / module
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PACKAGE / module, target)
    return package


def _signature(embedder: Embedder) -> ModelSignature:
    inputs = [ColSpec("float", name) for name in embedder.columns]
    if embedder.genres:
        inputs.append(ColSpec("string", "genres", required=False))
    outputs = Schema([TensorSpec(np.dtype(np.float32), (-1, embedder.dimensions), "embedding")])
    outputs.inputs.append(TensorSpec(np.dtype(np.int32), (-1,), "cluster"))
    return ModelSignature(inputs=Schema(inputs), outputs=outputs)


@server_errors()
def load(version: ModelVersion) -> tuple[Embedder, Clusters]:
    """Return the embedder and the clusters of a registered version."""
    folder = mlflow.artifacts.download_artifacts(f"models:/{MODEL}/{version.version}")
    arrays = np.load(Path(folder) / "artifacts" / "parameters.npz")
    return Embedder.from_arrays(arrays), Clusters(arrays["centroids"], int(arrays["nprobe"]))


@server_errors()
def log_evaluation(
    version: ModelVersion,
    metrics: SystemMetrics,
    *,
    evaluation_digest: str,
    compared_with: str,
    scores: QueryScores | None = None,
) -> None:
    """Log each system's metrics in the version's run as "<system>/<metric>", and the queries' scores.

    The tags are written last: they state that the evaluation is complete, of which inputs, and beside which
    champion ("" for none).
    """
    client = mlflow.MlflowClient()
    points = []
    for system, system_metrics in metrics.items():
        points += [Metric(f"{system}/{name}", value, 0, 0) for name, value in system_metrics.items()]
    client.log_batch(version.run_id, metrics=points)
    client.log_dict(version.run_id, metrics, "evaluation.json")
    client.log_dict(version.run_id, (scores or QueryScores()).to_json(), _SCORES_FILE)
    set_tags(version, compared_with=compared_with, evaluation_digest=evaluation_digest)


@server_errors()
def evaluation(version: ModelVersion) -> SystemMetrics:
    """Return the metrics logged last for a version; empty if it was not evaluated."""
    is_evaluated = "evaluation_digest" in version.tags or "evaluation_digest" in _current_tags(version)
    if not is_evaluated:
        return {}
    metrics: SystemMetrics = mlflow.artifacts.load_dict(f"runs:/{version.run_id}/evaluation.json")
    return metrics


@server_errors()
def query_scores(version: ModelVersion) -> QueryScores:
    """Return the scores logged last for an evaluated version; empty where an older Segue evaluated it."""
    files = {file.path for file in mlflow.MlflowClient().list_artifacts(version.run_id)}
    if _SCORES_FILE not in files:
        return QueryScores()
    return QueryScores.from_json(mlflow.artifacts.load_dict(f"runs:/{version.run_id}/{_SCORES_FILE}"))


@server_errors()
def run_parameters(version: ModelVersion) -> dict[str, str]:
    """Return the parameters of the run that trained a version, as text."""
    parameters: dict[str, str] = mlflow.MlflowClient().get_run(version.run_id).data.params
    return parameters


def _current_tags(version: ModelVersion) -> dict[str, str]:
    """Return the tags that a version has now: a ModelVersion holds those of when it was read."""
    tags: dict[str, str] = mlflow.MlflowClient().get_model_version(MODEL, version.version).tags
    return tags


@server_errors()
def set_tags(version: ModelVersion, **tags: str) -> None:
    """Set tags on a version; an empty text deletes the tag."""
    client = mlflow.MlflowClient()
    for name, value in tags.items():
        if value:
            client.set_model_version_tag(MODEL, version.version, name, value)
        elif name in _current_tags(version):
            client.delete_model_version_tag(MODEL, version.version, name)


@server_errors()
def set_challenger(number: str) -> None:
    """Make a version the challenger, unless it is the champion."""
    current = aliases()
    if number not in (current.get(CHAMPION), current.get(CHALLENGER)):
        mlflow.MlflowClient().set_registered_model_alias(MODEL, CHALLENGER, number)


@server_errors()
def set_champion(number: str) -> None:
    """Make a version the champion, in one step, and the champion before it the previous one.

    This also ends a rollback.
    """
    client = mlflow.MlflowClient()
    current = aliases()
    if current.get(CHAMPION) not in (None, number):
        client.set_registered_model_alias(MODEL, PREVIOUS, current[CHAMPION])
    if current.get(CHAMPION) != number:
        client.set_registered_model_alias(MODEL, CHAMPION, number)
    if current.get(CHALLENGER) == number:
        client.delete_registered_model_alias(MODEL, CHALLENGER)
    if ROLLING_BACK in current:
        client.delete_registered_model_alias(MODEL, ROLLING_BACK)


@server_errors()
def restore_previous() -> tuple[str, str]:
    """Make the previous champion the champion again; return (rolled back, restored).

    The gate refuses the version that was rolled back, unless forced.

    If it is stopped at any line, the next call continues with the same two versions, until `set_champion`
    ends the rollback. Raises InputError if there is no previous champion.
    """
    client = mlflow.MlflowClient()
    current = aliases()
    rolled_back = current.get(ROLLING_BACK, current.get(CHAMPION))
    restored = current.get(PREVIOUS)
    if restored == rolled_back:  # stopped after the aliases had moved
        restored = current.get(CHAMPION)
    if rolled_back is None or restored is None or restored == rolled_back:
        raise InputError("expected a previous champion to restore, found none; see `segue models`")
    client.set_registered_model_alias(MODEL, ROLLING_BACK, rolled_back)
    set_tags(version(rolled_back), rolled_back=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))
    client.set_registered_model_alias(MODEL, CHAMPION, restored)
    client.set_registered_model_alias(MODEL, PREVIOUS, rolled_back)
    return rolled_back, restored
