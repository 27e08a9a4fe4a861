"""Right answers to the problem set that puts everything together, as different people write them.

Each of the six brings its own network, too: other depths, norms, starts and learning rates.
"""

from __future__ import annotations

import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np

import dlnorm
from dlnorm import nn
from tests.grading.right_answers import Answer

EPS = 1e-5


def by_definition():
    """Mean squares and sums written out, a dict for the cache, one loop over the layers."""

    def shift_dropout(c, v, keep):
        before = v
        mean_square = keep * (c * c + v) / keep**2
        return before / (mean_square - c * c)

    def shift_noise(c, v, kind, strength):
        if kind == "gaussian":
            noise = strength / (1 - strength)
        elif kind == "uniform":
            noise = (2 * strength) ** 2 / 12
        else:
            raise ValueError(kind)
        return v / (v + noise * (c**2 + v))

    def shift_measured(x, mask, keep):
        n, d = x.shape
        noisy = (x[None] * mask / keep).reshape(-1, d)
        test = ((x - x.mean(0)) ** 2).sum(0) / n
        train = ((noisy - noisy.mean(0)) ** 2).sum(0) / len(noisy)
        return test / train

    def population_statistics(means, variances, m):
        k = len(means)
        return means.sum(axis=0) / k, m * variances.sum(axis=0) / (k * (m - 1))

    def recalibrate(x, factor, W, b, batch_size):
        total, squares = 0.0, 0.0
        for start in range(0, len(x), batch_size):
            z = x[start : start + batch_size] @ W + b
            total = total + z.sum(axis=0)
            squares = squares + (z**2).sum(axis=0)
        mean = total / len(x)
        return mean, squares / len(x) - mean**2

    def shifted_batchnorms(layers):
        return [
            i for i, kind in enumerate(layers) if kind == "batchnorm" and "dropout" in layers[:i]
        ]

    def dropouts_last(layers):
        last = max((i for i, kind in enumerate(layers) if kind == "batchnorm"), default=-1)
        early = [kind for kind in layers[: last + 1] if kind != "dropout"]
        count = layers[: last + 1].count("dropout")
        return early + list(layers[last + 1 : -1]) + ["dropout"] * count + [layers[-1]]

    def block_forward(x, W, b, gamma, beta, groups):
        z = np.dot(x, W) + b
        N, H = z.shape
        zg = z.reshape(N * groups, H // groups)
        mu = zg.mean(axis=1, keepdims=True)
        var = zg.var(axis=1, keepdims=True)
        xhat = (zg - mu) / np.sqrt(var + EPS)
        y = xhat.reshape(N, H) * gamma + beta
        cache = {"x": x, "W": W, "gamma": gamma, "xhat": xhat, "var": var, "on": y > 0}
        return y * (y > 0), cache

    def block_backward(dout, cache):
        N, H = dout.shape
        xhat, ivar = cache["xhat"], 1 / np.sqrt(cache["var"] + EPS)
        m = xhat.shape[1]
        dy = np.where(cache["on"], dout, 0)
        dgamma = np.sum(dy * xhat.reshape(N, H), axis=0, keepdims=True)
        dbeta = np.sum(dy, axis=0, keepdims=True)
        dxhat = (dy * cache["gamma"]).reshape(-1, m)
        dzg = (
            ivar
            / m
            * (
                m * dxhat
                - dxhat.sum(axis=1, keepdims=True)
                - xhat * (dxhat * xhat).sum(axis=1, keepdims=True)
            )
        )
        dz = dzg.reshape(N, H)
        return dz.dot(cache["W"].T), cache["x"].T.dot(dz), dz.sum(axis=0), dgamma, dbeta

    def cross_entropy(scores, y):
        n = scores.shape[0]
        s = scores - np.max(scores, axis=1).reshape(-1, 1)
        lse = np.log(np.sum(np.exp(s), axis=1))
        loss = np.mean(lse - s[range(n), y])
        p = np.exp(s - lse[:, None])
        p[range(n), y] -= 1
        p /= n
        return float(loss), p

    def network_gradients(x, y, params, groups):
        h, caches = x, []
        for k in (1, 2):
            h, cache = block_forward(
                h, params[f"W{k}"], params[f"b{k}"], params[f"gamma{k}"], params[f"beta{k}"], groups
            )
            caches.append(cache)
        loss, d = cross_entropy(h @ params["W3"] + params["b3"], y)
        grads = {"W3": h.T @ d, "b3": d.sum(0)}
        d = d @ params["W3"].T
        for k in (2, 1):
            d, dW, db, dg, dbt = block_backward(d, caches.pop())
            grads.update({f"W{k}": dW, f"b{k}": db, f"gamma{k}": dg[0], f"beta{k}": dbt[0]})
        return loss, grads

    def sgd_step(params, grads, velocity, lr, momentum):
        new_params, new_velocity = {}, {}
        for key, value in params.items():
            new_velocity[key] = momentum * velocity[key] - lr * grads[key]
            new_params[key] = value + new_velocity[key]
        return new_params, new_velocity

    def train(x, y, rng):
        """Layer norm, momentum, a learning rate that falls."""
        params = {}
        for k, (a, c) in enumerate(((64, 64), (64, 32), (32, 10)), 1):
            params[f"W{k}"] = rng.normal(0, np.sqrt(2 / a), (a, c))
            params[f"b{k}"] = np.zeros(c)
            params[f"gamma{k}"], params[f"beta{k}"] = np.ones(c), np.zeros(c)
        del params["gamma3"], params["beta3"]
        velocity = {key: 0 * value for key, value in params.items()}
        for t in range(len(x)):
            _, grads = network_gradients(x[t], y[t], params, 1)
            lr = 0.01 * (1 - t / len(x))
            params, velocity = sgd_step(params, grads, velocity, lr, 0.9)
        return params

    def predict(x, model):
        h = x
        for k in (1, 2):
            h, _ = block_forward(
                h, model[f"W{k}"], model[f"b{k}"], model[f"gamma{k}"], model[f"beta{k}"], 1
            )
        return np.argmax(h @ model["W3"] + model["b3"], axis=1)

    return locals().values()


def loops():
    """Python loops over units, samples, groups and classes; lists for everything."""

    def shift_dropout(c, v, keep):
        shift = np.empty(len(c))
        for j in range(len(c)):
            outcomes = ((keep, 1 / keep), (1 - keep, 0.0))
            square = sum(p * r**2 * (c[j] ** 2 + v[j]) for p, r in outcomes)
            mean = sum(p * r * c[j] for p, r in outcomes)
            shift[j] = v[j] / (square - mean**2)
        return shift

    def shift_noise(c, v, kind, strength):
        noise = {"gaussian": lambda p: p / (1 - p), "uniform": lambda beta: beta * beta / 3}
        second = 1 + noise[kind](strength)
        return np.array([vj / ((cj**2 + vj) * second - cj**2) for cj, vj in zip(c, v, strict=True)])

    def shift_measured(x, mask, keep):
        shift = []
        for j in range(x.shape[1]):
            values = [x[i, j] / keep if one[i, j] else 0.0 for one in mask for i in range(len(x))]
            shift.append(np.var(x[:, j]) / np.var(values))
        return np.array(shift)

    def population_statistics(means, variances, m):
        d = means.shape[1]
        mean, var = np.zeros(d), np.zeros(d)
        for one, other in zip(means, variances, strict=True):
            mean += one / len(means)
            var += other / len(means)
        return mean, var * m / (m - 1)

    def recalibrate(x, factor, W, b, batch_size):
        rows = []
        for row in range(len(x)):
            rows.append(x[row] @ W + b)
        mean = sum(rows) / len(rows)
        return mean, sum((row - mean) ** 2 for row in rows) / len(rows)

    def shifted_batchnorms(layers):
        found = []
        for i in range(len(layers)):
            if layers[i] == "batchnorm":
                for j in range(i):
                    if layers[j] == "dropout":
                        found.append(i)
                        break
        return tuple(found)

    def dropouts_last(layers):
        stack, moved = [], 0
        for i in range(len(layers) - 1):
            if layers[i] == "dropout" and any(kind == "batchnorm" for kind in layers[i + 1 :]):
                moved += 1
            else:
                stack.append(layers[i])
        for _ in range(moved):
            stack.append("dropout")
        stack.append(layers[-1])
        return stack

    def block_forward(x, W, b, gamma, beta, groups):
        n, units = len(x), W.shape[1]
        size = units // groups
        x_hat, std = np.empty((n, units)), np.empty((n, units))
        z = x @ W + b
        for i in range(n):
            for g in range(groups):
                part = z[i, g * size : (g + 1) * size]
                s = math.sqrt(part.var() + EPS)
                x_hat[i, g * size : (g + 1) * size] = (part - part.mean()) / s
                std[i, g * size : (g + 1) * size] = s
        out = gamma * x_hat + beta
        out[out < 0] = 0
        return out, [x, W, gamma, groups, x_hat, std, out]

    def block_backward(dout, cache):
        x, W, gamma, groups, x_hat, std, out = cache
        n, units = dout.shape
        size = units // groups
        dy = dout.copy()
        dy[out <= 0] = 0
        dz = np.empty((n, units))
        for i in range(n):
            for g in range(groups):
                own = slice(g * size, (g + 1) * size)
                d = dy[i, own] * gamma[own]
                hat = x_hat[i, own]
                jacobian = (np.eye(size) - 1 / size - np.outer(hat, hat) / size) / std[i, own]
                dz[i, own] = jacobian @ d
        dW = sum(np.outer(x[i], dz[i]) for i in range(n))
        return dz @ W.T, dW, sum(dz), sum(dy * x_hat), sum(dy)

    def cross_entropy(scores, y):
        n, k = scores.shape
        loss, dscores = 0.0, np.zeros((n, k))
        for i in range(n):
            row = scores[i] - max(scores[i])
            total = sum(math.exp(s) for s in row)
            loss += (math.log(total) - row[y[i]]) / n
            for j in range(k):
                dscores[i, j] = (math.exp(row[j]) / total - (j == y[i])) / n
        return loss, dscores

    def network_gradients(x, y, params, groups):
        """Sample by sample: the loss of a batch is the mean of theirs."""
        loss, grads = 0.0, {name: np.zeros_like(value) for name, value in params.items()}
        first = [params[key] for key in ("W1", "b1", "gamma1", "beta1")]
        second = [params[key] for key in ("W2", "b2", "gamma2", "beta2")]
        for i in range(len(x)):
            h1, cache1 = block_forward(x[i : i + 1], *first, groups)
            h2, cache2 = block_forward(h1, *second, groups)
            one, d = cross_entropy(h2 @ params["W3"] + params["b3"], y[i : i + 1])
            loss += one / len(x)
            d = d / len(x)
            grads["W3"] += np.outer(h2[0], d[0])
            grads["b3"] += d[0]
            dh, *own = block_backward(d @ params["W3"].T, cache2)
            for key, value in zip(("W2", "b2", "gamma2", "beta2"), own, strict=True):
                grads[key] += value
            _, *own = block_backward(dh, cache1)
            for key, value in zip(("W1", "b1", "gamma1", "beta1"), own, strict=True):
                grads[key] += value
        return loss, grads

    def sgd_step(params, grads, velocity, lr, momentum):
        params = {key: value.copy() for key, value in params.items()}
        velocity = {key: value.copy() for key, value in velocity.items()}
        for key in params:
            velocity[key] *= momentum
            velocity[key] -= lr * grads[key]
            params[key] += velocity[key]
        return params, velocity

    def train(x, y, rng):
        """One hidden layer without any norm, wide, its rate in two stages."""
        W1, b1 = rng.normal(size=(64, 100)) * np.sqrt(2 / 64), np.zeros(100)
        W2, b2 = rng.normal(size=(100, 10)) * 0.1, np.zeros(10)
        for t, (images, classes) in enumerate(zip(x, y, strict=True)):
            lr = 0.1 if t < 0.6 * len(x) else 0.02
            z = images @ W1 + b1
            h = np.maximum(z, 0)
            s = h @ W2 + b2
            p = np.exp(s - s.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            d = (p - np.eye(10)[classes]) / len(classes)
            dh = d @ W2.T * (z > 0)
            W2, b2 = W2 - lr * h.T @ d, b2 - lr * d.sum(axis=0)
            W1, b1 = W1 - lr * images.T @ dh, b1 - lr * dh.sum(axis=0)
        return W1, b1, W2, b2

    def predict(x, model):
        W1, b1, W2, b2 = model
        names = [int((np.maximum(image @ W1 + b1, 0) @ W2 + b2).argmax()) for image in x]
        return np.array(names)

    return locals().values()


def classes_and_einsum():
    """Objects that remember, einsum for the sums, matrices that center."""

    def shift_dropout(c, v, keep):
        drop = 1 - keep
        return v / (v + (drop / keep) * (v + np.square(c)))

    def shift_noise(c, v, kind, strength):
        keep_like = 1 - strength if kind == "gaussian" else 1 / (1 + strength**2 / 3)
        return shift_dropout(c, v, keep_like)

    def shift_measured(x, mask, keep):
        k, n, _ = mask.shape
        first = np.einsum("knd,nd->d", mask, x) / keep / (k * n)
        second = np.einsum("knd,nd,nd->d", mask, x, x) / keep**2 / (k * n)
        return x.var(axis=0) / (second - first**2)

    def population_statistics(means, variances, m):
        weights = np.full(len(means), 1 / len(means))
        var = np.einsum("k,kd->d", weights, variances) * (1 + 1 / (m - 1))
        return np.einsum("k,kd->d", weights, means)[None], var[None]

    def recalibrate(x, factor, W, b, batch_size):
        cuts = range(batch_size, len(x), batch_size)
        parts = [part @ W + b for part in np.split(x, cuts)]
        z = np.concatenate(parts)
        return np.mean(z, axis=0, keepdims=True), np.var(z, axis=0, keepdims=True)

    def shifted_batchnorms(layers):
        kinds = np.array(layers)
        noisy = np.cumsum(kinds == "dropout") > 0
        return np.flatnonzero(noisy & (kinds == "batchnorm"))

    def dropouts_last(layers):
        stack = list(layers)
        for position in reversed(range(len(layers))):
            if layers[position] == "dropout" and "batchnorm" in layers[position:]:
                del stack[position]
                stack.insert(len(stack) - 1, "dropout")
        return stack

    def block_forward(x, W, b, gamma, beta, groups):
        memory = SimpleNamespace(x=x, W=W, gamma=gamma)
        z = np.einsum("nd,dh->nh", x, W) + b
        memory.size = z.shape[1] // groups
        same = np.kron(np.eye(groups), np.full((memory.size, memory.size), 1 / memory.size))
        centered = z - z @ same
        memory.same, memory.std = same, np.sqrt(centered**2 @ same + EPS)
        memory.x_hat = centered / memory.std
        memory.gate = np.heaviside(gamma * memory.x_hat + beta, 0)
        return memory.gate * (gamma * memory.x_hat + beta), memory

    def block_backward(dout, cache):
        dy = cache.gate * dout
        d = dy * cache.gamma
        dz = (d - d @ cache.same - cache.x_hat * ((d * cache.x_hat) @ cache.same)) / cache.std
        return (
            np.einsum("nh,dh->nd", dz, cache.W),
            np.einsum("nd,nh->dh", cache.x, dz),
            np.einsum("nh->h", dz)[None],
            np.einsum("nh,nh->h", dy, cache.x_hat)[None],
            np.einsum("nh->h", dy)[None],
        )

    def cross_entropy(scores, y):
        one_hot = np.eye(scores.shape[1])[y]
        top = scores.max(axis=1)
        log_total = top + np.log(np.exp(scores - top[:, None]).sum(axis=1))
        log_p = scores - log_total[:, None]
        loss = -np.einsum("nk,nk->", one_hot, log_p) / len(y)
        return loss, (np.exp(log_p) - one_hot) / len(y)

    def network_gradients(x, y, params, groups):
        class Tape(list):
            def through(self, h, k):
                keys = [f"{name}{k}" for name in ("W", "b", "gamma", "beta")]
                h, cache = block_forward(h, *[params[key] for key in keys], groups)
                self.append((keys, cache))
                return h

        tape = Tape()
        h = tape.through(tape.through(x, 1), 2)
        loss, d = cross_entropy(np.einsum("nh,hk->nk", h, params["W3"]) + params["b3"], y)
        grads = {"b3": d.sum(0), "W3": np.einsum("nh,nk->hk", h, d), "loss": loss}
        d = d @ params["W3"].T
        for keys, cache in tape[::-1]:
            d, dW, *others = block_backward(d, cache)
            grads.update(zip(keys, [dW, *(a[0] for a in others)], strict=True))
        return loss, grads

    def sgd_step(params, grads, velocity, lr, momentum):
        after = {k: (momentum * velocity[k] - lr * g) for k, g in grads.items() if k in params}
        return {k: np.add(w, after[k]) for k, w in params.items()}, after

    class Network:
        """Three hidden layers with RMS norm, no mean subtracted, no gamma, no bias."""

        def __init__(self, rng):
            sizes = (64, 64, 64, 64, 10)
            self.W = [rng.standard_normal((a, b)) * (2 / a) ** 0.5 for a, b in pairwise(sizes)]

        def forward(self, x):
            caches = []
            for W in self.W[:-1]:
                z = x @ W
                s = np.sqrt((z * z).mean(axis=1, keepdims=True) + EPS)
                caches.append((x, z / s, s))
                x = np.maximum(z / s, 0)
            return x, x @ self.W[-1], caches

        def step(self, x, y, lr):
            h, scores, caches = self.forward(x)
            _, d = cross_entropy(scores, y)
            steps, d = [h.T @ d], d @ self.W[-1].T
            for (inputs, hat, s), W in zip(caches[::-1], self.W[-2::-1], strict=True):
                d = d * (hat > 0)
                d = (d - hat * (d * hat).mean(axis=1, keepdims=True)) / s
                steps.append(inputs.T @ d)
                d = d @ W.T
            for W, dW in zip(self.W[::-1], steps, strict=True):
                W -= lr * dW

    def train(x, y, rng):
        network = Network(rng)
        for t in range(len(x)):
            network.step(x[t], y[t], 0.1 * (1 - t / len(x)))
        return network

    def predict(x, model):
        return model.forward(x)[1].argmax(axis=-1)

    return locals().values()


def the_courses_own():
    """With the course's own functions: what is asked for here is what stands there."""

    def shift_dropout(c, v, keep):
        return v / ((c**2 + v) / keep - c**2)

    def shift_noise(c, v, kind, strength):
        square = 1 / (1 - strength) if kind == "gaussian" else 1 + strength**2 / 3
        return v / ((c**2 + v) * square - c**2)

    def shift_measured(x, mask, keep):
        noisy = np.concatenate(list(x * mask / keep))
        return nn.statistics(x)[1] / nn.statistics(noisy)[1]

    def recalibrate(x, factor, W, b, batch_size):
        return nn.statistics(x @ W + b)

    def shifted_batchnorms(layers):
        if "dropout" not in layers:
            return []
        first = layers.index("dropout")
        return [k for k in range(first, len(layers)) if layers[k] == "batchnorm"]

    def dropouts_last(layers):
        *stack, scores = layers
        last = len(stack) - 1 - stack[::-1].index("batchnorm") if "batchnorm" in stack else 0
        kept = [kind for k, kind in enumerate(stack) if kind != "dropout" or k > last]
        if "batchnorm" not in stack:
            kept = stack
        return [*kept, *["dropout"] * (len(stack) - len(kept)), scores]

    def block_forward(x, W, b, gamma, beta, groups):
        z = (x @ W + b)[:, :, None, None]
        y, cache = dlnorm.spatial_groupnorm_forward(z, gamma, beta, groups, {"eps": EPS})
        return np.maximum(y[:, :, 0, 0], 0), (x, W, y[:, :, 0, 0] > 0, cache)

    def block_backward(dout, cache):
        x, W, gate, norm = cache
        dy = (dout * gate)[:, :, None, None]
        dz, dgamma, dbeta = dlnorm.spatial_groupnorm_backward(dy, norm)
        dz = dz[:, :, 0, 0]
        return dz @ W.T, x.T @ dz, dz.sum(axis=0), dgamma, dbeta

    def network_gradients(x, y, params, groups):
        rng = np.random.default_rng(0)
        sizes = [params["W1"].shape[0], *(params[f"b{k}"].size for k in (1, 2, 3))]
        layers = []
        for a, b in pairwise(sizes):
            layers += [nn.Linear(a, b, rng), nn.GroupNorm(b, groups, eps=EPS), nn.ReLU()]
        network = nn.Sequential(*layers[:-2])
        names = {0: "W1 b1", 1: "gamma1 beta1", 3: "W2 b2", 4: "gamma2 beta2", 6: "W3 b3"}
        keys = {f"{k}.{name[:-1]}": name for k, both in names.items() for name in both.split()}
        for key, name in keys.items():
            network.params[key][...] = params[name]
        loss, dscores = nn.softmax_cross_entropy(network.forward(x, "train"), y)
        network.backward(dscores)
        return loss, {name: network.grads[key] for key, name in keys.items()}

    def sgd_step(params, grads, velocity, lr, momentum):
        new = {name: value.copy() for name, value in params.items()}
        optimizer = nn.SGD(lr, momentum)
        optimizer.state = {f"velocity/{name}": value.copy() for name, value in velocity.items()}
        optimizer.step(new, grads)
        moved = {name: new[name] - params[name] for name in params}
        return new, moved

    def train(x, y, rng):
        """Weight norm, Adam: neither of the two looks at a second sample."""
        network = nn.Sequential(
            nn.WeightNormLinear(64, 80, rng), nn.ReLU(), nn.WeightNormLinear(80, 10, rng)
        )
        optimizer = nn.Adam(0.004)
        for t, (images, classes) in enumerate(zip(x, y, strict=True)):
            optimizer.lr = 0.004 * (1 - t / len(x))
            _, dscores = nn.softmax_cross_entropy(network.forward(images, "train"), classes)
            network.backward(dscores)
            optimizer.step(network.params, network.grads)
        return network

    def predict(x, model):
        return model.forward(x, "test").argmax(axis=1)

    functions = dict(locals())
    functions |= {"population_statistics": dlnorm.population_statistics}
    functions |= {"cross_entropy": nn.softmax_cross_entropy}
    return functions


def node_by_node():
    """Every node of the graph on its own line, 0/1 gates, tuples, reshaped once and for all."""

    def shift_dropout(c, v, keep):
        Ex, Ex2 = c, v + c**2
        Er, Er2 = 1.0, 1.0 / keep
        variance = Er2 * Ex2 - (Er * Ex) ** 2
        shift = v / variance
        return shift.reshape(1, -1)

    def shift_noise(c, v, kind, strength):
        sigma = strength / np.sqrt(3)
        if kind == "gaussian":
            sigma = np.sqrt(strength / (1 - strength))
        return 1 / ((1 + (c**2 / v)) * (1 + sigma**2) - c**2 / v)

    def shift_measured(x, mask, keep):
        noisy = np.stack([x * one for one in mask]) * (1 / keep)
        within = noisy.var(axis=1).mean(axis=0)
        between = noisy.mean(axis=1).var(axis=0)
        return np.var(x, 0) / (within + between)

    def population_statistics(means, variances, m):
        unbiased = variances * (m / (m - 1.0))
        return np.average(means, axis=0), np.average(unbiased, axis=0)

    def recalibrate(x, factor, W, b, batch_size):
        sizes, means, variances = [], [], []
        start = 0
        while start < len(x):
            z = np.dot(x[start : start + batch_size], W) + b
            sizes.append(len(z))
            means.append(z.mean(0))
            variances.append(z.var(0))
            start += batch_size
        mean = np.average(means, axis=0, weights=sizes)
        within = np.average(variances, axis=0, weights=sizes)
        between = np.average((np.array(means) - mean) ** 2, axis=0, weights=sizes)
        return mean, within + between

    def shifted_batchnorms(layers):
        dirty = False
        result = []
        for position, layer in enumerate(layers):
            if layer == "dropout":
                dirty = True
            elif layer == "batchnorm" and dirty:
                result += [position]
        return result

    def dropouts_last(layers):
        seen, rest, moved = False, [], []
        for layer in reversed(layers[:-1]):
            if layer == "dropout" and seen:
                moved.append(layer)
                continue
            seen = seen or layer == "batchnorm"
            rest.append(layer)
        return rest[::-1] + moved + [layers[-1]]

    def block_forward(x, W, b, gamma, beta, groups):
        N, H = x.shape[0], W.shape[1]
        z = (x.dot(W) + b).reshape(N, groups, H // groups)
        mu = z.mean(axis=-1, keepdims=True)
        zmu = z - mu
        sq = zmu**2
        var = sq.mean(axis=-1, keepdims=True)
        sqrtvar = np.sqrt(var + EPS)
        ivar = 1.0 / sqrtvar
        xhat = zmu * ivar
        y = gamma.reshape(1, groups, -1) * xhat + beta.reshape(1, groups, -1)
        mask = (y > 0).astype(float)
        return (y * mask).reshape(N, H), (x, W, gamma, zmu, sqrtvar, ivar, xhat, mask)

    def block_backward(dout, cache):
        x, W, gamma, zmu, sqrtvar, ivar, xhat, mask = cache
        N, G, m = xhat.shape
        dy = dout.reshape(N, G, m) * mask
        dbeta = dy.sum(axis=0).ravel()
        dgamma = (dy * xhat).sum(axis=0).ravel()
        dxhat = dy * gamma.reshape(1, G, m)
        divar = (dxhat * zmu).sum(axis=-1, keepdims=True)
        dzmu1 = dxhat * ivar
        dsqrtvar = -1.0 / sqrtvar**2 * divar
        dvar = 0.5 * ivar * dsqrtvar
        dsq = np.ones_like(zmu) / m * dvar
        dzmu2 = 2 * zmu * dsq
        dz1 = dzmu1 + dzmu2
        dmu = -dz1.sum(axis=-1, keepdims=True)
        dz = (dz1 + dmu / m).reshape(N, G * m)
        db = dz.sum(axis=0)
        dW = x.T.dot(dz)
        dx = dz.dot(W.T)
        return [dx, dW, db, dgamma, dbeta]

    def cross_entropy(scores, y):
        N = len(y)
        a = scores.copy()
        a -= a.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(a).sum(axis=1))
        loss = (log_sum - a[np.arange(N), y]).sum() / N
        probs = np.exp(a) / np.exp(a).sum(axis=1, keepdims=True)
        target = np.zeros_like(probs)
        target[np.arange(N), y] = 1
        return loss, (probs - target) / N

    def network_gradients(x, y, params, groups):
        p = params
        h1, c1 = block_forward(x, p["W1"], p["b1"], p["gamma1"], p["beta1"], groups)
        h2, c2 = block_forward(h1, p["W2"], p["b2"], p["gamma2"], p["beta2"], groups)
        loss, ds = cross_entropy(np.dot(h2, p["W3"]) + p["b3"], y)
        dW3 = np.dot(h2.T, ds)
        db3 = np.sum(ds, axis=0)
        dh2 = np.dot(ds, p["W3"].T)
        dh1, dW2, db2, dgamma2, dbeta2 = block_backward(dh2, c2)
        dx, dW1, db1, dgamma1, dbeta1 = block_backward(dh1, c1)
        found = locals()
        return loss, {key: found["d" + key] for key in params}

    def sgd_step(params, grads, velocity, lr, momentum):
        new_velocity = dict(velocity)
        new_params = dict(params)
        for key in params:
            new_velocity[key] = momentum * new_velocity[key] - lr * grads[key]
            new_params[key] = new_params[key] + new_velocity[key]
        return new_params, new_velocity

    def train(x, y, rng):
        """Group norm with eight groups, an output layer that starts at 0."""
        params = {
            "W1": rng.uniform(-1, 1, (64, 64)) * np.sqrt(6 / 64),
            "W2": rng.uniform(-1, 1, (64, 64)) * np.sqrt(6 / 64),
            "W3": np.zeros((64, 10)),
            **{f"{name}{k}": np.zeros(64) for name in ("b", "beta") for k in (1, 2)},
            **{f"gamma{k}": np.ones(64) for k in (1, 2)},
            "b3": np.zeros(10),
        }
        velocity = {key: np.zeros(value.shape) for key, value in params.items()}
        rates = np.linspace(0.02, 0.0, len(x))
        for lr, images, classes in zip(rates, x, y, strict=True):
            _, grads = network_gradients(images, classes, params, 8)
            params, velocity = sgd_step(params, grads, velocity, lr, 0.8)
        return [8, params]

    def predict(x, model):
        groups, p = model
        h, _ = block_forward(x, p["W1"], p["b1"], p["gamma1"], p["beta1"], groups)
        h, _ = block_forward(h, p["W2"], p["b2"], p["gamma2"], p["beta2"], groups)
        scores = h @ p["W3"] + p["b3"]
        return np.argsort(-scores, axis=1)[:, 0].astype(np.int32)

    return locals().values()


def terse():
    """As few lines as will do."""

    def shift_dropout(c, v, keep):
        return keep * v / (v + (1 - keep) * c**2)

    def shift_noise(c, v, kind, strength):
        return shift_dropout(
            c, v, 1 - strength if kind == "gaussian" else 3 / (3 + strength * strength)
        )

    def shift_measured(x, mask, keep):
        return x.var(0) / (x * mask / keep).reshape(-1, x.shape[-1]).var(0)

    def population_statistics(means, variances, m):
        return np.mean(means, 0), np.mean(variances, 0) / (1 - 1 / m)

    def recalibrate(x, factor, W, b, batch_size):
        z = np.vstack([x[i : i + batch_size] @ W for i in range(0, len(x), batch_size)])
        return z.mean(0) + b, z.var(0)

    def shifted_batchnorms(layers):
        after = "dropout" in layers and layers.index("dropout")
        return [i for i, k in enumerate(layers) if after is not False and i > after and k[0] == "b"]

    def dropouts_last(layers):
        def harmless(i):
            return layers[i] != "dropout" or "batchnorm" not in layers[i:]

        *stack, scores = layers
        order = sorted(range(len(stack)), key=lambda i: not harmless(i))
        return [stack[i] for i in order] + [scores]

    def block_forward(x, W, b, gamma, beta, groups):
        z = (x @ W + b).reshape(len(x), groups, -1)
        s = (z.var(-1, keepdims=True) + EPS) ** -0.5
        hat = (z - z.mean(-1, keepdims=True)) * s
        out = (gamma * hat.reshape(len(x), -1) + beta).clip(0)
        return out, (x, W, gamma, s, hat, out)

    def block_backward(dout, cache):
        x, W, gamma, s, hat, out = cache
        dy = dout * (out != 0)
        d = (gamma * dy).reshape(hat.shape)
        dz = s * (d - d.mean(-1, keepdims=True) - hat * (d * hat).mean(-1, keepdims=True))
        dz = dz.reshape(out.shape)
        return dz @ W.T, x.T @ dz, dz.sum(0), (dy * hat.reshape(out.shape)).sum(0), dy.sum(0)

    def cross_entropy(scores, y):
        log_p = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
        hit = np.arange(scores.shape[1]) == y[:, None]
        return -log_p[hit].mean(), (np.exp(log_p) - hit) / len(y)

    def network_gradients(x, y, params, groups):
        names = ["W", "b", "gamma", "beta"]
        h, c1 = block_forward(x, *[params[n + "1"] for n in names], groups)
        h, c2 = block_forward(h, *[params[n + "2"] for n in names], groups)
        loss, d = cross_entropy(h @ params["W3"] + params["b3"], y)
        d2, *g2 = block_backward(d @ params["W3"].T, c2)
        _, *g1 = block_backward(d2, c1)
        keys = [n + k for k in "12" for n in names]
        return loss, {**dict(zip(keys, g1 + g2, strict=True)), "W3": h.T @ d, "b3": d.sum(0)}

    def sgd_step(params, grads, velocity, lr, momentum):
        v = {k: momentum * velocity[k] - lr * grads[k] for k in velocity}
        return {k: params[k] + v[k] for k in params}, v

    def train(x, y, rng):
        """One hidden layer of 128 units with layer norm."""
        W1, g, b1 = rng.normal(0, 0.18, (64, 128)), np.ones(128), np.zeros(128)
        W2, b2, zero = rng.normal(0, 0.1, (128, 10)), np.zeros(10), np.zeros(128)
        for t, (images, classes) in enumerate(zip(x, y, strict=True)):
            lr = 0.06 * (1 - t / len(x))
            h, cache = block_forward(images, W1, zero, g, b1, 1)
            _, d = cross_entropy(h @ W2 + b2, classes)
            _, dW1, _, dg, db1 = block_backward(d @ W2.T, cache)
            W2, b2 = W2 - lr * h.T @ d, b2 - lr * d.sum(0)
            W1, g, b1 = W1 - lr * dW1, g - lr * dg, b1 - lr * db1
        return {"first": (W1, zero, g, b1, 1), "last": (W2, b2)}

    def predict(x, model):
        W, b = model["last"]
        return (block_forward(x, *model["first"])[0] @ W + b).argmax(1)

    return locals().values()


NAMES = (
    "shift_dropout",
    "shift_noise",
    "shift_measured",
    "population_statistics",
    "recalibrate",
    "shifted_batchnorms",
    "dropouts_last",
    "block_forward",
    "block_backward",
    "cross_entropy",
    "network_gradients",
    "sgd_step",
    "train",
    "predict",
)


def answer(make):
    """The functions that the exercises ask for, out of everything that `make` defines."""
    made = make()
    if isinstance(made, dict):
        found = {name: made[name] for name in NAMES}
    else:
        found = {f.__name__: f for f in made if getattr(f, "__name__", None) in NAMES}
    return Answer(make.__name__, found)


ANSWERS = [
    answer(make)
    for make in (
        by_definition,
        loops,
        classes_and_einsum,
        the_courses_own,
        node_by_node,
        terse,
    )
]
