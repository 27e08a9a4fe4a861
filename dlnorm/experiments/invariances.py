"""Which norm does not notice what: every cell of the table is a computation.

Exact: each cell follows from an equation of the book's chapter on invariances, for all weights and
all data, and is checked here on random ones. It is no finding that could have come out otherwise;
what can go wrong is a formula, the code, or the paper's table.

Ba, Kiros & Hinton (2016), Table 1: which changes of the weights and of the data leave the
normalized output of a layer as it was, for batch, weight and layer norm. What is different here:
RMS, group, instance and cosine norm as well, and no norm, which is the control; and negative
factors, where "as it was" has to mean "with its sign turned". The layer is fully connected; for
instance norm, which needs images, it maps the channels of every pixel. With eps = 0 an invariance
is exact; with a large eps every invariance of an activation norm to a scale is lost.

For the weight scale l the gradient is also checked: the one with respect to l W is 1 / l times the
one with respect to W, whenever the output is invariant.

Values: ``change`` (eps, norm, transformation), by how much the output changes, relative to its
largest entry, where the output turns its sign with a negative factor; ``gradient`` (norm), by how
much l times the gradient at l W differs from the gradient at W, relative; norms in the order of
`NORMS`, transformations in that of `TRANSFORMATIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.cosinenorm import cosinenorm_backward, cosinenorm_forward
from dlnorm.experiments._core import BaseSettings, Result, Verdict, graded
from dlnorm.experiments._networks import streams
from dlnorm.plotting import BLUE, ORANGE, Shown, show, subplots
from dlnorm.weightnorm import weightnorm_backward, weightnorm_forward

KIND = "exact"
N, D_IN, D_OUT = 6, 5, 8
FACTOR = 3.0
Backward = Callable[[Array], Array]
#: From x of shape (N, D_IN, H, W), weights and eps to the output, (N, D_OUT, H, W), and to what
#: makes the gradient of the weights of an upstream gradient.
Layer = Callable[[Array, Array, float], tuple[Array, Backward]]


def _rows(x: Array) -> Array:
    """Return the channels of every pixel as a row."""
    rows: Array = x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1])
    return rows


def _images(rows: Array, x: Array) -> Array:
    """Return rows as images again, of the height and width of x."""
    n, _, h, w = x.shape
    return rows.reshape(n, h, w, -1).transpose(0, 3, 1, 2)


def _none(x: Array, weights: Array, eps: float) -> tuple[Array, Backward]:
    return _images(_rows(x) @ weights, x), lambda d: _rows(x).T @ _rows(d)


def _weight(x: Array, weights: Array, eps: float) -> tuple[Array, Backward]:
    """Weight norm with g = 1; it knows no eps."""
    w, cache = weightnorm_forward(weights, np.ones(D_OUT))
    out, linear_backward = _none(x, w, eps)
    return out, lambda d: weightnorm_backward(linear_backward(d), cache)[0]


def _cosine(x: Array, weights: Array, eps: float) -> tuple[Array, Backward]:
    out, cache = cosinenorm_forward(_rows(x), weights, eps)
    return _images(out, x), lambda d: cosinenorm_backward(_rows(d), cache)[1]


def _followed_by(norm: Callable[[float], nn.Layer | nn.Sequential]) -> Layer:
    """Return the linear map with a norm of its output after it."""

    def layer(x: Array, weights: Array, eps: float) -> tuple[Array, Backward]:
        a, linear_backward = _none(x, weights, eps)
        after = norm(eps)
        out = after.forward(a, "train")
        return out, lambda d: linear_backward(after.backward(d))

    return layer


def _rms(eps: float) -> nn.Sequential:
    """RMS norm, which takes rows: the samples have one pixel."""
    return nn.Sequential(nn.Flatten(), nn.RMSNorm(D_OUT, eps=eps), nn.Reshape(D_OUT, 1, 1))


#: Name: (layer, height and width of the samples). Instance norm has nothing to average over where
#: there is one pixel; the others see a fully connected layer, as in the paper.
NORMS: dict[str, tuple[Layer, tuple[int, int]]] = {
    "none": (_none, (1, 1)),
    "batch": (_followed_by(lambda eps: nn.BatchNorm(D_OUT, eps=eps)), (1, 1)),
    "layer": (_followed_by(lambda eps: nn.LayerNorm(D_OUT, eps=eps)), (1, 1)),
    "RMS": (_followed_by(_rms), (1, 1)),
    "group": (_followed_by(lambda eps: nn.GroupNorm(D_OUT, 2, eps=eps)), (1, 1)),
    "instance": (_followed_by(lambda eps: nn.InstanceNorm(D_OUT, eps=eps)), (3, 4)),
    "weight": (_weight, (1, 1)),
    "cosine": (_cosine, (1, 1)),
}
#: Those with an eps that is compared to a variance.
ACTIVATION_NORMS = ("batch", "layer", "RMS", "group", "instance")


def _one_unit(weights: Array) -> Array:
    scaled = weights.copy()
    scaled[:, 2] *= FACTOR
    return scaled


def _one_sample(x: Array) -> Array:
    scaled = x.copy()
    scaled[1] *= FACTOR
    return scaled


def _same(a: Array) -> Array:
    return a


#: Name: (what happens to x, what happens to the weights, the sign the output should take).
TRANSFORMATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array], int]] = {
    "weights × 3": (_same, lambda w: FACTOR * w, 1),
    "weights × −3": (_same, lambda w: -FACTOR * w, -1),
    # "re-centered" in the paper: the same vector is added to the weights of every unit
    "weights shifted": (_same, lambda w: w + np.linspace(-1, 2, D_IN)[:, np.newaxis], 1),
    "one unit × 3": (_same, _one_unit, 1),
    "data × 3": (lambda x: FACTOR * x, _same, 1),
    "data × −3": (lambda x: -FACTOR * x, _same, -1),
    "data shifted": (lambda x: x + np.linspace(-1, 2, D_IN)[:, None, None], _same, 1),
    "one sample × 3": (_one_sample, _same, 1),
}
#: Ba, Kiros & Hinton's table: weights scaled, re-centered, one unit's scaled; data scaled,
#: re-centered, one case scaled.
TABLE_1 = {
    "batch": (True, False, True, True, True, False),
    "weight": (True, False, True, False, False, False),
    "layer": (True, True, False, True, False, True),
}
_COLUMNS = (
    *("weights × 3", "weights shifted", "one unit × 3"),
    *("data × 3", "data shifted", "one sample × 3"),
)
#: A change below this is rounding: outputs come from sums of at most a dozen terms.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Settings(BaseSettings):
    """What is varied: eps."""

    eps: tuple[float, ...] = (0.0, 1e-5, 0.5)

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls((0, 1, 2))

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        return cls(tuple(range(10)))


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's changes, for random weights and data with a mean."""
    random = streams(seed)
    weights = random.weights.standard_normal((D_IN, D_OUT))
    change = np.empty((len(settings.eps), len(NORMS), len(TRANSFORMATIONS)))
    gradient = np.empty(len(NORMS))
    for n, (layer, pixels) in enumerate(NORMS.values()):
        x = 0.5 + random.noise.standard_normal((N, D_IN, *pixels))
        dout = random.noise.standard_normal((N, D_OUT, *pixels))
        for e, eps in enumerate(settings.eps):
            before = layer(x, weights, eps)[0]
            for t, (of_x, of_weights, sign) in enumerate(TRANSFORMATIONS.values()):
                after = layer(of_x(x), of_weights(weights), eps)[0]
                change[e, n, t] = np.abs(after - sign * before).max() / np.abs(before).max()
        at_weights = layer(x, weights, 0.0)[1](dout)
        at_scaled = FACTOR * layer(x, FACTOR * weights, 0.0)[1](dout)
        gradient[n] = np.abs(at_scaled - at_weights).max() / np.abs(at_weights).max()
    return {"change": change, "gradient": gradient}


def invariant(result: Result[Settings], eps: int = 0) -> Array:
    """Return the table: which norm (row) leaves out which transformation (column)."""
    table: Array = result["change"][:, eps].max(axis=0) < ROUNDING
    return table


def markdown(result: Result[Settings]) -> str:
    """Return the table for eps = 0 as Markdown, for a page to show."""
    lines = [
        "| norm | " + " | ".join(TRANSFORMATIONS) + " |",
        "|---" * (1 + len(TRANSFORMATIONS)) + "|",
    ]
    for name, row in zip(NORMS, invariant(result), strict=True):
        lines.append(f"| {name} | " + " | ".join("✓" if cell else "✗" for cell in row) + " |")
    return "\n".join(lines)


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether the table is Ba, Kiros & Hinton's where they overlap."""
    table, norms, columns = invariant(result), list(NORMS), list(TRANSFORMATIONS)
    cells = [
        bool(table[norms.index(norm), columns.index(column)]) == expected
        for norm, row in TABLE_1.items()
        for column, expected in zip(_COLUMNS, row, strict=True)
    ]
    scaled = table[:, columns.index("weights × 3")]
    gradient = float(result["gradient"][:, scaled].max(initial=0))
    scales = [columns.index(name) for name in ("weights × 3", "data × 3")]
    largest = result["change"][:, -1][:, :, scales]
    lost = largest[:, [norms.index(name) for name in ACTIVATION_NORMS]]
    text = (
        f"{sum(cells)} of {len(cells)} cells as in the paper's table; all are exact. Gradients at "
        f"3 W are a third of those at W to {gradient:.0e}. With eps = {result.settings.eps[-1]:g} "
        f"scaling by 3 changes the output of every activation norm, by {lost.min():.2f} of it or "
        f"more."
    )
    return Verdict(graded(all(cells), gradient < 1e-10, lost.min() > 1e-3), text)


def figure(result: Result[Settings]) -> Shown:
    """Draw the table for eps = 0."""
    table = invariant(result)
    fig, ax = subplots(height=3.2)
    for (n, t), yes in np.ndenumerate(table):
        mark, color = ("✓", BLUE) if yes else ("✗", ORANGE)
        ax.text(t, n, mark, ha="center", va="center", color=color, fontsize=15)
    ax.set(xlim=(-0.5, len(TRANSFORMATIONS) - 0.5), ylim=(len(NORMS) - 0.5, -0.5))
    headings = [name.replace(" ×", "\n×").replace(" shi", "\nshi") for name in TRANSFORMATIONS]
    ax.set_xticks(range(len(TRANSFORMATIONS)), headings)
    ax.set_yticks(range(len(NORMS)), NORMS)
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    rows = "; ".join(
        f"{name}: {', '.join(t for t, yes in zip(TRANSFORMATIONS, row, strict=True) if yes) or '-'}"
        for name, row in zip(NORMS, table, strict=True)
    )
    return show(fig, alt=f"A table of what leaves each norm's output as it was. {rows}.")
