"""Layer norm and RMS norm work at every batch size, and about equally well.

Ba, Kiros & Hinton (2016), Section 6.6, train the same network on digits with batches of 128 and of
4: layer norm learns in both, batch norm much worse in the second. Zhang & Sennrich (2019): leaving
the mean out, as RMS norm does, costs no accuracy. Here: three hidden layers, the same number of
epochs and a learning rate in proportion to the batch size.

Values: ``error`` of the test images in percent, (norm, batch size), norms in the order of `NORMS`.
"""

from __future__ import annotations

from dataclasses import dataclass

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.experiments._batch_size import SweepSettings, draw, sweep
from dlnorm.experiments._core import Result, Verdict, above, clear, graded, mean, pm
from dlnorm.experiments._networks import Norm
from dlnorm.plotting import Shown

NORMS: dict[str, Norm | None] = {
    "layer norm": nn.LayerNorm,
    "RMS norm": nn.RMSNorm,
    "no norm": None,
}
LAYER, RMS = 0, 1


@dataclass(frozen=True)
class Settings(SweepSettings):
    """What is varied: the batch size."""

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls((0, 1, 2), batch_sizes=(2, 8, 32), epochs=4, n_train=600)

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        return cls(tuple(range(8)), batch_sizes=(2, 4, 8, 32, 128), epochs=20)


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's errors."""
    return sweep(NORMS, settings, seed)


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether the smallest batches do no harm, and whether the mean can be left out."""
    error, sizes = result["error"], result.settings.batch_sizes
    harm = error[:, :, 0] - error[:, :, -1]
    unharmed = not above(harm[:, LAYER]) and not above(harm[:, RMS])
    apart = (error[:, RMS] - error[:, LAYER]).mean(axis=1)
    alike = not clear(apart) or abs(float(mean(apart))) < 1
    spans = [
        f"{name} {low:.1f} to {high:.1f} %"
        for name, low, high in zip(
            NORMS, mean(error).min(axis=1), mean(error).max(axis=1), strict=True
        )
    ]
    text = (
        f"test error over batch sizes {sizes[0]} to {sizes[-1]}: {', '.join(spans)}. RMS norm "
        f"minus layer norm: {pm(apart, 2)} points."
    )
    return Verdict(graded(unharmed, alike), text)


def figure(result: Result[Settings]) -> Shown:
    """Draw the error of each norm against the batch size."""
    error = mean(result["error"])
    return draw(
        result,
        NORMS,
        alt=f"Test error against the batch size. Layer norm stays between {error[LAYER].min():.1f} "
        f"and {error[LAYER].max():.1f} %, RMS norm between {error[RMS].min():.1f} and "
        f"{error[RMS].max():.1f} %.",
    )
