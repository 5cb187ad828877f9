"""Upgrade a lake that Segue 0.1 wrote: plays, users, likes and features stay, the model is trained again."""

import argparse
from pathlib import Path

from jobs import settings
from jobs.errors import InputError, StepError
from jobs.lake import lake_version, upgrade
from jobs.lake.storage import Lake
from jobs.progress import StepResult
from jobs.runtime import processes, supervisor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments: none beside the addresses."""


def main(arguments: argparse.Namespace) -> StepResult:
    """Upgrade the lake to this code's version, print what was done and what to run next.

    Raises InputError if there is no lake or a newer one, StepError while services run or another command
    writes.
    """
    root = settings.lake_path(arguments.lake)
    if settings.lake_store(arguments.lake) is not None:
        raise InputError("--lake: expected a folder, found s3://; no lake in an object store is of version 1")
    if not root.is_dir():
        raise InputError(f"--lake: expected the folder of a lake, found none at {root}")
    if lake_version.find_version(root) != 1:
        lake_version.check(lake_version.find_version(root), root)  # a newer lake
        return StepResult({"lake": f"of version {lake_version.LAKE_VERSION} already, nothing to do"})
    if processes.find_processes(supervisor.ServiceHome(root)):
        raise StepError(f"expected no service over {root}, found some running; run `segue down` first")
    with Lake(root, any_version=True).locked():
        report = upgrade.upgrade_tables(root)
        aliases = _delete_aliases(arguments.mlflow, root)
        lake_version.write_version(root)
    print(f"  renamed      {', '.join(report.renamed) or 'no table'}")
    print(f"  rewritten    {report.rewritten_files} Parquet files of FILES")
    print(f"  deleted      {', '.join(report.deleted) or 'nothing'} (rebuilt by the commands below)")
    print(f"  MLflow       {'aliases removed: ' + ', '.join(aliases) if aliases else 'no alias'}")
    print(
        "Run next: `segue run --library DIR` (trains and promotes a model of the new form), then `segue up`"
    )
    if arguments.mongo:
        print("Drop the old database at --mongo before that: `segue run` fills an empty one")
    return StepResult({"lake": f"upgraded from version 1 to {lake_version.LAKE_VERSION}"})


def _delete_aliases(uri: str | None, root: Path) -> list[str]:
    """Delete the aliases of every registered version, so that the next run promotes a new one.

    Return their names.
    """
    if uri is None and not settings.mlflow_database(root).exists():
        return []
    from jobs.model import registry, tracking  # MLflow takes seconds to import

    tracking.connect(uri, root)
    return registry.delete_aliases()
