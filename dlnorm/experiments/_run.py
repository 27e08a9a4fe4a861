"""Run an experiment, or fetch what it gave when it last ran with this code and these settings."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import dlnorm
from dlnorm._meaning import Code
from dlnorm._validate import Array
from dlnorm.experiments._core import BaseSettings, Result, Verdict
from dlnorm.nn import storage

#: In the order of the course.
NAMES = (
    "srivastava_2014",
    "gal_2016",
    "wager_2013",
    "ioffe_2015",
    "bjorck_2018",
    "santurkar_2018",
    "ba_2016",
    "wu_2018",
    "ioffe_2017",
    "salimans_2016",
    "li_2018",
    "huang_2018",
    "hoffer_2017",
    "ulyanov_2016",
    "luo_2017",
    "li_2020",
    "de_2020",
    "invariances",
)

PACKAGE = Path(dlnorm.__file__).parent


def run(
    name: str,
    settings: BaseSettings | None = None,
    *,
    quick: bool = True,
    cache: str | os.PathLike[str] | bool = True,
    disable: bool | None = None,
) -> Result[Any]:
    """Return an experiment's result, computed now unless it is in the cache.

    Parameters
    ----------
    name : str
        One of ``experiments.NAMES``.
    settings : BaseSettings, optional
        The experiment's own ``Settings``; its ``quick()`` or ``full()`` if left out.
    quick : bool
        Which of the two: seconds, for the book's build, or minutes, for its printed claims.
    cache : path or bool
        The folder of the cache. True: the environment variable ``DLNORM_CACHE``; without it
        ``_build/experiments`` of the course's folder, or ``~/.cache/dlnorm`` where the package
        is installed elsewhere. False: no cache.
    disable : bool, optional
        As for `tqdm.tqdm`: if left out, the progress bar is shown on a terminal only.

    Returns
    -------
    Result

    Raises
    ------
    TypeError, ValueError
        If there is no such experiment, or the settings are another one's.

    Notes
    -----
    A stored result is used only if it was computed by code that does what the code of today does:
    all that the experiment's ``measure`` can call, without comments, docstrings and the texts of
    errors; by these versions of NumPy and scikit-learn; and with these settings. A file that cannot
    be read is computed anew.

    Examples
    --------
    >>> result = run("ulyanov_2016", cache=False)
    >>> print(verdict(result).reproduced)
    yes
    """
    module = module_of(name)
    if settings is None:
        settings = module.Settings.quick() if quick else module.Settings.full()
    if not isinstance(settings, module.Settings):
        raise TypeError(f"settings must be {name}.Settings, got {type(settings).__module__}'s")
    if cache is False:
        return _compute(name, settings, disable, partial(module.measure, settings))
    folder = cache_folder() if cache is True else Path(cache)
    wanted = key_of(name, settings)
    path = folder / f"{_stem(wanted)}.npz"
    try:
        values, stored = storage.read(path)
        if stored == wanted:
            return Result(name, settings, values)
    except (FileNotFoundError, ValueError):  # none, or a damaged one
        pass
    result = _compute(
        name, settings, disable, lambda seed: seed_of(name, settings, seed, folder, wanted)[0]
    )
    storage.write(path, result.values, wanted)
    for old in folder.glob(f"{name}-{wanted['settings_digest'][:12]}-*.npz"):
        if old != path:  # single seeds, or of other code: never to be used again
            old.unlink(missing_ok=True)
    return result


def seed_of(
    name: str,
    settings: BaseSettings,
    seed: int,
    folder: Path,
    wanted: dict[str, Any] | None = None,
) -> tuple[dict[str, Array], float]:
    """Measure one seed, or fetch it from the cache: a stopped run left it, or all are there.

    Returns
    -------
    values : dict of str to ndarray
    seconds : float
        Of the processor, when it was measured; 0 if all seeds are there.
    """
    wanted = wanted or key_of(name, settings)
    try:
        values, stored = storage.read(folder / f"{_stem(wanted)}.npz")
        if stored == wanted:
            row = settings.seeds.index(seed)
            return {key: value[row] for key, value in values.items()}, 0.0
    except (FileNotFoundError, ValueError):
        pass
    path = folder / f"{_stem(wanted)}-seed{seed}.npz"
    try:
        values, stored = storage.read(path)
        seconds = float(stored.pop("seconds"))
        if stored == {**wanted, "seed": seed}:
            return values, seconds
    except (FileNotFoundError, ValueError, KeyError, AttributeError, TypeError):
        pass  # none, or a damaged one
    started = time.process_time()
    values = module_of(name).measure(settings, seed)
    seconds = time.process_time() - started
    storage.write(path, values, {**wanted, "seed": seed, "seconds": seconds})
    return values, seconds


def figure(result: Result[Any]) -> Any:
    """Return the figure of a result, for a notebook to show; needs Matplotlib."""
    return module_of(result.name).figure(result)


def verdict(result: Result[Any]) -> Verdict:
    """Return what the numbers of a result say about the paper's claim."""
    said: Verdict = module_of(result.name).verdict(result)
    return said


def finding(name: str) -> str:
    """Return an experiment's docstring: what it shows, and how."""
    return (module_of(name).__doc__ or "").strip()


def module_of(name: str) -> Any:
    """Return the module of an experiment."""
    if name not in NAMES:
        raise ValueError(f"name must be one of {', '.join(NAMES)}, got {name!r}")
    return importlib.import_module(f"dlnorm.experiments.{name}")


def cache_folder() -> Path:
    """Return where results are kept if nobody says otherwise."""
    chosen = os.environ.get("DLNORM_CACHE")
    if chosen:
        return Path(chosen)
    course = PACKAGE.parent
    if (course / "pyproject.toml").is_file():
        return course / "_build" / "experiments"
    return Path.home() / ".cache" / "dlnorm"


def code_digest(name: str, *also: str) -> str:
    """Identify the code that measures an experiment, by what it does.

    Not changed by comments, docstrings and the texts of errors, nor by what draws the figure and
    words the verdict; except for what `also` names of the experiment, as ``"verdict"``.
    """
    parts = [f"dlnorm.experiments.{name}:{part}" for part in ("Settings", "measure", *also)]
    compute = "dlnorm.experiments._run:_compute"
    return Code(PACKAGE.parent).digest(*parts, compute, messages=False)


def key_of(name: str, settings: BaseSettings) -> dict[str, Any]:
    """Return what a stored result must have in common with the one that is wanted."""
    told = json.loads(json.dumps(asdict(settings)))
    text = json.dumps(told, sort_keys=True)
    return {
        "name": name,
        "settings": told,
        "settings_digest": hashlib.sha256(text.encode()).hexdigest(),
        "code": hashlib.sha256(f"{code_digest(name)} {versions()}".encode()).hexdigest(),
    }


def versions() -> str:
    """Return the versions of what the numbers come from."""
    try:
        data = version("scikit-learn")
    except PackageNotFoundError:
        data = "none"
    return f"numpy {np.__version__}, scikit-learn {data}"


def _stem(wanted: dict[str, Any]) -> str:
    """Return how the names of an experiment's files in the cache begin."""
    return f"{wanted['name']}-{wanted['settings_digest'][:12]}-{wanted['code'][:16]}"


def _compute(
    name: str,
    settings: BaseSettings,
    disable: bool | None,
    seed_values: Callable[[int], dict[str, Array]],
) -> Result[Any]:
    """Measure each seed, and put the rows together."""
    rows: list[dict[str, Array]] = []
    with (
        one_thread(),
        tqdm(settings.seeds, desc=name, unit="seed", delay=2, disable=disable, leave=False) as bar,
    ):
        for seed in bar:
            rows.append(seed_values(seed))
    return Result(name, settings, {key: np.stack([r[key] for r in rows]) for key in rows[0]})


def one_thread() -> AbstractContextManager[Any]:
    """Keep BLAS to one thread, if it can be told: matrices this small only lose by more."""
    try:
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        return nullcontext()
    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits
