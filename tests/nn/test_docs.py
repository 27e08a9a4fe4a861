"""What `dlnorm.nn` offers is documented, and its examples give what they show."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
from types import ModuleType

import numpy as np
import pytest

import dlnorm
from dlnorm import nn

MODULES = [
    importlib.import_module(f"dlnorm.nn.{module.name}")
    for module in pkgutil.iter_modules(nn.__path__)
]
PUBLIC = {name: getattr(nn, name) for name in nn.__all__}
#: An example may use whatever `dlnorm` and `dlnorm.nn` offer.
NAMES = {"np": np, **{name: getattr(dlnorm, name) for name in dlnorm.__all__}, **PUBLIC}


def test_the_public_names_are_there_once_and_none_is_forgotten() -> None:
    offered = {
        name
        for name, value in vars(nn).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert offered == set(nn.__all__)
    assert len(nn.__all__) == len(offered)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_examples_in_the_docstrings_give_what_they_show(module: ModuleType) -> None:
    own = [
        value
        for name, value in PUBLIC.items()
        if value.__module__ == module.__name__ and ">>>" in (value.__doc__ or "")
    ]
    result = doctest.testmod(module, extraglobs=NAMES)
    assert result.failed == 0
    assert result.attempted >= len(own)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_says_what_it_is_in_one_sentence_and_shows_it(name: str) -> None:
    doc = inspect.cleandoc(PUBLIC[name].__doc__ or "")
    assert doc.split("\n\n")[0].endswith(".")
    abstract = name in {"Layer", "Optimizer", "Data", "DivergedError"}
    assert abstract or ">>>" in doc


@pytest.mark.parametrize("name", [n for n, v in PUBLIC.items() if inspect.isclass(v)])
def test_every_argument_of_a_class_is_in_its_docstring(name: str) -> None:
    if name in {"Data", "DivergedError"}:
        return
    doc = inspect.cleandoc(PUBLIC[name].__doc__ or "")
    section = re.search(r"^Parameters\n-+\n(.*?)(?=\n\n\w[^\n]*\n-{3,}|\Z)", doc, re.M | re.S)
    lines = section[1].splitlines() if section else []
    heads = [line.split(" :")[0] for line in lines if line and line[0] != " "]
    described = {part.strip().lstrip("*") for head in heads for part in head.split(",")}
    arguments = set(inspect.signature(PUBLIC[name].__init__).parameters) - {"self"}
    assert described == arguments
