"""Weight scaling is about as good as averaging many noisy passes, and much better than few.

Srivastava et al. (2014), Section 7.5: the mean prediction of k thinned networks, drawn at random,
becomes as good as the one network with scaled weights at about k = 50. Gal & Ghahramani (2016),
Section 5.2: what the passes disagree on tells when the network does not know: the entropy of the
mean prediction is larger for images unlike those it was trained on. Here the unlike images are the
test images with their pixels shuffled, anew in each.

Values: ``scaled``, the test error of weight scaling in percent; ``averaged`` (k), that of the mean
of k passes; ``entropy``, in nats, of the mean prediction of all passes, for test images (0) and
for shuffled ones (1); ``auroc``, the probability that the entropy is larger for a shuffled image
than for a test image, one drawn at random from each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.experiments._core import BaseSettings, Result, Verdict, above, graded, mean, pm, stderr
from dlnorm.experiments._draw import points
from dlnorm.experiments._networks import mlp, streams
from dlnorm.noise import mc_dropout
from dlnorm.plotting import BLUE, GRAY, ORANGE, Shown, show, subplots


@dataclass(frozen=True)
class Settings(BaseSettings):
    """What is varied: the number of noisy passes."""

    passes: tuple[int, ...]
    width: int
    steps: int
    n_train: int = 500
    p: float = 0.5

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls(tuple(range(4)), passes=(1, 3, 10, 30), width=128, steps=400)

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        return cls(tuple(range(16)), passes=(1, 3, 10, 30, 100, 300), width=256, steps=1000)


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's errors, entropies and how well these tell the images apart."""
    data, random = nn.digits(seed, n_train=settings.n_train), streams(seed)
    network = mlp((64, settings.width, settings.width, 10), random, p=settings.p)
    trainer = nn.Trainer(network, nn.SGD(0.05, 0.9), data, batch_size=50, seed=random.order)
    trainer.fit(steps=settings.steps, disable=True)

    scaled = nn.error_percent(network, data.x_test, data.y_test)
    shuffled = random.noise.permuted(data.x_test, axis=1)
    total = np.zeros((len(data.x_test), 10))
    averaged, before = [], 0
    for passes in settings.passes:
        more = passes - before  # the passes before are used again
        average, _ = mc_dropout(nn.noisy(network), data.x_test, more, random.noise)
        total, before = total + more * average, passes
        averaged.append(100 * (total.argmax(axis=1) != data.y_test).mean())
    strange, _ = mc_dropout(nn.noisy(network), shuffled, settings.passes[-1], random.noise)
    known, unknown = _entropy(total / before), _entropy(strange)
    return {
        "scaled": np.array(scaled),
        "averaged": np.array(averaged),
        "entropy": np.array([known.mean(), unknown.mean()]),
        "auroc": np.array(_auroc(known, unknown)),
    }


def _entropy(p: Array) -> Array:
    """Return the entropy of each row, in nats; 0 log 0 is 0."""
    logs = np.log(p, out=np.zeros_like(p), where=p > 0)
    entropy: Array = -(p * logs).sum(axis=1)
    return entropy


def _auroc(low: Array, high: Array) -> float:
    """Return how often an entry of `high` exceeds one of `low`; a tie counts half."""
    difference = high[:, np.newaxis] - low
    return float((difference > 0).mean() + (difference == 0).mean() / 2)


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether one pass is worse, many are about as good, and shuffled images stand out."""
    passes, scaled, averaged = result.settings.passes, result["scaled"], result["averaged"]
    one, many = averaged[:, 0] - scaled, averaged[:, -1] - scaled
    known, unknown = result["entropy"].T
    text = (
        f"test error with weight scaling {pm(scaled, 2)} %, with one noisy pass "
        f"{pm(averaged[:, 0], 2)} %, with the mean of {passes[-1]} {pm(averaged[:, -1], 2)} %. "
        f"Entropy {pm(known, 2)} for test images and {pm(unknown, 2)} for shuffled ones, which it "
        f"tells apart with an AUROC of {pm(result['auroc'], 3)}."
    )
    few_worse = above(one)
    catches_up = abs(float(mean(many))) < float(mean(one)) / 4
    tells = above(result["auroc"] - 0.8)
    return Verdict(graded(few_worse, catches_up, tells), text)


def figure(result: Result[Settings]) -> Shown:
    """Draw the error against the number of passes, and the two entropies."""
    fig, (left, right) = subplots(ncols=2, width_ratios=(2, 1))
    passes = np.array(result.settings.passes)
    points(left, passes, result["averaged"], color=BLUE, label="mean of noisy passes")
    scaled, spread = result.mean("scaled"), result.stderr("scaled")
    left.axhline(scaled, color=ORANGE, label="weight scaling")
    left.axhspan(scaled - spread, scaled + spread, color=ORANGE, alpha=0.3, lw=0)
    left.set(xscale="log", xlabel="passes", ylabel="test error, %", ylim=(0, None))
    left.set_xticks(passes, [str(k) for k in passes])
    left.minorticks_off()
    left.legend(loc="lower left")
    right.bar(
        ["test", "shuffled"],
        result.mean("entropy"),
        yerr=stderr(result["entropy"]),
        color=(BLUE, GRAY),
        capsize=3,
        width=0.6,
    )
    right.set(ylabel="entropy, nats", ylim=(0, np.log(10)))
    first, last = result.mean("averaged")[[0, -1]]
    known, unknown = result.mean("entropy")
    return show(
        fig,
        alt=f"Left: test error against the number of noisy passes that are averaged; it falls from "
        f"{first:.1f} % to {last:.1f} %, and weight scaling has {scaled:.1f} %. Right: entropy of "
        f"the mean prediction, {known:.2f} nats for test images and {unknown:.2f} for shuffled.",
    )
