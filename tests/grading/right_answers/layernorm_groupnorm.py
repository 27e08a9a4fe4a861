"""Right answers to the problem set on layer, group and instance norm, in people's styles."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from tests.grading.right_answers import Answer

NAMES = (
    "row_statistics",
    "layernorm_forward",
    "who_depends_on_whom",
    "layernorm_backward",
    "layernorm_rnn_step_forward",
    "layernorm_rnn_step_backward",
    "layernorm_rnn_backward",
    "spatial_groupnorm_forward",
    "spatial_groupnorm_backward",
    "spatial_instancenorm_forward",
    "spatial_instancenorm_backward",
)


def transposed_batchnorm():
    """Batch norm of the transposed table; groups in five dimensions; dicts."""

    def row_statistics(x):
        return np.mean(x.T, axis=0)[:, np.newaxis], np.var(x.T, axis=0)[:, np.newaxis]

    def layernorm_forward(x, gamma, beta, ln_param):
        eps = ln_param.get("eps", 1e-5)
        z = x.T
        mu, var = z.mean(axis=0), z.var(axis=0)
        ivar = 1 / np.sqrt(var + eps)
        xhat = ((z - mu) * ivar).T
        return gamma * xhat + beta, {"xhat": xhat, "ivar": ivar, "gamma": gamma}

    def who_depends_on_whom(layer, x):
        n = len(x)
        rng = np.random.default_rng(0)
        out = layer(x)
        depends = np.zeros((n, n), dtype=bool)
        for j in range(n):
            other = x.copy()
            other[j] = rng.standard_normal(x.shape[1])
            new = layer(other)
            for i in range(n):
                depends[i, j] = not np.allclose(new[i], out[i])
        return depends

    def layernorm_backward(dout, cache):
        xhat, ivar, gamma = cache["xhat"].T, cache["ivar"], cache["gamma"]
        dgamma = np.sum(dout.T * xhat, axis=1)
        dbeta = np.sum(dout, axis=0)
        dxhat = (dout * gamma).T
        m = dxhat.shape[0]
        dz = ivar / m * (m * dxhat - dxhat.sum(axis=0) - xhat * (dxhat * xhat).sum(axis=0))
        return dz.T, dgamma, dbeta

    def layernorm_rnn_step_forward(x, prev_h, Wx, Wh, gamma, beta, ln_param):
        a = x.dot(Wx) + prev_h.dot(Wh)
        normed, ln_cache = layernorm_forward(a, gamma, beta, ln_param)
        h = np.tanh(normed)
        return h, {"x": x, "prev_h": prev_h, "Wx": Wx, "Wh": Wh, "ln": ln_cache, "h": h}

    def layernorm_rnn_step_backward(dnext_h, cache):
        dnormed = dnext_h * (1 - cache["h"] * cache["h"])
        da, dgamma, dbeta = layernorm_backward(dnormed, cache["ln"])
        dx, dWx = da.dot(cache["Wx"].T), cache["x"].T.dot(da)
        dprev_h, dWh = da.dot(cache["Wh"].T), cache["prev_h"].T.dot(da)
        return dx, dprev_h, dWx, dWh, dgamma, dbeta

    def layernorm_rnn_backward(dh, caches):
        N, T, H = dh.shape
        D = caches[0]["x"].shape[1]
        dx, dWx, dWh = np.zeros((N, T, D)), np.zeros((D, H)), np.zeros((H, H))
        dgamma, dbeta, carry = np.zeros(H), np.zeros(H), np.zeros((N, H))
        for t in range(T - 1, -1, -1):
            step = layernorm_rnn_step_backward(dh[:, t, :] + carry, caches[t])
            dx[:, t, :], carry = step[0], step[1]
            dWx += step[2]
            dWh += step[3]
            dgamma += step[4]
            dbeta += step[5]
        return dx, carry, dWx, dWh, dgamma, dbeta

    def spatial_groupnorm_forward(x, gamma, beta, G, gn_param):
        N, C, H, W = x.shape
        if C % G != 0:
            raise ValueError(f"{C} channels cannot be split into {G} groups")
        eps = gn_param.get("eps", 1e-5)
        xg = x.reshape(N, G, C // G, H, W)
        mu = xg.mean(axis=(2, 3, 4), keepdims=True)
        var = xg.var(axis=(2, 3, 4), keepdims=True)
        ivar = 1 / np.sqrt(var + eps)
        xhat = (xg - mu) * ivar
        gamma, beta = gamma.reshape(1, C, 1, 1), beta.reshape(1, C, 1, 1)
        out = xhat.reshape(N, C, H, W) * gamma + beta
        return out, {"xhat": xhat, "ivar": ivar, "gamma": gamma}

    def spatial_groupnorm_backward(dout, cache):
        xhat, ivar = cache["xhat"], cache["ivar"]
        dgamma = np.sum(dout * xhat.reshape(dout.shape), axis=(0, 2, 3), keepdims=True)
        dbeta = np.sum(dout, axis=(0, 2, 3), keepdims=True)
        d = (dout * cache["gamma"]).reshape(xhat.shape)
        m = int(np.prod(xhat.shape[2:]))
        axes = (2, 3, 4)
        sums = d.sum(axis=axes, keepdims=True), (d * xhat).sum(axis=axes, keepdims=True)
        dx = ivar / m * (m * d - sums[0] - xhat * sums[1])
        return dx.reshape(dout.shape), dgamma, dbeta

    def spatial_instancenorm_forward(x, gamma, beta, in_param):
        return spatial_groupnorm_forward(x, gamma, beta, x.shape[1], in_param)

    def spatial_instancenorm_backward(dout, cache):
        return spatial_groupnorm_backward(dout, cache)

    return locals().values()


def loops():
    """Python loops over samples, features, groups and steps; lists for caches."""

    def row_statistics(x):
        n, d = x.shape
        mean, var = np.zeros((n, 1), x.dtype), np.zeros((n, 1), x.dtype)
        for i in range(n):
            m = sum(float(v) for v in x[i]) / d
            mean[i, 0] = m
            var[i, 0] = sum((float(v) - m) ** 2 for v in x[i]) / d
        return mean, var

    def layernorm_forward(x, gamma, beta, ln_param):
        eps = ln_param.get("eps", 1e-5)
        out, kept = np.empty_like(x), []
        for i, row in enumerate(x):
            row = row.astype(float)
            s = (row.var() + eps) ** 0.5
            z = (row - row.mean()) / s
            out[i] = gamma * z + beta
            kept.append((z, s))
        return out, [kept, gamma]

    def who_depends_on_whom(layer, x):
        n, d = x.shape
        before = layer(x)
        rows = []
        for i in range(n):
            row = []
            for j in range(n):
                changed = np.array(
                    [x[k] if k != j else -x[k][::-1] - np.arange(d) for k in range(n)]
                )
                row.append(bool(np.any(layer(changed)[i] != before[i])))
            rows.append(row)
        return np.array(rows)

    def layernorm_backward(dout, cache):
        kept, gamma = cache
        d = dout.shape[1]
        dx, dgamma, dbeta = np.empty_like(dout), np.zeros(d), np.zeros(d)
        for i, (z, s) in enumerate(kept):
            jacobian = (np.eye(d) - 1 / d - np.outer(z, z) / d) / s
            dx[i] = jacobian @ (gamma * dout[i])
            dgamma += dout[i] * z
            dbeta += dout[i]
        return dx, dgamma, dbeta

    def layernorm_rnn_step_forward(x, prev_h, Wx, Wh, gamma, beta, ln_param):
        rows, caches = [], []
        for i in range(len(x)):
            a = prev_h[i : i + 1] @ Wh + x[i : i + 1] @ Wx
            y, cache = layernorm_forward(a, gamma, beta, ln_param)
            rows.append(np.tanh(y))
            caches.append(cache)
        h = np.concatenate(rows)
        return h, [x, prev_h, Wx, Wh, caches, h]

    def layernorm_rnn_step_backward(dnext_h, cache):
        x, prev_h, Wx, Wh, caches, h = cache
        dx, dprev_h = np.empty_like(x), np.empty_like(prev_h)
        dWx, dWh = np.zeros_like(Wx), np.zeros_like(Wh)
        dgamma, dbeta = 0, 0
        for i in range(len(x)):
            own = slice(i, i + 1)
            da, g, b = layernorm_backward(dnext_h[own] * (1 - h[own] ** 2), caches[i])
            dx[own], dprev_h[own] = da @ Wx.T, da @ Wh.T
            dWx += np.outer(x[i], da)
            dWh += np.outer(prev_h[i], da)
            dgamma, dbeta = dgamma + g, dbeta + b
        return [dx, dprev_h, dWx, dWh, dgamma, dbeta]

    def layernorm_rnn_backward(dh, caches):
        total, dx = None, {}
        carry = 0 * dh[:, 0]
        for t in sorted(range(len(caches)), reverse=True):
            dx[t], carry, *parts = layernorm_rnn_step_backward(dh[:, t] + carry, caches[t])
            total = parts if total is None else [a + b for a, b in zip(total, parts, strict=True)]
        return np.stack([dx[t] for t in range(len(caches))], axis=1), carry, *total

    def spatial_groupnorm_forward(x, gamma, beta, G, gn_param):
        n, c, _, _ = x.shape
        size, rest = divmod(c, G)
        if rest:
            raise ValueError("G")
        gamma, beta = gamma.ravel(), beta.ravel()
        eps = gn_param.get("eps", 1e-5)
        x_hat, std = np.empty_like(x), np.empty((n, c))
        for i in range(n):
            for g in range(G):
                own = slice(g * size, (g + 1) * size)
                block = x[i, own].astype(float)
                std[i, own] = np.sqrt(block.var() + eps)
                x_hat[i, own] = (block - block.mean()) / std[i, g * size]
        out = np.empty_like(x)
        for k in range(c):
            out[:, k] = gamma[k] * x_hat[:, k] + beta[k]
        return out, [x_hat, std, gamma, size]

    def spatial_groupnorm_backward(dout, cache):
        x_hat, std, gamma, size = cache
        n, c, _, _ = dout.shape
        dx = np.empty_like(dout)
        for i in range(n):
            for k in range(0, c, size):
                own = slice(k, k + size)
                d = gamma[own, None, None] * dout[i, own]
                z = x_hat[i, own]
                dx[i, own] = (d - d.mean() - z * (d * z).mean()) / std[i, k]
        dgamma = np.array([(dout[:, k] * x_hat[:, k]).sum() for k in range(c)])
        return dx, dgamma, np.array([dout[:, k].sum() for k in range(c)])

    def spatial_instancenorm_forward(x, gamma, beta, in_param):
        parts = [
            spatial_groupnorm_forward(
                x[:, k : k + 1], gamma.ravel()[k : k + 1], beta.ravel()[k : k + 1], 1, in_param
            )
            for k in range(x.shape[1])
        ]
        return np.concatenate([out for out, _ in parts], axis=1), [cache for _, cache in parts]

    def spatial_instancenorm_backward(dout, cache):
        parts = [spatial_groupnorm_backward(dout[:, k : k + 1], c) for k, c in enumerate(cache)]
        dx, dgamma, dbeta = zip(*parts, strict=True)
        return np.concatenate(dx, axis=1), np.concatenate(dgamma), np.concatenate(dbeta)

    return locals().values()


def staged_and_tuple():
    """Node by node, with every intermediate in a tuple."""

    def row_statistics(x):
        d = x.shape[1]
        mean = x.sum(axis=1, keepdims=True) / d
        return mean, ((x - mean) ** 2).sum(axis=1, keepdims=True) / d

    def layernorm_forward(x, gamma, beta, ln_param):
        mean, var = row_statistics(x)
        centered = x - mean
        std = np.sqrt(var + ln_param.get("eps", 1e-5))
        x_hat = centered / std
        return gamma * x_hat + beta, (gamma, centered, std, x_hat)

    def who_depends_on_whom(layer, x):
        n, d = x.shape
        before = layer(x)
        depends = np.zeros((n, n))
        for j in range(n):
            for k in range(d):  # one entry at a time
                moved = x.copy()
                moved[j, k] += 0.5
                depends[:, j] += np.abs(layer(moved) - before).sum(axis=1)
        return depends > 0

    def layernorm_backward(dout, cache):
        gamma, centered, std, x_hat = cache
        d = dout.shape[1]
        dgamma, dbeta = (dout * x_hat).sum(axis=0, keepdims=True), dout.sum(axis=0, keepdims=True)
        dx_hat = dout * gamma
        dstd = -(dx_hat * centered).sum(axis=1, keepdims=True) / std**2
        dvar = dstd / 2 / std
        dcentered = dx_hat / std + 2 / d * centered * dvar
        dmean = -dcentered.sum(axis=1, keepdims=True)
        return dcentered + dmean / d, dgamma, dbeta

    def layernorm_rnn_step_forward(x, prev_h, Wx, Wh, gamma, beta, ln_param):
        joined, weights = np.hstack([x, prev_h]), np.vstack([Wx, Wh])
        normed, norm = layernorm_forward(joined @ weights, gamma, beta, ln_param)
        return np.tanh(normed), (joined, weights, normed, norm, x.shape[1])

    def layernorm_rnn_step_backward(dnext_h, cache):
        joined, weights, normed, norm, d = cache
        da, dgamma, dbeta = layernorm_backward(dnext_h / np.cosh(normed) ** 2, norm)
        djoined, dweights = da @ weights.T, joined.T @ da
        return djoined[:, :d], djoined[:, d:], dweights[:d], dweights[d:], dgamma, dbeta

    def layernorm_rnn_backward(dh, caches):
        def back(t, carry):
            """Gradients of the steps 0 to t, given what comes from the steps behind."""
            dx, dprev, *here = layernorm_rnn_step_backward(dh[:, t] + carry, caches[t])
            if t == 0:
                return [dx], dprev, here
            inputs, dh0, before = back(t - 1, dprev)
            return [*inputs, dx], dh0, [a + b for a, b in zip(before, here, strict=True)]

        inputs, dh0, shared = back(len(caches) - 1, 0)
        return np.stack(inputs, axis=1), dh0, *shared

    def spatial_groupnorm_forward(x, gamma, beta, G, gn_param):
        if x.shape[1] / G != x.shape[1] // G:
            raise ValueError("C must be divisible by G")
        rows = x.reshape(x.shape[0] * G, -1)
        count = rows.shape[1]
        shape = (1, gamma.size, 1, 1)
        x_hat, cache = layernorm_forward(
            rows, np.ones(count, x.dtype), np.zeros(count, x.dtype), gn_param
        )
        x_hat = x_hat.reshape(x.shape)
        gamma = gamma.reshape(shape)
        return gamma * x_hat + beta.reshape(shape), (x_hat, gamma, cache)

    def spatial_groupnorm_backward(dout, cache):
        x_hat, gamma, rows_cache = cache
        rows = (gamma * dout).reshape(rows_cache[1].shape)
        dx = layernorm_backward(rows, rows_cache)[0].reshape(dout.shape)
        return dx, (dout * x_hat).sum(axis=(0, 2, 3)), dout.sum(axis=(0, 2, 3))

    def spatial_instancenorm_forward(x, gamma, beta, in_param):
        return spatial_groupnorm_forward(x, gamma, beta, gamma.size, in_param)

    def spatial_instancenorm_backward(dout, cache):
        return spatial_groupnorm_backward(dout, cache)

    return locals().values()


def einsums():
    """Every sum an einsum; x itself in the cache, recomputed on the way back."""

    def row_statistics(x):
        mean = np.einsum("nd->n", x)[:, None] / x.shape[1]
        c = x - mean
        return mean, np.einsum("nd,nd->n", c, c)[:, None] / x.shape[1]

    def standardized(x, eps):
        mean, var = row_statistics(x)
        inverse = (var + eps) ** -0.5
        return (x - mean) * inverse, inverse

    def layernorm_forward(x, gamma, beta, ln_param):
        eps = {"eps": 1e-5, **ln_param}["eps"]
        x_hat, _ = standardized(x, eps)
        return np.einsum("d,nd->nd", gamma, x_hat) + beta, (x.copy(), gamma.copy(), eps)

    def who_depends_on_whom(layer, x):
        before = layer(x)
        stack = []
        for j in range(len(x)):
            changed = x.copy()
            changed[j] = changed[j] * np.linspace(-2, 3, x.shape[1]) + 0.7
            stack.append(np.abs(layer(changed) - before).max(axis=1) > 1e-12)
        return np.stack(stack, axis=1)

    def layernorm_backward(dout, cache):
        x, gamma, eps = cache
        x_hat, inverse = standardized(x, eps)
        d = np.einsum("d,nd->nd", gamma, dout)
        count = x.shape[1]
        dx = d - np.einsum("nd->n", d)[:, None] / count
        dx = dx - x_hat * np.einsum("nd,nd->n", d, x_hat)[:, None] / count
        return dx * inverse, np.einsum("nd,nd->d", dout, x_hat), np.einsum("nd->d", dout)

    def layernorm_rnn_step_forward(x, prev_h, Wx, Wh, gamma, beta, ln_param):
        a = np.einsum("nd,dh->nh", x, Wx) + np.einsum("nk,kh->nh", prev_h, Wh)
        y, norm = layernorm_forward(a, gamma, beta, ln_param)
        return np.tanh(y), {"inputs": (x, prev_h), "weights": (Wx, Wh), "norm": norm, "y": y}

    def layernorm_rnn_step_backward(dnext_h, cache):
        dy = dnext_h * (1 - np.tanh(cache["y"]) ** 2)
        da, dgamma, dbeta = layernorm_backward(dy, cache["norm"])
        back = [np.einsum("nh,dh->nd", da, w) for w in cache["weights"]]
        grads = [np.einsum("nd,nh->dh", v, da) for v in cache["inputs"]]
        return (*back, *grads, dgamma, dbeta)

    def layernorm_rnn_backward(dh, caches):
        arriving = dh.copy()  # what later steps send is added to it
        steps = [None] * len(caches)
        for t in reversed(range(len(caches))):
            steps[t] = layernorm_rnn_step_backward(arriving[:, t], caches[t])
            if t:
                arriving[:, t - 1] += steps[t][1]
        columns = list(zip(*steps, strict=True))
        return np.array(columns[0]).swapaxes(0, 1), steps[0][1], *map(sum, columns[2:])

    def spatial_groupnorm_forward(x, gamma, beta, G, gn_param):
        n, c, h, w = x.shape
        if G not in [k for k in range(1, c + 1) if c % k == 0]:
            raise ValueError(f"G = {G}")
        rows = x.reshape(n * G, c // G * h * w)
        eps = gn_param.get("eps", 1e-5)
        x_hat = standardized(rows, eps)[0].reshape(x.shape)
        g, b = np.ravel(gamma), np.ravel(beta)
        out = np.einsum("c,nchw->nchw", g, x_hat) + b[:, None, None]
        return out, (rows.copy(), g.copy(), eps)

    def spatial_groupnorm_backward(dout, cache):
        rows, gamma, eps = cache
        x_hat, inverse = standardized(rows, eps)
        d = np.einsum("c,nchw->nchw", gamma, dout).reshape(rows.shape)
        along = np.einsum("rk,rk->r", d, x_hat)[:, None] / rows.shape[1]
        dx = inverse * (d - d.mean(axis=1)[:, None] - x_hat * along)
        dgamma = np.einsum("nchw,nchw->c", dout, x_hat.reshape(dout.shape))
        return dx.reshape(dout.shape), dgamma, np.einsum("nchw->c", dout)

    def spatial_instancenorm_forward(x, gamma, beta, in_param):
        out, cache = spatial_groupnorm_forward(x, gamma, beta, len(gamma.ravel()), in_param)
        return out, ("instance", cache)

    def spatial_instancenorm_backward(dout, cache):
        return spatial_groupnorm_backward(dout, cache[1])

    return locals().values()


def squares_in_float64():
    """E[x²] − E[x]², computed in float64 and handed back in x's dtype; objects for caches."""

    def row_statistics(x):
        wide = x.astype(np.float64)
        mean = wide.mean(axis=1, keepdims=True)
        var = np.maximum((wide**2).mean(axis=1, keepdims=True) - mean**2, 0)
        return mean.astype(x.dtype), var.astype(x.dtype)

    def standardized(rows, eps):
        rows = rows.astype(np.float64)
        mean = rows.mean(axis=1, keepdims=True)
        var = np.maximum((rows**2).mean(axis=1, keepdims=True) - mean**2, 0)
        std = np.sqrt(var + eps)
        return (rows - mean) / std, std

    def layernorm_forward(x, gamma, beta, ln_param):
        ln_param["calls"] = ln_param.get("calls", 0) + 1  # an extra key is nobody's business
        x_hat, std = standardized(x, ln_param.get("eps", 1e-5))
        out = (x_hat * gamma + beta).astype(x.dtype)
        return out, SimpleNamespace(x_hat=x_hat, std=std, gamma=gamma, dtype=x.dtype)

    def who_depends_on_whom(layer, x):
        before, n = layer(x), len(x)
        depends = np.zeros((n, n), dtype=int)  # 0 and 1
        noise = np.random.RandomState(3).randn(*x.shape)
        for j in range(n):
            mask = (np.arange(n) == j)[:, None]
            depends[:, j] = np.any(layer(np.where(mask, noise, x)) != before, axis=1)
        return depends

    def layernorm_backward(dout, cache):
        d = dout.astype(np.float64) * cache.gamma
        count = d.shape[1]
        shared = d.sum(axis=1, keepdims=True) + cache.x_hat * (d * cache.x_hat).sum(
            axis=1, keepdims=True
        )
        dx = (count * d - shared) / (count * cache.std)
        return dx.astype(cache.dtype), (dout * cache.x_hat).sum(axis=0), dout.sum(axis=0)

    def layernorm_rnn_step_forward(x, prev_h, Wx, Wh, gamma, beta, ln_param):
        normed, norm = layernorm_forward(prev_h @ Wh + x @ Wx, gamma, beta, ln_param)
        h = (1 - np.exp(-2 * normed)) / (1 + np.exp(-2 * normed))
        return h, SimpleNamespace(inputs=(x, prev_h), weights=(Wx, Wh), norm=norm, h=h)

    def layernorm_rnn_step_backward(dnext_h, cache):
        da, dgamma, dbeta = layernorm_backward(dnext_h * (1 + cache.h) * (1 - cache.h), cache.norm)
        (x, prev_h), (Wx, Wh) = cache.inputs, cache.weights
        return (Wx @ da.T).T, (Wh @ da.T).T, (da.T @ x).T, (da.T @ prev_h).T, dgamma, dbeta

    def layernorm_rnn_backward(dh, caches):
        grads = {}
        dx = np.zeros((*dh.shape[:2], caches[0].inputs[0].shape[1]), dh.dtype)
        d = 0
        for t, cache in list(enumerate(caches))[::-1]:
            d = d + dh[:, t]
            dx[:, t], d, *rest = layernorm_rnn_step_backward(d, cache)
            for name, value in zip(("Wx", "Wh", "gamma", "beta"), rest, strict=True):
                grads[name] = grads.get(name, 0) + value
        return dx, d, grads["Wx"], grads["Wh"], grads["gamma"], grads["beta"]

    def spatial_groupnorm_forward(x, gamma, beta, G, gn_param):
        if x.shape[1] % G > 0:
            raise ValueError(f"expected a divisor of {x.shape[1]}, got {G}")
        x_hat, std = standardized(x.reshape(len(x) * G, -1), gn_param.get("eps", 1e-5))
        x_hat = x_hat.reshape(x.shape)
        wide = gamma.reshape(-1, 1, 1)
        out = (wide * x_hat + beta.reshape(-1, 1, 1)).astype(x.dtype)
        return out, SimpleNamespace(x_hat=x_hat, std=std, gamma=wide, dtype=x.dtype)

    def spatial_groupnorm_backward(dout, cache):
        rows = (len(cache.std), -1)
        d, z = (cache.gamma * dout).reshape(rows).astype(float), cache.x_hat.reshape(rows)
        d = d - d.mean(axis=1, keepdims=True)  # first off the constants, then off x_hat
        d = d - z * (d * z).mean(axis=1, keepdims=True)
        dx = (d / cache.std).reshape(dout.shape).astype(cache.dtype)
        return dx, (dout * cache.x_hat).sum((0, 2, 3)), dout.sum((0, 2, 3))

    def spatial_instancenorm_forward(x, gamma, beta, in_param):
        return spatial_groupnorm_forward(x, gamma, beta, x.shape[1], in_param)

    def spatial_instancenorm_backward(dout, cache):
        return spatial_groupnorm_backward(dout, cache)

    return locals().values()


def in_place_on_copies():
    """Few temporaries, in place on arrays of its own; instance norm written out by itself."""

    def row_statistics(x):
        mean = np.add.reduce(x, axis=1, keepdims=True)
        mean /= x.shape[1]
        squares = x - mean
        squares *= squares
        return mean, squares.mean(axis=1, keepdims=True)

    def layernorm_forward(x, gamma, beta, ln_param):
        z = x - x.mean(axis=1, keepdims=True)
        inverse = np.mean(z * z, axis=1, keepdims=True)
        inverse += ln_param.get("eps", 1e-5)
        np.sqrt(inverse, out=inverse)
        np.reciprocal(inverse, out=inverse)
        z *= inverse
        out = z * gamma
        out += beta
        return out, (z, inverse, gamma)

    def who_depends_on_whom(layer, x):
        before = layer(x)
        work = x.copy()
        depends = np.empty((len(x), len(x)), dtype=bool)
        for j in range(len(x)):
            work[j, ::2] += 1
            work[j, 1::2] *= -1
            depends[:, j] = (layer(work) != before).any(axis=1)
            work[j] = x[j]
        return depends

    def layernorm_backward(dout, cache):
        z, inverse, gamma = cache
        dx = dout * gamma
        dx -= dx.mean(axis=1, keepdims=True)
        dx -= z * np.mean(dx * z, axis=1, keepdims=True)
        dx *= inverse
        return dx, np.sum(dout * z, axis=0)[None], np.sum(dout, axis=0)[None]

    def layernorm_rnn_step_forward(x, prev_h, Wx, Wh, gamma, beta, ln_param):
        a = np.matmul(prev_h, Wh)
        a += np.matmul(x, Wx)
        out, norm = layernorm_forward(a, gamma, beta, ln_param)
        np.tanh(out, out=out)
        return out, (x.copy(), prev_h.copy(), Wx, Wh, norm, out.copy())

    def layernorm_rnn_step_backward(dnext_h, cache):
        x, prev_h, Wx, Wh, norm, h = cache
        d = h * h
        np.subtract(1, d, out=d)
        d *= dnext_h
        da, dgamma, dbeta = layernorm_backward(d, norm)
        return da @ Wx.T, da @ Wh.T, x.T @ da, prev_h.T @ da, dgamma, dbeta

    def layernorm_rnn_backward(dh, caches):
        carry = dh[:, -1].copy()
        dx, total = [], None
        for t in range(len(caches) - 1, -1, -1):
            dx_t, back, *parts = layernorm_rnn_step_backward(carry, caches[t])
            dx.insert(0, dx_t)
            if total is None:
                total = parts
            else:
                for sum_, part in zip(total, parts, strict=True):
                    sum_ += part
            carry = back + dh[:, t - 1] if t > 0 else back
        return np.stack(dx, 1), carry, *total

    def spatial_groupnorm_forward(x, gamma, beta, G, gn_param):
        n, c, h, w = x.shape
        if c != (c // G) * G:
            raise ValueError("wrong number of groups")
        z = x.reshape(n, G, -1).copy()
        z -= z.mean(axis=-1, keepdims=True)
        std = np.sqrt(np.mean(z * z, axis=-1, keepdims=True) + gn_param.get("eps", 1e-5))
        z /= std
        out = z.reshape(n, c, h, w) * gamma.reshape(c, 1, 1)
        out += beta.reshape(c, 1, 1)
        return out, [z, std, gamma.reshape(c, 1, 1)]

    def spatial_groupnorm_backward(dout, cache):
        z, std, gamma = cache
        products = dout * z.reshape(dout.shape)
        dx = (dout * gamma).reshape(z.shape)
        dx -= dx.mean(axis=-1, keepdims=True)
        dx -= z * (dx * z).mean(axis=-1, keepdims=True)
        dx /= std
        axes = (0, 2, 3)
        dgamma, dbeta = products.sum(axes, keepdims=True), dout.sum(axes, keepdims=True)
        return dx.reshape(dout.shape), dgamma, dbeta

    def spatial_instancenorm_forward(x, gamma, beta, in_param):
        axes, shape = (2, 3), (1, -1, 1, 1)
        mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
        std = np.sqrt(var + in_param.get("eps", 1e-5))
        z = (x - mean) / std
        gain = gamma.reshape(shape) / std
        return gamma.reshape(shape) * z + beta.reshape(shape), (z, gain)

    def spatial_instancenorm_backward(dout, cache):
        z, gain = cache  # gamma is constant along these means, so it may stand in front
        axes = (2, 3)
        bracket = dout - dout.mean(axes, keepdims=True)
        bracket -= z * (dout * z).mean(axes, keepdims=True)
        return gain * bracket, (dout * z).sum((0, 2, 3)), dout.sum((0, 2, 3))

    return locals().values()


def matrices():
    """Centering and averaging as matrix products; batch norm of one image for instance norm."""

    def averaging(n, dtype):
        return np.full((n, n), 1 / n, dtype)

    def row_statistics(x):
        a = averaging(x.shape[1], x.dtype)
        c = x - x @ a
        return (x @ a)[:, :1], ((c * c) @ a)[:, :1]

    def layernorm_forward(x, gamma, beta, ln_param):
        a = averaging(x.shape[1], x.dtype)
        c = x @ (np.eye(x.shape[1], dtype=x.dtype) - a)
        # centered twice: in float32 a matrix product rounds, and x may be far from 0
        c = c - c @ a
        std = np.sqrt((c * c) @ a + ln_param.get("eps", 1e-5))
        return c / std @ np.diag(gamma) + beta, (c / std, std, np.diag(gamma))

    def who_depends_on_whom(layer, x):
        n = len(x)
        before = layer(x)
        swap = x[:, ::-1] ** 2 + 1  # another sample altogether
        batches = [np.vstack([x[:j], swap[j : j + 1], x[j + 1 :]]) for j in range(n)]
        return np.array([(layer(b) != before).any(axis=1) for b in batches]).T

    def layernorm_backward(dout, cache):
        x_hat, std, scale = cache
        a = averaging(x_hat.shape[1], dout.dtype)
        d = dout @ scale
        dx = (d - d @ a - x_hat * ((d * x_hat) @ a)) / std
        return dx, np.diag(dout.T @ x_hat), np.ones(len(dout)) @ dout

    def layernorm_rnn_step_forward(x, prev_h, Wx, Wh, gamma, beta, ln_param):
        y, norm = layernorm_forward((Wh.T @ prev_h.T + Wx.T @ x.T).T, gamma, beta, ln_param)
        return np.tanh(y), [norm, np.tanh(y), {"Wx": (x, Wx), "Wh": (prev_h, Wh)}]

    def layernorm_rnn_step_backward(dnext_h, cache):
        norm, h, products = cache
        da, dgamma, dbeta = layernorm_backward(dnext_h - dnext_h * h * h, norm)
        (x, Wx), (prev_h, Wh) = products["Wx"], products["Wh"]
        return da @ Wx.T, da @ Wh.T, x.T @ da, prev_h.T @ da, dgamma, dbeta

    def layernorm_rnn_backward(dh, caches):
        # the loss is linear in dh: one pass for each state's direct share, all added
        def from_state(last):
            d, dx, shared = dh[:, last], [0] * len(caches), 0
            for t in range(last, -1, -1):
                dx[t], d, *parts = layernorm_rnn_step_backward(d, caches[t])
                flat = np.concatenate([part.ravel() for part in parts])
                shared = shared + flat
            return [v if np.ndim(v) else np.zeros_like(dx[0]) for v in dx], d, shared

        totals = [from_state(last) for last in range(len(caches))]
        dx = sum(np.stack(inputs, axis=1) for inputs, _, _ in totals)
        dh0 = sum(d for _, d, _ in totals)
        flat = sum(s for _, _, s in totals)
        h, d = dh.shape[2], dx.shape[2]
        dWx, dWh, dgamma, dbeta = np.split(flat, np.cumsum([d * h, h * h, h]))
        return dx, dh0, dWx.reshape(d, h), dWh.reshape(h, h), dgamma, dbeta

    def spatial_groupnorm_forward(x, gamma, beta, G, gn_param):
        if x.shape[1] % G:
            raise ValueError
        parts = np.split(x, G, axis=1)
        eps = gn_param.get("eps", 1e-5)
        stds = [np.sqrt(p.var(axis=(1, 2, 3), keepdims=True) + eps) for p in parts]
        hats = [
            (p - p.mean(axis=(1, 2, 3), keepdims=True)) / s
            for p, s in zip(parts, stds, strict=True)
        ]
        x_hat = np.concatenate(hats, axis=1)
        out = x_hat.transpose(0, 2, 3, 1) * gamma.ravel() + beta.ravel()
        return out.transpose(0, 3, 1, 2), (hats, stds, gamma.ravel())

    def spatial_groupnorm_backward(dout, cache):
        hats, stds, gamma = cache
        d = np.moveaxis(np.moveaxis(dout, 1, -1) * gamma, -1, 1)
        dx = []
        axes = (1, 2, 3)
        for part, z, s in zip(np.split(d, len(hats), axis=1), hats, stds, strict=True):
            bracket = (
                part - part.mean(axes, keepdims=True) - z * (part * z).mean(axes, keepdims=True)
            )
            dx.append(bracket / s)
        dgamma = (dout * np.concatenate(hats, axis=1)).sum(axis=(0, 2, 3))
        return np.concatenate(dx, axis=1), dgamma[None], dout.sum(axis=(0, 2, 3))[None]

    def spatial_instancenorm_forward(x, gamma, beta, in_param):
        outs, caches = zip(
            *(spatial_groupnorm_forward(i[None], gamma, beta, len(i), in_param) for i in x),
            strict=True,
        )
        return np.concatenate(outs), caches

    def spatial_instancenorm_backward(dout, cache):
        parts = [spatial_groupnorm_backward(d[None], c) for d, c in zip(dout, cache, strict=True)]
        dx, dgamma, dbeta = zip(*parts, strict=True)
        return np.concatenate(dx), np.sum(dgamma, axis=0), np.sum(dbeta, axis=0)

    return locals().values()


STYLES = (
    transposed_batchnorm,
    loops,
    staged_and_tuple,
    einsums,
    squares_in_float64,
    in_place_on_copies,
    matrices,
)


def _answer(style):
    """What `style` defines under the names of the exercises; its own helpers stay inside."""
    functions = {f.__name__: f for f in style() if callable(f) and f.__name__ in NAMES}
    assert set(functions) == set(NAMES), sorted(set(NAMES) - set(functions))
    return Answer(style.__name__, functions)


ANSWERS: list[Answer] = [_answer(style) for style in STYLES]
