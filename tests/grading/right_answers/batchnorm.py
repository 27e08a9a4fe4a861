"""Right answers to the batch-norm problem set, in the styles that people write in."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from tests.grading.right_answers import Answer

NAMES = (
    "column_statistics",
    "batchnorm_forward",
    "undo_batchnorm",
    "fold_batchnorm",
    "batchnorm_backward_staged",
    "batchnorm_backward",
    "spatial_batchnorm_forward",
    "spatial_batchnorm_backward",
)


def keepdims_and_dict():
    """Statistics of shape (1, D), running ones as well unless others came; a dict for the cache."""

    def column_statistics(x):
        return np.mean(x, axis=0, keepdims=True), np.var(x, axis=0, keepdims=True)

    def batchnorm_forward(x, gamma, beta, bn_param):
        mode = bn_param["mode"]
        eps = bn_param.get("eps", 1e-5)
        momentum = bn_param.get("momentum", 0.9)
        if mode == "train":
            mu, var = column_statistics(x)
            for key, start, new in (("running_mean", 0.0, mu), ("running_var", 1.0, var)):
                old = bn_param.get(key, np.full_like(new, start))
                bn_param[key] = (momentum * old + (1 - momentum) * new).reshape(old.shape)
        elif mode == "test":
            mu, var = bn_param["running_mean"], bn_param["running_var"]
        else:
            raise ValueError(f"mode must be 'train' or 'test', got {mode!r}")
        ivar = 1 / np.sqrt(var + eps)
        xhat = (x - mu) * ivar
        return gamma * xhat + beta, {"xhat": xhat, "ivar": ivar, "gamma": gamma, "mode": mode}

    def undo_batchnorm(x, eps):
        mu, var = column_statistics(x)
        return np.sqrt(var + eps), mu

    def fold_batchnorm(weight, bias, gamma, beta, bn_param):
        eps = bn_param.get("eps", 1e-5)
        k = gamma / np.sqrt(bn_param["running_var"] + eps)
        return weight @ np.diag(k), k * bias + (beta - k * bn_param["running_mean"])

    def batchnorm_backward_staged(dout, cache):
        xhat, ivar, gamma = cache["xhat"], cache["ivar"], cache["gamma"]
        n = dout.shape[0]
        xmu = xhat / ivar
        dgamma = np.sum(dout * xhat, axis=0, keepdims=True)
        dbeta = np.sum(dout, axis=0, keepdims=True)
        dxhat = dout * gamma
        divar = np.sum(dxhat * xmu, axis=0, keepdims=True)
        dxmu1 = dxhat * ivar
        dsqrtvar = -1.0 * ivar**2 * divar
        dvar = 0.5 * ivar * dsqrtvar
        dsq = 1.0 / n * np.ones_like(dout) * dvar
        dxmu2 = 2 * xmu * dsq
        dx1 = dxmu1 + dxmu2
        dmu = -1 * np.sum(dxmu1 + dxmu2, axis=0, keepdims=True)
        dx2 = 1.0 / n * np.ones_like(dout) * dmu
        return dx1 + dx2, dgamma, dbeta

    def batchnorm_backward(dout, cache):
        xhat, ivar, gamma = cache["xhat"], cache["ivar"], cache["gamma"]
        dbeta = np.sum(dout, axis=0)
        dgamma = np.sum(xhat * dout, axis=0)
        if cache["mode"] == "test":
            return dout * gamma * ivar, dgamma, dbeta
        m = dout.shape[0]
        return gamma * ivar / m * (m * dout - dbeta - xhat * dgamma), dgamma, dbeta

    def spatial_batchnorm_forward(x, gamma, beta, bn_param):
        N, C, H, W = x.shape
        flat = np.transpose(x, (0, 2, 3, 1)).reshape((-1, C))
        out, cache = batchnorm_forward(flat, gamma, beta, bn_param)
        return out.reshape((N, H, W, C)).transpose((0, 3, 1, 2)), cache

    def spatial_batchnorm_backward(dout, cache):
        N, C, H, W = dout.shape
        flat = np.transpose(dout, (0, 2, 3, 1)).reshape((-1, C))
        dx, dgamma, dbeta = batchnorm_backward(flat, cache)
        return dx.reshape((N, H, W, C)).transpose((0, 3, 1, 2)), dgamma, dbeta

    return locals().values()


def one_column_at_a_time():
    """Python loops over features, channels and rows, and a list for the cache."""

    def column_statistics(x):
        n, d = x.shape
        mean, var = np.zeros(d), np.zeros(d)
        for j in range(d):
            for i in range(n):
                mean[j] += x[i, j] / n
            for i in range(n):
                var[j] += (x[i, j] - mean[j]) ** 2 / n
        return mean, var

    def batchnorm_forward(x, gamma, beta, bn_param):
        train = bn_param["mode"] == "train"
        eps, keep = bn_param.get("eps", 1e-5), bn_param.get("momentum", 0.9)
        d = x.shape[1]
        mean = np.array(bn_param.get("running_mean", [0.0] * d), dtype=float)
        var = np.array(bn_param.get("running_var", [1.0] * d), dtype=float)
        out = np.empty(x.shape, x.dtype)
        columns = []
        for j in range(d):
            column = x[:, j].astype(float)
            m, v = mean[j], var[j]
            if train:
                m, v = column.mean(), column.var()
                mean[j] = keep * mean[j] + (1 - keep) * m
                var[j] = keep * var[j] + (1 - keep) * v
            z = (column - m) / (v + eps) ** 0.5
            columns.append((z, (v + eps) ** 0.5, gamma[j]))
            out[:, j] = gamma[j] * z + beta[j]
        if train:
            bn_param.update(running_mean=mean, running_var=var)
        return out, [bn_param["mode"], columns]

    def undo_batchnorm(x, eps):
        mean, var = column_statistics(x)
        return np.array([(v + eps) ** 0.5 for v in var]), mean

    def fold_batchnorm(weight, bias, gamma, beta, bn_param):
        eps = bn_param.get("eps", 1e-5)
        new_weight, new_bias = weight.copy(), bias.copy()
        for j in range(weight.shape[1]):
            s = (bn_param["running_var"][j] + eps) ** 0.5
            new_weight[:, j] *= gamma[j] / s
            new_bias[j] = gamma[j] * (bias[j] - bn_param["running_mean"][j]) / s + beta[j]
        return new_weight, new_bias

    def gradients(dout, cache, column_gradient):
        dx = np.empty_like(dout)
        dgamma, dbeta = np.empty(dout.shape[1]), np.empty(dout.shape[1])
        for j, (z, s, g) in enumerate(cache[1]):
            d = dout[:, j].astype(float)
            dgamma[j], dbeta[j] = d @ z, d.sum()
            dx[:, j] = column_gradient(d * g, z, s)
        return dx, dgamma, dbeta

    def batchnorm_backward_staged(dout, cache):
        def column_gradient(dz, z, s):
            n = len(z)
            c = z * s
            ds = sum(-dz[i] * c[i] / s**2 for i in range(n))
            dv = ds / (2 * s)
            dc = [dz[i] / s + dv * 2 * c[i] / n for i in range(n)]
            dm = -sum(dc)
            return [dc[i] + dm / n for i in range(n)]

        return gradients(dout, cache, column_gradient)

    def batchnorm_backward(dout, cache):
        def column_gradient(dz, z, s):
            if cache[0] == "test":
                return dz / s
            n = len(z)  # the Jacobian of one column, written out
            jacobian = (np.eye(n) - np.full((n, n), 1 / n) - np.outer(z, z) / n) / s
            return jacobian @ dz

        return gradients(dout, cache, column_gradient)

    def spatial_batchnorm_forward(x, gamma, beta, bn_param):
        n, c, h, w = x.shape
        out, caches = np.empty_like(x), []
        memory = {"running_mean": np.zeros(c), "running_var": np.ones(c), **bn_param}
        new = {key: np.empty(c) for key in ("running_mean", "running_var")}
        for k in range(c):
            own = {**memory, **{key: memory[key][k : k + 1] for key in new}}
            result, cache = batchnorm_forward(
                x[:, k].reshape(-1, 1), gamma[k : k + 1], beta[k : k + 1], own
            )
            out[:, k] = result.reshape(n, h, w)
            caches.append(cache)
            for key in new:
                new[key][k] = own[key][0]
        bn_param.update(new)
        return out, caches

    def spatial_batchnorm_backward(dout, cache):
        dx, dgamma, dbeta = np.empty_like(dout), [], []
        for k, channel in enumerate(cache):
            column, g, b = batchnorm_backward(dout[:, k].reshape(-1, 1), channel)
            dx[:, k] = column.reshape(dout[:, k].shape)
            dgamma.append(g[0])
            dbeta.append(b[0])
        return dx, np.array(dgamma), np.array(dbeta)

    return locals().values()


def einsum_and_tuple():
    """Every sum an einsum; the raw ingredients in a tuple, recomputed on the way back."""

    def column_statistics(x):
        mean = np.einsum("nd->d", x) / len(x)
        centered = x - mean
        return mean, np.einsum("nd,nd->d", centered, centered) / len(x)

    def statistics(x, mode, bn_param):
        d = x.shape[1]
        running = (
            bn_param.get("running_mean", np.zeros(d)),
            bn_param.get("running_var", np.ones(d)),
        )
        return running if mode == "test" else column_statistics(x)

    def batchnorm_forward(x, gamma, beta, bn_param):
        mode = bn_param["mode"]
        eps = bn_param.setdefault("eps", 1e-5)
        momentum = bn_param.setdefault("momentum", 0.9)
        mean, var = statistics(x, mode, bn_param)
        if mode == "train":
            for key, value, start in (("mean", mean, 0.0), ("var", var, 1.0)):
                old = bn_param.get("running_" + key, np.full_like(value, start))
                bn_param["running_" + key] = old + (1 - momentum) * (value - old)
        out = np.einsum("d,nd->nd", gamma / np.sqrt(var + eps), x - mean) + beta
        return out, (x, gamma, mean, var, eps, mode)

    def undo_batchnorm(x, eps):
        mean, var = column_statistics(x)
        return (var + eps) ** 0.5, mean

    def fold_batchnorm(weight, bias, gamma, beta, bn_param):
        # what the two layers together do to 0 and to the unit vectors
        def both(rows):
            return batchnorm_forward(rows @ weight + bias, gamma, beta, dict(bn_param))[0]

        m = len(weight)
        new_bias = both(np.zeros((1, m)))[0]
        return both(np.eye(m)) - new_bias, new_bias

    def batchnorm_backward_staged(dout, cache):
        # the three equations of the paper
        x, gamma, mean, var, eps, _ = cache
        m = len(x)
        dx_hat = dout * gamma
        dvar = np.einsum("nd,nd->d", dx_hat, x - mean) * -0.5 * (var + eps) ** -1.5
        dmean = np.einsum("nd->d", dx_hat) * -1 / np.sqrt(var + eps)
        dmean = dmean + dvar * np.einsum("nd->d", -2 * (x - mean)) / m
        dx = dx_hat / np.sqrt(var + eps) + dvar * 2 * (x - mean) / m + dmean / m
        x_hat = (x - mean) / np.sqrt(var + eps)
        return dx, np.einsum("nd,nd->d", dout, x_hat), np.einsum("nd->d", dout)

    def batchnorm_backward(dout, cache):
        x, gamma, mean, var, eps, mode = cache
        x_hat = (x - mean) * (var + eps) ** -0.5
        dgamma, dbeta = np.einsum("nd,nd->d", dout, x_hat), np.einsum("nd->d", dout)
        dx = dout
        if mode == "train":
            dx = dout - (dbeta + x_hat * dgamma) / len(x)
        return dx * (gamma / np.sqrt(var + eps)), dgamma, dbeta

    def spatial_batchnorm_forward(x, gamma, beta, bn_param):
        last = np.einsum("nchw->nhwc", x)
        out, cache = batchnorm_forward(last.reshape(-1, x.shape[1]), gamma, beta, bn_param)
        return np.einsum("nhwc->nchw", out.reshape(last.shape)), cache

    def spatial_batchnorm_backward(dout, cache):
        last = np.einsum("nchw->nhwc", dout)
        dx, *rest = batchnorm_backward(last.reshape(-1, dout.shape[1]), cache)
        return [np.einsum("nhwc->nchw", dx.reshape(last.shape)), *rest]

    return locals().values()


def features_first():
    """Works on the transpose, one feature a row; the cache is an object."""

    def column_statistics(x):
        rows = np.ascontiguousarray(x.T)
        mean = rows.mean(1)
        return mean, np.square(rows - mean[:, None]).mean(1)

    def batchnorm_forward(x, gamma, beta, bn_param):
        rows = x.T
        eps, momentum = bn_param.get("eps", 1e-5), bn_param.get("momentum", 0.9)
        for key, make in (("running_mean", np.zeros), ("running_var", np.ones)):
            if bn_param.get(key) is None:
                bn_param[key] = make(len(rows), dtype=x.dtype)
        mean, var = bn_param["running_mean"], bn_param["running_var"]
        if bn_param["mode"] == "train":
            mean, var = column_statistics(x)
            bn_param["running_mean"] = np.average(
                [bn_param["running_mean"], mean], axis=0, weights=[momentum, 1 - momentum]
            )
            bn_param["running_var"] = np.average(
                [bn_param["running_var"], var], axis=0, weights=[momentum, 1 - momentum]
            )
        std = np.sqrt(var + eps)[:, None]
        x_hat = (rows - mean[:, None]) / std
        out = gamma[:, None] * x_hat + beta[:, None]
        kept = SimpleNamespace(
            x_hat=x_hat, std=std, gamma=gamma[:, None], train=bn_param["mode"] == "train"
        )
        return out.T, kept

    def undo_batchnorm(x, eps):
        return np.hypot(x.std(0), np.sqrt(eps)), x.mean(0)

    def fold_batchnorm(weight, bias, gamma, beta, bn_param):
        std = np.sqrt(bn_param["running_var"] + bn_param.get("eps", 1e-5))
        stacked = np.vstack([weight, bias - bn_param["running_mean"]]) / std * gamma
        return stacked[:-1], stacked[-1] + beta

    def batchnorm_backward_staged(dout, cache):
        d = (dout.T) * cache.gamma
        m = d.shape[1]
        inverse = 1 / cache.std
        centered = cache.x_hat * cache.std
        dinverse = (d * centered).sum(1, keepdims=True)
        dvar = -0.5 * dinverse * inverse**3
        dx = d * inverse
        dx = dx + dvar * 2 / m * centered
        dx = dx - dx.mean(1, keepdims=True)
        return dx.T, (dout.T * cache.x_hat).sum(1), dout.T.sum(1)

    def batchnorm_backward(dout, cache):
        d = dout.T.copy()
        dgamma, dbeta = (d * cache.x_hat).sum(1), d.sum(1)
        if cache.train:
            d -= d.mean(1, keepdims=True)
            d -= cache.x_hat * (d * cache.x_hat).mean(1, keepdims=True)
        d *= cache.gamma / cache.std
        return d.T, dgamma, dbeta

    def spatial_batchnorm_forward(x, gamma, beta, bn_param):
        n, c, h, w = x.shape
        rows = x.swapaxes(0, 1).reshape(c, n * h * w)
        out, cache = batchnorm_forward(rows.T, gamma, beta, bn_param)
        return out.T.reshape(c, n, h, w).swapaxes(0, 1), (cache, x.shape)

    def spatial_batchnorm_backward(dout, cache):
        cache, (n, c, h, w) = cache
        rows = dout.swapaxes(0, 1).reshape(c, n * h * w)
        dx, dgamma, dbeta = batchnorm_backward(rows.T, cache)
        return dx.T.reshape(c, n, h, w).swapaxes(0, 1), dgamma, dbeta

    return locals().values()


def squares_in_float64():
    """E[x²] − E[x]², computed in float64 and handed back in x's dtype; a class for the cache."""

    class Memory:
        def __init__(self, x_hat, inverse, gamma, dtype, frozen):
            self.x_hat, self.inverse, self.gamma = x_hat, inverse, gamma
            self.dtype, self.frozen = dtype, frozen

    def column_statistics(x):
        x = x.astype(np.float64)
        mean = x.mean(axis=0)
        return mean, np.maximum((x**2).mean(axis=0) - mean**2, 0)

    def batchnorm_forward(x, gamma, beta, bn_param):
        eps, alpha = float(bn_param.get("eps", 1e-5)), float(bn_param.get("momentum", 0.9))
        d = x.shape[-1]
        bn_param.setdefault("running_mean", np.zeros(d))
        bn_param.setdefault("running_var", np.ones(d))
        bn_param["calls"] = bn_param.get("calls", 0) + 1  # an extra key is nobody's business
        frozen = bn_param["mode"] != "train"
        if frozen:
            mean, var = bn_param["running_mean"], bn_param["running_var"]
        else:
            mean, var = column_statistics(x)
            bn_param["running_mean"] = alpha * bn_param["running_mean"] + (1 - alpha) * mean
            bn_param["running_var"] = alpha * bn_param["running_var"] + (1 - alpha) * var
        inverse = 1.0 / np.sqrt(np.asarray(var, np.float64) + eps)
        x_hat = (x.astype(np.float64) - mean) * inverse
        out = (gamma * x_hat + beta).astype(x.dtype, copy=False)
        return out, Memory(x_hat, inverse, gamma, x.dtype, frozen)

    def undo_batchnorm(x, eps):
        ones, zeros = np.ones(x.shape[1]), np.zeros(x.shape[1])
        x_hat, cache = batchnorm_forward(x, ones, zeros, {"mode": "train", "eps": eps})
        return 1 / cache.inverse, (x - x_hat / cache.inverse).mean(axis=0)

    def fold_batchnorm(weight, bias, gamma, beta, bn_param):
        inverse = 1 / np.sqrt(bn_param["running_var"] + bn_param.get("eps", 1e-5))
        new_weight = (weight.T * (gamma * inverse)[:, None]).T
        return new_weight, gamma * inverse * (bias - bn_param["running_mean"]) + beta

    def affine(dout, cache):
        d = dout.astype(np.float64)
        return d, (d * cache.x_hat).sum(axis=0), d.sum(axis=0)

    def batchnorm_backward_staged(dout, cache):
        d, dgamma, dbeta = affine(dout, cache)
        dx_hat = d * cache.gamma
        # var = mean(x**2) - mean(x)**2: the graph of this formula
        x_centered = cache.x_hat / cache.inverse  # the same graph for x - c, any constant c
        n = len(d)
        dinverse = (dx_hat * x_centered).sum(axis=0)
        dvar = dinverse * -0.5 * cache.inverse**3
        dmean = -(dx_hat * cache.inverse).sum(axis=0)
        dx = dx_hat * cache.inverse + dvar * 2 * x_centered / n + dmean / n
        return dx.astype(cache.dtype), dgamma, dbeta

    def batchnorm_backward(dout, cache):
        d, dgamma, dbeta = affine(dout, cache)
        n = 1 if cache.frozen else len(d)
        shared = 0 if cache.frozen else dbeta + dgamma * cache.x_hat
        dx = cache.gamma * cache.inverse * (n * d - shared) / n
        return dx.astype(cache.dtype), dgamma, dbeta

    def spatial_batchnorm_forward(x, gamma, beta, bn_param):
        moved = np.moveaxis(x, 1, -1)
        out, cache = batchnorm_forward(moved.reshape(-1, moved.shape[-1]), gamma, beta, bn_param)
        return np.moveaxis(out.reshape(moved.shape), -1, 1), cache

    def spatial_batchnorm_backward(dout, cache):
        moved = np.moveaxis(dout, 1, -1)
        dx, dgamma, dbeta = batchnorm_backward(moved.reshape(-1, moved.shape[-1]), cache)
        return np.moveaxis(dx.reshape(moved.shape), -1, 1), dgamma, dbeta

    return locals().values()


def in_place_on_copies():
    """Few temporaries: everything is done in place, on arrays of its own."""

    def column_statistics(x):
        total = np.add.reduce(x, axis=0)
        total /= len(x)
        squares = x - total
        squares *= squares
        return total, np.add.reduce(squares, axis=0) / len(x)

    def batchnorm_forward(x, gamma, beta, bn_param):
        mode, eps = bn_param["mode"], bn_param.get("eps", 1e-5)
        d = x.shape[1]
        mean = bn_param.get("running_mean", np.zeros(d, x.dtype))
        var = bn_param.get("running_var", np.ones(d, x.dtype))
        if mode == "train":
            momentum = bn_param.get("momentum", 0.9)
            old_mean, old_var = mean, var
            mean, var = column_statistics(x)
            old_mean *= momentum  # the dict's own arrays: they are the memory
            old_mean += (1 - momentum) * mean
            old_var *= momentum
            old_var += (1 - momentum) * var
            bn_param["running_mean"], bn_param["running_var"] = old_mean, old_var
        inverse = np.reciprocal(np.sqrt(var + eps))
        z = x - mean
        z *= inverse
        out = z * gamma
        out += beta
        return out, (z, inverse * gamma, inverse, mode)

    def undo_batchnorm(x, eps):
        mean, var = column_statistics(x)
        var += eps
        return np.sqrt(var, out=var), mean

    def fold_batchnorm(weight, bias, gamma, beta, bn_param):
        scale = bn_param["running_var"] + bn_param.get("eps", 1e-5)
        np.sqrt(scale, out=scale)
        np.divide(gamma, scale, out=scale)
        new_bias = bias - bn_param["running_mean"]
        new_bias *= scale
        new_bias += beta
        return np.multiply(weight, scale), new_bias

    def batchnorm_backward_staged(dout, cache):
        z, gain, inverse, _ = cache
        dz = dout * (gain / inverse)
        centered = z / inverse
        dvar = -0.5 * np.sum(dz * centered, axis=0) * inverse**3
        dx = dz * inverse
        dx += centered * (2 * dvar / len(z))
        dx -= dx.mean(axis=0)
        return dx, np.sum(dout * z, axis=0), np.sum(dout, axis=0)

    def batchnorm_backward(dout, cache):
        z, gain, _, mode = cache
        dgamma, dbeta = np.sum(dout * z, axis=0), np.sum(dout, axis=0)
        dx = dout.copy()
        if mode == "train":
            dx -= z * (dgamma / len(z))
            dx -= dbeta / len(z)
        dx *= gain
        return dx, dgamma, dbeta

    def spatial_batchnorm_forward(x, gamma, beta, bn_param):
        axes, shape = (0, 2, 3), (1, -1, 1, 1)
        mode, eps = bn_param["mode"], bn_param.get("eps", 1e-5)
        momentum = bn_param.get("momentum", 0.9)
        if mode == "train":
            mean, var = x.mean(axis=axes), x.var(axis=axes)
            old_mean = bn_param.get("running_mean", 0.0)
            old_var = bn_param.get("running_var", 1.0)
            bn_param["running_mean"] = momentum * old_mean + (1 - momentum) * mean
            bn_param["running_var"] = momentum * old_var + (1 - momentum) * var
        else:
            mean, var = bn_param["running_mean"], bn_param["running_var"]
        std = np.sqrt(var + eps).reshape(shape)
        z = x - mean.reshape(shape)
        z /= std
        out = gamma.reshape(shape) * z
        out += beta.reshape(shape)
        return out, {"z": z, "gain": gamma.reshape(shape) / std, "mode": mode}

    def spatial_batchnorm_backward(dout, cache):
        axes, z = (0, 2, 3), cache["z"]
        dgamma, dbeta = (dout * z).sum(axis=axes), dout.sum(axis=axes)
        if cache["mode"] == "test":
            return dout * cache["gain"], dgamma, dbeta
        m = dout.size // dout.shape[1]
        along = dbeta.reshape(1, -1, 1, 1) + z * dgamma.reshape(1, -1, 1, 1)
        return cache["gain"] * (dout - along / m), dgamma, dbeta

    return locals().values()


def matrices():
    """Averaging as a matrix product; the backward pass as projections; nested tuples."""

    def averaging(n, dtype):
        return np.full((n, n), 1 / n, dtype)

    def column_statistics(x):
        a = averaging(len(x), x.dtype)
        c = x - a @ x
        return (a @ x)[0], (a @ (c * c))[0]

    def batchnorm_forward(x, gamma, beta, bn_param):
        parameters = (gamma.reshape(1, -1), beta.reshape(1, -1))
        eps = {"eps": 1e-5, **bn_param}["eps"]
        if bn_param["mode"] == "test":
            scale = parameters[0] / np.sqrt(bn_param["running_var"] + eps)
            x_hat = (x - bn_param["running_mean"]) / np.sqrt(bn_param["running_var"] + eps)
            offset = parameters[1] - scale * bn_param["running_mean"]
            return x * scale + offset, ("test", (x_hat, scale))
        momentum = {"momentum": 0.9, **bn_param}["momentum"]
        mean, var = column_statistics(x)
        keep = momentum, 1 - momentum
        bn_param["running_mean"] = np.dot(keep, [bn_param.get("running_mean", 0 * mean), mean])
        bn_param["running_var"] = np.dot(keep, [bn_param.get("running_var", 0 * var + 1), var])
        x_hat = (x - mean) / np.sqrt(var + eps)
        out = x_hat * parameters[0] + parameters[1]
        return out, ("train", (x_hat, parameters[0] / np.sqrt(var + eps)))

    def undo_batchnorm(x, eps):
        mean, var = column_statistics(x)
        return np.exp(0.5 * np.log(var + eps)), mean

    def fold_batchnorm(weight, bias, gamma, beta, bn_param):
        scale = gamma * (bn_param["running_var"] + bn_param.get("eps", 1e-5)) ** -0.5
        return np.einsum("md,d->md", weight, scale), beta + scale * (
            bias - bn_param["running_mean"]
        )

    def batchnorm_backward_staged(dout, cache):
        _, (z, gain) = cache
        d = gain * dout
        a = averaging(len(z), dout.dtype)
        through_variance = d - z * (a @ (d * z))
        return through_variance - a @ through_variance, np.diag(z.T @ dout), dout.sum(axis=0)

    def batchnorm_backward(dout, cache):
        mode, (z, gain) = cache
        dgamma, dbeta = np.diag(dout.T @ z), np.ones(len(dout)) @ dout
        if mode == "test":
            return dout * gain, dgamma[None], dbeta[None]
        a = averaging(len(z), dout.dtype)
        return gain * (dout - a @ dout - z * (a @ (dout * z))), dgamma[None], dbeta[None]

    def spatial_batchnorm_forward(x, gamma, beta, bn_param):
        n, c, h, w = x.shape
        table = np.concatenate([image.reshape(c, h * w).T for image in x])
        out, cache = batchnorm_forward(table, gamma, beta, bn_param)
        images = [part.T.reshape(c, h, w) for part in np.split(out, n)]
        return np.stack(images), cache

    def spatial_batchnorm_backward(dout, cache):
        n, c, h, w = dout.shape
        table = np.concatenate([image.reshape(c, h * w).T for image in dout])
        dx, dgamma, dbeta = batchnorm_backward(table, cache)
        return np.stack([part.T.reshape(c, h, w) for part in np.split(dx, n)]), dgamma, dbeta

    return locals().values()


def by_another_road():
    """Centers twice, keeps std only; closed and staged call each other; a dict of lists."""

    def column_statistics(x):
        first = x.mean(axis=0)
        rest = (x - first).mean(axis=0)
        mean = first + rest
        return mean, ((x - first - rest) ** 2).sum(axis=0) / x.shape[0]

    def batchnorm_forward(x, gamma, beta, bn_param):
        def statistics():
            if bn_param["mode"] == "test":
                return bn_param["running_mean"], bn_param["running_var"]
            mean, var = column_statistics(x)
            keep = bn_param.get("momentum", 0.9)
            for key, batch, start in (("running_mean", mean, 0), ("running_var", var, 1)):
                bn_param[key] = keep * bn_param.get(key, start) + (1 - keep) * batch
            return mean, var

        mean, var = statistics()
        std = np.sqrt(var + bn_param.get("eps", 1e-5))
        out = gamma * (x - mean) / std + beta
        return out, {"layer": [x, mean, std, gamma], "batch": bn_param["mode"] == "train"}

    def undo_batchnorm(x, eps):
        mean, var = column_statistics(x)
        gamma, beta = np.sqrt(eps + var), mean
        return np.atleast_2d(gamma), np.atleast_2d(beta)

    def fold_batchnorm(weight, bias, gamma, beta, bn_param):
        std = np.sqrt(bn_param["running_var"] + bn_param.get("eps", 1e-5))
        return gamma * weight / std, gamma * bias / std + beta - gamma * bn_param[
            "running_mean"
        ] / std

    def batchnorm_backward(dout, cache):
        x, mean, std, gamma = cache["layer"]
        x_hat = (x - mean) / std
        dgamma, dbeta = (x_hat * dout).sum(axis=0), dout.sum(axis=0)
        d = gamma * dout / std
        if not cache["batch"]:
            return d, dgamma, dbeta
        d = d - d.mean(axis=0)  # first off the constants, then off x_hat
        return d - x_hat * (d * x_hat).mean(axis=0), dgamma, dbeta

    def batchnorm_backward_staged(dout, cache):
        return batchnorm_backward(dout, {**cache, "batch": True})

    def spatial_batchnorm_forward(x, gamma, beta, bn_param):
        n, c, h, w = x.shape
        rows = np.array([x[:, k].ravel() for k in range(c)]).T
        out, cache = batchnorm_forward(rows, gamma, beta, bn_param)
        images = np.empty_like(x)
        for k in range(c):
            images[:, k] = out[:, k].reshape(n, h, w)
        return images, cache

    def spatial_batchnorm_backward(dout, cache):
        n, c, h, w = dout.shape
        rows = np.array([dout[:, k].ravel() for k in range(c)]).T
        dx, dgamma, dbeta = batchnorm_backward(rows, cache)
        images = np.empty_like(dout)
        for k in range(c):
            images[:, k] = dx[:, k].reshape(n, h, w)
        return images, dgamma, dbeta

    return locals().values()


STYLES = (
    keepdims_and_dict,
    one_column_at_a_time,
    einsum_and_tuple,
    features_first,
    squares_in_float64,
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
