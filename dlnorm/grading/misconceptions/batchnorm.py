"""Wrong variants of batch normalization. Each docstring is the hint a student reads.

The variants of a function share one private helper, which is right unless told otherwise; so
each of them shows what is wrong and nothing else. A wrong forward pass returns the reference's
kind of cache, because the reference's backward pass is run on it.
"""

from __future__ import annotations

import numpy as np

from dlnorm.batchnorm import BatchNormCache
from dlnorm.grading.exercise import misconception
from dlnorm.standardize import StandardizeCache

# ---------------------------------------------------------------- column_statistics


@misconception("column_statistics", section="bn-axes")
def row_statistics(x):
    """It looks as if you average along each row: one mean a sample. Batch norm compares a
    feature with itself in the other samples. What should the shape of the mean be for x of
    shape (N, D), and which axis has to disappear to get it?
    """
    return x.mean(axis=1), x.var(axis=1)


@misconception("column_statistics", section="bn-axes")
def table_statistics(x):
    """It looks as if you take one mean and one variance of the whole table. Features can live on
    very different scales, so each needs a mean and a variance of its own. Which axis did you
    tell NumPy to average over?
    """
    return x.mean(), x.var()


@misconception("column_statistics", section="bn-biased")
def column_variance_unbiased(x):
    """It looks as if your variance divides by one less than the number of samples. That
    estimates the variance of a population. Here the question is what the mean square deviation
    of these very numbers is.
    """
    return x.mean(axis=0), x.var(axis=0, ddof=1)


@misconception("column_statistics", section="bn-algorithm")
def column_deviation(x):
    """It looks as if the second result is the standard deviation. The variance is asked for: in
    units of x squared, before any root.
    """
    return x.mean(axis=0), x.std(axis=0)


@misconception("column_statistics", section="bn-algorithm")
def column_mean_square(x):
    """It looks as if the second result is the mean of the squares of x. A variance measures the
    spread around the mean: adding 100 to a whole column must not change it. Does it change
    yours?
    """
    return x.mean(axis=0), (x * x).mean(axis=0)


@misconception("column_statistics", section="bn-algorithm")
def column_statistics_exchanged(x):
    """It looks as if the two results are right and come in the wrong order. The docstring says
    which is first.
    """
    return x.var(axis=0), x.mean(axis=0)


# ---------------------------------------------------------------- batchnorm_forward


def _forward(
    x,
    gamma,
    beta,
    bn_param,
    mean=lambda x: x.mean(axis=0, keepdims=True),
    var=lambda x: x.var(axis=0, keepdims=True),
    std=lambda var, eps: np.sqrt(var + eps),
    affine=lambda gamma, x_hat, beta: gamma * x_hat + beta,
    reads=lambda mode, batch, running: batch if mode == "train" else running,
    centered=lambda x, mean: x - mean,
    remember=None,
    writes=("train",),
):
    """Batch norm with its parts as arguments; right with the defaults."""
    mode, eps = bn_param["mode"], bn_param.get("eps", 1e-5)
    running = _running(bn_param, x)
    batch = mean(x), var(x)
    mu, variance = reads(mode, batch, running)
    s = std(variance, eps)
    x_hat = centered(x, mu) / s
    if mode in writes:
        right = x.mean(axis=0), x.var(axis=0)
        (remember or _remember)(bn_param, running, right, len(x))
    stats = StandardizeCache(x_hat, mu, variance, s, (0,))
    wide = gamma.reshape(1, -1)
    return affine(gamma, x_hat, beta), BatchNormCache(stats, wide, gamma.shape, mode)


def _running(bn_param, x, start_var=1.0):
    d = x.shape[1]
    mean = bn_param.get("running_mean", np.zeros(d, x.dtype))
    var = bn_param.get("running_var", np.full(d, start_var, x.dtype))
    return mean, var


def _remember(
    bn_param,
    running,
    batch,
    n,
    update=lambda old, new, momentum: momentum * old + (1 - momentum) * new,
):
    """Update the running statistics; `update` says how, `batch` what."""
    momentum = bn_param.get("momentum", 0.9)
    bn_param["running_mean"] = update(running[0], batch[0], momentum)
    bn_param["running_var"] = update(running[1], batch[1], momentum)


@misconception("batchnorm_forward", section="bn-eps")
def eps_outside_the_root(x, gamma, beta, bn_param):
    """It looks as if eps is added to the standard deviation, after the root. For ordinary
    variances that hardly shows; for small ones it is another function, with an infinite slope
    at variance 0. In what unit is eps: that of x, or that of x squared?
    """
    return _forward(x, gamma, beta, bn_param, std=lambda var, eps: np.sqrt(var) + eps)


@misconception("batchnorm_forward", section="bn-eps")
def eps_omitted(x, gamma, beta, bn_param):
    """It looks as if eps is missing from the denominator. A column that is constant would then
    be divided by zero, and test mode would not fit what was trained. Is it there in both modes?
    """
    return _forward(x, gamma, beta, bn_param, std=lambda var, eps: np.sqrt(var))


@misconception("batchnorm_forward", section="bn-eps")
def eps_hard_coded(x, gamma, beta, bn_param):
    """It looks as if eps is always 1e-5, whatever bn_param says. That value is only the default,
    for a bn_param without the key.
    """
    return _forward(x, gamma, beta, bn_param, std=lambda var, eps: np.sqrt(var + 1e-5))


@misconception("batchnorm_forward", section="bn-algorithm")
def divided_by_variance(x, gamma, beta, bn_param):
    """It looks as if you divide by the variance. If x is in meters, a variance is in square
    meters, and the result would be in 1/meter. After standardizing, x in meters and x in
    centimeters should give the same numbers.
    """
    return _forward(x, gamma, beta, bn_param, std=lambda var, eps: var + eps)


@misconception("batchnorm_forward", section="bn-algorithm")
def root_of_the_deviation(x, gamma, beta, bn_param):
    """It looks as if the root is taken twice: once on the way to a standard deviation, and once
    more when you divide. Under the root of the formula stands a variance. Which of the two did
    you compute, or remember?
    """
    return _forward(x, gamma, beta, bn_param, std=lambda var, eps: np.sqrt(np.sqrt(var) + eps))


@misconception("batchnorm_forward", section="bn-biased")
def unbiased_variance(x, gamma, beta, bn_param):
    """It looks as if your batch variance divides by one less than the number of samples. Then
    the standardized column has a variance that depends on the batch size, and a batch of one
    gives 0/0.
    """
    return _forward(
        x, gamma, beta, bn_param, var=lambda x: x.var(axis=0, keepdims=True) * len(x) / (len(x) - 1)
    )


@misconception("batchnorm_forward", section="bn-axes")
def standardizes_rows(x, gamma, beta, bn_param):
    """It looks as if you standardize each row: one sample over its features. That is layer
    normalization. Batch norm compares a feature with itself in the other samples of the batch.
    """
    return _forward(
        x,
        gamma,
        beta,
        bn_param,
        mean=lambda x: x.mean(axis=1, keepdims=True),
        var=lambda x: x.var(axis=1, keepdims=True),
    )


@misconception("batchnorm_forward", section="bn-axes")
def standardizes_the_table(x, gamma, beta, bn_param):
    """It looks as if you use one mean and one variance for the whole table. A feature around 20
    and one around 0 then stay as far apart as they were. How many means does a table with D
    features need?
    """
    return _forward(
        x,
        gamma,
        beta,
        bn_param,
        mean=lambda x: x.mean(keepdims=True),
        var=lambda x: x.var(keepdims=True),
    )


@misconception("batchnorm_forward", section="bn-algorithm")
def mean_not_subtracted(x, gamma, beta, bn_param):
    """It looks as if you divide without subtracting the mean first. The columns of your result
    then keep their distance from beta; what should the mean of each be?
    """
    return _forward(x, gamma, beta, bn_param, centered=lambda x, mean: x)


@misconception("batchnorm_forward", section="bn-gamma-beta")
def beta_scaled_by_gamma(x, gamma, beta, bn_param):
    """It looks as if beta is added first and gamma multiplies the sum. Then the shift depends on
    the scale. The mean of each column of out should be beta, for any gamma.
    """
    return _forward(x, gamma, beta, bn_param, affine=lambda g, x_hat, b: g * (x_hat + b))


@misconception("batchnorm_forward", section="bn-gamma-beta")
def gamma_and_beta_forgotten(x, gamma, beta, bn_param):
    """It looks as if gamma and beta are not used in this mode: what comes out is the
    standardized x. They are learned parameters of the layer and act in train and in test mode
    alike.
    """
    return _forward(x, gamma, beta, bn_param, affine=lambda g, x_hat, b: x_hat)


@misconception("batchnorm_forward", section="bn-gamma-beta")
def gamma_and_beta_exchanged(x, gamma, beta, bn_param):
    """It looks as if gamma and beta have changed places. One is a scale and starts at 1, the
    other a shift and starts at 0; which is which?
    """
    return _forward(x, gamma, beta, bn_param, affine=lambda g, x_hat, b: b * x_hat + g)


@misconception("batchnorm_forward", section="bn-cancellation")
def mean_square_minus_squared_mean(x, gamma, beta, bn_param):
    """It looks as if your variance is the difference of two large, nearly equal numbers: the
    mean of the squares and the square of the mean. On paper that is right. In float32 most
    digits cancel when the mean is large against the spread. Can you subtract before you square?
    """
    return _forward(
        x,
        gamma,
        beta,
        bn_param,
        var=lambda x: (x * x).mean(axis=0, keepdims=True) - x.mean(axis=0, keepdims=True) ** 2,
    )


@misconception("batchnorm_forward", section="bn-in-code")
def forward_changes_x(x, gamma, beta, bn_param):
    """It looks as if your code writes into x itself, perhaps with an operator such as -= or /=.
    The array belongs to the caller: the layer before needs it again in its own backward pass.
    """
    result = _forward(x.copy(), gamma, beta, bn_param)
    x -= x.mean()
    return result


@misconception("batchnorm_forward", section="bn-in-code")
def float64_for_float32(x, gamma, beta, bn_param):
    """It looks as if float32 data comes back as float64: somewhere an array of NumPy's default
    dtype takes part. Networks train in float32; one such layer doubles the memory of all that
    follow. Which array in your code was made without saying its dtype?
    """
    return _forward(*(a.astype(np.float64) for a in (x, gamma, beta)), bn_param)


@misconception("batchnorm_forward", section="bn-running")
def variance_around_the_running_mean(x, gamma, beta, bn_param):
    """It looks as if the batch's variance is measured around the running mean. In train mode the
    batch is standardized by its own statistics; the running ones are only updated.
    """
    mean, _ = _running(bn_param, x)
    return _forward(
        x, gamma, beta, bn_param, var=lambda x: ((x - mean) ** 2).mean(axis=0, keepdims=True)
    )


@misconception("batchnorm_forward", section="bn-running")
def training_with_running_statistics(x, gamma, beta, bn_param):
    """It looks as if you standardize with the running statistics in train mode, after updating
    them. While training, the batch is standardized by its own mean and variance; the running
    ones are for test mode.
    """
    old = _running(bn_param, x)
    momentum = bn_param.get("momentum", 0.9)
    new = tuple(
        (momentum * o + (1 - momentum) * b).reshape(1, -1)
        for o, b in zip(old, (x.mean(axis=0), x.var(axis=0)), strict=True)
    )
    return _forward(
        x, gamma, beta, bn_param, reads=lambda mode, *_: new if mode == "train" else old
    )


@misconception("batchnorm_forward", section="bn-test-mode")
def batch_statistics_at_test(x, gamma, beta, bn_param):
    """It looks as if test mode standardizes with the statistics of the batch at hand. Then the
    answer for one sample depends on its neighbors, and a batch of one always gives beta. What
    was remembered during training, and for what purpose?
    """
    return _forward(x, gamma, beta, bn_param, reads=lambda mode, batch, _: batch)


@misconception("batchnorm_forward", section="bn-test-mode")
def mode_ignored(x, gamma, beta, bn_param):
    """It looks as if test mode does what train mode does: it standardizes with the batch's own
    statistics and updates the running ones. Where does your code ask for the mode? An answer at
    test time must not depend on the other samples of the batch.
    """
    return _forward(
        x, gamma, beta, bn_param, reads=lambda mode, batch, _: batch, writes=("train", "test")
    )


@misconception("batchnorm_forward", section="bn-test-mode")
def running_statistics_updated_at_test(x, gamma, beta, bn_param):
    """It looks as if the running statistics are updated in test mode as well. Then the test data
    leaks into the model, and the same question asked twice gets two answers.
    """
    return _forward(x, gamma, beta, bn_param, writes=("train", "test"))


def _with_update(x, gamma, beta, bn_param, update):
    return _forward(
        x, gamma, beta, bn_param, remember=lambda *what: _remember(*what, update=update)
    )


def _with_batch(x, gamma, beta, bn_param, batch):
    """Remember something else than the batch's mean and variance."""

    def remember(bn_param, running, right, n):
        _remember(bn_param, running, batch(*right, n), n)

    return _forward(x, gamma, beta, bn_param, remember=remember)


@misconception("batchnorm_forward", section="bn-running")
def momentum_swapped(x, gamma, beta, bn_param):
    """It looks as if the old value and the batch's value have exchanged their weights. Here
    momentum says how much of the old value is kept, so a momentum near 1 is a long memory.
    (PyTorch counts the other way around.)
    """
    return _with_update(x, gamma, beta, bn_param, lambda old, new, m: m * new + (1 - m) * old)


@misconception("batchnorm_forward", section="bn-running")
def momentum_hard_coded(x, gamma, beta, bn_param):
    """It looks as if momentum is always 0.9, whatever bn_param says. That value is only the
    default, for a bn_param without the key.
    """
    return _with_update(x, gamma, beta, bn_param, lambda old, new, m: 0.9 * old + (1 - 0.9) * new)


@misconception("batchnorm_forward", section="bn-running")
def plain_average_of_old_and_new(x, gamma, beta, bn_param):
    """It looks as if old value and batch get the same weight, one half each. How long the layer
    remembers is set by bn_param's momentum.
    """
    return _with_update(x, gamma, beta, bn_param, lambda old, new, m: (old + new) / 2)


@misconception("batchnorm_forward", section="bn-running")
def old_value_not_decayed(x, gamma, beta, bn_param):
    """It looks as if each batch is added to the running value, which itself is kept in full. The
    two weights then add up to more than 1 and the running value grows with every step. If all
    batches were equal, where should it settle?
    """
    return _with_update(x, gamma, beta, bn_param, lambda old, new, m: old + (1 - m) * new)


@misconception("batchnorm_forward", section="bn-running")
def only_the_last_batch(x, gamma, beta, bn_param):
    """It looks as if the running statistics are those of the last batch. One batch is a noisy
    estimate; the layer should average over many, with the older ones slowly forgotten.
    """
    return _with_update(x, gamma, beta, bn_param, lambda old, new, m: new)


@misconception("batchnorm_forward", section="bn-running")
def running_statistics_overwritten(x, gamma, beta, bn_param):
    """It looks as if bn_param ends up with the old running statistics. Perhaps the update is
    stored and a later line stores the old value over it, or the update goes to a local variable
    and another one is stored. Print bn_param before and after a call.
    """
    return _with_update(x, gamma, beta, bn_param, lambda old, new, m: old)


@misconception("batchnorm_forward", section="bn-running")
def running_statistics_not_stored(x, gamma, beta, bn_param):
    """It looks as if the running statistics never reach bn_param. A local variable is gone when
    your function returns; only what is put into the dict is there at the next call.
    """
    return _forward(x, gamma, beta, bn_param, writes=())


@misconception("batchnorm_forward", section="bn-running")
def running_standard_deviation(x, gamma, beta, bn_param):
    """It looks as if running_var averages standard deviations. It should hold a variance: test
    mode adds eps to it and takes the root then.
    """
    return _with_batch(x, gamma, beta, bn_param, lambda mean, var, n: (mean, np.sqrt(var)))


@misconception("batchnorm_forward", section="bn-running")
def running_variance_with_eps(x, gamma, beta, bn_param):
    """It looks as if eps is already part of what you store in running_var. Test mode adds it
    when the variance is used, so it would count twice.
    """
    eps = bn_param.get("eps", 1e-5)
    return _with_batch(x, gamma, beta, bn_param, lambda mean, var, n: (mean, var + eps))


@misconception("batchnorm_forward", section="bn-running")
def running_variance_unbiased(x, gamma, beta, bn_param):
    """It looks as if running_var averages variances that divide by one less than the number of
    samples, as PyTorch does. There are good reasons for that, but this exercise stores the
    variance that standardized the batch.
    """
    return _with_batch(x, gamma, beta, bn_param, lambda mean, var, n: (mean, var * n / (n - 1)))


@misconception("batchnorm_forward", section="bn-running")
def running_mean_corrected(x, gamma, beta, bn_param):
    """It looks as if running_mean was multiplied by a correction that belongs to variances. The
    mean of a batch is right on average as it is.
    """
    return _with_batch(x, gamma, beta, bn_param, lambda mean, var, n: (mean * n / (n - 1), var))


@misconception("batchnorm_forward", section="bn-running")
def running_statistics_as_rows(x, gamma, beta, bn_param):
    """It looks as if running statistics that came with one dimension go back with two, of which
    the first has length 1. Whoever handed them in, or saves them to a file, expects the shape
    they had.
    """
    return _with_batch(x, gamma, beta, bn_param, lambda mean, var, n: (mean[None], var[None]))


@misconception("batchnorm_forward", section="bn-running")
def running_variance_started_at_zero(x, gamma, beta, bn_param):
    """It looks as if a missing running_var starts at 0. After a few steps it is then far too
    small, and test mode divides by far too little. Which start leaves x as it is, as long as
    nothing is known?
    """

    def remember(bn_param, running, right, n):
        _remember(bn_param, _running(bn_param, x, start_var=0.0), right, n)

    return _forward(x, gamma, beta, bn_param, remember=remember)


# ---------------------------------------------------------------- undo_batchnorm


@misconception("undo_batchnorm", section="bn-gamma-beta")
def undo_without_eps(x, eps):
    """It looks as if gamma leaves eps out. It then undoes a division that was not the one the
    layer made: close, but not x itself. By what exactly did the layer divide?
    """
    return x.std(axis=0), x.mean(axis=0)


@misconception("undo_batchnorm", section="bn-gamma-beta")
def undo_with_variance(x, eps):
    """It looks as if gamma is a variance. The layer divided by something in the unit of x, so
    gamma has to be in the unit of x.
    """
    return x.var(axis=0) + eps, x.mean(axis=0)


@misconception("undo_batchnorm", section="bn-gamma-beta")
def undo_divides_again(x, eps):
    """It looks as if gamma is the reciprocal of what is needed: it divides a second time. The
    layer already divided; which factor takes that back?
    """
    return 1 / np.sqrt(x.var(axis=0) + eps), x.mean(axis=0)


@misconception("undo_batchnorm", section="bn-eps")
def undo_with_eps_outside(x, eps):
    """It looks as if eps is added to the standard deviation in your gamma. The layer adds it
    elsewhere, and only what it really did can be undone.
    """
    return x.std(axis=0) + eps, x.mean(axis=0)


@misconception("undo_batchnorm", section="bn-gamma-beta")
def undo_subtracts_the_mean(x, eps):
    """It looks as if beta has the wrong sign: it moves the column further from where it was. The
    layer subtracted; beta is added.
    """
    return np.sqrt(x.var(axis=0) + eps), -x.mean(axis=0)


@misconception("undo_batchnorm", section="bn-gamma-beta")
def undo_scales_the_shift(x, eps):
    """It looks as if beta was divided by the standard deviation. Beta is added after the scaling
    by gamma, when the column is back in its own unit. In which unit is the distance it has to
    travel?
    """
    std = np.sqrt(x.var(axis=0) + eps)
    return std, x.mean(axis=0) / std


@misconception("undo_batchnorm", section="bn-gamma-beta")
def undo_exchanged(x, eps):
    """It looks as if gamma and beta are right but returned in the wrong order."""
    return x.mean(axis=0), np.sqrt(x.var(axis=0) + eps)


# ---------------------------------------------------------------- fold_batchnorm


def _fold(weight, bias, gamma, beta, bn_param, std=lambda var, eps: np.sqrt(var + eps)):
    """The scale of each feature, then the folded weight and bias: all right."""
    scale = gamma / std(bn_param["running_var"], bn_param.get("eps", 1e-5))
    return scale, weight * scale, (bias - bn_param["running_mean"]) * scale + beta


@misconception("fold_batchnorm", section="bn-eps")
def fold_without_eps(weight, bias, gamma, beta, bn_param):
    """It looks as if eps is missing. The folded layer has to do what batch norm does in test
    mode, and eps is part of that.
    """
    return _fold(weight, bias, gamma, beta, bn_param, lambda var, eps: np.sqrt(var))[1:]


@misconception("fold_batchnorm", section="bn-test-mode")
def fold_with_variance(weight, bias, gamma, beta, bn_param):
    """It looks as if you divide by the running variance. Test mode divides by something in the
    unit of its input.
    """
    return _fold(weight, bias, gamma, beta, bn_param, lambda var, eps: var + eps)[1:]


@misconception("fold_batchnorm", section="bn-test-mode")
def fold_scales_the_rows(weight, bias, gamma, beta, bn_param):
    """It looks as if each row of the weight was scaled. Batch norm has one scale for each output
    of the linear layer. For a weight of shape (M, D), which entries make output number j?
    """
    scale, _, folded = _fold(weight, bias, gamma, beta, bn_param)
    return weight * scale[:, None], folded


@misconception("fold_batchnorm", section="bn-test-mode")
def fold_leaves_the_bias(weight, bias, gamma, beta, bn_param):
    """It looks as if the folded bias holds the old bias as it was. In the original network the
    bias is added before batch norm, so batch norm scales it too.
    """
    scale, folded, _ = _fold(weight, bias, gamma, beta, bn_param)
    return folded, bias + beta - bn_param["running_mean"] * scale


@misconception("fold_batchnorm", section="bn-test-mode")
def fold_without_the_mean(weight, bias, gamma, beta, bn_param):
    """It looks as if the running mean is missing from the folded bias. Test mode subtracts it
    from every sample, and it has to go somewhere.
    """
    scale, folded, _ = _fold(weight, bias, gamma, beta, bn_param)
    return folded, bias * scale + beta


@misconception("fold_batchnorm", section="bn-test-mode")
def fold_subtracts_the_raw_mean(weight, bias, gamma, beta, bn_param):
    """It looks as if the running mean is subtracted after the scaling. Batch norm subtracts it
    from its input and scales the difference.
    """
    scale, folded, _ = _fold(weight, bias, gamma, beta, bn_param)
    return folded, bias * scale + beta - bn_param["running_mean"]


@misconception("fold_batchnorm", section="bn-gamma-beta")
def fold_without_beta(weight, bias, gamma, beta, bn_param):
    """It looks as if beta is missing from the folded bias. Feed the layer an input for which
    batch norm's own input equals the running mean: what comes out, and what should?
    """
    _, folded, with_beta = _fold(weight, bias, gamma, beta, bn_param)
    return folded, with_beta - beta


@misconception("fold_batchnorm", section="bn-in-code")
def fold_changes_the_layer(weight, bias, gamma, beta, bn_param):
    """It looks as if your code writes into the weight it was given, perhaps with an operator
    such as *=. Folding makes a new layer; the caller may still want to train the old one.
    """
    scale, _, folded = _fold(weight, bias, gamma, beta, bn_param)
    weight *= scale
    return weight, folded


# ---------------------------------------------------------------- batchnorm_backward_staged


def _parts(cache):
    """What a backward pass works with: x_hat, std, the number of rows, and x."""
    x_hat, mean, _, std, _ = cache.stats
    return x_hat, std, len(x_hat), x_hat * std + mean


def _gradient(dout, cache, direct=1, mean=1, variance=1, count=None, std=None, x_hat=None):
    """The gradient of x: three branches, each with a factor. 1 is right, 0 leaves it out."""
    own_x_hat, own_std, n, _ = _parts(cache)
    x_hat = own_x_hat if x_hat is None else x_hat
    count = n if count is None else count
    d = cache.gamma * dout
    along_mean = d.sum(axis=0) / count
    along_x_hat = (d * x_hat).sum(axis=0) / count
    dx = direct * d - mean * along_mean - variance * x_hat * along_x_hat
    return dx / (own_std if std is None else std)


def _affine(dout, cache):
    """The gradients of gamma and beta."""
    return (dout * cache.stats.x_hat).sum(axis=0), dout.sum(axis=0)


def _staged(dout, cache, **wrong):
    return _gradient(dout, cache, **wrong), *_affine(dout, cache)


@misconception("batchnorm_backward_staged", section="bn-affine-gradients")
def dgamma_from_x(dout, cache):
    """It looks as if dgamma multiplies dout by x. But gamma never sees x: by what is gamma
    multiplied in the forward pass?
    """
    x = _parts(cache)[3]
    return _gradient(dout, cache), (dout * x).sum(axis=0), dout.sum(axis=0)


@misconception("batchnorm_backward_staged", section="bn-affine-gradients")
def dgamma_without_x_hat(dout, cache):
    """It looks as if dgamma is the sum of dout alone. That is the gradient of something that is
    added. Gamma is a factor: how much out changes with it depends on what it multiplies.
    """
    return _gradient(dout, cache), dout.sum(axis=0), dout.sum(axis=0)


@misconception("batchnorm_backward_staged", section="bn-affine-gradients")
def dgamma_times_gamma(dout, cache):
    """It looks as if gamma itself is a factor in dgamma. Perhaps you started from the gradient
    of x_hat instead of from dout. The derivative of a product by one of its factors is the
    other factor.
    """
    dgamma, dbeta = _affine(dout, cache)
    return _gradient(dout, cache), dgamma * cache.gamma[0], dbeta


@misconception("batchnorm_backward_staged", section="bn-affine-gradients")
def dbeta_averaged(dout, cache):
    """It looks as if dbeta is a mean over the batch. Beta is used once in every row, and the
    gradients of all its uses add up. If the loss is a mean over the batch, the division is
    already in dout.
    """
    return _gradient(dout, cache), _affine(dout, cache)[0], dout.mean(axis=0)


@misconception("batchnorm_backward_staged", section="bn-affine-gradients")
def parameter_gradients_averaged(dout, cache):
    """It looks as if dgamma and dbeta are means over the batch. Both parameters are used once
    in every row, and the gradients of all their uses add up. If the loss is a mean over the
    batch, the division is already in dout.
    """
    dgamma, dbeta = _affine(dout, cache)
    return _gradient(dout, cache), dgamma / len(dout), dbeta / len(dout)


@misconception("batchnorm_backward_staged", section="bn-affine-gradients")
def parameter_gradients_per_sample(dout, cache):
    """It looks as if dgamma and dbeta are summed along each row: they have one entry a sample. A
    gradient has the shape of what it belongs to. What shape does gamma have, and which axis has
    to disappear?
    """
    x_hat = cache.stats.x_hat
    return _gradient(dout, cache), (dout * x_hat).sum(axis=1), dout.sum(axis=1)


@misconception("batchnorm_backward_staged", section="bn-constants")
def statistics_held_constant(dout, cache):
    """It looks as if you treat the mean and the standard deviation as constants. In train mode
    both are computed from x, so every entry of a column moves them, and through them all other
    outputs. Which arrows of the graph has your code not walked back?
    """
    return _staged(dout, cache, mean=0, variance=0)


@misconception("batchnorm_backward_staged", section="bn-mean-path")
def mean_path_missing(dout, cache):
    """It looks as if nothing comes back through the mean. Adding a constant to a whole column
    changes no output, so each column of dx has to sum to 0. Does yours?
    """
    return _staged(dout, cache, mean=0)


@misconception("batchnorm_backward_staged", section="bn-variance-path")
def variance_path_missing(dout, cache):
    """It looks as if nothing comes back through the variance. It is computed from x as well, and
    the centered x feeds both the numerator and, through the variance, the denominator.
    """
    return _staged(dout, cache, variance=0)


@misconception("batchnorm_backward_staged", section="bn-staged")
def gamma_left_out_of_dx(dout, cache):
    """It looks as if gamma is missing on the way back to x. In the forward pass x_hat is
    multiplied by it; what does that node do to a gradient?
    """
    d = dout / cache.gamma
    return _gradient(d, cache), *_affine(dout, cache)


@misconception("batchnorm_backward_staged", section="bn-mean-path")
def divided_by_features(dout, cache):
    """It looks as if your means divide by the number of features. Each mean and variance runs
    down a column. How many entries does it average?
    """
    return _staged(dout, cache, count=dout.shape[1])


@misconception("batchnorm_backward_staged", section="bn-mean-path")
def sums_not_divided(dout, cache):
    """It looks as if the number of samples is missing. Mean and variance are averages, so each
    entry has only a small share in them. What is the derivative of a mean by one of its
    entries?
    """
    return _staged(dout, cache, count=1)


@misconception("batchnorm_backward_staged", section="bn-staged")
def batch_sums_forgotten(dout, cache):
    """It looks as if the gradients of the mean and of the variance still have one row a sample.
    There is only one mean and one variance a column, used in all rows: the gradients of all
    those uses add up to one number.
    """
    x_hat, std, n, _ = _parts(cache)
    d = cache.gamma * dout
    return (d - d / n - x_hat * d * x_hat / n) / std, *_affine(dout, cache)


@misconception("batchnorm_backward_staged", section="bn-variance-path")
def eps_missing_backward(dout, cache):
    """It looks as if eps is missing in the backward pass. The forward pass divided by a standard
    deviation with eps inside, and the way back has to use that same number. Is it in your
    cache?
    """
    _, own_std, _, _ = _parts(cache)
    std = np.sqrt(cache.stats.var)
    return _staged(dout, cache, std=std, x_hat=cache.stats.x_hat * own_std / std)


@misconception("batchnorm_backward_staged", section="bn-variance-path")
def square_of_std_missing(dout, cache):
    """It looks as if the path through the variance has one power of the standard deviation too
    few in a denominator. Differentiate 1/s by s once more, and watch the exponent.
    """
    return _staged(dout, cache, variance=_parts(cache)[1])


@misconception("batchnorm_backward_staged", section="bn-variance-path")
def exponent_not_lowered(dout, cache):
    """It looks as if an exponent in the path through the variance is off by one. The denominator
    is a power of (variance + eps); when a power is differentiated, its exponent changes. Did
    yours?
    """
    return _staged(dout, cache, variance=_parts(cache)[1] ** 2)


@misconception("batchnorm_backward_staged", section="bn-variance-path")
def half_missing(dout, cache):
    """It looks as if the path through the variance is twice too strong. What is the derivative
    of a square root, and did all of it survive?
    """
    return _staged(dout, cache, variance=2)


@misconception("batchnorm_backward_staged", section="bn-variance-path")
def variance_path_sign(dout, cache):
    """It looks as if the path through the variance has the wrong sign. When the standard
    deviation grows, do the entries of x_hat grow or shrink in size?
    """
    return _staged(dout, cache, variance=-1)


@misconception("batchnorm_backward_staged", section="bn-variance-path")
def unbiased_backward(dout, cache):
    """It looks as if the path through the variance divides by one less than the number of
    samples, while the forward pass divides by the number itself. Both have to belong to the
    same variance.
    """
    n = len(dout)
    return _staged(dout, cache, variance=n / (n - 1) if n > 1 else np.inf)


@misconception("batchnorm_backward_staged", section="bn-graph")
def direct_branch_overwritten(dout, cache):
    """It looks as if only what came through the variance is left of the gradient of the centered
    x. That value was used twice in the forward pass. Perhaps your second line overwrites the
    first, where the two should be added.
    """
    return _staged(dout, cache, direct=0, mean=0)


@misconception("batchnorm_backward_staged", section="bn-graph")
def only_the_mean_branch_left(dout, cache):
    """It looks as if only what came through the mean is left: dx is one row, the same for all
    samples. But x was used twice in the forward pass, in the mean and in the difference.
    Perhaps your last line overwrites what came the other way, where the two should be added.
    """
    along_mean = _gradient(dout, cache, direct=0, variance=0)[0]
    return along_mean, *_affine(dout, cache)


@misconception("batchnorm_backward_staged", section="bn-staged")
def backward_changes_dout(dout, cache):
    """It looks as if your code writes into dout itself, perhaps with an operator such as *= or
    -=. The array belongs to the caller, who may need it for another branch.
    """
    result = _staged(dout.copy(), cache)
    dout *= cache.gamma
    return result


# ---------------------------------------------------------------- batchnorm_backward


def _closed(dout, cache, **wrong):
    """Both modes; `wrong` is about train mode only."""
    if cache.mode == "test":
        return cache.gamma * dout / cache.stats.std, *_affine(dout, cache)
    return _staged(dout, cache, **wrong)


def _closed_dx(dout, cache, dx):
    """Both modes, with this dx in train mode."""
    return _closed(dout, cache) if cache.mode == "test" else (dx, *_affine(dout, cache))


@misconception("batchnorm_backward", section="bn-constants")
def closed_without_the_bracket(dout, cache):
    """It looks as if train mode treats the mean and the standard deviation as constants. That is
    right in test mode only. In train mode every entry of a column moves both, and two more
    terms answer for that.
    """
    return _closed(dout, cache, mean=0, variance=0)


@misconception("batchnorm_backward", section="bn-closed")
def closed_mean_term_missing(dout, cache):
    """It looks as if the term that comes from the mean is missing. Adding a constant to a whole
    column changes no output, so each column of dx has to sum to 0. Does yours?
    """
    return _closed(dout, cache, mean=0)


@misconception("batchnorm_backward", section="bn-closed")
def closed_x_hat_term_missing(dout, cache):
    """It looks as if the term that comes from the variance is missing. Stretching a column
    around its mean hardly changes the output, so dx may have next to no share along x_hat.
    """
    return _closed(dout, cache, variance=0)


@misconception("batchnorm_backward", section="bn-closed")
def closed_x_hat_term_added(dout, cache):
    """It looks as if the term that comes from the variance has the wrong sign. When one entry
    stretches its column, does the division pull the outputs in or push them out?
    """
    return _closed(dout, cache, variance=-1)


@misconception("batchnorm_backward", section="bn-closed")
def closed_x_hat_factor_missing(dout, cache):
    """It looks as if the term that comes from the variance is the same in all rows of a column.
    A mean of products says how much of x_hat the gradient holds; it still has to be multiplied
    by something that differs from row to row.
    """
    x_hat, std, _, _ = _parts(cache)
    d = cache.gamma * dout
    return _closed_dx(dout, cache, (d - d.mean(axis=0) - (d * x_hat).mean(axis=0)) / std)


@misconception("batchnorm_backward", section="bn-closed")
def closed_with_x_for_x_hat(dout, cache):
    """It looks as if the term that comes from the variance is made with x, where the
    standardized values belong. Which of the two has mean 0 and a spread of about 1?
    """
    _, std, _, x = _parts(cache)
    return _closed_dx(dout, cache, _gradient(dout, cache, x_hat=x, std=std))


@misconception("batchnorm_backward", section="bn-closed")
def closed_gamma_missing(dout, cache):
    """It looks as if gamma is missing from dx in train mode. The gradient passes the scaling by
    gamma before it reaches x_hat.
    """
    return _closed_dx(dout, cache, _gradient(dout / cache.gamma, cache))


@misconception("batchnorm_backward", section="bn-closed")
def closed_gamma_twice(dout, cache):
    """It looks as if gamma is a factor of dx twice in train mode. Perhaps it is already part of
    the gradient you put in, and stands in front of the result as well.
    """
    return _closed_dx(dout, cache, _gradient(dout * cache.gamma, cache))


@misconception("batchnorm_backward", section="bn-closed")
def closed_divided_by_features(dout, cache):
    """It looks as if the means in dx divide by the number of features. They run down a column,
    as the statistics of the forward pass do. How many entries is that?
    """
    return _closed(dout, cache, count=dout.shape[1])


@misconception("batchnorm_backward", section="bn-closed")
def closed_sums_for_means(dout, cache):
    """It looks as if dx holds sums over the batch where means belong. With sums, the correction
    would outgrow the gradient itself in a large batch.
    """
    return _closed(dout, cache, count=1)


@misconception("batchnorm_backward", section="bn-axes")
def closed_means_over_rows(dout, cache):
    """It looks as if the means in dx run along each row, over the features. They belong to the
    statistics of the forward pass and run the way those do.
    """
    x_hat, std, _, _ = _parts(cache)
    d = cache.gamma * dout
    along_mean = d.mean(axis=1, keepdims=True)
    along_x_hat = (d * x_hat).mean(axis=1, keepdims=True)
    return _closed_dx(dout, cache, (d - along_mean - x_hat * along_x_hat) / std)


@misconception("batchnorm_backward", section="bn-axes")
def closed_means_over_the_table(dout, cache):
    """It looks as if each mean in dx is one number, taken over the whole table. The statistics of
    the forward pass were one a column; the means on the way back belong to them. Did you say
    along which axis to average?
    """
    x_hat, std, _, _ = _parts(cache)
    d = cache.gamma * dout
    return _closed_dx(dout, cache, (d - d.mean() - x_hat * (d * x_hat).mean()) / std)


@misconception("batchnorm_backward", section="bn-axes")
def closed_sums_over_the_table(dout, cache):
    """It looks as if each sum in dx is one number, taken over the whole table, and then divided by
    the number of samples. The statistics of the forward pass were one a column. Did you say
    along which axis to sum?
    """
    x_hat, std, n, _ = _parts(cache)
    d = cache.gamma * dout
    return _closed_dx(dout, cache, (d - d.sum() / n - x_hat * (d * x_hat).sum() / n) / std)


@misconception("batchnorm_backward", section="bn-in-code")
def closed_gamma_and_deviation_exchanged(dout, cache):
    """It looks as if gamma and the standard deviation have changed places in dx. Perhaps the cache
    is unpacked in another order than it was packed in. Give each part of it a name in one place
    only.
    """
    x_hat, std, n, _ = _parts(cache)
    d = std * dout
    along = x_hat * (d * x_hat).sum(axis=0) / n
    return _closed_dx(dout, cache, (d - d.sum(axis=0) / n - along) / cache.gamma)


@misconception("batchnorm_backward", section="bn-closed")
def closed_eps_missing(dout, cache):
    """It looks as if dx is divided by a standard deviation without eps in train mode. It has to
    be the number the forward pass divided by. Is it in your cache?
    """
    return _closed(dout, cache, std=np.sqrt(cache.stats.var))


@misconception("batchnorm_backward", section="bn-closed")
def closed_divided_by_variance(dout, cache):
    """It looks as if dx is divided by the variance, with eps, in train mode. Check the unit: a
    gradient with respect to x is in 1/unit of x.
    """
    return _closed(dout, cache, std=_parts(cache)[1] ** 2)


@misconception("batchnorm_backward", section="bn-biased")
def closed_unbiased(dout, cache):
    """It looks as if one mean in dx divides by one less than the number of samples. The forward
    pass divides by the number of samples itself, and the backward pass has to belong to it.
    """
    n = len(dout)
    return _closed(dout, cache, variance=n / (n - 1) if n > 1 else np.inf)


@misconception("batchnorm_backward", section="bn-affine-gradients")
def closed_dgamma_from_x(dout, cache):
    """It looks as if dgamma multiplies dout by x. By what is gamma multiplied in the forward pass?
    Your staged version has the same two gradients.
    """
    dx, _, dbeta = _closed(dout, cache)
    return dx, (dout * _parts(cache)[3]).sum(axis=0), dbeta


@misconception("batchnorm_backward", section="bn-affine-gradients")
def closed_parameter_gradients_averaged(dout, cache):
    """It looks as if dgamma and dbeta are means over the batch here. Means belong in dx; each
    parameter is used once in every row, and the gradients of all its uses add up.
    """
    dx, dgamma, dbeta = _closed(dout, cache)
    return dx, dgamma / len(dout), dbeta / len(dout)


@misconception("batchnorm_backward", section="bn-staged")
def closed_changes_dout(dout, cache):
    """It looks as if your code writes into dout itself, perhaps with an operator such as *= or
    -=. The array belongs to the caller, who may need it for another branch.
    """
    result = _closed(dout.copy(), cache)
    dout *= cache.gamma
    return result


def _in_test_mode(dout, cache, dx):
    """Both modes, with this dx in test mode."""
    return (dx, *_affine(dout, cache)) if cache.mode == "test" else _closed(dout, cache)


@misconception("batchnorm_backward", section="bn-backward-test")
def train_formula_in_test_mode(dout, cache):
    """It looks as if test mode uses the formula of train mode. There the running statistics
    were used, and no entry of this batch has any influence on them. What is left of the graph
    if they are constants?
    """
    return _in_test_mode(dout, cache, _gradient(dout, cache))


@misconception("batchnorm_backward", section="bn-backward-test")
def dout_passed_through_in_test_mode(dout, cache):
    """It looks as if test mode hands dout through unchanged. In test mode batch norm is still a
    multiplication and an addition for each feature, not the identity that dropout is.
    """
    return _in_test_mode(dout, cache, dout.copy())


@misconception("batchnorm_backward", section="bn-backward-test")
def gamma_missing_in_test_mode(dout, cache):
    """It looks as if gamma is missing from dx in test mode. The running statistics replace the
    batch's; everything else in the forward pass is as before.
    """
    return _in_test_mode(dout, cache, dout / cache.stats.std)


@misconception("batchnorm_backward", section="bn-backward-test")
def eps_missing_in_test_mode(dout, cache):
    """It looks as if dx leaves eps out in test mode. By what exactly did the forward pass
    divide?
    """
    return _in_test_mode(dout, cache, cache.gamma * dout / np.sqrt(cache.stats.var))


@misconception("batchnorm_backward", section="bn-backward-test")
def divided_by_variance_in_test_mode(dout, cache):
    """It looks as if dx is divided by the variance, with eps, in test mode. The forward pass
    took a root before it divided.
    """
    return _in_test_mode(dout, cache, cache.gamma * dout / cache.stats.std**2)


@misconception("batchnorm_backward", section="bn-affine-gradients")
def no_parameter_gradients_in_test_mode(dout, cache):
    """It looks as if dgamma and dbeta are zero in test mode. Whether they are used to learn is
    for the caller to decide. Gamma and beta act in both modes, so both have a gradient in
    both.
    """
    dx, dgamma, dbeta = _closed(dout, cache)
    if cache.mode == "test":
        dgamma, dbeta = np.zeros_like(dgamma), np.zeros_like(dbeta)
    return dx, dgamma, dbeta


# ---------------------------------------------------------------- spatial_batchnorm_forward


def _to_rows(x, order=(0, 2, 3, 1)):
    """Images as a table with one column a channel."""
    return x.transpose(order).reshape(-1, x.shape[1])


def _to_images(rows, shape):
    """Undo `_to_rows`."""
    n, c, h, w = shape
    return rows.reshape(n, h, w, c).transpose(0, 3, 1, 2)


def _wide(value):
    """One number a channel, shaped to broadcast against images."""
    return value.reshape(1, -1, 1, 1)


def _spatial(
    x,
    gamma,
    beta,
    bn_param,
    mean=lambda x: x.mean(axis=(0, 2, 3), keepdims=True),
    var=lambda x, mu: ((x - mu) ** 2).mean(axis=(0, 2, 3), keepdims=True),
    wide=_wide,
    stored=np.ravel,
    axes=(0, 2, 3),
):
    """Batch norm of images with its parts as arguments; right with the defaults."""
    mode, eps = bn_param["mode"], bn_param.get("eps", 1e-5)
    if mode == "train":
        momentum = bn_param.get("momentum", 0.9)
        mu = mean(x)
        variance = var(x, mu)
        for key, batch, start in (("mean", mu, np.zeros), ("var", variance, np.ones)):
            old = bn_param.get(f"running_{key}")
            old = start(batch.shape) if old is None else _wide(old)
            bn_param[f"running_{key}"] = stored(momentum * old + (1 - momentum) * batch)
    else:
        mu, variance = _wide(bn_param["running_mean"]), _wide(bn_param["running_var"])
    std = np.sqrt(variance + eps)
    x_hat = (x - mu) / std
    stats = StandardizeCache(x_hat, mu, variance, std, axes)
    out = wide(gamma) * x_hat + wide(beta)
    return out, BatchNormCache(stats, _wide(gamma), gamma.shape, mode)


def _through_rows(x, gamma, beta, bn_param, to_rows, to_images):
    """Batch norm of images by way of a table, the way there and the way back as arguments."""
    out, cache = _forward(to_rows(x), gamma, beta, bn_param)
    stats = cache.stats._replace(
        x_hat=to_images(cache.stats.x_hat),
        **{key: _wide(getattr(cache.stats, key)) for key in ("mean", "var", "std")},
        axes=(0, 2, 3),
    )
    return to_images(out), BatchNormCache(stats, _wide(gamma), gamma.shape, cache.mode)


@misconception("spatial_batchnorm_forward", section="bn-spatial-section")
def reshaped_without_transpose(x, gamma, beta, bn_param):
    """It looks as if x was reshaped to rows of C numbers without moving the channel axis to the
    end first. The shape is right, but a column then mixes pixels of all channels. Write down a
    tiny x and look at its first column.
    """
    c = x.shape[1]
    return _through_rows(
        x, gamma, beta, bn_param, lambda x: x.reshape(-1, c), lambda rows: rows.reshape(x.shape)
    )


@misconception("spatial_batchnorm_forward", section="bn-spatial-section")
def reshaped_back_without_transpose(x, gamma, beta, bn_param):
    """It looks as if the channels were moved to the end on the way in, but the way back is a
    reshape alone. A reshape never moves a number in memory; it draws the borders elsewhere. Undo
    the steps one by one, in reverse order.
    """
    return _through_rows(x, gamma, beta, bn_param, _to_rows, lambda rows: np.reshape(rows, x.shape))


@misconception("spatial_batchnorm_forward", section="bn-spatial-section")
def transposed_back_wrongly(x, gamma, beta, bn_param):
    """It looks as if the last transpose puts height and width in each other's place. To undo a
    transpose, ask of each axis where it came from. (With square images only the values would
    tell.)
    """
    return _through_rows(
        x,
        gamma,
        beta,
        bn_param,
        _to_rows,
        lambda rows: _to_images(rows, x.shape).transpose(0, 1, 3, 2),
    )


@misconception("spatial_batchnorm_forward", section="bn-spatial-section")
def height_and_width_confused(x, gamma, beta, bn_param):
    """It looks as if height and width are exchanged on the way to the table but not on the way
    back. The statistics are right, and the pixels come back in the wrong places.
    """
    return _through_rows(
        x,
        gamma,
        beta,
        bn_param,
        lambda x: _to_rows(x, order=(0, 3, 2, 1)),
        lambda rows: _to_images(rows, x.shape),
    )


@misconception("spatial_batchnorm_forward", section="bn-spatial-section")
def read_back_column_by_column(x, gamma, beta, bn_param):
    """It looks as if height and width are exchanged on the way back from the table: its rows are
    read as if each image had been written column by column. The statistics are right, and the
    pixels come back in the wrong places.
    """

    def to_images(rows):
        n, c, h, w = x.shape
        return rows.reshape(n, w, h, c).transpose(0, 3, 2, 1)

    return _through_rows(x, gamma, beta, bn_param, _to_rows, to_images)


@misconception("spatial_batchnorm_forward", section="bn-spatial-section")
def statistics_for_each_pixel(x, gamma, beta, bn_param):
    """It looks as if each pixel has statistics of its own, taken over the samples only. A
    convolution uses the same weights at every place, so all pixels of a channel are samples of
    one feature. How many means should there be?
    """
    return _spatial(
        x,
        gamma,
        beta,
        bn_param,
        mean=lambda x: x.mean(axis=0, keepdims=True),
        var=lambda x, mu: x.var(axis=0, keepdims=True),
        stored=lambda value: value[0],
        axes=(0,),
    )


@misconception("spatial_batchnorm_forward", section="bn-spatial-section")
def statistics_for_each_image(x, gamma, beta, bn_param):
    """It looks as if each image is standardized by itself: the statistics run over height and
    width only. That is instance normalization. What makes batch norm a norm over the batch?
    """
    return _spatial(
        x,
        gamma,
        beta,
        bn_param,
        mean=lambda x: x.mean(axis=(2, 3), keepdims=True),
        var=lambda x, mu: x.var(axis=(2, 3), keepdims=True),
        stored=lambda value: value.mean(axis=0).ravel(),
        axes=(2, 3),
    )


@misconception("spatial_batchnorm_forward", section="bn-spatial-section")
def statistics_over_channels(x, gamma, beta, bn_param):
    """It looks as if the statistics run over the channels: one mean for each pixel of each
    image. A channel is a feature, and features keep their statistics apart.
    """
    return _spatial(
        x,
        gamma,
        beta,
        bn_param,
        mean=lambda x: x.mean(axis=1, keepdims=True),
        var=lambda x, mu: x.var(axis=1, keepdims=True),
        stored=lambda value: value[:, 0],
        axes=(1,),
    )


@misconception("spatial_batchnorm_forward", section="bn-spatial-section")
def one_statistic_for_all_channels(x, gamma, beta, bn_param):
    """It looks as if all channels share one mean and one variance. A channel is a feature and
    has a mean and a variance of its own, so there should be as many as there are entries in
    gamma.
    """
    c = x.shape[1]
    return _spatial(
        x,
        gamma,
        beta,
        bn_param,
        mean=lambda x: x.mean(keepdims=True),
        var=lambda x, mu: x.var(keepdims=True),
        stored=lambda value: np.resize(value, c),
        axes=(0, 1, 2, 3),
    )


@misconception("spatial_batchnorm_forward", section="bn-spatial-section")
def pixels_not_counted(x, gamma, beta, bn_param):
    """It looks as if your sums run over samples and pixels, but are divided by the number of
    samples alone. How many entries does the mean of one channel run over?
    """
    n = len(x)

    def mean(x):
        return x.sum(axis=(0, 2, 3), keepdims=True) / n

    def var(x, mu):
        return ((x - mu) ** 2).sum(axis=(0, 2, 3), keepdims=True) / n

    return _spatial(x, gamma, beta, bn_param, mean=mean, var=var)


@misconception("spatial_batchnorm_forward", section="bn-spatial-section")
def gamma_on_the_last_axis(x, gamma, beta, bn_param):
    """It looks as if gamma and beta meet the last axis, which is the width. NumPy lines up
    shapes from the right, so (C,) against (N, C, H, W) pairs C with W. If the two happen to be
    equal there is not even an error.
    """
    return _spatial(x, gamma, beta, bn_param, wide=lambda value: value)


@misconception("spatial_batchnorm_forward", section="bn-spatial-section")
def running_statistics_in_image_shape(x, gamma, beta, bn_param):
    """It looks as if the running statistics are stored with four dimensions, shaped to broadcast
    against x. They hold one number a channel, and whoever saves or averages them expects shape
    (C,).
    """
    return _spatial(x, gamma, beta, bn_param, stored=lambda value: value)


# ---------------------------------------------------------------- spatial_batchnorm_backward


def _spatial_gradient(dout, cache, axes=(0, 2, 3), count=None, mean=1, variance=1):
    """The gradient of images, in both modes; the factors as in `_gradient`, for train mode."""
    x_hat, _, _, std, _ = cache.stats
    d = cache.gamma * dout
    if cache.mode == "test":
        return d / std
    count = np.prod([d.shape[axis] for axis in axes]) if count is None else count
    along_mean = d.sum(axis=axes, keepdims=True) / count
    along_x_hat = (d * x_hat).sum(axis=axes, keepdims=True) / count
    return (d - mean * along_mean - variance * x_hat * along_x_hat) / std


def _spatial_affine(dout, cache):
    return (dout * cache.stats.x_hat).sum(axis=(0, 2, 3)), dout.sum(axis=(0, 2, 3))


def _backward_through_rows(dout, cache, to_rows, to_images):
    """The backward pass by way of a table, the way there and the way back as arguments."""
    stats = cache.stats
    flat = BatchNormCache(
        StandardizeCache(to_rows(stats.x_hat), *(s.reshape(1, -1) for s in stats[1:4]), axes=(0,)),
        cache.gamma.reshape(1, -1),
        cache.gamma_shape,
        cache.mode,
    )
    dx, dgamma, dbeta = _closed(to_rows(dout), flat)
    return to_images(dx), dgamma, dbeta


@misconception("spatial_batchnorm_backward", section="bn-backward-spatial")
def backward_reshaped_without_transpose(dout, cache):
    """It looks as if dout was reshaped to rows of C numbers without moving the channel axis to
    the end first. The shape is right, but a column then mixes pixels of all channels. Go the
    same way as in the forward pass.
    """
    c = dout.shape[1]
    return _backward_through_rows(
        dout, cache, lambda x: x.reshape(-1, c), lambda rows: rows.reshape(dout.shape)
    )


@misconception("spatial_batchnorm_backward", section="bn-backward-spatial")
def dout_reshaped_without_transpose(dout, cache):
    """It looks as if dout was reshaped to rows of C numbers without moving the channel axis to
    the end first, while the forward pass did move it. Its rows then belong to other pixels than
    the rows of x_hat.
    """
    c = dout.shape[1]
    mixed = _to_images(dout.reshape(-1, c), dout.shape)
    return _spatial_gradient(mixed, cache), *_spatial_affine(mixed, cache)


@misconception("spatial_batchnorm_backward", section="bn-backward-spatial")
def dx_reshaped_back_without_transpose(dout, cache):
    """It looks as if dx was only reshaped on the way back to images. A reshape never moves a
    number in memory. Undo the steps of the way in one by one, in reverse order.
    """
    return _backward_through_rows(dout, cache, _to_rows, lambda rows: np.reshape(rows, dout.shape))


@misconception("spatial_batchnorm_backward", section="bn-backward-spatial")
def dx_height_and_width_confused(dout, cache):
    """It looks as if the last transpose of dx puts height and width in each other's place. To
    undo a transpose, ask of each axis where it came from.
    """
    return _backward_through_rows(
        dout,
        cache,
        _to_rows,
        lambda rows: _to_images(rows, dout.shape).transpose(0, 1, 3, 2),
    )


@misconception("spatial_batchnorm_backward", section="bn-backward-spatial")
def parameter_gradients_for_each_pixel(dout, cache):
    """It looks as if dgamma and dbeta are summed over the samples only. A channel's gamma is
    used at every pixel of every image, and the gradients of all its uses add up. What shape
    must the sum have?
    """
    dgamma, dbeta = (dout * cache.stats.x_hat).sum(axis=0), dout.sum(axis=0)
    return _spatial_gradient(dout, cache), dgamma, dbeta


@misconception("spatial_batchnorm_backward", section="bn-affine-gradients")
def spatial_dgamma_without_x_hat(dout, cache):
    """It looks as if dgamma is the sum of dout alone. That is the gradient of something that is
    added; gamma is a factor.
    """
    _, dbeta = _spatial_affine(dout, cache)
    return _spatial_gradient(dout, cache), dbeta, dbeta


@misconception("spatial_batchnorm_backward", section="bn-affine-gradients")
def spatial_dgamma_from_x(dout, cache):
    """It looks as if dgamma multiplies dout by x. By what is gamma multiplied in the forward
    pass?
    """
    x_hat, mu, _, std, _ = cache.stats
    dgamma = (dout * (x_hat * std + mu)).sum(axis=(0, 2, 3))
    return _spatial_gradient(dout, cache), dgamma, dout.sum(axis=(0, 2, 3))


@misconception("spatial_batchnorm_backward", section="bn-constants")
def spatial_statistics_held_constant(dout, cache):
    """It looks as if train mode treats the mean and the standard deviation as constants. Every
    pixel of a channel moves both, and through them the outputs of all other pixels.
    """
    dx = _spatial_gradient(dout, cache, mean=0, variance=0)
    return dx, *_spatial_affine(dout, cache)


@misconception("spatial_batchnorm_backward", section="bn-backward-spatial")
def gradient_for_each_pixel(dout, cache):
    """It looks as if the means in dx run over the samples only. They belong to the statistics of
    the forward pass and run over everything those ran over.
    """
    return _spatial_gradient(dout, cache, axes=(0,)), *_spatial_affine(dout, cache)


@misconception("spatial_batchnorm_backward", section="bn-backward-spatial")
def gradient_for_each_image(dout, cache):
    """It looks as if the means in dx run over the pixels of one image at a time. They belong to
    the statistics of the forward pass and run over everything those ran over.
    """
    return _spatial_gradient(dout, cache, axes=(2, 3)), *_spatial_affine(dout, cache)


@misconception("spatial_batchnorm_backward", section="bn-backward-spatial")
def pixels_not_counted_backward(dout, cache):
    """It looks as if the sums in dx are divided by the number of samples alone. How many entries
    does the mean of one channel run over?
    """
    return _spatial_gradient(dout, cache, count=len(dout)), *_spatial_affine(dout, cache)


@misconception("spatial_batchnorm_backward", section="bn-backward-test")
def spatial_train_formula_in_test_mode(dout, cache):
    """It looks as if test mode uses the formula of train mode. There the running statistics were
    used, and no pixel of this batch has any influence on them.
    """
    return _spatial_gradient(dout, cache._replace(mode="train")), *_spatial_affine(dout, cache)
