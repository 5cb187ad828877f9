"""What the lock must hold to: facts about versions that no resolver sees."""

from importlib.metadata import distributions, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_only_one_pyspark_writes_into_its_folder():
    """Another version of pyspark-client beside pyspark breaks every Python UDF."""
    found = {
        d.name.lower(): d.version for d in distributions() if (d.name or "").lower().startswith("pyspark")
    }
    assert set(found.values()) == {version("pyspark")}


def test_the_lock_holds_what_is_installed_and_names_no_host():
    text = (ROOT / "requirements.lock").read_text()
    assert f"pymongo=={version('pymongo')} " in text and f"pyspark=={version('pyspark')} " in text
    assert "://" not in text
    assert int(version("pymongo").split(".")[1]) < 16  # what the embedded server speaks
