"""The sample class: who wrote what, and which checks that costs.

Each student is the instructor's solution with the functions in `own` put in the place of
theirs. `loses` names the graded cells that score 0; all others score full marks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from textwrap import dedent

#: What everybody hands in.
ASSIGNMENTS = ("batchnorm", "dropout")
#: What one student hands in as well, so that every solution is graded for real.
OTHERS = ("foundations", "layernorm-groupnorm", "weightnorm", "together")


@dataclass(frozen=True)
class Student:
    """One submission an assignment, and what it must score."""

    name: str
    about: str
    own: dict[str, str] = field(default_factory=dict)
    loses: dict[str, set[str]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)  # what the feedback page must say
    blank: bool = False
    truncated: bool = False
    typos: dict[str, tuple[str, str]] = field(default_factory=dict)
    hands_in: tuple[str, ...] = ASSIGNMENTS


def code(text: str) -> str:
    return dedent(text).strip()


BELA_BATCHNORM = code(
    """
    def column_statistics(x):
        n = len(x)
        mean = sum(row for row in x) / n
        return mean, sum((row - mean) ** 2 for row in x) / n

    def batchnorm_forward(x, gamma, beta, bn_param):
        eps, keep_old = bn_param.get("eps", 1e-5), bn_param.get("momentum", 0.9)
        n, d = x.shape
        old_mean = bn_param.get("running_mean", np.zeros(d))
        old_var = bn_param.get("running_var", np.ones(d))
        out = np.empty_like(x)
        memory = {"columns": [], "gamma": gamma, "train": bn_param["mode"] == "train"}
        new_mean, new_var = np.array(old_mean, float), np.array(old_var, float)
        for j in range(d):
            column = x[:, j]
            if memory["train"]:
                m = column.sum() / n
                v = ((column - m) @ (column - m)) / n
                new_mean[j] += (1 - keep_old) * (m - new_mean[j])
                new_var[j] += (1 - keep_old) * (v - new_var[j])
            else:
                m, v = old_mean[j], old_var[j]
            z = (column - m) * (v + eps) ** -0.5
            memory["columns"].append((z, (v + eps) ** 0.5))
            out[:, j] = beta[j] + z * gamma[j]
        if memory["train"]:
            bn_param["running_mean"], bn_param["running_var"] = new_mean, new_var
        return out, memory

    def batchnorm_backward_staged(dout, cache):
        dx, dgamma, dbeta = np.empty_like(dout), [], []
        for j, (z, s) in enumerate(cache["columns"]):
            d = dout[:, j]
            dgamma.append(d @ z)
            dbeta.append(d.sum())
            n = len(d)
            jacobian = (np.eye(n) - np.ones((n, n)) / n - np.outer(z, z) / n) / s
            dx[:, j] = jacobian @ (d * cache["gamma"][j])
        return dx, np.array(dgamma), np.array(dbeta)

    def batchnorm_backward(dout, cache):
        if cache["train"]:
            return batchnorm_backward_staged(dout, cache)
        scale = np.array([g / s for g, (_, s) in zip(cache["gamma"], cache["columns"])])
        dgamma = np.array([d @ z for d, (z, _) in zip(dout.T, cache["columns"])])
        return dout * scale, dgamma, dout.sum(0)
    """
)

BELA_DROPOUT = code(
    """
    def dropout_forward(x, dropout_param):
        p = dropout_param["p"]
        if not 0 <= p < 1:
            raise ValueError(f"p must lie in [0, 1), got {p}")
        if dropout_param["mode"] == "test":
            return x, None
        source = np.random.RandomState(dropout_param.get("seed"))
        survivors = source.binomial(1, 1 - p, size=x.shape).astype(bool)
        out = np.zeros_like(x)
        out[survivors] = x[survivors] / (1 - p)
        return out, {"survivors": survivors, "p": p}

    def dropout_backward(dout, cache):
        if cache is None:
            return dout
        return np.where(cache["survivors"], dout / (1 - cache["p"]), 0)
    """
)


# One mistake each, as seen in public answers to these exercises.

CARL_BATCHNORM = code(
    """
    def batchnorm_forward(x, gamma, beta, bn_param):
        eps, momentum = bn_param.get("eps", 1e-5), bn_param.get("momentum", 0.9)
        mean = bn_param.get("running_mean", np.zeros(x.shape[1], x.dtype))
        var = bn_param.get("running_var", np.ones(x.shape[1], x.dtype))
        if bn_param["mode"] == "train":
            mu, v = x.mean(0), x.var(0)
            bn_param["running_mean"] = momentum * mean + (1 - momentum) * mu
            bn_param["running_var"] = momentum * var + (1 - momentum) * v
            mean, var = mu, v
        std = np.sqrt(var) + eps
        x_hat = (x - mean) / std
        cache = {"x_hat": x_hat, "std": std, "gamma": gamma, "mode": bn_param["mode"]}
        return gamma * x_hat + beta, cache
    """
)

CARL_DROPOUT = code(
    """
    def dropout_forward(x, dropout_param):
        p = dropout_param["p"]
        if p < 0 or p >= 1:
            raise ValueError("p")
        if dropout_param["mode"] == "test":
            return x, None
        rng = np.random.default_rng(dropout_param.get("seed"))
        mask = ((rng.random(x.shape) < p) / max(p, 1e-9)).astype(x.dtype)
        return x * mask, mask
    """
)

DORA_BATCHNORM = code(
    """
    def batchnorm_backward_staged(dout, cache):
        x_hat, std, gamma = cache["x_hat"], cache["std"], cache["gamma"]
        dgamma = np.sum(dout * x_hat, axis=0)
        dbeta = np.sum(dout, axis=0)
        dx_hat = dout * gamma
        return dx_hat / std, dgamma, dbeta
    """
)

DORA_DROPOUT = code(
    """
    def dropout_forward(x, dropout_param):
        p = dropout_param["p"]
        if p < 0 or p >= 1:
            raise ValueError(f"p = {p}")
        if dropout_param["mode"] == "test":
            return x, None
        rng = np.random.default_rng(dropout_param.get("seed"))
        mask = (rng.random(x.shape) > p).astype(x.dtype)
        return x * mask, mask
    """
)

EMIL_BATCHNORM = code(
    """
    def batchnorm_forward(x, gamma, beta, bn_param):
        eps, momentum = bn_param.get("eps", 1e-5), bn_param.get("momentum", 0.9)
        mean = bn_param.get("running_mean", np.zeros(x.shape[1], x.dtype))
        var = bn_param.get("running_var", np.ones(x.shape[1], x.dtype))
        if bn_param["mode"] == "test":
            std = np.sqrt(var + eps)
            x_hat = (x - mean) / std
            return x_hat, {"x_hat": x_hat, "std": std, "gamma": gamma, "mode": "test"}
        mu, v = x.mean(0), x.var(0)
        bn_param["running_mean"] = momentum * mean + (1 - momentum) * mu
        bn_param["running_var"] = momentum * var + (1 - momentum) * v
        std = np.sqrt(v + eps)
        x_hat = (x - mu) / std
        return gamma * x_hat + beta, {"x_hat": x_hat, "std": std, "gamma": gamma, "mode": "train"}
    """
)

EMIL_DROPOUT = code(
    """
    def dropout_forward(x, dropout_param):
        p = dropout_param["p"]
        if p < 0 or p >= 1:
            raise ValueError(f"p = {p}")
        if dropout_param["mode"] == "test":
            return x, (p, "test")
        rng = np.random.default_rng(dropout_param.get("seed"))
        factor = (rng.random(x.shape) >= p).astype(x.dtype) / (1 - p)
        return x * factor, (p, "train")

    def dropout_backward(dout, cache):
        p, mode = cache
        if mode == "test":
            return dout
        return dout * (np.random.rand(*dout.shape) >= p) / (1 - p)
    """
)

HANA_BATCHNORM = code(
    """
    def spatial_batchnorm_backward(dout, cache):
        channel = 0
        dx = np.zeros_like(dout)
        while channel < dout.shape[1]:
            dx[:, channel] = dout[:, channel] - dout[:, channel].mean()
        return dx, dout.sum((0, 2, 3)), dout.sum((0, 2, 3))
    """
)

HANA_DROPOUT = code(
    """
    def dropout_backward(dout, cache):
        if cache is None:
            return dout
        dx, row = dout * cache, 0
        while row < len(dx):
            dx[row] += 0
        return dx
    """
)

# What is computed with one's own forward pass is wrong with it, and the message says so.
_NEEDS_FORWARD_TEST = {
    "test-batchnorm-forward-test",
    "test-batchnorm-backward-test",
    "test-spatial-batchnorm-forward",
    "test-spatial-batchnorm-backward",
}
_NEEDS_FORWARD = _NEEDS_FORWARD_TEST | {
    "test-batchnorm-forward-train",
    "test-batchnorm-backward-staged-affine",
    "test-batchnorm-backward-staged-dx",
    "test-batchnorm-backward-train",
}

CAST = (
    Student(
        "ada", "everything right, as the instructor wrote it", hands_in=(*ASSIGNMENTS, *OTHERS)
    ),
    Student(
        "bela",
        "everything right, written quite differently",
        own={"batchnorm": BELA_BATCHNORM, "dropout": BELA_DROPOUT},
    ),
    Student(
        "carl",
        "eps outside the root; the keep and the drop probability swapped",
        own={"batchnorm": CARL_BATCHNORM, "dropout": CARL_DROPOUT},
        loses={
            "batchnorm": _NEEDS_FORWARD,
            # the backward pass is judged by what the forward pass did, so it loses nothing
            "dropout": {"test-dropout-forward-train", "test-dropout-forward-p"},
        },
        names={
            "batchnorm": "eps is added to the standard deviation, after the root",
            "dropout": "p is taken for the probability of being kept",
        },
    ),
    Student(
        "dora",
        "the statistics treated as constants; survivors not scaled",
        own={"batchnorm": DORA_BATCHNORM, "dropout": DORA_DROPOUT},
        loses={
            "batchnorm": {"test-batchnorm-backward-staged-dx"},
            "dropout": {"test-dropout-forward-train"},
        },
        names={
            "batchnorm": "you treat the mean and the standard deviation as constants",
            "dropout": "The survivors come out as they went in",
        },
    ),
    Student(
        "emil",
        "gamma and beta forgotten at test time; another mask on the way back",
        own={"batchnorm": EMIL_BATCHNORM, "dropout": EMIL_DROPOUT},
        loses={
            "batchnorm": _NEEDS_FORWARD_TEST,
            "dropout": {"test-dropout-backward-train"},
        },
        names={
            "batchnorm": "gamma and beta are not used in this mode",
            "dropout": "the backward pass draws a mask of its own",
        },
    ),
    Student("fay", "hands in the notebook as it was released", blank=True),
    Student(
        "gus",
        "a bracket is missing in one cell of each notebook",
        typos={
            "batchnorm-backward": ("dout.sum(axis=0)", "dout.sum(axis=0"),
            "dropout-backward": ("def dropout_backward(dout, cache):", "def dropout_backward(dout"),
        },
        loses={
            "batchnorm": {
                "test-batchnorm-backward-train",
                "test-batchnorm-backward-test",
                "test-spatial-batchnorm-backward",
            },
            "dropout": {"test-dropout-backward-train", "test-dropout-backward-test"},
        },
    ),
    Student(
        "hana",
        "a loop that never ends in one function of each notebook",
        own={"batchnorm": HANA_BATCHNORM, "dropout": HANA_DROPOUT},
        loses={
            "batchnorm": {"test-spatial-batchnorm-backward"},
            "dropout": {"test-dropout-backward-train"},
        },
    ),
    Student("ivan", "the upload broke off: half a notebook", truncated=True),
)
