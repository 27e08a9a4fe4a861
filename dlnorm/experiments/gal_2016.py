"""Weight scaling is about as good as averaging many noisy passes, and much better than few.

A test of two papers' findings, with one related question of ours.

Srivastava et al. (2014), Section 7.5: the mean prediction of k thinned networks, drawn at random,
becomes as good as the one network with scaled weights at about k = 50. Gal & Ghahramani (2016),
Section 5.2: the passes disagree more on images unlike those that the network was trained on; the
paper turns an image of a digit little by little, and looks at the scatter of the passes.

What is different here: digits of 8 by 8 pixels and a small network; the disagreement is summed up
in the entropy of the mean prediction; and the unlike images are the test images turned by 90
degrees, and with their pixels shuffled, anew in each. All predictions are those of one and the same
network, trained once, so that there is no rate to choose.

The related question: does it take the passes? The control is the entropy of the one prediction that
weight scaling makes.

Values: ``scaled``, the test error of weight scaling in percent; ``averaged`` (k), that of the mean
of k passes; ``entropy`` (images, method), in nats, of the mean prediction of all passes (0) and of
weight scaling (1), for test images, turned ones and shuffled ones; ``auroc`` (unlike images,
method), the probability that the entropy is larger for an unlike image than for a test image, one
drawn at random from each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.experiments._core import BaseSettings, Result, Verdict, graded
from dlnorm.experiments._intervals import Interval, interval
from dlnorm.experiments._networks import mlp, streams
from dlnorm.noise import mc_dropout
from dlnorm.plotting import BLUE, INK, ORANGE, Shown, show, subplots

KIND = "the paper's finding"
IMAGES = ("test", "turned", "shuffled")
TURNED, SHUFFLED = range(2)
PASSES, SCALED = range(2)
#: Two errors that are closer than this, in points, with 95 % confidence, count as equal.
MARGIN = 0.5


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
        return cls((0, 1, 2), passes=(1, 3, 10, 30), width=64, steps=250)

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        return cls(tuple(range(16)), passes=(1, 3, 10, 30, 100, 300), width=128, steps=800)


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's errors, entropies and how well these tell the images apart."""
    data, random = nn.digits(seed, n_train=settings.n_train), streams(seed)
    network = mlp((64, settings.width, settings.width, 10), random, p=settings.p)
    trainer = nn.Trainer(network, nn.SGD(0.05, 0.9), data, batch_size=50, seed=random.order)
    trainer.fit(steps=settings.steps, disable=True)

    scaled = nn.error_percent(network, data.x_test, data.y_test)
    turned = np.rot90(data.x_test.reshape(-1, 8, 8), axes=(1, 2)).reshape(data.x_test.shape)
    shuffled = random.noise.permuted(data.x_test, axis=1)
    total = np.zeros((len(data.x_test), 10))
    averaged, before = [], 0
    for passes in settings.passes:
        more = passes - before  # the passes before are used again
        average, _ = mc_dropout(nn.noisy(network), data.x_test, more, random.noise)
        total, before = total + more * average, passes
        averaged.append(100 * (total.argmax(axis=1) != data.y_test).mean())
    by_passes = [total / before] + [
        mc_dropout(nn.noisy(network), x, before, random.noise)[0] for x in (turned, shuffled)
    ]
    by_scaling = [nn.predict(network, x) for x in (data.x_test, turned, shuffled)]
    entropies = [[_entropy(p) for p in pair] for pair in zip(by_passes, by_scaling, strict=True)]
    known, *unknown = entropies
    return {
        "scaled": np.array(scaled),
        "averaged": np.array(averaged),
        "entropy": np.mean(entropies, axis=-1),
        "auroc": np.array(
            [[_auroc(*pair) for pair in zip(known, e, strict=True)] for e in unknown]
        ),
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


def behind(result: Result[Settings]) -> list[Interval]:
    """Return by how many points the mean of k passes is worse than weight scaling, for each k."""
    return [
        interval(result["averaged"][:, k] - result["scaled"])
        for k in range(len(result.settings.passes))
    ]


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether one pass is worse, many are as good, and unlike images stand out."""
    passes, late = result.settings.passes, behind(result)
    scaled, auroc = interval(result["scaled"]), result["auroc"]
    tells = [interval(auroc[:, k, PASSES]) for k in (TURNED, SHUFFLED)]
    more = [interval(auroc[:, k, PASSES] - auroc[:, k, SCALED]) for k in (TURNED, SHUFFLED)]
    text = (
        f"test error with weight scaling {scaled:.2f} %; one noisy pass is worse by {late[0]:.2f} "
        f"points, the mean of {passes[-1]} by {late[-1]:.2f}. The entropy of the mean prediction "
        f"tells test images from turned ones with an AUROC of {tells[TURNED]:.3f}, from shuffled "
        f"ones with {tells[SHUFFLED]:.3f}; that of weight scaling alone is behind "
        f"these by {more[TURNED]:.3f} and {more[SHUFFLED]:.3f}."
    )
    equal = late[-1].low > -MARGIN and late[-1].high < MARGIN
    return Verdict(graded(late[0].low > 0, equal, *(t.low > 0.5 for t in tells)), text)


def figure(result: Result[Settings]) -> Shown:
    """Draw the error against the number of passes, and the entropies, with 95 % intervals."""
    fig, (left, right) = subplots(ncols=2, width_ratios=(3, 2))
    passes, late = np.array(result.settings.passes), behind(result)
    middle = [bar.middle for bar in late]
    half = [bar.high - bar.middle for bar in late]
    left.errorbar(passes, middle, half, fmt="o-", color=BLUE, capsize=3, ms=5)
    left.axhline(0, color=ORANGE, label="weight scaling")
    left.set(xscale="log", xlabel="passes", ylabel="error above weight scaling")
    left.set_xticks(passes, [str(k) for k in passes])
    left.minorticks_off()
    left.legend(loc="upper right")
    for method, (label, color) in enumerate((("passes", BLUE), ("scaling", ORANGE))):
        bars = [interval(result["entropy"][:, k, method]) for k in range(len(IMAGES))]
        right.bar(
            np.arange(len(IMAGES)) + 0.4 * (method - 0.5),
            [bar.middle for bar in bars],
            0.38,
            yerr=[bar.high - bar.middle for bar in bars],
            ecolor=INK,
            color=color,
            capsize=2,
            label=label,
        )
    right.set_xticks(range(len(IMAGES)), IMAGES)
    right.set(ylabel="entropy, nats", ylim=(0, np.log(10)))
    right.legend(loc="upper left")
    known, turned, shuffled = result.mean("entropy")[:, PASSES]
    return show(
        fig,
        alt=f"Left: how much worse the mean of noisy passes is than weight scaling; it falls from "
        f"{middle[0]:.1f} points for one pass to {middle[-1]:.1f} for {passes[-1]}. Right: entropy "
        f"of the mean prediction, {known:.2f} nats for test images, {turned:.2f} for turned ones "
        f"and {shuffled:.2f} for shuffled ones; beside it that of weight scaling.",
    )
