"""Set a network up from data: weight norm's first lengths, batch norm's last statistics."""

from __future__ import annotations

from dlnorm import _validate
from dlnorm._validate import Array
from dlnorm.nn.linear import WeightNormLinear
from dlnorm.nn.network import Sequential
from dlnorm.nn.norms import BatchNorm
from dlnorm.weightnorm import weightnorm_init


def initialize_from_data(network: Sequential, x: Array) -> None:
    """Set g and b of every weight-norm layer so that its outputs on `x` have mean 0, deviation 1.

    Parameters
    ----------
    network : Sequential
        Changed in place, from the first layer to the last.
    x : ndarray, shape (N, ...)
        A batch; the larger the better.

    Raises
    ------
    ValueError
        If a unit gives one number for the whole batch; see `dlnorm.weightnorm_init`.

    Notes
    -----
    Noise is off, and norms with running statistics see `x` as a training batch but don't
    remember it.

    References
    ----------
    Salimans & Kingma (2016), Section 3.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> network = Sequential(WeightNormLinear(64, 10, rng))
    >>> x = digits(seed=0).x_train
    >>> initialize_from_data(network, x)
    >>> network.forward(x, "test").std(axis=0).round(12).max()
    np.float64(1.0)
    """
    for layer in network:
        if isinstance(layer, WeightNormLinear):
            g, b = weightnorm_init(layer.params["v"], x)
            layer.params["g"][...] = g
            if "b" in layer.params:
                layer.params["b"][...] = b
        if isinstance(layer, BatchNorm):
            memory = dict(layer.memory)
            x = layer.forward(x, "train")
            layer.memory = memory
        else:
            x = layer.forward(x, "test")


def recalibrate(network: Sequential, x: Array) -> None:
    """Replace the running statistics by those that test mode meets: exact ones, without noise.

    Parameters
    ----------
    network : Sequential
        Changed in place, from the first batch norm to the last.
    x : ndarray, shape (N, ...)
        The training data.

    Raises
    ------
    DivergedError, ValueError
        If the network's numbers are not finite.

    Notes
    -----
    Batch norm layer by layer, each on what reaches it when everything before it is in test mode
    and already recalibrated. Variances are biased, like the running ones.

    References
    ----------
    Li et al. (2018), the section on adjusting BN's statistics.

    Examples
    --------
    >>> network = Sequential(BatchNorm(1))
    >>> recalibrate(network, np.array([[1.0], [5.0]]))
    >>> network.memory["0.running_mean"], network.memory["0.running_var"]
    (array([3.]), array([4.]))
    """
    for layer in network:
        if isinstance(layer, BatchNorm):
            mean, var = statistics(x)
            exact = {"running_mean": mean, "running_var": var}
            layer.memory = {name: exact[name] for name in layer.memory}
        x = layer.forward(x, "test")


def statistics(x: Array) -> tuple[Array, Array]:
    """Return the mean and the biased variance of every feature or channel.

    Parameters
    ----------
    x : ndarray, shape (N, D) or (N, C, H, W)

    Returns
    -------
    mean, var : ndarray, shape (D,) or (C,)

    Raises
    ------
    TypeError, ValueError
        If `x` is no float array of such a shape.

    Examples
    --------
    >>> statistics(np.array([[1.0, 0.0], [5.0, 0.0]]))
    (array([3., 0.]), array([4., 0.]))
    """
    axes = tuple(axis for axis in range(_validate.array("x", x, "N, D, ...").ndim) if axis != 1)
    return x.mean(axis=axes), x.var(axis=axes)
