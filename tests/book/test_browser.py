"""The site in a browser: light and dark, desktop and phone, served and from a folder."""

from __future__ import annotations

import gzip
import re
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page

from tests import sampling
from tests.book.test_site import MEGABYTE, of_toc, soup

#: The rules that look at colors, which takes by far the most time, and the tag they ask about.
COLORS = {"color-contrast": "", "link-in-text-block": "a"}
AXE = Axe().axe_script
#: The narrowest window in which nothing but mathematics, tables and code may need to be scrolled
#: sideways (WCAG 1.4.10): a small phone, or a desktop at 400 %.
NARROW = 320
#: Theme and width; every page is laid out in each.
VIEWS = [("light", 1280), ("dark", 1280), ("dark", NARROW), ("light", NARROW)]
#: What axe is asked afterwards, beginning with the last view: contrasts differ between themes
#: alone and all other rules between widths alone, so each is asked where its answer can differ.
ASKED = [("light", NARROW, "others"), ("light", 1280, "colors"), ("dark", 1280, "all")]
#: What machines have written, hundreds of times and always alike: formulas, figures, code.
ALIKE = ("mjx-container", ".dl-figure svg", "pre")
#: A page with nothing but highlighted code, whose colors are the same on every page.
CODE = "_modules/dlnorm/batchnorm"
TYPESET = "window.MathJax && MathJax.startup ? MathJax.startup.promise.then(() => true) : true"
#: The most that a page may weigh on a first visit, compressed as servers send it.
HEAVIEST = 1.5 * MEGABYTE
#: How many seconds the slowest machine may take for anything; no test waits that long but to fail.
PATIENCE = 60.0


class Tab:
    """A tab of the browser: its page, and what the browser complained of or asked for there."""

    def __init__(self, context: BrowserContext) -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(1000 * PATIENCE)
        self.complaints: list[str] = []
        self.requested: list[str] = []
        self.page.on("request", lambda request: self.requested.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda message: self._console(message.type, message.text))

    def visit(self, address: str) -> Page:
        """Open an address on a desktop, in the light theme, and wait for its formulas."""
        self.page.set_viewport_size({"width": 1280, "height": 900})
        self.page.emulate_media(media="null", color_scheme="light", reduced_motion="reduce")
        self.complaints.clear()
        self.requested.clear()
        self.page.goto(address, wait_until="load")
        self.page.wait_for_function(TYPESET)  # `evaluate` has no limit
        return self.page

    def _console(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.complaints.append(f"{kind}: {text}")


def not_typeset(page: Page) -> list[str]:
    """Return what is wrong with the mathematics of a page."""
    return page.evaluate(
        """() => {
          const wrong = [];
          document.querySelectorAll("mjx-merror, merror").forEach(
            (e) => wrong.push("error: " + e.textContent));
          document.querySelectorAll(".math").forEach((e) => {
            if (!e.querySelector("mjx-container")) wrong.push("raw: " + e.textContent);
          });
          const text = document.querySelector("main").cloneNode(true);
          text.querySelectorAll("pre, code, script, style").forEach((e) => e.remove());
          const raw = text.textContent.match(/\\\\[([]|\\$\\$/g) || [];
          raw.forEach((mark) => wrong.push("in text: " + mark));
          return wrong;
        }"""
    )


def overflow(page: Page) -> list[str]:
    """Return what is wider than the window, if the page as a whole scrolls sideways."""
    return page.evaluate(
        """() => {
          const width = document.documentElement.clientWidth;
          if (document.scrollingElement.scrollWidth <= width) return [];
          return [...document.querySelectorAll("article *")]
            .filter((e) => e.getBoundingClientRect().right > width + 1)
            .slice(0, 5).map((e) => e.outerHTML.slice(0, 120));
        }"""
    )


def unreachable(page: Page) -> list[str]:
    """Return what scrolls sideways by itself and cannot be scrolled with the keyboard."""
    return page.evaluate(
        """() => [...document.querySelectorAll("main *")]
          .filter((e) => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1
            && ["auto", "scroll"].includes(getComputedStyle(e).overflowX)
            && e.tabIndex < 0 && !e.querySelector("a[href], button, [tabindex='0']"))
          .map((e) => e.outerHTML.slice(0, 120))"""
    )


def thin(page: Page) -> None:
    """Empty all but the first of what is alike: axe would take most of its time for them.

    A figure is one picture with a text for those who cannot see it, whatever it is made of.
    """
    page.evaluate(
        """(kinds) => kinds.forEach((kind) => [...document.querySelectorAll(kind)]
          .filter((e, k) => k > 0 || e.tagName === "svg").forEach((e) => e.replaceChildren()))""",
        list(ALIKE),
    )


def sample(page: Page, within: str) -> None:
    """Mark one text of each color, size, weight, line and ground: others have the same contrast."""
    page.evaluate(
        """(within) => {
          const grounds = new Map([[null, ""]]);
          const ground = (e) => {
            if (!grounds.has(e)) {
              const s = getComputedStyle(e);
              const own = [s.backgroundColor, s.backgroundImage, s.opacity, s.filter].join();
              const clear = own === "rgba(0, 0, 0, 0),none,1,none";
              grounds.set(e, (clear ? "" : own + " on ") + ground(e.parentElement));
            }
            return grounds.get(e);
          };
          const seen = new Set();
          document.querySelectorAll("[data-sample]").forEach((e) => delete e.dataset.sample);
          document.querySelectorAll(within + ", " + within + " *").forEach((e) => {
            const written = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
            if (!written || !e.checkVisibility()) return;
            const s = getComputedStyle(e);
            const link = e.closest("a");
            const around = link ? getComputedStyle(link.parentElement).color : "";
            const look = [s.color, s.fill, s.fontSize, s.fontWeight, s.textShadow, ground(e),
              s.textDecorationLine, around].join();
            if (seen.has(look)) return;
            seen.add(look);
            e.dataset.sample = "";
            if (link) link.dataset.sample = "";
          });
        }""",
        within,
    )


def violations(page: Page, rules: str, within: str = "body") -> list[str]:
    """Return what axe-core objects to: of its rules `all`, `colors` or `others`."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
        selectors = [
            {"id": rule, "selector": f"{tag}[data-sample]"} for rule, tag in COLORS.items()
        ]
        page.evaluate("rules => axe.configure({ rules })", selectors)
    # no other outcomes, which take longer to write down than to find; and no loading of style
    # sheets a second time, which axe tries from a wrong base for a rule that is off anyway
    options: dict[str, Any] = {"resultTypes": ["violations"], "preload": False}
    if rules == "colors":
        options["runOnly"] = list(COLORS)
    if rules == "others":
        options["rules"] = {rule: {"enabled": False} for rule in COLORS}
    else:
        sample(page, within)
    found = page.evaluate(
        "([within, options]) => axe.run(within, options).then((found) => found.violations)",
        [within if within != "body" else {"include": [["html"]]}, options],
    )
    return [
        f"{fault['id']}: {node['html'][:160]}" for fault in found for node in fault["nodes"][:3]
    ]


def weight(site: Path, address: str, requested: list[str]) -> int:
    """Return how many bytes a browser receives on a first visit, compressed as servers do it."""
    total = 0
    for url in set(requested) - {""}:
        file = site / url.removeprefix(address).partition("?")[0].partition("#")[0]
        if url.startswith(address) and file.is_file():
            total += sent(file)
    return total


@cache
def sent(file: Path) -> int:
    """Return how many bytes of a file go over the wire."""
    content = file.read_bytes()
    return len(content if file.suffix.startswith(".woff") else gzip.compress(content))


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Iterator[Tab]:
    """One tab for all pages, with a cache as a reader has; a new one would take as long as a page.

    Motion is reduced, as colors that fade into one another would be looked at halfway.
    """
    context = browser.new_context()
    yield Tab(context)
    context.close()


def look(page: Page, theme: str, width: int) -> None:
    """Turn to a view."""
    page.emulate_media(color_scheme=theme)
    page.wait_for_function("t => document.documentElement.dataset.theme === t", arg=theme)
    if width != page.viewport_size["width"]:
        page.set_viewport_size({"width": width, "height": 900})


def lasting(page: Page, find: Callable[[], list[str]]) -> list[str]:
    """Return the faults that stay; a page's scripts answer to a new view with a delay."""
    deadline = time.monotonic() + PATIENCE
    while (faults := find()) and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    return faults


def misfits(page: Page) -> list[str]:
    """Return what does not fit the window, or what the keyboard cannot scroll."""
    return lasting(page, lambda: [*overflow(page), *unreachable(page)])


@pytest.mark.cases(5)
@pytest.mark.parametrize("name", [*of_toc(), "genindex", "search", "py-modindex", CODE])
def test_page_is_sound_in_every_view(tab: Tab, site: Path, address: str, name: str):
    """Light and dark, desktop and phone: math, errors, requests, width, keyboard and axe."""
    page = tab.visit(f"{address}{name}.html")
    faults = not_typeset(page)
    for theme, width in VIEWS:
        look(page, theme, width)
        faults += [f"{theme}, {width}: {fault}" for fault in misfits(page)]
    thin(page)
    for theme, width, rules in ASKED:
        look(page, theme, width)
        faults += [f"{theme}, {width}: {fault}" for fault in violations(page, rules)]
    if weight(site, address, tab.requested) > HEAVIEST:
        faults.append(f"weighs {weight(site, address, tab.requested)} bytes")
    faults += tab.complaints
    faults += [url for url in tab.requested if not url.startswith((address, "data:"))]
    assert not faults, "\n".join(faults)


def test_a_fault_would_be_found(tab: Tab, address: str):
    """None of the shortcuts above lets a page's own fault through."""
    page = tab.visit(f"{address}bibliography.html")
    page.evaluate(
        """() => {
          const article = document.querySelector("article");
          article.insertAdjacentHTML("beforeend",
            "<p>Some <span style='color: #888888'>pale</span> words.</p><img src='data:,'>" +
            "<p style='background: #cccccc; color: #777777'>On gray.</p>" +
            "<p>A <a href='#' style='color: #0b0b0c; text-decoration: none'>link</a> in text.</p>");
        }"""
    )
    thin(page)
    found = [fault.partition(":")[0] for fault in violations(page, "all")]
    contrast, link = COLORS
    assert sorted(found) == [contrast, contrast, "image-alt", link]
    page.evaluate(
        """document.querySelector("article").insertAdjacentHTML("beforeend",
          "<div style='width: 2000px; height: 9px'></div>" +
          "<div class='wide' style='overflow-x: auto'><div style='width: 3000px'>x</div></div>")"""
    )
    assert any("2000px" in fault for fault in overflow(page))
    assert any("wide" in fault for fault in unreachable(page))


@pytest.mark.parametrize("name", ["index.html", "batchnorm-forward.html"])
def test_works_from_a_folder(tab: Tab, site: Path, name: str):
    page = tab.visit((site / name).as_uri())
    assert tab.complaints == []
    assert [url for url in tab.requested if not url.startswith(("file:", "data:"))] == []
    assert not_typeset(page) == []
    assert page.locator(".dl-figure svg").first.is_visible()
    # icons and formulas are drawn in fonts that lie in the same folder
    loaded = page.evaluate(
        "document.fonts.ready.then(() => [...document.fonts]"
        ".filter((f) => f.status === 'error').map((f) => f.family))"
    )
    assert loaded == []


def test_the_reader_can_choose_the_theme(browser: Browser, address: str):
    with browser.new_context() as context:  # what is chosen is remembered
        page = Tab(context).visit(address + "index.html")
        theme = "document.documentElement.dataset.theme"
        assert page.evaluate(theme) == "light"
        page.locator(".theme-switch-button").first.click()
        assert page.evaluate(theme) == "dark"
        page.reload()
        assert page.evaluate(theme) == "dark"


def finished(page: Page) -> None:
    """Wait until the search page has listed all that it has found."""
    page.locator("p.search-summary", has_text="Search finished").wait_for()


def test_search_finds_a_chapter(tab: Tab, address: str):
    page = tab.visit(address + "search.html?q=epsilon")
    finished(page)
    assert "batchnorm" in str(page.locator("#search-results ul.search").inner_html())
    # what it quotes is text, and no TeX
    page.locator("#search-results p.context").first.wait_for()
    quoted = " ".join(page.locator("#search-results p.context").all_inner_texts())
    assert not re.search(r"\\[a-zA-Z([]", quoted)
    assert tab.complaints == []


@pytest.mark.parametrize(("typed", "page"), [("LN", "layernorm"), ("暂退法", "dropout")])
def test_a_name_that_is_typed_leads_to_its_page(tab: Tab, address: str, typed: str, page: str):
    window = tab.visit(address + "index.html")
    window.keyboard.press("ControlOrMeta+K")
    window.wait_for_function("document.activeElement.name === 'q'")
    window.keyboard.type(typed)
    window.keyboard.press("Enter")
    finished(window)
    window.locator("#search-results li a").first.click()
    window.wait_for_url(f"{address}{page}.html*")


#: What people look for, and the page that they must find first.
NAMED = {
    "dropout": ["dropout", "Dropout", "inverted dropout", "暂退法", "随机失活"],
    "dropout-averages": ["MC dropout", "Monte Carlo dropout"],
    "batchnorm-forward": [
        "batch norm", "batch normalization", "batchnorm", "BN", "running mean", "running variance",
        "批量归一化", "批归一化", "批规范化", "批量规范化",
    ],
    "batchnorm-backward": ["batch normalization, backward"],
    "layernorm": [
        "layer norm", "Layer Norm", "layer normalization", "layernorm", "LN", "ln",
        "RMS norm", "RMSNorm", "层归一化", "层规范化",
    ],
    "groupnorm": [
        "group norm", "group normalization", "GN", "组归一化",
        "instance norm", "instance normalization", "IN", "实例归一化",
    ],
    "weightnorm": ["weight norm", "weight normalization", "WN", "权重归一化"],
    "variance-shift": ["variance shift", "方差偏移"],
    "why-batchnorm-works": ["internal covariate shift"],
    "derivatives": ["gradient check"],
    "assignments": ["problem sets", "download", "homework"],
}  # fmt: skip


def test_a_page_is_found_first_under_each_of_its_names(tab: Tab, site: Path, address: str):
    wanted = {query: page for page, queries in NAMED.items() for query in queries}
    for page in of_toc():
        keywords = soup(site / f"{page}.html").select_one("meta[name=keywords]")
        title = soup(site / f"{page}.html").select_one("article h1").contents
        wanted["".join(part.get_text() for part in title[:-1])] = page  # and no link to itself
        if keywords:
            wanted |= {name.strip(): page for name in str(keywords["content"]).split(",")}
    queries = sampling.sample("names", wanted, 30)
    window = tab.visit(address + "search.html")
    window.wait_for_function("Search.hasIndex()")
    # the first is listed at once; text around the words of all others would be fetched for long
    found = window.evaluate(
        """(queries) => queries.map((query) => {
          DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
          document.querySelector("#search-results").replaceChildren();
          Search.performSearch(query);
          const first = document.querySelector("#search-results li a");
          return first ? first.pathname.split("/").pop() : "nothing";
        })""",
        queries,
    )
    firsts = dict(zip(queries, found, strict=True))
    assert {q: first for q, first in firsts.items() if first != f"{wanted[q]}.html"} == {}


def test_a_check_opens_with_the_keyboard(tab: Tab, address: str):
    page = tab.visit(address + "batchnorm-forward.html")
    check = page.locator("details.course-check").first
    code = check.locator("pre").first
    assert not code.is_visible()
    check.locator("summary").focus()
    page.keyboard.press("Enter")
    assert code.is_visible()
    assert "verify(" in code.inner_text()
    assert check.locator("button.copybtn").is_enabled()


def test_wide_mathematics_scrolls_in_its_own_box(tab: Tab, address: str):
    """Between lines and inside one, whatever the fonts: 300 terms are wider than any phone."""
    page = tab.visit(address + "batchnorm-backward.html")
    page.evaluate(
        """() => {
          const terms = Array(300).fill("x").join(" + ");
          document.querySelector("article section").insertAdjacentHTML("beforeend",
            `<div class="math added">\\\\[{${terms}}\\\\]</div>` +
            `<p>Inside <span class="math added">\\\\({${terms}}\\\\)</span> a line.</p>`);
          return MathJax.typesetPromise([...document.querySelectorAll(".added")]);
        }"""
    )
    look(page, "light", NARROW)
    assert misfits(page) == []
    boxes = page.evaluate(
        """() => [...document.querySelectorAll(".added")].map((box) => {
          const inside = [box, ...box.querySelectorAll("mjx-container")];
          const scrolls = inside.filter((e) => e.scrollWidth > e.clientWidth + 1
            && getComputedStyle(e).overflowX === "auto");
          return scrolls.length === 1 && scrolls[0].tabIndex === 0;
        })"""
    )
    assert boxes == [True, True]


def test_opened_folds_fit_a_phone(tab: Tab, address: str):
    page = tab.visit(address + "dropout.html")
    look(page, "light", NARROW)
    page.evaluate("document.querySelectorAll('details').forEach((e) => { e.open = true; })")
    assert misfits(page) == []


def test_paper_shows_the_text_alone_and_every_answer(tab: Tab, address: str):
    page = tab.visit(address + "dropout.html")
    look(page, "dark", 1280)
    answer = page.locator("details.sd-dropdown .sd-card-body").first
    assert not answer.is_visible()
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert answer.is_visible()
    assert not page.locator(".bd-sidebar-primary").is_visible()
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
