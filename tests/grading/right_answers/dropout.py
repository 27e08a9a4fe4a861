"""Right answers to the dropout problem set, as different people write them."""

from __future__ import annotations

import math
import random
import statistics

import numpy as np

from tests.grading.right_answers import Answer

# ---------------------------------------------------------------- 1: as in the book


def book_draw_mask(shape, p, rng):
    return (rng.random(shape) >= p).astype(float)


def book_forward(x, dropout_param):
    p = dropout_param["p"]
    if not 0 <= p < 1:
        raise ValueError(f"p must lie in [0, 1), got {p}")
    if dropout_param["mode"] == "test":
        return x, 1.0
    rng = np.random.default_rng(dropout_param.get("seed"))
    factor = ((rng.random(x.shape) >= p) / (1 - p)).astype(x.dtype)
    return x * factor, factor


def book_backward(dout, cache):
    return dout * cache


def book_unit(x, dropout_param):
    p = dropout_param["p"]
    if dropout_param["mode"] == "test":
        return x, 1.0
    factor = (np.random.default_rng().random((1, x.shape[1])) >= p) / (1 - p)
    return x * factor, factor


def book_classical(x, dropout_param):
    p = dropout_param["p"]
    if dropout_param["mode"] == "test":
        return x * (1 - p), 1 - p
    mask = (np.random.default_rng().random(x.shape) >= p).astype(x.dtype)
    return x * mask, mask


def book_gaussian(x, dropout_param):
    if dropout_param["mode"] == "test":
        return x, 1.0
    p = dropout_param["p"]
    factor = np.random.default_rng().normal(1, np.sqrt(p / (1 - p)), x.shape).astype(x.dtype)
    return x * factor, factor


def book_uniform(x, dropout_param):
    if dropout_param["mode"] == "test":
        return x, 1.0
    beta = dropout_param["beta"]
    factor = (1 + np.random.default_rng().uniform(-beta, beta, x.shape)).astype(x.dtype)
    return x * factor, factor


def book_softmax(scores):
    odds = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


def book_mc(network, x, passes):
    probabilities = np.array([book_softmax(network(x, "train", "test")) for _ in range(passes)])
    return probabilities.mean(axis=0), probabilities.var(axis=0)


def book_network(x, weights, u1, u2):
    z1 = x @ weights["W1"] + weights["b1"]
    h1 = np.maximum(z1, 0) * u1
    z2 = h1 @ weights["W2"] + weights["b2"]
    h2 = np.maximum(z2, 0) * u2
    return h2 @ weights["W3"] + weights["b3"], (x, z1, h1, z2, h2, u1, u2, weights)


def book_network_backward(dout, cache):
    x, z1, h1, z2, h2, u1, u2, weights = cache
    dz2 = dout @ weights["W3"].T * u2 * (z2 > 0)
    dz1 = dz2 @ weights["W2"].T * u1 * (z1 > 0)
    grads = {"W3": h2.T @ dout, "W2": h1.T @ dz2, "W1": x.T @ dz1}
    grads |= {"b3": dout.sum(0), "b2": dz2.sum(0), "b1": dz1.sum(0)}
    return dz1 @ weights["W1"].T, grads


# ------------------------------------- 2: the global generator; settings and mask in the cache


def legacy_draw_mask(shape, p, rng):
    return rng.uniform(0.0, 1.0, size=shape) > p


def legacy_forward(x, dropout_param):
    p, mode = dropout_param["p"], dropout_param["mode"]
    if p < 0 or p >= 1:
        raise ValueError("bad p")
    mask, out = None, None
    if mode == "train":
        if "seed" in dropout_param:
            numbers = np.random.RandomState(dropout_param["seed"]).rand(*x.shape)
        else:
            numbers = np.random.rand(*x.shape)
        mask = (numbers < 1 - p) / (1 - p)
        mask = mask.astype(x.dtype)
        out = x * mask
    elif mode == "test":
        out = x
    cache = (dropout_param, mask)
    out = out.astype(x.dtype, copy=False)
    return out, cache


def legacy_backward(dout, cache):
    dropout_param, mask = cache
    if dropout_param["mode"] == "train":
        dx = dout * mask
        return dx
    elif dropout_param["mode"] == "test":
        return dout


def legacy_unit(x, dropout_param):
    p = dropout_param["p"]
    mask = None
    out = x
    if dropout_param["mode"] == "train":
        mask = (np.random.rand(x.shape[1]) < 1 - p) / (1 - p)
        out = x * mask
    return out, (dropout_param, mask)


def legacy_classical(x, dropout_param):
    p = dropout_param["p"]
    if dropout_param["mode"] == "test":
        return (1 - p) * x, (dropout_param, None)
    mask = np.random.rand(*x.shape) < 1 - p
    return mask * x, (dropout_param, mask)


def legacy_gaussian(x, dropout_param):
    out, noise = x, None
    if dropout_param["mode"] == "train":
        keep = 1 - dropout_param["p"]
        noise = 1 + np.random.randn(*x.shape) * ((1 - keep) / keep) ** 0.5
        out = x * noise
    return out.astype(x.dtype, copy=False), (dropout_param, noise)


def legacy_uniform(x, dropout_param):
    out, noise = x, None
    if dropout_param["mode"] == "train":
        noise = 2 * dropout_param["beta"] * (np.random.rand(*x.shape) - 0.5)
        out = x + x * noise
    return out.astype(x.dtype, copy=False), (dropout_param, noise)


def legacy_mc(network, x, passes):
    total, squares = 0, 0
    for _ in range(passes):
        odds = np.exp(network(x, "train", "test"))
        p = odds / np.sum(odds, axis=1)[:, None]
        total = total + p
        squares = squares + p**2
    mean = total / passes
    return mean, squares / passes - mean**2


def legacy_network(x, weights, u1, u2):
    hidden1 = np.maximum(0, np.dot(x, weights["W1"]) + weights["b1"])
    hidden1 *= u1
    hidden2 = np.maximum(0, np.dot(hidden1, weights["W2"]) + weights["b2"])
    hidden2 *= u2
    out = np.dot(hidden2, weights["W3"]) + weights["b3"]
    return out, [x, hidden1, hidden2, u1, u2, weights]


def legacy_network_backward(dout, cache):
    x, hidden1, hidden2, u1, u2, weights = cache
    grads = {}
    grads["W3"] = np.dot(hidden2.T, dout)
    grads["b3"] = np.sum(dout, axis=0, keepdims=True)
    dhidden2 = np.dot(dout, weights["W3"].T)
    dhidden2 *= u2
    dhidden2[hidden2 <= 0] = 0
    grads["W2"] = np.dot(hidden1.T, dhidden2)
    grads["b2"] = np.sum(dhidden2, axis=0, keepdims=True)
    dhidden1 = np.dot(dhidden2, weights["W2"].T)
    dhidden1 *= u1
    dhidden1[hidden1 <= 0] = 0
    grads["W1"] = np.dot(x.T, dhidden1)
    grads["b1"] = np.sum(dhidden1, axis=0, keepdims=True)
    return np.dot(dhidden1, weights["W1"].T), grads


# ---------------------------------------------------------------- 3: a 0/1 mask, scaled when used


def binary_draw_mask(shape, p, rng):
    return rng.binomial(1, 1 - p, size=shape)


def binary_forward(x, dropout_param):
    p, mode = dropout_param["p"], dropout_param["mode"]
    if mode == "train" and not (p >= 0 and p < 1):
        raise ValueError(p)
    if mode == "test":
        return x.copy(), {"mode": mode}
    rng = np.random.default_rng(dropout_param.get("seed", None))
    mask = rng.binomial(1, 1 - p, size=x.shape)
    out = (x * mask / (1 - p)).astype(x.dtype)
    return out, {"mode": mode, "mask": mask, "keep": 1 - p}


def binary_backward(dout, cache):
    if cache["mode"] == "test":
        return dout.copy()
    return (dout * cache["mask"] / cache["keep"]).astype(dout.dtype)


def binary_unit(x, dropout_param):
    p = dropout_param["p"]
    if dropout_param["mode"] == "test":
        return x.copy(), None
    coins = np.random.binomial(1, 1 - p, size=x.shape[1])
    return x * np.tile(coins, (len(x), 1)) / (1 - p), {"coins": coins}


def binary_classical(x, dropout_param):
    p = dropout_param["p"]
    if dropout_param["mode"] == "test":
        return x - p * x, {}
    mask = np.random.binomial(1, 1 - p, size=x.shape)
    return x * mask, {"mask": mask}


def binary_gaussian(x, dropout_param):
    mode, p = dropout_param["mode"], dropout_param["p"]
    if mode == "test":
        return x.copy(), {"mode": mode}
    scale = np.sqrt(1 / (1 - p) - 1)  # the same variance, written in another way
    eps = np.random.default_rng().standard_normal(x.shape, dtype=np.float32)
    factor = eps * np.float32(scale) + np.float32(1)
    return (x * factor).astype(x.dtype), {"mode": mode, "mask": factor, "keep": 1}


def binary_uniform(x, dropout_param):
    low, high = 1 - dropout_param["beta"], 1 + dropout_param["beta"]
    if dropout_param["mode"] == "test":
        return x.copy(), {}
    factor = np.random.uniform(low, high, size=x.shape)
    return np.multiply(x, factor, dtype=x.dtype, casting="same_kind"), {"factor": factor}


def binary_mc(network, x, passes):
    scores = np.stack([network(x, "train", "test") for _ in range(passes)], axis=-1)
    odds = np.exp(scores)
    p = odds / np.einsum("nkt->nt", odds)[:, np.newaxis]
    mean = np.einsum("nkt->nk", p) / passes
    return mean, np.einsum("nkt,nkt->nk", p - mean[..., None], p - mean[..., None]) / passes


def einsum_network(x, weights, u1, u2):
    W1, W2, W3 = (weights[f"W{i}"] for i in (1, 2, 3))
    z1 = np.einsum("nd,dh->nh", x, W1) + weights["b1"]
    h1 = np.einsum("nh,nh,nh->nh", z1, z1 > 0, u1)
    z2 = np.einsum("nd,dh->nh", h1, W2) + weights["b2"]
    h2 = np.einsum("nh,nh,nh->nh", z2, z2 > 0, u2)
    out = np.einsum("nd,dk->nk", h2, W3) + weights["b3"]
    slopes = (u1 * (z1 > 0), u2 * (z2 > 0))
    return out, {"inputs": (x, h1, h2), "slopes": slopes, "W": (W1, W2, W3)}


def einsum_network_backward(dout, cache):
    grads = {}
    d = dout
    for layer in (3, 2, 1):
        grads[f"W{layer}"] = np.einsum("ni,nj->ij", cache["inputs"][layer - 1], d)
        grads[f"b{layer}"] = np.einsum("nj->j", d)
        d = np.einsum("nj,ij->ni", d, cache["W"][layer - 1])
        if layer > 1:
            d = d * cache["slopes"][layer - 2]
    return d, grads


# ---------------------------------------------------------------- 4: set to zero by index


def index_draw_mask(shape, p, rng):
    mask = np.ones(shape)
    mask[rng.random(shape) < p] = 0
    return mask


def index_forward(x, dropout_param):
    p = dropout_param["p"]
    if p < 0.0:
        raise ValueError("p is negative")
    if p >= 1.0:
        raise ValueError("p is not below one")
    cache = [None, p]
    out = x.copy()
    if dropout_param["mode"] == "train":
        seed = dropout_param.get("seed")
        rng = np.random if seed is None else np.random.RandomState(seed)
        dropped = rng.random_sample(x.shape) < p
        out[dropped] = 0
        out /= 1 - p
        cache[0] = dropped
    return out, cache


def index_backward(dout, cache):
    dropped, p = cache
    dx = np.array(dout)
    if dropped is not None:
        dx[dropped] = 0
        dx /= 1 - p
    return dx


def index_unit(x, dropout_param):
    out = x.copy()
    gone = np.array([], int)
    if dropout_param["mode"] == "train":
        p = dropout_param["p"]
        gone = np.flatnonzero(np.random.random(x.shape[1]) < p)
        out[:, gone] = 0
        out *= 1 / (1 - p)
    return out, gone


def index_classical(x, dropout_param):
    out = np.copy(x)
    if dropout_param["mode"] == "train":
        out[np.random.random(x.shape) < dropout_param["p"]] = 0.0
    else:
        out *= 1 - dropout_param["p"]
    return out, None


def index_gaussian(x, dropout_param):
    out, noise = x.copy(), None
    if dropout_param["mode"] == "train":
        p = dropout_param["p"]
        noise = np.empty_like(x)
        noise[...] = np.random.normal(loc=1.0, scale=(p / (1 - p)) ** 0.5, size=x.size).reshape(
            x.shape
        )
        out *= noise
    return out, [noise]


def index_gaussian_backward(dout, cache):
    dx = np.array(dout)
    if cache[0] is not None:
        dx *= cache[0]
    return dx


def index_uniform(x, dropout_param):
    out = x.copy()
    if dropout_param["mode"] == "train":
        beta = dropout_param["beta"]
        out += (out * (beta - 2 * beta * np.random.random_sample(x.shape))).astype(x.dtype)
    return out, None


def index_mc(network, x, passes):
    """Welford's way: the mean and the squares as they come."""
    for t in range(1, passes + 1):
        scores = network(x, "train", "test")
        p = np.exp(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)))
        if t == 1:
            mean, squares = np.zeros_like(p), np.zeros_like(p)
        off = p - mean
        mean += off / t
        squares += off * (p - mean)
    return mean, squares / passes


def looping_network(x, weights, u1, u2):
    rows, memory = [], []
    for n in range(len(x)):
        z1 = weights["b1"] + sum(x[n, i] * weights["W1"][i] for i in range(x.shape[1]))
        h1 = np.where(z1 > 0, z1, 0) * u1[n]
        z2 = weights["b2"] + sum(h1[i] * weights["W2"][i] for i in range(len(h1)))
        h2 = np.where(z2 > 0, z2, 0) * u2[n]
        rows.append(h2 @ weights["W3"] + weights["b3"])
        memory.append((x[n], z1, h1, z2, h2, u1[n], u2[n]))
    return np.array(rows), (memory, weights)


def looping_network_backward(dout, cache):
    memory, weights = cache
    grads = {key: np.zeros_like(value) for key, value in weights.items()}
    dx = []
    for d3, (x, z1, h1, z2, h2, u1, u2) in zip(dout, memory, strict=True):
        grads["W3"] += np.outer(h2, d3)
        grads["b3"] += d3
        d2 = np.where(z2 > 0, weights["W3"] @ d3 * u2, 0)
        grads["W2"] += np.outer(h1, d2)
        grads["b2"] += d2
        d1 = np.where(z1 > 0, weights["W2"] @ d2 * u1, 0)
        grads["W1"] += np.outer(x, d1)
        grads["b1"] += d1
        dx.append(weights["W1"] @ d1)
    return np.stack(dx), grads


# ---------------------------------------------------------------- 5: loops, Python's own generator


def looping_draw_mask(shape, p, rng):
    mask = np.zeros(shape, dtype=int)
    for index in np.ndindex(*shape):
        if rng.random() > p:
            mask[index] = 1
    return mask


def looping_forward(x, dropout_param):
    p = dropout_param["p"]
    if p not in (0,) and not 0 < p < 1:
        raise ValueError("p")
    if dropout_param["mode"] != "train":
        return x, []
    coin = random.Random(dropout_param.get("seed"))
    factors = [0.0 if coin.random() < p else 1 / (1 - p) for _ in range(x.size)]
    values = [a * f for a, f in zip(x.ravel(), factors, strict=True)]
    return np.array(values, dtype=x.dtype).reshape(x.shape), factors


def looping_backward(dout, cache):
    if not cache:
        return dout
    values = [a * f for a, f in zip(dout.flat, cache, strict=True)]
    return np.array(values, dtype=dout.dtype).reshape(dout.shape)


def looping_unit(x, dropout_param):
    if dropout_param["mode"] != "train":
        return x, None
    columns = []
    for column in x.T:
        alive = random.random() >= dropout_param["p"]
        columns.append(column / (1 - dropout_param["p"]) if alive else 0 * column)
    return np.column_stack(columns), None


def looping_classical(x, dropout_param):
    p = dropout_param["p"]
    if dropout_param["mode"] != "train":
        return np.array([a * (1 - p) for a in x.flat]).reshape(x.shape), None
    out = np.empty_like(x)
    for index, value in np.ndenumerate(x):
        out[index] = value if random.random() >= p else 0
    return out, None


def looping_gaussian(x, dropout_param):
    if dropout_param["mode"] != "train":
        return x, []
    p = dropout_param["p"]
    factors = [random.gauss(1, (p / (1 - p)) ** 0.5) for _ in range(x.size)]
    values = [a * f for a, f in zip(x.ravel().tolist(), factors, strict=True)]
    return np.array(values, dtype=x.dtype).reshape(x.shape), factors


def looping_uniform(x, dropout_param):
    out = np.empty_like(x)
    for index, value in np.ndenumerate(x):
        r = random.uniform(-1, 1) if dropout_param["mode"] == "train" else 0
        out[index] = value * (1 + r * dropout_param["beta"])
    return out, None


def looping_mc(network, x, passes):
    runs = [network(x, "train", "test") for _ in range(passes)]
    mean, variance = np.zeros_like(runs[0]), np.zeros_like(runs[0])
    for n in range(len(x)):
        rows = [[math.exp(s) for s in run[n]] for run in runs]
        rows = [[odds / sum(row) for odds in row] for row in rows]
        for k in range(len(rows[0])):
            column = [row[k] for row in rows]
            mean[n, k] = statistics.fmean(column)
            variance[n, k] = statistics.pvariance(column)
    return mean, variance


class Layer:
    """One affine layer that remembers its input."""

    def __init__(self, W, b, mask=None):
        self.W, self.b, self.mask = W, b, mask

    def forward(self, x):
        self.x = x
        self.z = x.dot(self.W) + self.b[None, :]
        # masks are not negative, so it does not matter which comes first
        return self.z if self.mask is None else (self.z * self.mask).clip(min=0)

    def backward(self, dout):
        if self.mask is not None:
            dout = dout * self.mask * np.heaviside(self.z, 0)
        self.dW, self.db = self.x.T.dot(dout), np.ones(len(dout)).dot(dout)
        return dout.dot(self.W.T)


def layered_network(x, weights, u1, u2):
    layers = [
        Layer(weights[f"W{i}"], weights[f"b{i}"], mask) for i, mask in ((1, u1), (2, u2), (3, None))
    ]
    for layer in layers:
        x = layer.forward(x)
    return x, layers


def layered_network_backward(dout, cache):
    for layer in reversed(cache):
        dout = layer.backward(dout)
    grads = {"x": dout}
    for i, layer in enumerate(cache, 1):
        grads[f"W{i}"], grads[f"b{i}"] = layer.dW, layer.db
    return dout, grads


# ---------------------------------------------------------------- 6: where, and an own class


class Remembered:
    def __init__(self, kept=None, keep=1.0):
        self.kept, self.keep = kept, keep


def where_draw_mask(shape, p, rng):
    return np.where(rng.random(shape) < p, np.float32(0), np.float32(1))


def where_forward(x, dropout_param):
    p = float(dropout_param["p"])
    if not 0.0 <= p < 1.0:
        raise ValueError("the drop probability must lie in [0, 1)")
    if dropout_param["mode"] == "test":
        return x + 0, Remembered()
    if "seed" in dropout_param:
        state = np.random.get_state()
        np.random.seed(dropout_param["seed"])
        numbers = np.random.random_sample(x.shape)
        np.random.set_state(state)
    else:
        numbers = np.random.random_sample(x.shape)
    kept = numbers >= p
    return np.where(kept, x / (1 - p), 0), Remembered(kept, 1 - p)


def where_backward(dout, cache):
    return dout if cache.kept is None else np.where(cache.kept, dout / cache.keep, 0)


def where_unit(x, dropout_param):
    if dropout_param["mode"] == "test":
        return x + 0, Remembered()
    keep = 1 - dropout_param["p"]
    kept = np.random.default_rng().choice([True, False], size=x.shape[1], p=[keep, 1 - keep])
    return np.where(kept[np.newaxis, :], x / keep, 0), Remembered(kept, keep)


def where_classical(x, dropout_param):
    keep = 1 - dropout_param["p"]
    if dropout_param["mode"] == "test":
        return np.multiply(x, keep), Remembered()
    kept = np.random.choice([True, False], size=x.shape, p=[keep, 1 - keep])
    return np.where(kept, x, 0), Remembered(kept)


def where_gaussian(x, dropout_param):
    p = float(dropout_param["p"])
    if dropout_param["mode"] == "test":
        return x + 0, Remembered(True)
    # Box and Muller: two uniform numbers make a normal one
    u, v = np.random.random_sample((2, *x.shape))
    normal = np.sqrt(-2 * np.log(1 - u)) * np.cos(2 * np.pi * v)
    factor = np.asarray(1 + normal * np.sqrt(p) / np.sqrt(1 - p), dtype=x.dtype)
    return x * factor, Remembered(factor)


def where_gaussian_backward(dout, cache):
    return dout * cache.kept


def where_uniform(x, dropout_param):
    beta = dropout_param["beta"] if dropout_param["mode"] == "train" else 0.0
    span = np.random.default_rng().uniform(-1, 1, x.shape)
    return (x * (1 + beta * span)).astype(x.dtype), Remembered()


def where_mc(network, x, passes):
    answers = []
    while len(answers) < passes:
        scores = network(x, "train", "test")
        answers.append(1 / np.exp(scores[:, None, :] - scores[:, :, None]).sum(axis=2))
    mean = sum(answers) / passes
    return mean, sum((a - mean) ** 2 for a in answers) / passes


def closure_network(x, weights, u1, u2):
    def affine(h, i):
        def back(d, grads):
            grads[f"W{i}"], grads[f"b{i}"] = h.T @ d, d.sum(axis=0)
            return d @ weights[f"W{i}"].T

        return h @ weights[f"W{i}"] + weights[f"b{i}"], back

    def relu(z):
        return (abs(z) + z) / 2, lambda d, _: d * (np.sign(z) + 1) / 2

    def drop(h, u):
        return h * u, lambda d, _: d * u

    backs = []
    h = x
    for i, u in ((1, u1), (2, u2), (3, None)):
        h, back = affine(h, i)
        backs.append(back)
        if u is not None:
            h, back = relu(h)
            backs.append(back)
            h, back = drop(h, u)
            backs.append(back)
    return h, backs


def closure_network_backward(dout, cache):
    grads = {}
    for back in cache[::-1]:
        dout = back(dout, grads)
    return dout, grads


# ---------------------------------------------------------------- 7: waiting times, float32 care


def careful_draw_mask(shape, p, rng):
    # an exponential waiting time is longer than -log(1 - p) with probability 1 - p
    return (rng.exponential(size=shape) > -np.log(1 - p)).astype(np.int8)


def careful_forward(x, dropout_param):
    p = dropout_param["p"]
    if not (0 <= p < 1):
        raise ValueError(p)
    settings = dict(dropout_param)
    if settings.pop("mode") == "test":
        return x.view(), np.ones_like(x)
    rng = np.random.Generator(np.random.PCG64(settings.get("seed")))
    factor = np.zeros_like(x)
    factor[rng.integers(0, 2**53, x.shape) >= p * 2**53] = x.dtype.type(1) / x.dtype.type(1 - p)
    return np.multiply(x, factor), factor


def careful_backward(dout, cache):
    return np.multiply(dout, cache, dtype=dout.dtype)


def careful_unit(x, dropout_param):
    dropout_param["calls"] = dropout_param.get("calls", 0) + 1  # an extra key does no harm
    if dropout_param["mode"] == "test":
        return x.view(), None
    keep = 1 - dropout_param["p"]
    return x @ np.diag((np.random.rand(x.shape[1]) < keep) / keep), None


def careful_classical(x, dropout_param):
    keep = 1 - dropout_param["p"]
    factor = keep if dropout_param["mode"] == "test" else np.random.rand(*x.shape) <= keep
    return x * factor, factor


def careful_gaussian(x, dropout_param):
    if dropout_param["mode"] == "test":
        return x.view(), np.ones_like(x)
    p = dropout_param["p"]
    rng = np.random.Generator(np.random.PCG64())
    factor = np.ones_like(x) + rng.standard_normal(x.shape, dtype=x.dtype) * x.dtype.type(
        math.sqrt(p / (1 - p))
    )
    return np.multiply(x, factor), factor


def careful_uniform(x, dropout_param):
    beta = x.dtype.type(dropout_param["beta"])
    if dropout_param["mode"] == "test":
        return x.view(), None
    r = np.random.Generator(np.random.PCG64()).random(x.shape, dtype=x.dtype)
    return x * (1 - beta + 2 * beta * r), None


def careful_mc(network, x, passes):
    gathered = np.concatenate([network(x, "train", "test") for _ in range(passes)])
    p = book_softmax(gathered).reshape(passes, len(x), -1)
    return np.average(p, axis=0), np.std(p, axis=0) ** 2


def jacobian_network(x, weights, u1, u2):
    out, _ = book_network(x, weights, u1, u2)
    return out, (x, weights, u1, u2)


def jacobian_network_backward(dout, cache):
    """Per sample the network is affine on its linear piece: multiply the matrices of the pieces."""
    x, weights, u1, u2 = cache
    _, (_, z1, h1, z2, h2, *_) = book_network(x, weights, u1, u2)
    slope1, slope2 = u1 * (z1 > 0), u2 * (z2 > 0)
    to_z2 = [weights["W3"].T * s for s in slope2]
    to_z1 = [j @ weights["W2"].T * s for j, s in zip(to_z2, slope1, strict=True)]
    d2 = np.array([d @ j for d, j in zip(dout, to_z2, strict=True)])
    d1 = np.array([d @ j for d, j in zip(dout, to_z1, strict=True)])
    parts = {"1": (x, d1), "2": (h1, d2), "3": (h2, dout)}
    grads = {f"W{i}": np.tensordot(h, d, axes=(0, 0)) for i, (h, d) in parts.items()}
    grads |= {f"b{i}": d.T.sum(axis=1) for i, (_, d) in parts.items()}
    return np.array([d @ weights["W1"].T for d in d1]), grads


def _answer(name, prefix, network, gradient="backward"):
    functions = {
        "draw_mask": f"{prefix}_draw_mask",
        "dropout_forward": f"{prefix}_forward",
        "dropout_backward": f"{prefix}_backward",
        "unit_dropout_forward": f"{prefix}_unit",
        "classical_dropout_forward": f"{prefix}_classical",
        "gaussian_dropout_forward": f"{prefix}_gaussian",
        "gaussian_dropout_backward": f"{prefix}_{gradient}",
        "uniform_dropout_forward": f"{prefix}_uniform",
        "mc_predict": f"{prefix}_mc",
        "three_layer_forward": f"{network}_network",
        "three_layer_backward": f"{network}_network_backward",
    }
    return Answer(name, {asked: globals()[written] for asked, written in functions.items()})


ANSWERS = [
    _answer("as in the book", "book", "book"),
    _answer("global generator, settings in the cache", "legacy", "legacy"),
    _answer("0/1 mask scaled when used, dict cache", "binary", "einsum"),
    _answer("set to zero by index, list cache", "index", "looping", "gaussian_backward"),
    _answer("loops, the generator of Python itself", "looping", "layered"),
    _answer("np.where, an own class as cache", "where", "closure", "gaussian_backward"),
    _answer("float32 care, Jacobians", "careful", "jacobian"),
]
