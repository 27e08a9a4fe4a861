"""nbwarden is a distribution of its own, which knows nothing of this course."""

from __future__ import annotations

import shutil
import tomllib

import pytest

from tests.support import REPO, run, tool

IMPORT_ALL = """
import importlib, pathlib, pkgutil, sys

class Missing:
    def find_spec(self, module, *rest):
        if module.partition(".")[0] in ("dlnorm", "tests"):
            raise ImportError(f"{module} is not there")

sys.meta_path.insert(0, Missing())
import nbwarden
for module in pkgutil.walk_packages(nbwarden.__path__, "nbwarden."):
    if module.name not in ("nbwarden.__main__", "nbwarden.zygote"):
        importlib.import_module(module.name)
print(pathlib.Path(nbwarden.__file__).parent)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder into which a copy of nbwarden's source has been installed."""
    folder = tmp_path_factory.mktemp("installed")
    source = shutil.copytree(
        REPO / "nbwarden", folder / "source", ignore=shutil.ignore_patterns("__pycache__")
    )
    options = ("--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet")
    run(tool("python"), "-m", "pip", "install", *options, "--target", folder / "lib", source)
    return folder / "lib"


def test_it_installs_and_runs_without_the_course(installed, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(installed))
    done = run(tool("python"), "-c", IMPORT_ALL, cwd=tmp_path)
    assert done.stdout.strip() == str(installed / "nbwarden")
    assert "usage:" in run(tool("python"), "-m", "nbwarden", "--help", cwd=tmp_path).stdout
    there = {path.name for path in (installed / "nbwarden" / "inside").glob("*.py")}
    assert there == {path.name for path in (REPO / "nbwarden" / "inside").glob("*.py")}


def test_its_requirements_are_among_the_courses():
    def requirements(path, *extras):
        project = tomllib.loads((REPO / path).read_text(encoding="utf-8"))["project"]
        found = set(project["dependencies"])
        return found.union(*(project["optional-dependencies"][extra] for extra in extras))

    course = requirements("pyproject.toml", "student", "instructor", "cluster")
    assert requirements("nbwarden/pyproject.toml", "cluster") <= course
