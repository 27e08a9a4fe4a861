"""Wrong variants of weight norm and its relatives. Each docstring is the hint a student reads.

The variants of a function share one private helper, which is right unless told otherwise; so
each of them shows what is wrong and nothing else. A wrong forward pass returns the reference's
cache, so that its backward pass has nothing to answer for.
"""

from __future__ import annotations

import numpy as np

import dlnorm
from dlnorm.batchnorm_variants import MeanOnlyCache
from dlnorm.grading.exercise import misconception


def _columns(v):
    """The length of each column, shape (1, D_out)."""
    return np.sqrt((v * v).sum(axis=0, keepdims=True))


def _rows(v):
    """The length of each row, shape (D_in, 1)."""
    return np.sqrt((v * v).sum(axis=1, keepdims=True))


def _whole(v):
    """The length of all entries together, shape (1, 1)."""
    return np.sqrt((v * v).sum(keepdims=True))


# ---------------------------------------------------------------- column_norms


@misconception("column_norms", section="wn-columns")
def row_norms(v):
    """It looks as if you measure the rows. A row holds the weights of one input, to all units. A
    unit is a column here; how many units are there, and which axis has to disappear?
    """
    return _rows(v).ravel()


@misconception("column_norms", section="wn-columns")
def norm_of_everything(v):
    """It looks as if you compute one length for the whole matrix. Each unit has weights of its
    own, and their length is a number of its own. Which axis did you tell NumPy to sum over?
    """
    return np.linalg.norm(v)


@misconception("column_norms", section="wn-split")
def norms_squared(v):
    """It looks as if the last step of a length is missing: these are sums of squares. If all
    weights are doubled, a length doubles as well. What does yours do?
    """
    return (v * v).sum(axis=0)


@misconception("column_norms", section="wn-split")
def norms_of_absolutes(v):
    """It looks as if you add up the sizes of the entries. That is the way along the streets; the
    length of an arrow is the way through the air. Which theorem gives it?
    """
    return np.abs(v).sum(axis=0)


@misconception("column_norms", section="wn-split")
def norms_from_means(v):
    """It looks as if you average the squares where a length adds them up. A typical size of an
    entry does not grow when more entries like it are added; a length does.
    """
    return np.sqrt((v * v).mean(axis=0))


@misconception("column_norms", section="wn-split")
def norms_around_the_mean(v):
    """It looks as if the mean of the column is subtracted before its length is taken. That
    measures a spread. The length of an arrow is measured from 0, whatever its entries average.
    """
    centered = v - v.mean(axis=0)
    return np.sqrt((centered * centered).sum(axis=0))


# ---------------------------------------------------------------- weightnorm_forward


def _forward(v, g, divisor=_columns, numerator=lambda v: v, length=lambda g: g):
    """Weight norm with its parts as arguments; right with the defaults."""
    return length(g) * (numerator(v) / divisor(v)), dlnorm.weightnorm_forward(v, g)[1]


@misconception("weightnorm_forward", section="wn-columns")
def weights_by_rows(v, g):
    """It looks as if you divide by the length of each row. A unit's weights stand in a column
    here, and it is the column that must get the length g says. Measure the columns of your W.
    (Other libraries store one unit a row.)
    """
    return _forward(v, g, divisor=_rows)


@misconception("weightnorm_forward", section="wn-columns")
def weights_by_one_norm(v, g):
    """It looks as if the whole matrix is divided by one number. Then the length of one unit
    depends on the weights of all others, and is not what g says. How many lengths do D_out units
    have?
    """
    return _forward(v, g, divisor=_whole)


@misconception("weightnorm_forward", section="wn-split")
def g_not_applied(v, g):
    """It looks as if every column of your W has length 1: g is not used. The direction comes
    from v; where does the length come from?
    """
    return _forward(v, g, length=lambda g: np.ones_like(g))


@misconception("weightnorm_forward", section="wn-split")
def divided_by_squared_length(v, g):
    """It looks as if v is divided by the square of its length. Then a column of v that is twice
    as long gives weights half as long. The length of v should leave no trace in W.
    """
    return _forward(v, g, divisor=lambda v: _columns(v) ** 2)


@misconception("weightnorm_forward", section="wn-split")
def length_and_g_exchanged(v, g):
    """It looks as if g and the length of v have changed places: you divide by g and multiply by the
    length. Which of the two should the columns of W have in the end, and which should leave no
    trace?
    """
    return _forward(v, g, divisor=lambda v: 1 / _columns(v), length=lambda g: 1 / g)


@misconception("weightnorm_forward", section="wn-split")
def v_not_divided(v, g):
    """It looks as if v is multiplied by g and not divided by anything. Then the length of W is
    that of v times g, and g alone does not say how long the weights are.
    """
    return _forward(v, g, divisor=lambda v: np.ones_like(_columns(v)))


@misconception("weightnorm_forward", section="wn-split")
def divided_by_absolutes(v, g):
    """It looks as if you divide by the sum of the sizes of the entries. That is another kind of
    length. Here it is the one of arrows: the square of it is a sum of squares.
    """
    return _forward(v, g, divisor=lambda v: np.abs(v).sum(axis=0, keepdims=True))


@misconception("weightnorm_forward", section="wn-split")
def divided_by_root_mean_square(v, g):
    """It looks as if you divide by the root of the mean square. With more inputs your weights
    then become longer, though g stays the same. A length adds the squares up.
    """
    return _forward(v, g, divisor=lambda v: np.sqrt((v * v).mean(axis=0, keepdims=True)))


@misconception("weightnorm_forward", section="wn-split")
def columns_standardized(v, g):
    """It looks as if you treat the weights as batch norm treats activations: mean subtracted,
    divided by the standard deviation. Weight norm turns no column into another direction. Does
    your W point where v points?
    """
    return _forward(
        v,
        g,
        numerator=lambda v: v - v.mean(axis=0),
        divisor=lambda v: v.std(axis=0, keepdims=True),
    )


@misconception("weightnorm_forward", section="wn-split")
def sign_of_g_lost(v, g):
    """It looks as if the sign of g is lost. A negative g is allowed: it turns the weights of its
    unit around.
    """
    return _forward(v, g, length=np.abs)


@misconception("weightnorm_forward", section="wn-split")
def eps_in_the_length(v, g):
    """It looks as if a small number is added on the way to the length of v. Then short columns
    give weights that are too short, and W depends on how long v is. The exercise promises that
    no column is zero.
    """
    return _forward(v, g, divisor=lambda v: np.sqrt(_columns(v) ** 2 + v.dtype.type(1e-5)))


@misconception("weightnorm_forward", section="wn-split")
def forward_changes_v(v, g):
    """It looks as if your code writes into v itself, perhaps with an operator such as /=. v is a
    parameter of the layer: the optimizer changes it, the forward pass only reads it.
    """
    result = _forward(v.copy(), g)
    v /= _columns(v)
    return result


@misconception("weightnorm_forward", section="wn-split")
def weights_in_float64(v, g):
    """It looks as if float32 weights come back as float64: somewhere a number or an array of
    NumPy's default dtype takes part. Networks train in float32. Which array in your code was
    made without saying its dtype?
    """
    return _forward(v.astype(np.float64), g.astype(np.float64))


# ---------------------------------------------------------------- take_over


def _take_over(W, length, measure=_columns, v=lambda unit, length: unit * length, g=None):
    norms = measure(W)
    wide = np.broadcast_to(norms, (1, W.shape[1])) if g is None else g(norms)
    return v(W / norms, length), wide.ravel()


@misconception("take_over", section="wn-split")
def g_of_ones(W, length):
    """It looks as if g is 1 for every unit. Then all weights get length 1, whatever they were,
    and the layer answers something else. What has to be the length of each column afterwards?
    """
    return _take_over(W, length, g=lambda norms: np.ones_like(norms))


@misconception("take_over", section="wn-split")
def v_is_W_and_g_is_one(W, length):
    """It looks as if v is W and g is 1 for every unit. Weight norm divides W by its lengths; a g
    of 1 does not bring them back. And all columns of v are asked to have the given length.
    """
    return W.copy(), np.ones_like(_columns(W).ravel())


@misconception("take_over", section="wn-split")
def g_is_the_length_of_v(W, length):
    """It looks as if g is the length that the columns of v were given. That would be right if
    it were also the length of the weights. Weight norm divides by the length of v again; so
    what is g the length of?
    """
    return _take_over(W, length, g=lambda norms: np.full_like(norms, length))


@misconception("take_over", section="wn-split")
def g_is_a_ratio(W, length):
    """It looks as if g is the old length divided by that of v. That would be a factor on v
    itself. But weight norm multiplies a direction, an arrow of length 1, and not v.
    """
    return _take_over(W, length, g=lambda norms: norms / length)


@misconception("take_over", section="wn-split")
def v_left_as_it_was(W, length):
    """It looks as if v is W itself. With your g the layer computes the right thing, and that is
    one good choice; but here all columns of v are asked to have the given length.
    """
    return W.copy(), _columns(W).ravel()


@misconception("take_over", section="wn-split")
def v_of_unit_length(W, length):
    """It looks as if every column of v has length 1. The direction is right. Which length did
    the exercise ask for?
    """
    return _take_over(W, length, v=lambda unit, length: unit)


@misconception("take_over", section="wn-split")
def v_stretched(W, length):
    """It looks as if W is multiplied by the given length. That makes each column longer by that
    factor; afterwards they should all be equally long. What has to be taken away first?
    """
    return W * length, _columns(W).ravel()


@misconception("take_over", section="wn-columns")
def take_over_with_one_norm(W, length):
    """It looks as if you use one length for the whole matrix. Units can have weights of very
    different lengths, and each has to keep its own.
    """
    return _take_over(W, length, measure=_whole)


@misconception("take_over", section="wn-split")
def take_over_changes_W(W, length):
    """It looks as if your code writes into W itself, perhaps with an operator such as *= or /=.
    The layer may still be in use elsewhere: make a new array for v.
    """
    result = _take_over(W.copy(), length)
    W /= _columns(W)
    return result


# ---------------------------------------------------------------- weightnorm_backward


def _backward(dW, cache, dg=None, direct=1.0, along=1.0, power=1, unit=None, axis=0):
    """Weight norm's gradients, with the two terms of dv as factors; right with the defaults.

    `power` is that of 1 / length, `unit` what dW is projected on, `axis` where the products sum.
    """
    own, length, _ = cache.direction
    u = own if unit is None else unit
    share = (u * dW).sum(axis=axis, keepdims=True)
    dv = cache.g * (direct * dW - along * u * share) / length**power
    return dv, (own * dW).sum(axis=0) if dg is None else dg


def _v(cache):
    """The v that a cache came from, and the length of its columns."""
    unit, length, _ = cache.direction
    return unit * length, length


@misconception("weightnorm_backward", section="wn-gradient-g")
def dg_without_the_length(dW, cache):
    """It looks as if dg is the product of dW and v, column by column, and nothing more. In the
    forward pass g does not multiply v itself. What does it multiply, and how long is that?
    """
    v, _ = _v(cache)
    return _backward(dW, cache, dg=(dW * v).sum(axis=0))


@misconception("weightnorm_backward", section="wn-gradient-g")
def dg_with_the_squared_length(dW, cache):
    """It looks as if dg is divided by the square of the length of v. If v is made twice as long,
    W stays what it is, and so must dg. Does yours?
    """
    v, length = _v(cache)
    return _backward(dW, cache, dg=(dW * v).sum(axis=0) / length.ravel() ** 2)


@misconception("weightnorm_backward", section="wn-gradient-g")
def dg_from_W(dW, cache):
    """It looks as if g itself is a factor of dg. Perhaps you multiplied dW by W. The derivative of
    a product by one of its factors is the other factor.
    """
    return _backward(dW, cache, dg=(dW * cache.g * cache.direction.unit).sum(axis=0))


@misconception("weightnorm_backward", section="wn-gradient-g")
def dg_per_input(dW, cache):
    """It looks as if dg is summed along the rows: one number an input. A gradient has the shape of
    what it belongs to. What shape does g have, and which axis has to disappear?
    """
    return _backward(dW, cache, dg=(dW * cache.direction.unit).sum(axis=1))


@misconception("weightnorm_backward", section="wn-gradient-g")
def dg_per_weight(dW, cache):
    """It looks as if dg has one entry a weight. One g stretches all weights of its unit, and the
    gradients of all its uses add up to one number.
    """
    return _backward(dW, cache, dg=dW * cache.direction.unit)


@misconception("weightnorm_backward", section="wn-gradient-g")
def dg_of_all_units(dW, cache):
    """It looks as if dg is one number for all units. Each unit has its own g, and hears only of
    its own weights.
    """
    return _backward(dW, cache, dg=(dW * cache.direction.unit).sum())


@misconception("weightnorm_backward", section="wn-gradient-g")
def dg_averaged(dW, cache):
    """It looks as if dg is a mean over the weights of a unit. g is used once in every weight, and
    the gradients of all its uses add up.
    """
    return _backward(dW, cache, dg=(dW * cache.direction.unit).mean(axis=0))


@misconception("weightnorm_backward", section="wn-gradient-g")
def dg_is_the_sum_of_dW(dW, cache):
    """It looks as if dg adds up dW and does not look at the direction. That would be right for
    something that is added to every weight. g is a factor: what does it multiply?
    """
    return _backward(dW, cache, dg=dW.sum(axis=0))


@misconception("weightnorm_backward", section="wn-gradient-v")
def nothing_projected(dW, cache):
    """It looks as if dv is dW times a factor for each column, as if the length of v were a
    constant. But the length is computed from v as well. What is the dot product of your dv with
    v, column by column, and what should it be?
    """
    return _backward(dW, cache, along=0)


@misconception("weightnorm_backward", section="wn-gradient-v")
def dv_is_dW(dW, cache):
    """It looks as if dv is dW itself. Between v and W lie a division by the length and a
    multiplication by g; the gradient has to go back through both.
    """
    return dW.copy(), _backward(dW, cache)[1]


@misconception("weightnorm_backward", section="wn-gradient-v")
def projected_on_v_itself(dW, cache):
    """It looks as if what you take out of dW is computed with v where an arrow of length 1
    belongs, both times. How much of one arrow lies along another must not depend on how long
    the other is.
    """
    return _backward(dW, cache, unit=_v(cache)[0])


@misconception("weightnorm_backward", section="wn-gradient-v")
def projection_divided_once(dW, cache):
    """It looks as if one division by the length is missing in the part that you take out of dW.
    v occurs there twice, once to measure and once to point; how long is it each time?
    """
    return _backward(dW, cache, along=cache.direction.length)


@misconception("weightnorm_backward", section="wn-gradient-v")
def projected_on_W(dW, cache):
    """It looks as if what you take out of dW is measured and pointed with W, which points the
    right way and has length g. How long must an arrow be for this?
    """
    return _backward(dW, cache, along=cache.g**2)


@misconception("weightnorm_backward", section="wn-gradient-v")
def g_missing_in_dv(dW, cache):
    """It looks as if g is missing in dv. The forward pass multiplies the direction by g; what
    does that do to a gradient on its way back?
    """
    return _backward(dW / cache.g, cache)[0], _backward(dW, cache)[1]


@misconception("weightnorm_backward", section="wn-gradient-v")
def g_missing_in_the_projection(dW, cache):
    """It looks as if g is a factor of only one of the two parts of dv, and is missing in the one
    that is subtracted. Then dv is not perpendicular to v. Both parts have come back through the
    multiplication by g.
    """
    return _backward(dW, cache, along=1 / cache.g)


@misconception("weightnorm_backward", section="wn-gradient-v")
def g_missing_in_the_first_part(dW, cache):
    """It looks as if g is a factor only of the part that is subtracted. Then dv is not
    perpendicular to v. Both parts have come back through the multiplication by g.
    """
    return _backward(dW, cache, direct=1 / cache.g)


@misconception("weightnorm_backward", section="wn-gradient-v")
def length_missing_in_dv(dW, cache):
    """It looks as if the direction of dv is right and its length is not: the length of v is
    missing. A step of the same size turns a long arrow less than a short one. So what should
    dv do when v becomes longer?
    """
    return _backward(dW, cache, power=0)


@misconception("weightnorm_backward", section="wn-gradient-v")
def squared_length_in_dv(dW, cache):
    """It looks as if dv is divided by the length of v once too often. Make v twice as long: the
    same step turns it half as far. By which factor should dv change, and by which does yours?
    """
    return _backward(dW, cache, power=2)


@misconception("weightnorm_backward", section="wn-gradient-v")
def projection_added(dW, cache):
    """It looks as if the part of dW along v is added, so that it is there twice. That part would
    change the length of W, which v cannot do. What should be left of it?
    """
    return _backward(dW, cache, along=-1)


@misconception("weightnorm_backward", section="wn-gradient-v")
def only_the_length_path(dW, cache):
    """It looks as if only what came through the length of v is left in dv. v was used twice in
    the forward pass: in the length, and in what was divided by it. Perhaps one line overwrites
    the other, where the two should be added.
    """
    return _backward(dW, cache, direct=0)


@misconception("weightnorm_backward", section="wn-columns")
def projected_along_rows(dW, cache):
    """It looks as if the dot product of dW and v is taken along the rows. A unit is a column, and
    its gradient has to be perpendicular to that column. Which axis has to disappear?
    """
    return _backward(dW, cache, axis=1)


@misconception("weightnorm_backward", section="wn-columns")
def projected_all_at_once(dW, cache):
    """It looks as if one dot product of dW and v is used for all units. Each unit turns by
    itself: what its neighbors do must not show in its gradient.
    """
    return _backward(dW, cache, axis=(0, 1))


@misconception("weightnorm_backward", section="wn-columns")
def backward_by_rows(dW, cache):
    """It looks as if the backward pass works with the lengths of the rows of v. In the forward
    pass each column was divided by its own length; the way back has to use the same numbers. Are
    they in your cache?
    """
    v, _ = _v(cache)
    length = _rows(v)
    unit = v / length
    dv = cache.g * (dW - unit * (unit * dW).sum(axis=0)) / length
    return dv, (unit * dW).sum(axis=0)


@misconception("weightnorm_backward", section="wn-columns")
def backward_by_one_norm(dW, cache):
    """It looks as if the backward pass divides by one length for the whole matrix. In the forward
    pass each column was divided by its own. Are those lengths in your cache?
    """
    v, _ = _v(cache)
    length = _whole(v)
    unit = v / length
    dv = cache.g * (dW - unit * (unit * dW).sum(axis=0)) / length
    return dv, (unit * dW).sum(axis=0)


@misconception("weightnorm_backward", section="wn-gradient-g")
def gradients_exchanged(dW, cache):
    """It looks as if the two gradients come in the wrong order. The docstring says which is
    first.
    """
    return _backward(dW, cache)[::-1]


@misconception("weightnorm_backward", section="wn-gradient-v")
def backward_changes_dW(dW, cache):
    """It looks as if your code writes into dW itself, perhaps with an operator such as *= or -=.
    The array belongs to the caller.
    """
    result = _backward(dW.copy(), cache)
    dW *= cache.g
    return result


# ---------------------------------------------------------------- length_after_step


def _stepped(length, dv, lr, measure=_columns, sign=1):
    return np.sqrt(length**2 + sign * (lr * measure(dv).ravel()) ** 2)


@misconception("length_after_step", section="wn-gradient-v")
def length_stays(length, dv, lr):
    """It looks as if the length does not change at all. A step at a right angle starts out along
    a circle, but it is straight and has a size, so it leaves the circle. Draw the triangle.
    """
    return length.copy()


@misconception("length_after_step", section="wn-gradient-v")
def lengths_added(length, dv, lr):
    """It looks as if the length of the step is added to that of v. That is so for a step straight
    ahead. At which angle does this one go?
    """
    return length + lr * _columns(dv).ravel()


@misconception("length_after_step", section="wn-gradient-v")
def lengths_subtracted(length, dv, lr):
    """It looks as if the length of the step is taken off that of v. The minus of gradient descent
    says which way the step goes, not that v becomes shorter. At which angle does it go?
    """
    return length - lr * _columns(dv).ravel()


@misconception("length_after_step", section="wn-gradient-v")
def step_shortens(length, dv, lr):
    """It looks as if the square of the step is taken off the square of the length. Which side of
    the right-angled triangle is the new v: one of the two short ones, or the long one?
    """
    return _stepped(length, dv, lr, sign=-1)


@misconception("length_after_step", section="wn-gradient-v")
def learning_rate_not_squared(length, dv, lr):
    """It looks as if the learning rate is not squared. The side of the triangle is the step as it
    is taken, that is, the gradient times the learning rate.
    """
    return _stepped(length, dv, np.sqrt(lr))


@misconception("length_after_step", section="wn-gradient-v")
def step_not_squared(length, dv, lr):
    """It looks as if the length of v is squared and that of the gradient is not. Both sides of a
    right-angled triangle enter as squares: a length cannot be added to an area.
    """
    return np.sqrt(length**2 + lr**2 * _columns(dv).ravel())


@misconception("length_after_step", section="wn-gradient-v")
def learning_rate_forgotten(length, dv, lr):
    """It looks as if the learning rate is not used. The side of the triangle is the step as it is
    taken, which is shorter or longer than the gradient.
    """
    return _stepped(length, dv, 1.0)


@misconception("length_after_step", section="wn-gradient-v")
def squared_length_after_step(length, dv, lr):
    """It looks as if you give the square of the new length. One thing is left to do with it."""
    return _stepped(length, dv, lr) ** 2


@misconception("length_after_step", section="wn-columns")
def one_step_for_all_units(length, dv, lr):
    """It looks as if you take one length of the whole gradient. Each unit takes its own step, by
    its own column.
    """
    return _stepped(length, dv, lr, measure=_whole)


# ---------------------------------------------------------------- log_length


def _log_length(g, dg, c, s=lambda g, c: np.log(g) / c, ds=lambda g, dg, c: c * g * dg):
    return s(g, c), ds(g, dg, c)


@misconception("log_length", section="wn-gradient-g")
def s_without_c(g, dg, c):
    """It looks as if s is the logarithm of g, whatever c is. Put your s back into the definition
    of g: does the old length come out when c is not 1?
    """
    return _log_length(g, dg, c, s=lambda g, c: np.log(g))


@misconception("log_length", section="wn-gradient-g")
def s_times_c(g, dg, c):
    """It looks as if the logarithm is multiplied by c. Put your s back into the definition of g:
    what happens to c?
    """
    return _log_length(g, dg, c, s=lambda g, c: c * np.log(g))


@misconception("log_length", section="wn-gradient-g")
def s_is_the_exponential(g, dg, c):
    """It looks as if you compute g from s. Here g is known, and the s that gives it is asked for:
    the other way around.
    """
    return _log_length(g, dg, c, s=lambda g, c: np.exp(c * g))


@misconception("log_length", section="wn-gradient-g")
def s_of_another_base(g, dg, c):
    """It looks as if the logarithm has base 10. The exponential that is to be undone has base e."""
    return _log_length(g, dg, c, s=lambda g, c: np.log10(g) / c)


@misconception("log_length", section="wn-gradient-g")
def ds_without_g(g, dg, c):
    """It looks as if ds is dg times c. The derivative of an exponential is the exponential
    again: how much g changes depends on how large it is.
    """
    return _log_length(g, dg, c, ds=lambda g, dg, c: c * dg)


@misconception("log_length", section="wn-gradient-g")
def ds_without_c(g, dg, c):
    """It looks as if ds does not contain c. When s moves a little, the exponent moves by more or
    by less than that. By how much?
    """
    return _log_length(g, dg, c, ds=lambda g, dg, c: g * dg)


@misconception("log_length", section="wn-gradient-g")
def ds_inverted(g, dg, c):
    """It looks as if dg is divided by the derivative of g. The chain rule asks how much g changes
    with s, and multiplies. Did you differentiate s by g instead?
    """
    return _log_length(g, dg, c, ds=lambda g, dg, c: dg / (c * g))


@misconception("log_length", section="wn-gradient-g")
def ds_with_s(g, dg, c):
    """It looks as if s stands where g belongs in ds. What is the derivative of an exponential:
    the exponent, or the exponential itself?
    """
    return _log_length(g, dg, c, ds=lambda g, dg, c: np.log(g) * dg)


@misconception("log_length", section="wn-gradient-g")
def ds_is_dg(g, dg, c):
    """It looks as if ds is dg unchanged. Between s and g lies an exponential, and the chain rule
    gives it a factor.
    """
    return _log_length(g, dg, c, ds=lambda g, dg, c: dg.copy())


# ---------------------------------------------------------------- weightnorm_init


def _init(v, x, t=None, deviation=lambda t: t.std(axis=0), g=None, b=None):
    """The lengths and biases that standardize t; `g` and `b` are made of its statistics."""
    t = x @ (v / _columns(v)) if t is None else t
    mean, std = t.mean(axis=0), deviation(t)
    return (
        1 / std if g is None else g(mean, std),
        -mean / std if b is None else b(mean, std),
    )


@misconception("weightnorm_init", section="wn-data-init")
def b_not_scaled(v, x):
    """It looks as if b takes away the mean that the unit has before g is applied. But b is added
    after the multiplication by g. What is the mean of the unit then?
    """
    return _init(v, x, b=lambda mean, std: -mean)


@misconception("weightnorm_init", section="wn-data-init")
def statistics_of_x(v, x):
    """It looks as if the statistics are those of the input: one number an input. What is to have
    mean 0 and deviation 1 is what the units answer, so that has to be computed first.
    """
    return _init(v, x, t=x)


@misconception("weightnorm_init", section="wn-data-init")
def statistics_of_x_at_v(v, x):
    """It looks as if the statistics are those of the product of x with v. g multiplies the
    direction of v, which has length 1. As it is, the length of v counts in g although weight
    norm divides it out.
    """
    return _init(v, x, t=x @ v)


@misconception("weightnorm_init", section="wn-data-init")
def b_with_the_wrong_sign(v, x):
    """It looks as if b has the wrong sign: it adds the mean once more. Compute the outputs of the
    layer with your g and b and look at their mean.
    """
    return _init(v, x, b=lambda mean, std: mean / std)


@misconception("weightnorm_init", section="wn-data-init")
def b_left_at_zero(v, x):
    """It looks as if b is 0. With your g the outputs have the right spread; what is their mean?"""
    return _init(v, x, b=lambda mean, std: np.zeros_like(mean))


@misconception("weightnorm_init", section="wn-data-init")
def b_scaled_twice(v, x):
    """It looks as if the division by the deviation is in b twice. Perhaps you took the mean of
    outputs that were scaled already, and scaled it again.
    """
    return _init(v, x, b=lambda mean, std: -mean / std**2)


@misconception("weightnorm_init", section="wn-data-init")
def g_from_the_variance(v, x):
    """It looks as if you divide by the variance. If the units answered in meters, a variance is
    in square meters. Compute the outputs of the layer with your g: is their spread 1?
    """
    return _init(v, x, deviation=lambda t: t.var(axis=0))


@misconception("weightnorm_init", section="wn-data-init")
def g_is_the_deviation(v, x):
    """It looks as if g is the deviation itself. A unit whose answers are spread widely then gets
    even longer weights. What should g do to a large spread?
    """
    return _init(v, x, g=lambda mean, std: std)


@misconception("weightnorm_init", section="wn-data-init")
def init_unbiased(v, x):
    """It looks as if your deviation divides by one less than the number of samples. That
    estimates the deviation of a population. Here the outputs for these very samples are to have
    deviation 1.
    """
    return _init(v, x, deviation=lambda t: t.std(axis=0, ddof=1))


@misconception("weightnorm_init", section="wn-data-init")
def init_mean_square(v, x):
    """It looks as if the spread of the units is measured from 0, not from their mean. The bias
    will shift the outputs; a shift must not change what you call their spread.
    """
    return _init(v, x, deviation=lambda t: np.sqrt((t * t).mean(axis=0)))


@misconception("weightnorm_init", section="wn-data-init")
def init_per_sample(v, x):
    """It looks as if the statistics run over the units of one sample. Each unit has its own g and
    b, so its statistics run over the samples. Which axis has to disappear?
    """
    return _init(v, x, t=(x @ (v / _columns(v))).T)


@misconception("weightnorm_init", section="wn-data-init")
def init_for_all_units(v, x):
    """It looks as if one mean and one deviation serve all units. Then the outputs have them
    together, and no single unit has. How many entries do g and b have?
    """
    return _init(v, x, t=(x @ (v / _columns(v))).ravel())


@misconception("weightnorm_init", section="wn-columns")
def init_with_rows(v, x):
    """It looks as if v is divided by the lengths of its rows. The weights of a unit stand in a
    column.
    """
    return _init(v, x, t=x @ (v / _rows(v)))


@misconception("weightnorm_init", section="wn-data-init")
def init_with_eps(v, x):
    """It looks as if a small number is added to the variance, as in batch norm. Then a unit whose
    answers are close together does not get deviation 1. The exercise asks for exactly 1.
    """
    return _init(v, x, deviation=lambda t: np.sqrt(t.var(axis=0) + 1e-5))


@misconception("weightnorm_init", section="wn-data-init")
def init_changes_v(v, x):
    """It looks as if your code writes into v itself, perhaps with an operator such as /=. v is
    the layer's parameter and has to stay as it was drawn.
    """
    result = _init(v.copy(), x)
    v /= _columns(v)
    return result


# ---------------------------------------------------------------- meanonly_batchnorm_forward


def _meanonly(
    x,
    beta,
    bn_param,
    mean=lambda x: x.mean(axis=0),
    reads=lambda mode, batch, running: batch if mode == "train" else running,
    out=lambda x, mean, beta: x - mean + beta,
    update=lambda old, new, momentum: momentum * old + (1 - momentum) * new,
    remembered=lambda x, beta: x.mean(axis=0),
    writes=("train",),
):
    """Mean-only batch norm with its parts as arguments; right with the defaults."""
    mode, momentum = bn_param["mode"], bn_param.get("momentum", 0.9)
    running = bn_param.get("running_mean", np.zeros(x.shape[1], x.dtype))
    result = out(x, reads(mode, mean(x), running), beta)
    if mode in writes:
        bn_param["running_mean"] = update(running, remembered(x, beta), momentum)
    return result, MeanOnlyCache(x.shape, (0,), beta.shape, mode)


@misconception("meanonly_batchnorm_forward", section="wn-meanonly")
def meanonly_divides(x, beta, bn_param):
    """It looks as if you divide by the standard deviation as well. That is full batch norm. Here
    only the mean goes; the scale is the business of weight norm's g.
    """
    spread = np.sqrt(x.var(axis=0) + x.dtype.type(1e-5))
    train = bn_param["mode"] == "train"
    return _meanonly(
        x, beta, bn_param, out=lambda x, m, beta: (x - m) / (spread if train else 1) + beta
    )


@misconception("meanonly_batchnorm_forward", section="bn-axes")
def meanonly_of_rows(x, beta, bn_param):
    """It looks as if the mean of each row is subtracted: one sample over its features. Batch norm
    compares a feature with itself in the other samples. Which axis has to disappear?
    """
    return _meanonly(x, beta, bn_param, mean=lambda x: x.mean(axis=1, keepdims=True))


@misconception("meanonly_batchnorm_forward", section="bn-axes")
def meanonly_of_the_table(x, beta, bn_param):
    """It looks as if one mean of the whole table is subtracted. A feature around 20 and one
    around 0 then stay as far apart as they were. How many means do D features need?
    """
    return _meanonly(x, beta, bn_param, mean=lambda x: x.mean())


@misconception("meanonly_batchnorm_forward", section="wn-meanonly")
def meanonly_without_beta(x, beta, bn_param):
    """It looks as if beta is not added. Subtracting the mean removes any bias of the layer
    before; beta is what gives the units one again.
    """
    return _meanonly(x, beta, bn_param, out=lambda x, m, beta: x - m)


@misconception("meanonly_batchnorm_forward", section="bn-running")
def meanonly_trains_with_the_running_mean(x, beta, bn_param):
    """It looks as if the running mean is subtracted in train mode. While training, the batch's own
    mean is subtracted; the running one is only updated.
    """
    return _meanonly(x, beta, bn_param, reads=lambda mode, batch, running: running)


@misconception("meanonly_batchnorm_forward", section="bn-test-mode")
def meanonly_batch_mean_at_test(x, beta, bn_param):
    """It looks as if test mode subtracts the mean of the batch at hand. Then the answer for one
    sample depends on its neighbors, and a batch of one always gives beta. What was remembered
    during training, and for what purpose?
    """
    return _meanonly(x, beta, bn_param, reads=lambda mode, batch, running: batch)


@misconception("meanonly_batchnorm_forward", section="bn-test-mode")
def meanonly_ignores_the_mode(x, beta, bn_param):
    """It looks as if test mode does what train mode does: it subtracts the batch's own mean and
    updates the running one. Where does your code ask for the mode?
    """
    return _meanonly(
        x, beta, bn_param, reads=lambda mode, batch, running: batch, writes=("train", "test")
    )


@misconception("meanonly_batchnorm_forward", section="bn-test-mode")
def meanonly_updates_at_test(x, beta, bn_param):
    """It looks as if the running mean is updated in test mode as well. Then the test data leaks
    into the model, and the same question asked twice gets two answers.
    """
    return _meanonly(x, beta, bn_param, writes=("train", "test"))


@misconception("meanonly_batchnorm_forward", section="bn-test-mode")
def meanonly_subtracts_nothing_at_test(x, beta, bn_param):
    """It looks as if no mean is subtracted in test mode. The layers above have learned from
    centered numbers; at test time they should get the same kind. Which mean is at hand?
    """
    return _meanonly(
        x, beta, bn_param, reads=lambda mode, batch, running: batch if mode == "train" else 0
    )


@misconception("meanonly_batchnorm_forward", section="bn-running")
def meanonly_momentum_swapped(x, beta, bn_param):
    """It looks as if the old value and the batch's value have exchanged their weights. Here
    momentum says how much of the old value is kept. (PyTorch counts the other way around.)
    """
    return _meanonly(x, beta, bn_param, update=lambda old, new, m: m * new + (1 - m) * old)


@misconception("meanonly_batchnorm_forward", section="bn-running")
def meanonly_momentum_hard_coded(x, beta, bn_param):
    """It looks as if momentum is always 0.9, whatever bn_param says. That value is only the
    default, for a bn_param without the key.
    """
    return _meanonly(x, beta, bn_param, update=lambda old, new, m: 0.9 * old + (1 - 0.9) * new)


@misconception("meanonly_batchnorm_forward", section="bn-running")
def meanonly_not_decayed(x, beta, bn_param):
    """It looks as if each batch is added to the running mean, which itself is kept in full. If
    all batches were equal, where should the running mean settle, and where does yours go?
    """
    return _meanonly(x, beta, bn_param, update=lambda old, new, m: old + (1 - m) * new)


@misconception("meanonly_batchnorm_forward", section="bn-running")
def meanonly_last_batch(x, beta, bn_param):
    """It looks as if the running mean is that of the last batch. One batch is a noisy estimate;
    the layer should average over many, with the older ones slowly forgotten.
    """
    return _meanonly(x, beta, bn_param, update=lambda old, new, m: new)


@misconception("meanonly_batchnorm_forward", section="bn-running")
def meanonly_not_updated(x, beta, bn_param):
    """It looks as if bn_param ends up with the running mean it had before. Perhaps the update
    goes to a local variable and the old value is stored. Print bn_param before and after a call.
    """
    return _meanonly(x, beta, bn_param, update=lambda old, new, m: old)


@misconception("meanonly_batchnorm_forward", section="bn-running")
def meanonly_not_stored(x, beta, bn_param):
    """It looks as if the running mean never reaches bn_param. A local variable is gone when your
    function returns; only what is put into the dict is there at the next call.
    """
    return _meanonly(x, beta, bn_param, writes=())


@misconception("meanonly_batchnorm_forward", section="bn-running")
def meanonly_remembers_the_output(x, beta, bn_param):
    """It looks as if the running mean averages the output, whose mean is beta in every batch. At
    test time it is subtracted from x: whose mean has to be remembered?
    """
    return _meanonly(x, beta, bn_param, remembered=lambda x, beta: beta)


@misconception("meanonly_batchnorm_forward", section="bn-running")
def meanonly_keeps_an_axis(x, beta, bn_param):
    """It looks as if the running mean is stored with an axis of length 1 in front. It was handed
    in as one number a feature; whoever loads or compares it expects the shape it had.
    """
    return _meanonly(x, beta, bn_param, remembered=lambda x, beta: x.mean(axis=0, keepdims=True))


@misconception("meanonly_batchnorm_forward", section="wn-meanonly")
def meanonly_changes_x(x, beta, bn_param):
    """It looks as if your code writes into x itself, perhaps with an operator such as -=. The
    array belongs to the caller: the layer before needs it again in its own backward pass.
    """
    result = _meanonly(x.copy(), beta, bn_param)
    x -= x.mean()
    return result


@misconception("meanonly_batchnorm_forward", section="wn-meanonly")
def meanonly_in_float64(x, beta, bn_param):
    """It looks as if float32 data comes back as float64: somewhere an array of NumPy's default
    dtype takes part. Which array in your code was made without saying its dtype?
    """
    return _meanonly(x.astype(np.float64), beta.astype(np.float64), bn_param)


# ---------------------------------------------------------------- meanonly_batchnorm_backward


def _meanonly_backward(
    dout,
    cache,
    train=lambda dout: dout - dout.mean(axis=0),
    test=lambda dout: dout.copy(),
    dbeta=lambda dout: dout.sum(axis=0),
):
    """Gradients of mean-only batch norm with their parts as arguments."""
    dx = train(dout) if cache.mode == "train" else test(dout)
    return dx, dbeta(dout)


@misconception("meanonly_batchnorm_backward", section="wn-meanonly")
def meanonly_mean_held_constant(dout, cache):
    """It looks as if you treat the mean as a constant in train mode. It is computed from x: every
    entry of a column moves it, and through it all other outputs of that column.
    """
    return _meanonly_backward(dout, cache, train=lambda dout: dout.copy())


@misconception("meanonly_batchnorm_backward", section="wn-meanonly")
def meanonly_centered_at_test(dout, cache):
    """It looks as if the gradient is centered in test mode as well. There the running mean was
    subtracted, which no entry of this batch has touched. Which way back to x is left?
    """
    return _meanonly_backward(dout, cache, test=lambda dout: dout - dout.mean(axis=0))


@misconception("meanonly_batchnorm_backward", section="bn-axes")
def meanonly_gradient_of_rows(dout, cache):
    """It looks as if the mean of each row is taken out of dout. The forward pass subtracted the
    mean of each column. Along which axis do the gradients of that mean add up?
    """
    return _meanonly_backward(
        dout, cache, train=lambda dout: dout - dout.mean(axis=1, keepdims=True)
    )


@misconception("meanonly_batchnorm_backward", section="bn-axes")
def meanonly_gradient_of_the_table(dout, cache):
    """It looks as if one mean of the whole gradient is taken out. Every feature has a mean of its
    own, and so a sum of its own on the way back.
    """
    return _meanonly_backward(dout, cache, train=lambda dout: dout - dout.mean())


@misconception("meanonly_batchnorm_backward", section="bn-mean-path")
def meanonly_sum_not_divided(dout, cache):
    """It looks as if the number of samples is missing. A mean is an average, so each entry has
    only a small share in it. What is the derivative of a mean by one of its entries?
    """
    return _meanonly_backward(dout, cache, train=lambda dout: dout - dout.sum(axis=0))


@misconception("meanonly_batchnorm_backward", section="bn-mean-path")
def meanonly_divided_by_features(dout, cache):
    """It looks as if a sum over the samples is divided by the number of features. The mean of the
    forward pass runs down a column. How many entries does it average?
    """
    return _meanonly_backward(
        dout, cache, train=lambda dout: dout - dout.sum(axis=0) / dout.shape[1]
    )


@misconception("meanonly_batchnorm_backward", section="bn-mean-path")
def meanonly_mean_path_added(dout, cache):
    """It looks as if what comes back through the mean has the wrong sign. The forward pass
    subtracts the mean; when it grows, do the outputs grow or shrink?
    """
    return _meanonly_backward(dout, cache, train=lambda dout: dout + dout.mean(axis=0))


@misconception("meanonly_batchnorm_backward", section="bn-mean-path")
def meanonly_only_the_mean_path(dout, cache):
    """It looks as if only what came through the mean is left: dx is the same in all rows. But x
    was used twice, in the mean and in the difference. Perhaps one line overwrites the other,
    where the two should be added.
    """
    return _meanonly_backward(
        dout, cache, train=lambda dout: np.broadcast_to(-dout.mean(axis=0), dout.shape).copy()
    )


@misconception("meanonly_batchnorm_backward", section="bn-affine-gradients")
def meanonly_dbeta_averaged(dout, cache):
    """It looks as if dbeta is a mean over the batch. Beta is used once in every row, and the
    gradients of all its uses add up.
    """
    return _meanonly_backward(dout, cache, dbeta=lambda dout: dout.mean(axis=0))


@misconception("meanonly_batchnorm_backward", section="bn-affine-gradients")
def meanonly_dbeta_per_sample(dout, cache):
    """It looks as if dbeta is summed along each row: it has one entry a sample. A gradient has the
    shape of what it belongs to. What shape does beta have?
    """
    return _meanonly_backward(dout, cache, dbeta=lambda dout: dout.sum(axis=1))


@misconception("meanonly_batchnorm_backward", section="bn-affine-gradients")
def meanonly_dbeta_from_dx(dout, cache):
    """It looks as if dbeta is the sum of dx, which is 0 in train mode. Beta is added after the
    mean was subtracted: which gradient arrives there?
    """
    zero = cache.mode == "train"
    return _meanonly_backward(dout, cache, dbeta=lambda dout: dout.sum(axis=0) * (not zero))


@misconception("meanonly_batchnorm_backward", section="wn-meanonly")
def meanonly_changes_dout(dout, cache):
    """It looks as if your code writes into dout itself, perhaps with an operator such as -=. The
    array belongs to the caller, who may need it for another branch.
    """
    result = _meanonly_backward(dout.copy(), cache)
    dout -= 1
    return result


# ---------------------------------------------------------------- cosinenorm_forward


def _cosine(x, w, eps, of_x=_rows, of_w=_columns, with_eps=None, divisor=None, clean=None):
    """Cosine norm; `of_x` and `of_w` measure, `with_eps` turns a length into a divisor."""
    cache = dlnorm.cosinenorm_forward(x, w, eps)[1]
    eps = x.dtype.type(eps)
    with_eps = with_eps or (lambda length, eps: np.sqrt(length**2 + eps))
    if clean is not None:
        x, w = clean(x, w)
    with np.errstate(all="ignore"):
        if divisor is not None:
            return x @ w / divisor(_rows(x), _columns(w), eps), cache
        return (x / with_eps(of_x(x), eps)) @ (w / with_eps(of_w(w), eps)), cache


def _one(a):
    """No length at all: what is divided by it stays as it is."""
    return np.ones((1, 1), a.dtype)


@misconception("cosinenorm_forward", section="wn-cosine")
def cosine_one_norm_for_the_matrix(x, w, eps=0.0):
    """It looks as if all units are divided by one length, that of the whole matrix w. The cosine
    is taken with one unit at a time. How many lengths does w have?
    """
    return _cosine(x, w, eps, of_w=_whole)


@misconception("cosinenorm_forward", section="wn-cosine")
def cosine_one_norm_for_the_batch(x, w, eps=0.0):
    """It looks as if all samples are divided by one length, that of the whole batch x. Then the
    answer for one sample depends on its neighbors. How many lengths does x have?
    """
    return _cosine(x, w, eps, of_x=_whole)


@misconception("cosinenorm_forward", section="wn-cosine")
def cosine_one_norm_for_both(x, w, eps=0.0):
    """It looks as if x and w are each divided by one length, that of the whole array. A cosine
    belongs to a pair, one sample and one unit, and takes the lengths of these two.
    """
    return _cosine(x, w, eps, of_x=_whole, of_w=_whole)


@misconception("cosinenorm_forward", section="wn-cosine")
def cosine_of_w_only(x, w, eps=0.0):
    """It looks as if only w is divided by its lengths. That is weight norm: a sample that is
    twice as large still gets an answer twice as large. A cosine stays between -1 and 1.
    """
    return _cosine(x, w, eps, of_x=_one, with_eps=_eps_unless_one)


@misconception("cosinenorm_forward", section="wn-cosine")
def cosine_of_x_only(x, w, eps=0.0):
    """It looks as if only x is divided by its lengths. A unit with long weights still answers
    louder than the others. A cosine stays between -1 and 1.
    """
    return _cosine(x, w, eps, of_w=_one, with_eps=_eps_unless_one)


def _eps_unless_one(length, eps):
    return length if length.shape == (1, 1) else np.sqrt(length**2 + eps)


@misconception("cosinenorm_forward", section="wn-cosine")
def cosine_not_divided(x, w, eps=0.0):
    """It looks as if nothing is divided by a length: this is the plain dot product of the linear
    layer. What makes a cosine of it?
    """
    return _cosine(x, w, eps, divisor=lambda of_x, of_w, eps: 1)


@misconception("cosinenorm_forward", section="wn-cosine")
def cosine_squared_lengths(x, w, eps=0.0):
    """It looks as if you divide by the squares of the lengths. What is the cosine of a vector
    with itself, and what does your function give for it?
    """
    return _cosine(x, w, eps, with_eps=lambda length, eps: length**2 + eps)


@misconception("cosinenorm_forward", section="wn-cosine")
def cosine_x_by_columns(x, w, eps=0.0):
    """It looks as if x is divided by the lengths of its columns. A sample is a row of x, and it
    is the sample whose direction counts. Does your answer for one sample change with the others?
    """
    return _cosine(x, w, eps, of_x=_columns)


@misconception("cosinenorm_forward", section="wn-cosine")
def cosine_w_by_rows(x, w, eps=0.0):
    """It looks as if w is divided by the lengths of its rows. A unit is a column of w, and the
    angle is taken with that column.
    """
    return _cosine(x, w, eps, of_w=_rows)


@misconception("cosinenorm_forward", section="wn-cosine")
def cosine_without_eps(x, w, eps=0.0):
    """It looks as if eps is not used. Behind a ReLU a whole row of x can be zero, and zero has no
    direction: 0/0. What does eps make of that row?
    """
    return _cosine(x, w, eps, with_eps=lambda length, eps: length)


@misconception("cosinenorm_forward", section="wn-cosine")
def cosine_eps_outside_the_root(x, w, eps=0.0):
    """It looks as if eps is added to the lengths, after the root. The exercise adds it to the
    squared lengths. For long vectors that hardly shows. What comes out for a row of zeros is the
    same; what for a very short row?
    """
    return _cosine(x, w, eps, with_eps=lambda length, eps: length + eps)


@misconception("cosinenorm_forward", section="wn-cosine")
def cosine_eps_on_the_product(x, w, eps=0.0):
    """It looks as if eps is added once, to the product of the two lengths. Each of the two
    lengths has a root of its own here, with an eps of its own.
    """
    return _cosine(x, w, eps, divisor=lambda of_x, of_w, eps: of_x * of_w + eps)


@misconception("cosinenorm_forward", section="wn-cosine")
def cosine_one_root(x, w, eps=0.0):
    """It looks as if eps is added once, to the product of the two squared lengths. Each of the
    two lengths has a root of its own here, with an eps of its own.
    """
    return _cosine(x, w, eps, divisor=lambda of_x, of_w, eps: np.sqrt(of_x**2 * of_w**2 + eps))


@misconception("cosinenorm_forward", section="wn-cosine")
def cosine_eps_in_x_only(x, w, eps=0.0):
    """It looks as if eps is added for x and left out for w. The exercise treats both alike."""
    return _cosine(x, w, eps, divisor=lambda of_x, of_w, eps: np.sqrt(of_x**2 + eps) * of_w)


@misconception("cosinenorm_forward", section="wn-cosine")
def cosine_eps_as_a_floor(x, w, eps=0.0):
    """It looks as if eps is a least length: a shorter one is replaced by it, and the others stay as
    they are. Some libraries do so. The exercise adds eps to the squared length of every vector.
    """
    return _cosine(x, w, eps, with_eps=np.maximum)


@misconception("cosinenorm_forward", section="wn-cosine")
def cosine_eps_as_a_floor_of_the_product(x, w, eps=0.0):
    """It looks as if eps is the least value of the product of the two lengths, as in some
    libraries. The exercise adds eps to the squared length of every vector.
    """
    return _cosine(x, w, eps, divisor=lambda of_x, of_w, eps: np.maximum(of_x * of_w, eps))


@misconception("cosinenorm_forward", section="wn-cosine")
def cosine_centers_first(x, w, eps=0.0):
    """It looks as if the mean is subtracted from each sample and each unit first. That gives a
    correlation. A cosine is the angle between the vectors as they are, measured from 0.
    """
    return _cosine(
        x, w, eps, clean=lambda x, w: (x - x.mean(axis=1, keepdims=True), w - w.mean(axis=0))
    )


@misconception("cosinenorm_forward", section="wn-cosine")
def cosine_sign_lost(x, w, eps=0.0):
    """It looks as if the sign of the cosine is lost. Two vectors that point in opposite
    directions have the cosine -1, not 1.
    """
    out, cache = _cosine(x, w, eps)
    return np.abs(out), cache


@misconception("cosinenorm_forward", section="wn-cosine")
def cosine_changes_x(x, w, eps=0.0):
    """It looks as if your code writes into x itself, perhaps with an operator such as /=. The
    array belongs to the caller: the layer before needs it again in its own backward pass.
    """
    result = _cosine(x.copy(), w, eps)
    x *= 0.5
    return result


@misconception("cosinenorm_forward", section="wn-cosine")
def cosine_changes_w(x, w, eps=0.0):
    """It looks as if your code writes into w itself, perhaps with an operator such as /=. w is a
    parameter of the layer: the optimizer changes it, the forward pass only reads it.
    """
    result = _cosine(x, w.copy(), eps)
    w *= 0.5
    return result


@misconception("cosinenorm_forward", section="wn-cosine")
def cosine_in_float64(x, w, eps=0.0):
    """It looks as if float32 data comes back as float64: somewhere a number or an array of
    NumPy's default dtype takes part. Which array in your code was made without saying its dtype?
    """
    return _cosine(x.astype(np.float64), w.astype(np.float64), eps)


# ---------------------------------------------------------------- invariances


def _row(norm, claims):
    """The right row of the table, with the cells turned that `claims` has: change to norms."""
    from dlnorm.grading.exercises.weightnorm import _invariances

    row = _invariances(norm)
    return {change: same != (norm in claims.get(change, ())) for change, same in row.items()}


_STATISTICS = ("batch", "layer", "group", "instance")


@misconception("invariances", section="inv-data")
def weight_norm_forgets_data_scale(norm):
    """It looks as if, in your table, weight norm does not notice that the data is larger. It
    divides the weights by their length and never looks at x. What is three times the input of a
    linear layer?
    """
    return _row(norm, {"data x 3": ("weight",)})


@misconception("invariances", section="inv-weights")
def sign_does_not_matter(norm):
    """It looks as if, in your table, the sign of the factor does not matter. A length and a
    deviation are positive: divided by them, a number that has turned its sign keeps it. "The
    same but for the sign" is not the same.
    """
    return _row(norm, {"weights x -3": ("weight", "cosine", *_STATISTICS)})


@misconception("invariances", section="inv-weights")
def one_unit_does_not_matter(norm):
    """It looks as if, in your table, this norm does not care about the weights of one unit. Over
    what are its mean and variance taken: over the units, or for each unit by itself? What
    happens to the neighbors of a unit that gets louder?
    """
    return _row(norm, {"one unit x 3": ("layer", "group")})


@misconception("invariances", section="inv-data")
def one_sample_does_not_matter(norm):
    """It looks as if, in your table, this norm does not notice that a single sample is larger.
    Over what are its mean and variance taken? Ask what becomes of that sample, and what becomes
    of the others.
    """
    return _row(norm, {"one sample x 3": ("batch",)})


@misconception("invariances", section="inv-data")
def shift_goes_with_the_mean_of_a_sample(norm):
    """It looks as if, in your table, this norm does not notice a shift of the data, because it
    subtracts a mean. After the linear map the shift is another number for each unit. Is that
    what the mean of one sample takes away?
    """
    return _row(norm, {"data shifted": ("layer", "group")})


@misconception("invariances", section="inv-data")
def lengths_forget_a_shift(norm):
    """It looks as if, in your table, this norm does not notice a shift of the data. It divides by
    a length and subtracts no mean. What could take the shift away again?
    """
    return _row(norm, {"data shifted": ("weight", "cosine")})


@misconception("invariances", section="inv-data")
def shift_stays_in_batch_statistics(norm):
    """It looks as if, in your table, a shift of the data changes what this norm gives. All
    samples, or all pixels, are shifted by the same vector, so one unit moves by the same number
    in all of them. What does a mean over these take away?
    """
    return _row(norm, {"data shifted": ("batch", "instance")})


@misconception("invariances", section="inv-weights")
def weight_scale_is_noticed(norm):
    """It looks as if, in your table, this norm notices a positive factor on all weights. What it
    divides by is computed from the weights, directly or by way of what they produce. By which
    factor does that grow?
    """
    return _row(norm, {"weights x 3": ("weight", "cosine", *_STATISTICS)})


@misconception("invariances", section="inv-weights")
def one_unit_is_noticed(norm):
    """It looks as if, in your table, this norm notices that the weights of one unit are longer.
    Does it divide that unit by something of its own, or by something it shares with the other
    units?
    """
    return _row(norm, {"one unit x 3": ("weight", "cosine", "batch", "instance")})


@misconception("invariances", section="inv-data")
def data_scale_is_noticed(norm):
    """It looks as if, in your table, this norm notices a positive factor on all data. What it
    divides by is computed from the data, directly or by way of what the layer makes of it. By
    which factor does that grow?
    """
    return _row(norm, {"data x 3": ("cosine", *_STATISTICS)})


@misconception("invariances", section="inv-data")
def one_sample_is_noticed(norm):
    """It looks as if, in your table, this norm notices that one sample is larger. Does it divide
    that sample by something of its own, or by something that it shares with the other samples?
    """
    return _row(norm, {"one sample x 3": ("cosine", "layer", "group", "instance")})


@misconception("invariances", section="inv-data")
def weight_norm_forgets_one_sample(norm):
    """It looks as if, in your table, weight norm does not notice that one sample is larger. It
    never looks at x. What does a linear layer answer to that sample?
    """
    return _row(norm, {"one sample x 3": ("weight",)})


@misconception("invariances", section="inv-data")
def cosine_norm_is_weight_norm(norm):
    """It looks as if, in your table, cosine norm leaves the data as it is, as weight norm does.
    It divides by two lengths. Which is the second?
    """
    return _row(norm, {"data x 3": ("cosine",), "one sample x 3": ("cosine",)})


@misconception("invariances", section="inv-table")
def none_forgets_scales(norm):
    """It looks as if, in your table, a plain linear layer does not notice a positive factor.
    Nothing is divided there. The row without a norm says what the norms are there for.
    """
    scales = ("weights x 3", "one unit x 3", "data x 3", "one sample x 3")
    return _row(norm, dict.fromkeys(scales, ("none",)))


@misconception("invariances", section="inv-table")
def everything_is_the_same(norm):
    """It looks as if, in your table, no norm notices anything: every cell is True. Then the norm
    could not tell one input from another either. Ask for each cell what the norm divides by and
    what it subtracts.
    """
    return dict.fromkeys(_row(norm, {}), True)


@misconception("invariances", section="inv-table")
def everything_changes(norm):
    """It looks as if, in your table, every norm notices everything: every cell is False. That is
    how a layer without a norm behaves. Ask for each cell what the norm divides by and what it
    subtracts.
    """
    return dict.fromkeys(_row(norm, {}), False)


@misconception("invariances", section="inv-table")
def cells_exchanged(norm):
    """It looks as if True and False are exchanged in your whole table. True stands for an output
    that is the same as before.
    """
    return {change: not same for change, same in _row(norm, {}).items()}


# ---------------------------------------------------------------- cosinenorm_backward


def _cosine_backward(
    dout, cache, along=(1.0, 1.0), powers=(1, 1), units=None, through=None, axes=(1, 0)
):
    """Cosine norm's gradients; what is wrong is given for x first, then for w.

    `units` is what is projected on, `through` what dout is carried back by, `axes` where the dot
    product of the projection sums.
    """
    directions = cache.x, cache.w
    units = units or tuple(d.unit for d in directions)
    by_x, by_w = through or tuple(d.unit for d in directions)
    carried = dout @ by_w.T, by_x.T @ dout
    return tuple(
        (d - a * unit * (unit * d).sum(axis=axis, keepdims=True)) / direction.length**power
        for d, direction, a, unit, axis, power in zip(
            carried, directions, along, units, axes, powers, strict=True
        )
    )


def _vectors(cache):
    """The x and w that a cache came from."""
    return tuple(direction.unit * direction.length for direction in (cache.x, cache.w))


@misconception("cosinenorm_backward", section="wn-cosine")
def cosine_lengths_held_constant(dout, cache):
    """It looks as if you treat the two lengths as constants. They are computed from x and w as
    well. Stretching a vector does not change a cosine: what is the dot product of each row of dx
    with its row of x, and what should it be (for eps = 0)?
    """
    return _cosine_backward(dout, cache, along=(0, 0))


@misconception("cosinenorm_backward", section="wn-cosine")
def cosine_dx_not_projected(dout, cache):
    """It looks as if the lengths of the samples are treated as constants in dx. They are computed
    from x as well. Stretching a sample does not change a cosine, so what may be left of dx along
    x?
    """
    return _cosine_backward(dout, cache, along=(0, 1))


@misconception("cosinenorm_backward", section="wn-cosine")
def cosine_dw_not_projected(dout, cache):
    """It looks as if the lengths of the units are treated as constants in dw. They are computed
    from w as well. Stretching a unit's weights does not change a cosine, so what may be left of
    dw along w?
    """
    return _cosine_backward(dout, cache, along=(1, 0))


@misconception("cosinenorm_backward", section="wn-cosine")
def cosine_gradients_of_the_linear_layer(dout, cache):
    """It looks as if these are the gradients of a linear layer. Between it and the output stand
    two divisions by lengths, and the lengths themselves depend on x and w.
    """
    x, w = _vectors(cache)
    return dout @ w.T, x.T @ dout


@misconception("cosinenorm_backward", section="wn-cosine")
def cosine_lengths_missing_backward(dout, cache):
    """It looks as if the gradients have come back to the directions of x and w, and not further:
    the division by the lengths is missing. A long vector has to be moved further than a short
    one to turn it by the same angle.
    """
    return _cosine_backward(dout, cache, powers=(0, 0))


@misconception("cosinenorm_backward", section="wn-cosine")
def cosine_dx_length_missing(dout, cache):
    """It looks as if dx is not divided by the length of its sample. A long vector has to be moved
    further than a short one to turn it by the same angle.
    """
    return _cosine_backward(dout, cache, powers=(0, 1))


@misconception("cosinenorm_backward", section="wn-cosine")
def cosine_dw_length_missing(dout, cache):
    """It looks as if dw is not divided by the length of its unit. A long vector has to be moved
    further than a short one to turn it by the same angle.
    """
    return _cosine_backward(dout, cache, powers=(1, 0))


@misconception("cosinenorm_backward", section="wn-cosine")
def cosine_lengths_squared_backward(dout, cache):
    """It looks as if the gradients are divided by a length once too often. When x becomes twice as
    long, the same step turns it half as far. By which factor should dx change?
    """
    return _cosine_backward(dout, cache, powers=(2, 2))


@misconception("cosinenorm_backward", section="wn-cosine")
def cosine_dx_through_w(dout, cache):
    """It looks as if dout is multiplied by w itself on the way to dx. What multiplied x in the
    forward pass was the direction of w.
    """
    x, w = cache.x.unit, _vectors(cache)[1]
    return _cosine_backward(dout, cache, through=(x, w))


@misconception("cosinenorm_backward", section="wn-cosine")
def cosine_dw_through_x(dout, cache):
    """It looks as if dout is multiplied by x itself on the way to dw. What multiplied w in the
    forward pass was the direction of x.
    """
    x, w = _vectors(cache)[0], cache.w.unit
    return _cosine_backward(dout, cache, through=(x, w))


@misconception("cosinenorm_backward", section="wn-cosine")
def cosine_divided_by_one_length(dout, cache):
    """It looks as if these are the gradients of a linear layer, dx divided by the lengths of the
    samples and dw by those of the units. Every output was divided by two lengths, and both
    divisions lie on the way back to x and to w. And each length depends on its vector.
    """
    x, w = _vectors(cache)
    return _cosine_backward(dout, cache, along=(0, 0), through=(x, w))


@misconception("cosinenorm_backward", section="wn-cosine")
def cosine_projection_added(dout, cache):
    """It looks as if the parts of the gradients along x and along w are added where they should
    be taken out. Stretching a vector does not change a cosine: what may be left of them?
    """
    return _cosine_backward(dout, cache, along=(-1, -1))


@misconception("cosinenorm_backward", section="wn-cosine")
def cosine_projected_on_the_vectors(dout, cache):
    """It looks as if what is taken out of the gradients is computed with x and w, where their
    directions belong. How much of one arrow lies along another must not depend on how long the
    other is.
    """
    return _cosine_backward(dout, cache, units=_vectors(cache))


@misconception("cosinenorm_backward", section="wn-cosine")
def cosine_dx_projected_along_columns(dout, cache):
    """It looks as if the dot products for dx run down the columns. A sample is a row of x, and
    its gradient has to be perpendicular to that row.
    """
    return _cosine_backward(dout, cache, axes=(0, 0))


@misconception("cosinenorm_backward", section="wn-cosine")
def cosine_dw_projected_along_rows(dout, cache):
    """It looks as if the dot products for dw run along the rows. A unit is a column of w, and its
    gradient has to be perpendicular to that column.
    """
    return _cosine_backward(dout, cache, axes=(1, 1))


@misconception("cosinenorm_backward", section="wn-cosine")
def cosine_projected_all_at_once(dout, cache):
    """It looks as if one dot product serves the whole array, in dx and in dw. Each sample, and
    each unit, turns by itself.
    """
    return _cosine_backward(dout, cache, axes=((0, 1), (0, 1)))


@misconception("cosinenorm_backward", section="wn-cosine")
def cosine_projection_averaged(dout, cache):
    """It looks as if means are taken where the gradients along x and w should be summed. A length
    adds up squares; there is no average in a cosine.
    """
    n, d_out = dout.shape
    return _cosine_backward(dout, cache, along=(1 / d_out, 1 / n))


@misconception("cosinenorm_backward", section="wn-cosine")
def cosine_eps_missing_backward(dout, cache):
    """It looks as if eps is missing in the backward pass. The forward pass divided by lengths
    with eps inside, and the way back has to use those same numbers. Are they in your cache?
    """
    bare = []
    for vectors, measure in zip(_vectors(cache), (_rows, _columns), strict=True):
        length = measure(vectors)
        with np.errstate(all="ignore"):
            bare.append(cache.x._replace(unit=vectors / length, length=length))
    with np.errstate(all="ignore"):
        return _cosine_backward(dout, cache._replace(x=bare[0], w=bare[1]))


@misconception("cosinenorm_backward", section="wn-cosine")
def cosine_gradients_exchanged(dout, cache):
    """It looks as if the two gradients come in the wrong order. The docstring says which is
    first.
    """
    return _cosine_backward(dout, cache)[::-1]


@misconception("cosinenorm_backward", section="wn-cosine")
def cosine_changes_dout(dout, cache):
    """It looks as if your code writes into dout itself, perhaps with an operator such as *=. The
    array belongs to the caller, who may need it for another branch.
    """
    result = _cosine_backward(dout.copy(), cache)
    dout *= 2
    return result
