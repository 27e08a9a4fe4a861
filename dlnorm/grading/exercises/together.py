"""The problem set that puts dropout, the norms and a whole network together.

Shifts and statistics are compared number by number. A description of a network is compared as
words, and so is what training gives: 500 pairs of digits, then 500 others to name, all of them in
a disguise in which no file helps to name them (`_Disguise`). The network of the reference gets
94.4 % of the digits in the file right, with a standard deviation of 1.1 points from seed to seed
(50 seeds), and as many of those in disguise, so `checker.MARK` lies eight standard deviations
below; batch norm in its place gets 49 %, with a standard deviation of 6 points, and 61 % at most.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import dlnorm
from dlnorm._validate import Array
from dlnorm.grading.exercise import Args, Check, Misconception, ProblemSet, collect
from dlnorm.grading.misconceptions import together as wrong
from dlnorm.grading.student import checker
from dlnorm.nn.loss import softmax_cross_entropy

Params = dict[str, Array]
Rng = np.random.Generator

EPS = 1e-5
#: How many pairs of images are trained on, and how many images are named afterwards.
PAIRS, TESTED = 500, 500
#: How many pairs the quick test of training has. Of six right designs with 400 seeds each, none
#: named one class for more than 113 of the 200 images; with 20 pairs, one named one class for all
#: with 3 seeds of 200.
FEW = 60
HIDDEN, GROUPS, RATE = 48, 4, 0.1
#: The standard deviation of what is added to a graded image's pixels. Being mixed of two, it would
#: be easier to name than those in the file; with this it is as hard.
NOISE = 0.16

# ---------------------------------------------------------------- references: the variance shift


def _shift_dropout(c: Array, v: Array, keep: float) -> Array:
    """Test variance over train variance behind inverted dropout; book, ``shift-dropout``."""
    return _shift(c, v, (1 - keep) / keep)


def _shift_noise(c: Array, v: Array, kind: str, strength: float) -> Array:
    """The same for Gaussian dropout with p and for Uout with beta."""
    return _shift(c, v, strength / (1 - strength) if kind == "gaussian" else strength**2 / 3)


def _shift(c: Array, v: Array, noise: float) -> Array:
    """The same for any factor of mean 1 whose variance is `noise`."""
    shift: Array = v / ((c**2 + v) * (1 + noise) - c**2)
    return shift


def _shift_measured(x: Array, mask: Array, keep: float) -> Array:
    """Variance of x over that of x behind dropout, over samples and passes, unit by unit."""
    shift: Array = x.var(axis=0) / (x * mask / keep).var(axis=(0, 1))
    return shift


def _recalibrate(x: Array, factor: Array, W: Array, b: Array, batch_size: int) -> Any:
    """Mean and biased variance of every unit of x @ W + b, with dropout (`factor`) off."""
    z = x @ W + b
    return z.mean(axis=0), z.var(axis=0)


# ---------------------------------------------------------------- references: placement


def _shifted_batchnorms(layers: list[str]) -> list[int]:
    """Positions of the batch norms that have a dropout somewhere before them."""
    return [k for k, kind in enumerate(layers) if kind == "batchnorm" and "dropout" in layers[:k]]


def _dropouts_last(layers: list[str]) -> list[str]:
    """The layers, with each dropout that shifts a batch norm moved to right before the last."""
    moved = [kind == "dropout" and "batchnorm" in layers[k:] for k, kind in enumerate(layers)]
    rest = [kind for kind, gone in zip(layers, moved, strict=True) if not gone]
    return [*rest[:-1], *["dropout"] * sum(moved), *rest[-1:]]


# ---------------------------------------------------------------- references: the network


def _block_forward(
    x: Array, W: Array, b: Array, gamma: Array, beta: Array, groups: int
) -> tuple[Array, tuple[Any, ...]]:
    """Linear layer, group norm over the units and ReLU; one group is layer norm."""
    z = x @ W + b
    grouped = z.reshape(len(z), groups, -1)
    centered = grouped - grouped.mean(axis=2, keepdims=True)
    std = np.sqrt((centered**2).mean(axis=2, keepdims=True) + EPS)
    x_hat = (centered / std).reshape(z.shape)
    y = gamma * x_hat + beta
    return np.maximum(y, 0), (x, W, gamma, x_hat, std, y)


def _block_backward(dout: Array, cache: tuple[Any, ...]) -> tuple[Array, ...]:
    """Gradients of `_block_forward`: (dx, dW, db, dgamma, dbeta)."""
    x, W, gamma, x_hat, std, y = cache
    dy = dout * (y > 0)
    wide = (len(std), std.shape[1], -1)
    d, hat = (dy * gamma).reshape(wide), x_hat.reshape(wide)
    along_mean, along_hat = d.mean(axis=2, keepdims=True), (d * hat).mean(axis=2, keepdims=True)
    dz = ((d - along_mean - hat * along_hat) / std).reshape(y.shape)
    return dz @ W.T, x.T @ dz, dz.sum(axis=0), (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def _block_of(params: Params, k: int) -> tuple[Array, Array, Array, Array]:
    """The parameters of block k, in the order in which a block takes them."""
    return params[f"W{k}"], params[f"b{k}"], params[f"gamma{k}"], params[f"beta{k}"]


def _scores_of(x: Array, params: Params, groups: int) -> Array:
    """Scores of two blocks and a linear layer."""
    h1, _ = _block_forward(x, *_block_of(params, 1), groups)
    h2, _ = _block_forward(h1, *_block_of(params, 2), groups)
    return h2 @ params["W3"] + params["b3"]


def _network_gradients(x: Array, y: Array, params: Params, groups: int) -> tuple[Any, Params]:
    """Loss of two blocks and a linear layer on a batch, and its gradients by parameter."""
    h1, cache1 = _block_forward(x, *_block_of(params, 1), groups)
    h2, cache2 = _block_forward(h1, *_block_of(params, 2), groups)
    loss, dscores = softmax_cross_entropy(h2 @ params["W3"] + params["b3"], y)
    grads = {"W3": h2.T @ dscores, "b3": dscores.sum(axis=0)}
    dh = dscores @ params["W3"].T
    for k, cache in ((2, cache2), (1, cache1)):
        dh, *own = _block_backward(dh, cache)
        grads |= zip((f"W{k}", f"b{k}", f"gamma{k}", f"beta{k}"), own, strict=True)
    return loss, grads


def _sgd_step(
    params: Params, grads: Params, velocity: Params, lr: float, momentum: float
) -> tuple[Params, Params]:
    """One step of gradient descent with momentum, into new dicts."""
    faster = {name: momentum * velocity[name] - lr * grads[name] for name in params}
    return {name: params[name] + faster[name] for name in params}, faster


def _make_network(rng: Rng) -> Params:
    """He's initialization: two blocks of `HIDDEN` units and a linear layer."""
    params = {}
    for k, (n_in, n_out) in enumerate(((64, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, 10)), 1):
        params[f"W{k}"] = np.sqrt(2 / n_in) * rng.standard_normal((n_in, n_out))
        params[f"b{k}"] = np.zeros(n_out)
        if k < 3:
            params[f"gamma{k}"], params[f"beta{k}"] = np.ones(n_out), np.zeros(n_out)
    return params


def _train(x: Array, y: Array, rng: Rng) -> Params:
    """One step for each batch, with a learning rate that falls to 0."""
    params = _make_network(rng)
    velocity = {name: np.zeros_like(value) for name, value in params.items()}
    for step, (images, classes) in enumerate(zip(x, y, strict=True)):
        _, grads = _network_gradients(images, classes, params, GROUPS)
        params, velocity = _sgd_step(params, grads, velocity, RATE * (1 - step / len(x)), 0.0)
    return params


def _predict(x: Array, model: Params | Callable[[Array], Array]) -> Array:
    """The class with the largest score, for each image; a wrong `train` brings its own."""
    if callable(model):
        return model(x)
    classes: Array = _scores_of(x, model, GROUPS).argmax(axis=1)
    return classes


# ---------------------------------------------------------------- cases


def _units(rng: Rng, d: int) -> Args:
    """Means on both sides of 0 and variances, none of them 1."""
    sign = rng.permutation(np.resize([-1.0, 1.0], d))
    return {"c": sign * rng.uniform(0.6, 1.8, d), "v": rng.uniform(0.3, 0.8, d)}


def _dropouts(rng: Rng) -> list[Args]:
    return [{**_units(rng, d), "keep": keep} for d, keep in ((4, 0.7), (3, 0.4), (1, 0.9))]


def _noises(rng: Rng) -> list[Args]:
    return [
        {**_units(rng, d), "kind": kind, "strength": strength}
        for d, kind, strength in (
            (4, "gaussian", 0.3),
            (3, "uniform", 0.6),
            (3, "gaussian", 0.7),
            (2, "uniform", 1.4),
        )
    ]


def _masked(rng: Rng) -> list[Args]:
    return [
        {
            "x": rng.uniform(-1.5, 1.5, d) + rng.uniform(0.5, 1, d) * rng.standard_normal((n, d)),
            "mask": (rng.random((passes, n, d)) < keep).astype(np.float64),
            "keep": keep,
        }
        for passes, n, d, keep in ((6, 9, 4, 0.7), (3, 14, 2, 0.4))
    ]


def _batch_statistics(rng: Rng) -> list[Args]:
    return [
        {
            "means": rng.uniform(1, 3, (batches, d)),
            "variances": rng.uniform(0.3, 2, (batches, d)),
            "m": m,
        }
        for batches, d, m in ((5, 3, 8), (4, 2, 2), (6, 1, 30))
    ]


def _recalibrations(rng: Rng) -> list[Args]:
    cases = []
    for n, d_in, d_out, batch_size in ((12, 4, 3, 4), (11, 3, 5, 4), (13, 5, 2, 6)):
        x = rng.uniform(0.2, 1.5, d_in) + rng.standard_normal((n, d_in))
        x += np.linspace(0, 2, n)[:, None]  # the batches differ: their order is not random
        factor = (rng.random((n, d_in)) < 0.7) / 0.7
        cases.append(
            {
                "x": x,
                "factor": factor,
                "W": rng.standard_normal((d_in, d_out)),
                "b": rng.uniform(0.5, 2, d_out),
                "batch_size": batch_size,
            }
        )
    return cases


#: Stacks in which every wrong rule shows; the last of them has nothing to move.
_STACKS = (
    "linear batchnorm relu dropout linear batchnorm relu linear batchnorm relu linear",
    "linear dropout batchnorm relu linear batchnorm dropout relu linear",
    "dropout linear layernorm relu linear batchnorm relu dropout linear batchnorm dropout relu "
    "linear",
    "linear batchnorm relu dropout linear relu dropout linear layernorm relu linear",
    "dropout linear layernorm relu dropout linear relu linear",
)


def _stacks(rng: Rng) -> list[Args]:
    """The stacks, each with a few blocks without dropout or batch norm put before or between."""
    cases = []
    for stack in _STACKS:
        layers = stack.split()
        for _ in range(rng.integers(0, 3)):
            at = rng.choice([k for k, kind in enumerate(layers[:-1]) if kind == "linear"])
            layers[at:at] = (
                ["linear", "layernorm", "relu"] if rng.random() < 0.5 else ["linear", "relu"]
            )
        cases.append({"layers": tuple(str(kind) for kind in layers)})
    return cases


def _layer(rng: Rng, d_in: int, d_out: int, spread: float = 1.0) -> Args:
    """A linear layer and its norm; gamma and beta have no entry near 0."""
    return {
        "W": spread * rng.standard_normal((d_in, d_out)),
        "b": spread * rng.uniform(-2, 2, d_out),
        "gamma": rng.uniform(0.5, 2, d_out) * rng.choice([-1, 1], d_out),
        "beta": rng.uniform(0.3, 1, d_out) * rng.choice([-1, 1], d_out),
    }


def _blocks(rng: Rng) -> list[Args]:
    # the last: a variance of the size of eps, which shows where eps stands
    return [
        {"x": rng.standard_normal((n, d_in)), **_layer(rng, d_in, d_out, spread), "groups": groups}
        for n, d_in, d_out, groups, spread in (
            (3, 4, 12, 3, 1.0),
            (5, 3, 6, 1, 1.0),
            (1, 5, 8, 2, 1.0),
            (2, 4, 12, 2, 2e-3),
        )
    ]


def _blocks_and_dout(rng: Rng) -> list[Args]:
    return [
        {**args, "dout": rng.standard_normal((len(args["x"]), args["W"].shape[1]))}
        for args in _blocks(rng)
    ]


def _scores(rng: Rng) -> list[Args]:
    cases = []
    for n, k in ((5, 3), (2, 6), (1, 4)):
        y = rng.permutation(np.resize(rng.permutation(k), n))
        large = 700 * rng.standard_normal((n, k))
        large[np.arange(n), y] = large.max(axis=1) + 100
        large[0, y[0]] -= 1500  # the right class has a probability that rounds to 0
        large[-1] -= 3000  # and one row lies far below the others
        cases.append({"scores": 2 * rng.standard_normal((n, k)), "y": y, "large": large})
    return cases


def _networks(rng: Rng) -> list[Args]:
    cases = []
    for n, d, h1, h2, k, groups in ((3, 5, 6, 6, 4, 2), (2, 4, 9, 6, 3, 3), (4, 3, 4, 8, 2, 1)):
        params: Params = {}
        for layer, (d_in, d_out) in enumerate(((d, h1), (h1, h2)), 1):
            own = _layer(rng, d_in, d_out)
            own["beta"] = np.abs(own["beta"])  # enough units are on
            params |= {f"{name}{layer}": value for name, value in own.items()}
        params |= {"W3": rng.standard_normal((h2, k)), "b3": rng.standard_normal(k)}
        x = rng.standard_normal((n, d))
        params["b3"] -= _scores_of(x, params, groups).mean()  # scores of either sign
        y = rng.permutation(np.resize(rng.permutation(k), n))
        cases.append({"x": x, "y": y, "params": params, "groups": groups})
    return cases


def _steps(rng: Rng) -> list[Args]:
    cases = []
    for lr, momentum, d in ((0.1, 0.7, 3), (0.3, 0.9, 1), (0.05, 0.0, 2)):
        case: Args = {
            name: {"W": size * rng.standard_normal((4, d)), "b": size * rng.standard_normal(d)}
            for name, size in (("params", 2.0), ("grads", 1.0), ("velocity", 0.5))
        }
        cases.append({**case, "lr": lr, "momentum": momentum})
    return cases


def _images(x: Array) -> Array:
    """The pixels as they are in the file: whole numbers from 0 to 16, in one byte each."""
    from dlnorm.nn.data import OFFSET

    return np.round((x + OFFSET) * 16).clip(0, 16).astype(np.uint8)


class _Disguise:
    """Digits that no file holds, to which a network that learns from x and y is indifferent.

    All images have their pixels in one other order, the classes have other numbers, and each image
    is mixed of two of its class, with some noise. Who looks it up in `digits.npz` or in
    scikit-learn does not find it.
    """

    def __init__(self, rng: Rng) -> None:
        self.rng = rng
        self.pixels, self.numbers = rng.permutation(64), rng.permutation(10)

    def __call__(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Images as whole numbers from 0 to 16 and their classes: (N, 64) and (N,)."""
        other = np.empty(len(y), np.int64)
        for k in np.unique(y):
            members = np.flatnonzero(y == k)
            other[members] = np.roll(self.rng.permutation(members), 1)
        share = self.rng.uniform(0.65, 0.85, (len(y), 1))
        mixed = share * x + (1 - share) * x[other] + NOISE * self.rng.standard_normal(x.shape)
        return _images(mixed[:, self.pixels]), self.numbers[y]


def _digits(rng: Rng) -> list[Args]:
    """Pairs to train on, and other images to name."""
    from dlnorm.nn.data import digits

    data = digits(int(rng.integers(1 << 31)))
    disguise = _Disguise(rng)
    images, y = disguise(data.x_train[: 2 * PAIRS], data.y_train[: 2 * PAIRS])
    tested, y_tested = disguise(data.x_test[:TESTED], data.y_test[:TESTED])
    return [
        {
            "images": images.reshape(PAIRS, 2, -1),
            "y": y.reshape(PAIRS, 2),
            "tested": tested,
            "y_tested": y_tested,
            "seed": int(rng.integers(1 << 31)),
        }
    ]


def _few_digits(rng: Rng) -> list[Args]:
    """A few pairs, a few others, and images to name of which the first all show one digit."""
    from dlnorm.nn.data import digits

    data = digits(int(rng.integers(1 << 31)))
    disguise = _Disguise(rng)
    images, y = disguise(data.x_train[: 4 * FEW], data.y_train[: 4 * FEW])
    pairs, classes = images.reshape(2, FEW, 2, -1), y.reshape(2, FEW, 2)
    named = [*np.flatnonzero(data.y_test == 3)[:20], *np.flatnonzero(data.y_test != 3)[:180]]
    shown, _ = disguise(data.x_test[named], data.y_test[named])
    first, second = (int(seed) for seed in rng.choice(1 << 31, 2, replace=False))
    return [
        {
            "images": pairs[0],
            "y": classes[0],
            "other_images": pairs[1],
            "other_y": classes[1],
            "threes": shown[:20],
            "named": shown,
            "seed": first,
            "other_seed": second,
        }
    ]


def _digits_file() -> dict[str, Array]:
    """All images and classes, for `digits.npz`, which travels with the notebook."""
    from dlnorm.nn.data import _all_digits

    x, y = _all_digits()
    about = (
        "1797 handwritten digits, 8 x 8 pixels from 0 (paper) to 16 (ink). E. Alpaydin and C. "
        "Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, "
        "1998; the test set, as it comes with scikit-learn."
    )
    images = _images(x).reshape(-1, 8, 8)
    return {"images": images, "classes": y.astype(np.uint8), "about": np.array(about)}


# ---------------------------------------------------------------- checks

_BLOCK = "out, cache = block_forward(x, W, b, gamma, beta, groups)"

_CHECKS = (
    Check(
        name="shift_dropout",
        program="shift = shift_dropout(c, v, keep)",
        compare=("shift",),
        cases=_dropouts,
        says="the variance at test time over the one in training",
        section="shift-derived",
    ),
    Check(
        name="shift_noise",
        program="shift = shift_noise(c, v, kind, strength)",
        compare=("shift",),
        cases=_noises,
        says="Gaussian dropout and Uout shift by the formula",
        section="shift-gaussian",
    ),
    Check(
        name="shift_measured",
        program="shift = shift_measured(x, mask, keep)",
        compare=("shift",),
        cases=_masked,
        says="the shift of every unit, from what was recorded",
        section="shift-measured",
    ),
    Check(
        name="population_statistics",
        program="mean, var = population_statistics(means, variances, m)",
        compare=("mean", "var"),
        cases=_batch_statistics,
        says="mean and variance of what the batches come from",
        section="practice-population",
    ),
    Check(
        name="recalibrate",
        program="running_mean, running_var = recalibrate(x, factor, W, b, batch_size)",
        compare=("running_mean", "running_var"),
        cases=_recalibrations,
        says="the statistics that test mode meets, batch by batch",
        section="shift-recalibrate",
    ),
    Check(
        name="shifted_batchnorms",
        program="""
        stack = list_of(layers)
        positions = shifted_batchnorms(stack)
        found = describe_positions(positions)
        after = describe_layers(stack, 'layers, afterwards')
        """,
        compare=("found", "after"),
        cases=_stacks,
        says="these batch norms remember a variance that test time lacks",
        section="shift-placement",
    ),
    Check(
        name="dropouts_last",
        program="""
        stack = list_of(layers)
        moved = dropouts_last(stack)
        result = describe_layers(moved, 'your stack')
        after = describe_layers(stack, 'layers, afterwards')
        """,
        compare=("result", "after"),
        cases=_stacks,
        says="no dropout stands before a batch norm any more",
        section="shift-placement",
    ),
    Check(
        name="block_forward",
        program=_BLOCK,
        compare=("out",),
        cases=_blocks,
        says="linear, norm and ReLU, with one group and with several",
        section="gn-groups",
    ),
    # `out` first: if the forward pass is wrong, nothing else is to blame
    Check(
        name="block_backward",
        program=f"{_BLOCK}\ndx, dW, db, dgamma, dbeta = block_backward(dout, cache)",
        compare=("out", "dgamma", "dbeta", "db", "dW", "dx"),
        cases=_blocks_and_dout,
        says="all five gradients are right",
        section="gn-gradient",
    ),
    Check(
        name="cross_entropy",
        program="""
        loss, dscores = cross_entropy(scores, y)
        large_loss, large_dscores = cross_entropy(large, y)
        """,
        compare=("loss", "dscores", "large_loss", "large_dscores"),
        cases=_scores,
        says="loss and gradient are right, also for large scores",
        section="dropout-network",
    ),
    Check(
        name="network_gradients",
        program="""
        loss, grads = network_gradients(x, y, params, groups)
        dW3, db3 = entries_of(grads, 'W3 b3')
        dW2, db2, dgamma2, dbeta2 = entries_of(grads, 'W2 b2 gamma2 beta2')
        dW1, db1, dgamma1, dbeta1 = entries_of(grads, 'W1 b1 gamma1 beta1')
        """,
        compare=(
            *("loss", "dW3", "db3", "dgamma2", "dbeta2", "dW2", "db2"),
            *("dgamma1", "dbeta1", "dW1", "db1", "params['W1']", "params['W3']"),
        ),
        cases=_networks,
        says="the loss and all ten gradients are right",
        section="dropout-network",
    ),
    Check(
        name="sgd_step",
        program="""
        new_params, new_velocity = sgd_step(params, grads, velocity, lr, momentum)
        new_W, new_b = entries_of(new_params, 'W b')
        velocity_W, velocity_b = entries_of(new_velocity, 'W b')
        """,
        compare=("velocity_W", "velocity_b", "new_W", "new_b", "params['W']", "velocity['W']"),
        cases=_steps,
        says="one step, into new dicts",
        section="dropout-network",
    ),
    Check(
        name="train.few",
        program="""
        x = pixels(images)
        other_x = pixels(other_images)
        x_threes = pixels(threes)
        x_named = pixels(named)
        rng = generator(seed)
        model = train(x, y, rng)
        labels = predict(x_named, model)
        alone = predict(x_threes, model)
        rng = generator(seed)
        model = train(x, y, rng)
        again = predict(x_named, model)
        rng = generator(other_seed)
        model = train(x, y, rng)
        restarted = predict(x_named, model)
        rng = generator(seed)
        model = train(other_x, other_y, rng)
        retrained = predict(x_named, model)
        answers = describe_answers(x_named, labels, again, restarted, retrained, x_threes, alone)
        """,
        compare=("answers",),
        cases=_few_digits,
        says="rng and the pairs decide, nothing else does",
        section="ln-no-batch",
    ),
    Check(
        name="train.accuracy",
        program="""
        x = pixels(images)
        x_tested = pixels(tested)
        rng = generator(seed)
        model = train(x, y, rng)
        labels = predict(x_tested, model)
        answers = describe_accuracy(labels, y_tested)
        """,
        compare=("answers",),
        cases=_digits,
        says=f"at least {checker.MARK:.0%} of 500 new images are named right",
        section="gn-small-batches",
    ),
)

PROBLEM_SET = ProblemSet(
    name="together",
    reference={
        "shift_dropout": _shift_dropout,
        "shift_noise": _shift_noise,
        "shift_measured": _shift_measured,
        "population_statistics": dlnorm.population_statistics,
        "recalibrate": _recalibrate,
        "shifted_batchnorms": _shifted_batchnorms,
        "dropouts_last": _dropouts_last,
        "block_forward": _block_forward,
        "block_backward": _block_backward,
        "cross_entropy": softmax_cross_entropy,
        "network_gradients": _network_gradients,
        "sgd_step": _sgd_step,
        "train": _train,
        "predict": _predict,
    },
    checks=_CHECKS,
    misconceptions=collect(vars(wrong), Misconception),
    files={"digits.npz": _digits_file},
)
