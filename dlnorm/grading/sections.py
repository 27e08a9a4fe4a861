"""The sections of the book that a message can send a student to, and where the book is published.

A label here is an anchor in the book; a test holds that it exists, under this title.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

#: The settings of the book whose sections these are; an installed package has none.
CONFIG = Path(__file__).parents[2] / "_config.yml"


class Section(NamedTuple):
    """Where to reread: the page (without ending), its title, and the section's title."""

    page: str
    chapter: str
    title: str


_DROPOUT = ("dropout", "Dropout")
_BN_FORWARD = ("batchnorm-forward", "Batch normalization, forward")
_BN_BACKWARD = ("batchnorm-backward", "Batch normalization, backward")
_DERIVATIVES = ("derivatives", "Derivatives you can trust")
_WHY = ("why-normalize", "Why deep networks are hard to train")
_AVERAGES = ("dropout-averages", "What dropout averages")
_PRACTICE = ("batchnorm-practice", "Batch normalization in practice")
_INVARIANCES = ("invariances", "Invariances")
_LAYERNORM = ("layernorm", "Layer normalization")
_GROUPNORM = ("groupnorm", "Instance and group normalization")
_WEIGHTNORM = ("weightnorm", "Weight normalization")
_SHIFT = ("variance-shift", "Dropout meets batch normalization")

SECTIONS: dict[str, Section] = {
    "dropout-mask": Section(*_DROPOUT, "One coin an entry"),
    "dropout-scale": Section(*_DROPOUT, "Why the survivors are scaled"),
    "dropout-test-time": Section(*_DROPOUT, "Test time"),
    "dropout-backward-pass": Section(*_DROPOUT, "The backward pass"),
    "dropout-per-unit": Section(*_DROPOUT, "A whole column at once"),
    "dropout-seeds": Section(*_DROPOUT, "Masks you can repeat"),
    "dropout-expectation": Section(*_DROPOUT, "What a linear layer sees on average"),
    "dropout-network": Section(*_DROPOUT, "A network with two masks"),
    "dropout-in-code": Section(*_DROPOUT, "In code"),
    "bn-axes": Section(*_BN_FORWARD, "Over which axis"),
    "bn-algorithm": Section(*_BN_FORWARD, "Four lines"),
    "bn-eps": Section(*_BN_FORWARD, "Why epsilon stands inside the root"),
    "bn-biased": Section(*_BN_FORWARD, "Divide by m, not by m − 1"),
    "bn-cancellation": Section(*_BN_FORWARD, "A shortcut that loses digits"),
    "bn-gamma-beta": Section(*_BN_FORWARD, "Gamma and beta give the layer its freedom back"),
    "bn-saturation": Section(*_BN_FORWARD, "Where an activation still bends"),
    "bn-running": Section(*_BN_FORWARD, "What is remembered"),
    "bn-test-mode": Section(*_BN_FORWARD, "Test mode"),
    "bn-spatial-section": Section(*_BN_FORWARD, "Images: one mean a channel"),
    "bn-in-code": Section(*_BN_FORWARD, "In code"),
    "bn-graph": Section(*_BN_BACKWARD, "The computational graph"),
    "bn-affine-gradients": Section(*_BN_BACKWARD, "Gamma and beta first"),
    "bn-staged": Section(*_BN_BACKWARD, "Node by node"),
    "bn-mean-path": Section(*_BN_BACKWARD, "The path through the mean"),
    "bn-variance-path": Section(*_BN_BACKWARD, "The path through the variance"),
    "bn-closed": Section(*_BN_BACKWARD, "The closed form"),
    "bn-constants": Section(*_BN_BACKWARD, "If the statistics were constants"),
    "bn-backward-test": Section(*_BN_BACKWARD, "Backward in test mode"),
    "bn-backward-spatial": Section(*_BN_BACKWARD, "Backward for images"),
    "derivatives-vjp": Section(
        *_DERIVATIVES, "Many numbers at once: why everything is contracted with `dout`"
    ),
    "derivatives-central": Section(*_DERIVATIVES, "Two points instead of a limit"),
    "derivatives-rounding": Section(*_DERIVATIVES, "Why the smallest step is not the best"),
    "derivatives-complex": Section(*_DERIVATIVES, "A step off the real axis"),
    "derivatives-relative": Section(*_DERIVATIVES, "How close is close enough?"),
    "derivatives-recipe": Section(*_DERIVATIVES, "In code"),
    "reg-l1": Section(*_WHY, "L1: exact zeros"),
    "reg-l2": Section(*_WHY, "L2: everything shrinks"),
    "reg-maxnorm": Section(*_WHY, "Max-norm: a ball for each unit"),
    "white-center": Section(*_WHY, "Center first"),
    "white-pca": Section(*_WHY, "PCA whitening"),
    "white-zca": Section(*_WHY, "ZCA whitening: the least change"),
    "white-eps": Section(*_WHY, "Directions without variance"),
    "white-backward": Section(*_WHY, "The gradient through ZCA"),
    "avg-monte-carlo": Section(*_AVERAGES, "Monte Carlo dropout"),
    "practice-placement": Section(*_PRACTICE, "Where it goes"),
    "practice-population": Section(*_PRACTICE, "The exact estimate"),
    "practice-batch-size": Section(*_PRACTICE, "How large a batch"),
    "inv-weights": Section(*_INVARIANCES, "Scaling the weights"),
    "inv-data": Section(*_INVARIANCES, "Scaling the data"),
    "inv-table": Section(*_INVARIANCES, "One table, executed"),
    "inv-eps": Section(*_INVARIANCES, "What epsilon breaks"),
    "ln-axes": Section(*_LAYERNORM, "One sample at a time"),
    "ln-algorithm": Section(*_LAYERNORM, "The same four lines, along a row"),
    "ln-parameters": Section(*_LAYERNORM, "Gamma and beta stay with the features"),
    "ln-affine-gradients": Section(*_LAYERNORM, "Summing over the samples"),
    "ln-gradient": Section(*_LAYERNORM, "The backward pass"),
    "ln-no-batch": Section(*_LAYERNORM, "No batch, no memory"),
    "ln-step": Section(*_LAYERNORM, "The recurrent step"),
    "ln-time": Section(*_LAYERNORM, "Through time"),
    "ln-images": Section(*_LAYERNORM, "Images"),
    "ln-rms": Section(*_LAYERNORM, "Leaving the mean out"),
    "gn-axes": Section(*_GROUPNORM, "One picture of all axes"),
    "gn-groups": Section(*_GROUPNORM, "Channels in groups"),
    "gn-parameters": Section(*_GROUPNORM, "Gamma and beta: one a channel"),
    "gn-gradient": Section(*_GROUPNORM, "The backward pass"),
    "gn-instance": Section(*_GROUPNORM, "Instance norm: a group for every channel"),
    "gn-small-batches": Section(*_GROUPNORM, "Small batches"),
    "wn-split": Section(*_WEIGHTNORM, "Length and direction"),
    "wn-columns": Section(*_WEIGHTNORM, "One norm a unit"),
    "wn-gradient-g": Section(*_WEIGHTNORM, "The gradient of the length"),
    "wn-gradient-v": Section(*_WEIGHTNORM, "The gradient of the direction"),
    "wn-data-init": Section(*_WEIGHTNORM, "Initialization from data"),
    "wn-meanonly": Section(*_WEIGHTNORM, "Mean-only batch norm"),
    "wn-cosine": Section(*_WEIGHTNORM, "Cosine normalization"),
    "shift-derived": Section(*_SHIFT, "The shift, derived"),
    "shift-measured": Section(*_SHIFT, "The shift, measured"),
    "shift-depth": Section(*_SHIFT, "How it builds up with depth"),
    "shift-placement": Section(*_SHIFT, "Where dropout may stand"),
    "shift-recalibrate": Section(*_SHIFT, "Recalibration"),
    "shift-gaussian": Section(*_SHIFT, "Gaussian dropout"),
    "shift-uniform": Section(*_SHIFT, "Uout: a little uniform noise"),
}


@cache
def published() -> str:
    """Where the book is published, with a slash at the end; empty if `_config.yml` names no place.

    Raises
    ------
    RuntimeError
        If what stands there is no address.
    """
    if not CONFIG.is_file():
        return ""
    import yaml  # the pass that most answers take needs no link, so it need not wait for this

    address = str(
        (yaml.safe_load(CONFIG.read_text("utf-8")).get("html") or {}).get("baseurl") or ""
    )
    if address and not address.startswith(("https://", "http://")):
        raise RuntimeError(
            f"{CONFIG}: `html: baseurl:` must be an address that begins with https:// or http://, "
            f"or nothing at all; got {address!r}"
        )
    return f"{address.rstrip('/')}/" if address else ""


def link(label: str, book: str) -> str:
    """The address of a section in a book that lies at `book`; empty if that is."""
    return f"{book}{SECTIONS[label].page}.html#{label}" if book else ""
