"""Wrong variants of the shift, of placement and of a whole network. Each docstring is a hint.

A wrong block remembers what the reference's block remembers, because the reference's backward
pass is run on it; a wrong `train` may return a function that names images by itself.
"""

from __future__ import annotations

import numpy as np

from dlnorm.grading.exercise import misconception

EPS = 1e-5

# ---------------------------------------------------------------- shift_dropout


@misconception("shift_dropout", section="shift-derived")
def shift_keep_and_drop_swapped(c, v, keep):
    """It looks as if keep is taken for the probability of being dropped. Try keep = 0.9: only one
    entry in ten is lost, so the shift should be close to 1. Is it?
    """
    return v / ((c**2 + v) / (1 - keep) - c**2)


@misconception("shift_dropout", section="shift-derived")
def shift_without_mean(c, v, keep):
    """It looks as if the mean of the unit does not enter. That is right only for a unit of mean 0.
    A mask turns a large constant into a number that jumps between 0 and something larger: what
    is the variance of that?
    """
    return v / (v / keep)


@misconception("shift_dropout", section="shift-derived")
def shift_inverted(c, v, keep):
    """The two variances are right, but the ratio stands upside down: it is above 1. Which of the
    two is smaller, the one with the noise of training or the one of test time? The test variance
    is asked for in units of the other.
    """
    return ((c**2 + v) / keep - c**2) / v


@misconception("shift_dropout", section="shift-derived")
def shift_of_deviations(c, v, keep):
    """What comes out is the ratio of the standard deviations. The shift is that of the
    variances; was a root taken somewhere?
    """
    return np.sqrt(v / ((c**2 + v) / keep - c**2))


@misconception("shift_dropout", section="shift-derived")
def shift_of_second_moment(c, v, keep):
    """It looks as if the mean square of the noisy unit is taken for its variance. Something is left
    to subtract. Check with keep = 1: without dropout, nothing should shift.
    """
    return v / ((c**2 + v) / keep)


@misconception("shift_dropout", section="shift-derived")
def shift_of_bare_mask(c, v, keep):
    """It looks as if the survivors are not scaled: this is the variance behind a mask of zeros and
    ones. Inverted dropout does something else to what it keeps; with what mean does that leave
    the unit?
    """
    return v / (keep * (c**2 + v) - (keep * c) ** 2)


@misconception("shift_dropout", section="shift-derived")
def shift_mean_not_squared(c, v, keep):
    """It looks as if the mean enters where its square belongs. Units tell: c is in the unit of x, v
    in the unit of x squared, and the two cannot be added. The sign of c should not matter.
    """
    return v / ((c + v) / keep - c)


@misconception("shift_dropout", section="shift-derived")
def shift_as_difference(c, v, keep):
    """It looks as if you compute how far the two variances are apart. The shift is how many times
    one is the other: a number without unit, 1 if nothing shifts.
    """
    return v - ((c**2 + v) / keep - c**2)


@misconception("shift_dropout", section="shift-derived")
def shift_keep_squared(c, v, keep):
    """It looks as if the square of keep stands where keep belongs. The scale is squared, but a mask
    entry of 0 or 1 squared is itself: what is the mean of a squared coin?
    """
    return v / ((c**2 + v) / keep**2 - c**2)


# ---------------------------------------------------------------- shift_noise


def _noise_shift(c, v, noise):
    return v / ((c**2 + v) * (1 + noise) - c**2)


def _gaussian(p):
    return p / (1 - p)


def _uniform(beta):
    return beta**2 / 3


def _by_kind(c, v, kind, strength, gaussian=_gaussian, uniform=_uniform, shift=_noise_shift):
    """The right shift, unless told otherwise for one of the two kinds or for both."""
    return shift(c, v, (gaussian if kind == "gaussian" else uniform)(strength))


@misconception("shift_noise", section="shift-gaussian")
def gaussian_p_is_keep(c, v, kind, strength):
    """Uout is right. For Gaussian dropout it looks as if p is taken for the probability of keeping.
    At p = 0.1 little should be disturbed: how large is your noise there, and at p = 0.9?
    """
    return _by_kind(c, v, kind, strength, gaussian=lambda p: (1 - p) / p)


@misconception("shift_noise", section="shift-gaussian")
def gaussian_deviation_for_variance(c, v, kind, strength):
    """Uout is right. For Gaussian dropout it looks as if the standard deviation of the noise stands
    where its variance belongs. Which of the two is p / (1 - p)?
    """
    return _by_kind(c, v, kind, strength, gaussian=lambda p: np.sqrt(p / (1 - p)))


@misconception("shift_noise", section="shift-gaussian")
def gaussian_variance_squared(c, v, kind, strength):
    """Uout is right. For Gaussian dropout it looks as if the variance of the noise is squared once
    more, as if p / (1 - p) were a standard deviation.
    """
    return _by_kind(c, v, kind, strength, gaussian=lambda p: (p / (1 - p)) ** 2)


@misconception("shift_noise", section="shift-gaussian")
def gaussian_variance_of_bare_coin(c, v, kind, strength):
    """Uout is right. For Gaussian dropout you seem to use p (1 - p), the variance of a coin that is
    0 or 1. The noise imitates the coin after it was scaled, so that its mean is 1.
    """
    return _by_kind(c, v, kind, strength, gaussian=lambda p: p * (1 - p))


@misconception("shift_noise", section="shift-uniform")
def uniform_variance_of_unit_interval(c, v, kind, strength):
    """Gaussian dropout is right. For Uout it looks as if the variance is that of noise between 0
    and beta. The noise lies between -beta and beta: how wide is that, and how does a variance
    grow with the width?
    """
    return _by_kind(c, v, kind, strength, uniform=lambda beta: beta**2 / 12)


@misconception("shift_noise", section="shift-uniform")
def uniform_beta_not_squared(c, v, kind, strength):
    """Gaussian dropout is right. For Uout it looks as if beta enters the variance without a square.
    Noise that is twice as wide has how many times the variance?
    """
    return _by_kind(c, v, kind, strength, uniform=lambda beta: beta / 3)


@misconception("shift_noise", section="shift-uniform")
def uniform_beta_as_deviation(c, v, kind, strength):
    """Gaussian dropout is right. For Uout it looks as if beta is the standard deviation of the
    noise. It is the largest value that the noise takes; most of it is smaller.
    """
    return _by_kind(c, v, kind, strength, uniform=lambda beta: beta**2)


@misconception("shift_noise", section="shift-gaussian")
def noise_without_its_mean(c, v, kind, strength):
    """It looks as if the variance of the factor is taken for its mean square. The factor is 1 on
    average: what does that add?
    """
    return _by_kind(c, v, kind, strength, shift=lambda c, v, noise: v / ((c**2 + v) * noise - c**2))


@misconception("shift_noise", section="shift-derived")
def noise_on_the_variance_only(c, v, kind, strength):
    """It looks as if the noise stretches the spread of the unit but not its mean. The factor
    multiplies all of x: a constant unit becomes noise, too. Where did c go?
    """
    return _by_kind(c, v, kind, strength, shift=lambda c, v, noise: v / (v * (1 + noise)))


@misconception("shift_noise", section="shift-derived")
def noise_added(c, v, kind, strength):
    """It looks as if the variance of the noise is added to that of the unit. That holds for noise
    that is added. This noise multiplies: where x is large it does more.
    """
    return _by_kind(c, v, kind, strength, shift=lambda c, v, noise: v / (v + noise))


@misconception("shift_noise", section="shift-derived")
def noise_shift_inverted(c, v, kind, strength):
    """The two variances are right, but the ratio stands upside down: it is above 1. The test
    variance is asked for in units of the one in training.
    """
    return _by_kind(c, v, kind, strength, shift=lambda c, v, noise: 1 / _noise_shift(c, v, noise))


# ---------------------------------------------------------------- shift_measured


def _measured(
    x,
    mask,
    keep,
    factor=lambda mask, keep: mask / keep,
    test=lambda x: x.var(axis=0),
    train=lambda noisy: noisy.var(axis=(0, 1)),
    ratio=lambda test, train: test / train,
):
    return ratio(test(x), train(x * factor(mask, keep)))


@misconception("shift_measured", section="shift-measured")
def measured_inverted(x, mask, keep):
    """The two variances are right, but the ratio stands upside down. Test time has no noise, so its
    variance is the smaller one; is your ratio below 1?
    """
    return _measured(x, mask, keep, ratio=lambda test, train: train / test)


@misconception("shift_measured", section="shift-measured")
def measured_deviations(x, mask, keep):
    """It looks as if you compare standard deviations. The shift is a ratio of variances."""
    return _measured(x, mask, keep, ratio=lambda test, train: np.sqrt(test / train))


@misconception("shift_measured", section="shift-measured")
def measured_without_scale(x, mask, keep):
    """It looks as if the survivors are not scaled. The masks that came in are bare coins, 0 or 1;
    what does inverted dropout do to what it keeps?
    """
    return _measured(x, mask, keep, factor=lambda mask, keep: mask)


@misconception("shift_measured", section="shift-measured")
def measured_scale_of_dropped(x, mask, keep):
    """It looks as if the survivors are scaled by the share that is dropped. How many entries does
    one survivor have to stand for?
    """
    return _measured(x, mask, keep, factor=lambda mask, keep: mask / (1 - keep))


@misconception("shift_measured", section="shift-measured")
def measured_mask_turned_around(x, mask, keep):
    """It looks as if entries are dropped where the mask is 1. In the docstring, 1 means kept."""
    return _measured(x, mask, keep, factor=lambda mask, keep: (1 - mask) / keep)


@misconception("shift_measured", section="shift-measured")
def measured_pass_by_pass(x, mask, keep):
    """It looks as if each pass gets a variance of its own, and these are averaged. The means of the
    passes differ as well, and that is lost. Treat all passes as one large sample of the unit.
    """
    return _measured(x, mask, keep, train=lambda noisy: noisy.var(axis=1).mean(axis=0))


@misconception("shift_measured", section="shift-measured")
def measured_mean_of_ratios(x, mask, keep):
    """It looks as if you average one ratio for each pass. The mean of ratios is not the ratio of
    two variances; take each of the two over everything that was recorded, then divide.
    """
    return (x.var(axis=0) / (x * mask / keep).var(axis=1)).mean(axis=0)


@misconception("shift_measured", section="shift-measured")
def measured_noise_alone(x, mask, keep):
    """It looks as if the variance in training is taken over the passes, one sample at a time. That
    is what the mask adds; the samples differ among themselves, too. Batch norm sees both.
    """
    return _measured(x, mask, keep, train=lambda noisy: noisy.var(axis=0).mean(axis=0))


@misconception("shift_measured", section="shift-measured")
def measured_first_pass(x, mask, keep):
    """It looks as if only one of the recorded passes is used. One draw of the mask says little:
    average over as much noise as there is.
    """
    return _measured(x, mask, keep, train=lambda noisy: noisy[0].var(axis=0))


@misconception("shift_measured", section="shift-measured")
def measured_over_the_table(x, mask, keep):
    """It looks as if all units share one number. Units have means and variances of their own, and
    so does their shift: which axis must stay?
    """
    shift = _measured(x, mask, keep, test=np.var, train=np.var)
    return np.full(x.shape[1], shift)


@misconception("shift_measured", section="bn-biased")
def measured_unbiased(x, mask, keep):
    """It looks as if the variances divide by one less than the number of values. Here both are
    those of batch norm, which divides by the number itself.
    """
    return _measured(
        x,
        mask,
        keep,
        test=lambda x: x.var(axis=0, ddof=1),
        train=lambda noisy: noisy.var(axis=(0, 1), ddof=1),
    )


# ---------------------------------------------------------------- population_statistics


@misconception("population_statistics", section="practice-population")
def population_factor_missing(means, variances, m):
    """It looks as if the variances of the batches are averaged and nothing else. Within a batch,
    deviations are measured from the batch's own mean, which sits in the middle of it: on average
    they come out too small. By how much, for m entries?
    """
    return means.mean(axis=0), variances.mean(axis=0)


@misconception("population_statistics", section="practice-population")
def population_factor_inverted(means, variances, m):
    """It looks as if the correction makes the variance smaller. The mean of the batch lies closer
    to its own entries than the mean of everything does: is a batch's variance too large or too
    small, on average?
    """
    return means.mean(axis=0), variances.mean(axis=0) * (m - 1) / m


@misconception("population_statistics", section="practice-population")
def population_factor_of_batches(means, variances, m):
    """It looks as if the correction counts the batches. What is biased is the variance within one
    batch, because it was measured from the mean of that batch: how many entries did it run over?
    """
    k = len(means)
    return means.mean(axis=0), variances.mean(axis=0) * k / (k - 1)


@misconception("population_statistics", section="practice-population")
def population_factor_on_mean(means, variances, m):
    """The variance is right, but the mean is multiplied by the same factor. The mean of a batch is
    already right on average. Adding 100 to all data must add 100 to it; does it?
    """
    factor = m / (m - 1)
    return means.mean(axis=0) * factor, variances.mean(axis=0) * factor


@misconception("population_statistics", section="practice-population")
def population_spread_of_means_added(means, variances, m):
    """It looks as if the spread of the batch means is added to the mean variance. For one fixed
    table cut into batches that is exact. Here the factor for m entries accounts for it, on
    average: your variance counts it in another way, or twice.
    """
    return means.mean(axis=0), variances.mean(axis=0) * m / (m - 1) + means.var(axis=0)


@misconception("population_statistics", section="practice-population")
def population_means_for_variances(means, variances, m):
    """It looks as if the variance is that of the batch means. Means of batches scatter much less
    than single entries do: the larger the batch, the less.
    """
    return means.mean(axis=0), means.var(axis=0)


@misconception("population_statistics", section="practice-population")
def population_deviations_averaged(means, variances, m):
    """It looks as if standard deviations are averaged and then squared. The square of a mean is not
    the mean of the squares: on average the result is too small.
    """
    return means.mean(axis=0), np.sqrt(variances).mean(axis=0) ** 2 * m / (m - 1)


@misconception("population_statistics", section="practice-population")
def population_last_batch(means, variances, m):
    """It looks as if only one batch is used. One batch is a rough guess; all of them together were
    handed in.
    """
    return means[-1], variances[-1] * m / (m - 1)


@misconception("population_statistics", section="bn-running")
def population_by_momentum(means, variances, m):
    """It looks as if the batches enter a running average, the later ones with more weight. That is
    for training, where old batches come from old weights. Now the weights are fixed, and all
    batches are worth the same.
    """
    mean, var = means[0], variances[0]
    for one, other in zip(means[1:], variances[1:], strict=True):
        mean, var = 0.9 * mean + 0.1 * one, 0.9 * var + 0.1 * other
    return mean, var * m / (m - 1)


@misconception("population_statistics", section="practice-population")
def population_sums(means, variances, m):
    """It looks as if the statistics of the batches are added up and never divided. With ten times
    the batches, would your mean be ten times as large?
    """
    return means.sum(axis=0), variances.sum(axis=0) * m / (m - 1)


# ---------------------------------------------------------------- recalibrate


def _cut(z, batch_size):
    return [z[start : start + batch_size] for start in range(0, len(z), batch_size)]


def _by_batches(z, batch_size):
    """For each batch: its size, mean and variance."""
    batches = _cut(z, batch_size)
    sizes = np.array([len(batch) for batch in batches], float)
    means = np.array([batch.mean(axis=0) for batch in batches])
    return sizes[:, None], means, np.array([batch.var(axis=0) for batch in batches])


@misconception("recalibrate", section="shift-recalibrate")
def recalibrated_with_dropout(x, factor, W, b, batch_size):
    """It looks as if dropout is on while the statistics are recomputed. Then they describe the
    noisy units of training once more. Which activations will the layer meet at test time?
    """
    z = (x * factor) @ W + b
    return z.mean(axis=0), z.var(axis=0)


@misconception("recalibrate", section="shift-recalibrate")
def recalibrated_spread_missing(x, factor, W, b, batch_size):
    """It looks as if the variance is the average of the variances within the batches. The means of
    the batches differ from each other, and that spread belongs to the variance of the whole as
    well. Test with two batches, each of which is constant.
    """
    sizes, means, variances = _by_batches(x @ W + b, batch_size)
    return (sizes * means).sum(axis=0) / len(x), (sizes * variances).sum(axis=0) / len(x)


@misconception("recalibrate", section="shift-recalibrate")
def recalibrated_batches_alike(x, factor, W, b, batch_size):
    """It looks as if every batch has the same weight. When the last one is smaller, each of its
    samples then counts for more than the others. How do you put averages of groups of different
    sizes together?
    """
    _, means, variances = _by_batches(x @ W + b, batch_size)
    return means.mean(axis=0), (variances + means**2).mean(axis=0) - means.mean(axis=0) ** 2


@misconception("recalibrate", section="shift-recalibrate")
def recalibrated_means_of_statistics(x, factor, W, b, batch_size):
    """It looks as if the means and the variances of the batches are averaged as they are. Two
    things get lost: a smaller batch should weigh less, and the means of the batches differ,
    which is part of the variance of the whole.
    """
    _, means, variances = _by_batches(x @ W + b, batch_size)
    return means.mean(axis=0), variances.mean(axis=0)


@misconception("recalibrate", section="shift-recalibrate")
def recalibrated_first_batch(x, factor, W, b, batch_size):
    """It looks as if only the first batch is used. Does the function end inside the loop? All of
    the training set should count.
    """
    z = (x @ W + b)[:batch_size]
    return z.mean(axis=0), z.var(axis=0)


@misconception("recalibrate", section="shift-recalibrate")
def recalibrated_last_batch(x, factor, W, b, batch_size):
    """It looks as if only the last batch counts: each one overwrites what the one before had left.
    What has to be carried through the loop?
    """
    z = _cut(x @ W + b, batch_size)[-1]
    return z.mean(axis=0), z.var(axis=0)


@misconception("recalibrate", section="shift-recalibrate")
def recalibrated_rest_dropped(x, factor, W, b, batch_size):
    """It looks as if samples at the end are left out, because they do not fill a batch. They belong
    to the training set like all others.
    """
    z = (x @ W + b)[: len(x) - len(x) % batch_size]
    return z.mean(axis=0), z.var(axis=0)


@misconception("recalibrate", section="shift-recalibrate")
def recalibrated_by_momentum(x, factor, W, b, batch_size):
    """It looks as if you keep a running average, in which later batches weigh more and the start
    value never quite leaves. The weights do not change any more: every sample is worth the same.
    """
    mean, var = np.zeros(W.shape[1]), np.ones(W.shape[1])
    for z in _cut(x @ W + b, batch_size):
        mean, var = 0.9 * mean + 0.1 * z.mean(axis=0), 0.9 * var + 0.1 * z.var(axis=0)
    return mean, var


@misconception("recalibrate", section="practice-population")
def recalibrated_unbiased(x, factor, W, b, batch_size):
    """It looks as if the variance divides by one less than the number of samples. That estimates a
    population from a sample. Here the training set itself is described, as the docstring says.
    """
    z = x @ W + b
    return z.mean(axis=0), z.var(axis=0, ddof=1)


@misconception("recalibrate", section="shift-recalibrate")
def recalibrated_deviation(x, factor, W, b, batch_size):
    """It looks as if the second result is the standard deviation. Batch norm remembers a variance;
    eps is added to it before the root.
    """
    z = x @ W + b
    return z.mean(axis=0), z.std(axis=0)


@misconception("recalibrate", section="shift-recalibrate")
def recalibrated_bias_forgotten(x, factor, W, b, batch_size):
    """The variance is right, and the mean is off by one constant for each unit. It looks as if a
    part of the linear layer is missing.
    """
    z = x @ W
    return z.mean(axis=0), z.var(axis=0)


@misconception("recalibrate", section="shift-recalibrate")
def recalibrated_mean_square(x, factor, W, b, batch_size):
    """It looks as if the second result is the mean square. Adding a constant to a unit must not
    change its variance; does it change yours?
    """
    z = x @ W + b
    return z.mean(axis=0), (z * z).mean(axis=0)


# ---------------------------------------------------------------- shifted_batchnorms


def _positions(layers, shifted):
    return [k for k, kind in enumerate(layers) if shifted(k, kind)]


@misconception("shifted_batchnorms", section="shift-placement")
def shifted_neighbors_only(layers):
    """It looks as if only a batch norm right behind a dropout is found. A linear layer or a ReLU in
    between passes the noise on: whatever comes later has another variance with it than without.
    """
    return _positions(
        layers, lambda k, kind: kind == "batchnorm" and layers[max(k - 1, 0)] == "dropout"
    )


@misconception("shifted_batchnorms", section="shift-placement")
def shifted_until_the_next_norm(layers):
    """It looks as if a batch norm ends the shift. In training it gives variance 1, with the noisy
    statistics; at test time it divides by those, and what comes out has a smaller variance. So
    what does the next one meet?
    """
    return _positions(
        layers,
        lambda k, kind: (
            kind == "batchnorm"
            and "dropout" in layers[:k]
            and "batchnorm" not in layers[k - layers[:k][::-1].index("dropout") : k]
        ),
    )


@misconception("shifted_batchnorms", section="shift-placement")
def shifted_all(layers):
    """It looks as if every batch norm is listed, also those that no noise reaches. In which
    direction does a signal travel through the stack?
    """
    return _positions(layers, lambda k, kind: kind == "batchnorm")


@misconception("shifted_batchnorms", section="ln-no-batch")
def shifted_layernorms_too(layers):
    """It looks as if layer norms are listed as well. What do they remember from training? A layer
    that uses the statistics of the sample at hand, in both modes, has nothing that could be out
    of date.
    """
    return _positions(layers, lambda k, kind: kind.endswith("norm") and "dropout" in layers[:k])


@misconception("shifted_batchnorms", section="shift-placement")
def shifted_before_dropout(layers):
    """It looks as if the batch norms are listed that have a dropout after them. Those have seen
    nothing of its noise when they take their statistics.
    """
    return _positions(layers, lambda k, kind: kind == "batchnorm" and "dropout" in layers[k:])


@misconception("shifted_batchnorms", section="shift-placement")
def shifting_dropouts(layers):
    """It looks as if the positions are those of the dropouts. They cause the shift; asked for are
    the layers whose statistics are off.
    """
    return _positions(layers, lambda k, kind: kind == "dropout" and "batchnorm" in layers[k:])


@misconception("shifted_batchnorms", section="shift-placement")
def shifted_counted_from_one(layers):
    """The right layers are found, but each position is one too large. Where does Python begin to
    count?
    """
    found = _positions(layers, lambda k, kind: kind == "batchnorm" and "dropout" in layers[:k])
    return [k + 1 for k in found]


@misconception("shifted_batchnorms", section="shift-placement")
def shifted_counted_among_norms(layers):
    """It looks as if you count batch norms only: the first, the second. The position in the whole
    list is asked for, so that the layer can be looked up there.
    """
    norms = _positions(layers, lambda k, kind: kind == "batchnorm")
    return [n for n, k in enumerate(norms) if "dropout" in layers[:k]]


# ---------------------------------------------------------------- dropouts_last


def _moved(layers, moves=None, put=None):
    """The right stack, unless told otherwise which dropouts move and where to."""
    moves = moves or (lambda k: "batchnorm" in layers[k:])
    gone = [kind == "dropout" and moves(k) for k, kind in enumerate(layers)]
    rest = [kind for kind, out in zip(layers, gone, strict=True) if not out]
    put = put or (lambda rest, moved: [*rest[:-1], *moved, *rest[-1:]])
    return put(rest, ["dropout"] * sum(gone))


@misconception("dropouts_last", section="shift-placement")
def dropouts_removed(layers):
    """It looks as if the dropouts are taken out and not put back. They regularize well, in another
    place; how many were there, and how many are left?
    """
    return _moved(layers, put=lambda rest, moved: rest)


@misconception("dropouts_last", section="shift-placement")
def every_dropout_moved(layers):
    """It looks as if all dropouts are moved, also those with no batch norm after them. Those shift
    nothing, and the task says that everything else keeps its place.
    """
    return _moved(layers, moves=lambda k: True)


@misconception("dropouts_last", section="shift-placement")
def dropouts_behind_the_scores(layers):
    """It looks as if the dropouts are put at the very end, behind the layer that gives the scores.
    There they would set scores to 0 at random, and the loss would judge scores that the network
    never gave.
    """
    return _moved(layers, put=lambda rest, moved: [*rest, *moved])


@misconception("dropouts_last", section="shift-placement")
def dropouts_right_behind_the_norm(layers):
    """It looks as if the dropouts are put right behind the last batch norm. That shifts nothing,
    but the task asks for another place: right before the last layer of the stack.
    """

    def put(rest, moved):
        if not moved:
            return rest
        last = len(rest) - rest[::-1].index("batchnorm")
        return [*rest[:last], *moved, *rest[last:]]

    return _moved(layers, put=put)


@misconception("dropouts_last", section="shift-placement")
def one_dropout_for_several(layers):
    """It looks as if several moved dropouts become one. That may be a good idea for a network, but
    the task asks for all of them: nothing is added, nothing gets lost.
    """
    return _moved(layers, put=lambda rest, moved: [*rest[:-1], *moved[:1], *rest[-1:]])


@misconception("dropouts_last", section="shift-placement")
def only_neighbors_moved(layers):
    """It looks as if only a dropout right before a batch norm is moved. Its noise also travels
    through linear layers and ReLUs: any batch norm further down meets it.
    """
    return _moved(layers, moves=lambda k: layers[k + 1 : k + 2] == ["batchnorm"])


@misconception("dropouts_last", section="ln-no-batch")
def moved_for_layernorms(layers):
    """It looks as if dropouts are also moved away from layer norms. What would they shift there? A
    layer norm remembers nothing from training.
    """
    return _moved(layers, moves=lambda k: any(kind.endswith("norm") for kind in layers[k:]))


@misconception("dropouts_last", section="dropout-in-code")
def stack_changed_in_place(layers):
    """The result is right, but the list that was handed in is changed as well. Whoever called your
    function may want to compare the two. Removing and inserting work on the list itself.
    """
    layers[:] = _moved(layers)
    return layers


# ---------------------------------------------------------------- block_forward


def _over_units(z, groups):
    """Mean and biased variance of each group of neighboring units, spread over its units."""
    grouped = z.reshape(len(z), groups, -1)
    size = grouped.shape[2]
    mean, var = grouped.mean(axis=2), grouped.var(axis=2)
    return mean.repeat(size, axis=1), var.repeat(size, axis=1)


def _block(
    x,
    W,
    b,
    gamma,
    beta,
    groups,
    linear=lambda x, W, b: x @ W + b,
    statistics=_over_units,
    std=lambda var: np.sqrt(var + EPS),
    center=lambda z, mean: z - mean,
    affine=lambda gamma, x_hat, beta: gamma * x_hat + beta,
    relu=lambda y: np.maximum(y, 0),
):
    """The block with its parts as arguments; right with the defaults."""
    z = linear(x, W, b)
    mean, var = statistics(z, groups)
    s = std(var)
    x_hat = center(z, mean) / s
    y = affine(gamma, x_hat, beta)
    one_a_group = s.reshape(len(z), groups, -1)[:, :, :1]
    return relu(y), (x, W, gamma, x_hat, one_a_group, y)


@misconception("block_forward", section="gn-axes")
def block_over_the_batch(x, W, b, gamma, beta, groups):
    """It looks as if the mean and the variance run over the batch, as in batch norm. Here each
    sample is standardized by itself, over its own units. What would a batch of one sample give?
    """

    def statistics(z, groups):
        return z.mean(axis=0) + 0 * z, z.var(axis=0) + 0 * z

    return _block(x, W, b, gamma, beta, groups, statistics=statistics)


@misconception("block_forward", section="gn-groups")
def block_groups_ignored(x, W, b, gamma, beta, groups):
    """It looks as if all units of a sample share one mean and one variance, whatever groups says.
    That is layer norm, the case of one group.
    """
    return _block(x, W, b, gamma, beta, groups, statistics=lambda z, groups: _over_units(z, 1))


@misconception("block_forward", section="gn-groups")
def block_groups_interleaved(x, W, b, gamma, beta, groups):
    """It looks as if units that stand apart share a group, every so many of them. Neighbors belong
    together. After your reshape, which axis is the group and which runs inside it?
    """

    def statistics(z, groups):
        grouped = z.reshape(len(z), -1, groups)
        return tuple(np.tile(f(grouped, axis=1), (1, grouped.shape[1])) for f in (np.mean, np.var))

    return _block(x, W, b, gamma, beta, groups, statistics=statistics)


@misconception("block_forward", section="gn-groups")
def block_size_for_number(x, W, b, gamma, beta, groups):
    """It looks as if groups is taken for the size of a group. It says how many groups there are;
    how many units does each have?
    """
    return _block(
        x,
        W,
        b,
        gamma,
        beta,
        groups,
        statistics=lambda z, groups: _over_units(z, z.shape[1] // groups),
    )


@misconception("block_forward", section="bn-eps")
def block_eps_outside_the_root(x, W, b, gamma, beta, groups):
    """It looks as if eps is added after the root. For ordinary variances that hardly shows. In what
    unit is eps: that of z, or that of z squared?
    """
    return _block(x, W, b, gamma, beta, groups, std=lambda var: np.sqrt(var) + EPS)


@misconception("block_forward", section="bn-eps")
def block_eps_omitted(x, W, b, gamma, beta, groups):
    """It looks as if eps is missing from the denominator. A sample whose units are all alike would
    then be divided by 0.
    """
    return _block(x, W, b, gamma, beta, groups, std=np.sqrt)


@misconception("block_forward", section="bn-biased")
def block_variance_unbiased(x, W, b, gamma, beta, groups):
    """It looks as if the variance divides by one less than the number of units. No population is
    estimated here: these very numbers are to get variance 1.
    """

    def statistics(z, groups):
        mean, var = _over_units(z, groups)
        size = z.shape[1] // groups
        return mean, var * size / (size - 1)

    return _block(x, W, b, gamma, beta, groups, statistics=statistics)


@misconception("block_forward", section="ln-algorithm")
def block_divided_by_variance(x, W, b, gamma, beta, groups):
    """It looks as if you divide by the variance. Then twice as large weights would give half as
    large outputs; after standardizing, they should give the same.
    """
    return _block(x, W, b, gamma, beta, groups, std=lambda var: var + EPS)


@misconception("block_forward", section="ln-algorithm")
def block_not_centered(x, W, b, gamma, beta, groups):
    """It looks as if the mean is not subtracted before dividing. That is another norm, which leaves
    the mean out on purpose; here both steps are asked for.
    """
    return _block(x, W, b, gamma, beta, groups, center=lambda z, mean: z)


@misconception("block_forward", section="gn-parameters")
def block_gamma_and_beta_forgotten(x, W, b, gamma, beta, groups):
    """It looks as if gamma and beta are not used. They give each unit its scale and its level back,
    after standardizing and before the ReLU.
    """
    return _block(x, W, b, gamma, beta, groups, affine=lambda gamma, x_hat, beta: x_hat)


@misconception("block_forward", section="gn-parameters")
def block_beta_scaled(x, W, b, gamma, beta, groups):
    """It looks as if beta is added first and gamma multiplies the sum. Then the shift depends on
    the scale.
    """
    return _block(
        x, W, b, gamma, beta, groups, affine=lambda gamma, x_hat, beta: gamma * (x_hat + beta)
    )


@misconception("block_forward", section="practice-placement")
def block_relu_first(x, W, b, gamma, beta, groups):
    """It looks as if the ReLU comes before the norm. The order asked for is linear, norm, ReLU. Is
    any entry of your out negative? It should not be.
    """
    return _block(
        x,
        W,
        b,
        gamma,
        beta,
        groups,
        linear=lambda x, W, b: np.maximum(x @ W + b, 0),
        relu=lambda y: y,
    )


@misconception("block_forward", section="dropout-network")
def block_relu_forgotten(x, W, b, gamma, beta, groups):
    """It looks as if there is no ReLU: negative entries come out. Without it, two blocks in a row
    could do little more than one.
    """
    return _block(x, W, b, gamma, beta, groups, relu=lambda y: y)


@misconception("block_forward", section="dropout-network")
def block_bias_forgotten(x, W, b, gamma, beta, groups):
    """It looks as if the bias of the linear layer is missing. A norm over the batch would cancel
    it; a norm over the units of a sample does not, because each unit has a bias of its own.
    """
    return _block(x, W, b, gamma, beta, groups, linear=lambda x, W, b: x @ W)


# ---------------------------------------------------------------- block_backward


def _back(
    dout,
    cache,
    gate=lambda dout, y, x_hat: dout * (y > 0),
    scaled=lambda dy, gamma: dy * gamma,
    mean=lambda d: d.mean(axis=2, keepdims=True),
    keep_mean=1,
    keep_hat=1,
    power=1,
    groups=None,
):
    """The backward pass with its parts as arguments; right with the defaults."""
    x, W, gamma, x_hat, std, y = cache
    dy = gate(dout, y, x_hat)
    wide = (len(std), groups or std.shape[1], -1)
    d, hat = scaled(dy, gamma).reshape(wide), x_hat.reshape(wide)
    inner = (d - keep_mean * mean(d) - keep_hat * hat * mean(d * hat)).reshape(y.shape)
    s = np.broadcast_to(std, (*std.shape[:2], y.shape[1] // std.shape[1])).reshape(y.shape)
    dz = inner / s**power
    return dz @ W.T, x.T @ dz, dz.sum(axis=0), (dy * x_hat).sum(axis=0), dy.sum(axis=0)


@misconception("block_backward", section="dropout-network")
def gate_by_the_gradient(dout, cache):
    """It looks as if the ReLU lets those gradients through that are positive. Whether a unit was on
    was decided in the forward pass; the sign of the gradient has no say in it.
    """
    return _back(dout, cache, gate=lambda dout, y, x_hat: np.maximum(dout, 0))


@misconception("block_backward", section="dropout-network")
def gate_missing(dout, cache):
    """It looks as if the ReLU is left out on the way back. Moving a unit that was cut off changes
    nothing in the output: what is its gradient?
    """
    return _back(dout, cache, gate=lambda dout, y, x_hat: dout)


@misconception("block_backward", section="dropout-network")
def gate_before_gamma_and_beta(dout, cache):
    """It looks as if the gate follows the sign of the standardized values. The ReLU acts behind
    gamma and beta, which can move a value across 0.
    """
    return _back(dout, cache, gate=lambda dout, y, x_hat: dout * (x_hat > 0))


@misconception("block_backward", section="ln-gradient")
def block_statistics_constant(dout, cache):
    """It looks as if mean and variance are treated as constants: the gradient is only scaled. Both
    are made of the units of the sample: moving one unit moves them, and with them all others of
    its group.
    """
    return _back(dout, cache, keep_mean=0, keep_hat=0)


@misconception("block_backward", section="ln-gradient")
def block_mean_path_missing(dout, cache):
    """It looks as if the path through the mean is missing. Adding a constant to all units of a
    group changes nothing: what must their gradients add up to?
    """
    return _back(dout, cache, keep_mean=0)


@misconception("block_backward", section="ln-gradient")
def block_variance_path_missing(dout, cache):
    """It looks as if the path through the variance is missing. Moving a unit away from the mean
    makes the standard deviation of its group larger, and that is felt by all of its units.
    """
    return _back(dout, cache, keep_hat=0)


@misconception("block_backward", section="ln-gradient")
def block_variance_path_sign(dout, cache):
    """It looks as if the term of the variance has the wrong sign. A larger standard deviation makes
    every standardized value smaller: does the term help the direct one, or hold it back?
    """
    return _back(dout, cache, keep_hat=-1)


@misconception("block_backward", section="gn-gradient")
def block_gradient_over_the_sample(dout, cache):
    """It looks as if the means of the gradient run over all units of a sample, whatever group they
    are in. On the way back the same entries belong together as in the forward pass.
    """
    return _back(dout, cache, groups=1)


@misconception("block_backward", section="ln-gradient")
def block_gradient_over_the_batch(dout, cache):
    """It looks as if the means of the gradient run over the batch. That is the backward pass of
    batch norm. Over which entries did the statistics of the forward pass run?
    """
    return _back(dout, cache, mean=lambda d: d.mean(axis=0, keepdims=True))


@misconception("block_backward", section="gn-gradient")
def block_gradient_without_gamma(dout, cache):
    """It looks as if gamma is missing on the way back. Behind the norm every unit was multiplied by
    it, so every gradient is, too.
    """
    return _back(dout, cache, scaled=lambda dy, gamma: dy)


@misconception("block_backward", section="gn-gradient")
def block_gamma_outside_the_means(dout, cache):
    """It looks as if gamma multiplies at the end, after the means were taken. For batch norm that
    is fine: all entries of a mean share one gamma. Here the units of one group have different
    ones.
    """
    x, W, gamma, x_hat, std, y = cache
    parts = _back(dout, (x, W, np.ones_like(gamma), x_hat, std, y))
    dz = _dz_without_gamma(dout, cache) * gamma
    return dz @ W.T, x.T @ dz, dz.sum(axis=0), *parts[3:]


def _dz_without_gamma(dout, cache):
    x, _, gamma, x_hat, std, y = cache
    own = (x, np.eye(len(gamma)), np.ones_like(gamma), x_hat, std, y)
    return _back(dout, own)[0]


@misconception("block_backward", section="ln-gradient")
def block_gradient_over_variance(dout, cache):
    """It looks as if the gradient is divided by the variance. The forward pass divided by the
    standard deviation; so does the way back.
    """
    return _back(dout, cache, power=2)


@misconception("block_backward", section="ln-affine-gradients")
def block_dgamma_without_gate(dout, cache):
    """The gradient of the input is right. For gamma and beta it looks as if the gradient is used as
    it came in, before the ReLU has stopped a part of it. On the way back, which comes first?
    """
    x_hat = cache[3]
    return *_back(dout, cache)[:3], (dout * x_hat).sum(axis=0), dout.sum(axis=0)


@misconception("block_backward", section="ln-affine-gradients")
def block_dgamma_from_out(dout, cache):
    """It looks as if dgamma uses the output in place of what gamma was multiplied by. Which value
    stood beside gamma in the forward pass?
    """
    dx, dW, db, _, dbeta = _back(dout, cache)
    return dx, dW, db, (dout * np.maximum(cache[5], 0)).sum(axis=0), dbeta


@misconception("block_backward", section="ln-affine-gradients")
def block_gradients_averaged(dout, cache):
    """It looks as if the gradients of the parameters are averaged over the batch. A parameter is
    used by every sample, and what they send adds up. If the loss is a mean, dout already
    contains the division.
    """
    dx, *parameters = _back(dout, cache)
    return dx, *(gradient / len(dx) for gradient in parameters)


@misconception("block_backward", section="dropout-network")
def block_db_behind_the_norm(dout, cache):
    """It looks as if db is the sum of the gradient behind the norm, which belongs to beta. The bias
    stands in front of the norm: the gradient has to pass through it first.
    """
    dx, dW, _, dgamma, dbeta = _back(dout, cache)
    return dx, dW, dbeta, dgamma, dbeta


# ---------------------------------------------------------------- cross_entropy


def _cross_entropy(
    scores,
    y,
    shift=lambda scores: scores - scores.max(axis=1, keepdims=True),
    log=lambda shifted, p: shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)),
    axis=1,
    hit=1,
    loss_share=lambda n, k: n,
    gradient_share=lambda n, k: n,
):
    """Loss and gradient with their parts as arguments; right with the defaults."""
    n, k = scores.shape
    with np.errstate(all="ignore"):
        shifted = shift(scores)
        e = np.exp(shifted)
        p = e / e.sum(axis=axis, keepdims=True)
        loss = -log(shifted, p)[np.arange(n), y].sum() / loss_share(n, k)
        dscores = p.copy()
        dscores[np.arange(n), y] -= hit
        return loss, dscores / gradient_share(n, k)


@misconception("cross_entropy", section="bn-saturation")
def maximum_not_subtracted(scores, y):
    """For ordinary scores all is right. For large ones an exponential overflows, and infinity
    divided by infinity is not a number. Adding a constant to all scores of a sample changes no
    probability: which constant makes every exponential harmless?
    """
    return _cross_entropy(scores, y, shift=lambda scores: scores, log=lambda s, p: np.log(p))


@misconception("cross_entropy", section="bn-saturation")
def logarithm_of_zero(scores, y):
    """For ordinary scores all is right. For large ones a probability rounds to 0, and the logarithm
    of 0 is infinite, though the loss is not. On paper, the logarithm of the softmax has a form in
    which nothing is exponentiated and then undone.
    """
    return _cross_entropy(scores, y, log=lambda s, p: np.log(p))


@misconception("cross_entropy", section="bn-saturation")
def probability_clipped(scores, y):
    """For ordinary scores all is right. For large ones the loss stops growing: it looks as if a
    small number is put under the logarithm. That hides how wrong the network is; on paper, the
    logarithm of the softmax can be simplified so that nothing has to be hidden.
    """
    return _cross_entropy(scores, y, log=lambda s, p: np.log(np.maximum(p, 1e-12)))


@misconception("cross_entropy", section="bn-saturation")
def probability_plus_small_number(scores, y):
    """It looks as if a small number is added to the probability before the logarithm. For ordinary
    scores that hardly shows; for large ones the loss stops growing. On paper, the logarithm of the
    softmax can be simplified so that this is not needed.
    """
    return _cross_entropy(scores, y, log=lambda s, p: np.log(p + 1e-8))


@misconception("cross_entropy", section="bn-saturation")
def one_maximum_for_the_batch(scores, y):
    """For ordinary scores all is right. For large ones it looks as if one maximum serves all
    samples: a sample whose scores all lie far below it is left with nothing but zeros. Whose
    maximum should be subtracted?
    """
    return _cross_entropy(scores, y, shift=lambda scores: scores - scores.max())


@misconception("cross_entropy", section="bn-saturation")
def one_maximum_and_a_logarithm(scores, y):
    """For ordinary scores all is right. For large ones it looks as if one maximum serves all
    samples: of a sample whose scores all lie far below it every exponential rounds to 0, and 0/0
    is not a number. Whose maximum should be subtracted?
    """
    return _cross_entropy(
        scores, y, shift=lambda scores: scores - scores.max(), log=lambda s, p: np.log(p)
    )


@misconception("cross_entropy", section="dropout-network")
def classes_of_all_samples(scores, y):
    """The gradient is right. In the loss it looks as if every sample is asked about the right
    classes of all samples: a colon takes all rows, so a table of N by N comes out and is averaged.
    Sample i is to be asked about its own class only.
    """
    _, dscores = _cross_entropy(scores, y)
    shifted = scores - scores.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -log_p[:, y].mean(), dscores


@misconception("cross_entropy", section="dropout-network")
def softmax_over_the_batch(scores, y):
    """It looks as if the softmax runs over the samples. It turns the scores of one sample into
    probabilities: along which direction should they add up to 1?
    """
    return _cross_entropy(
        scores,
        y,
        shift=lambda scores: scores - scores.max(axis=0),
        log=lambda s, p: s - np.log(np.exp(s).sum(axis=0)),
        axis=0,
    )


@misconception("cross_entropy", section="dropout-network")
def loss_summed(scores, y):
    """The gradient is right, but the loss is added up over the batch. The mean is asked for, so
    that batches of different sizes can be compared.
    """
    return _cross_entropy(scores, y, loss_share=lambda n, k: 1)


@misconception("cross_entropy", section="dropout-network")
def gradient_summed(scores, y):
    """The loss is right, but the gradient is that of the sum over the batch. If the loss is a mean,
    what follows for its derivative?
    """
    return _cross_entropy(scores, y, gradient_share=lambda n, k: 1)


@misconception("cross_entropy", section="dropout-network")
def both_summed(scores, y):
    """It looks as if loss and gradient are sums over the batch. Means are asked for; with sums, a
    batch twice as large takes steps twice as long.
    """
    return _cross_entropy(scores, y, loss_share=lambda n, k: 1, gradient_share=lambda n, k: 1)


@misconception("cross_entropy", section="dropout-network")
def mean_taken_twice(scores, y):
    """The loss is right, but its gradient is divided by the batch size twice. Was the mean taken in
    two places?
    """
    return _cross_entropy(scores, y, gradient_share=lambda n, k: n * n)


@misconception("cross_entropy", section="dropout-network")
def mean_over_classes_as_well(scores, y):
    """It looks as if you divide by the number of all scores. Each sample contributes one term, that
    of its right class, however many classes there are.
    """
    return _cross_entropy(
        scores, y, loss_share=lambda n, k: n * k, gradient_share=lambda n, k: n * k
    )


@misconception("cross_entropy", section="dropout-network")
def right_class_not_subtracted(scores, y):
    """The loss is right, but the gradient is made of the probabilities alone, and none of it is
    negative. A step against it would push all scores down, the right one as well. What must each
    row of it add up to?
    """
    return _cross_entropy(scores, y, hit=0)


@misconception("cross_entropy", section="dropout-network")
def loss_of_wrong_sign(scores, y):
    """It looks as if the loss is negative. The logarithm of a probability is; what is to become
    small, when the probability of the right class becomes large?
    """
    loss, dscores = _cross_entropy(scores, y)
    return -loss, dscores


@misconception("cross_entropy", section="dropout-in-code")
def scores_changed_in_place(scores, y):
    """The results are right, but the scores that were handed in are changed. Whoever called may
    still want them. Look for operators such as -= and for an array that has two names.
    """
    result = _cross_entropy(scores, y)
    scores -= scores.max(axis=1, keepdims=True)
    return result


# ---------------------------------------------------------------- network_gradients


def _network(
    x,
    y,
    params,
    groups,
    between=lambda h1: h1,
    finish=lambda scores: (scores, 1),
    last_input=lambda h1, h2: h2,
    loss_and_gradient=_cross_entropy,
    backward=_back,
    into_last=lambda dscores, W3: dscores @ W3.T,
    into_first=lambda dh1, dh2: dh1,
):
    """The whole network with its joints as arguments; right with the defaults."""
    of = [[params[f"{name}{k}"] for name in ("W", "b", "gamma", "beta")] for k in (1, 2)]
    h1, cache1 = _block(x, *of[0], groups)
    h2, cache2 = _block(between(h1), *of[1], groups)
    scores, slope = finish(h2 @ params["W3"] + params["b3"])
    loss, dscores = loss_and_gradient(scores, y)
    dscores = dscores * slope
    dh2 = into_last(dscores, params["W3"])
    dh1, dW2, db2, dgamma2, dbeta2 = backward(dh2, cache2)
    _, dW1, db1, dgamma1, dbeta1 = backward(into_first(dh1, dh2), cache1)
    grads = {"W3": last_input(h1, h2).T @ dscores, "b3": dscores.sum(axis=0)}
    grads |= {"W2": dW2, "b2": db2, "gamma2": dgamma2, "beta2": dbeta2}
    grads |= {"W1": dW1, "b1": db1, "gamma1": dgamma1, "beta1": dbeta1}
    return loss, grads


@misconception("network_gradients", section="dropout-network")
def relu_on_the_scores(x, y, params, groups):
    """It looks as if a ReLU acts on the scores. The last layer is linear: a score may be negative,
    and the softmax takes any number.
    """
    return _network(x, y, params, groups, finish=lambda scores: (np.maximum(scores, 0), scores > 0))


@misconception("network_gradients", section="dropout-network")
def last_layer_from_the_first_block(x, y, params, groups):
    """The loss is right, but the gradient of W3 is not. It looks as if it uses the output of the
    first block. What was multiplied by W3 in the forward pass?
    """
    return _network(x, y, params, groups, last_input=lambda h1, h2: h1)


@misconception("network_gradients", section="dropout-network")
def second_block_skipped_on_the_way_back(x, y, params, groups):
    """The gradients of the second block are right, those of the first are not. It looks as if the
    first block gets the gradient that arrived at the second one. What comes first out of your
    block_backward, and where does that go?
    """
    return _network(x, y, params, groups, into_first=lambda dh1, dh2: dh2)


@misconception("network_gradients", section="ln-gradient")
def network_with_constant_statistics(x, y, params, groups):
    """The loss is right. In the gradients, the means and variances of the norms are treated as
    constants. Do you use your block_backward for both blocks, and does its check pass?
    """
    return _network(
        x,
        y,
        params,
        groups,
        backward=lambda dout, cache: _back(dout, cache, keep_mean=0, keep_hat=0),
    )


@misconception("network_gradients", section="dropout-network")
def network_without_gates(x, y, params, groups):
    """The loss is right. In the gradients, the ReLUs are left out on the way back: units that were
    off receive a gradient, too. Do you use your block_backward, and does its check pass?
    """
    return _network(
        x,
        y,
        params,
        groups,
        backward=lambda dout, cache: _back(dout, cache, gate=lambda dout, y, x_hat: dout),
    )


@misconception("network_gradients", section="dropout-network")
def network_gradients_summed(x, y, params, groups):
    """The loss is right, but all gradients are too large by the batch size. The loss is a mean:
    where does the division enter on the way back?
    """
    return _network(x, y, params, groups, loss_and_gradient=gradient_summed.function)


@misconception("network_gradients", section="dropout-network")
def network_mean_taken_twice(x, y, params, groups):
    """The loss is right, but all gradients are too small by the batch size. If the gradient of the
    loss is already that of a mean, nothing further down has to divide again.
    """
    return _network(x, y, params, groups, loss_and_gradient=mean_taken_twice.function)


@misconception("network_gradients", section="dropout-network")
def network_weight_decay(x, y, params, groups):
    """It looks as if a penalty on the weights is part of the gradients. It may help a network, but
    it is no part of this loss.
    """
    loss, grads = _network(x, y, params, groups)
    return loss, {
        name: grad + 1e-2 * params[name] if name[0] == "W" else grad for name, grad in grads.items()
    }


@misconception("network_gradients", section="dropout-network")
def network_changes_its_weights(x, y, params, groups):
    """The results are right, but the weights that were handed in are changed. This function only
    says where to go; the step is taken by another one.
    """
    loss, grads = _network(x, y, params, groups)
    for name, grad in grads.items():
        params[name] -= 0.1 * grad
    return loss, grads


@misconception("network_gradients", section="dropout-network")
def network_updates_on_the_way_back(x, y, params, groups):
    """It looks as if the weights of the last layer are changed before the gradient has passed
    through them. All gradients belong to one and the same network: first all of them, then the
    step.
    """
    return _network(
        x,
        y,
        params,
        groups,
        into_last=lambda dscores, W3: np.zeros((len(dscores), len(W3))) + dscores @ W3.T * 0.9,
    )


# ---------------------------------------------------------------- sgd_step


def _step(params, grads, velocity, lr, momentum, faster=None, move=None):
    faster = faster or (lambda v, g: momentum * v - lr * g)
    move = move or (lambda w, new, old: w + new)
    new = {name: faster(velocity[name], grads[name]) for name in params}
    return {name: move(params[name], new[name], velocity[name]) for name in params}, new


@misconception("sgd_step", section="dropout-network")
def momentum_of_wrong_sign(params, grads, velocity, lr, momentum):
    """It looks as if the old velocity is subtracted, so that each step first undoes a part of the
    one before. Momentum is meant to keep a ball rolling.
    """
    return _step(params, grads, velocity, lr, momentum, faster=lambda v, g: -momentum * v - lr * g)


@misconception("sgd_step", section="dropout-network")
def step_uphill(params, grads, velocity, lr, momentum):
    """It looks as if the step follows the gradient uphill: the loss would grow. In which direction
    does a function fall?
    """
    return _step(params, grads, velocity, lr, momentum, faster=lambda v, g: momentum * v + lr * g)


@misconception("sgd_step", section="dropout-network")
def velocity_subtracted(params, grads, velocity, lr, momentum):
    """The velocity is right, but it is subtracted from the parameters. As the docstring has it, the
    velocity already points downhill: it holds the minus sign.
    """
    return _step(params, grads, velocity, lr, momentum, move=lambda w, new, old: w - new)


@misconception("sgd_step", section="dropout-network")
def velocity_points_uphill(params, grads, velocity, lr, momentum):
    """It looks as if your velocity gathers steps uphill and is subtracted at the end. Starting from
    rest that would come to the same. Here a velocity is handed in that points downhill, as the
    docstring has it: it holds the minus sign.
    """
    uphill = {name: momentum * velocity[name] + lr * grads[name] for name in params}
    return {name: params[name] - uphill[name] for name in params}, uphill


@misconception("sgd_step", section="dropout-network")
def velocity_without_learning_rate(params, grads, velocity, lr, momentum):
    """It looks as if the velocity gathers bare gradients, and the learning rate comes in when the
    parameters move. Some libraries do so. The docstring asks for a velocity that is the step
    itself.
    """
    return _step(
        params,
        grads,
        velocity,
        lr,
        momentum,
        faster=lambda v, g: momentum * v + g,
        move=lambda w, new, old: w - lr * new,
    )


@misconception("sgd_step", section="dropout-network")
def gradient_damped(params, grads, velocity, lr, momentum):
    """It looks as if the gradient is multiplied by 1 - momentum, as in a running average. Here
    momentum damps the old velocity only.
    """
    return _step(
        params,
        grads,
        velocity,
        lr,
        momentum,
        faster=lambda v, g: momentum * v - (1 - momentum) * lr * g,
    )


@misconception("sgd_step", section="dropout-network")
def old_velocity_used(params, grads, velocity, lr, momentum):
    """The new velocity is right, but the parameters have moved by the old one: the gradient of this
    step takes effect one step late. Which comes first?
    """
    return _step(params, grads, velocity, lr, momentum, move=lambda w, new, old: w + old)


@misconception("sgd_step", section="dropout-network")
def momentum_ignored(params, grads, velocity, lr, momentum):
    """It looks as if the old velocity is not used: this is gradient descent without momentum."""
    return _step(params, grads, velocity, lr, momentum, faster=lambda v, g: -lr * g)


@misconception("sgd_step", section="dropout-network")
def rate_and_momentum_exchanged(params, grads, velocity, lr, momentum):
    """It looks as if the learning rate and the momentum have changed places. One is the share of
    the old velocity that is kept, the other says how much a gradient counts.
    """
    return _step(params, grads, velocity, lr, momentum, faster=lambda v, g: lr * v - momentum * g)


@misconception("sgd_step", section="dropout-network")
def velocity_not_remembered(params, grads, velocity, lr, momentum):
    """The parameters are right, but the velocity that is returned is the old one. The next step
    would start from a velocity that never changes.
    """
    return _step(params, grads, velocity, lr, momentum)[0], dict(velocity)


@misconception("sgd_step", section="dropout-in-code")
def parameters_changed_in_place(params, grads, velocity, lr, momentum):
    """The results are right, but the arrays that were handed in are changed as well. Copying a dict
    does not copy the arrays in it, and an operator such as += works on the array itself.
    """
    new_params, new_velocity = _step(params, grads, velocity, lr, momentum)
    for name in params:
        params[name][...], velocity[name][...] = new_params[name], new_velocity[name]
    return params, velocity


@misconception("sgd_step", section="dropout-in-code")
def velocity_changed_in_place(params, grads, velocity, lr, momentum):
    """The results are right, but the velocity that was handed in is changed as well. An operator
    such as *= works on the array itself, under whatever name it stands.
    """
    new_params, new_velocity = _step(params, grads, velocity, lr, momentum)
    for name in velocity:
        velocity[name][...] = new_velocity[name]
    return new_params, velocity


# ---------------------------------------------------------------- train and predict

_HIDDEN, _GROUPS, _RATE = 48, 4, 0.1


def _start(rng, spread=1.0):
    """Weights as He et al. draw them, gammas of 1, and zeros."""
    params = {}
    for k, (n_in, n_out) in enumerate(((64, _HIDDEN), (_HIDDEN, _HIDDEN), (_HIDDEN, 10)), 1):
        params[f"W{k}"] = spread * np.sqrt(2 / n_in) * rng.standard_normal((n_in, n_out))
        params[f"b{k}"] = np.zeros(n_out)
        if k < 3:
            params[f"gamma{k}"], params[f"beta{k}"] = np.ones(n_out), np.zeros(n_out)
    return params


def _trained(x, y, rng, spread=1.0):
    params = _start(rng, spread)
    for step, (images, classes) in enumerate(zip(x, y, strict=True)):
        _, grads = _network(images, classes, params, _GROUPS)
        rate = _RATE * (1 - step / len(x))
        params = {name: params[name] - rate * grads[name] for name in params}
    return params


class _BatchNormNetwork:
    """The same network with batch norm: one step at a time, and a memory for test time."""

    def __init__(self, rng):
        self.params, self.memory = _start(rng), [None, None]

    def forward(self, x, batch_statistics, remember=False):
        caches = []
        for k in (1, 2):
            W, b, gamma, beta = (self.params[f"{name}{k}"] for name in ("W", "b", "gamma", "beta"))
            z = x @ W + b
            batch = z.mean(axis=0), z.var(axis=0)
            if remember:
                old = self.memory[k - 1] or (np.zeros(_HIDDEN), np.ones(_HIDDEN))
                pairs = zip(old, batch, strict=True)
                self.memory[k - 1] = tuple(0.9 * o + 0.1 * new for o, new in pairs)
            mean, var = batch if batch_statistics else self.memory[k - 1]
            std = np.sqrt(var + EPS)
            x_hat = (z - mean) / std
            y = gamma * x_hat + beta
            caches.append((x, W, gamma, x_hat, std, y))
            x = np.maximum(y, 0)
        return x, x @ self.params["W3"] + self.params["b3"], caches

    def step(self, x, y, rate):
        h, scores, caches = self.forward(x, batch_statistics=True, remember=True)
        _, d = _cross_entropy(scores, y)
        grads = {"W3": h.T @ d, "b3": d.sum(axis=0)}
        d = d @ self.params["W3"].T
        for k in (2, 1):
            x, W, gamma, x_hat, std, out = caches[k - 1]
            d = d * (out > 0)
            grads |= {f"gamma{k}": (d * x_hat).sum(axis=0), f"beta{k}": d.sum(axis=0)}
            d = d - d.mean(axis=0) - x_hat * (d * x_hat).mean(axis=0)
            d = gamma / std * d
            grads |= {f"W{k}": x.T @ d, f"b{k}": d.sum(axis=0)}
            d = d @ W.T
        self.params = {name: w - rate * grads[name] for name, w in self.params.items()}

    def train(self, x, y):
        for step, (images, classes) in enumerate(zip(x, y, strict=True)):
            self.step(images, classes, _RATE * (1 - step / len(x)))
        return self


@misconception("train", section="gn-small-batches")
def trained_with_batch_norm(x, y, rng):
    """The network learns something, but far too little. Is a batch norm in it? Then think exercise
    12 through now: what do two samples tell it, and what becomes of the gradient? Which norms never
    look at a second sample? Otherwise, look at your learning rate and at the loss over the steps.
    """
    network = _BatchNormNetwork(rng).train(x, y)
    return lambda images: network.forward(images, batch_statistics=False)[1].argmax(axis=1)


@misconception("train", section="ln-no-batch")
def answers_from_batch_statistics(x, y, rng):
    """What the network says about an image depends on which other images are asked about at the
    same time. It looks as if a batch norm takes the statistics of the batch at hand when
    predicting. An answer should belong to its image alone.
    """
    network = _BatchNormNetwork(rng).train(x, y)
    return lambda images: network.forward(images, batch_statistics=True)[1].argmax(axis=1)


@misconception("train", section="dropout-network")
def not_trained(x, y, rng):
    """The pairs seem to have no effect: the network answers as if it had not been shown them. Are
    the results of your steps stored? sgd_step returns new dicts; it changes nothing by itself.
    """
    return _start(rng)


@misconception("train", section="dropout-seeds")
def trained_from_another_generator(x, y, rng):
    """Trained twice with the generator in the same state, the network gives different answers. It
    looks as if random numbers come from somewhere else than rng. Such a result can never be
    repeated.
    """
    return _trained(x, y, np.random.default_rng())


@misconception("train", section="dropout-seeds")
def trained_from_a_fixed_seed(x, y, rng):
    """Whatever generator is handed in, the network starts from the same weights. It looks as if a
    seed is written into your code. Whoever calls could then never try a second start.
    """
    return _trained(x, y, np.random.default_rng(0))


@misconception("train", section="dropout-network")
def trained_from_zero(x, y, rng):
    """The network names the same class for every image. Do all weights start at 0? Then all units
    of a layer compute the same and receive the same gradient: nothing ever tells them apart. Or
    have they become NaN, because the steps are too large? Look at the loss over the steps.
    """
    return _trained(x, y, rng, spread=0.0)


@misconception("predict", section="dropout-network")
def least_likely_class(x, model):
    """It looks as if predict names the class with the smallest score: nearly every answer is wrong,
    far more than by guessing. Which score belongs to the class that the network takes for the right
    one?
    """
    return _scores_of(x, model).argmin(axis=1)


@misconception("predict", section="dropout-network")
def scores_for_classes(x, model):
    """It looks as if predict returns the scores. One class is asked for, for each image: the number
    of the column in which the score is largest.
    """
    return _scores_of(x, model)


def _scores_of(x, model):
    of = [[model[f"{name}{k}"] for name in ("W", "b", "gamma", "beta")] for k in (1, 2)]
    h, _ = _block(_block(x, *of[0], _GROUPS)[0], *of[1], _GROUPS)
    return h @ model["W3"] + model["b3"]
