"""Train a network on labeled data; stop, save, go on as if nothing had happened."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from tqdm import tqdm

from dlnorm import _validate
from dlnorm._validate import Array
from dlnorm.nn import storage
from dlnorm.nn.data import Data
from dlnorm.nn.initializers import size
from dlnorm.nn.loss import labels, softmax_cross_entropy
from dlnorm.nn.network import DivergedError, Sequential, usable
from dlnorm.nn.optimizers import Optimizer

#: Seconds before a progress bar appears.
PATIENCE = 2.0

Order = Callable[[np.random.Generator, Array], Array]


def shuffled(rng: np.random.Generator, y: Array) -> Array:
    """Return the samples' numbers in random order, for one epoch."""
    return rng.permutation(len(y))


class Trainer:
    """Minimize a network's softmax cross-entropy over batches of the training data.

    Parameters
    ----------
    network : Sequential
    optimizer : Optimizer
    data : Data
        Its training part is trained on; it is never changed.
    batch_size : int
        At most the number of training samples. What is left of an epoch when no full batch
        remains is skipped: a smaller batch would have other statistics.
    seed : int
        For the order of the samples. Layers have generators of their own.
    order : callable, optional
        ``order(rng, y_train)`` returns the samples' numbers in the order in which the next epoch
        goes through them; `shuffled` if left out.

    Attributes
    ----------
    step : int
        How many steps have been made.
    losses : ndarray, shape (step,)
        The loss of each step's batch, before the step.
    diverged : str or None
        Where and at which step numbers stopped being finite; then no further step is made.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> network = Sequential(Linear(64, 32, rng), BatchNorm(32), ReLU(), Linear(32, 10, rng))
    >>> trainer = Trainer(network, SGD(lr=0.5), digits(seed=0), batch_size=50, seed=0)
    >>> trainer.fit(epochs=2)
    >>> trainer.step, bool(trainer.losses[-1] < trainer.losses[0] / 4)
    (50, True)
    """

    def __init__(
        self,
        network: Sequential,
        optimizer: Optimizer,
        data: Data,
        *,
        batch_size: int,
        seed: int,
        order: Order = shuffled,
    ) -> None:
        self.network, self.optimizer, self.data = network, optimizer, data
        samples = len(_validate.array("data.x_train", data.x_train, "N, ..."))
        labels("data.y_train", data.y_train, samples, int(np.max(data.y_train)) + 1)
        self.batch_size = size("batch_size", batch_size)
        if batch_size > samples:
            raise ValueError(
                f"batch_size must be at most the {samples} training samples, got {batch_size}"
            )
        self.rng = np.random.default_rng(_validate.seed("seed", seed))
        self.order = order
        self.step = 0
        self.diverged: str | None = None
        self._losses: list[float] = []
        self._epoch = np.empty(0, np.int64)  # the samples' numbers, in this epoch's order
        self._next = 0  # where in it the next batch starts

    @property
    def losses(self) -> Array:
        """The loss of each step's batch so far."""
        return np.array(self._losses)

    def recent_loss(self, batches: int) -> float:
        """Return the mean loss of the last so many batches; infinite before there were so many."""
        recent = self._losses[-batches:]
        return sum(recent) / batches if len(recent) == batches else float("inf")

    @property
    def steps_per_epoch(self) -> int:
        """How many full batches there are."""
        return len(self.data.x_train) // self.batch_size

    def fit(
        self,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        callback: Callable[[Trainer], bool | None] | None = None,
        disable: bool | None = None,
    ) -> None:
        """Train for some epochs or some steps more.

        Parameters
        ----------
        epochs, steps : int
            One of the two.
        callback : callable, optional
            ``callback(trainer)`` runs after every step and ends the training by returning True.
        disable : bool, optional
            True never shows a progress bar, False does if it takes over two seconds; if left
            out, only where there is a terminal to show it.

        Raises
        ------
        TypeError, ValueError
            If not one of `epochs` and `steps` is given, or a number that is no count.

        Notes
        -----
        Nothing is raised when numbers stop being finite: `diverged` says so, and the training
        is over.
        """
        if (epochs is None) == (steps is None):
            raise ValueError(f"fit needs epochs or steps, got epochs={epochs} and steps={steps}")
        if steps is None:
            steps = _validate.seed("epochs", epochs) * self.steps_per_epoch
        steps = _validate.seed("steps", steps)
        with tqdm(total=steps, unit="step", delay=PATIENCE, disable=disable, leave=False) as bar:
            for _ in range(steps):
                if not self._one_step() or (callback is not None and callback(self)):
                    break
                bar.update()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all that `load` needs to go on from here, to one .npz file.

        Parameters
        ----------
        path : str or path

        Raises
        ------
        OSError
            If the file cannot be written.

        Notes
        -----
        In it: parameters, running statistics, what the optimizer remembers, the states of all
        generators, the losses, and where in which order of the samples the next batch starts.
        Not in it: the network's layers, the optimizer's settings and the data, which the program
        that made them can make again.
        """
        arrays = {
            **_prefixed("params", self.network.params),
            **_prefixed("memory", self.network.memory),
            **_prefixed("optimizer", self.optimizer.state),
            "losses": self.losses,
            "epoch": self._epoch,
        }
        storage.write(path, arrays, self._record())

    def load(self, path: str | os.PathLike[str]) -> None:
        """Go on from a saved state, bit for bit as if training had never stopped.

        Parameters
        ----------
        path : str or path
            Written by `save` of a trainer made in the same way.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is damaged, or another network's or another kind of training's. Then nothing
            has been changed.
        """
        arrays, record = storage.read(path)
        own, params = self._record(), self.network.params
        for key in ("kind", "optimizer", "batch_size", "samples"):
            found = record.get(key) if isinstance(record, dict) else None
            if found != own[key]:
                raise ValueError(f"{path} must have {key} {own[key]!r}, got {found!r}")
        _same_arrays(path, "params", _within("params", arrays), params)
        _same_arrays(path, "memory", _within("memory", arrays), self.network.memory)
        generators = self._generators()
        if generators.keys() != record["generators"].keys():
            raise ValueError(
                f"{path} must have a generator for {sorted(generators)}, "
                f"got one for {sorted(record['generators'])}"
            )

        for name, generator in generators.items():
            generator.bit_generator.state = record["generators"][name]
        for name, value in _within("params", arrays).items():
            params[name][...] = value
        self.network.remember(_within("memory", arrays))
        self.optimizer.state = _within("optimizer", arrays)
        self._losses = arrays["losses"].tolist()
        self._epoch, self._next = arrays["epoch"], record["next"]
        self.step, self.diverged = record["step"], record["diverged"]

    def _generators(self) -> dict[str, np.random.Generator]:
        """Return every generator that training draws from."""
        layers = {f"layer {i}": generator for i, generator in self.network.generators.items()}
        return {"the order": self.rng, **layers}

    def _record(self) -> dict[str, Any]:
        """Return what of the state is no array, and what a saved state must have in common."""
        return {
            "kind": "dlnorm.nn.Trainer",
            "optimizer": type(self.optimizer).__name__,
            "batch_size": self.batch_size,
            "samples": len(self.data.x_train),
            "step": self.step,
            "next": self._next,
            "diverged": self.diverged,
            "generators": {
                name: generator.bit_generator.state
                for name, generator in self._generators().items()
            },
        }

    def _one_step(self) -> bool:
        """Make one step; False if there is none to make any more."""
        if self.diverged is not None:
            return False
        batch = self._batch()
        x, y = self.data.x_train[batch], self.data.y_train[batch]
        try:
            # what overflows is caught at the next layer, and told with its place
            with np.errstate(over="ignore", invalid="ignore", under="ignore"):
                loss, dscores = softmax_cross_entropy(self.network.forward(x, "train"), y)
                self._losses.append(float(loss))
                self.network.backward(dscores)
                params = self.network.params
                self.optimizer.step(params, self.network.grads)
                for name, param in params.items():
                    usable(param, f"parameter {name}")
        except DivergedError as error:
            if len(self._losses) == self.step:  # the forward pass did not get as far as a loss
                self._losses.append(float("nan"))
            self.diverged = f"step {self.step + 1}: {error}"
        self.step += 1
        return self.diverged is None

    def _batch(self) -> Array:
        """Return the numbers of the next batch's samples; a new epoch begins when needed."""
        if self._next + self.batch_size > len(self._epoch):
            self._epoch = np.asarray(self.order(self.rng, self.data.y_train))
            self._next = 0
        batch = self._epoch[self._next : self._next + self.batch_size]
        self._next += self.batch_size
        return batch


def _prefixed(kind: str, arrays: dict[str, Array]) -> dict[str, Array]:
    return {f"{kind}/{name}": value for name, value in arrays.items()}


def _within(kind: str, arrays: dict[str, Array]) -> dict[str, Array]:
    start = f"{kind}/"
    return {name[len(start) :]: a for name, a in arrays.items() if name.startswith(start)}


def _same_arrays(path: Any, kind: str, found: dict[str, Array], expected: dict[str, Array]) -> None:
    """Raise unless two sets of arrays have the same names, shapes and dtypes."""
    for name in sorted(found.keys() | expected.keys()):
        there = [
            _kind_of(arrays[name]) if name in arrays else "nothing" for arrays in (expected, found)
        ]
        if there[0] != there[1]:
            raise ValueError(f"{path} must have {kind} {name} = {there[0]}, got {there[1]}")


def _kind_of(array: Array) -> str:
    return f"{array.dtype} of shape {array.shape}"
