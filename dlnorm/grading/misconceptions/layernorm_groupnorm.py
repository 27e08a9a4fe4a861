"""Wrong variants of layer, group and instance norm. Each docstring is the hint a student reads.

The variants of a function share one private helper, which is right unless told otherwise; so
each of them shows what is wrong and nothing else. A wrong forward pass returns the reference's
kind of cache, because the reference's backward pass is run on it.
"""

from __future__ import annotations

import numpy as np

from dlnorm.grading.exercise import misconception
from dlnorm.groupnorm import GroupNormCache
from dlnorm.layernorm import (
    LayerNormCache,
    LayerNormRNNStepCache,
    layernorm_backward,
    layernorm_rnn_step_backward,
)
from dlnorm.standardize import StandardizeCache

# ---------------------------------------------------------------- row_statistics


@misconception("row_statistics", section="ln-axes")
def statistics_of_columns(x):
    """It looks as if you average down each column: one mean a feature. That is batch norm. Here
    a sample is compared with itself only. How many means are there for N samples, and which
    axis has to shrink to get them?
    """
    return x.mean(axis=0, keepdims=True), x.var(axis=0, keepdims=True)


@misconception("row_statistics", section="ln-axes")
def statistics_without_the_axis(x):
    """It looks as if the numbers are right and the averaged axis is gone: shape (N,). NumPy lines
    shapes up from the right, so x minus such a mean takes its entries for those of the columns:
    an error, or, if N and D happen to be equal, a wrong result without one.
    """
    return x.mean(axis=1), x.var(axis=1)


@misconception("row_statistics", section="ln-axes")
def statistics_of_the_whole(x):
    """It looks as if there is one mean and one variance for the whole table. Then the samples
    still depend on each other. Each of them needs statistics of its own.
    """
    return x.mean(), x.var()


@misconception("row_statistics", section="bn-biased")
def row_variance_unbiased(x):
    """It looks as if your variance divides by one less than the number of features. That
    estimates the variance of a population. Here the question is what the mean square deviation
    of these very numbers is; for a single feature it is 0, not 0/0.
    """
    with np.errstate(all="ignore"):
        return x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True, ddof=1)


@misconception("row_statistics", section="ln-algorithm")
def row_deviation(x):
    """It looks as if the second result is the standard deviation. The variance is asked for: in
    units of x squared, before any root.
    """
    return x.mean(axis=1, keepdims=True), x.std(axis=1, keepdims=True)


@misconception("row_statistics", section="ln-algorithm")
def row_mean_square(x):
    """It looks as if the second result is the mean of the squares of x. A variance measures the
    spread around the mean: adding 100 to a whole row must not change it. Does it change yours?
    """
    return x.mean(axis=1, keepdims=True), (x * x).mean(axis=1, keepdims=True)


@misconception("row_statistics", section="ln-algorithm")
def row_statistics_exchanged(x):
    """It looks as if the two results are right and come in the wrong order. The docstring says
    which is first.
    """
    return x.var(axis=1, keepdims=True), x.mean(axis=1, keepdims=True)


# ---------------------------------------------------------------- layernorm_forward


def _row_mean(x):
    return x.mean(axis=1, keepdims=True)


def _row_var(x):
    return x.var(axis=1, keepdims=True)


def _layer(
    x,
    gamma,
    beta,
    ln_param,
    mean=_row_mean,
    var=_row_var,
    std=lambda var, eps: np.sqrt(var + eps),
    affine=lambda gamma, x_hat, beta: gamma * x_hat + beta,
    centered=lambda x, mean: x - mean,
    axes=(1,),
):
    """Layer norm with its parts as arguments; right with the defaults."""
    mu, variance = mean(x), var(x)
    s = std(variance, ln_param.get("eps", 1e-5))
    x_hat = centered(x, mu) / s
    stats = StandardizeCache(x_hat, mu, variance, s, axes)
    return affine(gamma, x_hat, beta), LayerNormCache(stats, gamma.reshape(1, -1), gamma.shape)


@misconception("layernorm_forward", section="bn-eps")
def ln_eps_outside_the_root(x, gamma, beta, ln_param):
    """It looks as if eps is added to the standard deviation, after the root. For ordinary
    variances that hardly shows; for small ones it is another function. In what unit is eps:
    that of x, or that of x squared?
    """
    return _layer(x, gamma, beta, ln_param, std=lambda var, eps: np.sqrt(var) + eps)


@misconception("layernorm_forward", section="bn-eps")
def ln_eps_omitted(x, gamma, beta, ln_param):
    """It looks as if eps is missing from the denominator. A sample whose features are all equal
    would then be divided by zero, and with a single feature every sample is like that.
    """
    return _layer(x, gamma, beta, ln_param, std=lambda var, eps: np.sqrt(var))


@misconception("layernorm_forward", section="bn-eps")
def ln_eps_hard_coded(x, gamma, beta, ln_param):
    """It looks as if eps is always 1e-5, whatever ln_param says. That value is only the default,
    for an ln_param without the key.
    """
    return _layer(x, gamma, beta, ln_param, std=lambda var, eps: np.sqrt(var + 1e-5))


@misconception("layernorm_forward", section="ln-axes")
def ln_standardizes_columns(x, gamma, beta, ln_param):
    """It looks as if you standardize each column: one feature over the samples. That is batch
    normalization. In layer norm the other samples have no say at all. Which entries of x may
    your statistics for sample 0 touch?
    """
    return _layer(
        x,
        gamma,
        beta,
        ln_param,
        mean=lambda x: x.mean(axis=0, keepdims=True),
        var=lambda x: x.var(axis=0, keepdims=True),
        axes=(0,),
    )


@misconception("layernorm_forward", section="ln-axes")
def ln_standardizes_the_table(x, gamma, beta, ln_param):
    """It looks as if you use one mean and one variance for the whole table. Then a loud sample
    makes all others quiet. How many means does a table with N samples need?
    """
    return _layer(
        x,
        gamma,
        beta,
        ln_param,
        mean=lambda x: x.mean(keepdims=True),
        var=lambda x: x.var(keepdims=True),
        axes=(0, 1),
    )


@misconception("layernorm_forward", section="ln-parameters")
def ln_gamma_for_each_sample(x, gamma, beta, ln_param):
    """It looks as if gamma and beta meet the samples: all features of a row get the same scale
    and shift. Perhaps batch norm ran on the transposed table with gamma as it was. A feature
    has its gamma; a sample, which may be any sample, has none.
    """
    return _layer(
        x, gamma, beta, ln_param, affine=lambda g, x_hat, b: g[:, None] * x_hat + b[:, None]
    )


@misconception("layernorm_forward", section="ln-parameters")
def ln_first_gamma_for_all(x, gamma, beta, ln_param):
    """It looks as if one entry of gamma and one of beta serve all features. The statistics are
    shared along a row; scale and shift are not. What shape do gamma and beta have?
    """
    return _layer(x, gamma, beta, ln_param, affine=lambda g, x_hat, b: g[0] * x_hat + b[0])


@misconception("layernorm_forward", section="ln-algorithm")
def ln_divided_by_variance(x, gamma, beta, ln_param):
    """It looks as if you divide by the variance. If x is in meters, a variance is in square
    meters, and the result would be in 1/meter. After standardizing, x in meters and x in
    centimeters should give the same numbers.
    """
    return _layer(x, gamma, beta, ln_param, std=lambda var, eps: var + eps)


@misconception("layernorm_forward", section="ln-algorithm")
def ln_root_of_the_deviation(x, gamma, beta, ln_param):
    """It looks as if the root is taken twice: once on the way to a standard deviation, and once
    more when you divide. Under the root of the formula stands a variance. Which of the two did
    you compute?
    """
    return _layer(x, gamma, beta, ln_param, std=lambda var, eps: np.sqrt(np.sqrt(var) + eps))


@misconception("layernorm_forward", section="ln-axes")
def ln_statistics_without_the_axis(x, gamma, beta, ln_param):
    """It looks as if your mean and variance have lost the axis they were averaged along. NumPy
    lines shapes up from the right, so a mean of shape (N,) meets the columns: that of sample 3
    is subtracted from column 3. If N and D differ that is an error; if they are equal, only the
    numbers tell.
    """
    eps = ln_param.get("eps", 1e-5)
    x_hat = (x - x.mean(axis=1)) / np.sqrt(x.var(axis=1) + eps)
    return gamma * x_hat + beta, _layer(x, gamma, beta, ln_param)[1]


@misconception("layernorm_forward", section="bn-biased")
def ln_variance_unbiased(x, gamma, beta, ln_param):
    """It looks as if your variance divides by one less than the number of features. Then the
    standardized row has a variance that depends on how many features there are, and a single
    feature gives 0/0.
    """
    d = x.shape[1]
    ratio = d / (d - 1) if d > 1 else np.nan
    return _layer(x, gamma, beta, ln_param, var=lambda x: _row_var(x) * x.dtype.type(ratio))


@misconception("layernorm_forward", section="ln-algorithm")
def ln_mean_not_subtracted(x, gamma, beta, ln_param):
    """It looks as if you divide without subtracting the mean first. Without gamma and beta, what
    should the mean of each row of the result be, and what is it with your code?
    """
    return _layer(x, gamma, beta, ln_param, centered=lambda x, mean: x)


@misconception("layernorm_forward", section="ln-parameters")
def ln_beta_scaled_by_gamma(x, gamma, beta, ln_param):
    """It looks as if beta is added first and gamma multiplies the sum. Then the shift depends on
    the scale. With a single feature every x_hat is 0: what should come out then?
    """
    return _layer(x, gamma, beta, ln_param, affine=lambda g, x_hat, b: g * (x_hat + b))


@misconception("layernorm_forward", section="ln-parameters")
def ln_gamma_and_beta_forgotten(x, gamma, beta, ln_param):
    """It looks as if gamma and beta are not used: what comes out is the standardized x. They are
    learned parameters of the layer, in layer norm as in batch norm.
    """
    return _layer(x, gamma, beta, ln_param, affine=lambda g, x_hat, b: x_hat)


@misconception("layernorm_forward", section="ln-parameters")
def ln_gamma_and_beta_exchanged(x, gamma, beta, ln_param):
    """It looks as if gamma and beta have changed places. One is a scale and starts at 1, the
    other a shift and starts at 0; which is which?
    """
    return _layer(x, gamma, beta, ln_param, affine=lambda g, x_hat, b: b * x_hat + g)


@misconception("layernorm_forward", section="bn-cancellation")
def ln_mean_square_minus_squared_mean(x, gamma, beta, ln_param):
    """It looks as if your variance is the difference of two large, nearly equal numbers: the
    mean of the squares and the square of the mean. On paper that is right. In float32 most
    digits cancel when the mean is large against the spread. Can you subtract before you square?
    """
    return _layer(x, gamma, beta, ln_param, var=lambda x: _row_mean(x * x) - _row_mean(x) ** 2)


@misconception("layernorm_forward", section="bn-in-code")
def ln_changes_x(x, gamma, beta, ln_param):
    """It looks as if your code writes into x itself, perhaps with an operator such as -= or /=.
    The array belongs to the caller: the layer before needs it again in its own backward pass.
    """
    result = _layer(x.copy(), gamma, beta, ln_param)
    x += 1
    return result


@misconception("layernorm_forward", section="bn-in-code")
def ln_float64_for_float32(x, gamma, beta, ln_param):
    """It looks as if float32 data comes back as float64: somewhere an array of NumPy's default
    dtype takes part. Networks train in float32; one such layer doubles the memory of all that
    follow. Which array in your code was made without saying its dtype?
    """
    return _layer(*(a.astype(np.float64) for a in (x, gamma, beta)), ln_param)


@misconception("layernorm_forward", section="ln-no-batch")
def ln_squeezed(x, gamma, beta, ln_param):
    """It looks as if every axis of length 1 is taken out of your result, perhaps by a squeeze. A
    batch of one sample, or samples of one feature, then come back as a vector. Where did you
    want to drop an axis, and which one?
    """
    out, cache = _layer(x, gamma, beta, ln_param)
    return out.squeeze(), cache


@misconception("layernorm_forward", section="ln-no-batch")
def ln_remembered_statistics_at_test(x, gamma, beta, ln_param):
    """It looks as if mode "test" makes your code use running statistics, as batch norm does. A
    sample brings its own mean and variance along, at test time as well as in training. What is
    there to remember?
    """
    if ln_param.get("mode") != "test":
        return _layer(x, gamma, beta, ln_param)
    zeros = np.zeros((len(x), 1), x.dtype)
    return _layer(x, gamma, beta, ln_param, mean=lambda x: zeros, var=lambda x: zeros + 1)


@misconception("layernorm_forward", section="ln-no-batch")
def ln_identity_at_test(x, gamma, beta, ln_param):
    """It looks as if mode "test" switches your layer norm off: only gamma and beta are left.
    Dropout is switched off at test time, because it is noise. Layer norm is a part of the
    function that the network has learned.
    """
    if ln_param.get("mode") != "test":
        return _layer(x, gamma, beta, ln_param)
    _, cache = _layer(x, gamma, beta, ln_param)
    return gamma * x + beta, cache


# ---------------------------------------------------------------- who_depends_on_whom


def _other_row(row):
    """A sample that differs from `row` in more than its level and its scale."""
    return row + np.arange(1.0, row.size + 1) ** 2


def _influence(layer, x, change=_other_row, restore=True):
    """Change one sample at a time and look who notices; right with the defaults."""
    before, n = layer(x), len(x)
    depends = np.zeros((n, n), bool)
    changed = x.copy()
    for j in range(n):
        if restore:
            changed = x.copy()
        changed[j] = change(x[j])
        depends[:, j] = np.abs(layer(changed) - before).max(axis=1) > 1e-9
    return depends


@misconception("who_depends_on_whom", section="ln-no-batch")
def influence_transposed(layer, x):
    """It looks as if rows and columns are exchanged: your table says whom a sample moves, where
    it should say by whom a sample is moved. The docstring says which index is the cause.
    """
    return _influence(layer, x).T


@misconception("who_depends_on_whom", section="ln-axes")
def influence_of_a_shift(layer, x):
    """It looks as if you change a sample by adding the same number to all its features. Some
    layers do not notice that: a norm, for one, takes the mean away. So a real influence stays
    hidden. Choose a change that nothing can undo.
    """
    return _influence(layer, x, change=lambda row: row + 1)


@misconception("who_depends_on_whom", section="ln-axes")
def influence_of_a_scale(layer, x):
    """It looks as if you change a sample by multiplying all of it by one number. Some layers do not
    notice that: in a norm, the division takes nearly all of it away. So a real influence stays
    hidden. Choose a change that nothing can undo.
    """
    return _influence(layer, x, change=lambda row: 2 * row)


@misconception("who_depends_on_whom", section="ln-no-batch")
def influence_of_others_only(layer, x):
    """It looks as if a sample never counts as depending on itself. Usually it does, but not in
    every layer. Ask the layer there, too, instead of deciding it beforehand.
    """
    return _influence(layer, x) & ~np.eye(len(x), dtype=bool)


@misconception("who_depends_on_whom", section="ln-no-batch")
def influence_on_itself_assumed(layer, x):
    """It looks as if a sample always counts as depending on itself. Usually it does, but not in
    every layer. Ask the layer there, too, instead of deciding it beforehand.
    """
    return _influence(layer, x) | np.eye(len(x), dtype=bool)


@misconception("who_depends_on_whom", section="ln-no-batch")
def influence_on_itself_only(layer, x):
    """It looks as if you only look at the output of the sample you changed. The question is
    which of all the outputs moved.
    """
    return _influence(layer, x) & np.eye(len(x), dtype=bool)


@misconception("who_depends_on_whom", section="ln-no-batch")
def influence_of_all_changes_so_far(layer, x):
    """It looks as if a changed sample stays changed when the next one has its turn. The later
    answers then show what several samples did together. Start each time from the batch as it
    came.
    """
    return _influence(layer, x, restore=False)


@misconception("who_depends_on_whom", section="ln-no-batch")
def influence_changes_the_batch(layer, x):
    """It looks as if you change samples in x itself, and they stay changed. The later answers
    then show what several samples did together, and the caller's batch is gone. On what array
    could you try things out instead?
    """
    depends = _influence(layer, x, restore=False)
    for row in x:
        row[:] = _other_row(row)
    return depends


@misconception("who_depends_on_whom", section="ln-no-batch")
def influence_counts_what_stayed(layer, x):
    """It looks as if your table is True where the output stayed the same. Asked for is where it
    changed.
    """
    return ~_influence(layer, x)


# ---------------------------------------------------------------- layernorm_backward


def _parts(cache):
    """What a backward pass works with: x_hat, std, the number of features, and x."""
    x_hat, mean, _, std, _ = cache.stats
    return x_hat, std, x_hat.shape[1], x_hat * std + mean


def _gradient(dout, cache, direct=1, mean=1, variance=1, count=None, std=None, x_hat=None):
    """The gradient of x: three branches, each with a factor. 1 is right, 0 leaves it out."""
    own_x_hat, own_std, d, _ = _parts(cache)
    x_hat = own_x_hat if x_hat is None else x_hat
    count = d if count is None else count
    d = cache.gamma * dout
    along_mean = d.sum(axis=1, keepdims=True) / count
    along_x_hat = (d * x_hat).sum(axis=1, keepdims=True) / count
    dx = direct * d - mean * along_mean - variance * x_hat * along_x_hat
    return dx / (own_std if std is None else std)


def _affine(dout, cache):
    """The gradients of gamma and beta."""
    return (dout * cache.stats.x_hat).sum(axis=0), dout.sum(axis=0)


def _backward(dout, cache, **wrong):
    return _gradient(dout, cache, **wrong), *_affine(dout, cache)


@misconception("layernorm_backward", section="ln-affine-gradients")
def ln_parameter_gradients_per_sample(dout, cache):
    """It looks as if dgamma and dbeta are summed along each row: they have one entry a sample.
    The statistics run along a row, but gamma is shared by the samples. What shape does gamma
    have, and which axis has to disappear?
    """
    x_hat = cache.stats.x_hat
    return _gradient(dout, cache), (dout * x_hat).sum(axis=1), dout.sum(axis=1)


@misconception("layernorm_backward", section="ln-affine-gradients")
def ln_parameter_gradients_not_summed(dout, cache):
    """It looks as if dgamma and dbeta still have one row a sample. Every sample uses the same
    gamma, so what the samples send back to it has to come together in one number a feature.
    """
    return _gradient(dout, cache), dout * cache.stats.x_hat, dout.copy()


@misconception("layernorm_backward", section="ln-affine-gradients")
def ln_dgamma_from_x(dout, cache):
    """It looks as if dgamma multiplies dout by x. But gamma never sees x: by what is gamma
    multiplied in the forward pass?
    """
    x = _parts(cache)[3]
    return _gradient(dout, cache), (dout * x).sum(axis=0), dout.sum(axis=0)


@misconception("layernorm_backward", section="ln-affine-gradients")
def ln_dgamma_without_x_hat(dout, cache):
    """It looks as if dgamma is the sum of dout alone. That is the gradient of something that is
    added. Gamma is a factor: how much out changes with it depends on what it multiplies.
    """
    return _gradient(dout, cache), dout.sum(axis=0), dout.sum(axis=0)


@misconception("layernorm_backward", section="ln-affine-gradients")
def ln_dgamma_times_gamma(dout, cache):
    """It looks as if gamma itself is a factor in dgamma. Perhaps you started from the gradient
    of x_hat instead of from dout. The derivative of a product by one of its factors is the
    other factor.
    """
    dgamma, dbeta = _affine(dout, cache)
    return _gradient(dout, cache), dgamma * cache.gamma[0], dbeta


@misconception("layernorm_backward", section="ln-affine-gradients")
def ln_dbeta_averaged(dout, cache):
    """It looks as if dbeta is a mean over the samples. Beta is used once in every row, and the
    gradients of all its uses add up. If the loss is a mean over the batch, the division is
    already in dout.
    """
    return _gradient(dout, cache), _affine(dout, cache)[0], dout.mean(axis=0)


@misconception("layernorm_backward", section="ln-affine-gradients")
def ln_parameter_gradients_averaged(dout, cache):
    """It looks as if dgamma and dbeta are means over the samples. Both parameters are used once
    in every row, and the gradients of all their uses add up. If the loss is a mean over the
    batch, the division is already in dout.
    """
    dgamma, dbeta = _affine(dout, cache)
    return _gradient(dout, cache), dgamma / len(dout), dbeta / len(dout)


@misconception("layernorm_backward", section="ln-gradient")
def ln_gamma_outside_the_sums(dout, cache):
    """It looks as if gamma stands in front of the bracket, as in batch norm. There the means run
    down a column, where gamma is one number and can be taken out. Along a row every entry has a
    gamma of its own. May it still leave the mean?
    """
    d = dout / cache.gamma
    return cache.gamma * _gradient(d, cache), *_affine(dout, cache)


@misconception("layernorm_backward", section="ln-gradient")
def ln_means_down_the_columns(dout, cache):
    """It looks as if the means in dx run down the columns, over the samples. They belong to the
    statistics of the forward pass and run the way those do. Can the gradient of one sample
    depend on another one?
    """
    x_hat, std, _, _ = _parts(cache)
    d = cache.gamma * dout
    dx = (d - d.mean(axis=0) - x_hat * (d * x_hat).mean(axis=0)) / std
    return dx, *_affine(dout, cache)


@misconception("layernorm_backward", section="ln-gradient")
def ln_means_over_the_table(dout, cache):
    """It looks as if each mean in dx is one number, taken over the whole table. The statistics of
    the forward pass were one a sample; the means on the way back belong to them. Did you say
    along which axis to average?
    """
    x_hat, std, _, _ = _parts(cache)
    d = cache.gamma * dout
    return (d - d.mean() - x_hat * (d * x_hat).mean()) / std, *_affine(dout, cache)


@misconception("layernorm_backward", section="ln-gradient")
def ln_divided_by_samples(dout, cache):
    """It looks as if your sums run along the rows and are divided by the number of samples. How
    many entries does the mean of one row average?
    """
    return _backward(dout, cache, count=len(dout))


@misconception("layernorm_backward", section="ln-gradient")
def ln_dvar_without_dout(dout, cache):
    """It looks as if dout is missing where the path through the variance begins: your gradient
    of the variance is the same whatever the loss is. What arrives at that node from above?
    """
    x_hat, std, _, _ = _parts(cache)
    d = cache.gamma * dout
    dx = (d - _row_mean(d) - x_hat * _row_mean(cache.gamma * x_hat)) / std
    return dx, *_affine(dout, cache)


@misconception("layernorm_backward", section="ln-gradient")
def ln_only_the_mean_branch_left(dout, cache):
    """It looks as if only what came through the mean is left: dx has one number a sample. But x
    was used twice in the forward pass, in the mean and in the difference. Perhaps your last
    line overwrites what came the other way, where the two should be added.
    """
    along_mean = _row_mean(cache.gamma * dout)
    return -along_mean / _parts(cache)[1], *_affine(dout, cache)


@misconception("layernorm_backward", section="ln-gradient")
def ln_dx_left_transposed(dout, cache):
    """It looks as if dx comes back with samples and features exchanged. Perhaps you went by way
    of the transposed table and stayed there. A gradient has the shape of what it belongs to.
    """
    return _gradient(dout, cache).T.copy(), *_affine(dout, cache)


@misconception("layernorm_backward", section="ln-no-batch")
def ln_dx_squeezed(dout, cache):
    """It looks as if every axis of length 1 is taken out of dx, perhaps by a squeeze. For a
    batch of one sample a vector comes back. A gradient has the shape of what it belongs to.
    """
    return _gradient(dout, cache).squeeze(), *_affine(dout, cache)


@misconception("layernorm_backward", section="ln-gradient")
def ln_statistics_held_constant(dout, cache):
    """It looks as if you treat the mean and the standard deviation as constants. Both are
    computed from x, at test time as well, so every entry of a row moves them, and through them
    all other outputs of the row. Which arrows of the graph has your code not walked back?
    """
    return _backward(dout, cache, mean=0, variance=0)


@misconception("layernorm_backward", section="ln-gradient")
def ln_mean_path_missing(dout, cache):
    """It looks as if nothing comes back through the mean. Adding a constant to a whole row
    changes no output, so each row of dx has to sum to 0. Does yours?
    """
    return _backward(dout, cache, mean=0)


@misconception("layernorm_backward", section="ln-gradient")
def ln_variance_path_missing(dout, cache):
    """It looks as if nothing comes back through the variance. It is computed from x as well, and
    the centered x feeds both the numerator and, through the variance, the denominator.
    """
    return _backward(dout, cache, variance=0)


@misconception("layernorm_backward", section="ln-gradient")
def ln_gamma_left_out_of_dx(dout, cache):
    """It looks as if gamma is missing on the way back to x. In the forward pass x_hat is
    multiplied by it; what does that node do to a gradient?
    """
    return _gradient(dout / cache.gamma, cache), *_affine(dout, cache)


@misconception("layernorm_backward", section="ln-gradient")
def ln_gamma_twice(dout, cache):
    """It looks as if gamma takes part twice in dx: once in the gradient you start from, and once
    more in front of the result.
    """
    return cache.gamma * _gradient(dout, cache), *_affine(dout, cache)


@misconception("layernorm_backward", section="ln-gradient")
def ln_sums_not_divided(dout, cache):
    """It looks as if dx holds sums over the features where means belong. Mean and variance are
    averages, so each entry has only a small share in them.
    """
    return _backward(dout, cache, count=1)


@misconception("layernorm_backward", section="ln-gradient")
def ln_row_sums_forgotten(dout, cache):
    """It looks as if the gradients of the mean and of the variance still have one entry a
    feature. A sample has one mean and one variance, used by all its features: the gradients of
    all those uses add up to one number.
    """
    x_hat, std, count, _ = _parts(cache)
    d = cache.gamma * dout
    return (d - d / count - x_hat * d * x_hat / count) / std, *_affine(dout, cache)


@misconception("layernorm_backward", section="ln-gradient")
def ln_eps_missing_backward(dout, cache):
    """It looks as if eps is missing in the backward pass. The forward pass divided by a standard
    deviation with eps inside, and the way back has to use that same number. Is it in your
    cache?
    """
    with np.errstate(all="ignore"):
        std = np.sqrt(cache.stats.var)
        x_hat = cache.stats.x_hat * cache.stats.std / std
        return _backward(dout, cache, std=std, x_hat=x_hat)


@misconception("layernorm_backward", section="ln-gradient")
def ln_eps_missing_in_the_last_division(dout, cache):
    """It looks as if dx is divided by a standard deviation without eps. It has to be the number
    the forward pass divided by. Is it in your cache?
    """
    with np.errstate(all="ignore"):
        return _backward(dout, cache, std=np.sqrt(cache.stats.var))


@misconception("layernorm_backward", section="ln-gradient")
def ln_dx_divided_by_variance(dout, cache):
    """It looks as if dx is divided by the variance, with eps. Check the unit: a gradient with
    respect to x is in 1/unit of x.
    """
    return _backward(dout, cache, std=cache.stats.std**2)


@misconception("layernorm_backward", section="ln-gradient")
def ln_half_missing(dout, cache):
    """It looks as if the path through the variance is twice too strong. What is the derivative
    of a square root, and did all of it survive?
    """
    return _backward(dout, cache, variance=2)


@misconception("layernorm_backward", section="ln-gradient")
def ln_variance_path_sign(dout, cache):
    """It looks as if the path through the variance has the wrong sign. When the standard
    deviation grows, do the entries of x_hat grow or shrink in size?
    """
    return _backward(dout, cache, variance=-1)


@misconception("layernorm_backward", section="ln-gradient")
def ln_power_of_std_missing(dout, cache):
    """It looks as if the path through the variance has one power of the standard deviation too
    few in a denominator. Differentiate 1/s by s once more, and watch the exponent.
    """
    return _backward(dout, cache, variance=cache.stats.std)


@misconception("layernorm_backward", section="ln-gradient")
def ln_x_hat_factor_missing(dout, cache):
    """It looks as if the term that comes from the variance is one number for a whole row. A mean
    of products says how much of x_hat the gradient holds; it still has to be multiplied by
    something that differs from feature to feature.
    """
    x_hat, std, _, _ = _parts(cache)
    d = cache.gamma * dout
    return (d - _row_mean(d) - _row_mean(d * x_hat)) / std, *_affine(dout, cache)


@misconception("layernorm_backward", section="ln-gradient")
def ln_x_for_x_hat(dout, cache):
    """It looks as if the term that comes from the variance is made with x, where the
    standardized values belong. Which of the two has mean 0 and a spread of about 1?
    """
    return _backward(dout, cache, x_hat=_parts(cache)[3])


@misconception("layernorm_backward", section="bn-biased")
def ln_unbiased_backward(dout, cache):
    """It looks as if the path through the variance divides by one less than the number of
    features, while the forward pass divides by the number itself. Both have to belong to the
    same variance.
    """
    d = dout.shape[1]
    with np.errstate(all="ignore"):
        return _backward(dout, cache, variance=d / (d - 1) if d > 1 else np.nan)


@misconception("layernorm_backward", section="bn-in-code")
def ln_float64_dx(dout, cache):
    """It looks as if float32 data gets a float64 gradient: somewhere an array, or a single number,
    of NumPy's default types takes part. A Python number leaves a float32 array as it is; a
    number that NumPy made, such as an integer from one of its functions, may not.
    """
    dx, dgamma, dbeta = _backward(dout, cache)
    return dx.astype(np.float64), dgamma, dbeta


@misconception("layernorm_backward", section="bn-staged")
def ln_backward_changes_dout(dout, cache):
    """It looks as if your code writes into dout itself, perhaps with an operator such as *= or
    -=. The array belongs to the caller, who may need it for another branch.
    """
    result = _backward(dout.copy(), cache)
    dout *= cache.gamma
    return result


# ---------------------------------------------------------------- layernorm_rnn_step_forward


def _cell(x, h, Wx, Wh, gamma, beta, ln_param, a=None, norm=_layer, activation=np.tanh):
    """A step with its parts as arguments; right with the defaults."""
    a = h @ Wh + x @ Wx if a is None else a
    normed, cache = norm(a, gamma, beta, ln_param)
    return _stepped(x, h, Wx, Wh, cache, activation(normed))


def _stepped(x, h, Wx, Wh, norm_cache, next_h):
    return next_h, LayerNormRNNStepCache(x, h, Wx, Wh, norm_cache, 1 - next_h * next_h)


@misconception("layernorm_rnn_step_forward", section="ln-step")
def cell_statistics_over_the_batch(x, prev_h, Wx, Wh, gamma, beta, ln_param):
    """It looks as if each hidden unit is standardized over the batch. That is batch norm in a
    recurrent network, with all its questions: other samples have a say, and each time step
    would need running statistics. Over what does layer norm average?
    """
    return _cell(x, prev_h, Wx, Wh, gamma, beta, ln_param, norm=ln_standardizes_columns.function)


@misconception("layernorm_rnn_step_forward", section="ln-step")
def cell_statistics_shared(x, prev_h, Wx, Wh, gamma, beta, ln_param):
    """It looks as if all samples share one mean and one variance. A sequence would then be read
    differently depending on the sequences beside it. Each sample needs statistics of its own.
    """
    return _cell(x, prev_h, Wx, Wh, gamma, beta, ln_param, norm=ln_standardizes_the_table.function)


@misconception("layernorm_rnn_step_forward", section="ln-step")
def cell_normalizes_the_new_state(x, prev_h, Wx, Wh, gamma, beta, ln_param):
    """It looks as if the tanh comes first and its result is normalized. Then the tanh can still
    saturate, which is what the norm is there to prevent. In what order do the two stand in the
    formula of the exercise?
    """
    a = np.tanh(prev_h @ Wh + x @ Wx)
    return _cell(x, prev_h, Wx, Wh, gamma, beta, ln_param, a=a, activation=lambda y: y)


@misconception("layernorm_rnn_step_forward", section="ln-step")
def cell_normalizes_the_old_state(x, prev_h, Wx, Wh, gamma, beta, ln_param):
    """It looks as if the old hidden state is normalized before it meets its weights. What is
    normalized here is the sum that goes into the tanh, with the input's share in it.
    """
    normed, cache = _layer(prev_h, gamma, beta, ln_param)
    return _stepped(x, prev_h, Wx, Wh, cache, np.tanh(normed @ Wh + x @ Wx))


@misconception("layernorm_rnn_step_forward", section="ln-step")
def cell_normalizes_the_parts(x, prev_h, Wx, Wh, gamma, beta, ln_param):
    """It looks as if the share of the state and the share of the input are standardized one by
    one and added afterwards. Then the sum has a spread of its own again. How many means does
    one step have for each sample here?
    """
    eps = ln_param.get("eps", 1e-5)
    parts = (prev_h @ Wh, x @ Wx)
    _, cache = _layer(sum(parts), gamma, beta, ln_param)
    x_hat = sum((p - _row_mean(p)) / np.sqrt(_row_var(p) + eps) for p in parts)
    return _stepped(x, prev_h, Wx, Wh, cache, np.tanh(gamma * x_hat + beta))


@misconception("layernorm_rnn_step_forward", section="ln-step")
def cell_normalizes_the_recurrent_part(x, prev_h, Wx, Wh, gamma, beta, ln_param):
    """It looks as if only the share that comes from the old state is normalized, and the input's
    share is added behind the norm. A loud input can then still saturate the tanh. What is the
    argument of the norm in the formula?
    """
    normed, cache = _layer(prev_h @ Wh, gamma, beta, ln_param)
    return _stepped(x, prev_h, Wx, Wh, cache, np.tanh(normed + x @ Wx))


@misconception("layernorm_rnn_step_forward", section="ln-step")
def cell_without_tanh(x, prev_h, Wx, Wh, gamma, beta, ln_param):
    """It looks as if the tanh is missing. Gamma and beta are not the last thing that happens in
    a step; without a nonlinearity the state could also grow without limit.
    """
    return _cell(x, prev_h, Wx, Wh, gamma, beta, ln_param, activation=lambda y: y)


@misconception("layernorm_rnn_step_forward", section="ln-step")
def cell_gamma_behind_the_tanh(x, prev_h, Wx, Wh, gamma, beta, ln_param):
    """It looks as if gamma and beta act on the result of the tanh. They belong to the norm and
    decide which part of the tanh is used; behind it they would change the range of the state
    instead.
    """
    ones, zeros = np.ones_like(gamma), np.zeros_like(beta)
    _, cache = _layer(prev_h @ Wh + x @ Wx, ones, zeros, ln_param)
    return _stepped(x, prev_h, Wx, Wh, cache, gamma * np.tanh(cache.stats.x_hat) + beta)


@misconception("layernorm_rnn_step_forward", section="ln-parameters")
def cell_gamma_and_beta_forgotten(x, prev_h, Wx, Wh, gamma, beta, ln_param):
    """It looks as if gamma and beta are not used. Without them no hidden unit could choose in which
    part of its tanh it works.
    """
    ones, zeros = np.ones_like(gamma), np.zeros_like(beta)
    return _cell(x, prev_h, Wx, Wh, ones, zeros, ln_param)


@misconception("layernorm_rnn_step_forward", section="ln-step")
def cell_not_normalized(x, prev_h, Wx, Wh, gamma, beta, ln_param):
    """It looks as if this is the step without its norm: nothing is centered and nothing divided.
    Which of your functions was meant to be called here, and is its result used?
    """
    _, cache = _layer(prev_h @ Wh + x @ Wx, gamma, beta, ln_param)
    return _stepped(x, prev_h, Wx, Wh, cache, np.tanh(prev_h @ Wh + x @ Wx))


@misconception("layernorm_rnn_step_forward", section="ln-step")
def cell_old_state_forgotten(x, prev_h, Wx, Wh, gamma, beta, ln_param):
    """It looks as if the old state has no share in the new one. Then the network remembers
    nothing of the steps before.
    """
    return _cell(x, prev_h, Wx, Wh, gamma, beta, ln_param, a=x @ Wx)


@misconception("layernorm_rnn_step_forward", section="ln-step")
def cell_recurrent_weights_transposed(x, prev_h, Wx, Wh, gamma, beta, ln_param):
    """It looks as if the recurrent weights are used transposed. The matrix is square, so nothing
    complains. In both weight matrices each column holds the weights of one hidden unit.
    """
    return _cell(x, prev_h, Wx, Wh, gamma, beta, ln_param, a=prev_h @ Wh.T + x @ Wx)


@misconception("layernorm_rnn_step_forward", section="bn-eps")
def cell_ignores_ln_param(x, prev_h, Wx, Wh, gamma, beta, ln_param):
    """It looks as if eps is always 1e-5 in the step, whatever ln_param says. Is ln_param handed
    on to your layer norm?
    """
    return _cell(x, prev_h, Wx, Wh, gamma, beta, {})


@misconception("layernorm_rnn_step_forward", section="ln-time")
def cell_statistics_over_time(x, prev_h, Wx, Wh, gamma, beta, ln_param):
    """It looks as if the statistics of earlier steps have a share in those of a later one:
    something is kept between two calls. Each step standardizes with its own numbers, so a
    sequence can be of any length and a step gives the same result wherever it stands.
    """
    a = prev_h @ Wh + x @ Wx
    past = ln_param.setdefault("past", [])
    past.append((_row_mean(a), _row_var(a)))
    mean, var = (sum(values) / len(past) for values in zip(*past, strict=True))

    def norm(a, gamma, beta, ln_param):
        return _layer(a, gamma, beta, ln_param, mean=lambda a: mean, var=lambda a: var)

    return _cell(x, prev_h, Wx, Wh, gamma, beta, ln_param, norm=norm)


@misconception("layernorm_rnn_step_forward", section="bn-in-code")
def cell_overwrites_the_state(x, prev_h, Wx, Wh, gamma, beta, ln_param):
    """It looks as if the new state is written into the array of the old one. The backward pass
    needs the old state, and it belongs to the caller.
    """
    result = _cell(x, prev_h.copy(), Wx, Wh, gamma, beta, ln_param)
    prev_h[:] = result[0]
    return result


# ---------------------------------------------------------------- layernorm_rnn_step_backward


def _step_back(dnext_h, cache, slope=None, da=None, for_state=None):
    """The gradients of a step with its parts as arguments; right with the defaults."""
    dy = dnext_h * (cache.slope if slope is None else slope)
    right_da, dgamma, dbeta = layernorm_backward(dy, cache.norm)
    da = right_da if da is None else da(dy)
    dx, dprev_h = da @ cache.Wx.T, (da if for_state is None else for_state(dy)) @ cache.Wh.T
    return dx, dprev_h, cache.x.T @ da, cache.prev_h.T @ da, dgamma, dbeta


def _except(result, **others):
    """`result` of a step back with some of its gradients replaced."""
    names = ("dx", "dprev_h", "dWx", "dWh", "dgamma", "dbeta")
    return tuple(others.get(name, value) for name, value in zip(names, result, strict=True))


@misconception("layernorm_rnn_step_backward", section="ln-step")
def cell_state_gradient_past_the_norm(dh, cache):
    """It looks as if the gradient of the old state does not go through the norm: it goes
    straight from the tanh to the weights. The state's share was standardized together with the
    input's, so it has to take the same way back.
    """
    return _step_back(dh, cache, for_state=lambda dy: cache.norm.gamma * dy)


@misconception("layernorm_rnn_step_backward", section="ln-time")
def cell_state_gradient_cut(dh, cache):
    """It looks as if no gradient reaches the old state. It has a share in the sum that was
    normalized, and if nothing comes back to it, the steps before cannot learn from this one.
    """
    result = _step_back(dh, cache)
    return _except(result, dprev_h=np.zeros_like(result[1]))


@misconception("layernorm_rnn_step_backward", section="ln-step")
def cell_norm_skipped_on_the_way_back(dh, cache):
    """It looks as if the gradient goes from the tanh to the weights without passing the norm. In
    the forward pass the norm stands between the two. Which of your functions takes a gradient
    back through it?
    """
    return _step_back(dh, cache, da=lambda dy: dy)


@misconception("layernorm_rnn_step_backward", section="ln-step")
def cell_statistics_held_constant(dh, cache):
    """It looks as if the mean and the standard deviation of the step are treated as constants.
    They are computed from the sum of this very step, at every step anew. Does your code call
    your backward pass of layer norm?
    """
    norm = cache.norm
    return _step_back(dh, cache, da=lambda dy: norm.gamma * dy / norm.stats.std)


@misconception("layernorm_rnn_step_backward", section="ln-step")
def cell_slope_missing(dh, cache):
    """It looks as if the derivative of the tanh is missing. It is the last thing that happened
    in the step, so it is the first to be undone.
    """
    return _step_back(dh, cache, slope=1)


@misconception("layernorm_rnn_step_backward", section="ln-step")
def cell_slope_of_the_sum(dh, cache):
    """It looks as if the derivative of the tanh is taken from the sum that goes into the norm.
    The short formula for that derivative needs the value of the tanh itself: the new state.
    """
    a = cache.prev_h @ cache.Wh + cache.x @ cache.Wx
    return _step_back(dh, cache, slope=1 - a * a)


@misconception("layernorm_rnn_step_backward", section="ln-step")
def cell_slope_with_a_second_tanh(dh, cache):
    """It looks as if the derivative of the tanh is taken at the new state, through one more tanh.
    The new state is the value of the tanh already; the short formula for the derivative takes
    that value as it is.
    """
    size_of_next_h = np.sqrt(1 - cache.slope)
    return _step_back(dh, cache, slope=1 - np.tanh(size_of_next_h) ** 2)


@misconception("layernorm_rnn_step_backward", section="ln-step")
def cell_slope_behind_the_norm(dh, cache):
    """It looks as if the derivative of the tanh comes behind the norm on the way back. Going
    forward, the tanh was the last step; the way back undoes the last step first.
    """
    da, dgamma, dbeta = layernorm_backward(dh, cache.norm)
    da = da * cache.slope
    dx, dprev_h = da @ cache.Wx.T, da @ cache.Wh.T
    return dx, dprev_h, cache.x.T @ da, cache.prev_h.T @ da, dgamma, dbeta


@misconception("layernorm_rnn_step_backward", section="ln-affine-gradients")
def cell_parameter_gradients_before_the_tanh(dh, cache):
    """It looks as if dgamma and dbeta are made from the gradient as it arrives, before it has
    passed the tanh. Gamma and beta act in front of the tanh. Which gradient reaches them?
    """
    result = _step_back(dh, cache)
    dgamma, dbeta = _affine(dh, cache.norm)
    return _except(result, dgamma=dgamma, dbeta=dbeta)


@misconception("layernorm_rnn_step_backward", section="ln-affine-gradients")
def cell_parameter_gradients_per_sample(dh, cache):
    """It looks as if dgamma and dbeta are summed over the hidden units: they have one entry a
    sample. What shape does gamma have, and who shares an entry of it?
    """
    dy = dh * cache.slope
    result = _step_back(dh, cache)
    dgamma = (dy * cache.norm.stats.x_hat).sum(axis=1)
    return _except(result, dgamma=dgamma, dbeta=dy.sum(axis=1))


@misconception("layernorm_rnn_step_backward", section="ln-step")
def cell_weights_not_transposed(dh, cache):
    """It looks as if the gradient is sent back to the old state with the recurrent weights as
    they are. The matrix is square, so nothing complains. Going forward, unit j is reached from
    all units; which entries of the matrix lead from one old unit to all new ones?
    """
    result = _step_back(dh, cache)
    da, _, _ = layernorm_backward(dh * cache.slope, cache.norm)
    return _except(result, dprev_h=da @ cache.Wh)


@misconception("layernorm_rnn_step_backward", section="ln-step")
def cell_recurrent_gradient_transposed(dh, cache):
    """It looks as if the gradient of the recurrent weights comes back transposed. The matrix is
    square, so its shape says nothing. Each column holds the weights of one hidden unit; the
    gradient of those weights belongs into the same column.
    """
    result = _step_back(dh, cache)
    return _except(result, dWh=result[3].T)


@misconception("layernorm_rnn_step_backward", section="ln-step")
def cell_weight_gradients_past_the_norm(dh, cache):
    """It looks as if the gradients of the weights are made from what comes out of the tanh,
    without going through the norm. What did the products with the weights flow into?
    """
    dy = dh * cache.slope
    result = _step_back(dh, cache)
    return _except(result, dWx=cache.x.T @ dy, dWh=cache.prev_h.T @ dy)


@misconception("layernorm_rnn_step_backward", section="ln-step")
def cell_weight_gradients_averaged(dh, cache):
    """It looks as if the gradients of the weights are means over the batch. The weights are used
    once for every sample, and the gradients of all those uses add up. If the loss is a mean,
    the division is already in the gradient that arrives.
    """
    result = _step_back(dh, cache)
    return _except(result, dWx=result[2] / len(dh), dWh=result[3] / len(dh))


@misconception("layernorm_rnn_step_backward", section="bn-staged")
def cell_changes_the_gradient(dh, cache):
    """It looks as if your code writes into the gradient it was handed, perhaps with an operator
    such as *=. The array belongs to the caller.
    """
    result = _step_back(dh.copy(), cache)
    dh *= cache.slope
    return result


# ---------------------------------------------------------------- layernorm_rnn_backward


def _add(t, direct, later):
    return direct + later


def _summed(parts):
    return [sum(terms) for terms in zip(*parts, strict=True)]


def _through_time(dh, caches, arrives=_add, shared=_summed, order=None, carries=None):
    """Back through time with its parts as arguments; right with the defaults.

    `arrives` makes one gradient of the two that meet at the state after step t, `carries` says
    what goes on to the step before, `shared` what becomes of the steps' shares in a parameter.
    """
    steps = len(caches)
    order = list(reversed(range(steps))) if order is None else order
    later = np.zeros_like(dh[:, 0])
    dx, parts = np.empty((len(dh), steps, caches[0].x.shape[1]), dh.dtype), []
    for t in order:
        direct = dh[:, t].copy()
        dx[:, t], back, *here = layernorm_rnn_step_backward(arrives(t, direct, later), caches[t])
        later = back if carries is None else carries(direct, caches[t], back)
        parts.append(here)
    return dx, later, *shared(parts)


@misconception("layernorm_rnn_backward", section="ln-time")
def time_dgamma_not_accumulated(dh, caches):
    """It looks as if dgamma and dbeta hold the share of one step only, while the weights get
    those of all steps. Gamma and beta are the same at every step, and the gradients of all
    their uses add up.
    """

    def shared(parts):
        dWx, dWh, _, _ = _summed(parts)
        return dWx, dWh, parts[-1][2], parts[-1][3]

    return _through_time(dh, caches, shared=shared)


@misconception("layernorm_rnn_backward", section="ln-time")
def time_only_the_first_step_counts(dh, caches):
    """It looks as if the gradients of weights, gamma and beta are those of the first step alone.
    Perhaps each pass of your loop overwrites what the one before had found. All steps use the
    same parameters; what follows for their gradients?
    """
    return _through_time(dh, caches, shared=lambda parts: parts[-1])


@misconception("layernorm_rnn_backward", section="ln-time")
def time_only_the_last_step_counts(dh, caches):
    """It looks as if the gradients of weights, gamma and beta are those of the last step alone.
    All steps use the same parameters; what follows for their gradients?
    """
    return _through_time(dh, caches, shared=lambda parts: parts[0])


@misconception("layernorm_rnn_backward", section="ln-time")
def time_shared_gradients_averaged(dh, caches):
    """It looks as if what the steps send to the shared parameters is averaged. The gradients of
    all uses of a parameter add up, however many there are.
    """
    steps = len(caches)
    return _through_time(
        dh, caches, shared=lambda parts: [total / steps for total in _summed(parts)]
    )


@misconception("layernorm_rnn_backward", section="ln-time")
def time_gamma_for_each_step(dh, caches):
    """It looks as if dgamma and dbeta have one row a time step, as if each step had its own
    gamma. There is one gamma for the whole sequence. Otherwise no sequence could be longer than
    those in the training set.
    """

    def shared(parts):
        dWx, dWh, _, _ = _summed(parts)
        return dWx, dWh, *(np.stack([p[k] for p in parts[::-1]]) for k in (2, 3))

    return _through_time(dh, caches, shared=shared)


@misconception("layernorm_rnn_backward", section="ln-time")
def time_nothing_carried_back(dh, caches):
    """It looks as if each step is walked back by itself: what a step sends to the state before
    it is not used there. A state acts on the loss at once and through every later step.
    """
    return _through_time(dh, caches, arrives=lambda t, direct, later: direct)


@misconception("layernorm_rnn_backward", section="ln-time")
def time_direct_gradient_overwritten(dh, caches):
    """It looks as if a state gets only what the step behind it sends, and its own entry of dh is
    lost, except at the end. The loss looks at every state directly as well. What becomes of two
    gradients that meet at one value?
    """
    last = len(caches) - 1
    return _through_time(
        dh, caches, arrives=lambda t, direct, later: direct if t == last else later
    )


@misconception("layernorm_rnn_backward", section="ln-time")
def time_carried_one_step_only(dh, caches):
    """It looks as if a gradient travels one step back and no further. What a step sends to the
    state before it has to include what it received from the steps behind it.
    """

    def carries(direct, cache, _):
        return layernorm_rnn_step_backward(direct, cache)[1]

    return _through_time(dh, caches, carries=carries)


@misconception("layernorm_rnn_backward", section="ln-time")
def time_first_step_first(dh, caches):
    """It looks as if your loop runs from the first step to the last. A state receives a gradient
    from the step behind it, so that step has to be done before. In which order is a chain of
    operations walked back?
    """
    return _through_time(dh, caches, order=range(len(caches)))


@misconception("layernorm_rnn_backward", section="ln-time")
def time_dx_in_the_order_of_the_loop(dh, caches):
    """It looks as if dx is stacked in the order in which your loop found it, the last step first.
    Its entry t has to belong to the input of step t.
    """
    dx, *rest = _through_time(dh, caches)
    return dx[:, ::-1].copy(), *rest


@misconception("layernorm_rnn_backward", section="ln-time")
def time_dx_with_time_first(dh, caches):
    """It looks as if time is the first axis of dx. The docstring has the samples first, then the
    time, as in dh. Along which axis are the steps put together?
    """
    dx, *others = _through_time(dh, caches)
    return dx.transpose(1, 0, 2).copy(), *others


@misconception("layernorm_rnn_backward", section="ln-time")
def time_start_state_without_gradient(dh, caches):
    """It looks as if the gradient of the first state is always 0. It is an input of the first
    step like any other state; in an encoder and decoder, for example, it carries all that the
    other network said.
    """
    dx, dh0, *rest = _through_time(dh, caches)
    return dx, np.zeros_like(dh0), *rest


@misconception("layernorm_rnn_backward", section="bn-staged")
def time_changes_dh(dh, caches):
    """It looks as if your code adds into dh itself, perhaps with an operator such as += on a
    slice of it: a slice is no copy. The array belongs to the caller.
    """
    result = _through_time(dh.copy(), caches)
    dh[:, 0] += 1
    return result


# ---------------------------------------------------------------- spatial_groupnorm_forward


def _wide(value):
    """One number a channel, shaped to broadcast against images."""
    return value.reshape(1, -1, 1, 1)


def _neighbors(x, G):
    """Channels in G groups of neighbors: (N, G, C/G, H, W)."""
    n, c, h, w = x.shape
    if c % G:
        raise ValueError("G must divide C")
    return x.reshape(n, G, c // G, h, w)


def _group(
    x,
    gamma,
    beta,
    G,
    gn_param,
    split=_neighbors,
    join=np.reshape,
    axes=(2, 3, 4),
    mean=None,
    var=None,
    std=lambda var, eps: np.sqrt(var + eps),
    affine=lambda gamma, x_hat, beta: _wide(gamma) * x_hat + _wide(beta),
):
    """Group norm with its parts as arguments; right with the defaults."""
    grouped = split(x, G)
    mu = grouped.mean(axis=axes, keepdims=True) if mean is None else mean(grouped)
    variance = grouped.var(axis=axes, keepdims=True) if var is None else var(grouped)
    s = std(variance, gn_param.get("eps", 1e-5))
    standardized = (grouped - mu) / s
    x_hat = join(standardized, x.shape)
    kept = _neighbors(x_hat, G)
    if grouped.shape != kept.shape:  # for the reference's backward pass: its groups, not these
        mu, variance, s = (
            np.resize(value, (*kept.shape[:2], 1, 1, 1)) for value in (mu, variance, s)
        )
    stats = StandardizeCache(kept, mu, variance, s, (2, 3, 4))
    wide_gamma = gamma.reshape(1, G, -1, 1, 1)
    return affine(gamma, x_hat, beta), GroupNormCache(stats, wide_gamma, gamma.shape)


@misconception("spatial_groupnorm_forward", section="gn-groups")
def gn_each_pixel_over_its_group(x, gamma, beta, G, gn_param):
    """It looks as if each pixel has statistics of its own, taken over the channels of the group
    only. Height and width are left out. How many means are there for one image with G groups?
    """
    return _group(x, gamma, beta, G, gn_param, axes=(2,))


@misconception("spatial_groupnorm_forward", section="gn-groups")
def gn_groups_ignored(x, gamma, beta, G, gn_param):
    """It looks as if G is not used: all channels of an image share one mean and one variance, as
    if there were a single group. Where in your code does the number of groups decide anything?
    """
    return _group(x, gamma, beta, G, gn_param, axes=(1, 2, 3, 4))


@misconception("spatial_groupnorm_forward", section="gn-groups")
def gn_every_channel_alone(x, gamma, beta, G, gn_param):
    """It looks as if each channel is standardized by itself. That is instance normalization, the
    case of as many groups as channels. Here the channels of a group share their mean and
    variance.
    """
    return _group(x, gamma, beta, G, gn_param, axes=(3, 4))


@misconception("spatial_groupnorm_forward", section="gn-parameters")
def gn_gamma_in_seven_dimensions(x, gamma, beta, G, gn_param):
    """It looks as if new axes were put around gamma and beta without asking which they had. If
    gamma comes with four axes already, the result has seven. A way of shaping it that does not
    depend on what came would serve both.
    """

    def affine(g, x_hat, b):
        new = (None, slice(None), None, None)
        return g[new] * x_hat + b[new]

    return _group(x, gamma, beta, G, gn_param, affine=affine)


def _with_parameters(x, gamma, beta, G, gn_param, order):
    """Group norm with the entries of gamma and beta in another order, or others repeated."""
    ordered = [order(value.ravel()) for value in (gamma, beta)]
    out, cache = _group(x, *ordered, G, gn_param)
    return out, cache._replace(gamma_shape=gamma.shape)


@misconception("spatial_groupnorm_forward", section="gn-parameters")
def gn_gamma_in_another_order(x, gamma, beta, G, gn_param):
    """It looks as if the entries of gamma and beta reach the wrong channels: they run through
    the groups first and through the channels of a group second. Channel c is scaled by entry c.
    Which of the two axes of a group runs faster in memory?
    """
    return _with_parameters(
        x, gamma, beta, G, gn_param, lambda value: value.reshape(-1, G).T.ravel()
    )


@misconception("spatial_groupnorm_forward", section="gn-parameters")
def gn_gamma_for_each_group(x, gamma, beta, G, gn_param):
    """It looks as if all channels of a group share one gamma and one beta. They share the
    statistics; scale and shift stay one a channel. How many entries does gamma have?
    """
    c = x.shape[1]
    return _with_parameters(x, gamma, beta, G, gn_param, lambda value: np.repeat(value[:G], c // G))


@misconception("spatial_groupnorm_forward", section="gn-parameters")
def gn_gamma_repeated_for_each_group(x, gamma, beta, G, gn_param):
    """It looks as if every group uses the same few entries of gamma and beta, those of the first
    group. Each channel has a gamma of its own, whatever group it is in.
    """
    c = x.shape[1]
    return _with_parameters(x, gamma, beta, G, gn_param, lambda value: np.tile(value[: c // G], G))


@misconception("spatial_groupnorm_forward", section="gn-parameters")
def gn_gamma_on_the_last_axis(x, gamma, beta, G, gn_param):
    """It looks as if gamma and beta meet the last axis, which is the width. NumPy lines up
    shapes from the right, so (C,) against (N, C, H, W) pairs C with W. If the two happen to be
    equal there is not even an error.
    """
    return _group(
        x, gamma, beta, G, gn_param, affine=lambda gamma, x_hat, beta: gamma * x_hat + beta
    )


@misconception("spatial_groupnorm_forward", section="gn-groups")
def gn_groups_interleaved(x, gamma, beta, G, gn_param):
    """It looks as if every G-th channel is in the same group. A group is made of neighboring
    channels: the first few are the first group. If you split the channel axis in two, which of
    the two new axes comes first?
    """

    def split(x, G):
        return _neighbors(x, x.shape[1] // G).swapaxes(1, 2) if not x.shape[1] % G else _bad(G)

    return _group(
        x,
        gamma,
        beta,
        G,
        gn_param,
        split=split,
        join=lambda grouped, shape: grouped.swapaxes(1, 2).reshape(shape),
    )


def _bad(G):
    raise ValueError(f"{G} groups")


@misconception("spatial_groupnorm_forward", section="gn-groups")
def gn_sizes_exchanged(x, gamma, beta, G, gn_param):
    """It looks as if G is taken for the number of channels in a group. It is the number of
    groups: with G = 1 all channels are in one. Which two sizes did the channel axis split into,
    and in what order?
    """

    def split(x, G):
        return _bad(G) if x.shape[1] % G else _neighbors(x, x.shape[1] // G)

    return _group(x, gamma, beta, G, gn_param, split=split)


@misconception("spatial_groupnorm_forward", section="gn-groups")
def gn_down_the_table_of_groups(x, gamma, beta, G, gn_param):
    """It looks as if x becomes a table with one row for each group of each sample, as it should,
    and is then standardized down its columns. A column holds one entry of every group. Which
    numbers are to be compared with each other?
    """

    def down(reduce):
        return lambda grouped: reduce(grouped, axis=(0, 1), keepdims=True)

    return _group(x, gamma, beta, G, gn_param, mean=down(np.mean), var=down(np.var))


@misconception("spatial_groupnorm_forward", section="gn-small-batches")
def gn_over_the_batch_too(x, gamma, beta, G, gn_param):
    """It looks as if the statistics run over the samples as well. Then an image is seen
    differently in other company, which is what group norm was invented to avoid. What may the
    mean of one image depend on?
    """
    return _group(x, gamma, beta, G, gn_param, axes=(0, 2, 3, 4))


@misconception("spatial_groupnorm_forward", section="gn-small-batches")
def gn_remembered_statistics_at_test(x, gamma, beta, G, gn_param):
    """It looks as if mode "test" makes your code use running statistics, as batch norm does. An
    image brings its own statistics along, at test time as well as in training. What is there to
    remember?
    """
    if gn_param.get("mode") != "test":
        return _group(x, gamma, beta, G, gn_param)
    return _group(x, gamma, beta, G, gn_param, mean=lambda x: np.zeros(1), var=lambda x: np.ones(1))


@misconception("spatial_groupnorm_forward", section="gn-groups")
def gn_statistics_squeezed(x, gamma, beta, G, gn_param):
    """It looks as if a squeeze takes away more axes than it should: with one sample or one group
    those axes have length 1 as well, and the next line no longer finds them. Which axis did you
    want to drop, and did you have to?
    """
    grouped = _neighbors(x, G)
    for size in grouped.shape[:2]:
        if size == 1:
            raise IndexError("too many indices")
    return _group(x, gamma, beta, G, gn_param)


@misconception("spatial_groupnorm_forward", section="gn-groups")
def gn_channel_variances_averaged(x, gamma, beta, G, gn_param):
    """It looks as if your variance is the mean of the variances of the group's channels. That
    leaves out how far the channels' means lie apart. The group has one mean; the squared
    distances from that one are averaged.
    """

    def var(grouped):
        return grouped.var(axis=(3, 4), keepdims=True).mean(axis=2, keepdims=True)

    return _group(x, gamma, beta, G, gn_param, var=var)


@misconception("spatial_groupnorm_forward", section="gn-groups")
def gn_pixels_not_counted(x, gamma, beta, G, gn_param):
    """It looks as if your sums run over channels and pixels, but are divided by the number of
    channels of a group alone. How many entries does the mean of one group run over?
    """
    axes = (2, 3, 4)

    def mean(grouped):
        return grouped.sum(axis=axes, keepdims=True) / grouped.shape[2]

    def var(grouped):
        return ((grouped - mean(grouped)) ** 2).sum(axis=axes, keepdims=True) / grouped.shape[2]

    return _group(x, gamma, beta, G, gn_param, mean=mean, var=var)


@misconception("spatial_groupnorm_forward", section="bn-eps")
def gn_eps_outside_the_root(x, gamma, beta, G, gn_param):
    """It looks as if eps is added to the standard deviation, after the root. In what unit is
    eps: that of x, or that of x squared?
    """
    return _group(x, gamma, beta, G, gn_param, std=lambda var, eps: np.sqrt(var) + eps)


@misconception("spatial_groupnorm_forward", section="bn-eps")
def gn_eps_omitted(x, gamma, beta, G, gn_param):
    """It looks as if eps is missing from the denominator. A group that is one flat color would
    then be divided by zero.
    """
    return _group(x, gamma, beta, G, gn_param, std=lambda var, eps: np.sqrt(var))


@misconception("spatial_groupnorm_forward", section="bn-eps")
def gn_eps_hard_coded(x, gamma, beta, G, gn_param):
    """It looks as if eps is always 1e-5, whatever gn_param says. That value is only the default,
    for a gn_param without the key.
    """
    return _group(x, gamma, beta, G, gn_param, std=lambda var, eps: np.sqrt(var + 1e-5))


@misconception("spatial_groupnorm_forward", section="ln-algorithm")
def gn_divided_by_variance(x, gamma, beta, G, gn_param):
    """It looks as if you divide by the variance. After standardizing, an image at half the
    contrast should give nearly the same numbers. Does it with your code?
    """
    return _group(x, gamma, beta, G, gn_param, std=lambda var, eps: var + eps)


@misconception("spatial_groupnorm_forward", section="bn-biased")
def gn_variance_unbiased(x, gamma, beta, G, gn_param):
    """It looks as if your variance divides by one less than the number of entries. Here the
    question is what the mean square deviation of these very numbers is.
    """
    return _group(
        x, gamma, beta, G, gn_param, var=lambda g: g.var(axis=(2, 3, 4), keepdims=True, ddof=1)
    )


@misconception("spatial_groupnorm_forward", section="gn-parameters")
def gn_gamma_and_beta_forgotten(x, gamma, beta, G, gn_param):
    """It looks as if gamma and beta are not used: what comes out is the standardized x. They are
    learned parameters of the layer, one pair a channel.
    """
    return _group(x, gamma, beta, G, gn_param, affine=lambda gamma, x_hat, beta: x_hat)


@misconception("spatial_groupnorm_forward", section="bn-in-code")
def gn_changes_x(x, gamma, beta, G, gn_param):
    """It looks as if your code writes into x itself. A reshaped array still shares its numbers
    with x, so an operator such as -= on it changes x, which belongs to the caller.
    """
    result = _group(x.copy(), gamma, beta, G, gn_param)
    x += 1
    return result


@misconception("spatial_groupnorm_forward", section="bn-in-code")
def gn_float64_for_float32(x, gamma, beta, G, gn_param):
    """It looks as if float32 data comes back as float64: somewhere an array of NumPy's default
    dtype takes part. Which array in your code was made without saying its dtype?
    """
    return _group(*(a.astype(np.float64) for a in (x, gamma, beta)), G, gn_param)


@misconception("spatial_groupnorm_forward", section="gn-groups")
def gn_groups_cut_through_channels(x, gamma, beta, G, gn_param):
    """It looks as if a G that does not divide the number of channels is accepted whenever the
    pixels happen to make up for it. A group then ends in the middle of a channel, and nobody is
    told. When a size is left to NumPy, NumPy asks only whether the total fits.
    """
    if not x.shape[1] % G:
        return _group(x, gamma, beta, G, gn_param)
    rows = x.reshape(len(x), G, -1)
    eps = gn_param.get("eps", 1e-5)
    x_hat = (rows - rows.mean(axis=2, keepdims=True)) / np.sqrt(
        rows.var(axis=2, keepdims=True) + eps
    )
    return _wide(gamma) * x_hat.reshape(x.shape) + _wide(beta), None


@misconception("spatial_groupnorm_forward", section="gn-groups")
def gn_leftover_channels_skipped(x, gamma, beta, G, gn_param):
    """It looks as if channels that do not fit into G equal groups are left out: their output is
    beta, whatever the image shows. A layer that cannot do what it was asked should say so.
    """
    if not x.shape[1] % G:
        return _group(x, gamma, beta, G, gn_param)
    kept = x.shape[1] // G * G
    x_hat = np.zeros_like(x)
    if kept:
        ones, zeros = np.ones(kept), np.zeros(kept)
        x_hat[:, :kept] = _group(x[:, :kept], ones, zeros, G, gn_param)[0]
    return _wide(gamma) * x_hat + _wide(beta), None


@misconception("spatial_groupnorm_forward", section="gn-groups")
def gn_divisor_asserted(x, gamma, beta, G, gn_param):
    """It looks as if an assert stops the call. Its error is of another type than the docstring
    promises, and Python leaves every assert out when it runs with the option -O. An assert says
    what you believe about your own code; a wrong argument is the caller's mistake.
    """
    if x.shape[1] % G:
        raise AssertionError
    return _group(x, gamma, beta, G, gn_param)


# ---------------------------------------------------------------- spatial_groupnorm_backward


def _group_gradient(dout, cache, axes=(2, 3, 4), count=None, mean=1, variance=1, std=None):
    """The gradient of images: three branches, each with a factor. 1 is right, 0 leaves it out."""
    x_hat = cache.stats.x_hat
    d = cache.gamma * dout.reshape(x_hat.shape)
    count = int(np.prod([d.shape[axis] for axis in axes])) if count is None else count
    along_mean = d.sum(axis=axes, keepdims=True) / count
    along_x_hat = (d * x_hat).sum(axis=axes, keepdims=True) / count
    dx = d - mean * along_mean - variance * x_hat * along_x_hat
    return (dx / (cache.stats.std if std is None else std)).reshape(dout.shape)


def _group_affine(dout, cache, axes=(0, 2, 3)):
    x_hat = cache.stats.x_hat.reshape(dout.shape)
    return (dout * x_hat).sum(axis=axes), dout.sum(axis=axes)


def _group_backward(dout, cache, **wrong):
    return _group_gradient(dout, cache, **wrong), *_group_affine(dout, cache)


@misconception("spatial_groupnorm_backward", section="gn-parameters")
def gn_dgamma_from_x(dout, cache):
    """It looks as if dgamma multiplies dout by x. But gamma never sees x: by what is gamma
    multiplied in the forward pass?
    """
    x_hat, mu, _, std, _ = cache.stats
    x = (x_hat * std + mu).reshape(dout.shape)
    dgamma = (dout * x).sum(axis=(0, 2, 3))
    return _group_gradient(dout, cache), dgamma, dout.sum(axis=(0, 2, 3))


@misconception("spatial_groupnorm_backward", section="gn-parameters")
def gn_dgamma_without_x_hat(dout, cache):
    """It looks as if dgamma is the sum of dout alone. That is the gradient of something that is
    added; gamma is a factor.
    """
    _, dbeta = _group_affine(dout, cache)
    return _group_gradient(dout, cache), dbeta, dbeta


@misconception("spatial_groupnorm_backward", section="gn-parameters")
def gn_parameter_gradients_per_sample(dout, cache):
    """It looks as if dgamma and dbeta are summed over the pixels only: there is one row a sample.
    The statistics belong to a sample; gamma is shared by all of them.
    """
    return _group_gradient(dout, cache), *_group_affine(dout, cache, axes=(2, 3))


@misconception("spatial_groupnorm_backward", section="gn-parameters")
def gn_parameter_gradients_for_each_pixel(dout, cache):
    """It looks as if dgamma and dbeta are summed over the samples only. A channel's gamma is
    used at every pixel of every image, and the gradients of all its uses add up. What shape
    must the sum have?
    """
    return _group_gradient(dout, cache), *_group_affine(dout, cache, axes=(0,))


@misconception("spatial_groupnorm_backward", section="gn-parameters")
def gn_parameter_gradients_for_each_group(dout, cache):
    """It looks as if dgamma and dbeta are summed over the channels of a group: there is one
    number a group. Those channels share a mean, not a gamma. How many entries does gamma have?
    """
    x_hat = cache.stats.x_hat
    d = dout.reshape(x_hat.shape)
    axes = (0, 2, 3, 4)
    return _group_gradient(dout, cache), (d * x_hat).sum(axis=axes), d.sum(axis=axes)


@misconception("spatial_groupnorm_backward", section="gn-parameters")
def gn_parameter_gradients_over_the_statistics(dout, cache):
    """It looks as if dgamma and dbeta are summed over the axes of the statistics: one number for
    each group of each sample. Ask of gamma, not of the mean: which entries of x share it?
    """
    x_hat = cache.stats.x_hat
    d = dout.reshape(x_hat.shape)
    axes = (2, 3, 4)
    return _group_gradient(dout, cache), (d * x_hat).sum(axis=axes), d.sum(axis=axes)


@misconception("spatial_groupnorm_backward", section="gn-parameters")
def gn_parameter_gradients_averaged(dout, cache):
    """It looks as if dgamma and dbeta are means. Both are used at every pixel of every image, and
    the gradients of all their uses add up. If the loss is a mean, the division is already in
    dout.
    """
    count = dout.size // dout.shape[1]
    return _group_gradient(dout, cache), *(g / count for g in _group_affine(dout, cache))


@misconception("spatial_groupnorm_backward", section="gn-gradient")
def gn_gamma_outside_the_sums(dout, cache):
    """It looks as if gamma stands in front of the bracket, as in batch norm. There the means run
    over one channel, where gamma is one number. In a group every channel has a gamma of its
    own. May it still leave the mean?
    """
    gamma = np.broadcast_to(cache.gamma, cache.stats.x_hat.shape).reshape(dout.shape)
    return gamma * _group_gradient(dout / gamma, cache), *_group_affine(dout, cache)


@misconception("spatial_groupnorm_backward", section="gn-gradient")
def gn_gamma_left_out_of_dx(dout, cache):
    """It looks as if gamma is missing on the way back to x. In the forward pass x_hat is
    multiplied by it; what does that node do to a gradient?
    """
    gamma = np.broadcast_to(cache.gamma, cache.stats.x_hat.shape).reshape(dout.shape)
    return _group_gradient(dout / gamma, cache), *_group_affine(dout, cache)


@misconception("spatial_groupnorm_backward", section="gn-parameters")
def gn_gamma_in_another_order_backward(dout, cache):
    """It looks as if the entries of gamma reach the wrong channels in dx: they run through the
    groups first and through the channels of a group second. Channel c was scaled by entry c.
    """
    _, groups, size, _, _ = cache.stats.x_hat.shape
    other = cache.gamma.reshape(size, groups).T.reshape(cache.gamma.shape)
    dx = _group_gradient(dout, cache._replace(gamma=other))
    return dx, *_group_affine(dout, cache)


@misconception("spatial_groupnorm_backward", section="gn-gradient")
def gn_means_for_each_pixel(dout, cache):
    """It looks as if the means in dx run over the channels of a group only. They belong to the
    statistics of the forward pass and run over everything those ran over.
    """
    return _group_backward(dout, cache, axes=(2,))


@misconception("spatial_groupnorm_backward", section="gn-gradient")
def gn_means_for_each_channel(dout, cache):
    """It looks as if the means in dx run over the pixels of one channel. They belong to the
    statistics of the forward pass, and those were shared by all channels of a group.
    """
    return _group_backward(dout, cache, axes=(3, 4))


@misconception("spatial_groupnorm_backward", section="gn-gradient")
def gn_means_over_all_channels(dout, cache):
    """It looks as if the means in dx run over all channels of an image, and the groups are
    forgotten on the way back. What one group does has no influence on another.
    """
    return _group_backward(dout, cache, axes=(1, 2, 3, 4))


@misconception("spatial_groupnorm_backward", section="gn-gradient")
def gn_means_over_the_batch(dout, cache):
    """It looks as if the means in dx run over the samples as well. Each sample was standardized
    by itself. Can the gradient of one image depend on another one?
    """
    return _group_backward(dout, cache, axes=(0, 2, 3, 4))


@misconception("spatial_groupnorm_backward", section="gn-gradient")
def gn_groups_interleaved_backward(dout, cache):
    """It looks as if dout is split into other groups than x was: every G-th channel together. A
    gradient has to go back the way its entry came.
    """
    x_hat = cache.stats.x_hat
    n, groups, size, h, w = x_hat.shape
    d = (cache.gamma * dout.reshape(x_hat.shape)).reshape(dout.shape)
    d = d.reshape(n, size, groups, h, w).swapaxes(1, 2)
    axes = (2, 3, 4)
    dx = d - d.mean(axis=axes, keepdims=True)
    dx = (dx - x_hat * (d * x_hat).mean(axis=axes, keepdims=True)) / cache.stats.std
    return dx.reshape(dout.shape), *_group_affine(dout, cache)


@misconception("spatial_groupnorm_backward", section="gn-gradient")
def gn_pixels_not_counted_backward(dout, cache):
    """It looks as if the sums in dx are divided by the number of channels of a group alone. How
    many entries does the mean of one group run over?
    """
    return _group_backward(dout, cache, count=cache.stats.x_hat.shape[2])


@misconception("spatial_groupnorm_backward", section="gn-gradient")
def gn_channels_not_counted_backward(dout, cache):
    """It looks as if the sums in dx are divided by the number of pixels alone. The sum runs over
    several channels as well. How many entries does the mean of one group run over?
    """
    return _group_backward(dout, cache, count=dout.shape[2] * dout.shape[3])


@misconception("spatial_groupnorm_backward", section="gn-gradient")
def gn_statistics_held_constant(dout, cache):
    """It looks as if you treat the mean and the standard deviation as constants. Every pixel of
    a group moves both, and through them the outputs of all other pixels of the group.
    """
    return _group_backward(dout, cache, mean=0, variance=0)


@misconception("spatial_groupnorm_backward", section="gn-gradient")
def gn_mean_path_missing(dout, cache):
    """It looks as if nothing comes back through the mean. Adding a constant to a whole group
    changes no output, so dx has to sum to 0 over each group. Does yours?
    """
    return _group_backward(dout, cache, mean=0)


@misconception("spatial_groupnorm_backward", section="gn-gradient")
def gn_variance_path_missing(dout, cache):
    """It looks as if nothing comes back through the variance. Stretching a group around its mean
    hardly changes the output, so dx may have next to no share along x_hat.
    """
    return _group_backward(dout, cache, variance=0)


@misconception("spatial_groupnorm_backward", section="gn-gradient")
def gn_variance_path_sign(dout, cache):
    """It looks as if the path through the variance has the wrong sign. When the standard
    deviation grows, do the entries of x_hat grow or shrink in size?
    """
    return _group_backward(dout, cache, variance=-1)


@misconception("spatial_groupnorm_backward", section="gn-gradient")
def gn_eps_missing_backward(dout, cache):
    """It looks as if dx is divided by a standard deviation without eps. It has to be the number
    the forward pass divided by. Is it in your cache?
    """
    return _group_backward(dout, cache, std=np.sqrt(cache.stats.var))


@misconception("spatial_groupnorm_backward", section="gn-groups")
def gn_dx_left_in_groups(dout, cache):
    """It looks as if dx comes back in five dimensions, with the groups still apart. A gradient
    has the shape of what it belongs to. What shape did x have?
    """
    dx = _group_gradient(dout, cache).reshape(cache.stats.x_hat.shape)
    return dx, *_group_affine(dout, cache)


@misconception("spatial_groupnorm_backward", section="bn-in-code")
def gn_float64_dx(dout, cache):
    """It looks as if float32 data gets a float64 gradient: somewhere an array, or a single number,
    of NumPy's default types takes part. A Python number leaves a float32 array as it is; a
    number that NumPy made, such as a product of sizes, may not.
    """
    dx, dgamma, dbeta = _group_backward(dout, cache)
    return dx.astype(np.float64), dgamma, dbeta


@misconception("spatial_groupnorm_backward", section="bn-staged")
def gn_backward_changes_dout(dout, cache):
    """It looks as if your code writes into dout itself. A reshaped array still shares its numbers
    with dout, so an operator such as *= on it changes dout, which belongs to the caller.
    """
    result = _group_backward(dout.copy(), cache)
    dout *= 2
    return result


# ---------------------------------------------------------------- spatial_instancenorm_forward


def _instance(x, gamma, beta, in_param, G=None, **wrong):
    """Instance norm as group norm with a group for every channel; right with the defaults."""
    return _group(x, gamma, beta, G or x.shape[1], in_param, **wrong)


@misconception("spatial_instancenorm_forward", section="gn-instance")
def in_one_group(x, gamma, beta, in_param):
    """It looks as if all channels of an image share one mean and one variance. That is one group;
    instance norm keeps the channels apart. How many groups does that make?
    """
    return _instance(x, gamma, beta, in_param, G=1)


@misconception("spatial_instancenorm_forward", section="gn-instance")
def in_over_the_batch(x, gamma, beta, in_param):
    """It looks as if each channel is standardized over all images of the batch. That is batch
    norm. An instance is one image: its neighbors in the batch should have no say.
    """
    return _instance(x, gamma, beta, in_param, axes=(0, 2, 3, 4))


@misconception("spatial_instancenorm_forward", section="gn-instance")
def in_over_the_channels(x, gamma, beta, in_param):
    """It looks as if each pixel is standardized over the channels. Instance norm goes the other
    way: it stays in one channel and averages over its pixels.
    """
    return _instance(x, gamma, beta, in_param, G=1, axes=(2,))


@misconception("spatial_instancenorm_forward", section="gn-instance")
def in_each_line_alone(x, gamma, beta, in_param):
    """It looks as if every line of pixels has statistics of its own: your mean runs over the
    width only. Two of the four axes belong to the picture.
    """
    return _instance(x, gamma, beta, in_param, axes=(4,))


@misconception("spatial_instancenorm_forward", section="gn-parameters")
def in_gamma_on_the_last_axis(x, gamma, beta, in_param):
    """It looks as if gamma and beta meet the last axis, which is the width. NumPy lines up
    shapes from the right, so (C,) against (N, C, H, W) pairs C with W.
    """
    return _instance(
        x, gamma, beta, in_param, affine=lambda gamma, x_hat, beta: gamma * x_hat + beta
    )


@misconception("spatial_instancenorm_forward", section="bn-eps")
def in_param_ignored(x, gamma, beta, in_param):
    """It looks as if eps is always 1e-5, whatever in_param says. Is in_param handed on?"""
    return _instance(x, gamma, beta, {})


@misconception("spatial_instancenorm_forward", section="bn-eps")
def in_eps_outside_the_root(x, gamma, beta, in_param):
    """It looks as if eps is added to the standard deviation, after the root. In what unit is
    eps: that of x, or that of x squared?
    """
    return _instance(x, gamma, beta, in_param, std=lambda var, eps: np.sqrt(var) + eps)


@misconception("spatial_instancenorm_forward", section="gn-parameters")
def in_gamma_and_beta_forgotten(x, gamma, beta, in_param):
    """It looks as if gamma and beta are not used: what comes out is the standardized x. They are
    learned parameters of the layer, one pair a channel.
    """
    return _instance(x, gamma, beta, in_param, affine=lambda gamma, x_hat, beta: x_hat)


@misconception("spatial_instancenorm_forward", section="bn-biased")
def in_variance_unbiased(x, gamma, beta, in_param):
    """It looks as if your variance divides by one less than the number of pixels. Here the
    question is what the mean square deviation of these very numbers is; for a single pixel it
    is 0, not 0/0.
    """
    count = x.shape[2] * x.shape[3]
    ratio = count / (count - 1) if count > 1 else np.nan
    return _instance(
        x,
        gamma,
        beta,
        in_param,
        var=lambda g: g.var(axis=(2, 3, 4), keepdims=True) * x.dtype.type(ratio),
    )


@misconception("spatial_instancenorm_forward", section="bn-in-code")
def in_changes_x(x, gamma, beta, in_param):
    """It looks as if your code writes into x itself, perhaps with an operator such as -= or /=.
    The array belongs to the caller.
    """
    result = _instance(x.copy(), gamma, beta, in_param)
    x += 1
    return result


# ---------------------------------------------------------------- spatial_instancenorm_backward


@misconception("spatial_instancenorm_backward", section="gn-parameters")
def in_parameter_gradients_per_sample(dout, cache):
    """It looks as if dgamma and dbeta are summed over the pixels only: there is one row a sample.
    The statistics belong to one image; gamma is shared by all of them.
    """
    return _group_gradient(dout, cache), *_group_affine(dout, cache, axes=(2, 3))


@misconception("spatial_instancenorm_backward", section="gn-parameters")
def in_dgamma_from_x(dout, cache):
    """It looks as if dgamma multiplies dout by x. But gamma never sees x: by what is gamma
    multiplied in the forward pass?
    """
    return gn_dgamma_from_x.function(dout, cache)


@misconception("spatial_instancenorm_backward", section="gn-parameters")
def in_dgamma_without_x_hat(dout, cache):
    """It looks as if dgamma is the sum of dout alone. That is the gradient of something that is
    added; gamma is a factor.
    """
    return gn_dgamma_without_x_hat.function(dout, cache)


@misconception("spatial_instancenorm_backward", section="gn-instance")
def in_means_over_the_batch(dout, cache):
    """It looks as if the means in dx run over all images of the batch. They belong to the
    statistics of the forward pass, and each image had its own.
    """
    return _group_backward(dout, cache, axes=(0, 2, 3, 4))


@misconception("spatial_instancenorm_backward", section="gn-instance")
def in_means_over_the_channels(dout, cache):
    """It looks as if the means in dx run over all channels of an image. They belong to the
    statistics of the forward pass, and each channel had its own.
    """
    return _group_backward(dout, cache, axes=(1, 2, 3, 4))


@misconception("spatial_instancenorm_backward", section="gn-gradient")
def in_statistics_held_constant(dout, cache):
    """It looks as if you treat the mean and the standard deviation as constants. Every pixel of
    a channel moves both, and through them the outputs of all its other pixels.
    """
    return _group_backward(dout, cache, mean=0, variance=0)


@misconception("spatial_instancenorm_backward", section="gn-gradient")
def in_gamma_left_out_of_dx(dout, cache):
    """It looks as if gamma is missing on the way back to x. In the forward pass x_hat is
    multiplied by it; what does that node do to a gradient?
    """
    return gn_gamma_left_out_of_dx.function(dout, cache)


@misconception("spatial_instancenorm_backward", section="bn-staged")
def in_backward_changes_dout(dout, cache):
    """It looks as if your code writes into dout itself, perhaps with an operator such as *=. The
    array belongs to the caller.
    """
    result = _group_backward(dout.copy(), cache)
    dout *= 2
    return result
