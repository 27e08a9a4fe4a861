"""One clean ruler for every training: fixed samples, test mode, noise off, to a stated budget."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.nn.data import Data
from dlnorm.nn.loss import log_softmax


@dataclass(frozen=True)
class Ruler:
    """Fixed samples on which a network is judged, never the batch that it was just trained on.

    Parameters
    ----------
    x : ndarray, shape (N, ...)
        Training samples, then test samples.
    y : ndarray of int, shape (N,)
    training : int
        How many of them are training samples.

    Examples
    --------
    >>> ruler = Ruler.of(nn.digits(seed=0), samples=100)
    >>> network = nn.Sequential(nn.Linear(64, 10, np.random.default_rng(0), init=0.0))
    >>> loss, error = ruler.read(network)  # all classes are equally probable: log(10)
    >>> round(loss, 4)
    2.3026
    """

    x: Array
    y: Array
    training: int

    @classmethod
    def of(cls, data: Data, samples: int = 200) -> Ruler:
        """Take the first `samples` of the training part, and as many of the test part."""
        x, y = ((train[:samples], test[:samples]) for train, test in (data[0::2], data[1::2]))
        return cls(np.concatenate(x), np.concatenate(y), len(x[0]))

    def read(self, network: nn.Sequential) -> tuple[float, float]:
        """Return training loss and test error in percent, both in test mode.

        Infinite and 100 if the network's numbers are no longer finite.
        """
        try:
            with np.errstate(over="ignore", invalid="ignore", under="ignore"):
                scores = network.forward(self.x, "test")
        except nn.DivergedError:
            return float("inf"), 100.0
        right = log_softmax(scores[: self.training])[
            np.arange(self.training), self.y[: self.training]
        ]
        wrong = scores[self.training :].argmax(axis=1) != self.y[self.training :]
        return -float(right.mean()), 100 * float(wrong.mean())


@dataclass(frozen=True)
class Curve:
    """What the ruler read while a network was trained.

    Parameters
    ----------
    steps : ndarray of int, shape (readings,)
    loss, error : ndarray, shape (readings,)
        Training loss; test error in percent.
    """

    steps: Array
    loss: Array
    error: Array

    def first(self, *, loss: float | None = None, error: float | None = None) -> float:
        """Return the step of the first reading below all bounds given; infinite if there is none.

        Infinite means censored: more than the budget of the run.
        """
        below = np.ones(len(self.steps), bool)
        if loss is not None:
            below &= self.loss < loss
        if error is not None:
            below &= self.error < error
        return float(self.steps[below.argmax()]) if below.any() else float("inf")


def follow(
    trainer: nn.Trainer,
    ruler: Ruler,
    budget: int,
    *,
    every: int,
    loss: float = 0.0,
) -> Curve:
    """Train up to `budget` steps, and read the ruler after every so many.

    Parameters
    ----------
    trainer : Trainer
        One that has made no step yet.
    ruler : Ruler
    budget : int
        A run that ends here is censored, not finished.
    every : int
        Steps from reading to reading; `budget` is read in any case.
    loss : float
        The training is over when the ruler reads a training loss below this.

    Returns
    -------
    Curve
        If numbers stop being finite, its last reading is an infinite loss, at the step where it
        happened.
    """
    readings: list[tuple[int, float, float]] = []

    def look(t: nn.Trainer) -> bool:
        if t.step % every and t.step != budget:
            return False
        readings.append((t.step, *ruler.read(t.network)))
        return readings[-1][1] < loss

    trainer.fit(steps=budget, callback=look, disable=True)
    if trainer.diverged is not None:
        readings.append((trainer.step, float("inf"), 100.0))
    steps, losses, errors = zip(*readings, strict=True)
    return Curve(np.array(steps), np.array(losses), np.array(errors))
