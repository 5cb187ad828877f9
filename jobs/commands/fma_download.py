"""`segue fma download`: fetch FMA's archives (an interrupted one resumes), verify and unpack them."""

import argparse
from pathlib import Path

from jobs import progress, settings
from jobs.errors import InputError
from jobs.fma import archive
from jobs.fma.download import METADATA, SUBSETS, Archive, ResumableDownload, file_size, sha1_file
from jobs.progress import StepResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--subset",
        choices=list(SUBSETS),
        help="audio archive to download: small 7 GiB, medium 22 GiB, large 93 GiB, full 879 GiB",
    )
    parser.add_argument(
        "--metadata",
        action="store_true",
        help="download fma_metadata as well (342 MiB, 1.4 GiB unpacked)",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder to unpack into; created if missing"
    )
    parser.add_argument(
        "--keep-archive", action="store_true", help="keep the ZIP files beside the unpacked folders"
    )
    settings.add_fma_argument(parser)


def main(arguments: argparse.Namespace) -> StepResult:
    """Download and unpack the requested archives whose folders do not exist yet; return the counts."""
    requested = []
    if arguments.metadata:
        requested.append(METADATA)
    if arguments.subset:
        requested.append(SUBSETS[arguments.subset])
    if not requested:
        raise InputError("expected --subset small, medium, large or full, or --metadata, found neither")
    out = arguments.out.expanduser().absolute()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out: expected a writable folder, found {out}: {error.strerror}") from error
    missing = [entry for entry in requested if not (out / entry.name).exists()]
    n_files = 0
    for entry in missing:
        path = _download_and_verify(entry, out, arguments.fma_url.rstrip("/"))
        n_files += _unpack(entry, path, out / entry.name)
        if not arguments.keep_archive:
            path.unlink()
    return StepResult({"archives": len(requested), "unpacked": len(missing), "files": n_files})


def _download_and_verify(entry: Archive, out: Path, base_url: str) -> Path:
    """Download one archive, or verify an existing file; return its path."""
    path = out / entry.file
    if path.exists():
        if sha1_file(path) != entry.sha1:
            raise InputError(
                f"{path}: expected the SHA-1 {entry.sha1}, found another file; delete it and "
                "re-run the command"
            )
        return path
    part = path.with_name(f"{path.name}.part")
    with progress.watch(f"{entry.file}, MiB", entry.size >> 20, lambda: file_size(part) >> 20):
        ResumableDownload(f"{base_url}/{entry.file}", part, entry).run()
    part.replace(path)
    return path


def _unpack(entry: Archive, path: Path, target: Path) -> int:
    """Unpack one archive; return its number of files."""
    unpacked_bytes = 0

    def count(n_bytes: int) -> None:
        nonlocal unpacked_bytes
        unpacked_bytes += n_bytes

    total = int(entry.size * entry.unpacked_ratio)
    with progress.watch(f"unpack {entry.name}, MiB", total >> 20, lambda: unpacked_bytes >> 20):
        return archive.unpack(path, target, on_bytes=count)
