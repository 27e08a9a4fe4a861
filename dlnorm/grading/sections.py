"""The sections of the book that a message can send a student to.

A label here is an anchor in the book; a test holds that it exists, under this title.
"""

from __future__ import annotations

from typing import NamedTuple


class Section(NamedTuple):
    """Where to reread: the page (without ending), its title, and the section's title."""

    page: str
    chapter: str
    title: str


_DROPOUT = ("dropout", "Dropout")
_BN_FORWARD = ("batchnorm-forward", "Batch normalization, forward")
_BN_BACKWARD = ("batchnorm-backward", "Batch normalization, backward")

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
}
