"""Training: what it does in order, how it stops, and that going on is like never stopping."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlnorm import nn
from dlnorm.nn import storage


def small(seed: int = 0, features: int = 12) -> nn.Sequential:
    weights, noise = np.random.default_rng(seed).spawn(2)
    return nn.Sequential(
        nn.Linear(64, features, weights),
        nn.BatchNorm(features),
        nn.ReLU(),
        nn.Dropout(0.3, noise),
        nn.WeightNormLinear(features, 10, weights),
    )


OPTIMIZERS: dict[str, Callable[[], nn.Optimizer]] = {
    "sgd": lambda: nn.SGD(0.1),
    "momentum": lambda: nn.SGD(0.1, momentum=0.9, weight_decay=1e-3),
    "adam": lambda: nn.Adam(0.01),
}


def trainer_of(optimizer: str = "momentum", **options: Any) -> nn.Trainer:
    settings = {"batch_size": 16, "seed": 5, **options}
    return nn.Trainer(small(), OPTIMIZERS[optimizer](), nn.digits(0, n_train=100), **settings)


def everything(trainer: nn.Trainer) -> dict[str, Any]:
    network = trainer.network
    return {
        **network.params,
        **network.memory,
        **trainer.optimizer.state,
        "losses": trainer.losses,
        "step": np.array(trainer.step),
    }


def same(a: nn.Trainer, b: nn.Trainer) -> bool:
    one, other = everything(a), everything(b)
    return one.keys() == other.keys() and all((one[k] == other[k]).all() for k in one)


# ---------------------------------------------------------------- what a step is


def test_a_step_is_forward_loss_backward_step() -> None:
    trainer = trainer_of("sgd", order=lambda rng, y: np.arange(len(y)))
    network = copy.deepcopy(trainer.network)
    x, y = trainer.data.x_train[:16], trainer.data.y_train[:16]
    loss, dscores = nn.softmax_cross_entropy(network.forward(x, "train"), y)
    network.backward(dscores)
    trainer.fit(steps=1)
    assert trainer.losses.tolist() == [loss]
    for name, value in network.params.items():
        assert (trainer.network.params[name] == value - 0.1 * network.grads[name]).all()


def test_an_epoch_meets_every_sample_once_but_for_an_incomplete_batch() -> None:
    orders = []

    def order(rng: np.random.Generator, y: Any) -> Any:
        orders.append(rng.permutation(len(y)))
        return orders[-1]

    trainer = trainer_of(order=order)
    seen: list[Any] = []
    inner = trainer.network.layers[0].forward
    trainer.network.layers[0].forward = lambda x, mode: (seen.append(x), inner(x, mode))[1]
    trainer.fit(epochs=2)
    assert trainer.steps_per_epoch == 6
    assert trainer.step == 12
    assert len(orders) == 2
    for epoch in (0, 1):
        expected = trainer.data.x_train[orders[epoch][:96]]
        assert (np.concatenate(seen[6 * epoch : 6 * epoch + 6]) == expected).all()
    assert (orders[0] != orders[1]).any()


def test_it_learns() -> None:
    data = nn.digits(0, n_train=500)
    trainer = nn.Trainer(small(features=50), nn.SGD(0.3), data, batch_size=25, seed=0)
    assert nn.error_percent(trainer.network, data.x_test, data.y_test) > 70
    trainer.fit(epochs=10)
    assert nn.error_percent(trainer.network, data.x_test, data.y_test) < 12


def test_the_same_seeds_give_the_same_run_and_another_seed_another() -> None:
    one, two, other = trainer_of(), trainer_of(), trainer_of(seed=6)
    for trainer in (one, two, other):
        trainer.fit(steps=10)
    assert same(one, two)
    assert not same(one, other)


def test_the_recent_loss_is_that_of_the_last_batches() -> None:
    trainer = trainer_of()
    trainer.fit(steps=4)
    assert trainer.recent_loss(5) == float("inf")
    trainer.fit(steps=4)
    assert abs(trainer.recent_loss(5) - trainer.losses[3:].mean()) < 1e-15


def test_the_data_are_left_alone() -> None:
    trainer = trainer_of()
    before = copy.deepcopy(trainer.data)
    trainer.fit(epochs=1)
    assert all((a == b).all() for a, b in zip(before, trainer.data, strict=True))


# ---------------------------------------------------------------- stopping


def test_a_callback_runs_after_every_step_and_can_stop() -> None:
    trainer, steps = trainer_of(), []

    def callback(t: nn.Trainer) -> bool:
        steps.append(t.step)
        return t.step == 4

    trainer.fit(steps=10, callback=callback)
    assert steps == [1, 2, 3, 4]
    assert trainer.diverged is None
    trainer.fit(steps=2)  # it can go on
    assert trainer.step == 6


def test_divergence_ends_the_training_with_a_record() -> None:
    trainer = trainer_of("sgd")
    trainer.optimizer.lr = 1e300
    trainer.fit(epochs=5)
    assert trainer.step < 5
    assert trainer.diverged is not None
    assert trainer.diverged.startswith(f"step {trainer.step}: ")
    assert "has" in trainer.diverged
    assert len(trainer.losses) == trainer.step
    trainer.fit(epochs=5)  # no further step
    assert len(trainer.losses) == trainer.step < 5


def test_a_loss_that_is_not_finite_is_recorded_as_nan() -> None:
    trainer = trainer_of("sgd")
    trainer.network.params["4.b"][0] = np.inf
    trainer.fit(steps=3)
    assert trainer.step == 1
    assert np.isnan(trainer.losses).tolist() == [True]
    assert trainer.diverged == "step 1: the output of the network has NaN or infinity"


def test_a_step_that_is_too_long_is_told_with_the_parameter() -> None:
    trainer = trainer_of("sgd")
    trainer.optimizer.lr = 1e300
    trainer.fit(steps=3)
    assert trainer.diverged is not None
    assert trainer.diverged.startswith("step 1: parameter 0.W has entries up to")
    assert np.isfinite(trainer.losses).tolist() == [True]


def test_other_errors_are_errors() -> None:
    trainer = trainer_of()
    trainer.network.layers[1].params["gamma"] = np.ones(3)
    with pytest.raises(ValueError, match="gamma must have shape"):
        trainer.fit(steps=1)


# ---------------------------------------------------------------- the progress bar


@pytest.mark.parametrize(("disable", "expected"), [(None, False), (True, False), (False, True)])
def test_the_bar_appears_late_and_only_where_it_is_wanted(
    disable: bool | None,
    expected: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert nn.trainer.PATIENCE >= 1
    monkeypatch.setattr("dlnorm.nn.trainer.PATIENCE", 3600)
    trainer_of().fit(steps=3, disable=disable)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("dlnorm.nn.trainer.PATIENCE", 0)
    trainer_of().fit(steps=3, disable=disable)
    assert ("step" in capsys.readouterr().err) == expected


# ---------------------------------------------------------------- save and load


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("stop", [0, 4, 6, 13])  # before, in, at the end of an epoch, after two
def test_a_run_that_was_saved_and_loaded_is_the_run_that_never_stopped(
    optimizer: str, stop: int, tmp_path: Path
) -> None:
    whole = trainer_of(optimizer)
    whole.fit(steps=20)

    first = trainer_of(optimizer)
    first.fit(steps=stop)
    first.save(tmp_path / "state.npz")
    first.fit(steps=3)  # what comes after saving does not matter

    second = trainer_of(optimizer, seed=99)
    second.network.params["0.W"][...] = 7
    second.network.layers[3].rng = np.random.default_rng(123)
    second.load(tmp_path / "state.npz")
    assert second.step == stop
    second.fit(steps=20 - stop)
    assert same(whole, second)


def test_saving_changes_nothing_and_twice_gives_the_same(tmp_path: Path) -> None:
    plain, saved = trainer_of(), trainer_of()
    plain.fit(steps=8)
    saved.fit(steps=4)
    saved.save(tmp_path / "one.npz")
    saved.save(tmp_path / "two.npz")
    saved.fit(steps=4)
    assert same(plain, saved)
    one, two = (storage.read(tmp_path / name) for name in ("one.npz", "two.npz"))
    assert one[1] == two[1]
    assert all((one[0][name] == two[0][name]).all() for name in one[0])


def test_a_record_of_divergence_is_kept(tmp_path: Path) -> None:
    trainer = trainer_of("sgd")
    trainer.optimizer.lr = 1e300
    trainer.fit(steps=9)
    trainer.save(tmp_path / "state.npz")
    other = trainer_of("sgd")
    other.load(tmp_path / "state.npz")
    assert other.diverged == trainer.diverged
    other.fit(steps=1)
    assert other.step == trainer.step


def test_a_state_loads_into_its_own_kind_of_training_only(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    trainer_of().save(path)
    data = nn.digits(0, n_train=100)

    def other(network: nn.Sequential, optimizer: str = "momentum", **options: Any) -> nn.Trainer:
        settings = {"batch_size": 16, "seed": 5, **options}
        return nn.Trainer(network, OPTIMIZERS[optimizer](), data, **settings)

    rng = np.random.default_rng(0)
    no_noise = nn.Sequential(*small().layers[:3], nn.ReLU(), small().layers[4])
    cases = [
        (other(small(features=9)), "must have params 0.W = float64 of shape (64, 9), got"),
        (other(nn.Sequential(nn.Linear(64, 10, rng))), "must have params 0.W ="),
        (other(nn.Sequential(*small().layers, nn.BatchNorm(10))), "5.beta = float64 of shape"),
        (other(no_noise), "must have a generator for ['the order'], got one for ['layer 3', 'the"),
        (other(small(), "adam"), "must have optimizer 'Adam', got 'SGD'"),
        (other(small(), batch_size=20), "must have batch_size 20, got 16"),
    ]
    for trainer, message in cases:
        before = copy.deepcopy(everything(trainer))
        with pytest.raises(ValueError, match=r"state\.npz must have") as caught:
            trainer.load(path)
        assert message in str(caught.value)
        assert all((everything(trainer)[name] == value).all() for name, value in before.items())


def test_a_file_that_is_no_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    with pytest.raises(FileNotFoundError):
        trainer_of().load(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="is damaged, or no file of dlnorm's"):
        trainer_of().load(path)
    for record in ([1], {"kind": "something else"}):
        storage.write(path, {}, record)
        with pytest.raises(ValueError, match=r"must have kind 'dlnorm\.nn\.Trainer', got"):
            trainer_of().load(path)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: trainer_of(batch_size=0), ValueError, "batch_size must be at least 1, got 0"),
        (lambda: trainer_of(batch_size=2.5), TypeError, "batch_size must be an int, got float"),
        (lambda: trainer_of(batch_size=101), ValueError, "at most the 100 training samples, got"),
        (lambda: trainer_of(seed=-1), ValueError, "seed must be at least 0, got -1"),
        (lambda: trainer_of().fit(), ValueError, "fit needs epochs or steps, got epochs=None"),
        (lambda: trainer_of().fit(epochs=1, steps=1), ValueError, "fit needs epochs or steps"),
        (lambda: trainer_of().fit(epochs=-1), ValueError, "epochs must be at least 0, got -1"),
        (lambda: trainer_of().fit(steps=1.5), TypeError, "steps must be an int, got float"),
        (
            lambda: nn.Trainer(
                small(),
                nn.SGD(0.1),
                nn.Data(np.ones((3, 64)), np.ones(3), np.ones((1, 64)), np.ones(1)),
                batch_size=1,
                seed=0,
            ),
            TypeError,
            "data.y_train must be an array of int, got float64",
        ),
    ],
)
def test_bad_input_is_named(call: Callable[[], Any], error: Any, message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
