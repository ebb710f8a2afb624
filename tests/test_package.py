"""What `pip install` leaves: the search spaces, the templates, the licence, types, and one version."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import gxsearch
from gxsearch.search.shipped import folder
from gxsearch.search.spec import load

ROOT = Path(__file__).parents[1]
PACKAGE = Path(gxsearch.__file__).parent


def test_the_search_spaces_of_the_project_come_with_it():
    shipped = {path.name: path.read_bytes() for path in folder().iterdir()}

    assert shipped == {path.name: path.read_bytes() for path in (ROOT / "search_spaces").iterdir()}


def test_a_shipped_space_goes_by_its_name_where_there_is_no_such_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert (
        load("fe_smoke").text == load("search_spaces/fe_smoke.yaml").text == (folder() / "fe_smoke.yaml").read_bytes()
    )
    assert load("spatial").first == "nbvae.yaml"


def test_a_file_of_ones_own_goes_before_a_shipped_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "search_spaces" / "fe.yaml"
    own.parent.mkdir()
    own.write_text((folder() / "fe.yaml").read_text().replace("name: ", "name: own-"))

    assert load("search_spaces/fe.yaml").name == load("fe").name == "own-fe-pbmc"


def test_the_licence_and_the_templates_are_inside():
    text = (PACKAGE / "LICENSE").read_text()

    assert "Apache License" in text and "Version 2.0" in text
    assert {path.name for path in (PACKAGE / "results" / "templates").iterdir()} >= {"report.html"}


def test_the_version_is_that_of_the_package():
    told = subprocess.run(
        [sys.executable, "-m", "gxsearch.cli", "--version"], capture_output=True, text=True, check=True
    )

    assert told.stdout.split()[-1] == gxsearch.__version__ == importlib.metadata.version("gxsearch")


def test_every_extra_is_explained_in_the_readme():
    readme = (ROOT / "README.md").read_text()
    extras = importlib.metadata.metadata("gxsearch").get_all("Provides-Extra")

    assert not [extra for extra in extras if f'`".[{extra}]"`' not in readme]
