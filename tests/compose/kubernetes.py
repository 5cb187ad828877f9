"""Spark's Kubernetes backend against a small API server, which runs the executors' pods as containers.

The driver is a container with the command of `docs/deploy/kubernetes/batch.yaml`. Each pod that it creates is
held against the API's schema and then started as the kubelet would: image, arguments, variables and claims
of the specification. The rest of Kubernetes (scheduling, network, storage, rights) is not there.
"""

import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from tests.compose.engine import Engine
from tests.compose.images import ROOT
from tests.unit.test_kubernetes import validate

MANIFESTS = ROOT / "docs" / "deploy" / "kubernetes"
NAMESPACE = "segue"
IMAGE = "segue:0.1.0"
# Seconds are enough on one machine; the watch of a real API server tells at once.
TEST_SETTINGS = {
    "spark.kubernetes.executor.enableApiWatcher": "false",
    "spark.kubernetes.executor.apiPollingInterval": "1s",
    "spark.kubernetes.executor.missingPodDetectDelta": "60s",
    "spark.executor.instances": "2",
    "spark.executor.cores": "1",
}

Document = dict[str, Any]


class Cluster:
    """The objects of the API server, and the containers of its pods."""

    def __init__(self, engine: Engine, claims: dict[str, str]) -> None:
        self._engine = engine
        # The volume or folder of each claim.
        self._claims = claims
        self.pods: dict[str, Document] = {}
        self.config_maps: dict[str, Document] = {}
        self.requests: list[str] = []
        self.started: list[Document] = []
        self.logs: list[str] = []

    def create_pod(self, pod: Document) -> Document:
        """Start a pod's container."""
        name = pod["metadata"]["name"]
        pod["metadata"] |= {"uid": str(uuid.uuid4()), "namespace": NAMESPACE, "resourceVersion": "1"}
        pod["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
        pod["status"] = {"phase": "Pending"}
        self.started.append(json.loads(json.dumps(pod)))
        self.pods[name] = pod
        spec = pod["spec"]
        (container,) = spec["containers"]
        words = ["run", "--detach", "--network", "host", "--name", name]
        words += ["--user", str(spec["securityContext"]["runAsUser"])]
        words += ["--memory", container["resources"]["limits"]["memory"].replace("Mi", "m")]
        for variable in container["env"]:
            value = variable.get("value")
            if value is None:
                field = variable["valueFrom"]["fieldRef"]["fieldPath"]
                value = {"status.podIP": "127.0.0.1", "metadata.name": name}[field]
            words += ["--env", f"{variable['name']}={value}"]
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for mount in container["volumeMounts"]:
            claim = volumes[mount["name"]].get("persistentVolumeClaim")
            if "emptyDir" in volumes[mount["name"]]:
                words += ["--tmpfs", f"{mount['mountPath']}:mode=1777"]
            if claim:
                words += ["--volume", f"{self._claims[claim['claimName']]}:{mount['mountPath']}"]
        self._engine.docker(*words, container["image"], *container["args"])
        pod["status"] = {"phase": "Running", "podIP": "127.0.0.1"}
        return pod

    def list_pods(self) -> Document:
        """Return all pods, with the phase of their containers."""
        for name, pod in list(self.pods.items()):
            state = self._engine.inspect(name)["State"]
            status = {"state": {"running": {}}}
            if not state["Running"]:
                pod["status"]["phase"] = "Failed" if state["ExitCode"] else "Succeeded"
                status = {"state": {"terminated": {"exitCode": state["ExitCode"]}}}
            container = pod["spec"]["containers"][0]["name"]
            pod["status"]["containerStatuses"] = [{"name": container, **status}]
        return {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": list(self.pods.values())}

    def delete_pods(self, names: list[str]) -> Document:
        """Remove pods and their containers."""
        for name in names:
            if self.pods.pop(name, None):
                self.logs.append(self._engine.docker("logs", "--tail", "40", name))
                self._engine.docker("rm", "--force", name)
        return {"kind": "Status", "apiVersion": "v1", "status": "Success"}

    def answer(self, method: str, path: str, body: Document | None) -> Document:
        """Answer a request to the API."""
        self.requests.append(f"{method} {path.split('?')[0]}")
        found = re.fullmatch(rf"/api/v1/namespaces/{NAMESPACE}/(\w+)(?:/([\w.-]+))?", path.split("?")[0])
        kind, name = (found[1], found[2]) if found else ("", None)
        if kind == "pods" and method == "POST" and body:
            return self.create_pod(body)
        if kind == "pods" and method == "DELETE":
            return self.delete_pods([name] if name else list(self.pods))
        if kind == "pods" and method == "GET" and name is None:
            return self.list_pods()
        if kind == "pods" and method == "GET" and name is not None:
            uid = {"uid": "00000000-0000-0000-0000-000000000001", "namespace": NAMESPACE}
            return self.pods.get(name) or {
                "kind": "Pod",
                "apiVersion": "v1",
                "metadata": {"name": name, **uid},
                "spec": {"containers": []},
            }
        if kind == "configmaps" and body and method != "DELETE":
            self.config_maps[body["metadata"]["name"]] = body
            return body
        if method in ("POST", "PUT", "PATCH") and body:
            return body
        return {"kind": "Status", "apiVersion": "v1", "status": "Success", "metadata": {}}


@contextmanager
def serving(cluster: Cluster) -> Iterator[int]:
    """Serve the API on 127.0.0.1; give the port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            text = self.rfile.read(length)
            try:
                body = json.loads(text) if text else None
                status, answer = 200, cluster.answer(self.command, self.path, body)
            except Exception as error:  # the driver's log then has the reason
                status, answer = 500, {"kind": "Status", "status": "Failure", "message": repr(error)}
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle

        def log_message(self, *_: Any) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()


def driver_command(port: int, command: str) -> str:
    """Return the driver's shell command of batch.yaml, for this API server and this command of Segue."""
    for document in yaml.safe_load_all((MANIFESTS / "batch.yaml").read_text()):
        if document["kind"] == "CronJob":
            spec = document["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (text,) = spec["containers"][0]["args"]
    text = text.replace("k8s://https://kubernetes.default.svc", f"k8s://http://127.0.0.1:{port}")
    settings = " ".join(f"--conf {name}={value}" for name, value in TEST_SETTINGS.items())
    head, _ = text.split("/opt/segue/jobs/__main__.py")
    return f"{head} {settings} /opt/segue/jobs/__main__.py {command}"


def run_batch(engine: Engine, music: Path, log: Callable[[str], None]) -> list[Document]:
    """Run `compress`, `catalog` and `extract` with executors in pods; return the pods' specifications."""
    engine.docker("volume", "create", "segue-kubernetes")
    cluster = Cluster(engine, {"segue-lake": "segue-kubernetes", "segue-music": str(music)})
    variables = {"IMAGE": IMAGE, "POD_NAMESPACE": NAMESPACE, "POD_NAME": "driver", "POD_IP": "127.0.0.1"}
    with serving(cluster) as port:
        for command in ("compress --library /music", "catalog --no-mongo", "extract"):
            words = ["run", "--rm", "--network", "host", "--env", "SEGUE_LAKE=/lake"]
            for name, value in variables.items():
                words += ["--env", f"{name}={value}"]
            words += ["--volume", "segue-kubernetes:/lake", "--volume", f"{music}:/music:ro"]
            words += ["--volume", f"{MANIFESTS / 'executor.yaml'}:/executor/executor.yaml:ro", IMAGE]
            before = len(cluster.started)
            out = engine.docker(*words, "bash", "-euc", driver_command(port, command))
            line = next((line for line in reversed(out.splitlines()) if line.strip()), "")
            n_pods = len(cluster.started) - before
            log(f"Kubernetes: {command.split()[0]}, {n_pods} executors' pods: {line.strip()}")
            cluster.delete_pods(list(cluster.pods))
    for pod in cluster.started:
        validate({key: value for key, value in pod.items() if key != "status"})
    log(f"Kubernetes: {len(cluster.started)} pods valid against the API")
    engine.docker("volume", "rm", "--force", "segue-kubernetes")
    return cluster.started
