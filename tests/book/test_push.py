"""Figures to push: what they compute is what `dlnorm` computes, and all of them can be pushed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page

from dlnorm import (
    batchnorm_backward,
    batchnorm_forward,
    complex_step_gradient,
    dropout_forward,
    nn,
    numeric_gradient,
    spatial_batchnorm_forward,
    spatial_groupnorm_forward,
    spatial_instancenorm_forward,
    spatial_layernorm_forward,
)
from tests.book.test_browser import NARROW, Tab, lasting, look, violations
from tests.support import REPO

SCRIPTS = sorted((REPO / "book" / "_assets" / "push").glob("*.js"))
_USED = re.compile(r"^```\{push\} +(\S+) *\n((?::.*\n)*)", re.MULTILINE)
#: Panels: on which page, and whether the panel is a plain figure itself or stands for another.
USES = [
    (match[1], page.stem, dict(re.findall(r"^:(\w+): *(.*)$", match[2], re.MULTILINE)))
    for page in sorted((REPO / "book").glob("*.md"))
    for match in _USED.finditer(page.read_text("utf-8"))
]
PAGES = {name: page for name, page, _ in USES}
OPTIONS = {name: options for name, _, options in USES}
#: Both sides are a handful of operations in double precision.
EXACT = 1e-10


def test_every_script_is_used_by_exactly_one_page():
    assert sorted(name for name, _, _ in USES) == [script.stem for script in SCRIPTS]
    assert len(SCRIPTS) >= 6


def test_a_panel_that_replaces_a_figure_names_one_of_its_page():
    for name, options in OPTIONS.items():
        if "replaces" in options:
            text = (REPO / "book" / f"{PAGES[name]}.md").read_text("utf-8")
            assert f"name: {options['replaces']}\n" in text, name


# ---- what the scripts compute ------------------------------------------------------------------


class Scripts:
    """The scripts on an empty page, where they offer their functions as well."""

    def __init__(self, page: Page) -> None:
        self.page = page
        for script in SCRIPTS:
            page.add_script_tag(path=script)
        self.called: set[tuple[str, str]] = set()

    def __call__(self, name: str, function: str, *arguments: Any) -> Any:
        """Call `window.coursePush[name][function]`."""
        self.called.add((name, function))
        code = "([name, f, args]) => window.coursePush[name][f](...args)"
        return self.page.evaluate(code, [name, function, list(arguments)])

    def assert_complete(self, name: str) -> None:
        """Every function that the script offers has been called by now."""
        offered = self.page.evaluate("name => Object.keys(window.coursePush[name])", name)
        assert {function for panel, function in self.called if panel == name} == set(offered)


@pytest.fixture(scope="module")
def call(browser: Browser) -> Iterator[Scripts]:
    page = browser.new_page()
    yield Scripts(page)
    page.close()


def test_every_script_is_compared_with_dlnorm():
    tests = {
        f"test_{script.stem.replace('-', '_')}_computes_what_dlnorm_does": script.stem
        for script in SCRIPTS
    }
    assert set(tests) - set(globals()) == set()


def same(left: Any, right: Any, *, tolerance: float = EXACT) -> None:
    """Both have the same shape and numbers."""
    a, b = np.asarray(left, dtype=float), np.asarray(right, dtype=float)
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_step_size_computes_what_dlnorm_does(call: Scripts):
    for x, h in product((-1.3, 0.0, 0.5, 2.0), (0.5, 0.1, 1e-3)):
        got = call("step-size", "quotients", x, h)
        point, dout = np.array([x]), np.ones(1)
        # the difference of two values of size 1 is off by their rounding, divided by h
        tolerance = max(EXACT, 4 * np.finfo(float).eps / h)
        same(got["central"], numeric_gradient(np.tanh, point, dout, h)[0], tolerance=tolerance)
        same(got["oneSided"], (np.tanh(x + h) - np.tanh(x)) / h, tolerance=tolerance)
        exact = complex_step_gradient(np.tanh, point, dout)[0]
        same(call("step-size", "slope", x), exact)
    call.assert_complete("step-size")


def assert_distribution(call: Scripts) -> None:
    rng = np.random.default_rng(0)
    for D, p in product((1, 5), (0.0, 0.2, 0.5, 0.8)):
        terms = rng.normal(size=D)
        for scale in (1.0, 1 / (1 - p)):
            got = call("dropout-mask", "distribution", terms.tolist(), p, scale)
            masks = np.array(list(product((0.0, 1.0), repeat=D)))
            chance = ((1 - p) ** masks * p ** (1 - masks)).prod(axis=1)
            z = scale * masks @ terms
            same(got["mean"], chance @ z)
            # a root: the rounding of the variance counts by its root where there is none
            tolerance = 1e-7 if p == 0 else EXACT
            same(got["deviation"], np.sqrt(chance @ (z - chance @ z) ** 2), tolerance=tolerance)
            expected, _ = np.histogram(np.clip(z, -5, 25), 60, (-5, 25), weights=chance)
            same(got["bins"], expected)


def mulberry32(state: int) -> Iterator[float]:
    """The generator of the script, after the public-domain original by Tommy Ettinger."""
    mask = 0xFFFFFFFF
    while True:
        state = (state + 0x6D2B79F5) & mask
        t = ((state ^ (state >> 15)) * (1 | state)) & mask
        t ^= (t + (((t ^ (t >> 7)) * (61 | t)) & mask)) & mask
        yield ((t ^ (t >> 14)) & mask) / 2**32


def coins(seed: int, p: float, per_column: bool, shape: tuple[int, int]) -> np.ndarray:
    """The mask that the script draws, of zeros and ones."""
    source = mulberry32(seed)
    u = np.array([next(source) for _ in range(shape[0] * shape[1])]).reshape(shape)
    return (np.broadcast_to(u[:1], shape) if per_column else u) >= p


def test_dropout_mask_computes_what_dlnorm_does(call: Scripts):
    assert_distribution(call)
    for seed, p, per_column in product((1, 2, 77), (0.0, 0.3, 0.8), (False, True)):
        mask = np.array(call("dropout-mask", "mask", seed, p, per_column, 8, 12))
        same(mask, coins(seed, p, per_column, (8, 12)))
        terms = np.linspace(-1, 2, 12)
        drawn, _ = dropout_forward(np.ones((8, 12)), {"mode": "train", "p": p, "seed": seed})
        through, _ = dropout_forward(
            np.tile(terms, (8, 1)), {"mode": "train", "p": p, "seed": seed}
        )
        zeros = (drawn > 0).astype(int).tolist()
        got = call("dropout-mask", "received", terms.tolist(), zeros, 1 / (1 - p))
        same(got, through.sum(axis=1))
    call.assert_complete("dropout-mask")


def test_saturation_computes_what_dlnorm_does(call: Scripts):
    z = (np.arange(-2500, 2500) + 0.5) / 500
    share = np.exp(-(z**2) / 2)
    share /= share.sum()
    layers = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "ReLU": nn.ReLU}
    ranges = {"sigmoid": (0, 1), "tanh": (-1, 1), "ReLU": (0, 8)}
    for name, shift, scale in product(layers, (-6.0, 0.3, 4.0), (0.25, 1.0, 8.0)):
        layer = layers[name]()
        y = layer.forward(shift + scale * z, "train")
        slope = np.abs(layer.backward(np.ones_like(z)))
        same(call("saturation", "meanSlope", name, shift, scale), share @ slope)
        low, high = ranges[name]
        expected, _ = np.histogram(np.clip(y, low, high), 25, ranges[name], weights=share)
        same(call("saturation", "histogram", name, shift, scale), expected)
    call.assert_complete("saturation")


def test_bn_graph_computes_what_dlnorm_does(call: Scripts):
    rng = np.random.default_rng(1)
    for m, eps in product((2, 3, 7), (0.25, 0.0)):
        x, dy = rng.normal(size=(2, m))
        gamma, beta = rng.normal(size=2)
        v = call("bn-graph", "forward", x.tolist(), gamma, beta, eps)
        d = call("bn-graph", "backward", v, dy.tolist())
        param = {"mode": "train", "eps": eps}
        out, cache = batchnorm_forward(x[:, None], np.full(1, gamma), np.full(1, beta), param)
        dx, dgamma, dbeta = batchnorm_backward(dy[:, None], cache)
        same(v["y"], out[:, 0])
        same([v["mu"], v["var"]], [x.mean(), x.var()])
        same(d["x"], dx[:, 0], tolerance=1e-9 if m == 2 and eps == 0 else EXACT)
        same([d["gamma"], d["beta"]], [dgamma[0], dbeta[0]])

        # every node in between: the loss as a function of that node alone
        c = np.array(v["c"])

        def gradient(f: Callable[[Any], Any], at: Any, dy: np.ndarray = dy) -> np.ndarray:
            return complex_step_gradient(f, np.atleast_1d(np.array(at, dtype=float)), dy)

        def rest(xh: Any, gamma: float = gamma, beta: float = beta) -> Any:
            return gamma * xh + beta

        same(d["g"], gradient(lambda g, beta=beta: g + beta, v["g"]))
        same(d["xh"], gradient(rest, v["xh"]))
        same([d["std"]], gradient(lambda s, c=c: rest(c / s), v["std"]))
        same([d["var"]], gradient(lambda s, c=c, eps=eps: rest(c / np.sqrt(s + eps)), v["var"]))
        by_sq = gradient(lambda s, c=c, eps=eps: rest(c / np.sqrt(s.mean() + eps)), v["sq"])
        same(d["sq"], by_sq)
        by_c = gradient(lambda c, eps=eps: rest(c / np.sqrt((c * c).mean() + eps)), c)
        same(d["c"], by_c, tolerance=1e-9 if m == 2 and eps == 0 else EXACT)

        def from_mean(mu: Any, x: np.ndarray = x, eps: float = eps) -> Any:
            return rest((x - mu) / np.sqrt(((x - mu) ** 2).mean() + eps))

        same([d["mu"]], gradient(from_mean, v["mu"]))
        same(np.add(d["direct"], d["spread"]), d["c"])
        same(np.add(d["c"], d["level"]), d["x"])
    call.assert_complete("bn-graph")


def test_axes_computes_what_dlnorm_does(call: Scripts):
    def norms(G: int) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        def per_channel(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return np.ones(x.shape[1]), np.zeros(x.shape[1])

        return {
            "BN": lambda x: spatial_batchnorm_forward(x, *per_channel(x), {"mode": "train"})[0],
            "LN": lambda x: spatial_layernorm_forward(x, *per_channel(x), {})[0],
            "IN": lambda x: spatial_instancenorm_forward(x, *per_channel(x), {})[0],
            "GN": lambda x: spatial_groupnorm_forward(x, *per_channel(x), G, {})[0],
        }

    rng = np.random.default_rng(2)
    for shape, G, entry in (
        ((2, 4, 2, 3), 2, (1, 2, 0, 1)),
        ((3, 6, 2, 1), 3, (0, 5, 1, 0)),
        ((2, 4, 1, 2), 4, (1, 0, 0, 0)),
        ((2, 4, 1, 2), 1, (0, 3, 0, 1)),
    ):
        x, one = rng.normal(size=shape), np.zeros(shape)
        one[entry] = 1
        for norm, function in norms(G).items():
            # what moves one output shares its statistics
            expected = complex_step_gradient(function, x, one) != 0
            # and the words name the same channels and samples
            words = call("axes", "where", norm, G, list(shape), list(entry))
            parts = re.fullmatch(
                r"all pixels of (?:all channels|channels? (\d+)(?: (?:and|to) (\d+))?) "
                r"in (?:all samples|sample (\d+))",
                words,
            )
            assert parts is not None, words
            first, last, sample = (int(number or 0) for number in parts.groups())
            samples, channels = (sorted(set(index + 1)) for index in np.nonzero(expected)[:2])
            assert channels == list(range(first or 1, (last or first or shape[1]) + 1)), words
            assert samples == ([sample] if sample else list(range(1, shape[0] + 1))), words
            for other in np.ndindex(shape):
                arguments = (norm, G, list(shape), list(entry), list(other))
                assert call("axes", "sharesStatistics", *arguments) == expected[other], arguments
            assert call("axes", "count", norm, G, list(shape)) == expected.sum()
            statistics = call("axes", "statistics", norm, G, list(shape))
            assert statistics == x.size / expected.sum()
    call.assert_complete("axes")


def test_batch_size_computes_what_dlnorm_does(call: Scripts):
    rng = np.random.default_rng(3)
    error, stderr = rng.uniform(1, 50, size=(3, 4)), rng.uniform(0, 1, size=(3, 4))
    names = ["batch norm", "group norm", "layer norm"]
    data = {
        "sizes": [2, 4, 8, 16],
        "norms": [
            {"name": name, "error": error[k].tolist(), "stderr": stderr[k].tolist()}
            for k, name in enumerate(names)
        ],
    }
    for index in range(4):
        got = call("batch-size", "read", data, index)
        assert got["size"] == data["sizes"][index]
        assert [norm["name"] for norm in got["norms"]] == names
        same([norm["error"] for norm in got["norms"]], error[:, index])
        same([norm["stderr"] for norm in got["norms"]], stderr[:, index])
        same(call("batch-size", "ratios", data, index), error[0, index] / error[:, index])
    for value in (2.0, 3.7, 32.0):
        same(call("batch-size", "place", value, 2, 32), np.log2(value / 2) / 4)
    call.assert_complete("batch-size")


def shift_through_batchnorm(x: np.ndarray, factors: list[float]) -> float:
    """Test variance over the variance that `dlnorm` remembers, all factors equally likely."""
    noisy = np.concatenate([x * factor for factor in factors])[:, None]
    memory: dict[str, Any] = {"mode": "train", "momentum": 0.0}
    batchnorm_forward(noisy, np.ones(1), np.zeros(1), memory)
    return float(x.var() / memory["running_var"][0])


def test_variance_shift_computes_what_dlnorm_does(call: Scripts):
    rng = np.random.default_rng(4)
    name = "variance-shift"
    for mean, spread in ((0.0, 1.0), (1.3, 0.4)):
        x = mean + spread * rng.normal(size=500)
        arguments = (x.mean(), x.var())
        for kept, of in ((1, 2), (4, 5), (3, 10)):
            keep = kept / of
            factors = [1 / keep] * kept + [0.0] * (of - kept)
            expected = shift_through_batchnorm(x, factors)
            same(call(name, "shiftInverted", keep, *arguments), expected)
            same(call(name, "noiseInverted", keep), np.var(factors))
        for beta in (0.1, 0.7, 1.0):
            # two points with the mean and the variance of the uniform distribution
            factors = [1 - beta / np.sqrt(3), 1 + beta / np.sqrt(3)]
            expected = shift_through_batchnorm(x, factors)
            same(call(name, "shiftUniform", beta, *arguments), expected)
            same(call(name, "noiseUniform", beta), np.var(factors))

    u, weight = np.polynomial.legendre.leggauss(100)  # on (0, 12), where the ReLU is not 0
    u, weight = 6 * (u + 1), 6 * weight * np.exp(-((6 * (u + 1)) ** 2) / 2) / np.sqrt(2 * np.pi)
    kappa = (weight @ u**2) / (weight @ u**2 - (weight @ u) ** 2)
    for s2, a, layers in ((1.0, 3.0, 6), (0.25, 1.0, 2), (0.01, 16.0, 12)):
        step = a / (a + s2 * kappa)
        linear = np.cumprod([1.0] + [step] * (layers - 1))
        same(call(name, "shiftDepth", "linear", s2, a, layers), linear)
        same(call(name, "shiftDepth", "before", s2, a, layers), linear / (1 + s2))
        same(call(name, "shiftDepth", "after", s2, a, layers), np.ones(layers))
    call.assert_complete("variance-shift")


# ---- what a reader does and sees ---------------------------------------------------------------


class Panel:
    """A panel on its page, which lies in a folder, pushed with nothing but the keyboard."""

    def __init__(self, page: Page, name: str) -> None:
        self.page, self.name = page, name
        self.box = page.locator(f"#push-{name}")

    def press(self, selector: str, key: str, times: int = 1) -> None:
        """Bring the focus to a control and press a key."""
        control = self.box.locator(selector)
        control.focus()
        for _ in range(times):
            self.page.keyboard.press(key)

    def choose(self, group: str, label: str) -> None:
        """Walk with the arrow keys to the option of a radio group that has this label."""
        radios = self.box.locator(f"input[type=radio][name={group}]")
        radios.and_(self.page.locator(":checked")).focus()
        for _ in range(radios.count()):
            focused = self.page.locator("label", has=self.page.locator("input:focus"))
            if focused.inner_text().strip() == label:
                return
            self.page.keyboard.press("ArrowRight")
        pytest.fail(f"{self.name}: no option {label}")

    def data(self) -> Any:
        """Return the numbers that the page's own cell has written for the script."""
        return json.loads(self.page.locator(f"#push-{self.name}-data").inner_text())

    def said(self) -> str:
        """Return what the panel says, with a plain minus."""
        return self.box.locator("output").inner_text().replace("\N{MINUS SIGN}", "-")

    def numbers(self) -> list[float]:
        """Return the numbers in what it says."""
        return [float(number) for number in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?", self.said())]


def reading(text: str) -> float:
    """Read 3.6·10⁻⁵ as a number."""
    mantissa, _, power = text.partition("·10")
    digits = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
    return float(mantissa) * 10.0 ** int(power.translate(digits) or 0)


def push_step_size(panel: Panel) -> None:
    slider = "input[type=range]"

    def errors() -> tuple[float, float, float]:
        """The step, and both errors; the slopes shown must agree with them."""
        texts = panel.box.locator("th span:not([aria-hidden]), td").all_inner_texts()
        h, exact, one, two = (reading(texts[k]) for k in (0, 1, 3, 5))
        shown = reading(texts[4]), reading(texts[6])
        assert [abs(one - exact), abs(two - exact)] == pytest.approx(shown, rel=0.05, abs=1e-6)
        return h, *shown

    panel.press(slider, "ArrowLeft", 2)
    h = 10**-0.9
    exact = 1 - np.tanh(0.5) ** 2
    one = (np.tanh(0.5 + h) - np.tanh(0.5)) / h
    two = numeric_gradient(np.tanh, np.array([0.5]), np.ones(1), h)[0]
    assert errors() == pytest.approx((h, abs(one - exact), abs(two - exact)), rel=0.05)
    # half the step: half the one error, a quarter of the other
    before = errors()
    panel.press(slider, "ArrowLeft", 3)
    ratios = [a / b for a, b in zip(before, errors(), strict=True)]
    assert ratios == pytest.approx([8, 8, 64], rel=0.2)
    # and much further, the errors have grown again, until both lines fall flat
    panel.press(slider, "ArrowLeft", 15)
    small = errors()
    panel.press(slider, "ArrowLeft", 22)
    assert errors()[2] > 100 * small[2]
    panel.press(slider, "Home")
    assert errors()[1:] == pytest.approx((exact, exact), rel=0.05)
    panel.press(slider, "End")
    assert errors()[0] == pytest.approx(10**0.3, rel=0.05)


def push_dropout_mask(panel: Panel) -> None:
    terms = np.array(panel.data())

    def expected(p: float, seed: int, *, scaled: bool = True, column: bool = False) -> list[float]:
        kept, scale = coins(seed, p, column, (8, len(terms))).sum(), 1 / (1 - p) if scaled else 1
        mean, spread = scale * (1 - p) * terms.sum(), scale * np.sqrt(p * (1 - p) * terms @ terms)
        return [p, kept, 8 * len(terms), scale, mean, terms.sum(), spread]

    def close(numbers: list[float]) -> Any:
        return pytest.approx(numbers, abs=0.0051)

    assert panel.numbers() == close(expected(0.5, 1))
    panel.press("input[type=range]", "ArrowRight", 3)
    assert panel.numbers() == close(expected(0.65, 1))
    panel.press("button", "Enter")
    assert panel.numbers() == close(expected(0.65, 2))
    panel.choose("push-dropout-mask-per", "a column")
    assert panel.numbers() == close(expected(0.65, 2, column=True))
    assert panel.numbers()[1] % 8 == 0
    panel.press("input[type=checkbox]", "Space")
    assert panel.numbers() == close(expected(0.65, 2, column=True, scaled=False))
    shown = panel.box.locator("svg rect[rx='3']").count()
    assert shown == panel.numbers()[1]


def push_saturation(panel: Panel) -> None:
    z = (np.arange(-2500, 2500) + 0.5) / 500
    share = np.exp(-(z**2) / 2) / np.exp(-(z**2) / 2).sum()

    def slope(layer: nn.Layer, shift: float, scale: float) -> float:
        layer.forward(shift + scale * z, "train")
        return float(share @ np.abs(layer.backward(np.ones_like(z))))

    def expected(layer: nn.Layer, shift: float, scale: float) -> Any:
        return pytest.approx([slope(layer, shift, scale), slope(layer, 0, 1)], rel=0.06)

    assert panel.numbers() == expected(nn.Sigmoid(), 4, 1)
    panel.press("#push-saturation-shift", "ArrowLeft", 3)
    assert panel.numbers() == expected(nn.Sigmoid(), 2.5, 1)
    panel.press("#push-saturation-scale", "ArrowRight", 6)
    assert panel.numbers() == expected(nn.Sigmoid(), 2.5, 2.5)
    panel.choose("push-saturation-f", "tanh")
    assert panel.numbers() == expected(nn.Tanh(), 2.5, 2.5)
    panel.choose("push-saturation-f", "ReLU")
    assert panel.numbers() == expected(nn.ReLU(), 2.5, 2.5)
    assert panel.said().startswith("Mean |slope| of the ReLU")


def push_bn_graph(panel: Panel) -> None:
    def gradients(dy: np.ndarray, eps: float) -> tuple[Any, ...]:
        x, param = np.array([[1.0], [4.0], [7.0]]), {"mode": "train", "eps": eps}
        out, cache = batchnorm_forward(x, np.full(1, 2.0), np.ones(1), param)
        return out, *batchnorm_backward(dy[:, None], cache)

    def node(name: str) -> list[list[float]]:
        """The two lines of numbers in a box."""
        lines = panel.box.locator(f"[data-n={name}] text").all_text_contents()[1:]
        plain = [line.replace("\N{MINUS SIGN}", "-") for line in lines]
        return [[float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", line)] for line in plain]

    def close(array: np.ndarray) -> Any:
        return pytest.approx(array.ravel().tolist(), abs=6e-4)

    formula = panel.box.locator("[data-n=y] text").nth(1)
    assert formula.text_content() == "→ γ x̂ + β"
    panel.press("[data-go='1']", "Enter", 9)
    assert panel.said().startswith("Step 9 of 18, forward.")
    dy = np.array([1.0, 0.0, 2.0])
    out, dx, dgamma, dbeta = gradients(dy, 0.25)
    assert node("y")[0] == close(out)
    panel.press("[data-go='1']", "Enter", 9)
    assert panel.said().startswith("Step 18 of 18, backward.")
    assert panel.box.locator("[data-go='1']").get_attribute("aria-disabled") == "true"
    assert node("x")[1] == close(dx)
    assert node("gamma")[1] == close(dgamma)
    assert node("beta")[1] == close(dbeta)
    assert panel.numbers()[-4:] == pytest.approx([*dx.ravel(), 0], abs=6e-4)
    panel.press("select[data-s=eps]", "ArrowDown")
    panel.press("select[data-s=dy]", "ArrowDown", 2)  # x-hat itself: nothing gets through
    out, _, _, _ = gradients(dy, 0.0)
    _, dx, dgamma, _ = gradients((out[:, 0] - 1) / 2, 0.0)
    assert node("y")[0] == close(out)
    assert node("x")[1] == close(dx)
    assert node("gamma")[1] == close(dgamma)
    panel.press("[data-go='0']", "Enter")
    assert formula.text_content() == "→ γ x̂ + β"


def push_axes(panel: Panel) -> None:
    x = np.random.default_rng(5).normal(size=(4, 6, 3, 3))
    ones, zeros = np.ones(6), np.zeros(6)

    def shared(function: Callable[[np.ndarray], tuple[np.ndarray, Any]]) -> int:
        one = np.zeros(x.shape)
        one[0, 0, 0, 0] = 1
        return np.count_nonzero(complex_step_gradient(lambda x: function(x)[0], x, one))

    def assert_lit(m: int, where: str) -> None:
        assert panel.said().partition(" entries share")[0].endswith(f"= {m}")
        assert f"itself included: all pixels of {where}. There are" in panel.said()
        assert where in str(panel.box.locator("svg").get_attribute("aria-label"))
        assert f"There are {x.size // m} means" in panel.said()
        assert panel.box.locator("svg rect[fill-opacity='1']").count() == m

    def group(G: int) -> int:
        return shared(lambda x: spatial_groupnorm_forward(x, ones, zeros, G, {}))

    norm = "push-axes-norm"
    batch_norm = shared(lambda x: spatial_batchnorm_forward(x, ones, zeros, {"mode": "train"}))
    assert_lit(batch_norm, "channel 3 in all samples")
    panel.choose(norm, "layer norm")
    layer_norm = shared(lambda x: spatial_layernorm_forward(x, ones, zeros, {}))
    assert_lit(layer_norm, "all channels in sample 2")
    panel.choose(norm, "instance norm")
    instance_norm = shared(lambda x: spatial_instancenorm_forward(x, ones, zeros, {}))
    assert_lit(instance_norm, "channel 3 in sample 2")
    panel.choose(norm, "group norm")
    assert_lit(group(3), "channels 3 and 4 in sample 2")
    panel.press("select", "ArrowDown")
    assert_lit(group(6), "channel 3 in sample 2")
    assert "This is instance norm." in panel.said()
    panel.press("select", "ArrowUp", 3)
    assert_lit(group(1), "all channels in sample 2")
    assert "This is layer norm." in panel.said()
    for slider in panel.box.locator("input[type=range]").all():
        before = panel.box.locator("svg").inner_html()
        slider.focus()
        panel.page.keyboard.press("ArrowLeft")
        assert panel.box.locator("svg").inner_html() != before


def push_batch_size(panel: Panel) -> None:
    data = panel.data()
    slider = panel.box.locator("input[type=range]")
    for index, size in enumerate(data["sizes"]):
        if index:
            panel.press("input[type=range]", "ArrowRight")
        said = panel.said()
        assert said.startswith(f"Batch size {size}, mean of {data['seeds']} seeds: ")
        assert slider.get_attribute("aria-valuetext") == f"batch size {size}"
        for norm in data["norms"]:
            error, stderr = norm["error"][index], norm["stderr"][index]
            shown = re.search(rf"{norm['name']} ([\d.]+) ± ([\d.]+) %", said)
            assert shown is not None
            assert [float(shown[1]), float(shown[2])] == pytest.approx([error, stderr], abs=0.051)
        first, second = (norm["error"][index] for norm in data["norms"][:2])
        times = re.search(r"has ([\d.]+) times", said)
        assert times is not None
        assert float(times[1]) == pytest.approx(max(first / second, second / first), abs=0.051)


def push_variance_shift(panel: Panel) -> None:
    kappa = np.pi / (np.pi - 1)  # of a ReLU; the book derives it, and test_variance_shift checks it

    def expected(s2: float, a: float, layers: int, *, own: float = 1) -> list[float]:
        step = 1 + s2 * kappa / a
        return [s2, step, own, own * step ** (layers - 1)]

    def read(pattern: str) -> list[float]:
        number = r"([\d.,]+?)"
        found = re.search(pattern.replace("#", number), panel.said())
        assert found is not None, panel.said()
        return [float(text.replace(",", "")) for text in found.groups()]

    whole = r"variance #\. Each layer multiplies by #; .* is # times .* and # times at the last"

    def close(numbers: list[float]) -> Any:
        return pytest.approx(numbers, rel=0.01, abs=0.0051)

    name = "push-variance-shift"
    assert read(whole) == close(expected(1, 3, 6))
    panel.press(f"#{name}-keep", "ArrowRight", 6)  # keep = 0.8
    assert read(whole) == close(expected(0.25, 3, 6))
    panel.press(f"#{name}-a", "ArrowLeft", 2)
    panel.press(f"#{name}-layers", "ArrowRight", 2)
    assert read(whole) == close(expected(0.25, 2, 8))
    panel.choose(f"{name}-place", "right before each batch norm")
    assert read(whole) == close(expected(0.25, 2, 8, own=1.25))
    panel.choose(f"{name}-noise", "Uout")
    panel.press(f"#{name}-beta", "End")  # beta = 1
    assert read(whole) == close(expected(1 / 3, 2, 8, own=4 / 3))
    panel.choose(f"{name}-place", "once, after the last batch norm")
    assert "no shift at any of them" in panel.said()


PUSHES = {
    name.removeprefix("push_").replace("_", "-"): push
    for name, push in list(globals().items())
    if name.startswith("push_")
}


def test_every_panel_has_somebody_who_pushes_it():
    assert set(PUSHES) == set(PAGES)


def shown(panel: Locator) -> bool:
    """Whether any of the panel can be seen."""
    return panel.is_visible() and (panel.bounding_box() or {"height": 0})["height"] > 100


def alone(panel: Locator) -> None:
    """Take away what stands around the panel, which axe would look through again and again."""
    panel.evaluate(
        """(panel) => {
          for (let e = panel; e !== document.body; e = e.parentElement) {
            [...e.parentElement.children].filter((other) => other !== e).forEach((e) => e.remove());
          }
        }"""
    )


@pytest.fixture(scope="module")
def folder(browser: Browser) -> Iterator[Tab]:
    """Where pages are opened without their formulas, which take most of a page's time."""
    context = browser.new_context()
    context.route("**/tex-chtml.js*", lambda route: route.fulfill(body=""))
    yield Tab(context)
    context.close()


@pytest.fixture(scope="module")
def scriptless(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(java_script_enabled=False)
    yield context.new_page()
    context.close()


def overhang(panel: Locator) -> list[str]:
    """Return what of the panel is beyond the window's or its own right edge."""
    return panel.evaluate(
        """(panel) => {
          const edge = Math.min(panel.getBoundingClientRect().right, window.innerWidth) + 1;
          return [...panel.querySelectorAll("*")]
            .filter((e) => e.getBoundingClientRect().right > edge && !e.closest("svg *"))
            .map((e) => e.outerHTML.slice(0, 120));
        }"""
    )


@pytest.mark.parametrize("name", sorted(PAGES))
def test_panel_is_pushed_from_a_folder_in_both_themes(folder: Tab, site: Path, name: str):
    page = folder.visit((site / f"{PAGES[name]}.html").as_uri())
    panel = Panel(page, name)
    assert shown(panel.box)
    assert panel.box.get_attribute("role") == "group"
    assert panel.box.get_attribute("aria-label") == OPTIONS[name]["label"]
    if replaced := OPTIONS[name].get("replaces"):
        figure = page.locator(f"#{replaced}")
        assert figure.locator(f"#push-{name}").count() == 1
        assert figure.locator("figcaption").is_visible()
        assert not figure.locator(".dl-figure").is_visible()
    PUSHES[name](panel)

    look(page, "dark", NARROW)
    assert shown(panel.box)
    assert lasting(page, lambda: overhang(panel.box)) == []
    # the whole page is asked elsewhere, but not with the panel pushed
    alone(panel.box)
    assert violations(page, "all", within=f"#push-{name}") == []
    assert folder.complaints == []
    assert [url for url in folder.requested if not url.startswith(("file:", "data:"))] == []


@pytest.mark.parametrize("name", sorted(PAGES))
def test_without_script_a_plain_figure_says_the_same(scriptless: Page, site: Path, name: str):
    page = scriptless
    page.goto((site / f"{PAGES[name]}.html").as_uri())
    panel = page.locator(f"#push-{name}")
    assert page.locator(f"#push-{name} + noscript p").is_visible()
    if "static" in OPTIONS[name]:
        assert shown(panel)
        assert panel.locator("svg text", has_text="γ x̂ + β").is_visible()
        assert not panel.locator("button").first.is_visible()
        # the theme's colors are there without the script that switches between themes
        ground, ink = (
            panel.locator(f"svg {mark}").first.evaluate("e => getComputedStyle(e).fill")
            for mark in ("rect", "text")
        )
        assert ground == "rgb(255, 255, 255)"
        assert max(int(part) for part in re.findall(r"\d+", ink)) < 128
    else:
        assert not panel.is_visible()
        replaced = OPTIONS[name].get("replaces")
        # the plain figure is the replaced one, or stands in the same section
        near = page.locator(f"#{replaced}" if replaced else f"section:has(> #push-{name})")
        assert near.locator(".dl-figure svg").first.is_visible()


def test_on_paper_the_plain_figure_comes_back(folder: Tab, site: Path):
    name = next(name for name, options in OPTIONS.items() if "replaces" in options)
    page = folder.visit((site / f"{PAGES[name]}.html").as_uri())
    plain = page.locator(f"#{OPTIONS[name]['replaces']} .dl-figure svg")
    assert not plain.is_visible()
    page.emulate_media(media="print")
    assert plain.is_visible()
    assert not page.locator(f"#push-{name}").is_visible()
