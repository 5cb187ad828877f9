"""Spark's command lines are corrected: every jar once, the class archive if it exists."""

import pytest

from jobs.runtime import java_wrapper

SUBMIT = "org.apache.spark.deploy.SparkSubmit"


@pytest.fixture
def jars(tmp_path):
    folder = tmp_path / "spark" / "jars"
    folder.mkdir(parents=True)
    for name in ("b.jar", "slf4j-api-2.0.17.jar", "a.jar", "notes.txt"):
        (folder / name).touch()
    return folder


def rewritten(arguments, archive="/no/archive", **options):
    return java_wrapper.rewrite_arguments(arguments, str(archive), **{"has_vector": True, **options})


def test_class_path_names_every_jar_once_in_order(jars):
    slf4j = jars / "slf4j-api-2.0.17.jar"
    expected = ["-cp", f"{slf4j}:{jars}/a.jar:{jars}/b.jar", "-Xmx1g", SUBMIT, "x"]
    for path in (f"/no/conf:{slf4j}:{jars}/*", f"{slf4j}:{jars}/*", f"{jars}/*"):
        assert rewritten(["-cp", path, "-Xmx1g", SUBMIT, "x"]) == expected


def test_existing_settings_folder_stays_first(jars, tmp_path):
    (tmp_path / "conf").mkdir()
    path = rewritten(["-cp", f"{tmp_path}/conf:{jars}/slf4j-api-2.0.17.jar:{jars}/*", SUBMIT])[1].split(":")
    assert path[0] == f"{tmp_path}/conf" and len(path) == 4


@pytest.mark.parametrize(
    "path", ["/x/a.jar", "/x/lib/*", "/my/own:/other:{jars}/*", "/x/own.jar:/conf:{jars}/*"]
)
def test_other_class_paths_are_unchanged(jars, tmp_path, path):
    (tmp_path / "archive").touch()
    arguments = ["-cp", path.format(jars=jars), SUBMIT]
    assert rewritten(arguments, tmp_path / "archive") == arguments


def test_archive_is_used_if_present_written_only_by_submit(jars, tmp_path):
    archive, arguments = tmp_path / "classes.jsa", ["-cp", f"{jars}/*", "Main"]
    assert not any("Archive" in word for word in rewritten(arguments, archive))
    archive.touch()
    assert rewritten(arguments, archive)[0] == f"-XX:SharedArchiveFile={archive}"
    assert not any("Archive" in word for word in rewritten(arguments, archive, write_archive="/new"))
    assert (
        rewritten([*arguments, SUBMIT], archive, write_archive="/new")[0] == "-XX:ArchiveClassesAtExit=/new"
    )
