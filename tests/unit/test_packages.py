"""Facts about the locked versions that no resolver checks."""

from importlib.metadata import distributions, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_pyspark_packages_have_one_version():
    """Another version of pyspark-client beside pyspark breaks every Python UDF."""
    versions = {
        d.name.lower(): d.version for d in distributions() if (d.name or "").lower().startswith("pyspark")
    }
    assert set(versions.values()) == {version("pyspark")}


def test_lock_has_the_installed_versions_and_no_host():
    text = (ROOT / "requirements.lock").read_text()
    dev_text = (ROOT / "requirements-dev.lock").read_text()
    assert f"pymongo=={version('pymongo')} " in text and f"pyspark=={version('pyspark')} " in text
    assert "://" not in text + dev_text
    assert f"pytest=={version('pytest')} " in dev_text
    assert int(version("pymongo").split(".")[1]) < 16  # the newest that the embedded server understands
