"""What `dlnorm` offers is documented, and what the documentation says is so."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
import typing
from collections.abc import Callable
from types import ModuleType

import pytest

import dlnorm
from tests.support import REPO

MODULES = [
    importlib.import_module(f"dlnorm.{module.name}")
    for module in pkgutil.iter_modules(dlnorm.__path__)
    if not module.ispkg
]
PUBLIC = {name: getattr(dlnorm, name) for name in dlnorm.__all__}
FUNCTIONS = {name: value for name, value in PUBLIC.items() if inspect.isfunction(value)}
PLOTTING = {
    name: getattr(importlib.import_module("dlnorm.plotting"), name) for name in ("subplots", "show")
}
DOCUMENTED = {**FUNCTIONS, **PLOTTING}
Function = Callable[..., object]


def sections(text: str) -> dict[str, str]:
    """Split a numpydoc docstring at its underlined headings."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}\n", inspect.cleandoc(text), flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def described(section: str) -> set[str]:
    """Names that a Parameters section describes: ``x, gamma : ndarray`` or ``cache : tuple``."""
    lines = [line.split(" :")[0] for line in section.splitlines() if line and line[0] != " "]
    return {name.strip().lstrip("*") for line in lines for name in line.split(",")}


def test_the_public_names_are_sorted_and_there() -> None:
    assert list(PUBLIC) == sorted(dlnorm.__all__)
    assert len(PUBLIC) == len(set(dlnorm.__all__))


def test_no_public_name_is_forgotten() -> None:
    """Everything that the package imports for its reader is in ``__all__``."""
    offered = {
        name
        for name, value in vars(dlnorm).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert offered == set(dlnorm.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_says_what_it_is_in_one_sentence(name: str) -> None:
    first, *rest = inspect.cleandoc(PUBLIC[name].__doc__ or "").split("\n\n")
    assert first
    assert first.endswith("."), first
    assert rest or not inspect.isfunction(PUBLIC[name])


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_public_function_documents_what_goes_in_and_out(name: str) -> None:
    function = DOCUMENTED[name]
    doc = sections(function.__doc__ or "")
    assert described(doc["Parameters"]) == set(inspect.signature(function).parameters)
    assert ("Returns" in doc) == (typing.get_type_hints(function)["return"] is not type(None))
    assert re.search(r"^(\w+(Error)(, )?)+$", doc["Raises"], re.MULTILINE)
    assert ">>>" in doc["Examples"] or "See `" in doc["Examples"]
    if name not in PLOTTING:
        assert doc["References"].strip()


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_public_function_is_annotated(name: str) -> None:
    hints = typing.get_type_hints(DOCUMENTED[name])
    assert set(hints) == {*inspect.signature(DOCUMENTED[name]).parameters, "return"}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_examples_in_the_docstrings_give_what_they_show(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.failed == 0
    own = [value for value in DOCUMENTED.values() if value.__module__ == module.__name__]
    assert result.attempted >= len(own)


#: Modules whose chapters are in the book; the next chapter adds its own.
WRITTEN = {
    "dropout",
    "noise",
    "batchnorm",
    "batchnorm_inference",
    "standardize",
    "gradcheck",
    "penalties",
    "whitening",
    "layernorm",
    "groupnorm",
    "weightnorm",
    "batchnorm_variants",
    "cosinenorm",
}


def test_the_equations_that_the_docstrings_name_are_in_the_book() -> None:
    pages = "".join(path.read_text(encoding="utf-8") for path in (REPO / "book").glob("*.md"))
    labels = re.findall(r"^:label: ([\w-]+)$|^\(([\w-]+)\)=$", pages, re.MULTILINE)
    named = {
        label
        for function in FUNCTIONS.values()
        if function.__module__.removeprefix("dlnorm.") in WRITTEN
        for label in re.findall(
            r"``([a-z]+(?:-[a-z]+)+)``", sections(function.__doc__ or "").get("References", "")
        )
    }
    assert {"bn-standardize", "bn-stage-x", "dropout-inverted", "complex-step"} <= named
    assert named <= {label or anchor for label, anchor in labels}
