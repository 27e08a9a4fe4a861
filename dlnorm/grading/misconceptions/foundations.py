"""Wrong variants of gradients, penalties and whitening. Each docstring is the hint a student reads.

The variants of a function share private helpers, which are right unless told otherwise; so each of
them shows what is wrong and nothing else. A wrong whitening returns the reference's kind of cache,
because the reference's backward pass is run on it.
"""

from __future__ import annotations

import numpy as np

from dlnorm.grading.exercise import misconception
from dlnorm.whitening import zca_whiten_forward

# ---------------------------------------------------------------- central_difference


def _slope(f, x, h):
    return (f(x + h) - f(x - h)) / (2 * h)


def _entry_by_entry(f, x, h, quotient):
    """The gradient of a scalar f from `quotient(f, x, step)`, where only one entry is h."""
    x = x.astype(np.float64)
    gradient, step = np.zeros_like(x), np.zeros_like(x)
    for i in np.ndindex(x.shape):
        step[i] = h
        gradient[i] = quotient(f, x, step)
        step[i] = 0
    return gradient


def _right_quotient(h):
    return lambda f, x, step: (f(x + step) - f(x - step)) / (2 * h)


@misconception("central_difference", section="derivatives-central")
def forward_difference(f, x, h):
    """It looks as if you compare f ahead of x with f at x itself. That is the slope somewhere
    between the two points, and its error shrinks only as fast as h does. Where would a second
    point have to be, so that x lies in the middle?
    """
    return _entry_by_entry(f, x, h, lambda f, x, step: (f(x + step) - f(x)) / h)


@misconception("central_difference", section="derivatives-central")
def backward_difference(f, x, h):
    """It looks as if you compare f at x with f behind it, and nothing ahead of it. The error of a
    one-sided slope shrinks only as fast as h does. Which two points have x in the middle?
    """
    return _entry_by_entry(f, x, h, lambda f, x, step: (f(x) - f(x - step)) / h)


@misconception("central_difference", section="derivatives-central")
def divided_by_h_only(f, x, h):
    """It looks as if you divide by h. How far apart are the two points at which you evaluate f?
    Try it on f(x) = x, whose slope you know.
    """
    return _entry_by_entry(f, x, h, lambda f, x, step: (f(x + step) - f(x - step)) / h)


@misconception("central_difference", section="derivatives-central")
def multiplied_by_h(f, x, h):
    """It looks as if you divide by 2 and then multiply by h. Python works through / and * from
    left to right, whatever the spaces around them suggest. Where do parentheses belong?
    """
    return _entry_by_entry(f, x, h, lambda f, x, step: (f(x + step) - f(x - step)) / 2 * h)


@misconception("central_difference", section="derivatives-central")
def only_the_second_value_divided(f, x, h):
    """It looks as if only one of the two values of f is divided by the distance, and the other is
    left as it is. A quotient binds more tightly than a difference: what do you want to divide?
    """
    return _entry_by_entry(f, x, h, lambda f, x, step: f(x + step) - f(x - step) / (2 * h))


@misconception("central_difference", section="derivatives-central")
def ahead_and_behind_swapped(f, x, h):
    """It looks as if you subtract the value ahead from the value behind. Where f increases, your
    slope is negative.
    """
    return _entry_by_entry(f, x, h, lambda f, x, step: (f(x - step) - f(x + step)) / (2 * h))


@misconception("central_difference", section="derivatives-central")
def half_a_step_each_way(f, x, h):
    """It looks as if you go half of h each way, so that your two points are h apart. Here h is the
    distance from x to each of them. For a tiny h that makes no difference one could see, and for a
    large one another error.
    """
    return _entry_by_entry(f, x, h, lambda f, x, step: (f(x + step / 2) - f(x - step / 2)) / h)


@misconception("central_difference", section="derivatives-central")
def step_hard_coded(f, x, h):
    """It looks as if your step is 1e-5, whatever h says. The caller chooses h: there is a best
    value, and it depends on f and on the size of x.
    """
    return _entry_by_entry(f, x, 1e-5, _right_quotient(1e-5))


@misconception("central_difference", section="derivatives-central")
def all_entries_moved_at_once(f, x, h):
    """It looks as if h is added to every entry at the same time. That measures how f changes along
    one diagonal direction: a single number, the sum of all the partial derivatives. How do you
    learn what one entry alone does?
    """
    x = x.astype(np.float64)
    return np.full(x.shape, _slope(f, x, h))


@misconception("central_difference", section="derivatives-recipe")
def first_axis_only(f, x, h):
    """It looks as if you loop over the first axis only, and move a whole row of x at once when x
    has more than one axis. A gradient has one entry for each entry of x. How do you visit the
    entries of an array of any shape?
    """
    x = x.astype(np.float64)
    gradient = np.zeros_like(x)
    for i in range(len(x)):
        step = np.zeros_like(x)
        step[i] = h
        gradient[i] = (f(x + step) - f(x - step)) / (2 * h)
    return gradient


@misconception("central_difference", section="derivatives-recipe")
def gradient_flattened(f, x, h):
    """It looks as if the numbers are right but come back in one long row. A gradient is subtracted
    from the array it belongs to, so it must have that array's shape.
    """
    return _entry_by_entry(f, x, h, _right_quotient(h)).ravel()


@misconception("central_difference", section="derivatives-recipe")
def entry_not_put_back(f, x, h):
    """It looks as if an entry that was moved stays moved while you go on to the next ones. Every
    later derivative is then taken at another point. What must be true of x before each entry's
    turn, and when you return?
    """
    work = x if x.dtype.kind == "f" else x.astype(np.float64)
    gradient = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        work[i] += h
        ahead = f(work)
        work[i] -= 2 * h
        gradient[i] = (ahead - f(work)) / (2 * h)
    return gradient


@misconception("central_difference", section="derivatives-recipe")
def put_back_by_arithmetic(f, x, h):
    """It looks as if you undo a step by adding or subtracting it again, in x itself. In floating
    point, x + h - h is often not x: the last digit is lost, a little more with every call. How can
    you put back exactly what was there, or leave x alone?
    """
    work = x if x.dtype.kind == "f" else x.astype(np.float64)
    gradient = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        work[i] += h
        ahead = f(work)
        work[i] -= 2 * h
        gradient[i] = (ahead - f(work)) / (2 * h)
        work[i] += h
    return gradient


@misconception("central_difference", section="derivatives-recipe")
def steps_in_integers(f, x, h):
    """It looks as if integers stay integers: an array of integers that is told to hold 1 + h holds
    1. Your two points are then the same, or a whole number apart. What type does the array need
    that you move about in?
    """
    work = x.copy()
    gradient = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        old = work[i]
        work[i] = old + h
        ahead = f(work)
        work[i] = old - h
        gradient[i] = (ahead - f(work)) / (2 * h)
        work[i] = old
    return gradient


@misconception("central_difference", section="derivatives-recipe")
def gradient_in_integers(f, x, h):
    """It looks as if the slopes of an integer array are cut down to integers: an array that is made
    like x has x's type. What type can hold any slope?
    """
    return _entry_by_entry(f, x, h, _right_quotient(h)).astype(x.dtype)


# ---------------------------------------------------------------- numeric_gradient


def _contracted(f, x, dout, h, weigh=None, quotient=None):
    """The gradient of sum(f(x) * dout); `weigh(change, i)` says how a change is summed up."""
    quotient = quotient or _right_quotient(h)
    weigh = weigh or (lambda change, i: (change * dout).sum())
    gradient, step = np.zeros_like(x), np.zeros_like(x)
    for i in np.ndindex(x.shape):
        step[i] = h
        gradient[i] = weigh(quotient(f, x, step), i)
        step[i] = 0
    return gradient


@misconception("numeric_gradient", section="derivatives-vjp")
def outputs_not_weighted(f, x, dout, h):
    """It looks as if all entries of f(x) count the same: dout does not come into it, or as ones
    only. What is differentiated is the sum of f(x) times dout, entry by entry.
    """
    return _contracted(f, x, dout, h, lambda change, i: change.sum())


@misconception("numeric_gradient", section="derivatives-vjp")
def outputs_averaged(f, x, dout, h):
    """It looks as if you take a mean over the entries of the output. The paths from one entry of x
    to the loss add up. If the loss is a mean, dout contains that factor already.
    """
    return _contracted(f, x, dout, h, lambda change, i: (change * dout).mean())


@misconception("numeric_gradient", section="derivatives-vjp")
def function_taken_for_elementwise(f, x, dout, h):
    """It looks as if you move all entries of x at once and take each entry of the output as the
    work of one entry of x. That holds for tanh or exp. In a normalization every output depends
    on every input: which entries may move while you measure one of them?
    """
    change = _slope(f, x, h)
    if change.shape == x.shape:
        return change * dout
    return change  # it has nowhere to go


@misconception("numeric_gradient", section="derivatives-vjp")
def own_output_only(f, x, dout, h):
    """It looks as if you move one entry of x and look at the output in the same place only. Other
    outputs may have changed as well, and each of them changes the loss.
    """

    def weigh(change, i):
        inside = len(i) == change.ndim and all(k < n for k, n in zip(i, change.shape, strict=True))
        return change[i] * dout[i] if inside else 0.0

    return _contracted(f, x, dout, h, weigh)


@misconception("numeric_gradient", section="derivatives-vjp")
def dout_squared_in(f, x, dout, h):
    """It looks as if dout is multiplied in twice, perhaps once inside the function that you
    differentiate and once after it. Once is what the chain rule asks for.
    """
    return _contracted(f, x, dout, h, lambda change, i: (change * dout * dout).sum())


@misconception("numeric_gradient", section="derivatives-vjp")
def dout_multiplied_last(f, x, dout, h):
    """It looks as if you add up the outputs first and multiply by the sum of dout afterwards. Each
    output has a weight of its own. Which of the two steps has to come first?
    """
    return _contracted(f, x, dout, h, lambda change, i: change.sum() * dout.sum())


@misconception("numeric_gradient", section="derivatives-central")
def contracted_forward_difference(f, x, dout, h):
    """It looks as if you compare the output ahead of x with the output at x itself. The error of a
    one-sided slope shrinks only as fast as h does. Is central_difference, which this can be built
    on, right?
    """
    return _contracted(f, x, dout, h, quotient=lambda f, x, step: (f(x + step) - f(x)) / h)


@misconception("numeric_gradient", section="derivatives-central")
def contracted_divided_by_h_only(f, x, dout, h):
    """It looks as if you divide by h. How far apart are the two points at which you evaluate f? Is
    central_difference, which this can be built on, right?
    """
    return _contracted(f, x, dout, h, quotient=lambda f, x, step: (f(x + step) - f(x - step)) / h)


@misconception("numeric_gradient", section="derivatives-central")
def contracted_step_hard_coded(f, x, dout, h):
    """It looks as if your step is 1e-5, whatever h says. If you call another function of yours
    here, is h handed on to it?
    """
    return _contracted(f, x, dout, 1e-5)


@misconception("numeric_gradient", section="derivatives-recipe")
def contracted_gradient_flattened(f, x, dout, h):
    """It looks as if the numbers are right but come back in one long row. The gradient with respect
    to x has x's shape, whatever the shape of dout.
    """
    return _contracted(f, x, dout, h).ravel()


# ---------------------------------------------------------------- complex_step_gradient


def _along_i(f, x, dout, h, quotient, weigh=None):
    """The gradient of sum(f(x) * dout) from `quotient(f, x, step)`, where one entry is h."""
    return _contracted(f, x, dout, h, weigh, quotient)


def _imaginary(h):
    return lambda f, x, step: f(x + 1j * step).imag / h


@misconception("complex_step_gradient", section="derivatives-complex")
def real_part_taken(f, x, dout, h):
    """It looks as if you divide the real part of f by the step. The real part is f itself, nearly
    unchanged. In the Taylor series of f(x + ih), which part holds the first derivative, and
    nothing else of its size?
    """
    return _along_i(f, x, dout, h, lambda f, x, step: f(x + 1j * step).real / h)


@misconception("complex_step_gradient", section="derivatives-complex")
def real_part_of_the_difference(f, x, dout, h):
    """It looks as if you subtract f(x) and then take the real part. What is left of the real part
    is of second order in h: with a tiny step it is 0. The derivative is in the other part, where
    there is nothing to subtract.
    """
    return _along_i(f, x, dout, h, lambda f, x, step: (f(x + 1j * step) - f(x)).real / h)


@misconception("complex_step_gradient", section="derivatives-complex")
def modulus_taken(f, x, dout, h):
    """It looks as if you take the absolute value of a complex number. It is never negative, so
    every negative slope becomes positive. Which part of the number has a sign?
    """
    return _along_i(f, x, dout, h, lambda f, x, step: np.abs(f(x + 1j * step) - f(x)) / h)


@misconception("complex_step_gradient", section="derivatives-complex")
def imaginary_part_not_divided(f, x, dout, h):
    """It looks as if the imaginary part is right and not divided by the step. With a tiny step
    your gradient is tiny, too: how large is the step, as a real number?
    """
    return _along_i(f, x, dout, h, lambda f, x, step: f(x + 1j * step).imag)


@misconception("complex_step_gradient", section="derivatives-complex")
def divided_by_two_steps(f, x, dout, h):
    """It looks as if you divide by twice the step, as a central difference does. Here f is
    evaluated at one point, off the real axis by one step.
    """
    return _along_i(f, x, dout, h, lambda f, x, step: f(x + 1j * step).imag / (2 * h))


@misconception("complex_step_gradient", section="derivatives-complex")
def minus_i(f, x, dout, h):
    """It looks as if every slope has the wrong sign. Did you step down along the imaginary axis, or
    multiply by i where you meant to divide by it?
    """
    return _along_i(f, x, dout, h, lambda f, x, step: f(x - 1j * step).imag / h)


@misconception("complex_step_gradient", section="derivatives-rounding")
def step_along_the_real_axis(f, x, dout, h):
    """It looks as if your step is real and f(x) is subtracted: a one-sided difference. With a step
    as small as this one, x + h is x, and the difference is 0. In which direction does a complex
    step go?
    """
    return _along_i(f, x, dout, h, lambda f, x, step: (f(x + step) - f(x)) / h)


@misconception("complex_step_gradient", section="derivatives-rounding")
def central_difference_with_a_complex_name(f, x, dout, h):
    """It looks as if you take a central difference along the real axis. With a step as small as
    this one both points are x, and the difference is 0. In which direction does a complex step go?
    """
    return _along_i(f, x, dout, h, _right_quotient(h))


@misconception("complex_step_gradient", section="derivatives-complex")
def imaginary_step_lost(f, x, dout, h):
    """It looks as if f never sees the imaginary step: an array of real numbers that is told to hold
    a complex one keeps the real part, perhaps with a warning. What type must the array have that
    takes the step?
    """
    return np.zeros_like(x)


@misconception("complex_step_gradient", section="derivatives-complex")
def imaginary_step_everywhere(f, x, dout, h):
    """It looks as if every entry of x takes the step at the same time. Then one number comes out,
    the sum of all the partial derivatives. The complex step also goes one entry at a time.
    """
    change = (f(x + 1j * h).imag / h * dout).sum()
    return np.full(x.shape, change)


@misconception("complex_step_gradient", section="derivatives-complex")
def imaginary_step_stays(f, x, dout, h):
    """It looks as if an entry keeps its imaginary step while the next ones take theirs. What comes
    out then is a running sum of slopes. What must the point look like before each entry's turn?
    """
    z, gradient = x.astype(complex), np.zeros_like(x)
    for i in np.ndindex(x.shape):
        z[i] += 1j * h
        gradient[i] = (f(z).imag / h * dout).sum()
    return gradient


@misconception("complex_step_gradient", section="derivatives-complex")
def complex_step_hard_coded(f, x, dout, h):
    """It looks as if your step is a tiny one of your own, whatever h says. Nobody would choose a
    large h in earnest, but with one the error can be seen, and this check does so.
    """
    return _along_i(f, x, dout, 1e-100, _imaginary(1e-100))


@misconception("complex_step_gradient", section="derivatives-vjp")
def complex_outputs_not_weighted(f, x, dout, h):
    """It looks as if all entries of f(x) count the same: dout does not come into it. What is
    differentiated is the sum of f(x) times dout, entry by entry.
    """
    return _along_i(f, x, dout, h, _imaginary(h), lambda change, i: change.sum())


@misconception("complex_step_gradient", section="derivatives-recipe")
def complex_gradient_flattened(f, x, dout, h):
    """It looks as if the numbers are right but come back in one long row. The gradient with respect
    to x has x's shape, whatever the shape of dout.
    """
    return _along_i(f, x, dout, h, _imaginary(h)).ravel()


# ---------------------------------------------------------------- standardize_columns


def _columns(x, eps, mean=None, var=None, scale=lambda var, eps: np.sqrt(var + eps), axis=0):
    """Standardize without a conjugate anywhere; the parts as arguments."""
    centered = x - (x.mean(axis, keepdims=True) if mean is None else mean(x))
    variance = (centered * centered).mean(axis, keepdims=True) if var is None else var(centered)
    return centered / scale(variance, eps)


@misconception("standardize_columns", section="derivatives-complex")
def variance_of_the_modulus(x, eps):
    """It looks as if your variance is real even for complex x: x.var, x.std and an absolute value
    multiply a number by its conjugate. The imaginary step is lost there without a word, and the
    derivative is that of a layer whose variance is constant. How do you write a mean square that
    keeps it?
    """
    return _columns(x, eps, var=lambda c: (np.abs(c) ** 2).mean(axis=0))


@misconception("standardize_columns", section="derivatives-complex")
def mean_of_the_real_part(x, eps):
    """It looks as if the mean is taken of the real part only. The mean depends on every entry of
    its column, so it must carry the imaginary step as well.
    """
    return _columns(x, eps, mean=lambda x: x.real.mean(axis=0))


@misconception("standardize_columns", section="derivatives-complex")
def real_result(x, eps):
    """It looks as if a real array comes back for complex x. Somewhere the imaginary part is thrown
    away: in an array that was made without x's type, or by taking the real part.
    """
    return _columns(x.real, eps)


@misconception("standardize_columns", section="bn-eps")
def columns_eps_outside_the_root(x, eps):
    """It looks as if eps is added to the standard deviation, after the root. In what unit is eps:
    that of x, or that of x squared?
    """
    return _columns(x, eps, scale=lambda var, eps: np.sqrt(var) + eps)


@misconception("standardize_columns", section="bn-eps")
def columns_eps_omitted(x, eps):
    """It looks as if eps is missing from the denominator. Without it a constant column would be
    divided by zero.
    """
    return _columns(x, eps, scale=lambda var, eps: np.sqrt(var))


@misconception("standardize_columns", section="bn-algorithm")
def columns_divided_by_variance(x, eps):
    """It looks as if you divide by a variance. If x is in meters, a variance is in square meters;
    after standardizing, no unit should be left.
    """
    return _columns(x, eps, scale=lambda var, eps: var + eps)


@misconception("standardize_columns", section="bn-biased")
def columns_unbiased_variance(x, eps):
    """It looks as if your variance divides by one less than the number of rows. Here it is the mean
    of the squared deviations of these very numbers.
    """
    n = len(x)
    return _columns(x, eps, var=lambda c: (c * c).sum(axis=0) / (n - 1))


@misconception("standardize_columns", section="bn-axes")
def rows_standardized(x, eps):
    """It looks as if each row is standardized. A column is one feature, and it is compared with
    itself in the other rows. Which axis has to disappear when you take the mean?
    """
    return _columns(x, eps, axis=1)


@misconception("standardize_columns", section="bn-algorithm")
def columns_not_centered(x, eps):
    """It looks as if the mean is not subtracted. What should the mean of each column of the result
    be?
    """
    return _columns(
        x, eps, mean=lambda x: 0, var=lambda _: ((x - x.mean(axis=0)) ** 2).mean(axis=0)
    )


# ---------------------------------------------------------------- relative_error


def _largest(a):
    return np.abs(a).max()


@misconception("relative_error", section="derivatives-relative")
def relative_to_the_first(a, b):
    """It looks as if you compare with the first array only. Exchange the two and you get another
    number; and if the first is zero, none at all. Which of them is the right one is what you want
    to find out, so neither should be preferred.
    """
    return _largest(a - b) / _largest(a) if _largest(a - b) else 0.0


@misconception("relative_error", section="derivatives-relative")
def relative_to_the_second(a, b):
    """It looks as if you compare with the second array only. Exchange the two and you get another
    number. Which of them is the right one is what you want to find out, so neither should be
    preferred.
    """
    return _largest(a - b) / _largest(b) if _largest(a - b) else 0.0


@misconception("relative_error", section="derivatives-relative")
def relative_to_the_sum(a, b):
    """It looks as if the sizes of both arrays are added in the denominator. Two arrays that are
    twice as far apart as they should be then look almost right. The course compares with the
    larger of the two.
    """
    return _largest(a - b) / (_largest(a) + _largest(b)) if _largest(a - b) else 0.0


@misconception("relative_error", section="derivatives-relative")
def error_of_each_entry(a, b):
    """It looks as if every entry is compared with its own size, and the worst one counts. An entry
    that should be 0 and is 1e-17 is then 100 percent wrong. Where do the two maxima stand in the
    course's definition: before the division, or after it?
    """
    scale = np.maximum(np.abs(a), np.abs(b))
    return (np.abs(a - b) / np.where(scale > 0, scale, 1)).max()


@misconception("relative_error", section="derivatives-relative")
def error_of_each_entry_with_a_floor(a, b):
    """It looks as if every entry is compared with the sum of the two sizes, with a small constant
    as the least denominator. Entries that should be 0 then count as wrong, and arrays of small
    numbers as right. What is compared with what in the course's definition?
    """
    return (np.abs(a - b) / np.maximum(1e-8, np.abs(a) + np.abs(b))).max()


@misconception("relative_error", section="derivatives-relative")
def error_of_norms(a, b):
    """It looks as if you divide lengths: roots of sums of squares. One wrong entry among a million
    right ones is lost in such a sum. The course looks for the largest difference anywhere.
    """
    largest = max(np.linalg.norm(a), np.linalg.norm(b))
    return np.linalg.norm(a - b) / largest if largest else 0.0


@misconception("relative_error", section="derivatives-relative")
def error_of_norms_over_their_sum(a, b):
    """It looks as if you divide the length of the difference by the sum of the two lengths. One
    wrong entry among a million is lost in a sum of squares. The course looks for the largest
    difference anywhere, and for the largest entry anywhere.
    """
    both = np.linalg.norm(a) + np.linalg.norm(b)
    return np.linalg.norm(a - b) / both if both else 0.0


@misconception("relative_error", section="derivatives-relative")
def mean_difference(a, b):
    """It looks as if you average the differences. The mean of a thousand right entries and one
    wrong one is small; what is asked for is the worst.
    """
    largest = max(_largest(a), _largest(b))
    return np.abs(a - b).mean() / largest if largest else 0.0


@misconception("relative_error", section="derivatives-relative")
def absolute_error(a, b):
    """It looks as if the difference is not divided by anything. Whether 1e-6 is much depends on
    what it is compared with: measured in other units, your error is another number.
    """
    return _largest(a - b)


@misconception("relative_error", section="derivatives-relative")
def signed_difference(a, b):
    """It looks as if a negative difference counts as a small one. An entry that is far too small
    is as wrong as one that is far too large.
    """
    largest = max(_largest(a), _largest(b))
    return (a - b).max() / largest if largest else 0.0


@misconception("relative_error", section="derivatives-relative")
def signed_scale(a, b):
    """It looks as if the size of the arrays is their largest entry, with its sign. How large is an
    array whose entries are all negative?
    """
    largest = max(a.max(), b.max())
    return _largest(a - b) / largest if largest else float(_largest(a - b) > 0)


@misconception("relative_error", section="derivatives-relative")
def sizes_compared(a, b):
    """It looks as if you subtract the largest entry of one array from that of the other. The two
    may well be equal while nothing else is. Subtract the arrays first.
    """
    largest = max(_largest(a), _largest(b))
    return abs(_largest(a) - _largest(b)) / largest if largest else 0.0


@misconception("relative_error", section="derivatives-relative")
def constant_in_the_denominator(a, b):
    """It looks as if a small constant is added to the denominator. That avoids 0/0, but arrays of
    very small numbers then agree whatever is in them. In which single case is there nothing to
    divide by, and what should the error be then?
    """
    return _largest(a - b) / (max(_largest(a), _largest(b)) + 1e-8)


@misconception("relative_error", section="derivatives-relative")
def zero_over_zero(a, b):
    """It looks as if two arrays of zeros give 0/0. They agree perfectly; what should come out?"""
    with np.errstate(invalid="ignore"):
        return _largest(a - b) / np.maximum(_largest(a), _largest(b))


# ---------------------------------------------------------------- l1_penalty


def _l1(w, strength, loss=None, dw=None):
    right = strength * np.abs(w).sum()
    return (
        right if loss is None else loss,
        (strength * np.sign(w)).astype(w.dtype) if dw is None else dw,
    )


@misconception("l1_penalty", section="reg-l1")
def l1_halved(w, strength):
    """It looks as if a factor one half has found its way into the L1 penalty. It belongs to L2,
    where it cancels the 2 of a derivative. Which 2 would it cancel here?
    """
    return _l1(w, strength / 2)


@misconception("l1_penalty", section="reg-l1")
def l1_averaged(w, strength):
    """It looks as if you take a mean over the weights. The penalty is a sum: each weight is pulled
    with the same strength, however many others there are.
    """
    return _l1(w, strength / w.size)


@misconception("l1_penalty", section="reg-l1")
def l1_loss_averaged(w, strength):
    """It looks as if the loss is a mean over the weights while the gradient is that of a sum. Then
    the gradient does not belong to the loss. The penalty is a sum.
    """
    return _l1(w, strength, loss=strength * np.abs(w).mean())


@misconception("l1_penalty", section="reg-l1")
def l1_loss_without_strength(w, strength):
    """It looks as if strength is missing from the loss. The gradient has it; does it belong to
    your loss?
    """
    return _l1(w, strength, loss=np.abs(w).sum())


@misconception("l1_penalty", section="reg-l1")
def l1_gradient_without_strength(w, strength):
    """It looks as if strength is missing from the gradient. If the loss is twice as strong, how
    does its slope change?
    """
    return _l1(w, strength, dw=np.sign(w))


@misconception("l1_penalty", section="reg-l1")
def l1_without_absolute_values(w, strength):
    """It looks as if the weights are added up with their signs. Then 3 and -3 cancel and cost
    nothing, and a very negative weight lowers the loss.
    """
    return _l1(w, strength, loss=strength * w.sum())


@misconception("l1_penalty", section="reg-l1")
def l1_largest_column(w, strength):
    """It looks as if your loss is the largest of the columns' sums. For a matrix that is what
    NumPy calls its 1-norm; the penalty adds up every entry, whatever the shape.
    """
    by_column = np.abs(w).sum(axis=0) if w.ndim == 2 else np.abs(w).sum()
    return _l1(w, strength, loss=strength * by_column.max())


@misconception("l1_penalty", section="reg-l1")
def l1_gradient_always_positive(w, strength):
    """It looks as if the gradient is the same positive number for every weight. Gradient descent
    would push negative weights away from 0. On which side of 0 does the absolute value fall?
    """
    return _l1(w, strength, dw=np.full_like(w, strength))


@misconception("l1_penalty", section="reg-l1")
def l1_gradient_of_zero_positive(w, strength):
    """It looks as if a weight of exactly 0 has the slope of the positive ones. A step of gradient
    descent would push it away from 0. There is a kink at 0: which value does the docstring ask for
    there?
    """
    return _l1(w, strength, dw=np.where(w >= 0, strength, -strength).astype(w.dtype))


@misconception("l1_penalty", section="reg-l1")
def l1_gradient_of_zero_negative(w, strength):
    """It looks as if a weight of exactly 0 has the slope of the negative ones. A step of gradient
    descent would push it away from 0. There is a kink at 0: which value does the docstring ask for
    there?
    """
    return _l1(w, strength, dw=np.where(w > 0, strength, -strength).astype(w.dtype))


@misconception("l1_penalty", section="reg-l1")
def l1_gradient_zero_over_zero(w, strength):
    """It looks as if you divide each weight by its own size. That gives the sign of every weight
    but one that is 0, and weights of exactly 0 are what L1 is used for.
    """
    with np.errstate(invalid="ignore"):
        return _l1(w, strength, dw=strength * w / np.abs(w))


@misconception("l1_penalty", section="reg-l1")
def l1_gradient_of_l2(w, strength):
    """It looks as if the gradient grows with the weight: that is the pull of L2. The absolute value
    has the same slope everywhere on one side of 0. How steep is it?
    """
    return _l1(w, strength, dw=strength * w)


@misconception("l1_penalty", section="reg-l1")
def l1_gradient_of_absolute_values(w, strength):
    """It looks as if the gradient is made of the sizes of the weights. That is the penalty itself,
    not its slope.
    """
    return _l1(w, strength, dw=strength * np.abs(w))


@misconception("l1_penalty", section="reg-l1")
def l1_gradient_downhill(w, strength):
    """It looks as if your gradient points downhill. A gradient points where the loss grows; the
    minus sign is put in by the step of gradient descent.
    """
    return _l1(w, strength, dw=(-strength * np.sign(w)).astype(w.dtype))


@misconception("l1_penalty", section="reg-l1")
def l1_in_double_precision(w, strength):
    """It looks as if float32 weights get a float64 gradient: an array of NumPy's default type takes
    part. The update would then turn the weights into float64, too.
    """
    return _l1(w, strength, dw=strength * np.sign(w).astype(np.float64))


@misconception("l1_penalty", section="reg-l1")
def l1_changes_the_weights(w, strength):
    """It looks as if your function writes into w. A penalty only reports its value and slope; the
    optimizer moves the weights.
    """
    result = _l1(w.copy(), strength)
    np.abs(w, out=w)
    return result


# ---------------------------------------------------------------- l2_penalty


def _l2(w, strength, loss=None, dw=None):
    right = strength * (w * w).sum() / 2
    return right if loss is None else loss, strength * w if dw is None else dw


@misconception("l2_penalty", section="reg-l2")
def l2_without_the_half(w, strength):
    """It looks as if you use the convention without the factor one half: loss and gradient belong
    together, and both are twice what is asked for. Many texts do so; this docstring does not.
    """
    return _l2(w, 2 * strength)


@misconception("l2_penalty", section="reg-l2")
def l2_loss_without_the_half(w, strength):
    """It looks as if the factor one half is missing from the loss only. Then the gradient is not
    the derivative of the loss: check one weight with a numeric gradient.
    """
    return _l2(w, strength, loss=strength * (w * w).sum())


@misconception("l2_penalty", section="reg-l2")
def l2_gradient_doubled(w, strength):
    """It looks as if a 2 is left over in the gradient. The square brings a 2 down when you
    differentiate; what is it multiplied by in this penalty?
    """
    return _l2(w, strength, dw=2 * strength * w)


@misconception("l2_penalty", section="reg-l2")
def l2_gradient_halved(w, strength):
    """It looks as if the factor one half stands in the gradient as well. What does the derivative
    of the square do to it?
    """
    return _l2(w, strength, dw=strength * w / 2)


@misconception("l2_penalty", section="reg-l2")
def l2_averaged(w, strength):
    """It looks as if you take a mean over the weights. The penalty is a sum: a weight is pulled in
    proportion to itself, however many others there are.
    """
    return _l2(w, strength / w.size)


@misconception("l2_penalty", section="reg-l2")
def l2_length_not_squared(w, strength):
    """It looks as if your loss holds the length of the weights and not its square: there is a root
    too many. How does the penalty change when all weights are doubled?
    """
    return _l2(w, strength, loss=strength * np.sqrt((w * w).sum()) / 2)


@misconception("l2_penalty", section="reg-l2")
def l2_largest_singular_value(w, strength):
    """It looks as if your loss looks at a matrix as a map: NumPy's 2-norm of a matrix is the most
    by which it stretches anything. The penalty adds up the squares of all entries, whatever the
    shape.
    """
    largest = np.linalg.norm(w, 2) if w.ndim == 2 else np.linalg.norm(w.ravel())
    return _l2(w, strength, loss=strength * largest**2 / 2)


@misconception("l2_penalty", section="reg-l2")
def l2_strength_squared(w, strength):
    """It looks as if strength is squared along with the weights, in the loss. The square belongs to
    each weight alone.
    """
    return _l2(w, strength, loss=((strength * w) ** 2).sum() / 2)


@misconception("l2_penalty", section="reg-l2")
def l2_loss_without_strength(w, strength):
    """It looks as if strength is missing from the loss. The gradient has it; does it belong to
    your loss?
    """
    return _l2(w, strength, loss=(w * w).sum() / 2)


@misconception("l2_penalty", section="reg-l2")
def l2_gradient_without_strength(w, strength):
    """It looks as if strength is missing from the gradient. If the loss is twice as strong, how
    does its slope change?
    """
    return _l2(w, strength, dw=w.copy())


@misconception("l2_penalty", section="reg-l2")
def l2_gradient_of_l1(w, strength):
    """It looks as if every weight is pulled equally hard: that is the pull of L1. How does the
    slope of a parabola change as you come closer to its lowest point?
    """
    return _l2(w, strength, dw=(strength * np.sign(w)).astype(w.dtype))


@misconception("l2_penalty", section="reg-l2")
def l2_weights_after_a_step(w, strength):
    """It looks as if the second result is the weights after a step, not the gradient. Moving the
    weights is the optimizer's work, and it needs to know the slope for that.
    """
    return _l2(w, strength, dw=w - strength * w)


@misconception("l2_penalty", section="reg-l2")
def l2_gradient_downhill(w, strength):
    """It looks as if your gradient points downhill. A gradient points where the loss grows; the
    minus sign is put in by the step of gradient descent.
    """
    return _l2(w, strength, dw=-strength * w)


@misconception("l2_penalty", section="reg-l2")
def l2_in_double_precision(w, strength):
    """It looks as if float32 weights get a float64 gradient: an array of NumPy's default type takes
    part. The update would then turn the weights into float64, too.
    """
    return _l2(w, strength, dw=strength * w.astype(np.float64))


@misconception("l2_penalty", section="reg-l2")
def l2_changes_the_weights(w, strength):
    """It looks as if your function writes into w. A penalty only reports its value and slope; the
    optimizer moves the weights.
    """
    result = _l2(w.copy(), strength)
    w *= 1 - strength
    return result


# ---------------------------------------------------------------- maxnorm_project


def _shortened(w, length, max_norm):
    """Columns (or what `length` belongs to) longer than `max_norm` brought to that length."""
    safe = np.where(length > 0, length, 1)
    factor = np.where(length > max_norm, max_norm / safe, 1).astype(w.dtype)
    return w * factor


def _lengths(w, axis=0):
    return np.sqrt((w * w).sum(axis=axis, keepdims=True))


@misconception("maxnorm_project", section="reg-maxnorm")
def rows_shortened(w, max_norm):
    """It looks as if the rows are shortened. A row holds what one input sends to all units; the
    limit is on what one unit receives. Where do the weights of one unit stand in w of shape
    (D_in, D_out)?
    """
    return _shortened(w, _lengths(w, axis=1), max_norm)


@misconception("maxnorm_project", section="reg-maxnorm")
def whole_matrix_shortened(w, max_norm):
    """It looks as if the whole matrix has one length. Then a layer with more units must have
    shorter ones, and one long unit shortens all the others. How many lengths does a layer with
    D_out units have?
    """
    return _shortened(w, _lengths(w, axis=None), max_norm)


@misconception("maxnorm_project", section="reg-maxnorm")
def always_rescaled(w, max_norm):
    """It looks as if every column is brought to the length max_norm, the short ones as well. The
    limit is a ball, not its surface: what should happen to a column that is inside?
    """
    with np.errstate(invalid="ignore"):
        return (w * max_norm / _lengths(w)).astype(w.dtype)


@misconception("maxnorm_project", section="reg-maxnorm")
def only_the_short_ones_rescaled(w, max_norm):
    """It looks as if your condition is the wrong way around: short columns are stretched, and the
    long ones stay as they are.
    """
    length = _lengths(w)
    stretched = w * max_norm / np.where(length > 0, length, 1)
    return np.where(length < max_norm, stretched, w).astype(w.dtype)


@misconception("maxnorm_project", section="reg-maxnorm")
def shortened_to_one(w, max_norm):
    """It looks as if long columns are brought to length 1. How long may a column be?"""
    length = _lengths(w)
    return np.where(length > max_norm, w / np.where(length > 0, length, 1), w).astype(w.dtype)


@misconception("maxnorm_project", section="reg-maxnorm")
def length_without_a_root(w, max_norm):
    """It looks as if a column's sum of squares is taken for its length. How long is the column
    (3, 4)?
    """
    return _shortened(w, _lengths(w) ** 2, max_norm)


@misconception("maxnorm_project", section="reg-maxnorm")
def limit_compared_with_the_square(w, max_norm):
    """It looks as if the sum of squares is compared with max_norm, and the length is what you
    divide by. So the wrong columns are found to be too long. In which unit is max_norm?
    """
    length = _lengths(w)
    short = w * max_norm / np.where(length > 0, length, 1)
    return np.where(length**2 > max_norm, short, w).astype(w.dtype)


@misconception("maxnorm_project", section="reg-maxnorm")
def length_of_absolute_values(w, max_norm):
    """It looks as if the length of a column is the sum of its absolute values. Max-norm limits the
    ordinary, Euclidean length.
    """
    return _shortened(w, np.abs(w).sum(axis=0), max_norm)


@misconception("maxnorm_project", section="reg-maxnorm")
def length_of_the_largest_entry(w, max_norm):
    """It looks as if the length of a column is its largest entry, perhaps because of the name
    "max-norm". The "max" is the limit; the norm is the ordinary, Euclidean length.
    """
    return _shortened(w, np.abs(w).max(axis=0), max_norm)


@misconception("maxnorm_project", section="reg-maxnorm")
def entries_clipped(w, max_norm):
    """It looks as if every entry is clipped on its own. That keeps the weights in a box and turns
    them in another direction. The limit is on the length of a unit's weights, all together.
    """
    return np.clip(w, -max_norm, max_norm)


@misconception("maxnorm_project", section="reg-maxnorm")
def all_shortened_like_the_longest(w, max_norm):
    """It looks as if one factor is used for all columns, that of the longest. A column inside the
    limit must not pay for another one: each unit has a factor of its own.
    """
    return _shortened(w, _lengths(w).max(), max_norm)


@misconception("maxnorm_project", section="reg-maxnorm")
def zero_column_divided_by_zero(w, max_norm):
    """It looks as if a column of zeros is divided by its length. A unit with no weights is well
    inside the limit; can you avoid computing 0/0 for it?
    """
    length = _lengths(w)
    with np.errstate(invalid="ignore"):
        return (w / length * np.minimum(length, max_norm)).astype(w.dtype)


@misconception("maxnorm_project", section="reg-maxnorm")
def projected_in_place(w, max_norm):
    """It looks as if the result is right, but w itself was shortened as well. The caller may want
    to compare: make a new array for the result.
    """
    w[...] = _shortened(w, _lengths(w), max_norm)
    return w


@misconception("maxnorm_project", section="reg-maxnorm")
def projected_in_double_precision(w, max_norm):
    """It looks as if float32 weights come back as float64: an array of NumPy's default type takes
    part. The rest of the network would have to follow.
    """
    return _shortened(w.astype(np.float64), _lengths(w), max_norm)


# ---------------------------------------------------------------- center_and_covariance


@misconception("center_and_covariance", section="white-center")
def covariance_not_centered(x):
    """It looks as if the covariance is computed from x as it came. Then it also holds the products
    of the means: adding 100 to a feature would change it. Which of your two arrays should be
    multiplied by itself?
    """
    return x - x.mean(axis=0), x.T @ x / len(x)


@misconception("center_and_covariance", section="white-center")
def covariance_unbiased(x):
    """It looks as if the covariance divides by one less than the number of samples, as the NumPy
    function of that name does. Batch norm divides by N, and so does whitening here: it is the mean
    product of these very numbers.
    """
    centered = x - x.mean(axis=0)
    return centered, centered.T @ centered / (len(x) - 1)


@misconception("center_and_covariance", section="white-center")
def covariance_not_averaged(x):
    """It looks as if the products are added up and not averaged. Twice as many samples would give
    twice the covariance.
    """
    centered = x - x.mean(axis=0)
    return centered, centered.T @ centered


@misconception("center_and_covariance", section="white-center")
def covariance_over_features(x):
    """It looks as if the products are divided by the number of features. The covariance of two
    features is a mean over something else: over what?
    """
    centered = x - x.mean(axis=0)
    return centered, centered.T @ centered / x.shape[1]


@misconception("center_and_covariance", section="white-center")
def covariance_of_samples(x):
    """It looks as if you multiply the other way around: one row and one column for each sample.
    The covariance tells how features vary together, so which shape must it have?
    """
    centered = x - x.mean(axis=0)
    return centered, centered @ centered.T / len(x)


@misconception("center_and_covariance", section="white-center")
def rows_centered(x):
    """It looks as if each row is centered: the mean of one sample over its features. Each feature
    has its own mean, taken over the samples.
    """
    centered = x - x.mean(axis=1, keepdims=True)
    return centered, centered.T @ centered / len(x)


@misconception("center_and_covariance", section="white-center")
def table_centered(x):
    """It looks as if one mean of the whole table is subtracted. Features with different means are
    then still not centered. How many means does a table with D features need?
    """
    centered = x - x.mean()
    return centered, centered.T @ centered / len(x)


@misconception("center_and_covariance", section="white-center")
def correlation_for_covariance(x):
    """It looks as if the diagonal of your second result is 1: a correlation. In a covariance the
    features keep their units, and the diagonal holds their variances.
    """
    centered = x - x.mean(axis=0)
    unit = centered / centered.std(axis=0)
    return centered, unit.T @ unit / len(x)


@misconception("center_and_covariance", section="white-center")
def variances_only(x):
    """It looks as if everything off the diagonal is 0: you have the variances of the features, but
    not how two of them vary together.
    """
    centered = x - x.mean(axis=0)
    return centered, np.diag((centered * centered).mean(axis=0))


@misconception("center_and_covariance", section="white-center")
def mean_for_centered(x):
    """It looks as if the first result is the mean itself. What is asked for is x without it."""
    mean = x.mean(axis=0)
    return mean, (x - mean).T @ (x - mean) / len(x)


@misconception("center_and_covariance", section="white-center")
def standardized_for_centered(x):
    """It looks as if the columns are also divided by their standard deviation. Whitening takes care
    of the scale later, along other axes; here only the mean is taken away.
    """
    centered = x - x.mean(axis=0)
    return centered / centered.std(axis=0), centered.T @ centered / len(x)


@misconception("center_and_covariance", section="white-center")
def centered_in_place(x):
    """It looks as if your code writes into x, perhaps with -=. The array belongs to the caller."""
    x -= x.mean(axis=0)
    return x.copy(), x.T @ x / len(x)


# ---------------------------------------------------------------- pca_whiten


def _axes(x, center=None, n=None):
    """Centered x, eigenvalues and axes, largest first."""
    centered = x - x.mean(axis=0) if center is None else center(x)
    covariance = centered.T @ centered / (n or len(x))
    eigenvalues, axes = np.linalg.eigh(covariance)
    return centered, eigenvalues[::-1], axes[:, ::-1]


def _inside(eigenvalues, eps):
    return np.sqrt(eigenvalues + eps)


def _after(eigenvalues, eps):
    return np.sqrt(np.maximum(eigenvalues, 0)) + eps


@misconception("pca_whiten", section="white-zca")
def rotated_back(x, eps):
    """It looks as if you rotate back to the features at the end: that is ZCA whitening, the next
    exercise. In PCA whitening a column of the result belongs to an axis of the cloud, not to a
    feature.
    """
    centered, eigenvalues, axes = _axes(x)
    return centered @ axes / _inside(eigenvalues, eps) @ axes.T


@misconception("pca_whiten", section="white-pca")
def pca_root_missing(x, eps):
    """It looks as if you divide by the eigenvalues. An eigenvalue is the variance along its axis,
    in units of x squared; by what do you have to divide to get the variance 1?
    """
    centered, eigenvalues, axes = _axes(x)
    return centered @ axes / (eigenvalues + eps)


@misconception("pca_whiten", section="white-pca")
def pca_multiplied(x, eps):
    """It looks as if you multiply by the deviation along each axis. The long axes get longer still.
    What should the cloud look like when you are done?
    """
    centered, eigenvalues, axes = _axes(x)
    return centered @ axes * _inside(eigenvalues, eps)


@misconception("pca_whiten", section="white-pca")
def pca_rotated_only(x, eps):
    """It looks as if you turn the cloud and stop there. The columns are no longer correlated, but
    each still has its own variance.
    """
    centered, _, axes = _axes(x)
    return centered @ axes


@misconception("pca_whiten", section="white-pca")
def pca_not_rotated(x, eps):
    """It looks as if each feature is divided by its own standard deviation. That is what batch norm
    does, and it leaves the correlations. Along which axes is the cloud uncorrelated?
    """
    centered = x - x.mean(axis=0)
    return centered / np.sqrt((centered * centered).mean(axis=0) + eps)


@misconception("pca_whiten", section="white-center")
def pca_x_not_centered(x, eps):
    """It looks as if the axes are right, but x is turned without its mean being subtracted first.
    Where should the middle of the white cloud be?
    """
    _, eigenvalues, axes = _axes(x)
    return x @ axes / _inside(eigenvalues, eps)


@misconception("pca_whiten", section="white-center")
def pca_nothing_centered(x, eps):
    """It looks as if the mean is subtracted nowhere: the covariance is that of x as it came. Its
    first axis then points to the mean, not along the cloud.
    """
    centered, eigenvalues, axes = _axes(x, center=lambda x: x)
    return centered @ axes / _inside(eigenvalues, eps)


@misconception("pca_whiten", section="white-pca")
def pca_unbiased(x, eps):
    """It looks as if your covariance divides by one less than the number of samples. Here it
    divides by N, so that the variance of these very numbers becomes 1.
    """
    centered, eigenvalues, axes = _axes(x, n=len(x) - 1)
    return centered @ axes / _inside(eigenvalues, eps)


@misconception("pca_whiten", section="white-pca")
def pca_covariance_not_averaged(x, eps):
    """It looks as if the products are added up and not averaged, so that every variance counts as
    many times as there are samples. (The singular values of the centered table, squared, are
    such sums.) What is the variance of the columns of your result?
    """
    centered, eigenvalues, axes = _axes(x, n=1)
    return centered @ axes / _inside(eigenvalues, eps)


@misconception("pca_whiten", section="white-pca")
def pca_signs_removed(x, eps):
    """It looks as if the signs inside the eigenvectors are gone. An eigenvector may be turned
    around as a whole, and nobody can say which of the two it should be; its entries may not be
    made positive one by one. Is your cloud still turned, or distorted?
    """
    centered, eigenvalues, axes = _axes(x)
    return centered @ np.abs(axes) / _inside(eigenvalues, eps)


@misconception("pca_whiten", section="white-eps")
def pca_eps_after_the_root(x, eps):
    """It looks as if eps is added to the deviation, after the root. It is in units of a variance:
    x squared. Where does an eigenvalue become a deviation?
    """
    centered, eigenvalues, axes = _axes(x)
    return centered @ axes / _after(eigenvalues, eps)


@misconception("pca_whiten", section="white-eps")
def pca_eps_omitted(x, eps):
    """It looks as if eps is not used. Data with a constant feature, such as the border of an image,
    has a direction without variance, and there you divide by 0.
    """
    centered, eigenvalues, axes = _axes(x)
    with np.errstate(all="ignore"):
        return centered @ axes / np.sqrt(eigenvalues)


@misconception("pca_whiten", section="white-eps")
def pca_eps_hard_coded(x, eps):
    """It looks as if eps is always 1e-5, whatever the caller says. How much a direction of little
    variance may be blown up is the caller's choice.
    """
    centered, eigenvalues, axes = _axes(x)
    return centered @ axes / _inside(eigenvalues, 1e-5)


@misconception("pca_whiten", section="white-pca")
def pca_axes_in_rows(x, eps):
    """It looks as if the eigenvectors are read from the rows of a matrix that holds them in its
    columns, or the other way around (the SVD hands them out as rows). Which product gives the
    coordinate of a sample along the first axis?
    """
    centered, eigenvalues, axes = _axes(x)
    return centered @ axes.T / _inside(eigenvalues, eps)


@misconception("pca_whiten", section="white-pca")
def pca_smallest_first(x, eps):
    """It looks as if the columns come in order of increasing variance: the order in which NumPy
    hands out the eigenvalues of a symmetric matrix. The docstring wants the axis of the largest
    variance first.
    """
    centered, eigenvalues, axes = _axes(x)
    return (centered @ axes / _inside(eigenvalues, eps))[:, ::-1]


@misconception("pca_whiten", section="white-pca")
def pca_eigenvalues_out_of_order(x, eps):
    """It looks as if the axes and the eigenvalues are no longer in the same order: each axis is
    divided by the deviation along another one. When you sort one of them, what about the other?
    """
    centered, eigenvalues, axes = _axes(x)
    return centered @ axes / _inside(eigenvalues[::-1], eps)


@misconception("pca_whiten", section="white-center")
def pca_x_changed(x, eps):
    """It looks as if your code writes into x, perhaps with -=. The array belongs to the caller."""
    x -= x.mean(axis=0)
    centered, eigenvalues, axes = _axes(x.copy())
    return centered @ axes / _inside(eigenvalues, eps)


# ---------------------------------------------------------------- zca_whiten_forward


def _zca(x, eps, scale=_inside, center=None, n=None, used=None, back=lambda axes: axes.T):
    """ZCA whitening with its parts as arguments; the cache is always the right one."""
    _, cache = zca_whiten_forward(x, eps)
    wide = x.astype(np.float64)
    centered, eigenvalues, axes = _axes(wide, center, n)
    centered = centered if used is None else used(wide)
    with np.errstate(all="ignore"):
        out = centered @ axes / scale(eigenvalues, eps) @ back(axes)
    return out.astype(x.dtype), cache


@misconception("zca_whiten_forward", section="white-zca", up_to_sign=True)
def not_rotated_back(x, eps):
    """It looks as if your result is PCA whitening: the cloud is turned onto its axes and stays
    there. Column j should still mean feature j. What undoes the rotation?
    """
    return _zca(x, eps, back=lambda axes: np.eye(len(axes)))


@misconception("zca_whiten_forward", section="white-zca", up_to_sign=True)
def not_rotated_back_smallest_first(x, eps):
    """It looks as if your result is PCA whitening, with the axis of the smallest variance first:
    the cloud is turned onto its axes and stays there. Column j should still mean feature j. What
    undoes the rotation?
    """
    return _zca(x, eps, back=lambda axes: np.eye(len(axes))[:, ::-1])


@misconception("zca_whiten_forward", section="white-zca")
def zca_root_missing(x, eps):
    """It looks as if you multiply by the inverse of the covariance and not by its inverse root.
    What is the variance along an axis after dividing by that variance?
    """
    return _zca(x, eps, scale=lambda eigenvalues, eps: eigenvalues + eps)


@misconception("zca_whiten_forward", section="white-zca")
def root_of_each_entry(x, eps):
    """It looks as if you take the root of each entry of a matrix. The root of a matrix is another
    matrix: the one that, multiplied by itself, gives the first. In which coordinates is it as easy
    as taking roots of numbers?
    """
    centered, eigenvalues, axes = _axes(x.astype(np.float64))
    inverse = axes / (eigenvalues + eps) @ axes.T
    root = np.sqrt(np.abs(inverse)) * np.sign(inverse)
    return (centered @ root).astype(x.dtype), zca_whiten_forward(x, eps)[1]


@misconception("zca_whiten_forward", section="white-zca")
def zca_by_cholesky(x, eps):
    """It looks as if you use a triangular root of the covariance. That is whitening, too, but
    another one: the first feature is only scaled, and each later one is mixed with those before
    it. ZCA treats all features alike: what kind of matrix does that?
    """
    centered, eigenvalues, axes = _axes(x.astype(np.float64))
    lower = np.linalg.cholesky(axes * (eigenvalues + eps) @ axes.T)
    return np.linalg.solve(lower, centered.T).T.astype(x.dtype), zca_whiten_forward(x, eps)[1]


@misconception("zca_whiten_forward", section="white-zca")
def zca_not_scaled(x, eps):
    """It looks as if you turn the cloud and turn it back, with nothing in between: what comes out
    is x, centered. What has to happen while the axes are those of the cloud?
    """
    return _zca(x, eps, scale=lambda eigenvalues, eps: np.ones_like(eigenvalues))


@misconception("zca_whiten_forward", section="white-zca")
def zca_features_standardized(x, eps):
    """It looks as if each feature is divided by its own standard deviation. That is what batch norm
    does, and it leaves the correlations.
    """
    centered, _, _ = _axes(x.astype(np.float64))
    out = centered / np.sqrt((centered * centered).mean(axis=0) + eps)
    return out.astype(x.dtype), zca_whiten_forward(x, eps)[1]


@misconception("zca_whiten_forward", section="white-center")
def zca_x_not_centered(x, eps):
    """It looks as if the covariance is right, but the matrix is applied to x without its mean being
    subtracted first. Where should the middle of the white cloud be?
    """
    return _zca(x, eps, used=lambda x: x)


@misconception("zca_whiten_forward", section="white-center")
def zca_nothing_centered(x, eps):
    """It looks as if the mean is subtracted nowhere: the covariance is that of x as it came, and
    holds the products of the means.
    """
    return _zca(x, eps, center=lambda x: x)


@misconception("zca_whiten_forward", section="white-center")
def zca_mean_added_back(x, eps):
    """It looks as if the mean is added again at the end. The white cloud is centered at 0."""
    out, cache = _zca(x, eps)
    return out + x.mean(axis=0), cache


@misconception("zca_whiten_forward", section="white-pca")
def zca_unbiased(x, eps):
    """It looks as if your covariance divides by one less than the number of samples. Here it
    divides by N, so that the variance of these very numbers becomes 1.
    """
    return _zca(x, eps, n=len(x) - 1)


@misconception("zca_whiten_forward", section="white-pca")
def zca_covariance_not_averaged(x, eps):
    """It looks as if the products are added up and not averaged, so that every variance counts as
    many times as there are samples. What is the variance of the columns of your result?
    """
    return _zca(x, eps, n=1)


@misconception("zca_whiten_forward", section="white-eps")
def zca_eps_after_the_root(x, eps):
    """It looks as if eps is added after the root. It is in units of a variance, x squared. Where
    does an eigenvalue become a deviation?
    """
    return _zca(x, eps, scale=_after)


@misconception("zca_whiten_forward", section="white-eps")
def zca_eps_omitted(x, eps):
    """It looks as if eps is not used. Data with a constant feature, such as the border of an image,
    has a direction without variance, and there you divide by 0.
    """
    return _zca(x, eps, scale=lambda eigenvalues, eps: np.sqrt(eigenvalues))


@misconception("zca_whiten_forward", section="white-eps")
def zca_eps_hard_coded(x, eps):
    """It looks as if eps is always 1e-5, whatever the caller says. How much a direction of little
    variance may be blown up is the caller's choice.
    """
    return _zca(x, eps, scale=lambda eigenvalues, eps: np.sqrt(eigenvalues + 1e-5))


@misconception("zca_whiten_forward", section="white-zca")
def zca_in_double_precision(x, eps):
    """It looks as if float32 data comes back as float64. Computing in float64 is a good idea, but
    what leaves the function should have the type that came.
    """
    return _zca(x.astype(np.float64), eps)


@misconception("zca_whiten_forward", section="white-center")
def zca_x_changed(x, eps):
    """It looks as if your code writes into x, perhaps with -=. The array belongs to the caller."""
    result = _zca(x.copy(), eps)
    x -= x.mean(axis=0)
    return result


# ---------------------------------------------------------------- zca_whiten_backward


def _paths(dout, cache):
    """`dout` along the axes, and the mean of white times it over the batch."""
    white, (_, axes, std) = cache
    p = dout @ axes
    return white, axes, std, p, white.T @ (p - p.mean(axis=0)) / len(white)


def _symmetric(along, std):
    s = std[:, np.newaxis]
    return (s * along + std * along.T) / (s + std)


def _zca_gradient(dout, cache, h=_symmetric, mean=True, by=None):
    """The gradient through ZCA; `h` is the path through the covariance, `by` the last divisor."""
    white, axes, std, p, along = _paths(dout, cache)
    p = p - p.mean(axis=0) if mean else p
    with np.errstate(all="ignore"):
        dx = (p - white @ h(along, std)) / (std if by is None else by(std)) @ axes.T
    return dx.astype(dout.dtype)


@misconception("zca_whiten_backward", section="white-backward")
def zca_all_held_constant(dout, cache):
    """It looks as if you multiply by the whitening matrix, as if it and the mean were constants.
    Both are computed from x, so x reaches the loss along two more paths.
    """
    return _zca_gradient(dout, cache, h=lambda along, std: 0 * along, mean=False)


@misconception("zca_whiten_backward", section="white-backward")
def zca_covariance_held_constant(dout, cache):
    """It looks as if the path through the mean is there, but the whitening matrix is taken for a
    constant. It is computed from the covariance, and the covariance from x.
    """
    return _zca_gradient(dout, cache, h=lambda along, std: 0 * along)


@misconception("zca_whiten_backward", section="white-backward")
def zca_mean_path_missing(dout, cache):
    """It looks as if the path through the mean is missing. Adding a constant to a feature changes
    nothing in the output. What does that say about the sum of each column of dx?
    """
    return _zca_gradient(dout, cache, mean=False)


@misconception("zca_whiten_backward", section="white-backward")
def zca_axes_held_constant(dout, cache):
    """It looks as if only the variances along the axes feel x, and the axes themselves stand still.
    When a sample moves, the axes of the cloud turn, too.
    """
    return _zca_gradient(dout, cache, h=lambda along, std: np.diag(np.diag(along)))


@misconception("zca_whiten_backward", section="white-backward")
def zca_treated_as_batchnorm(dout, cache):
    """It looks as if you use the formula of batch norm, one column at a time, and then the
    whitening matrix. In whitening every output feature depends on every input feature: the mean
    products of dout with the other columns are missing.
    """
    white, axes, std, _, _ = _paths(dout, cache)
    out = white @ axes.T
    bracket = dout - dout.mean(axis=0) - out * (dout * out).mean(axis=0)
    return (bracket @ axes / std @ axes.T).astype(dout.dtype)


@misconception("zca_whiten_backward", section="white-backward")
def zca_covariance_used_once(dout, cache):
    """It looks as if the gradient of the covariance reaches x along one arrow only. The covariance
    is a product of the centered x with itself: how many arrows lead into it?
    """

    def h(along, std):
        s = std[:, np.newaxis]
        return s * along / (s + std)

    return _zca_gradient(dout, cache, h=h)


@misconception("zca_whiten_backward", section="white-backward")
def zca_one_arrow_taken_twice(dout, cache):
    """It looks as if you count the same arrow twice. The centered x enters its product with itself
    once on the left and once on the right; the two contributions are transposes of each other, and
    equal only for a symmetric matrix.
    """

    def h(along, std):
        s = std[:, np.newaxis]
        return 2 * s * along / (s + std)

    return _zca_gradient(dout, cache, h=h)


@misconception("zca_whiten_backward", section="white-backward")
def zca_covariance_path_halved(dout, cache):
    """It looks as if the path through the covariance counts only half. If you made its gradient
    symmetric by averaging it with its transpose: are there two contributions to average, or two
    to add?
    """
    return _zca_gradient(dout, cache, h=lambda along, std: _symmetric(along, std) / 2)


@misconception("zca_whiten_backward", section="white-backward")
def zca_covariance_path_sign(dout, cache):
    """It looks as if the path through the covariance has the wrong sign. A larger variance makes
    the output smaller.
    """
    return _zca_gradient(dout, cache, h=lambda along, std: -_symmetric(along, std))


@misconception("zca_whiten_backward", section="white-backward")
def zca_covariance_path_summed(dout, cache):
    """It looks as if a division by N is missing in the path through the covariance. The covariance
    is a mean over the batch, so each sample has only a small share in it.
    """
    n = len(dout)
    return _zca_gradient(dout, cache, h=lambda along, std: n * _symmetric(along, std))


@misconception("zca_whiten_backward", section="white-backward")
def zca_unbiased_backward(dout, cache):
    """It looks as if the path through the covariance divides by one less than the number of
    samples. The forward pass divides by N; the way back has to fit.
    """
    n = len(dout)
    return _zca_gradient(dout, cache, h=lambda along, std: n / (n - 1) * _symmetric(along, std))


@misconception("zca_whiten_backward", section="white-backward")
def zca_variances_for_deviations(dout, cache):
    """It looks as if eigenvalues stand where their roots belong, in the weights of the path through
    the covariance. Which of the two add up when you differentiate R R = A for the root R?
    """
    return _zca_gradient(dout, cache, h=lambda along, std: _symmetric(along, std**2))


@misconception("zca_whiten_backward", section="white-backward")
def zca_divided_by_variances(dout, cache):
    """It looks as if the last division is by eigenvalues and not by their roots. Whitened data has
    no unit, x has one: in which unit is a gradient with respect to x?
    """
    return _zca_gradient(dout, cache, by=lambda std: std**2)


@misconception("zca_whiten_backward", section="white-eps")
def zca_eps_missing_backward(dout, cache):
    """It looks as if eps is left out on the way back: you divide by the roots of the eigenvalues
    alone. The forward pass divided by something larger.
    """
    white, std = cache.white, cache.whitening.std
    with np.errstate(all="ignore"):
        bare = np.sqrt((white * white).mean(axis=0)) * std
    return _zca_gradient(dout, cache._replace(whitening=cache.whitening._replace(std=bare)))


@misconception("zca_whiten_backward", section="white-backward", up_to_sign=True)
def zca_gradient_left_rotated(dout, cache):
    """It looks as if dx is left in the coordinates of the axes. In those the formulas are short,
    but the caller wants one column for each feature of x.
    """
    _, axes, std, _, _ = _paths(dout, cache)
    # signs and order of the axes as NumPy hands them out
    raw = np.linalg.eigh(axes * std**2 @ axes.T)[1]
    return (_zca_gradient(dout, cache).astype(np.float64) @ raw).astype(dout.dtype)


def _differences(dout, cache, divided):
    """The gradient from divided differences of 1/s over the eigenvalues; `divided(gap, diff)`."""

    def h(along, std):
        s, variance = std[:, np.newaxis], std**2
        gap = variance[:, np.newaxis] - variance
        np.fill_diagonal(gap, 1)
        k = divided(gap, 1 / s - 1 / std)
        np.fill_diagonal(k, -1 / (2 * std**3))
        return -s * std * k * (s * along + std * along.T)

    return _zca_gradient(dout, cache, h=h)


@misconception("zca_whiten_backward", section="white-backward")
def zca_divided_by_gaps(dout, cache):
    """It looks as if you divide by differences of eigenvalues. Where two of them are equal, that
    is 0/0. The axes of a round cloud are indeed not determined, but its whitening matrix is, and
    so is its gradient. Can the difference be canceled on paper first?
    """
    return _differences(dout, cache, lambda gap, diff: diff / gap)


@misconception("zca_whiten_backward", section="white-backward")
def zca_equal_eigenvalues_left_out(dout, cache):
    """It looks as if pairs of equal eigenvalues contribute nothing, perhaps to avoid a division by
    0. Their share is not 0: as two eigenvalues come close to each other, the quotient goes to a
    derivative.
    """

    def divided(gap, diff):
        equal = np.abs(gap) < 1e-12
        return np.where(equal, 0, diff / np.where(equal, 1, gap))

    return _differences(dout, cache, divided)


@misconception("zca_whiten_backward", section="white-backward")
def zca_gradient_in_double_precision(dout, cache):
    """It looks as if a float32 dout gives a float64 dx. Computing in float64 is fine; what leaves
    the function should have the type that came.
    """
    return _zca_gradient(dout.astype(np.float64), cache)


@misconception("zca_whiten_backward", section="white-backward")
def zca_dout_changed(dout, cache):
    """It looks as if your code writes into dout. The array belongs to the caller, who may need it
    for another branch of the network.
    """
    result = _zca_gradient(dout.copy(), cache)
    dout -= dout.mean(axis=0)
    return result
