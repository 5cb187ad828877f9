"""The environment of the services of `segue up`."""

from jobs.runtime.airflow_environment import service_environment
from jobs.runtime.supervisor import ServiceHome


def test_airflow_reads_the_start_method(tmp_path, monkeypatch):
    from airflow.utils.process_utils import resolve_mp_start_method  # a second, for this test alone

    home = ServiceHome(tmp_path / "lake")
    home.folder.mkdir(parents=True)
    ports = {"airflow": 1, "mlflow": 2, "serving": 3}
    name = "AIRFLOW__CORE__MP_START_METHOD"
    monkeypatch.setenv(name, service_environment(home, ports, master="local[2]", library=None)[name])
    assert resolve_mp_start_method("scheduler") == "fork"


def test_mlflow_reads_the_variables_that_are_set(tmp_path):
    from mlflow.environment_variables import MLFLOW_SERVER_ENABLE_JOB_EXECUTION
    from mlflow.server.constants import ARTIFACT_ROOT_ENV_VAR, BACKEND_STORE_URI_ENV_VAR

    home = ServiceHome(tmp_path / "lake")
    home.folder.mkdir(parents=True)
    ports = {"airflow": 1, "mlflow": 2, "serving": 3}
    variables = service_environment(home, ports, master="local[2]", library=None)
    assert variables[BACKEND_STORE_URI_ENV_VAR] == f"sqlite:///{home.lake}/mlflow/mlflow.db"
    assert variables[ARTIFACT_ROOT_ENV_VAR] == (home.lake / "mlflow").as_uri()
    assert variables[MLFLOW_SERVER_ENABLE_JOB_EXECUTION.name] == "false"
    assert variables["SEGUE_MLFLOW"] == "http://127.0.0.1:2"
