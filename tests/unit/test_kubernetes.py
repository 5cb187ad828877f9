"""docs/deploy/kubernetes without a cluster: valid against the API's schemas, and names that match.

`data/kubernetes-1.37.json` has the definitions of the kinds that are used, strict (an unknown field is an
error), from the package kubernetes-validate (Apache-2.0).
"""

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from jobs.cli import parse

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "deploy" / "kubernetes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
OBJECTS = [
    document
    for name in [*KUSTOMIZATION["resources"], "executor.yaml"]
    for document in yaml.safe_load_all((FOLDER / name).read_text())
]
DEPLOYMENTS = {each["metadata"]["name"]: each for each in OBJECTS if each["kind"] == "Deployment"}
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
SCHEMAS = json.loads((Path(__file__).parent / "data" / "kubernetes-1.37.json").read_text())


def validate(document):
    """Raise ValidationError if the document is not what the API's definition of its kind says."""
    reference = {"$ref": f"#/$defs/{SCHEMAS['kinds'][document['kind']]}", "$defs": SCHEMAS["$defs"]}
    jsonschema.Draft202012Validator(reference).validate(document)


def name_of(document):
    return f"{document['kind']}-{document['metadata'].get('name', 'executor')}"


def pod_specs():
    for each in OBJECTS:
        if each["kind"] == "Pod":
            yield each["spec"]
        elif each["kind"] == "Deployment":
            yield each["spec"]["template"]["spec"]
        elif each["kind"] == "CronJob":
            yield each["spec"]["jobTemplate"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("document", OBJECTS, ids=name_of)
def test_object_is_valid_against_the_api(document):
    validate(document)
    group, _, version = document["apiVersion"].rpartition("/")
    definition = SCHEMAS["kinds"][document["kind"]]
    assert f".{group.split('.')[0] or 'core'}.{version}." in definition


def test_unknown_field_is_refused():
    broken = json.loads(json.dumps(DEPLOYMENTS["serving"]))
    broken["spec"]["template"]["spec"]["containers"][0]["comand"] = ["x"]
    with pytest.raises(jsonschema.ValidationError, match="comand"):
        validate(broken)


def test_every_file_is_a_resource():
    used = {*KUSTOMIZATION["resources"], "kustomization.yaml", "executor.yaml"}
    assert {path.name for path in FOLDER.glob("*.yaml")} == used
    (config_map,) = KUSTOMIZATION["configMapGenerator"]
    assert config_map == {"name": "executor", "files": ["executor.yaml"]}
    assert "docs/deploy/kubernetes/secrets.env" in (ROOT / ".gitignore").read_text().splitlines()


def test_pods_are_allowed_by_the_namespace():
    """The level `restricted` of Kubernetes' Pod Security Standards."""
    (namespace,) = [each for each in OBJECTS if each["kind"] == "Namespace"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for spec in pod_specs():
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] == 1000
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


@pytest.mark.parametrize("name", ["serving", "stream", "mlflow"])
def test_pod_runs_composes_command(name):
    (container,) = DEPLOYMENTS[name]["spec"]["template"]["spec"]["containers"]
    assert [str(word) for word in container["args"]] == [str(word) for word in COMPOSE[name]["command"]]
    assert container["image"] == "segue"
    if container["args"][0] == "segue":
        parse(container["args"][1:])
    # One of each: SQLite on the lake, the stream's lock.
    assert DEPLOYMENTS[name]["spec"]["replicas"] == 1
    assert DEPLOYMENTS[name]["spec"]["strategy"] == {"type": "Recreate"}


def test_volumes_claims_and_services_exist():
    names = {(each["kind"], each["metadata"].get("name")) for each in OBJECTS}
    for spec in pod_specs():
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        for container in spec["containers"]:
            assert {mount["name"] for mount in container.get("volumeMounts", [])} == set(volumes)
        for volume in volumes.values():
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                assert ("PersistentVolumeClaim", claim) in names
    for each in OBJECTS:
        if each["kind"] == "Service":
            (container,) = DEPLOYMENTS[each["spec"]["selector"]["app"]]["spec"]["template"]["spec"][
                "containers"
            ]
            assert {port["targetPort"] for port in each["spec"]["ports"]} == {
                port["name"] for port in container["ports"]
            }


def test_executors_get_the_claims_of_the_driver():
    conf = dict(
        line.split(None, 1)
        for line in (ROOT / "spark_conf" / "kubernetes.conf").read_text().splitlines()
        if line and not line.startswith("#")
    )
    prefix = r"spark\.kubernetes\.executor\.volumes\.persistentVolumeClaim\.(\w+)\.(?:options|mount)\.\w+"
    of_executors: dict[str, list[str]] = {}
    for key, value in conf.items():
        found = re.fullmatch(prefix, key)
        if found:
            of_executors.setdefault(found[1], []).append(value)
    (driver,) = [spec for spec in pod_specs() if spec.get("serviceAccountName") == "spark"]
    mounts = {mount["name"]: mount["mountPath"] for mount in driver["containers"][0]["volumeMounts"]}
    of_driver = {
        volume["name"]: [volume["persistentVolumeClaim"]["claimName"], mounts[volume["name"]]]
        for volume in driver["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert of_executors == of_driver


def test_driver_submits_a_command_that_parses():
    (driver,) = [spec for spec in pod_specs() if spec.get("serviceAccountName") == "spark"]
    (command,) = driver["containers"][0]["args"]
    arguments = command.split("/opt/segue/jobs/__main__.py ")[1].split()
    assert parse(arguments).library == "/music"
    variables = {variable["name"] for variable in driver["containers"][0]["env"]}
    assert set(re.findall(r"\$(\w+)", command)) <= variables
    (conf,) = re.findall(r"--properties-file /opt/segue/(\S+)", command)
    assert (ROOT / conf).is_file()


def test_variables_of_the_secret_are_read():
    settings = (ROOT / "jobs" / "settings.py").read_text()
    lines = (FOLDER / "secrets.env.example").read_text().splitlines()
    names = [line.split("=", 1)[0] for line in lines if line and not line.startswith("#")]
    assert len(names) == 7
    for name in names:
        assert f'"{name}"' in settings or f'"{name.removeprefix("SEGUE_KAFKA_")}"' in settings
