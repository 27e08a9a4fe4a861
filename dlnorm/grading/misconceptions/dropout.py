"""Wrong variants of dropout. Each docstring is the hint a student reads.

A forward variant hands a cache to the right backward pass, so its gradients are those of what
it computes; a backward variant gets the cache of `exercises.dropout`, which remembers more.
"""

from __future__ import annotations

import numpy as np

from dlnorm.dropout import DropoutCache
from dlnorm.grading.exercise import misconception

# ---------------------------------------------------------------- a mask


@misconception("draw_mask", section="dropout-mask")
def draw_keep_and_drop_swapped(shape, p, rng):
    """It looks as if an entry is 1 with probability p. Here p is the chance of being dropped, and
    1 means kept. Think of p = 0.1: which of the two numbers should then be rare?
    """
    return _below(shape, p, rng)


@misconception("draw_mask", section="dropout-scale")
def draw_scaled_mask(shape, p, rng):
    """The mask is already scaled. This exercise asks for the bare coins, 0 or 1; what a kept entry
    is multiplied by comes later, where the mask is used.
    """
    return (1 - _below(shape, p, rng)) / (1 - p)


@misconception("draw_mask", section="dropout-seeds")
def draw_ignores_rng(shape, p, rng):
    """The mask is not drawn from the generator that was handed in: the same state of rng gives
    another mask. Whoever calls your function could then never repeat a result.
    """
    return 1 - _below(shape, p, np.random.default_rng())


@misconception("draw_mask", section="dropout-seeds")
def draw_new_generator_each_time(shape, p, rng):
    """Every call gives the same mask. It looks as if a generator with a fixed seed is made inside
    the function, so that all coins start over; the one that was handed in moves on by itself.
    """
    return 1 - _below(shape, p, np.random.default_rng(0))


@misconception("draw_mask", section="dropout-mask")
def draw_one_coin_a_column(shape, p, rng):
    """Entries along the first axis always share their fate. It looks as if one coin is tossed and
    then repeated. How many numbers do you draw, and how many entries does the mask have?
    """
    return 1 - np.broadcast_to(_below(shape[1:], p, rng), shape)


@misconception("draw_mask", section="dropout-mask")
def draw_normal_numbers(shape, p, rng):
    """The share of zeros does not follow p. It looks as if p is compared with numbers from a
    normal distribution. Which numbers lie below p with probability p, for every p?
    """
    return (rng.standard_normal(shape) >= p).astype(float)


@misconception("draw_mask", section="dropout-mask")
def draw_fair_coins(shape, p, rng):
    """Half of the entries are dropped, whatever p is. Is p used at all where the coins are tossed,
    or were numbers rounded to 0 and 1?
    """
    return 1 - _below(shape, 0.5, rng)


def _below(shape, p, rng):
    """1 with probability p, else 0."""
    return (rng.random(shape) < p).astype(float)


# ---------------------------------------------------------------- forward, train mode


@misconception("dropout_forward", section="dropout-mask")
def keep_and_drop_swapped(x, dropout_param):
    """It looks as if p is taken for the probability of being kept, in the mask and in the scale.
    In this course p is the share that is dropped. At p = 0.5 nobody can tell the two apart.
    """
    return _dropout(x, dropout_param, kept=_is_below, divisor=lambda p: p)


@misconception("dropout_forward", section="dropout-scale")
def not_scaled(x, dropout_param):
    """The survivors come out as they went in, so on average out is smaller than x, and test time
    looks different from training. In the inverted form it is the training pass that makes up for
    what was lost. For how many entries does one survivor have to stand?
    """
    return _dropout(x, dropout_param, divisor=lambda p: 1)


@misconception("dropout_forward", section="dropout-scale")
def scaled_by_one_over_p(x, dropout_param):
    """The right share is dropped, but the survivors are divided by p, the share of the others.
    Try p = 0.1: hardly anything is dropped, and yet out is, on average, nine times x.
    """
    return _dropout(x, dropout_param, divisor=lambda p: p)


@misconception("dropout_forward", section="dropout-mask")
def mask_of_the_dropped(x, dropout_param):
    """The scale is right, but the mask is 1 where an entry was to be dropped, so a share p
    survives. Read your comparison aloud: what does True mean, and how often is it True?
    """
    return _dropout(x, dropout_param, kept=_is_below)


@misconception("dropout_forward", section="dropout-scale")
def multiplied_by_keep(x, dropout_param):
    """The survivors are made smaller, although the sum has already lost the dropped ones. Work
    out the mean of one entry of out by hand, for x = 1: does it come back to 1?
    """
    return _dropout(x, dropout_param, divisor=lambda p: 1 / (1 - p))


@misconception("dropout_forward", section="dropout-in-code")
def p_over_p(x, dropout_param):
    """In training nothing is dropped: out equals x. If a comparison and a division stand in one
    expression, which of them does Python do first? Otherwise check whether the mask is used.
    """
    _p_and_mode(dropout_param)
    return x.copy(), DropoutCache(1.0, x.shape)


@misconception("dropout_forward", section="dropout-per-unit")
def one_coin_a_column(x, dropout_param):
    """Whole columns are dropped: one coin decides for all samples of the batch. Here every entry
    has a coin of its own. Compare the shape of your mask with the shape of x.
    """
    return _dropout(x, dropout_param, shape=(1, *x.shape[1:]))


@misconception("dropout_forward", section="dropout-mask")
def one_coin_a_row(x, dropout_param):
    """Whole rows are dropped: a sample keeps everything or loses everything. Here every entry has
    a coin of its own. Compare the shape of your mask with the shape of x.
    """
    return _dropout(x, dropout_param, shape=(len(x),) + (1,) * (x.ndim - 1))


@misconception("dropout_forward", section="dropout-mask")
def normal_for_uniform(x, dropout_param):
    """The share that is dropped does not follow p. It looks as if p is compared with normally
    distributed numbers. Which numbers lie below p with probability p, for every p?
    """
    normal = _generator(dropout_param).standard_normal(x.shape)
    return _dropout(x, dropout_param, kept=lambda u, p: normal >= p)


@misconception("dropout_forward", section="dropout-mask")
def p_hard_coded(x, dropout_param):
    """Half of the entries are dropped and the others doubled, whatever p is. It looks as if 0.5 is
    written somewhere in place of p.
    """
    _p_and_mode(dropout_param)
    return _dropout(x, {**dropout_param, "p": 0.5})


@misconception("dropout_forward", section="dropout-seeds")
def mask_reused(x, dropout_param):
    """Every call drops the same entries. It looks as if the mask is stored, or drawn each time
    from a generator with the same seed. Training would then always use one thin network, and the
    others would never learn.
    """
    return _dropout(x, {**dropout_param, "seed": 0})


@misconception("dropout_forward", section="dropout-mask")
def relu_inside(x, dropout_param):
    """All negative entries come out as 0. It looks as if a ReLU is part of your dropout. The
    activation function is a layer of its own, which comes before; dropout takes any number.
    """
    _, (factor, shape) = _dropout(x, dropout_param)
    return np.maximum(x, 0) * factor, DropoutCache(factor, shape)


@misconception("dropout_forward", section="dropout-in-code")
def x_changed_in_place(x, dropout_param):
    """Your function changes the array x that it was handed. Whoever called it still needs x, for
    example in the backward pass of the layer before. Look for operators that write into x, such
    as *=, and for assignments to parts of x.
    """
    _, cache = _dropout(x, dropout_param)
    x *= cache.factor
    return x, cache


@misconception("dropout_forward", section="dropout-in-code")
def float64_out(x, dropout_param):
    """The values are right, but x is float32 and out is float64. Which dtype has your mask? A
    float32 array times a float64 array is float64, and from there on the whole network computes
    in double precision, at twice the memory.
    """
    out, cache = _dropout(x, dropout_param)
    return out.astype(np.float64 if dropout_param["mode"] == "train" else x.dtype), cache


@misconception("dropout_forward", section="dropout-in-code")
def two_dimensions_only(x, dropout_param):
    """Your function works for arrays with two axes only. Dropout treats each entry by itself, so it
    need not know how many axes there are: images of shape (N, C, H, W) are dropped alike.
    """
    n, d = x.shape
    return _dropout(x, dropout_param, shape=(n, d))


# ---------------------------------------------------------------- forward: test mode, p and seed


@misconception("dropout_forward", section="dropout-test-time")
def scaled_at_test(x, dropout_param):
    """At test time your output is smaller than x, by the factor 1 - p. That belongs to the
    classical form, which leaves the survivors as they are in training. Here training has already
    taken care of the scale: what is left to do at test time?
    """
    return _at_test(x, dropout_param, lambda x, p: x * (1 - p))


@misconception("dropout_forward", section="dropout-test-time")
def divided_at_test(x, dropout_param):
    """At test time nothing is dropped, yet your output is larger than x. It looks as if the scale
    is applied in both modes. What does the scale make up for, and is that missing here?
    """
    return _at_test(x, dropout_param, lambda x, p: x / (1 - p))


@misconception("dropout_forward", section="dropout-test-time")
def multiplied_by_p_at_test(x, dropout_param):
    """At test time your output is p times x. No form of dropout does this when p is the
    probability of being dropped; and in the inverted form, is there anything to scale at all
    once nothing is dropped?
    """
    return _at_test(x, dropout_param, lambda x, p: x * p)


@misconception("dropout_forward", section="dropout-test-time")
def mask_active_at_test(x, dropout_param):
    """Entries are dropped at test time too, so the same input gets another answer at each call.
    Is the mode looked at? A prediction uses all units.
    """
    return _dropout(x, {**dropout_param, "mode": "train"})


@misconception("dropout_forward", section="dropout-test-time")
def mask_is_none_at_test(x, dropout_param):
    """Test mode stops with a TypeError. If it speaks of NoneType, then the mask is still None
    there, because only training draws one, and something is computed with it all the same.
    """
    mask = None if dropout_param["mode"] == "test" else 1.0
    x * mask
    return _dropout(x, dropout_param)


@misconception("dropout_forward", section="dropout-scale")
def p_not_checked(x, dropout_param):
    """A value of p that is no probability, or that drops everything, goes through without a word.
    The result is useless, and the mistake surfaces far away from its cause. Say at the door what
    you accept.
    """
    return _lenient(x, dropout_param, accepts=lambda p: True)


@misconception("dropout_forward", section="dropout-scale")
def p_one_accepted(x, dropout_param):
    """You accept p = 1. Put it into your scale: what do you divide by? When everything is
    dropped, no scale can make up for it, so this value has to be refused.
    """
    return _lenient(x, dropout_param, accepts=lambda p: 0 <= p <= 1)


@misconception("dropout_forward", section="dropout-scale")
def negative_p_accepted(x, dropout_param):
    """A negative p is accepted. A probability cannot be negative: nothing is dropped, and yet the
    entries are scaled, so the output is quietly wrong.
    """
    return _lenient(x, dropout_param, accepts=lambda p: p < 1)


@misconception("dropout_forward", section="dropout-scale")
def p_zero_refused(x, dropout_param):
    """You refuse p = 0, but it is a fair value: nothing is dropped. It is how dropout is switched
    off without changing the code. Check which end of the interval belongs to it.
    """
    return _lenient(x, dropout_param, accepts=lambda p: 0 < p < 1)


@misconception("dropout_forward", section="dropout-seeds")
def seed_ignored(x, dropout_param):
    """The same seed gives another mask. It looks as if the seed is never handed to the generator
    that draws the mask. Without it no gradient check of your network can work.
    """
    return _dropout(x, {k: v for k, v in dropout_param.items() if k != "seed"})


@misconception("dropout_forward", section="dropout-seeds")
def seed_zero_ignored(x, dropout_param):
    """Seeds work, except for seed 0. It looks as if the code asks whether the seed is true, and 0
    counts as false. The question is whether there is a seed.
    """
    param = {k: v for k, v in dropout_param.items() if k != "seed" or v}
    return _dropout(x, param)


@misconception("dropout_forward", section="dropout-seeds")
def reseeds_the_global_generator(x, dropout_param):
    """The mask repeats, but your function also resets NumPy's global generator. After each call
    every other random number in the program starts over: shuffling, augmentation, the masks of
    other layers. Can the seed be kept to a generator of your own?
    """
    if "seed" in dropout_param:
        np.random.seed(dropout_param["seed"])
    return _dropout(x, dropout_param)


def _is_below(uniform, p):
    return uniform < p


def _generator(dropout_param):
    return np.random.default_rng(dropout_param.get("seed"))


def _p_and_mode(dropout_param):
    if not 0 <= dropout_param["p"] < 1:
        raise ValueError("p")
    return dropout_param["p"], dropout_param["mode"]


def _dropout(x, dropout_param, *, kept=None, divisor=None, shape=None):
    """Inverted dropout, right unless an argument says otherwise."""
    p, mode = _p_and_mode(dropout_param)
    if mode == "test":
        return x.copy(), DropoutCache(1.0, x.shape)
    uniform = _generator(dropout_param).random(shape or x.shape)
    mask = uniform >= p if kept is None else kept(uniform, p)
    factor = mask / np.float64(1 - p if divisor is None else divisor(p))
    factor = np.broadcast_to(factor, x.shape).astype(x.dtype)
    return x * factor, DropoutCache(factor, x.shape)


def _at_test(x, dropout_param, scale):
    """Right in training, `scale` at test time."""
    p, mode = _p_and_mode(dropout_param)
    if mode == "train":
        return _dropout(x, dropout_param)
    factor = scale(np.ones((), x.dtype), x.dtype.type(p))
    return x * factor, DropoutCache(factor, x.shape)


def _lenient(x, dropout_param, accepts):
    """Right for a fair p, with another idea of what is fair."""
    p = dropout_param["p"]
    if not accepts(p):
        raise ValueError("p")
    if 0 <= p < 1:
        return _dropout(x, dropout_param)
    factor = (_generator(dropout_param).random(x.shape) >= p) / np.float64(1 - p)
    return x * factor, DropoutCache(factor, x.shape)


# ---------------------------------------------------------------- backward


@misconception("dropout_backward", section="dropout-backward-pass")
def fresh_mask(dout, cache):
    """The gradient is zero at other entries than those the forward pass dropped. It looks as if
    the backward pass draws a mask of its own. Going backward there is no chance left: what did
    the forward pass multiply each entry by?
    """
    if cache.mode == "test":
        return dout.copy()
    return dout * np.random.default_rng().permuted(cache.factor)


@misconception("dropout_backward", section="dropout-backward-pass")
def backward_mask_turned_around(dout, cache):
    """The gradient passes exactly where the forward pass dropped, and stops where it kept. It looks
    as if a comparison stands the other way around in the backward pass, or the mask marks what
    is dropped in one pass and what is kept in the other.
    """
    if cache.mode == "test":
        return dout.copy()
    return dout * np.where(cache.factor == 0, np.max(cache.factor), 0)


@misconception("dropout_backward", section="dropout-backward-pass")
def scale_omitted(dout, cache):
    """The gradient stops where entries were dropped, but the kept ones pass it on unscaled. In
    the forward pass each kept entry was multiplied by a number; that number is its slope.
    """
    return dout * (cache.factor != 0)


@misconception("dropout_backward", section="dropout-backward-pass")
def scaled_twice(dout, cache):
    """The gradient of the kept entries has the scale in it twice. Perhaps the stored mask is
    scaled already, and your backward pass scales again?
    """
    return dout * cache.factor**2


@misconception("dropout_backward", section="dropout-backward-pass")
def mask_guessed_from_out(dout, cache):
    """Where x is 0, no gradient ever passes. It looks as if the mask is guessed from which entries
    of out are 0; but an entry of out can be 0 although it was kept. The forward pass knows the
    difference: what should it remember?
    """
    return dout * cache.factor.max() * (cache.out != 0) if cache.mode == "train" else dout.copy()


@misconception("dropout_backward", section="dropout-backward-pass")
def mask_forgotten(dout, cache):
    """Dropped entries receive a gradient. They had no influence on the output, so however they
    change, the loss stays the same. Is the mask part of your backward pass?
    """
    return dout * float(np.max(cache.factor))


@misconception("dropout_backward", section="dropout-backward-pass")
def times_x(dout, cache):
    """The gradient depends on the values of x. Dropout multiplies x by something that does not
    depend on x; differentiate such a product with respect to x, and see what is left.
    """
    return dout * cache.factor * cache.x


@misconception("dropout_backward", section="dropout-backward-pass")
def divided_by_the_mask(dout, cache):
    """Going backward you divide by what the forward pass multiplied by, so dropped entries divide
    by zero. A backward pass does not undo the forward pass: it asks how much the output changes
    when the input does.
    """
    return dout / cache.factor


@misconception("dropout_backward", section="dropout-backward-pass")
def dout_changed_in_place(dout, cache):
    """Your function changes the array dout that it was handed. In a network with branches the same
    gradient is still needed elsewhere. Give out an array of its own.
    """
    dout *= cache.factor
    return dout


@misconception("dropout_backward", section="dropout-backward-pass")
def backward_scaled_at_test(dout, cache):
    """The cache comes from test mode, where out is x itself, but the gradient is scaled. Does
    your backward pass know in which mode the forward pass ran?
    """
    scale = dout.dtype.type(1 - cache.p) if cache.mode == "test" else 1
    return dout * cache.factor / scale


@misconception("dropout_backward", section="dropout-backward-pass")
def backward_masked_at_test(dout, cache):
    """The cache comes from test mode, where nothing is dropped, but parts of the gradient are
    gone. Does your backward pass know in which mode the forward pass ran?
    """
    if cache.mode == "train":
        return dout * cache.factor
    return dout * (np.random.default_rng().random(dout.shape) >= cache.p) / (1 - cache.p)


# ---------------------------------------------------------------- one coin a unit


@misconception("unit_dropout_forward", section="dropout-per-unit")
def unit_one_coin_an_entry(x, dropout_param):
    """The entries of a column are dropped independently. Here a unit is off for the whole batch or
    on for the whole batch: how many coins is that, and which shape has such a mask?
    """
    return _dropout(x, dropout_param)


@misconception("unit_dropout_forward", section="dropout-per-unit")
def unit_one_coin_a_row(x, dropout_param):
    """Whole rows are dropped, that is whole samples. A unit of the layer is a column of x: along
    which axis do your coins lie?
    """
    return _dropout(x, dropout_param, shape=(len(x), 1))


@misconception("unit_dropout_forward", section="dropout-mask")
def unit_keep_and_drop_swapped(x, dropout_param):
    """It looks as if p is taken for the probability that a unit is kept, in the coins and in the
    scale. Here p is the probability that it is dropped.
    """
    return _per_unit(x, dropout_param, kept=_is_below, divisor=lambda p: p)


@misconception("unit_dropout_forward", section="dropout-scale")
def unit_not_scaled(x, dropout_param):
    """The columns that are kept come out as they went in. What changed is only how many samples
    share a coin; the mean of one entry is lowered all the same, and has to be restored.
    """
    return _per_unit(x, dropout_param, divisor=lambda p: 1)


@misconception("unit_dropout_forward", section="dropout-scale")
def unit_scaled_by_one_over_p(x, dropout_param):
    """The right share of the units is dropped, but the others are divided by p, the share of those
    that are gone. For how many units does one survivor have to stand?
    """
    return _per_unit(x, dropout_param, divisor=lambda p: p)


@misconception("unit_dropout_forward", section="dropout-test-time")
def unit_mask_active_at_test(x, dropout_param):
    """Units are dropped at test time too. Is the mode looked at? A prediction uses all units."""
    return _per_unit(x, {**dropout_param, "mode": "train"})


@misconception("unit_dropout_forward", section="dropout-seeds")
def unit_mask_reused(x, dropout_param):
    """Every call drops the same units. It looks as if the coins are stored, or drawn each time from
    a generator with the same seed. Those units would never learn.
    """
    return _per_unit(x, {**dropout_param, "seed": 0})


@misconception("unit_dropout_forward", section="dropout-in-code")
def unit_x_changed_in_place(x, dropout_param):
    """Your function changes the array x that it was handed, perhaps by setting its columns to
    zero. Whoever called it still needs x. Work on an array of your own.
    """
    _, cache = _per_unit(x, dropout_param)
    x *= cache.factor
    return x, cache


def _per_unit(x, dropout_param, **wrong):
    return _dropout(x, dropout_param, shape=(1, *x.shape[1:]), **wrong)


# ---------------------------------------------------------------- the classical form


@misconception("classical_dropout_forward", section="dropout-scale")
def classical_scaled_in_training(x, dropout_param):
    """In training your survivors are scaled. That is the inverted form. The classical form drops
    and does nothing else in training, and settles the account later.
    """
    return _classical(x, dropout_param, divisor=lambda p: 1 - p)


@misconception("classical_dropout_forward", section="dropout-mask")
def classical_keep_and_drop_swapped(x, dropout_param):
    """It looks as if p is taken for the probability of being kept: a share p of the entries
    survives. Here p is the probability of being dropped, in the classical form as well.
    """
    return _classical(x, dropout_param, kept=_is_below)


@misconception("classical_dropout_forward", section="dropout-in-code")
def classical_x_changed_in_place(x, dropout_param):
    """Your function changes the array x that it was handed. Whoever called it still needs x. Look
    for operators that write into x, such as *=, and for assignments to parts of x.
    """
    _, cache = _classical(x, dropout_param)
    x *= cache.factor
    return x, cache


@misconception("classical_dropout_forward", section="dropout-test-time")
def classical_not_scaled_at_test(x, dropout_param):
    """At test time x comes out unchanged. In the classical form training passes on less than x on
    average, and the next layer has learned to live with that. What does it receive at test time,
    when nothing is dropped?
    """
    return _classical(x, dropout_param, at_test=lambda p: 1)


@misconception("classical_dropout_forward", section="dropout-test-time")
def classical_multiplied_by_p_at_test(x, dropout_param):
    """At test time your output is p times x. Which share of x gets through in training, on average?
    In many texts p is the probability of being kept; here it is the other one.
    """
    return _classical(x, dropout_param, at_test=lambda p: p)


@misconception("classical_dropout_forward", section="dropout-test-time")
def classical_divided_at_test(x, dropout_param):
    """At test time your output is larger than x. In training less than x gets through, on average.
    Should test time give the next layer more than it is used to, or the same?
    """
    return _classical(x, dropout_param, at_test=lambda p: 1 / (1 - p))


@misconception("classical_dropout_forward", section="dropout-test-time")
def classical_mask_active_at_test(x, dropout_param):
    """Entries are dropped at test time too, so the same input gets another answer at each call. A
    prediction uses all units, and puts their average in the place of chance.
    """
    return _classical(x, {**dropout_param, "mode": "train"})


def _classical(x, dropout_param, *, kept=None, divisor=lambda p: 1, at_test=lambda p: 1 - p):
    """Classical dropout, right unless an argument says otherwise."""
    p, mode = _p_and_mode(dropout_param)
    if mode == "train":
        return _dropout(x, dropout_param, kept=kept, divisor=divisor)
    factor = x.dtype.type(at_test(p))
    return x * factor, DropoutCache(factor, x.shape)


# ---------------------------------------------------------------- Gaussian dropout


@misconception("gaussian_dropout_forward", section="shift-gaussian")
def gaussian_keep_and_drop_swapped(x, dropout_param):
    """The variance of your noise is what it should be for 1 - p. It looks as if p is taken for the
    probability of being kept. Let p go to 0, where hardly anything is dropped: how large should
    the noise be?
    """
    return _gaussian(x, dropout_param, std=lambda p: np.sqrt((1 - p) / p))


@misconception("gaussian_dropout_forward", section="shift-gaussian")
def gaussian_variance_for_the_std(x, dropout_param):
    """The variance of your noise is the square of what it should be. Functions that draw normal
    numbers are scaled by, or ask for, the standard deviation. What is it that you gave them?
    """
    return _gaussian(x, dropout_param, std=lambda p: p / (1 - p))


@misconception("gaussian_dropout_forward", section="shift-gaussian")
def gaussian_variance_is_p(x, dropout_param):
    """It looks as if p itself is the variance of your noise. The factor of inverted dropout is 0
    with probability p, and otherwise larger than 1: how far from its mean is it, on average,
    when p is close to 1?
    """
    return _gaussian(x, dropout_param, std=lambda p: np.sqrt(p))


@misconception("gaussian_dropout_forward", section="shift-gaussian")
def gaussian_deviation_is_p(x, dropout_param):
    """It looks as if p itself is the standard deviation of your noise. The noise is to have the
    variance that the factor of inverted dropout has; work that out for a coin with probability
    p, the scale of the survivors included.
    """
    return _gaussian(x, dropout_param, std=lambda p: p)


@misconception("gaussian_dropout_forward", section="shift-gaussian")
def gaussian_variance_of_the_bare_mask(x, dropout_param):
    """Your noise has the variance of the coins alone, of a mask of zeros and ones. Inverted dropout
    does not multiply by the bare mask: what else is in its factor, and what does a constant
    factor do to a variance?
    """
    return _gaussian(x, dropout_param, std=lambda p: np.sqrt(p * (1 - p)))


@misconception("gaussian_dropout_forward", section="shift-gaussian")
def gaussian_mean_zero(x, dropout_param):
    """Your noise has mean 0, so on average nothing of x is left: the next layer receives noise of
    x's size and no signal. What must the mean of a factor be, if the expectation of out is x?
    """
    return _gaussian(x, dropout_param, mean=0)


@misconception("gaussian_dropout_forward", section="shift-gaussian")
def gaussian_scaled_again(x, dropout_param):
    """On average your output is larger than x. It looks as if the survivors' scale of a mask is
    applied here as well. What does that scale make up for, and is anything dropped here?
    """
    return _gaussian(x, dropout_param, scale=lambda p: 1 / (1 - p))


@misconception("gaussian_dropout_forward", section="shift-gaussian")
def gaussian_noise_added(x, dropout_param):
    """Your noise is as large where x is small as where x is large. It looks as if it is added.
    Dropout, in each of its forms, multiplies: an entry that is 0 stays 0.
    """
    if dropout_param["mode"] == "test":
        return _gaussian(x, dropout_param)
    p = dropout_param["p"]
    noise = np.random.default_rng().normal(0, np.sqrt(p / (1 - p)), x.shape)
    out = x + noise.astype(x.dtype)
    # so that the backward pass fits: there a gradient without noise is a mistake of its own
    factor = np.divide(out, x, out=np.ones_like(x), where=x != 0)
    return out, DropoutCache(factor, x.shape)


@misconception("gaussian_dropout_forward", section="shift-gaussian")
def gaussian_no_noise(x, dropout_param):
    """In training out is x itself. Is the noise drawn and then not used, or is the mode compared
    with the wrong word? Training is where the noise belongs.
    """
    return _gaussian(x, {**dropout_param, "mode": "test"})


@misconception("gaussian_dropout_forward", section="shift-gaussian")
def gaussian_a_mask_instead(x, dropout_param):
    """Your factors take two values only. Mean and variance are right, but this is the mask of
    inverted dropout again; asked for are normally distributed factors.
    """
    return _dropout(x, dropout_param)


@misconception("gaussian_dropout_forward", section="shift-gaussian")
def gaussian_uniform_numbers(x, dropout_param):
    """Mean and variance of your factors are right, but they are spread evenly over an interval.
    Asked for is the normal distribution.
    """
    return _gaussian(x, dropout_param, draw=lambda rng, shape: rng.uniform(-1, 1, shape) * 3**0.5)


@misconception("gaussian_dropout_forward", section="dropout-per-unit")
def gaussian_one_number_a_column(x, dropout_param):
    """All samples of the batch share their noise: along the first axis the factors repeat. Here
    every entry has a number of its own. How many do you draw?
    """
    return _gaussian(x, dropout_param, shape=(1, *x.shape[1:]))


@misconception("gaussian_dropout_forward", section="shift-gaussian")
def gaussian_one_number_for_all(x, dropout_param):
    """All entries are multiplied by one and the same number. It looks as if a single normal number
    is drawn in each call. How many entries does x have?
    """
    return _gaussian(x, dropout_param, shape=(1,) * x.ndim)


@misconception("gaussian_dropout_forward", section="dropout-seeds")
def gaussian_noise_reused(x, dropout_param):
    """Every call multiplies by the same numbers. It looks as if the noise is stored, or drawn each
    time from a generator with the same seed. Noise that never changes is no noise: the network
    learns to undo it.
    """
    return _gaussian(x, dropout_param, seed=0)


@misconception("gaussian_dropout_forward", section="dropout-test-time")
def gaussian_noise_at_test(x, dropout_param):
    """Your noise is there at test time too, so the same input gets another answer at each call. Is
    the mode looked at?
    """
    return _gaussian(x, {**dropout_param, "mode": "train"})


@misconception("gaussian_dropout_forward", section="dropout-in-code")
def gaussian_float64_out(x, dropout_param):
    """The values are right, but x is float32 and out is float64. Random numbers are drawn in double
    precision, and whatever is multiplied by them becomes double as well.
    """
    out, cache = _gaussian(x, dropout_param)
    return out.astype(np.float64 if dropout_param["mode"] == "train" else x.dtype), cache


@misconception("gaussian_dropout_forward", section="dropout-in-code")
def gaussian_x_changed_in_place(x, dropout_param):
    """Your function changes the array x that it was handed. Whoever called it still needs x. Look
    for operators that write into x, such as *=.
    """
    _, cache = _gaussian(x, dropout_param)
    x *= np.asarray(cache.factor, dtype=x.dtype)
    return x, cache


@misconception("gaussian_dropout_backward", section="dropout-backward-pass")
def gaussian_gradient_unchanged(dout, cache):
    """Your backward pass hands dout on as it is, although in the forward pass every entry was
    multiplied by a number. How much does out change if the entry of x changes a little?
    """
    return dout.copy()


@misconception("gaussian_dropout_backward", section="dropout-backward-pass")
def gaussian_fresh_noise(dout, cache):
    """The gradient is multiplied by other numbers than the forward pass multiplied by. It looks as
    if the backward pass draws noise of its own. Going backward there is no chance left: what must
    the forward pass remember?
    """
    return dout * np.random.default_rng().permuted(cache.factor) if _noisy(cache) else dout.copy()


@misconception("gaussian_dropout_backward", section="dropout-backward-pass")
def gaussian_gradient_divided(dout, cache):
    """Going backward you divide by what the forward pass multiplied by. A backward pass does not
    undo the forward pass: it asks how much the output changes when the input does.
    """
    return dout / cache.factor


@misconception("gaussian_dropout_backward", section="dropout-backward-pass")
def gaussian_gradient_times_x(dout, cache):
    """The gradient is dout times the output of the forward pass, x included. The output is a
    product of x and a number that does not depend on x; differentiate it, and see what is left.
    """
    return dout * cache.out


@misconception("gaussian_dropout_backward", section="dropout-backward-pass")
def gaussian_noise_twice(dout, cache):
    """The gradient has the noise in it squared. In the forward pass every entry met its number
    once; how often does the gradient meet it?
    """
    return dout * cache.factor**2


@misconception("gaussian_dropout_backward", section="dropout-backward-pass")
def gaussian_noise_guessed_from_out(dout, cache):
    """Where x is 0 the gradient is not a number. It looks as if the noise is recovered by dividing
    out by x. The forward pass knew the noise itself: what should it remember?
    """
    with np.errstate(invalid="ignore"):
        return dout * (cache.out / cache.x)


@misconception("gaussian_dropout_backward", section="dropout-backward-pass")
def gaussian_gradient_lost_at_zero(dout, cache):
    """Where x is 0, no gradient passes. It looks as if such an entry is taken for a dropped one.
    Here nothing is dropped, and an entry that is 0 now can still be changed by learning.
    """
    return dout * cache.factor * (cache.out != 0)


def _noisy(cache):
    return np.ndim(cache.factor) > 0


def _gaussian(
    x, dropout_param, *, std=None, mean=1, scale=lambda p: 1, draw=None, shape=None, seed=None
):
    """Gaussian dropout, right unless an argument says otherwise."""
    p, mode = _p_and_mode(dropout_param)
    if mode == "test":
        return x.copy(), DropoutCache(1.0, x.shape)
    rng, shape = np.random.default_rng(seed), shape or x.shape
    numbers = rng.standard_normal(shape) if draw is None else draw(rng, shape)
    factor = (mean + (np.sqrt(p / (1 - p)) if std is None else std(p)) * numbers) * scale(p)
    factor = np.broadcast_to(factor, x.shape).astype(x.dtype)
    return x * factor, DropoutCache(factor, x.shape)


# ---------------------------------------------------------------- uniform noise


@misconception("uniform_dropout_forward", section="shift-uniform")
def uniform_from_zero_to_beta(x, dropout_param):
    """On average your output is larger than x: it looks as if r only ever adds to the factor. On
    which sides of 0 may r lie, and what is then its mean?
    """
    return _uniform(x, dropout_param, draw=lambda u: u)


@misconception("uniform_dropout_forward", section="shift-uniform")
def uniform_factor_from_zero_to_beta(x, dropout_param):
    """On average little of x is left: the factor itself seems to be drawn between 0 and beta. The
    noise is what comes on top of 1, in either direction.
    """
    return _uniform(x, dropout_param, draw=lambda u: u, one=0)


@misconception("uniform_dropout_forward", section="shift-uniform")
def uniform_mean_zero(x, dropout_param):
    """Your factors have mean 0, so on average nothing of x is left. It looks as if x is multiplied
    by r itself. What must the mean of a factor be, if the expectation of out is x?
    """
    return _uniform(x, dropout_param, one=0)


@misconception("uniform_dropout_forward", section="shift-uniform")
def uniform_half_as_wide(x, dropout_param):
    """Your noise has the right mean and half the width. beta is the largest r, in either
    direction; how long is the interval from one end to the other?
    """
    return _uniform(x, dropout_param, draw=lambda u: u - 0.5)


@misconception("uniform_dropout_forward", section="shift-uniform")
def uniform_normal_numbers(x, dropout_param):
    """Your noise is normally distributed, with beta for its standard deviation, so that some of it
    is far larger than beta. Asked for are numbers spread evenly over an interval.
    """
    return _uniform(x, dropout_param, normal=True)


@misconception("uniform_dropout_forward", section="shift-uniform")
def uniform_noise_added(x, dropout_param):
    """Your noise is as large where x is small as where x is large. It looks as if r is added to x.
    Dropout, in each of its forms, multiplies: an entry that is 0 stays 0.
    """
    _, cache = _uniform(x, dropout_param)
    return x + (cache.factor - 1), cache


@misconception("uniform_dropout_forward", section="shift-uniform")
def uniform_no_noise(x, dropout_param):
    """In training out is x itself. Is r drawn and then not used, or is the mode compared with the
    wrong word? Training is where the noise belongs.
    """
    return _uniform(x, {**dropout_param, "mode": "test"})


@misconception("uniform_dropout_forward", section="dropout-per-unit")
def uniform_one_number_a_column(x, dropout_param):
    """All samples of the batch share their noise: along the first axis the factors repeat. Every
    entry has an r of its own. How many numbers do you draw?
    """
    return _uniform(x, dropout_param, shape=(1, *x.shape[1:]))


@misconception("uniform_dropout_forward", section="shift-uniform")
def uniform_one_number_for_all(x, dropout_param):
    """All entries are multiplied by one and the same number. It looks as if a single r is drawn in
    each call. How many entries does x have?
    """
    return _uniform(x, dropout_param, shape=(1,) * x.ndim)


@misconception("uniform_dropout_forward", section="dropout-seeds")
def uniform_noise_reused(x, dropout_param):
    """Every call multiplies by the same numbers. It looks as if they are stored, or drawn each time
    from a generator with the same seed. The network would learn to undo them.
    """
    return _uniform(x, dropout_param, seed=0)


@misconception("uniform_dropout_forward", section="dropout-test-time")
def uniform_noise_at_test(x, dropout_param):
    """Your noise is there at test time too, so the same input gets another answer at each call. Is
    the mode looked at?
    """
    return _uniform(x, {**dropout_param, "mode": "train"})


@misconception("uniform_dropout_forward", section="dropout-in-code")
def uniform_float64_out(x, dropout_param):
    """The values are right, but x is float32 and out is float64. Random numbers are drawn in double
    precision, and whatever is multiplied by them becomes double as well.
    """
    out, cache = _uniform(x, dropout_param)
    return out.astype(np.float64 if dropout_param["mode"] == "train" else x.dtype), cache


@misconception("uniform_dropout_forward", section="dropout-in-code")
def uniform_x_changed_in_place(x, dropout_param):
    """Your function changes the array x that it was handed. Whoever called it still needs x. Look
    for operators that write into x, such as *=.
    """
    _, cache = _uniform(x, dropout_param)
    x *= cache.factor
    return x, cache


def _uniform(
    x, dropout_param, *, draw=lambda u: 2 * u - 1, one=1, normal=False, shape=None, seed=None
):
    """Uout, right unless an argument says otherwise."""
    if dropout_param["mode"] == "test":
        return x.copy(), DropoutCache(x.dtype.type(1), x.shape)
    rng, shape = np.random.default_rng(seed), shape or x.shape
    numbers = rng.standard_normal(shape) if normal else draw(rng.random(shape))
    factor = one + dropout_param["beta"] * numbers
    factor = np.broadcast_to(factor, x.shape).astype(x.dtype)
    return x * factor, DropoutCache(factor, x.shape)


# ---------------------------------------------------------------- the mean of many noisy passes


@misconception("mc_predict", section="avg-monte-carlo")
def mc_averages_scores(network, x, passes):
    """Your mean comes from averaged scores, which are turned into probabilities at the end. What is
    to be averaged is the answers of the passes, and an answer is a probability. A softmax is no
    straight line: the order of the two steps matters.
    """
    scores = _passes(network, x, passes)
    return _softmax(scores.mean(axis=0)), _softmax(scores).var(axis=0)


@misconception("mc_predict", section="avg-monte-carlo")
def mc_mean_and_variance_of_scores(network, x, passes):
    """Your results do not look like probabilities: they are the mean and the variance of the
    scores. What does this network return, and what has to be done with it in each pass?
    """
    scores = _passes(network, x, passes)
    return scores.mean(axis=0), scores.var(axis=0)


@misconception("mc_predict", section="avg-monte-carlo")
def mc_variance_of_scores(network, x, passes):
    """The mean is right, but the variance is that of the scores. Both belong to the same
    quantity, the probabilities of the passes.
    """
    scores = _passes(network, x, passes)
    return _softmax(scores).mean(axis=0), scores.var(axis=0)


@misconception("mc_predict", section="avg-monte-carlo")
def mc_std_for_variance(network, x, passes):
    """The mean is right, but in the place of the variance stands its root, the standard
    deviation.
    """
    mean, variance = _mean_and_variance(_passes(network, x, passes))
    return mean, np.sqrt(variance)


@misconception("mc_predict", section="avg-monte-carlo")
def mc_unbiased_variance(network, x, passes):
    """Your variance is too large by a factor that depends on the number of passes, and a single
    pass gives none at all. It looks as if it is divided by one less than the number of passes.
    Here it describes the passes you have, not all that could have been drawn.
    """
    scores = _passes(network, x, passes)
    mean, variance = _mean_and_variance(scores)
    return mean, variance * passes / max(passes - 1, 1)


@misconception("mc_predict", section="avg-monte-carlo")
def mc_second_moment(network, x, passes):
    """The mean is right, but your variance is the mean of the squares. Squares of what: how far is
    each pass from the mean of all passes?
    """
    probabilities = _softmax(_passes(network, x, passes))
    return probabilities.mean(axis=0), np.square(probabilities).mean(axis=0)


@misconception("mc_predict", section="avg-monte-carlo")
def mc_dropout_off(network, x, passes):
    """All your passes give the same answer, and the variance is 0: it looks as if the network is
    run in test mode. That is an ordinary prediction. Which part of the network has to be noisy
    here?
    """
    return _mean_and_variance(_passes(network, x, passes, dropout="test"))


@misconception("mc_predict", section="avg-monte-carlo")
def mc_norm_in_train_mode(network, x, passes):
    """It looks as if all of the network runs in train mode, the normalization layer included. That
    layer then takes its statistics from the batch, so that the answer for one sample depends on
    which others are asked about. Which layers should be noisy, and which should do what they do
    in every prediction?
    """
    return _mean_and_variance(_passes(network, x, passes, norm="train"))


@misconception("mc_predict", section="avg-monte-carlo")
def mc_modes_swapped(network, x, passes):
    """The two modes seem to be exchanged: dropout is off and the normalization layer works with the
    statistics of the batch. Look at the order of the arguments, and at which of the two is to be
    noisy.
    """
    return _mean_and_variance(_passes(network, x, passes, dropout="test", norm="train"))


@misconception("mc_predict", section="avg-monte-carlo")
def mc_one_pass_repeated(network, x, passes):
    """Your variance is 0 and your mean is that of a single noisy pass. It looks as if the network
    is called once and its answer used again. Every pass needs noise of its own.
    """
    return _mean_and_variance(_passes(network, x, 1).repeat(passes, axis=0))


@misconception("mc_predict", section="avg-monte-carlo")
def mc_sum_of_the_passes(network, x, passes):
    """Your mean does not add up to 1 over the classes, as probabilities do. It looks as if the
    passes are added up, and the sum is left as it is.
    """
    mean, variance = _mean_and_variance(_passes(network, x, passes))
    return mean * passes, variance


def _passes(network, x, passes, dropout="train", norm="test"):
    """The scores of every pass."""
    return np.stack([network(x, dropout, norm) for _ in range(passes)])


def _softmax(scores):
    odds = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


def _mean_and_variance(scores):
    probabilities = _softmax(scores)
    return probabilities.mean(axis=0), probabilities.var(axis=0)


# ---------------------------------------------------------------- three layers, two masks


@misconception("three_layer_forward", section="dropout-network")
def masks_ignored(x, weights, u1, u2):
    """The masks have no effect on your output. Each of the two belongs right behind a hidden
    layer, before the next weights.
    """
    return _network(x, weights, np.ones_like(u1), np.ones_like(u2))


@misconception("three_layer_forward", section="dropout-network")
def second_mask_forgotten(x, weights, u1, u2):
    """The first mask is used, the second has no effect on your output."""
    return _network(x, weights, u1, np.ones_like(u2))


@misconception("three_layer_forward", section="dropout-network")
def first_mask_forgotten(x, weights, u1, u2):
    """The second mask is used, the first has no effect on your output."""
    return _network(x, weights, np.ones_like(u1), u2)


@misconception("three_layer_forward", section="dropout-scale")
def masks_made_binary(x, weights, u1, u2):
    """Your network drops the right units but loses the scale. The masks are scaled already: their
    entries are numbers to multiply by, not only a yes or no.
    """
    return _network(x, weights, (u1 != 0).astype(float), (u2 != 0).astype(float))


@misconception("three_layer_forward", section="dropout-network")
def relu_on_the_output(x, weights, u1, u2):
    """Negative outputs are missing. It looks as if the third layer has a ReLU as well; the outputs
    of this network are scores, which may have either sign.
    """
    out, cache = _network(x, weights, u1, u2)
    return np.maximum(out, 0), cache


@misconception("three_layer_forward", section="dropout-network")
def no_relu(x, weights, u1, u2):
    """Your network is linear in x as long as the masks are fixed. It looks as if the ReLU behind
    the hidden layers is missing.
    """
    return _network(x, weights, u1, u2, relu=lambda z: z)


@misconception("three_layer_forward", section="dropout-network")
def mask_before_the_bias(x, weights, u1, u2):
    """It looks as if a mask is applied before the bias is added. A dropped unit is then not off:
    its bias still reaches the next layer. Dropout comes last, behind the activation.
    """
    w = weights
    h1 = np.maximum(x @ w["W1"] * u1 + w["b1"], 0)
    h2 = np.maximum(h1 @ w["W2"] * u2 + w["b2"], 0)
    _, cache = _network(x, weights, u1, u2)
    return h2 @ w["W3"] + w["b3"], cache


@misconception("three_layer_backward", section="dropout-network")
def masks_missing_on_the_way_back(dout, cache):
    """The output is right, but gradients flow through dropped units. What was multiplied by a mask
    in the forward pass is multiplied by the same mask on the way back.
    """
    return _network_backward(dout, cache, masks=False)


@misconception("three_layer_backward", section="dropout-network")
def relu_missing_on_the_way_back(dout, cache):
    """The gradients ignore the ReLU. Where a hidden unit was cut off at zero, a small change of
    its input changes nothing; what does this make of its gradient?
    """
    return _network_backward(dout, cache, relu=False)


@misconception("three_layer_backward", section="dropout-network")
def scale_missing_on_the_way_back(dout, cache):
    """The gradients stop at the dropped units, but the scale of the kept ones is missing. The
    masks are scaled; a yes or no is not enough on the way back either.
    """
    return _network_backward(dout, cache, mask=lambda u: (u != 0).astype(float))


@misconception("three_layer_backward", section="dropout-network")
def weight_gradient_from_before_the_mask(dout, cache):
    """The gradients of the second and third weights are computed with hidden values from before
    the mask. What did these weights really multiply in the forward pass?
    """
    return _network_backward(dout, cache, dropped_inputs=False)


@misconception("three_layer_backward", section="dropout-network")
def bias_gradient_a_mean(dout, cache):
    """The gradients of the biases are too small by the batch size. It looks as if a mean is taken
    over the batch. The loss behind dout has already decided on any averaging.
    """
    dx, grads = _network_backward(dout, cache)
    return dx, {k: g / len(dx) if k[0] == "b" else g for k, g in grads.items()}


@misconception("three_layer_backward", section="dropout-network")
def all_gradients_averaged(dout, cache):
    """All gradients of the weights and biases are too small by the batch size. It looks as if they
    are divided by the number of samples. The loss behind dout has already decided on any
    averaging.
    """
    dx, grads = _network_backward(dout, cache)
    return dx, {k: g / len(dx) for k, g in grads.items()}


def _network(x, weights, u1, u2, *, relu=lambda z: np.maximum(z, 0)):
    """The forward pass, right unless an argument says otherwise."""
    a1 = relu(x @ weights["W1"] + weights["b1"])
    h1 = a1 * u1
    a2 = relu(h1 @ weights["W2"] + weights["b2"])
    h2 = a2 * u2
    out = h2 @ weights["W3"] + weights["b3"]
    return out, (x, a1, h1, a2, h2, u1, u2, weights)


def _network_backward(dout, cache, *, masks=True, relu=True, mask=lambda u: u, dropped_inputs=True):
    """The backward pass, right unless an argument says otherwise."""
    x, a1, h1, a2, h2, u1, u2, weights = cache
    in2, in3 = (h1, h2) if dropped_inputs else (a1, a2)

    def through(dh, a, u):
        dh = dh * mask(u) if masks else dh
        return dh * (a > 0) if relu else dh

    grads = {"W3": in3.T @ dout, "b3": dout.sum(axis=0)}
    dz2 = through(dout @ weights["W3"].T, a2, u2)
    grads |= {"W2": in2.T @ dz2, "b2": dz2.sum(axis=0)}
    dz1 = through(dz2 @ weights["W2"].T, a1, u1)
    grads |= {"W1": x.T @ dz1, "b1": dz1.sum(axis=0)}
    return dz1 @ weights["W1"].T, grads
