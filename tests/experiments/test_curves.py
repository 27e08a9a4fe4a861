"""The clean ruler, curves to a budget, and paired intervals."""

from __future__ import annotations

import doctest
from types import ModuleType

import numpy as np
import pytest

from dlnorm import nn
from dlnorm.experiments import _curves, _intervals
from dlnorm.experiments._curves import Curve, Ruler, follow
from dlnorm.experiments._intervals import inside, interval, ratio

inf = np.inf


def trainer(rate: float, p: float = 0.0) -> nn.Trainer:
    rng = np.random.default_rng(0)
    layers = [nn.Linear(64, 30, rng), nn.BatchNorm(30), nn.ReLU()]
    if p:
        layers.append(nn.Dropout(p, np.random.default_rng(1)))
    network = nn.Sequential(*layers, nn.Linear(30, 10, rng))
    return nn.Trainer(network, nn.SGD(rate), nn.digits(0), batch_size=50, seed=0)


def test_the_ruler_reads_fixed_samples_in_test_mode_and_changes_nothing() -> None:
    data, t = nn.digits(0), trainer(0.3, p=0.5)
    t.fit(steps=5, disable=True)
    ruler = Ruler.of(data, samples=80)
    memory = {name: value.copy() for name, value in t.network.memory.items()}
    readings = {ruler.read(t.network) for _ in range(3)}  # dropout is off: the same every time
    probability = nn.predict(t.network, data.x_train[:80])
    loss = -np.log(probability[np.arange(80), data.y_train[:80]]).mean()
    error = nn.error_percent(t.network, data.x_test[:80], data.y_test[:80])
    ((read_loss, read_error),) = readings
    assert abs(read_loss - loss) < 1e-12
    assert abs(read_error - error) < 1e-12
    assert all((t.network.memory[name] == value).all() for name, value in memory.items())


def test_following_a_training_does_not_change_it() -> None:
    followed, alone = trainer(0.3), trainer(0.3)
    follow(followed, Ruler.of(nn.digits(0)), 12, every=5)
    alone.fit(steps=12, disable=True)
    assert (followed.losses == alone.losses).all()


def test_a_curve_goes_to_the_budget_or_to_the_bound() -> None:
    ruler = Ruler.of(nn.digits(0))
    whole = follow(trainer(0.3), ruler, 22, every=5)
    assert whole.steps.tolist() == [5, 10, 15, 20, 22]
    assert (np.diff(whole.loss) < 0).all()
    bound = float(whole.loss[2]) + 1e-9
    part = follow(trainer(0.3), ruler, 22, every=5, loss=bound)
    assert part.steps.tolist() == [5, 10, 15]
    assert part.first(loss=bound) == 15
    assert whole.first(loss=bound) == 15


def test_what_the_budget_stops_is_censored() -> None:
    curve = follow(trainer(1e-6), Ruler.of(nn.digits(0)), 10, every=5, loss=0.3)
    assert curve.first(loss=0.3) == inf
    assert Curve(np.array([5, 10]), np.array([0.2, 0.1]), np.array([9.0, 20.0])).first(
        loss=0.15, error=10
    ) == inf  # fmt: skip


def test_a_training_that_breaks_off_ends_with_an_infinite_loss() -> None:
    rng = np.random.default_rng(0)
    network = nn.Sequential(nn.Linear(64, 30, rng), nn.ReLU(), nn.Linear(30, 10, rng))
    t = nn.Trainer(network, nn.SGD(1e200), nn.digits(0), batch_size=50, seed=0)
    curve = follow(t, Ruler.of(nn.digits(0)), 50, every=1)
    assert curve.loss[-1] == inf
    assert curve.error[-1] == 100
    assert curve.steps[-1] < 50
    assert curve.first(loss=10) == inf or curve.first(loss=10) < curve.steps[-1]


def test_an_interval_is_that_of_the_t_test() -> None:
    from scipy import stats  # takes a second

    values = np.random.default_rng(0).normal(1, 2, 10)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = interval(values)
    assert abs(found.low - expected.low) < 1e-3
    assert abs(found.high - expected.high) < 1e-3
    assert found.low < found.middle == values.mean() < found.high


def test_a_factor_of_steps_is_paired_and_counts_censored_runs_as_the_budget() -> None:
    steps, other = np.array([10.0, 30.0, 20.0]), np.array([20.0, 60.0, inf])
    factor = ratio(steps, other, 40)
    assert factor.middle == pytest.approx((0.5 * 30 / 40 * 0.5) ** (1 / 3))
    back = ratio(other, steps, 40)
    assert back.middle == pytest.approx(1 / factor.middle)
    assert back.high == pytest.approx(1 / factor.low)


def test_an_optimum_at_the_edge_of_a_grid_is_not_inside() -> None:
    assert inside(np.array([3.0, 1.0, inf]))
    assert not inside(np.array([1.0, 3.0, inf]))
    assert not inside(np.array([3.0, 2.0, 1.0]))
    assert not inside(np.array([inf, inf, inf]))


@pytest.mark.parametrize("module", [_curves, _intervals])
def test_the_examples_give_what_they_show(module: ModuleType) -> None:
    tested = doctest.testmod(module)
    assert tested.attempted >= 2
    assert tested.failed == 0
