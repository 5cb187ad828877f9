"""docker-compose.yml without a container engine: it is valid, its names match, its commands parse.

`data/compose-spec.json` is the specification's schema as docker-compose 1.29.2 ships it (Apache-2.0).
"""

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from jobs.settings import dag_settings

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_file_is_valid_against_the_specification():
    schema = json.loads((Path(__file__).parent / "data" / "compose-spec.json").read_text())
    jsonschema.Draft201909Validator(schema).validate(COMPOSE)
    with pytest.raises(jsonschema.ValidationError):
        broken = {**COMPOSE, "services": {"x": {"comand": "y"}}}
        jsonschema.Draft201909Validator(schema).validate(broken)


def test_secrets_come_from_env_without_default():
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", TEXT))
    lines = [
        line for line in (ROOT / ".env.example").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert used == {line.removesuffix("=") for line in lines if line.endswith("=")} and len(lines) == len(
        used
    )
    assert set(re.findall(r"(?<!\$)\$\{\w+(.*?)\}", TEXT)) == {":?see .env.example"}
    assert ".env\n" in (ROOT / ".gitignore").read_text()


@pytest.mark.parametrize("name", SERVICES)
def test_service_has_version_memory_limit_and_health_check(name):
    service = SERVICES[name]
    assert re.search(r":v?\d+\.\d+", service["image"]) and service["mem_limit"]
    assert ("healthcheck" in service) == (name != "airflow-init")
    for dependency, options in service.get("depends_on", {}).items():
        done = "service_completed_successfully" if dependency == "airflow-init" else "service_healthy"
        assert options["condition"] == done and dependency in SERVICES
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:")
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        in_repository = source.startswith("./") and (ROOT / source).is_file()
        assert source in COMPOSE["volumes"] or in_repository or volume.startswith("${SEGUE_MUSIC")


def test_paths_of_commands_are_in_the_image():
    assert set(re.findall(r"/opt/segue/[\w./-]+", TEXT)) == {"/opt/segue/dags"}
    copied = re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE)
    listed = (ROOT / ".dockerignore").read_text().splitlines()
    for path in " ".join(copied).split():
        assert list(ROOT.glob(path)) and f"!{path.split('/')[0]}" in listed


def test_folders_of_processes_belong_to_their_user():
    """Spark's worker ends when it cannot make its folder; its default is below root's site-packages."""
    made = re.search(r"mkdir -p (.+?) \\\n    && chown -R segue:segue (.+)", DOCKERFILE)
    worker_folder = SERVICES["spark-worker"]["environment"]["SPARK_WORKER_DIR"]
    assert made and worker_folder in made[1].split() and worker_folder in made[2].split()
    assert "USER segue" in DOCKERFILE


@pytest.mark.parametrize("name", [name for name in SERVICES if SERVICES[name]["image"].startswith("segue:")])
def test_process_one_is_an_init(name):
    """It collects processes whose parent has ended; the scheduler, as process 1, never would."""
    assert SERVICES[name]["init"] is True


def test_builder_gets_no_music_tables_or_secrets():
    listed = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert listed[0] == "*"
    excluded = {".env", "lake", "demo", ".git", ".venv", ".ci", "notebooks", "tests"}
    assert not excluded & {line.removeprefix("!").strip("/") for line in listed[1:]}
    assert all(line == "**/__pycache__" or (ROOT / line.removeprefix("!")).exists() for line in listed[1:])


@pytest.mark.parametrize("name", [name for name in SERVICES if "healthcheck" in SERVICES[name]])
def test_health_check_is_cheap_and_waits_for_a_slow_start(name):
    """Python, Java and Node start for seconds: as checks they cost three quarters of a core at rest."""
    check = SERVICES[name]["healthcheck"]
    program = check["test"][1].split()[0]
    assert program in ("curl", "wget", "test", "pg_isready", "bash")
    assert not re.search(r"python|airflow jobs|mongosh|/opt/kafka", str(check["test"]))
    seconds = {key: int(check[key].removesuffix("s")) for key in ("interval", "timeout", "start_period")}
    assert seconds["interval"] >= 15 and seconds["start_period"] >= 120


def test_scheduler_serves_its_health_check():
    from airflow.configuration import conf

    options = conf.configuration_description["scheduler"]["options"]
    port = options["scheduler_health_check_server_port"]["default"]
    environment = SERVICES["airflow-scheduler"]["environment"]
    assert environment["AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK"] == "True"
    assert f":{port}/health" in SERVICES["airflow-scheduler"]["healthcheck"]["test"][-1]


def test_executors_import_the_installed_segue():
    """From a zip, whose path changes with each application, every job would compile its loops anew."""
    assert "SEGUE_PY_FILES" not in TEXT
    assert "pip install --no-cache-dir --no-deps --editable ." in DOCKERFILE
    assert re.search(r"USER segue\nENV .*NUMBA_CACHE_DIR=(\S+)\n.*\nRUN .*features.warm_up", DOCKERFILE)


def test_image_has_bytecode_and_no_path_of_one_platform():
    assert DOCKERFILE.index("compileall") < DOCKERFILE.index("USER segue")
    commands = [line for line in DOCKERFILE.splitlines() if not line.startswith("#")]
    assert not re.search(r"amd64|x86_64|arm64|aarch64", "\n".join(commands))


def test_packages_are_a_layer_before_the_code():
    layers = ["COPY requirements.lock", "--require-hashes", "runtime.install --without", "COPY jobs jobs"]
    assert [DOCKERFILE.index(text) for text in layers] == sorted(DOCKERFILE.index(text) for text in layers)


def test_heaps_fit_into_their_containers():
    """Kafka's default heap of 1 GiB would be its container's whole memory."""
    heap = re.search(r"-Xmx(\d+)m", SERVICES["kafka"]["environment"]["KAFKA_HEAP_OPTS"])
    assert heap and SERVICES["kafka"]["mem_limit"] == "1g" and int(heap[1]) <= 512


def test_mlflow_has_an_address_for_browsers():
    public = SERVICES["airflow-api"]["environment"]["SEGUE_MLFLOW_PUBLIC"]
    assert f"{public.removeprefix('http://')}:5000" in SERVICES["mlflow"]["ports"]
    assert public.removeprefix("http://") in " ".join(SERVICES["mlflow"]["command"])


@pytest.mark.parametrize("conf", ["cluster.conf", "kubernetes.conf"])
def test_cluster_has_no_empty_tasks_by_default(conf):
    settings = dict(
        line.split(None, 1)
        for line in (ROOT / "spark_conf" / conf).read_text().splitlines()
        if line and not line.startswith("#")
    )
    assert int(settings["spark.sql.shuffle.partitions"]) <= 64


def test_hosts_are_services():
    hosts = set(re.findall(r"(?:[a-z+0-9]+://|@)([a-z-]+)(?=[:/?])", TEXT)) - {"airflow", "segue"}  # users
    assert hosts <= set(SERVICES) and {"spark-master", "mlflow", "postgres", "mongo", "airflow-api"} <= hosts


def test_environment_variables_are_read_by_someone():
    from airflow.configuration import conf

    settings = (ROOT / "jobs" / "settings.py").read_text()
    for name in SERVICES["airflow-init"]["environment"]:
        if name.startswith("AIRFLOW__"):
            section, option = name.removeprefix("AIRFLOW__").lower().split("__")
            known = conf.configuration_description.get(section, {}).get("options", {})
            assert option in known, name
        elif name.startswith("SEGUE_"):
            assert f'"{name}"' in settings or f'"{name.removeprefix("SEGUE_")}"' in settings, name
    connection = json.loads(SERVICES["airflow-init"]["environment"]["AIRFLOW_CONN_SPARK_DEFAULT"])
    assert connection == {"conn_type": "spark", "host": "spark://spark-master:7077"}


def test_scheduler_has_the_variables_of_the_dags():
    variables = {f"SEGUE_{name.upper()}" for name in dag_settings()} - {"SEGUE_PY_FILES"}
    assert variables <= set(SERVICES["airflow-scheduler"]["environment"])


def test_airflow_commands_parse():
    from airflow.cli.cli_parser import get_parser

    commands = [service["command"] for name, service in SERVICES.items() if re.match("airflow-[^i]", name)]
    commands += [
        line.split()[:5]
        for line in SERVICES["airflow-init"]["command"][-1].splitlines()
        if "airflow " in line
    ]
    assert len(commands) == 5
    for command in commands:
        words = [word.strip('"') for word in command]
        assert words[0] == "airflow"
        get_parser().parse_args([*words[1:], *(["what"] if words[1] == "pools" else [])])


def test_mlflow_command_parses():
    from mlflow.cli import cli

    words = SERVICES["mlflow"]["command"]
    assert words[:2] == ["mlflow", "server"]
    cli.commands["server"].make_context("server", list(words[2:]))
