"""The jars of `spark_conf/jars.lock`: resolve, download, verify.

They are kept in the virtual environment (`share/segue/jars`); each must have the lock's SHA-256. Ivy, which
PySpark contains, fetches them from Maven Central. `python -m jobs.runtime.jars lock` resolves the lock again.
"""

import argparse
import functools
import importlib.util
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import quoteattr

from jobs import paths
from jobs.errors import StepError
from jobs.paths import ROOT, SHARED_DIR
from jobs.runtime import java, trust_store

LOCK_FILE = ROOT / "spark_conf" / "jars.lock"


def _package_folder(name: str) -> Path:
    """Return the folder of an installed package without importing it: the player must not load PySpark."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise StepError(f"expected the package {name} to be installed, found none; run `bash .ci/setup`")
    return Path(spec.submodule_search_locations[0])


PYSPARK = _package_folder("pyspark")

# A slow connection may take minutes.
_FETCH_LIMIT_S = 600

# Ivys that fetch at the same time.
_N_FETCHES = 6

_COORDINATE_FORMS = "`[group]`, `require G:A:V`, `exclude G:A` or `G:A:V sha256 file`"


@dataclass(frozen=True)
class LockedJar:
    """A line of the lock: Maven coordinate (`group:artifact:version`) and SHA-256 of a jar."""

    coordinate: str
    sha256: str


@dataclass
class JarGroup:
    """A section of the lock: required coordinates, excluded modules, and the resolved jars by file name."""

    required: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)
    files: dict[str, LockedJar] = field(default_factory=dict)


def read_lock(text: str) -> dict[str, JarGroup]:
    """Parse the lock into its groups by name. StepError names a line that cannot be parsed."""
    groups: dict[str, JarGroup] = {}
    group: JarGroup | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("#")[0].split()
        if not words:
            continue
        header = re.fullmatch(r"\[([\w-]+)\]", words[0]) if len(words) == 1 else None
        if header:
            group = groups.setdefault(header[1], JarGroup())
        elif group is None or not _parse_line(group, words):
            raise StepError(
                f"jars.lock, line {number}: expected {_COORDINATE_FORMS}, found {line!r}; "
                f"correct it and run `python -m jobs.runtime.jars lock`"
            )
    return groups


def _parse_line(group: JarGroup, words: list[str]) -> bool:
    """Add a line of the lock to its group; return False if it has none of the known forms."""
    if len(words) == 2 and words[0] == "require" and words[1].count(":") == 2:
        group.required.append(words[1])
    elif len(words) == 2 and words[0] == "exclude" and words[1].count(":") == 1:
        group.excluded.append(words[1])
    elif len(words) == 3 and re.fullmatch("[0-9a-f]{64}", words[1]):
        group.files[words[2]] = LockedJar(coordinate=words[0], sha256=words[1])
    else:
        return False
    return True


def jar_files(group: str, *, lock: Path = LOCK_FILE, folder: Path = SHARED_DIR / "jars") -> list[Path]:
    """Return the paths of a group's jars, verified; jars that are missing are downloaded first.

    Raises
    ------
    StepError
        The group is unknown, a download fails, or a jar does not have the lock's SHA-256.
    """
    groups = read_lock(lock.read_text())
    if group not in groups:
        raise StepError(f"jars: expected a group of {lock.name} ({', '.join(groups)}), found {group!r}")
    locked = groups[group].files
    _download(locked, folder)
    for name, jar in locked.items():
        _verify(folder / name, jar.sha256, "delete that file and run `python -m jobs.runtime.install`")
    return [folder / name for name in locked]


def download_all(*, lock: Path = LOCK_FILE, folder: Path = SHARED_DIR / "jars") -> None:
    """Download the jars of all groups that are missing; raises as `jar_files`."""
    groups = read_lock(lock.read_text()).values()
    _download({name: jar for group in groups for name, jar in group.files.items()}, folder)


def _download(jars: Mapping[str, LockedJar], folder: Path) -> None:
    """Fetch the missing jars by their exact coordinates into `folder`; none with another SHA-256 is stored.

    Ivy fetches one file after the other and waits for the network most of the time: several run at once.
    """
    missing = [(name, jar) for name, jar in jars.items() if not (folder / name).exists()]
    shares = [share for first in range(_N_FETCHES) if (share := missing[first::_N_FETCHES])]
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(_N_FETCHES) as pool:
        for _ in pool.map(functools.partial(_download_share, folder), shares):
            pass


def _download_share(folder: Path, share: Sequence[tuple[str, LockedJar]]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        _fetch([jar.coordinate for _, jar in share], Path(scratch), transitive=False)
        for name, jar in share:
            advice = "run `python -m jobs.runtime.jars lock` if it was released again under the same version"
            _verify(Path(scratch) / name, jar.sha256, advice)
            paths.atomic_write(folder / name, (Path(scratch) / name).read_bytes(), mode=0o644)


def _verify(path: Path, expected: str, advice: str) -> None:
    """Raise StepError if a file does not have the expected SHA-256."""
    found = paths.sha256_file(path) if path.is_file() else "no file"
    if found != expected:
        raise StepError(f"{path}: expected SHA-256 {expected}, found {found}; {advice}")


def _fetch(
    coordinates: list[str], scratch: Path, *, transitive: bool, excluded: Sequence[str] = ()
) -> dict[str, str]:
    """Fetch jars into `scratch` with Ivy; return each file's coordinate by file name.

    Ivy's cache is in `scratch` too: what another program has cached on this machine must not hide a network
    failure.
    """
    (scratch / "ivy.xml").write_text(_ivy_xml(coordinates, excluded, transitive=transitive))
    ivy = next((PYSPARK / "jars").glob("ivy-*.jar"))
    pattern = Path("[organisation]", "[module]", "[revision]", "[artifact]-[revision].[ext]")
    command = [
        str(java.java_home() / "bin" / "java"),
        *("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
        *trust_store.java_options(scratch),
        f"-Divy.default.ivy.user.dir={scratch / 'cache'}",
        *("-cp", str(ivy), "org.apache.ivy.Main", "-warn"),
        *("-ivy", str(scratch / "ivy.xml")),
        *("-types", "jar", "bundle"),
        *("-retrieve", str(scratch / "jars" / pattern)),
    ]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        raise StepError(_failure(coordinates, f"nothing after {_FETCH_LIMIT_S} s")) from None
    if result.returncode != 0:
        raise StepError(_failure(coordinates, result.stdout + result.stderr))
    coordinate_of = {}
    for path in sorted((scratch / "jars").glob("*/*/*/*")):
        coordinate_of[path.name] = ":".join(path.parent.parts[-3:])
        path.rename(scratch / path.name)
    return coordinate_of


def _ivy_xml(coordinates: list[str], excluded: Sequence[str], *, transitive: bool) -> str:
    lines = ['<ivy-module version="2.0"><info organisation="segue" module="jars"/>']
    lines.append('<configurations><conf name="default"/></configurations><dependencies>')
    for coordinate in coordinates:
        organisation, name, revision = map(quoteattr, coordinate.split(":"))
        lines.append(
            f"<dependency org={organisation} name={name} rev={revision} "
            f'transitive="{str(transitive).lower()}" conf="default->default"/>'
        )
    for module in excluded:
        organisation, name = map(quoteattr, module.split(":"))
        lines.append(f"<exclude org={organisation} module={name}/>")
    return "\n".join([*lines, "</dependencies></ivy-module>"])


def _failure(coordinates: list[str], output: str) -> str:
    """Return the error message for a failed fetch, from what Ivy printed."""
    requested = coordinates[0] + (f" and {len(coordinates) - 1} more" if len(coordinates) > 1 else "")
    if "PKIX" in output:
        found = "a certificate that Java does not trust (PKIX)"
        advice = (
            "point SSL_CERT_FILE at your network's certificates, or set "
            "JAVA_TOOL_OPTIONS=-Djavax.net.ssl.trustStore=/path/to/cacerts"
        )
    else:
        lines = [line.strip() for line in output.splitlines()]
        reasons = [line for line in lines if re.search("access error|not found|Exception", line)]
        found = (reasons or lines or ["nothing printed"])[-1][:300]
        advice = "check the network and run the command again"
    return f"jars: expected to fetch {requested} from Maven Central, found {found}; {advice}"


def write_lock(lock: Path = LOCK_FILE) -> None:
    """Resolve each group's `require` lines again and write the resulting jars below them.

    Other lines stay.
    """
    head, *sections = re.split(r"^(?=\[)", lock.read_text(), flags=re.MULTILINE)
    for index, section in enumerate(sections):
        ((name, group),) = read_lock(section).items()
        with tempfile.TemporaryDirectory() as scratch:
            coordinate_of = _fetch(group.required, Path(scratch), transitive=True, excluded=group.excluded)
            jar_lines = [
                f"{coordinate}  {paths.sha256_file(Path(scratch) / file)}  {file}"
                for file, coordinate in coordinate_of.items()
            ]
        written_by_hand = [
            line for line in section.splitlines() if line and not re.search(r"\s[0-9a-f]{64}\s", line)
        ]
        sections[index] = "\n".join([*written_by_hand, *sorted(jar_lines)]) + "\n"
        print(f"jars [{name}]: {len(jar_lines)} locked", flush=True)
    lock.write_text(head + "\n".join(sections))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m jobs.runtime.jars", description=__doc__)
    parser.add_argument("command", choices=["lock"], help="resolve the jars of jars.lock again")
    parser.parse_args()
    try:
        write_lock()
    except StepError as error:
        sys.exit(f"jars: {error}")
