"""The site in a browser: light and dark, desktop and phone, served and from a folder."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.book.test_site import MEGABYTE, of_toc

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
OFFLINE = ["--no-sandbox", "--disable-background-networking", "--disable-component-update",
           "--disable-sync", "--no-first-run", "--disable-gpu"]  # fmt: skip
CONTRAST = "color-contrast"
#: Theme, width, and which of axe's rules to ask: contrasts differ between themes alone and all
#: other rules between widths alone, so each is asked where it can give another answer.
VIEWS = [
    ("light", 1280, "all"),
    ("dark", 1280, "contrast"),
    ("dark", 390, "others"),
    ("light", 390, "none"),
]
#: A page with nothing but highlighted code, whose colors are the same on every page.
CODE = "_modules/dlnorm/batchnorm"
TYPESET = "window.MathJax && MathJax.startup ? MathJax.startup.promise.then(() => true) : true"
#: The most that a page may weigh on a first visit, compressed as servers send it.
HEAVIEST = 1.5 * MEGABYTE


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start the Chromium of this machine; Playwright's own would have to be downloaded."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.fail(
            "No Chromium is installed, so the site cannot be looked at. On Debian and Ubuntu: "
            "apt install chromium. Elsewhere: install Chromium or Chrome so that one of "
            f"{', '.join(NAMES)} is on the PATH.",
            pytrace=False,
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=OFFLINE)
        yield browser
        browser.close()


class Visit:
    """A page opened, and what the browser complained of or asked for on the way."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.requested: list[str] = []
        self.page.on("request", lambda request: self.requested.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda message: self._console(message.type, message.text))
        self.page.goto(address, wait_until="load")
        self.page.evaluate(TYPESET)

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
          const text = document.querySelector("main").innerText;
          const raw = text.match(/\\\\[([]|\\$\\$/g) || [];
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


def violations(page: Page, rules: str, *, code: bool) -> list[str]:
    """Return what axe-core objects to; the contrasts of highlighted code only where asked for."""
    if rules == "none":
        return []
    # no other outcomes, which take longer to write down than to find; and no loading of style
    # sheets a second time, which axe tries from a wrong base for a rule that is off anyway
    short = {"resultTypes": ["violations"], "preload": False}
    found = []
    if rules != "contrast":
        options = short | {"rules": {CONTRAST: {"enabled": False}}}
        found += Axe().run(page, options=options).response["violations"]
    if rules != "others":
        context = None if code else {"exclude": [["pre"]]}
        options = short | {"runOnly": [CONTRAST]}
        found += Axe().run(page, context=context, options=options).response["violations"]
    return [
        f"{fault['id']}: {node['html'][:160]}" for fault in found for node in fault["nodes"][:3]
    ]


def weight(site: Path, address: str, requested: list[str]) -> int:
    """Return how many bytes a browser receives, compressed as servers do it."""
    total = 0
    for url in set(requested) - {""}:
        file = site / url.removeprefix(address).partition("?")[0].partition("#")[0]
        if url.startswith(address) and file.is_file():
            content = file.read_bytes()
            total += len(content if file.suffix.startswith(".woff") else gzip.compress(content))
    return total


@pytest.mark.parametrize("name", [*of_toc(), "genindex", "search", "py-modindex", CODE])
def test_page_is_sound_in_every_view(browser: Browser, site: Path, address: str, name: str):
    """Light and dark, desktop and phone: math, errors, requests, width, keyboard and axe."""
    # colors that fade into one another would be looked at halfway
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    visit = Visit(context, f"{address}{name}.html")
    faults = not_typeset(visit.page)
    visit.page.wait_for_load_state("networkidle")
    if weight(site, address, visit.requested) > HEAVIEST:
        faults.append(f"weighs {weight(site, address, visit.requested)} bytes")
    for theme, width, rules in VIEWS:
        visit.page.emulate_media(color_scheme=theme)
        visit.page.wait_for_function("t => document.documentElement.dataset.theme === t", arg=theme)
        if width != visit.page.viewport_size["width"]:
            visit.page.set_viewport_size({"width": width, "height": 900})
            visit.page.wait_for_timeout(500)  # scripts answer with a delay, of 300 ms at most
        found = [*overflow(visit.page), *unreachable(visit.page)]
        found += violations(visit.page, rules, code=name == CODE)
        faults += [f"{theme}, {width}: {fault}" for fault in found]
    faults += visit.complaints
    faults += [url for url in visit.requested if not url.startswith((address, "data:"))]
    context.close()
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("name", ["index.html", "batchnorm-forward.html"])
def test_works_from_a_folder(browser: Browser, site: Path, name: str):
    context = browser.new_context(color_scheme="dark")
    visit = Visit(context, (site / name).as_uri())
    assert visit.complaints == []
    assert [url for url in visit.requested if not url.startswith(("file:", "data:"))] == []
    assert not_typeset(visit.page) == []
    assert visit.page.locator(".dl-figure svg").first.is_visible()
    # icons and formulas are drawn in fonts that lie in the same folder
    loaded = visit.page.evaluate(
        "document.fonts.ready.then(() => [...document.fonts]"
        ".filter((f) => f.status === 'error').map((f) => f.family))"
    )
    assert loaded == []
    context.close()


def test_the_reader_can_choose_the_theme(browser: Browser, address: str):
    context = browser.new_context(color_scheme="light", viewport={"width": 1280, "height": 900})
    visit = Visit(context, address + "index.html")
    theme = "document.documentElement.dataset.theme"
    assert visit.page.evaluate(theme) == "light"
    visit.page.locator(".theme-switch-button").first.click()
    assert visit.page.evaluate(theme) == "dark"
    visit.page.reload()
    assert visit.page.evaluate(theme) == "dark"
    context.close()


def test_search_finds_a_chapter(browser: Browser, address: str):
    context = browser.new_context()
    visit = Visit(context, address + "search.html?q=epsilon")
    first = visit.page.locator("#search-results ul.search li a").first
    first.wait_for()
    assert "batchnorm" in str(visit.page.locator("#search-results ul.search").inner_html())
    assert visit.complaints == []
    context.close()


def test_a_check_opens_with_the_keyboard(browser: Browser, address: str):
    context = browser.new_context()
    visit = Visit(context, address + "batchnorm-forward.html")
    check = visit.page.locator("details.course-check").first
    code = check.locator("pre").first
    assert not code.is_visible()
    check.locator("summary").focus()
    visit.page.keyboard.press("Enter")
    assert code.is_visible()
    assert "verify(" in code.inner_text()
    context.close()


def test_wide_mathematics_scrolls_in_its_own_box(browser: Browser, address: str):
    context = browser.new_context(viewport={"width": 390, "height": 900})
    visit = Visit(context, address + "batchnorm-backward.html")
    scrolling = """() => [...document.querySelectorAll("main .math, main mjx-container")]
        .filter((e) => e.scrollWidth > e.clientWidth + 1
          && getComputedStyle(e).overflowX === "auto").length"""
    assert visit.page.evaluate(scrolling) > 0
    assert overflow(visit.page) == []
    context.close()


def test_opened_folds_fit_a_phone(browser: Browser, address: str):
    context = browser.new_context(viewport={"width": 390, "height": 900})
    visit = Visit(context, address + "dropout.html")
    visit.page.evaluate("document.querySelectorAll('details').forEach((e) => { e.open = true; })")
    visit.page.wait_for_timeout(200)
    assert unreachable(visit.page) == []
    assert overflow(visit.page) == []
    context.close()


def test_paper_shows_the_text_alone_and_every_answer(browser: Browser, address: str):
    context = browser.new_context(color_scheme="dark")
    visit = Visit(context, address + "dropout.html")
    answer = visit.page.locator("details.sd-dropdown .sd-card-body").first
    assert not answer.is_visible()
    visit.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    visit.page.emulate_media(media="print")
    assert answer.is_visible()
    assert not visit.page.locator(".bd-sidebar-primary").is_visible()
    assert visit.page.evaluate("document.documentElement.dataset.theme") == "light"
    visit.page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert visit.page.evaluate("document.documentElement.dataset.theme") == "dark"
    context.close()
