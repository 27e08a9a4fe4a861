"""Each experiment: what was found is its verdict, and other numbers would have another one.

The numbers are those of the full record. Quick runs are kept in the course's cache.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields
from typing import Any

import numpy as np
import pytest

from dlnorm import experiments, nn
from dlnorm.experiments import (
    NAMES,
    Result,
    _run,
    gal_2016,
    li_2018,
    srivastava_2014,
    wager_2013,
)
from dlnorm.experiments._intervals import inside, interval
from dlnorm.nn import data as nn_data

Values = dict[str, Any]
inf = np.inf


def flipped(*keys: str, axis: int) -> Callable[[Values], Values]:
    """Turn arrays around along an axis: who won has lost."""
    return lambda v: {k: np.flip(a, axis) if k in keys else a for k, a in v.items()}


def changed(**new: Callable[[Any], Any]) -> Callable[[Values], Values]:
    return lambda v: {k: new[k](a.copy()) if k in new else a for k, a in v.items()}


#: What the trials found: the verdict, or None where they left it open.
EXPECTED = {
    "srivastava_2014": "partly",
    "gal_2016": "yes",
    "wager_2013": "partly",
    "ioffe_2015": "yes",
    "bjorck_2018": "partly",
    "santurkar_2018": "yes",
    "ba_2016": "yes",
    "wu_2018": "partly",
    "ioffe_2017": "yes",
    "salimans_2016": "partly",
    "li_2018": "partly",
    "huang_2018": "partly",
    "hoffer_2017": "partly",
    "ulyanov_2016": "yes",
    "luo_2017": "partly",
    "li_2020": "yes",
    "de_2020": "yes",
    "invariances": "yes",
}

#: Numbers that say the opposite, for which the verdict must be "no".
CONTRARY: dict[str, Callable[[Values], Values]] = {
    "srivastava_2014": flipped("error", "active", axis=2),
    "gal_2016": changed(averaged=lambda a: 0 * a, auroc=lambda a: 0 * a + 0.5),
    "wager_2013": changed(ratio=lambda a: 0 * a + np.array([[1.2], [1.2], [1], [1]])),
    "ioffe_2015": changed(  # norm and no norm change places, and true gradients and the others
        steps=lambda a: a[:, ::-1],
        bias=lambda a: a[:, :, ::-1],
        loss=lambda a: a[:, :, ::-1],
    ),
    "bjorck_2018": changed(  # no norm and batch norm change places, and equal rates favor one
        loss=lambda a: a[:, :, [4, 1, 2, 3, 0]],
        steps=lambda a: a[:, :, [4, 1, 2, 3, 0]],
        error=lambda a: a[:, :, [4, 1, 2, 3, 0]] + np.array([10, 0, 0, 0, 0])[:, np.newaxis],
    ),
    "santurkar_2018": changed(  # no norm and noisy batch norm change places
        steps=lambda a: a[:, :, [2, 1, 0, 3, 4, 5]],
        drift=lambda a: a[:, :, [2, 1, 0, 3, 4, 5]],
    ),
    "ba_2016": changed(error=lambda a: a[:, [1, 0, 2, 3]]),  # batch and layer norm change places
    "wu_2018": changed(error=lambda a: a[:, [1, 0, 2]]),
    "ioffe_2017": flipped("error", axis=2),
    "salimans_2016": changed(  # what should take fewer steps takes ten times as many
        steps=lambda a: a * np.array([1, 1, 1, 1, 10, 1, 1, 100, 1])[:, None]
    ),
    "li_2018": changed(
        formula=lambda a: a * [1.1, 1],
        shift=lambda a: a[..., ::-1] / 2,
        uout=lambda a: a + 1,
        error=lambda a: a - [0, 0] + np.array([0, 1e-3]),  # as trained is never worse
    ),
    # no norm and the better whitening change places
    "huang_2018": changed(steps=lambda a: a[:, :, [3, 1, 2, 0]], error=lambda a: a + 1),
    # small batches do worse than large ones, and ghosts than none
    "hoffer_2017": changed(error=lambda a: a + np.array([[5], [0], [1], [0], [0]])),
    "ulyanov_2016": changed(error=lambda a: 0 * a + 3, change=lambda a: a[:, ::-1]),
    "luo_2017": changed(  # the cosine and the dot product change places
        error=lambda a: a[:, [4, 1, 2, 3, 0, 5]], variance=lambda a: a[:, [4, 1, 2, 3, 0, 5]]
    ),
    "li_2020": changed(gap=lambda a: 0 * a + 1),
    "de_2020": changed(
        loss=lambda a: 0 * np.nan_to_num(a, posinf=0) + 2.3, share=lambda a: 0 * a + 0.5
    ),
    "invariances": changed(change=lambda a: 0 * a),
}


#: Where the numbers don't say "yes": some that would.
FAVORABLE: dict[str, Callable[[Values], Values]] = {
    "bjorck_2018": changed(  # batch norm at 1, which no norm cannot use, is faster and better
        steps=lambda a: a * np.array([1, 1, 0.5, 1, 1]),
        error=lambda a: a - np.array([0, 0, 1, 0, 0]),
    ),
    "wu_2018": changed(error=lambda a: a - np.eye(3)[1][:, None, None] * np.eye(5)[0][:, None]),
    "salimans_2016": changed(steps=lambda a: a * np.array([1, 1, 1, 1, 1, 1, 1, 1, 0.8])[:, None]),
    "luo_2017": changed(error=lambda a: a - 4 * np.eye(6)[4][:, None]),
    "li_2018": changed(error=lambda a: a + np.array([[0, 0], [9, 0], [0, 0]])[:, np.newaxis]),
    "srivastava_2014": changed(  # without dropout more mistakes, between the ends
        error=lambda a: a + np.outer([0, 5, 5, 5, 0], [1, 0])[..., np.newaxis]
    ),
    "wager_2013": changed(fitted=lambda a: 0 * a + 1.05),
    "huang_2018": changed(
        steps=lambda a: a * np.array([1, 2, 1, 1])[:, np.newaxis],
        error=lambda a: a + np.array([0, 4, 0, 0])[:, np.newaxis],
    ),
    "hoffer_2017": changed(error=lambda a: a - np.array([[0], [0], [1], [0], [0]])),
}


def test_every_experiment_is_looked_at() -> None:
    assert set(EXPECTED) == set(CONTRARY) == set(NAMES)
    assert set(FAVORABLE) == {name for name in NAMES if EXPECTED[name] != "yes"}


@pytest.mark.training
@pytest.mark.parametrize("name", NAMES)
def test_the_finding_comes_out_and_is_shown(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    quick = experiments.run(name)
    result = experiments.recorded(name)
    assert result.values.keys() == quick.values.keys()
    assert not re.search(r"\bnan\b", str(experiments.verdict(quick)))
    verdict = experiments.verdict(result)
    with capsys.disabled():
        print(f"\n{name}: {verdict}")
    assert verdict.reproduced == (EXPECTED[name] or verdict.reproduced)
    assert verdict.text.endswith(".")
    assert not re.search(r"\bnan\b", verdict.text)
    DIRECTIONS.get(name, lambda r: None)(result)

    seeds = len(result.settings.seeds)
    assert all(len(value) == seeds for value in result.values.values())
    documented = experiments.finding(name).split("Values:")[1]
    assert set(re.findall(r"``(\w+)``", documented)) == set(result.values)

    contrary = Result(name, result.settings, CONTRARY[name](result.values))
    assert experiments.verdict(contrary).reproduced == "no"
    favorable = FAVORABLE.get(name, lambda v: v)(result.values)
    assert experiments.verdict(Result(name, result.settings, favorable)).reproduced == "yes"

    shown = experiments.figure(result).svg
    alt = re.search(r'aria-label="([^"]+)"', shown)
    assert alt is not None
    assert len(alt[1]) > 60
    assert alt[1].endswith(".")
    assert "nan" not in re.sub(r"\w+nan|nan\w+", "", alt[1])


# ---------------------------------------------------------------- what a verdict in part rests on


def of_small_batches(result: Result[Any]) -> None:
    """Batch norm fails with batches of 2, also with exact statistics, and is ahead with 32."""
    module = _run.module_of("wu_2018")
    _, error = module.tuned(result)
    for arm in (module.BATCH, module.EXACT):
        assert module.gap(error, 0, arm).low > 20
        assert module.gap(error, -1, arm).high < 0
    steady = module.growth(error, module.GROUP)
    assert steady.low < 0 < module.MATTERS < steady.high  # why it is no "yes"


def of_renorm(result: Result[Any]) -> None:
    """Renorm repairs small and sorted batches, gains nothing elsewhere; the memory is not it."""
    module = _run.module_of("ioffe_2017")
    error, exact = (module.tuned(result, key)[1] for key in ("error", "exact"))
    small = error.mean(axis=0)[module.SMALL]
    assert small[1] < small[0] / 2
    gain, memory = module.gains(error), module.memory(error, exact)
    assert gain[module.RANDOM].low < 0 < gain[module.RANDOM].high < 1
    assert 0 < gain[module.LONGER].low < gain[module.LONGER].high < gain[module.SORTED].low
    for k in (module.SMALL, module.SORTED):
        assert memory[k].high < gain[k].low / 2
    costs = module.sorting(error)
    assert costs[0].low > costs[1].high


def of_weight_norm(result: Result[Any]) -> None:
    """Weight norm gains nothing, its start from data gains much, with weight norm or without."""
    module = _run.module_of("salimans_2016")
    _, steps = module.tuned(result)
    alone, started, start = (
        module.against(result, steps, *pair)
        for pair in (
            (module.WEIGHT, module.PLAIN),
            (module.DATA, module.PLAIN_DATA),
            (module.PLAIN_DATA, module.PLAIN),
        )
    )
    assert 0.95 < alone.low < 1 < alone.high < 1.2
    assert 0.8 < started.low < started.high < 1
    assert start.high < 0.6
    assert module.against(result, steps, module.BOTH, module.BATCH).high < 1  # why it is no "yes"


def of_cosines(result: Result[Any]) -> None:
    """The variance is smaller, the error is not, and taking the variance back lowers it."""
    module = _run.module_of("luo_2017")
    _, error, variance = module.tuned(result)
    for other in (module.DOT, module.BATCH, module.LAYER, module.WEIGHT):
        assert module.lead(error, other).high < 0
        assert (variance[:, module.COSINE] < variance[:, other]).all()
    assert variance[:, module.COSINE].max() <= 1
    assert module.lead(error, module.COSINE, module.SCALED).low > 0


def of_variance_shift(result: Result[Any]) -> None:
    """The formula holds, the shift builds up, Uout has none, and recalibration changes little."""
    formula, shift = result["formula"], result.mean("shift")[-1]
    assert np.abs(formula[:, :, 0] / formula[:, :, 1] - 1).max() < 0.02
    assert shift[1].mean() > 1.5
    assert (np.diff(shift[2]) > 0).all()
    assert np.abs(result.mean("uout") - 1).max() < 0.1
    for width in range(3):
        cost = li_2018.costs(li_2018.tuned(result)[1], li_2018.RIGHT, width)
        assert cost["shift"].low < 0 < cost["noise"].low < cost["noise"].high
        assert cost["control"].low > 0


def of_dropout(result: Result[Any]) -> None:
    """It helps on the whole, not clearly at either end, and it does so halfway, too."""
    gains = srivastava_2014.gain(result)
    assert interval(gains.mean(axis=1)).low > 0
    assert interval(srivastava_2014.gain(result, "halfway").mean(axis=1)).low > 0
    assert all(interval(gains[:, end]).low < 0 for end in (0, -1))


def of_the_passes(result: Result[Any]) -> None:
    """Ten passes and more are as good as weight scaling, and tell more than its own entropy."""
    assert all(abs(late.middle) < gal_2016.MARGIN for late in gal_2016.behind(result)[2:])
    auroc = result["auroc"]
    for unlike in (gal_2016.TURNED, gal_2016.SHUFFLED):
        more = auroc[:, unlike, gal_2016.PASSES] - auroc[:, unlike, gal_2016.SCALED]
        assert interval(more).low > 0.05


def of_the_penalty(result: Result[Any]) -> None:
    """It is right for moderate weights, and too small at the fitted ones."""
    assert wager_2013.off_percent(result)[:, :2].max() < 5
    assert all(off.high < -15 for off in wager_2013.of_fitted(result))


def of_whitening(result: Result[Any]) -> None:
    """Whitening is faster than no norm; it beats batch norm in steps with tanh, else nowhere."""
    module = _run.module_of("huang_2018")
    steps, error = (module.tuned(result, key)[1] for key in ("steps", "error"))
    assert all(factor.high < 0.5 for factor in module.factors(result, steps, 3, 0))
    relu, tanh = module.factors(result, steps, module.SOFT, module.BATCH)
    assert tanh.high < 1 < relu.low
    relu, tanh = module.points(error, module.SOFT, module.BATCH)
    assert relu.low > 0
    assert tanh.low < 0 < tanh.high < 1
    raw, standard, white = result.mean("condition")
    assert raw > 100 * standard > 5000 * white
    fewest = module.fewest(result)
    assert fewest[0] > 2 * fewest[1] >= 4 * fewest[2]


def of_ghosts(result: Result[Any]) -> None:
    """Fewer steps make the gap and more steps close it; ghosts help where none is left."""
    module = _run.module_of("hoffer_2017")
    for error in (module.at(result, module.RECIPE), module.tuned(result)[1]):
        cost = module.costs(error)
        assert cost["gap"].low > 0.5
        assert cost["cured"].high < 0.5
        assert cost["saved by ghosts"].low < 0 < cost["saved by ghosts"].middle
        assert cost["ahead"].low > 0


def of_rates(result: Result[Any]) -> None:
    """Rates are larger and nothing is gained at a small one; the speed is there without them."""
    module = _run.module_of("bjorck_2018")
    plain, batch = module.PLAIN, module.BATCH
    top, far = module.best(result)[plain], module.beyond(result)
    ceilings = module.largest(result)[0]
    assert ceilings[batch] >= 5 * ceilings[plain] > 0
    assert result.settings.rates[far] > ceilings[plain] >= result.settings.rates[top]
    assert module.gain(result, batch, 0, plain, 0).low < 0
    assert module.gain(result, batch, 0, plain, 0).high < 1
    assert module.speed(result, batch, top, plain, top).high < 0.5
    assert module.speed(result, batch, far, batch, top).high > 1


def of_constants(result: Result[Any]) -> None:
    """Constants in the gradient do harm by activation and rate; moving averages in all networks."""
    module = _run.module_of("ioffe_2015")
    relu, tanh, sigmoid = module.worse(result, module.CONSTANT)
    assert relu[1].low > 5
    assert tanh[2].low < 1 < tanh[2].high
    assert sigmoid[3].low > 10
    assert (result.median("loss")[:, module.MOVING, -1] > 2).all()


DIRECTIONS: dict[str, Callable[[Result[Any]], None]] = {
    "ioffe_2015": of_constants,
    "bjorck_2018": of_rates,
    "wu_2018": of_small_batches,
    "ioffe_2017": of_renorm,
    "huang_2018": of_whitening,
    "salimans_2016": of_weight_norm,
    "luo_2017": of_cosines,
    "li_2018": of_variance_shift,
    "srivastava_2014": of_dropout,
    "gal_2016": of_the_passes,
    "wager_2013": of_the_penalty,
    "hoffer_2017": of_ghosts,
}


def test_the_best_rates_of_both_norms_lie_inside_the_grid_for_all_kinds_of_batches() -> None:
    result = experiments.recorded("ioffe_2017")
    kinds = _run.module_of("ioffe_2017").KINDS.values()
    rates = np.array(result.settings.rates)
    assert sorted(rates) == list(rates)
    for kind, errors in zip(kinds, result.mean("error"), strict=True):
        assert kind.equal in kind.rates
        for error in errors:
            assert tuple(rates[np.isfinite(error)]) == kind.rates
            assert inside(error[np.isfinite(error)])


def test_the_best_rates_with_whitening_lie_inside_the_grid() -> None:
    result = experiments.recorded("huang_2018")
    for rates in (result.settings.rates, result.settings.input_rates):
        assert sorted(rates) == list(rates)
    for steps in result.median("input_steps"):
        assert inside(steps)
    for steps, error in zip(result.median("steps"), result.mean("error"), strict=True):
        assert all(inside(arm) for arm in (*steps, *error))


def test_whitening_as_a_layer_has_its_gradient_and_whitens_in_test_mode() -> None:
    module = _run.module_of("huang_2018")
    rng = np.random.default_rng(0)
    layer = module.Whiten(3, eps=0.0, momentum=0.0)
    layer.params["gamma"][...] = [1.0, 2.0, 0.5]
    layer.params["beta"][...] = [0.0, -1.0, 3.0]
    x = rng.normal(size=(20, 3)) @ rng.normal(size=(3, 3)) + 2
    y = layer.forward(x, "train")
    assert np.allclose(np.cov(y.T, bias=True), np.diag([1, 4, 0.25]))
    assert np.allclose(layer.forward(x, "test"), y)  # it remembers this batch alone
    dout = rng.normal(size=x.shape)
    layer.forward(x, "train")
    dx = layer.backward(dout)
    grads = [dx, layer.grads["gamma"], layer.grads["beta"]]
    for param in (x, layer.params["gamma"], layer.params["beta"]):
        step = 1e-6 * rng.normal(size=param.shape)
        values = []
        for sign in (1, -1):
            param += sign * step
            values.append((layer.forward(x, "train") * dout).sum())
            param -= sign * step
        grad = grads.pop(0)
        assert np.isclose(values[0] - values[1], 2 * (grad * step).sum(), rtol=1e-4)


def test_the_best_rates_of_all_batch_sizes_lie_inside_the_grid() -> None:
    result = experiments.recorded("hoffer_2017")
    assert sorted(result.settings.powers) == list(result.settings.powers)
    for error in result.mean("error"):
        assert inside(error[np.isfinite(error)])
    tried = [training.powers for training in _run.module_of("hoffer_2017").TRAININGS.values()]
    for error, powers in zip(result["error"][0], tried, strict=True):
        assert tuple(np.array(result.settings.powers)[np.isfinite(error)]) == powers


@pytest.mark.parametrize("start", range(2))
def test_the_best_rates_of_the_noisy_networks_lie_inside_the_grid(start: int) -> None:
    result = experiments.recorded("santurkar_2018")
    rates = result.settings.rates
    assert sorted(rates) == list(rates)
    for steps in result.median("steps")[start]:
        assert inside(steps)
    assert result["identity"].max() < 1e-12


def test_the_best_rate_of_every_norm_lies_inside_the_grid() -> None:
    result = experiments.recorded("bjorck_2018")
    rates = result.settings.rates
    assert sorted(rates) == list(rates)
    assert rates[0] == _run.module_of("bjorck_2018").EQUAL
    assert all(inside(loss) for loss in result.median("loss")[0])


@pytest.mark.parametrize("norm", range(2))
def test_the_best_start_and_rate_of_sigmoid_networks_lie_inside_the_grid(norm: int) -> None:
    result = experiments.recorded("ioffe_2015")
    steps = result.median("steps")[norm]
    assert inside(steps.min(axis=0))
    assert inside(steps.min(axis=1))
    for grid in (result.settings.starts, result.settings.rates, result.settings.constant_rates):
        assert sorted(grid) == list(grid)


@pytest.mark.parametrize("activation", range(3))
@pytest.mark.parametrize("statistics", range(3))
def test_the_best_rates_of_all_kinds_of_statistics_lie_inside_the_grid(
    statistics: int, activation: int
) -> None:
    assert inside(experiments.recorded("ioffe_2015").median("loss")[activation, statistics])


def test_moving_averages_normalize_in_train_mode_and_follow_the_batches() -> None:
    layer = _run.module_of("ioffe_2015").MovingAverages(1, momentum=0.75)
    x = np.array([[0.0], [8.0]])  # mean 4, variance 16
    out = layer.forward(x, "train")
    assert np.allclose(out, (x - 1) / np.sqrt(0.75 + 4 + layer.eps), rtol=1e-14)
    assert np.allclose(layer.forward(x, "test"), out, rtol=1e-14)
    assert np.allclose(layer.backward(np.ones((2, 1))), 1 / np.sqrt(4.75 + layer.eps), rtol=1e-14)


def test_only_the_rate_of_the_output_layer_is_held() -> None:
    module = _run.module_of("bjorck_2018")
    params = {name: np.zeros(1) for name in ("0.W", "9.W", "9.b")}
    sgd = module.HeldOutput(4.0, ("9.W", "9.b"), 0.5)
    sgd.step(params, {name: np.ones(1) for name in params})
    assert {name: -value.item() for name, value in params.items()} == {
        **{"0.W": 4.0},
        **{"9.W": 0.5, "9.b": 0.5},
    }


def test_a_noisy_network_that_the_budget_ends_is_drawn_as_censored() -> None:
    result = experiments.recorded("santurkar_2018")
    limit, figure = result.settings.budget, experiments.figure
    steps = result["steps"].copy()
    steps[:, 0, 0] = inf
    censored = Result(result.name, result.settings, {**result.values, "steps": steps})
    assert f"no norm more than {limit}," in experiments.verdict(censored).text
    assert f"no norm more than {limit} and " in experiments.figure(censored).svg
    drawn = [figure(r).svg.count("<pattern") for r in (result, censored)]
    assert drawn == [0, 1]  # the hatching of the one bar


def test_decay_is_a_schedule_only_with_a_norm_and_without_epsilon() -> None:
    result = experiments.recorded("li_2020")
    for controls in ([1], [2], [1, 2]):  # that do as well as batch norm
        gap = result["gap"].copy()
        gap[:, :, controls] = gap[:, :, :1]
        same = Result(result.name, result.settings, {**result.values, "gap": gap})
        assert experiments.verdict(same).reproduced == "partly"


def test_the_best_rates_of_residual_networks_lie_inside_the_grid() -> None:
    result = experiments.recorded("de_2020")
    assert sorted(result.settings.rates) == list(result.settings.rates)
    trained = [loss for arm in result.median("loss") for loss in arm if np.isfinite(loss).any()]
    assert len(trained) == 4 * 3 - 1  # all but the deepest without a norm
    assert all(inside(loss) for loss in trained)


def test_the_share_of_a_branch_is_what_the_formula_says() -> None:
    result = experiments.recorded("de_2020")
    share, start = result.mean("share")[1], result.mean("start")
    block = np.arange(1, len(share) + 1)
    assert np.abs(share * (start + block) - 1).max() < 0.1  # the weights are random


@pytest.mark.parametrize("name", ["ba_2016", "wu_2018"])
def test_the_best_rates_at_every_batch_size_lie_inside_the_grid(name: str) -> None:
    result = experiments.recorded(name)
    for rates in result.settings.rates:
        assert sorted(rates) == list(rates)
    for errors in result.mean("error"):
        assert all(inside(at_size) for at_size in errors)


def test_without_a_norm_small_batches_do_no_harm_either() -> None:
    module, result = _run.module_of("ba_2016"), experiments.recorded("ba_2016")
    _, error = module.tuned(result)
    assert module.harm(error, module.PLAIN).high < 0
    assert module.harm(error, module.LAYER).high < 0 < module.harm(error, module.BATCH).low


@pytest.mark.parametrize(("name", "key"), [("salimans_2016", "steps"), ("luo_2017", "error")])
def test_the_best_rates_of_other_weights_lie_inside_the_grid(name: str, key: str) -> None:
    result = experiments.recorded(name)
    rates = result.settings.rates
    assert sorted(rates) == list(rates)
    middle = result.median(key) if key == "steps" else result.mean(key)
    for arm, by_rate in enumerate(middle):
        never = name == "salimans_2016" and arm == 0  # small weights in plain parameters
        assert np.isinf(by_rate).all() if never else inside(by_rate)


def test_a_start_that_never_arrives_is_drawn_as_censored() -> None:
    result = experiments.recorded("salimans_2016")
    limit = result.settings.budget
    assert f"plain, small weights more than {limit}," in experiments.verdict(result).text
    shown = experiments.figure(result).svg
    assert f"plain, small weights more than {limit} and more than {limit} steps" in shown
    ended = np.isinf(result.median("steps"))
    at_equal = ended[:, result.settings.rates.index(0.1)]
    assert shown.count("<pattern") >= 1
    assert ended.all(axis=1).sum() == 1
    assert at_equal.sum() == 2  # that one, and the start from data with a short v


def test_a_plain_network_can_begin_where_weight_norm_does() -> None:
    module, data = _run.module_of("salimans_2016"), nn.digits(seed=0)
    begun = [
        module.ARMS[name](module.streams(0), data).forward(data.x_test, "test")
        for name in ("plain, from data", "weight norm, from data")
    ]
    assert np.abs(begun[0] - begun[1]).max() < 1e-12


def test_exact_statistics_are_read_off_the_same_networks() -> None:
    """With all images in a batch, running statistics are nearly exact; the two arms agree."""
    module = _run.module_of("wu_2018")
    settings = module.Settings((0, 1), (40, 100), ((0.1,), (0.1,)), epochs=30, n_train=100)
    batch, _, exact = module.measure(settings, 0)["error"]
    assert batch.shape == (2, 1)
    assert np.abs(batch - exact).max() < 3
    assert (batch != exact).any()


@pytest.mark.parametrize("norm", range(2))
@pytest.mark.parametrize("width", range(3))
def test_the_best_rates_with_dropout_lie_inside_the_grid(norm: int, width: int) -> None:
    result = experiments.recorded("li_2018")
    assert sorted(result.settings.rates[norm]) == list(result.settings.rates[norm])
    for error in result.mean("error")[norm, width, :, :, li_2018.AS_TRAINED]:
        assert inside(error)


@pytest.mark.parametrize("dropout", range(2))
def test_the_best_rates_of_all_training_set_sizes_lie_inside_the_grid(dropout: int) -> None:
    result = experiments.recorded("srivastava_2014")
    assert sorted(result.settings.rates) == list(result.settings.rates)
    for error in result.mean("error")[:, dropout]:
        assert inside(error)


# ---------------------------------------------------------------- what all have in common


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_says_what_it_shows_and_cites_the_paper(name: str) -> None:
    text = experiments.finding(name)
    assert text.splitlines()[0].endswith(".")
    kind = _run.module_of(name).KIND
    assert kind in ("exact", "the paper's finding", "a related question")
    assert re.search(r"\b" + kind.rpartition(" ")[2], text, re.IGNORECASE)
    assert re.search(r"^[A-Z][\w&,\s]+ (et al\. )?\(20\d\d\)", text, re.MULTILINE)
    assert "Values:" in text


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_frozen_and_full_is_more_than_quick(name: str) -> None:
    settings = _run.module_of(name).Settings
    quick, full = settings.quick(), settings.full()
    assert len(full.seeds) > len(quick.seeds)
    assert set(quick.seeds) <= set(full.seeds)
    with pytest.raises(FrozenInstanceError):
        quick.seeds = (1, 2)
    hash(quick)
    assert all(field.name in repr(full) for field in fields(full))


TRAINED = [
    pytest.param(name, marks=pytest.mark.training) for name in ("ulyanov_2016", "huang_2018")
]


@pytest.mark.parametrize("name", ["invariances", *TRAINED])
def test_a_seed_gives_the_same_numbers_every_time(name: str) -> None:
    module = _run.module_of(name)
    one, two = (module.measure(module.Settings.quick(), 1) for _ in range(2))
    other = module.measure(module.Settings.quick(), 2)
    assert all((one[key] == two[key]).all() for key in one)
    assert any((one[key] != other[key]).any() for key in one)


def test_the_table_of_invariances_can_be_put_on_a_page() -> None:
    module = _run.module_of("invariances")
    lines = module.markdown(experiments.run("invariances")).splitlines()
    assert len(lines) == 2 + len(module.NORMS)
    assert len({line.count("|") for line in lines}) == 1
    cells = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in lines[2:]}
    assert set("".join(cells["none"])) == {" ", "✗"}
    assert [cell.strip() for cell in cells["batch"]] == list("✓✓✗✓✓✓✓✗")


def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a network connection was asked for")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    nn_data._all_digits.cache_clear()
    assert len(nn.digits(seed=0).x_train) == 1297
