"""Right answers to the weight-norm problem set, in the styles that people write in."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from tests.grading.right_answers import Answer

NAMES = (
    "column_norms",
    "weightnorm_forward",
    "take_over",
    "weightnorm_backward",
    "length_after_step",
    "log_length",
    "weightnorm_init",
    "meanonly_batchnorm_forward",
    "meanonly_batchnorm_backward",
    "cosinenorm_forward",
    "invariances",
    "cosinenorm_backward",
)
CHANGES = (
    *("weights x 3", "weights x -3", "one unit x 3"),
    *("data x 3", "data shifted", "one sample x 3"),
)


def linalg_and_dict():
    """np.linalg.norm with keepdims everywhere, and a dict for the cache."""

    def column_norms(v):
        return np.linalg.norm(v, axis=0, keepdims=True)

    def weightnorm_forward(v, g):
        norm = np.linalg.norm(v, axis=0, keepdims=True)
        return v * (g / norm), {"v": v, "g": g, "norm": norm}

    def take_over(W, length):
        norm = column_norms(W)
        return W / norm * length, norm

    def weightnorm_backward(dW, cache):
        # the paper's two equations
        v, g, norm = cache["v"], cache["g"], cache["norm"]
        dg = np.sum(dW * v, axis=0, keepdims=True) / norm
        dv = g / norm * dW - g * dg / norm**2 * v
        return dv, dg

    def length_after_step(length, dv, lr):
        return np.sqrt(length**2 + lr**2 * np.linalg.norm(dv, axis=0, keepdims=True) ** 2)

    def log_length(g, dg, c):
        s = np.log(g) / c
        return s, c * np.exp(c * s) * dg

    def weightnorm_init(v, x):
        t = x @ weightnorm_forward(v, np.ones(v.shape[1]))[0]
        return 1 / np.std(t, axis=0), -np.mean(t, axis=0) / np.std(t, axis=0)

    def meanonly_batchnorm_forward(x, beta, bn_param):
        mode = bn_param["mode"]
        momentum = bn_param.get("momentum", 0.9)
        running_mean = bn_param.get("running_mean", np.zeros(x.shape[1], dtype=x.dtype))
        if mode == "train":
            mu = np.mean(x, axis=0, keepdims=True)
            bn_param["running_mean"] = momentum * running_mean + (1 - momentum) * mu[0]
        elif mode == "test":
            mu = running_mean
        else:
            raise ValueError(f"mode must be 'train' or 'test', got {mode!r}")
        return x - mu + beta, {"mode": mode}

    def meanonly_batchnorm_backward(dout, cache):
        dbeta = np.sum(dout, axis=0, keepdims=True)
        if cache["mode"] == "test":
            return dout, dbeta
        return dout - np.mean(dout, axis=0, keepdims=True), dbeta

    def cosinenorm_forward(x, w, eps):
        x_norm = np.sqrt(np.sum(x**2, axis=1, keepdims=True) + eps)
        w_norm = np.sqrt(np.sum(w**2, axis=0, keepdims=True) + eps)
        out = (x @ w) / (x_norm * w_norm)
        return out, {"x": x, "w": w, "x_norm": x_norm, "w_norm": w_norm, "out": out}

    def invariances(norm):
        table = {
            "none": [False, False, False, False, False, False],
            "weight": [True, False, True, False, False, False],
            "cosine": [True, False, True, True, False, True],
            "batch": [True, False, True, True, True, False],
            "instance": [True, False, True, True, True, True],
            "layer": [True, False, False, True, False, True],
            "group": [True, False, False, True, False, True],
        }
        return dict(zip(CHANGES, table[norm], strict=True))

    def cosinenorm_backward(dout, cache):
        x, w, out = cache["x"], cache["w"], cache["out"]
        d = dout / (cache["x_norm"] * cache["w_norm"])
        dx = d @ w.T - np.sum(dout * out, axis=1, keepdims=True) * x / cache["x_norm"] ** 2
        dw = x.T @ d - np.sum(dout * out, axis=0, keepdims=True) * w / cache["w_norm"] ** 2
        return dx, dw

    return locals().values()


def one_unit_at_a_time():
    """Python loops over units, samples and entries, and a list for the cache."""

    def column_norms(v):
        return np.array([sum(e * e for e in v[:, j]) ** 0.5 for j in range(v.shape[1])])

    def weightnorm_forward(v, g):
        W = np.empty_like(v)
        for j in range(v.shape[1]):
            length = np.sqrt(np.dot(v[:, j], v[:, j]))
            W[:, j] = g[j] / length * v[:, j]
        return W, [v.copy(), g.copy()]

    def take_over(W, length):
        v, g = np.zeros(W.shape), np.zeros(W.shape[1])
        for j, column in enumerate(W.T):
            g[j] = np.sqrt(column @ column)
            v[:, j] = column / g[j] * length
        return v, g

    def weightnorm_backward(dW, cache):
        v, g = cache
        dv, dg = np.empty_like(dW), np.empty(len(g), dW.dtype)
        for j in range(len(g)):
            column, d = v[:, j], dW[:, j]
            length = np.sqrt(column @ column)
            dg[j] = d @ column / length
            # the Jacobian of one column, written out
            outer = np.outer(column, column) / length**2
            dv[:, j] = g[j] / length * (np.eye(len(d)) - outer) @ d
        return dv, dg

    def length_after_step(length, dv, lr):
        new = []
        for j, old in enumerate(length):
            square = old**2
            for i in range(len(dv)):
                square += (lr * dv[i, j]) ** 2
            new.append(np.sqrt(square))
        return np.array(new)

    def log_length(g, dg, c):
        s = np.array([np.log(entry) / c for entry in g])
        ds = np.array([c * entry * d for entry, d in zip(g, dg, strict=True)])
        return s, ds

    def weightnorm_init(v, x):
        g, b = [], []
        for j in range(v.shape[1]):
            unit = v[:, j] / np.sqrt((v[:, j] ** 2).sum())
            answers = np.array([sample @ unit for sample in x])
            g.append(1 / answers.std())
            b.append(-answers.mean() * g[-1])
        return np.array(g), np.array(b)

    def meanonly_batchnorm_forward(x, beta, bn_param):
        n, d = x.shape
        keep = bn_param.get("momentum", 0.9)
        running = np.array(bn_param.get("running_mean", [0.0] * d), dtype=float)
        out = np.empty_like(x)
        for j in range(d):
            mean = running[j]
            if bn_param["mode"] == "train":
                mean = sum(x[:, j].astype(float)) / n
                running[j] = keep * running[j] + (1 - keep) * mean
            out[:, j] = x[:, j] - mean + beta[j]
        if bn_param["mode"] == "train":
            bn_param["running_mean"] = running
        return out, [bn_param["mode"]]

    def meanonly_batchnorm_backward(dout, cache):
        n, d = dout.shape
        dx, dbeta = np.zeros_like(dout), np.zeros(d)
        for j in range(d):
            for i in range(n):
                dbeta[j] += dout[i, j]
            for i in range(n):
                dx[i, j] = dout[i, j] - (dbeta[j] / n if cache[0] == "train" else 0)
        return dx, dbeta

    def cosinenorm_forward(x, w, eps):
        out = np.empty((len(x), w.shape[1]), x.dtype)
        for n, sample in enumerate(x):
            for j, unit in enumerate(w.T):
                lengths = np.sqrt(sample @ sample + eps) * np.sqrt(unit @ unit + eps)
                out[n, j] = sample @ unit / lengths
        return out, [x, w, eps]

    def invariances(norm):
        row = {}
        for change in CHANGES:
            if norm == "none" or "-3" in change:
                same = False
            elif change == "weights x 3":
                same = True
            elif change == "one unit x 3":
                same = norm not in ("layer", "group")
            elif change == "data x 3":
                same = norm != "weight"
            elif change == "data shifted":
                same = norm in ("batch", "instance")
            else:
                same = norm not in ("weight", "batch")
            row[change] = same
        return row

    def cosinenorm_backward(dout, cache):
        x, w, eps = cache
        dx, dw = np.zeros_like(x), np.zeros_like(w)
        for n, sample in enumerate(x):
            for j, unit in enumerate(w.T):
                a, b = np.sqrt(sample @ sample + eps), np.sqrt(unit @ unit + eps)
                dot = sample @ unit
                dx[n] += dout[n, j] * (unit / (a * b) - dot * sample / (a**3 * b))
                dw[:, j] += dout[n, j] * (sample / (a * b) - dot * unit / (a * b**3))
        return dx, dw

    return locals().values()


def einsum_and_tuple():
    """Every sum an einsum; the raw ingredients in a tuple, all recomputed on the way back."""

    def column_norms(v):
        return np.einsum("io,io->o", v, v) ** 0.5

    def weightnorm_forward(v, g):
        return np.einsum("io,o->io", v, g / column_norms(v)), (v, g)

    def take_over(W, length):
        g = column_norms(W)
        return np.einsum("io,o->io", W, length / g), g

    def weightnorm_backward(dW, cache):
        v, g = cache
        norm = column_norms(v)
        unit = np.einsum("io,o->io", v, 1 / norm)
        dg = np.einsum("io,io->o", dW, unit)
        return np.einsum("o,io->io", g / norm, dW - np.einsum("o,io->io", dg, unit)), dg

    def length_after_step(length, dv, lr):
        return np.sqrt(length * length + lr * lr * np.einsum("io,io->o", dv, dv))

    def log_length(g, dg, c):
        return np.log(g ** (1 / c)), np.einsum("o,o->o", dg, c * g)

    def weightnorm_init(v, x):
        t = np.einsum("ni,io->no", x, v) / column_norms(v)
        mean = np.einsum("no->o", t) / len(t)
        std = np.sqrt(np.einsum("no,no->o", t - mean, t - mean) / len(t))
        return std**-1, -mean / std

    def meanonly_batchnorm_forward(x, beta, bn_param):
        momentum = bn_param.setdefault("momentum", 0.9)
        old = bn_param.setdefault("running_mean", np.zeros(x.shape[1], x.dtype))
        if bn_param["mode"] == "test":
            return x + (beta - old), ("test",)
        mean = np.einsum("nd->d", x) / len(x)
        bn_param["running_mean"] = old + (1 - momentum) * (mean - old)
        return x + (beta - mean), ("train",)

    def meanonly_batchnorm_backward(dout, cache):
        (mode,) = cache
        dbeta = np.einsum("nd->d", dout)
        return dout - (mode == "train") * dbeta / len(dout), dbeta

    def cosinenorm_forward(x, w, eps):
        a = (np.einsum("ni,ni->n", x, x) + eps) ** -0.5
        b = (np.einsum("io,io->o", w, w) + eps) ** -0.5
        return np.einsum("ni,io,n,o->no", x, w, a, b), (x, w, a, b)

    def invariances(norm):
        same = {
            "none": "",
            "weight": "weights, unit",
            "cosine": "weights, unit, data, sample",
            "batch": "weights, unit, data, shift",
            "instance": "weights, unit, data, shift, sample",
            "layer": "weights, data, sample",
            "group": "weights, data, sample",
        }[norm].split(", ")
        keys = ("weights", "-", "unit", "data", "shift", "sample")
        return {change: key in same for change, key in zip(CHANGES, keys, strict=True)}

    def cosinenorm_backward(dout, cache):
        x, w, a, b = cache
        y = np.einsum("ni,io,n,o->no", x, w, a, b)
        dx = np.einsum("no,io,n,o->ni", dout, w, a, b)
        dx -= np.einsum("no,no,ni,n->ni", dout, y, x, a**2)
        dw = np.einsum("no,ni,n,o->io", dout, x, a, b)
        dw -= np.einsum("no,no,io,o->io", dout, y, w, b**2)
        return dx, dw

    return locals().values()


def units_first():
    """Works on transposes, one unit a row; the cache is an object."""

    def column_norms(v):
        return np.array([np.linalg.norm(row) for row in v.T])

    def weightnorm_forward(v, g):
        rows = v.T
        length = np.linalg.norm(rows, axis=1)[:, None]
        unit = rows / length
        return (g[:, None] * unit).T, SimpleNamespace(unit=unit, length=length, g=g[:, None])

    def take_over(W, length):
        rows = W.T
        norms = np.sqrt((rows * rows).sum(1))[:, None]
        return (length * rows / norms).T, norms[:, 0]

    def weightnorm_backward(dW, cache):
        d = dW.T
        dg = (d * cache.unit).sum(1, keepdims=True)
        dv = cache.g * (d - dg * cache.unit) / cache.length
        return dv.T, dg[:, 0]

    def length_after_step(length, dv, lr):
        return np.array(
            [np.hypot(a, lr * np.linalg.norm(d)) for a, d in zip(length, dv.T, strict=True)]
        )

    def log_length(g, dg, c):
        s = np.log2(g) / np.log2(np.e) / c
        return s, dg * g * c

    def weightnorm_init(v, x):
        answers = (v / np.linalg.norm(v, axis=0)).T @ x.T
        mean, std = answers.mean(1), answers.std(1)
        return 1 / std, -(mean / std)

    def meanonly_batchnorm_forward(x, beta, bn_param):
        rows = x.T
        if bn_param.get("running_mean") is None:
            bn_param["running_mean"] = np.zeros(len(rows), dtype=x.dtype)
        mean = bn_param["running_mean"]
        train = bn_param["mode"] == "train"
        if train:
            momentum = bn_param.get("momentum", 0.9)
            batch = rows.mean(1)
            bn_param["running_mean"] = np.average(
                [mean, batch], axis=0, weights=[momentum, 1 - momentum]
            )
            mean = batch
        return (rows - mean[:, None] + beta[:, None]).T, SimpleNamespace(train=train)

    def meanonly_batchnorm_backward(dout, cache):
        rows = dout.T
        dx = rows - rows.mean(1, keepdims=True) if cache.train else rows.copy()
        return dx.T, rows.sum(1)

    def cosinenorm_forward(x, w, eps):
        units = w.T
        x_length = np.sqrt((x * x).sum(1) + eps)[:, None]
        w_length = np.sqrt((units * units).sum(1) + eps)[:, None]
        kept = SimpleNamespace(
            x_hat=x / x_length, w_hat=units / w_length, x_length=x_length, w_length=w_length
        )
        return kept.x_hat @ kept.w_hat.T, kept

    def invariances(norm):
        return {
            "weights x 3": norm != "none",
            "weights x -3": False,
            "one unit x 3": norm in {"weight", "cosine", "batch", "instance"},
            "data x 3": norm in {"cosine", "batch", "instance", "layer", "group"},
            "data shifted": norm in {"batch", "instance"},
            "one sample x 3": norm in {"cosine", "instance", "layer", "group"},
            "weights shifted": norm == "layer",  # one that nobody asked for
        }

    def cosinenorm_backward(dout, cache):
        dx_hat, dw_hat = dout @ cache.w_hat, dout.T @ cache.x_hat

        def project(d, hat, length):
            return (d - hat * (d * hat).sum(1, keepdims=True)) / length

        dx = project(dx_hat, cache.x_hat, cache.x_length)
        return dx, project(dw_hat, cache.w_hat, cache.w_length).T

    return locals().values()


def in_place_on_copies():
    """Writes into arrays, but only into its own; float32 inside is kept by hand."""

    def column_norms(v):
        squares = v.copy()
        squares *= squares
        norms = squares.sum(axis=0)
        np.sqrt(norms, out=norms)
        return norms

    def weightnorm_forward(v, g):
        W = v.copy()
        length = column_norms(v)
        W /= length
        unit = W.copy()
        W *= g
        return W, {"unit": unit, "length": length, "g": g.copy()}

    def take_over(W, length):
        v = W.copy()
        g = column_norms(v)
        v /= g
        v *= length
        return v, g

    def weightnorm_backward(dW, cache):
        unit = cache["unit"]
        dg = (unit * dW).sum(axis=0)
        dv = dW.copy()
        dv -= unit * dg
        dv *= cache["g"]
        dv /= cache["length"]
        return [dv, dg]

    def length_after_step(length, dv, lr):
        step = column_norms(dv)
        step *= lr
        step *= step
        step += length**2
        return step**0.5

    def log_length(g, dg, c):
        s = g.copy()
        np.log(s, out=s)
        s /= c
        ds = dg.copy()
        ds *= g
        ds *= c
        return s, ds

    def weightnorm_init(v, x):
        unit = v.copy()
        unit /= column_norms(v)
        t = x @ unit
        mean = t.mean(axis=0)
        t -= mean
        t *= t
        g = t.mean(axis=0) ** -0.5
        b = mean
        b *= -g
        return g, b

    def meanonly_batchnorm_forward(x, beta, bn_param):
        out = x.copy()
        running = bn_param.get("running_mean")
        running = np.zeros(x.shape[1], x.dtype) if running is None else running.copy()
        if bn_param["mode"] == "train":
            mean = x.mean(axis=0)
            momentum = bn_param.get("momentum", 0.9)
            running *= momentum
            running += (1 - momentum) * mean
            bn_param["running_mean"] = running
        else:
            mean = running
        out -= mean
        out += beta
        return out, bn_param["mode"]

    def meanonly_batchnorm_backward(dout, cache):
        dx = dout.copy()
        if cache == "train":
            dx -= dout.mean(axis=0)
        return dx, dout.sum(axis=0)

    def cosinenorm_forward(x, w, eps):
        x_hat, w_hat = x.copy(), w.copy()
        x_length = np.sqrt((x * x).sum(axis=1, keepdims=True) + x.dtype.type(eps))
        w_length = np.sqrt((w * w).sum(axis=0) + w.dtype.type(eps))
        x_hat /= x_length
        w_hat /= w_length
        return x_hat @ w_hat, (x_hat, w_hat, x_length, w_length)

    def invariances(norm):
        row = np.zeros(len(CHANGES), dtype=bool)
        if norm != "none":
            row[0] = True
            row[2] = norm not in ("layer", "group")
            row[3] = norm != "weight"
            row[4] = norm in ("batch", "instance")
            row[5] = norm not in ("weight", "batch")
        return dict(zip(CHANGES, row, strict=True))

    def cosinenorm_backward(dout, cache):
        x_hat, w_hat, x_length, w_length = cache
        dx = dout @ w_hat.T
        dx -= (dx * x_hat).sum(axis=1, keepdims=True) * x_hat
        dx /= x_length
        dw = x_hat.T @ dout
        dw -= (dw * w_hat).sum(axis=0) * w_hat
        dw /= w_length
        return dx, dw

    return locals().values()


def matrices():
    """Diagonal matrices, centering matrices and projectors instead of broadcasting."""

    def column_norms(v):
        return np.sqrt(np.diag(v.T @ v))

    def weightnorm_forward(v, g):
        return v @ np.diag(g / column_norms(v)), (v, np.diag(g), np.diag(1 / column_norms(v)))

    def take_over(W, length):
        norms = column_norms(W)
        return W @ np.diag(length / norms), norms

    def weightnorm_backward(dW, cache):
        v, G, inverse = cache
        unit = v @ inverse
        share = np.diag(np.diag(unit.T @ dW))
        return (dW - unit @ share) @ G @ inverse, np.diag(share)

    def length_after_step(length, dv, lr):
        # v turned so that it lies on the first axis, and the step on the second
        corner = np.stack([length, lr * column_norms(dv)])
        return column_norms(corner)

    def log_length(g, dg, c):
        return np.log(g) / c, np.diag(c * g) @ dg

    def weightnorm_init(v, x):
        n = len(x)
        t = x @ v @ np.diag(1 / column_norms(v))
        centering = np.eye(n) - np.full((n, n), 1 / n)
        g = np.diag(t.T @ centering @ t / n) ** -0.5
        return g, -g * (np.ones(n) @ t / n)

    def meanonly_batchnorm_forward(x, beta, bn_param):
        n, d = x.shape
        if bn_param["mode"] == "test":
            # nothing was ever averaged where the key is missing
            mean = bn_param["running_mean"] if "running_mean" in bn_param else np.zeros(d)
            return x - mean + beta, None
        averaging = np.full((n, n), 1 / n, x.dtype)
        m = bn_param.get("momentum", 0.9)
        old = bn_param.get("running_mean", 0.0)
        bn_param["running_mean"] = m * old + (1 - m) * (averaging @ x)[0]
        return x - averaging @ x + beta, averaging

    def meanonly_batchnorm_backward(dout, cache):
        dx = dout if cache is None else dout - cache.T @ dout
        return dx, np.ones(len(dout)) @ dout

    def cosinenorm_forward(x, w, eps):
        a = np.diag(1 / np.sqrt(np.diag(x @ x.T) + eps))
        b = np.diag(1 / np.sqrt(np.diag(w.T @ w) + eps))
        return a @ x @ w @ b, (x, w, a, b)

    def invariances(norm):
        rows = ["none", "weight", "cosine", "batch", "instance", "layer", "group"]
        table = np.array(
            [
                [0, 0, 0, 0, 0, 0],
                [1, 0, 1, 0, 0, 0],
                [1, 0, 1, 1, 0, 1],
                [1, 0, 1, 1, 1, 0],
                [1, 0, 1, 1, 1, 1],
                [1, 0, 0, 1, 0, 1],
                [1, 0, 0, 1, 0, 1],
            ]
        )
        return {c: bool(cell) for c, cell in zip(CHANGES, table[rows.index(norm)], strict=True)}

    def cosinenorm_backward(dout, cache):
        x, w, a, b = cache
        x_hat, w_hat = a @ x, w @ b
        y = x_hat @ w_hat
        dx = a @ (dout @ w_hat.T - np.diag(np.diag(dout @ y.T)) @ x_hat)
        dw = (x_hat.T @ dout - w_hat @ np.diag(np.diag(y.T @ dout))) @ b
        return dx, dw

    return locals().values()


def by_another_road():
    """Other algebra: measured rows of the table, logarithms, one function built on another."""

    def column_norms(v):
        largest = np.abs(v).max(axis=0)
        return largest * np.sqrt(((v / largest) ** 2).sum(axis=0))

    def weightnorm_forward(v, g):
        return v * (g / np.sqrt(np.square(v).sum(0))), (v, g)

    def take_over(W, length):
        g = column_norms(W)
        return weightnorm_forward(W, np.full_like(g, length))[0], g

    def weightnorm_backward(dW, cache):
        v, g = cache
        squares = np.square(v).sum(0)
        dot = (dW * v).sum(0)
        dv = g * (squares * dW - dot * v) / squares ** (3 / 2)
        return dv, dot / squares ** (1 / 2)

    def length_after_step(length, dv, lr):
        ratio = lr * column_norms(dv) / length
        return length * np.sqrt(1 + ratio**2)

    def log_length(g, dg, c):
        # the derivative by a central step in s
        s, h = np.log(g) / c, 1e-6
        return s, dg * (np.exp(c * (s + h)) - np.exp(c * (s - h))) / (2 * h)

    def weightnorm_init(v, x):
        # the covariance of x says how spread every direction is
        mean, covariance = x.mean(0), np.cov(x.T, bias=True)
        unit = v / column_norms(v)
        std = np.sqrt(np.array([u @ covariance @ u for u in unit.T]))
        return 1 / std, -(mean @ unit) / std

    def meanonly_batchnorm_forward(x, beta, bn_param):
        bn_param["steps"] = bn_param.get("steps", 0) + 1  # a key of its own
        keep, d = bn_param.get("momentum", 0.9), x.shape[1]
        used = bn_param.get("running_mean", np.zeros((d,), x.dtype))
        if bn_param["mode"] == "train":
            first = x[:1]  # what is averaged are differences to one sample
            batch = (first + (x - first).mean(0))[0]
            bn_param["running_mean"] = keep * used + (1 - keep) * batch
            used = batch
        return (x + beta) - used, {"n": len(x) if bn_param["mode"] == "train" else None}

    def meanonly_batchnorm_backward(dout, cache):
        dbeta = dout.sum(0)
        return (dout if cache["n"] is None else dout - dbeta / cache["n"]), dbeta

    def cosinenorm_forward(x, w, eps):
        # eps as one more input, of its root's size, that the other array does not have
        root = np.sqrt(np.array(eps, x.dtype))
        wide_x = np.hstack([x, np.full((len(x), 1), root), np.zeros((len(x), 1), x.dtype)])
        wide_w = np.vstack([w, np.zeros((1, w.shape[1]), w.dtype), np.full((1, w.shape[1]), root)])
        wide_x /= np.linalg.norm(wide_x, axis=1)[:, None]
        wide_w /= np.linalg.norm(wide_w, axis=0)
        return wide_x @ wide_w, (x, w, eps)

    def standardized(a, axes):
        return (a - a.mean(axes, keepdims=True)) / a.std(axes, keepdims=True)

    def invariances(norm):
        """Measure: five pixels a sample, of which only instance norm makes use."""

        def layer(x, w):
            w_hat = w / column_norms(w)
            a = x @ w
            samples, pixels, units = a.shape
            return {
                "none": lambda: a,
                "weight": lambda: x @ w_hat,
                "cosine": lambda: x @ w_hat / np.linalg.norm(x, axis=2, keepdims=True),
                "batch": lambda: standardized(a, (0, 1)),
                "instance": lambda: standardized(a, (1,)),
                "layer": lambda: standardized(a, (1, 2)),
                "group": lambda: standardized(
                    a.reshape(samples, pixels, 2, units // 2), (1, 3)
                ).reshape(a.shape),
            }[norm]()

        rng = np.random.default_rng(1)
        x, w = 1 + rng.standard_normal((4, 5, 3)), rng.standard_normal((3, 6))
        unit, sample = np.ones(6), np.ones((4, 1, 1))
        unit[2] = sample[1] = 3
        before = layer(x, w)
        after = (
            layer(x, 3 * w),
            layer(x, -3 * w),
            layer(x, w * unit),
            layer(3 * x, w),
            layer(x + rng.standard_normal(3), w),
            layer(x * sample, w),
        )
        return {c: np.allclose(before, a) for c, a in zip(CHANGES, after, strict=True)}

    def cosinenorm_backward(dout, cache):
        x, w, eps = cache
        out = cosinenorm_forward(x, w, eps)[0]
        a, b = (x**2).sum(1, keepdims=True) + eps, (w**2).sum(0, keepdims=True) + eps
        linear = dout / np.sqrt(a * b)
        dx = linear @ w.T - x * (dout * out).sum(1, keepdims=True) / a
        dw = x.T @ linear - w * (dout * out).sum(0, keepdims=True) / b
        return dx, dw

    return locals().values()


STYLES = (
    linalg_and_dict,
    one_unit_at_a_time,
    einsum_and_tuple,
    units_first,
    in_place_on_copies,
    matrices,
    by_another_road,
)


def _answer(style):
    """What `style` defines under the names of the exercises; its own helpers stay inside."""
    functions = {f.__name__: f for f in style() if callable(f) and f.__name__ in NAMES}
    assert set(functions) == set(NAMES), sorted(set(NAMES) - set(functions))
    return Answer(style.__name__, functions)


ANSWERS: list[Answer] = [_answer(style) for style in STYLES]
