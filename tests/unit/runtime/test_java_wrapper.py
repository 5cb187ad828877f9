"""What Java is started with instead of what Spark says: every jar once, the archive where there is one."""

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


def made(given, archive="/no/archive", **changed):
    return java_wrapper.rewrite_arguments(given, str(archive), **{"has_vector": True, **changed})


def test_spark_names_every_jar_once_in_the_order_of_names(jars):
    slf4j = jars / "slf4j-api-2.0.17.jar"
    expected = ["-cp", f"{slf4j}:{jars}/a.jar:{jars}/b.jar", "-Xmx1g", SUBMIT, "x"]
    for path in (f"/no/conf:{slf4j}:{jars}/*", f"{slf4j}:{jars}/*", f"{jars}/*"):
        assert made(["-cp", path, "-Xmx1g", SUBMIT, "x"]) == expected


def test_a_folder_of_settings_that_is_there_stays_first(jars, tmp_path):
    (tmp_path / "conf").mkdir()
    path = made(["-cp", f"{tmp_path}/conf:{jars}/slf4j-api-2.0.17.jar:{jars}/*", SUBMIT])[1].split(":")
    assert path[0] == f"{tmp_path}/conf" and len(path) == 4


@pytest.mark.parametrize(
    "path", ["/x/a.jar", "/x/lib/*", "/my/own:/other:{jars}/*", "/x/own.jar:/conf:{jars}/*"]
)
def test_other_class_paths_are_left_alone(jars, tmp_path, path):
    (tmp_path / "archive").touch()
    given = ["-cp", path.format(jars=jars), SUBMIT]
    assert made(given, tmp_path / "archive") == given


def test_the_archive_is_used_where_it_is_and_written_only_by_what_is_submitted(jars, tmp_path):
    archive, given = tmp_path / "classes.jsa", ["-cp", f"{jars}/*", "Main"]
    assert not any("Archive" in word for word in made(given, archive))
    archive.touch()
    assert made(given, archive)[0] == f"-XX:SharedArchiveFile={archive}"
    assert not any("Archive" in word for word in made(given, archive, write="/new"))
    assert made([*given, SUBMIT], archive, write="/new")[0] == "-XX:ArchiveClassesAtExit=/new"
