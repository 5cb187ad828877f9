"""Which index a registered version is searched with: tags of the version, and what the others cost."""

import mlflow
from mlflow.entities import Metric
from mlflow.entities.model_registry import ModelVersion

from jobs.model import registry
from jobs.model.index_choice import IndexChoice
from jobs.model.search_index import IVF, IndexSettings
from jobs.model.tracking import server_errors


@server_errors()
def log_index(version: ModelVersion, choice: IndexChoice) -> None:
    """Log what each measured index costs in the version's run, and which was chosen and why as tags."""
    points = []
    for each in choice.measured:
        values = {
            "recall_at_10": each.recall,
            "build_cpu_s": each.build_s,
            "query_cpu_ms": 1_000 * each.single_s,
            "batch_query_cpu_ms": 1_000 * each.batch_s,
            "private_mb": each.private_bytes / 1e6,
        }
        points += [
            Metric(f"index/{each.settings.kind}/{name}", value, 0, 0) for name, value in values.items()
        ]
    mlflow.MlflowClient().log_batch(version.run_id, metrics=points)
    # The kind is written last: it states that the choice is complete.
    registry.set_tags(version, index_effort=str(choice.settings.effort), index_reason=choice.reason)
    registry.set_tags(version, index=choice.settings.kind)


def index_settings(version: ModelVersion) -> IndexSettings:
    """Return the index of a version; IVF for one of an older Segue."""
    if "index" not in version.tags:
        return IndexSettings(IVF, int(version.tags.get("nprobe", 1)))
    return IndexSettings(version.tags["index"], int(version.tags["index_effort"]))
