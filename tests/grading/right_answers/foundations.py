"""Right answers to the foundations problem set, in the styles that people write in."""

from __future__ import annotations

import cmath
import math

import numpy as np

from tests.grading.right_answers import Answer

NAMES = (
    "central_difference",
    "numeric_gradient",
    "complex_step_gradient",
    "standardize_columns",
    "relative_error",
    "l1_penalty",
    "l2_penalty",
    "maxnorm_project",
    "center_and_covariance",
    "pca_whiten",
    "zca_whiten_forward",
    "zca_whiten_backward",
)


def ndindex_and_tuple():
    """A step array with one entry at a time; the plain formulas."""

    def central_difference(f, x, h):
        grad = np.zeros(x.shape)
        for i in np.ndindex(*x.shape):
            step = np.zeros(x.shape)
            step[i] = h
            grad[i] = (f(x + step) - f(x - step)) / (2 * h)
        return grad

    def numeric_gradient(f, x, dout, h=1e-5):
        return central_difference(lambda point: (f(point) * dout).sum(), x, h)

    def complex_step_gradient(f, x, dout, h=1e-100):
        dx = np.zeros_like(x)
        for i in np.ndindex(*x.shape):
            z = x.astype(complex)
            z[i] += 1j * h
            dx[i] = np.sum(f(z).imag * dout) / h
        return dx

    def standardize_columns(x, eps):
        centered = x - x.mean(axis=0)
        return centered / np.sqrt((centered**2).mean(axis=0) + eps)

    def relative_error(a, b):
        scale = max(np.abs(a).max(), np.abs(b).max())
        return np.abs(a - b).max() / scale if scale > 0 else 0

    def l1_penalty(w, strength):
        return strength * np.abs(w).sum(), strength * np.sign(w)

    def l2_penalty(w, strength):
        return 0.5 * strength * np.sum(w**2), strength * w

    def maxnorm_project(w, max_norm):
        length = np.linalg.norm(w, axis=0)
        factor = np.ones_like(length)
        too_long = length > max_norm
        factor[too_long] = max_norm / length[too_long]
        return w * factor

    def center_and_covariance(x):
        centered = x - x.mean(axis=0)
        return centered, centered.T @ centered / x.shape[0]

    def pca_whiten(x, eps):
        centered, covariance = center_and_covariance(x)
        values, axes = np.linalg.eigh(covariance)
        return (centered @ axes / np.sqrt(values + eps))[:, ::-1]

    def zca_whiten_forward(x, eps):
        centered, covariance = center_and_covariance(x.astype(np.float64))
        values, axes = np.linalg.eigh(covariance)
        std = np.sqrt(values + eps)
        white = centered @ axes / std
        return (white @ axes.T).astype(x.dtype), (white, axes, std)

    def zca_whiten_backward(dout, cache):
        # the short form of the book
        white, axes, std = cache
        p = dout @ axes
        along = white.T @ (p - p.mean(axis=0)) / len(white)
        s = std[:, None]
        h = (s * along + std * along.T) / (s + std)
        return ((p - p.mean(axis=0) - white @ h) / std @ axes.T).astype(dout.dtype)

    return locals().values()


def one_entry_at_a_time():
    """Python loops; entries of x moved in place and put back from a remembered value."""

    def central_difference(f, x, h):
        x = np.array(x, dtype=float)
        grad = np.empty_like(x)
        iterator = np.nditer(x, flags=["multi_index"], op_flags=["readwrite"])
        while not iterator.finished:
            i = iterator.multi_index
            old = x[i]
            x[i] = old + h
            ahead = f(x)
            x[i] = old - h
            behind = f(x)
            x[i] = old
            grad[i] = (ahead - behind) / 2 / h
            iterator.iternext()
        return grad

    def numeric_gradient(f, x, dout, h=1e-5):
        grad = np.zeros_like(x)
        for i in np.ndindex(x.shape):
            old = x[i]
            x[i] = old + h  # the caller's array, put back bit for bit
            ahead = f(x).copy()
            x[i] = old - h
            behind = f(x).copy()
            x[i] = old
            for j in np.ndindex(dout.shape):
                grad[i] += (ahead[j] - behind[j]) / (2 * h) * dout[j]
        return grad

    def complex_step_gradient(f, x, dout, h=1e-100):
        z = x + 0j
        grad = np.zeros(x.shape)
        for i in np.ndindex(x.shape):
            z[i] = complex(x[i], h)
            y = f(z)
            grad[i] = sum(y[j].imag / h * dout[j] for j in np.ndindex(dout.shape))
            z[i] = x[i]
        return grad

    def standardize_columns(x, eps):
        out = np.zeros_like(x)
        n, d = x.shape
        for j in range(d):
            mean = sum(x[i, j] for i in range(n)) / n
            var = sum((x[i, j] - mean) ** 2 for i in range(n)) / n
            for i in range(n):
                root = cmath.sqrt(var + eps)
                out[i, j] = (x[i, j] - mean) / (root if np.iscomplexobj(x) else root.real)
        return out

    def relative_error(a, b):
        difference = size = 0.0
        for u, v in zip(a.flat, b.flat, strict=True):
            difference = max(difference, abs(u - v))
            size = max(size, abs(u), abs(v))
        return difference / size if size else difference

    def l1_penalty(w, strength):
        loss, dw = 0.0, np.zeros_like(w)
        for i in np.ndindex(w.shape):
            loss += abs(float(w[i])) * strength
            if w[i] > 0:
                dw[i] = strength
            elif w[i] < 0:
                dw[i] = -strength
        return loss, dw

    def l2_penalty(w, strength):
        loss, dw = 0.0, np.empty_like(w)
        for i in np.ndindex(w.shape):
            loss += strength / 2 * float(w[i]) ** 2
            dw[i] = strength * w[i]
        return loss, dw

    def maxnorm_project(w, max_norm):
        out = w.copy()
        for j in range(w.shape[1]):
            length = math.sqrt(sum(float(v) ** 2 for v in w[:, j]))
            if length > max_norm:
                out[:, j] = w[:, j] / length * max_norm
        return out

    def center_and_covariance(x):
        n, d = x.shape
        centered = np.empty_like(x)
        for j in range(d):
            centered[:, j] = x[:, j] - sum(x[:, j]) / n
        covariance = np.zeros((d, d))
        for row in centered:
            for j in range(d):
                for k in range(d):
                    covariance[j, k] += row[j] * row[k] / n
        return centered, covariance

    def pca_whiten(x, eps):
        centered, covariance = center_and_covariance(x)
        values, axes = np.linalg.eigh(covariance)
        order = sorted(range(len(values)), key=lambda k: -values[k])
        out = np.empty_like(x)
        for column, k in enumerate(order):
            out[:, column] = centered @ axes[:, k] / math.sqrt(values[k] + eps)
        return out

    def zca_whiten_forward(x, eps):
        centered, covariance = center_and_covariance(x.astype(float))
        values, axes = np.linalg.eigh(covariance)
        matrix = np.zeros_like(covariance)
        for value, axis in zip(values, axes.T, strict=True):
            matrix += np.outer(axis, axis) / math.sqrt(value + eps)
        return (centered @ matrix).astype(x.dtype), [centered, values, axes, eps]

    def zca_whiten_backward(dout, cache):
        # divided differences of 1 / sqrt, the difference canceled
        centered, values, axes, eps = cache
        n, d = centered.shape
        s = [math.sqrt(v + eps) for v in values]
        by_matrix = axes.T @ (centered.T @ dout.astype(float)) @ axes
        for i in range(d):
            for j in range(d):
                by_matrix[i, j] *= -1 / (s[i] * s[j] * (s[i] + s[j]))
        dcov = axes @ by_matrix @ axes.T
        matrix = axes @ np.diag([1 / v for v in s]) @ axes.T
        dcentered = dout @ matrix + centered @ (dcov + dcov.T) / n
        return (dcentered - dcentered.mean(axis=0)).astype(dout.dtype)

    return locals().values()


def einsum_and_dict():
    """Every sum an einsum, a dict for the cache; a basis of unit steps for the derivatives."""

    def units(x):
        return np.eye(x.size).reshape(x.size, *x.shape)

    def central_difference(f, x, h):
        values = [f(x + h * unit) - f(x - h * unit) for unit in units(x)]
        return np.array(values).reshape(x.shape) / (2 * h)

    def numeric_gradient(f, x, dout, h=1e-5):
        jacobian = np.array([(f(x + h * u) - f(x - h * u)).ravel() for u in units(x)]) / (2 * h)
        return (jacobian @ dout.ravel()).reshape(x.shape)

    def complex_step_gradient(f, x, dout, h=1e-100):
        jacobian = np.array([np.imag(f(x + 1j * h * u)).ravel() for u in units(x)]) / h
        return np.einsum("ij,j->i", jacobian, dout.ravel()).reshape(x.shape)

    def standardize_columns(x, eps):
        mean = np.einsum("nd->d", x) / len(x)
        c = x - mean
        return c * (np.einsum("nd,nd->d", c, c) / len(x) + eps) ** -0.5

    def relative_error(a, b):
        both = np.abs(np.stack([a, b]))
        return float(np.abs(a - b).max() / both.max()) if both.any() else 0.0

    def l1_penalty(w, strength):
        sign = (w > 0).astype(w.dtype) - (w < 0).astype(w.dtype)
        return strength * np.einsum("i,i->", w.ravel(), sign.ravel()), strength * sign

    def l2_penalty(w, strength):
        flat = w.ravel()
        return strength * np.einsum("i,i->", flat, flat) / 2, strength * w

    def maxnorm_project(w, max_norm):
        length = np.sqrt(np.einsum("ij,ij->j", w, w))
        return w / np.maximum(1, length / max_norm)

    def center_and_covariance(x):
        c = x - x.mean(axis=0, keepdims=True)
        return c, np.einsum("ni,nj->ij", c, c) / len(x)

    def pca_whiten(x, eps):
        c, covariance = center_and_covariance(x)
        values, axes = np.linalg.eig(covariance)
        values, axes = values.real, axes.real
        order = np.argsort(-values)
        return np.einsum("ni,ik,k->nk", c, axes[:, order], (values[order] + eps) ** -0.5)

    def zca_whiten_forward(x, eps):
        c, covariance = center_and_covariance(x)
        values, axes = np.linalg.eigh(covariance + eps * np.eye(len(covariance), dtype=x.dtype))
        root = np.einsum("ik,k,jk->ij", axes, values**-0.5, axes)
        return c @ root, {"c": c, "values": values, "axes": axes, "root": root}

    def zca_whiten_backward(dout, cache):
        # R = A^(-1/2): dR solves dR R^-1 + R^-1 dR = -R dA R, in the coordinates of the axes
        c, axes, root = cache["c"], cache["axes"], cache["root"]
        s = np.sqrt(cache["values"])
        droot = c.T @ dout
        solved = axes @ ((axes.T @ droot @ axes) / (s[:, None] + s)) @ axes.T
        dcov = -root @ solved @ root
        dc = dout @ root + c @ (dcov + dcov.T) / np.float32(len(c)).astype(c.dtype)
        return dc - dc.mean(axis=0)

    return locals().values()


def flat_and_class():
    """Views of flat arrays, boolean indexing, an object as cache."""

    def central_difference(f, x, h):
        flat = x.astype(np.float64).ravel()
        grad = np.zeros(flat.size)
        for k in range(flat.size):
            old = flat[k]
            values = []
            for sign in (1, -1):
                flat[k] = old + sign * h
                values.append(f(flat.reshape(x.shape)))
            flat[k] = old
            grad[k] = (values[0] - values[1]) / (2.0 * h)
        return grad.reshape(x.shape)

    def numeric_gradient(f, x, dout, h=1e-5):
        x = x.copy()
        grad = np.zeros_like(x)
        flat, out = x.reshape(-1), grad.reshape(-1)
        for k in range(flat.size):
            old = flat[k]
            flat[k] = old + h
            ahead = np.vdot(f(x), dout)
            flat[k] = old - h
            behind = np.vdot(f(x), dout)
            flat[k] = old
            out[k] = (ahead - behind) / (2 * h)
        return grad

    def complex_step_gradient(f, x, dout, h=1e-100):
        z = x.astype(np.complex128)
        grad = np.empty(x.shape)
        for k in range(x.size):
            z.flat[k] += 1j * h
            grad.flat[k] = (f(z) * dout).sum().imag / h
            z.flat[k] = x.flat[k]
        return grad

    def standardize_columns(x, eps):
        x = x.T
        c = x - np.mean(x, axis=1, keepdims=True)
        v = np.mean(c * c, axis=1, keepdims=True)
        return (c / np.sqrt(v + eps)).T

    def relative_error(a, b):
        if not a.any() and not b.any():
            return 0.0
        return np.linalg.norm((a - b).ravel(), np.inf) / np.maximum(
            np.linalg.norm(a.ravel(), np.inf), np.linalg.norm(b.ravel(), np.inf)
        )

    def l1_penalty(w, strength):
        dw = np.zeros_like(w)
        dw[w > 0] = strength
        dw[w < 0] = -strength
        return float(np.sum(dw * w)), dw

    def l2_penalty(w, strength):
        return strength / 2 * np.linalg.norm(w.ravel()) ** 2, strength * w.copy()

    def maxnorm_project(w, max_norm):
        w = w.copy()
        length = np.sqrt(np.sum(w**2, axis=0))
        w[:, length > max_norm] *= max_norm / length[length > max_norm]
        return w

    def center_and_covariance(x):
        c = x.copy()
        c -= c.mean(0)
        return c, np.dot(c.T, c) / float(len(c))

    def pca_whiten(x, eps):
        c = x - x.mean(0)
        _, s, vt = np.linalg.svd(c, full_matrices=True)
        values = np.zeros(x.shape[1])
        values[: s.size] = s**2 / len(x)
        return -(c @ vt.T) / np.sqrt(values + eps)  # with other signs: just as good

    class Cache:
        def __init__(self, **kept):
            self.__dict__.update(kept)

    def zca_whiten_forward(x, eps):
        c = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
        _, s, vt = np.linalg.svd(c, full_matrices=True)
        values = np.zeros(x.shape[1])
        values[: s.size] = s**2 / len(x)
        matrix = vt.T / np.sqrt(values + eps) @ vt
        return (c @ matrix).astype(x.dtype), Cache(c=c, vt=vt, s=np.sqrt(values + eps), w=matrix)

    def zca_whiten_backward(dout, cache):
        # divided differences, with the derivative where two eigenvalues are close
        c, vt, s = cache.c, cache.vt, cache.s
        lam = s**2
        gap = lam[:, None] - lam[None, :]
        close = np.abs(gap) < 1e-3 * lam.max()
        k = (1 / s[:, None] - 1 / s[None, :]) / np.where(close, 1.0, gap)
        middle = (s[:, None] + s[None, :]) / 2
        k = np.where(close, -1 / (s[:, None] * s[None, :] * 2 * middle), k)
        inner = k * (vt @ c.T @ dout @ vt.T)
        dcov = vt.T @ inner @ vt
        dc = dout @ cache.w + 2 * c @ ((dcov + dcov.T) / 2) / len(c)
        return (dc - dc.mean(axis=0, keepdims=True)).astype(dout.dtype)

    return [f for name, f in locals().items() if name != "Cache"]


def matrices_and_namespace():
    """Projections and square roots as matrices; a linear system for the root's derivative."""

    def central_difference(f, x, h):
        x = 1.0 * x
        return np.vectorize(lambda k: _slope_of_entry(f, x, k, h))(
            np.arange(x.size).reshape(x.shape)
        )

    def numeric_gradient(f, x, dout, h=1e-5):
        grad = np.zeros(x.size)
        for k in range(x.size):
            e = np.zeros(x.size)
            e[k] = h
            e = e.reshape(x.shape)
            grad[k] = np.tensordot((f(x + e) - f(x - e)) / (2 * h), dout, dout.ndim)
        return grad.reshape(x.shape)

    def complex_step_gradient(f, x, dout, h=1e-100):
        def loss(z):
            return (f(z) * dout).sum()

        grad = []
        for k in range(x.size):
            e = np.zeros(x.shape)
            e.flat[k] = 1
            grad.append((loss(x + 1j * h * e) - loss(x + 0j)).imag / h)
        return np.array(grad).reshape(x.shape)

    def standardize_columns(x, eps):
        n = len(x)
        centered = (np.eye(n) - np.full((n, n), 1 / n)) @ x
        return centered / np.sqrt(np.diag(centered.T @ centered) / n + eps)

    def relative_error(a, b):
        scale = np.max([np.max(np.abs(a)), np.max(np.abs(b))])
        with np.errstate(invalid="ignore"):
            return np.nan_to_num(np.max(np.abs(a - b)) / scale)

    def l1_penalty(w, strength):
        return strength * np.linalg.norm(w.ravel(), 1), np.copysign(strength, w) * (w != 0)

    def l2_penalty(w, strength):
        flat = w.reshape(-1)
        return (flat @ flat) * strength * 0.5, np.multiply(w, strength)

    def maxnorm_project(w, max_norm):
        length = np.linalg.norm(w, axis=0, keepdims=True)
        return np.where(length <= max_norm, w, w * (max_norm / (length + (length == 0))))

    def center_and_covariance(x):
        n = len(x)
        h = np.eye(n) - np.ones((n, n)) / n
        return h @ x, x.T @ h @ x / n

    def pca_whiten(x, eps):
        values, axes = np.linalg.eigh(np.cov(x, rowvar=False, bias=True).reshape(x.shape[1], -1))
        values, axes = np.flip(values), np.fliplr(axes)
        return (x - x.mean(axis=0)) @ axes @ np.diag(1 / np.sqrt(values + eps))

    def zca_whiten_forward(x, eps):
        c = (x - x.mean(axis=0, dtype=float)).astype(float)
        a = c.T @ c / len(c) + eps * np.eye(c.shape[1])
        values, axes = np.linalg.eigh(a)
        root = axes * np.sqrt(values) @ axes.T
        return np.linalg.solve(root, c.T).T.astype(x.dtype), (c, root)

    def zca_whiten_backward(dout, cache):
        # out = c inv(R), R R = A: the Sylvester equation as one linear system
        c, root = cache
        d = len(root)
        inverse = np.linalg.inv(root)
        dc = dout @ inverse
        droot = -inverse.T @ (c.T @ dout) @ inverse.T
        system = np.kron(root, np.eye(d)) + np.kron(np.eye(d), root)
        da = np.linalg.solve(system, droot.ravel()).reshape(d, d)
        dc = dc + c @ (da + da.T) / len(c)
        return (dc - dc.mean(axis=0)).astype(dout.dtype)

    return locals().values()


def _slope_of_entry(f, x, k, h):
    """The central difference along entry k of x."""
    ahead, behind = x.copy(), x.copy()
    ahead.flat[k] += h
    behind.flat[k] -= h
    return (f(ahead) - f(behind)) / (2 * h)


def short_and_shared():
    """As few lines as possible; one function built on the other."""

    def numeric_gradient(f, x, dout, h=1e-5):
        dx = np.zeros(x.shape)
        for i in np.ndindex(x.shape):
            e = np.zeros(x.shape)
            e[i] = h
            dx[i] = ((f(x + e) - f(x - e)) * dout).sum() / (2 * h)
        return dx

    def central_difference(f, x, h):
        return numeric_gradient(f, x, 1.0, h)

    def complex_step_gradient(f, x, dout, h=1e-100):
        e = np.eye(x.size).reshape(-1, *x.shape)
        return np.array([(f(x + 1j * h * u).imag * dout).sum() / h for u in e]).reshape(x.shape)

    def standardize_columns(x, eps):
        return (x - x.mean(0)) / (((x - x.mean(0)) ** 2).mean(0) + eps) ** 0.5

    def relative_error(a, b):
        return abs(a - b).max() / (max(abs(a).max(), abs(b).max()) or 1.0)

    def l1_penalty(w, strength):
        dw = strength * np.sign(w)
        return (dw * w).sum(), dw

    def l2_penalty(w, strength):
        dw = strength * w
        return (dw * w).sum() / 2, dw

    def maxnorm_project(w, max_norm):
        length = np.linalg.norm(w, axis=0)
        with np.errstate(divide="ignore"):
            return w * np.minimum(1, max_norm / length)

    def center_and_covariance(x):
        return x - x.mean(0), np.atleast_2d(np.cov(x.T, ddof=0))

    def zca_whiten_forward(x, eps):
        c = x - x.mean(0)
        lam, u = np.linalg.eigh(c.T @ c / len(x))
        return c @ u / np.sqrt(lam + eps) @ u.T, (c @ u, lam, u, eps)

    def pca_whiten(x, eps):
        rotated, lam, _, eps = zca_whiten_forward(x, eps)[1]
        return np.fliplr(rotated / np.sqrt(lam + eps))

    def zca_whiten_backward(dout, cache):
        # everything in the coordinates of the axes, the derivative of a root and of an inverse
        y, lam, u, eps = cache
        r = np.sqrt(lam + eps)
        p = dout @ u
        dr = -(y / r).T @ p / r
        dlam = dr / (r[:, None] + r)
        dy = p / r + y @ (dlam + dlam.T) / len(y)
        return ((dy - dy.mean(0)) @ u.T).astype(dout.dtype)

    return locals().values()


def in_single_precision():
    """Whitening and penalties in the type that comes, float32 too."""

    def maxnorm_project(w, max_norm):
        out = np.array(w, copy=True)
        for column in out.T:
            size = np.sqrt(column @ column)
            if size > max_norm:
                column *= max_norm / size
        return out

    def l1_penalty(w, strength):
        return np.abs(w).sum(dtype=w.dtype) * w.dtype.type(strength), w.dtype.type(
            strength
        ) * np.sign(w)

    def l2_penalty(w, strength):
        strength = w.dtype.type(strength)
        return strength * np.mean(w**2) * w.size / 2, strength * w

    def zca_whiten_forward(x, eps):
        one = x.dtype.type
        mean = np.sum(x, axis=0) / one(len(x))
        c = x - mean
        u, lam, _ = np.linalg.svd(c.T @ c / one(len(x)))
        s = np.sqrt(lam + one(eps))
        return ((c @ u) / s) @ u.T, {"c": c, "u": u, "s": s, "extra": None}

    def zca_whiten_backward(dout, cache):
        c, u, s = cache["c"], cache["u"], cache["s"]
        p, z = dout @ u, c @ u / s
        m = z.T @ p / dout.dtype.type(len(z))
        h = s[:, None] / (s[:, None] + s) * m
        h = h + h.T
        d = p - p.mean(axis=0) - z @ h
        return d / s @ u.T

    return locals().values()


ANSWERS = [
    Answer(style.__name__, {f.__name__: f for f in style() if f.__name__ in NAMES})
    for style in (
        ndindex_and_tuple,
        one_entry_at_a_time,
        einsum_and_dict,
        flat_and_class,
        matrices_and_namespace,
        short_and_shared,
        in_single_precision,
    )
]
