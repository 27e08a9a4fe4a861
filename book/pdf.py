"""Print the book as one PDF: `python book/pdf.py [--out FILE]`, or `make pdf`.

Each page of the built site is printed by Chromium, with its formulas typeset and its folds open,
and the pages are put together with an outline. Needs the site (`make book`) and Chromium.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml
from playwright.sync_api import Browser, sync_playwright
from pypdf import PdfReader, PdfWriter
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "_build" / "html"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
TYPESET = "window.MathJax && MathJax.startup ? MathJax.startup.promise.then(() => true) : true"
#: Chromium's own page number, in the middle of the foot.
FOOT = (
    '<div style="font-size:8px;width:100%;text-align:center">'
    '<span class="title"></span> · <span class="pageNumber"></span></div>'
)


def main() -> int:
    """Parse the command line, print, and return the exit status."""
    parser = argparse.ArgumentParser(description="Print the built book as one PDF.")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "_build" / "book.pdf", metavar="FILE", help="where to"
    )
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="default: all of them, in order")
    arguments = parser.parse_args()
    known = list(pages())
    unknown = [page for page in arguments.pages if page not in known]
    if unknown:
        parser.error(f"no page {', '.join(unknown)}; there are: {', '.join(known)}")
    if not (SITE / "index.html").is_file():
        parser.error(f"there is no site in {SITE}: run `make book` first")
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        parser.error("no Chromium is installed; on Debian and Ubuntu: apt install chromium")
    count = print_book(arguments.pages or known, path, arguments.out)
    print(f"{arguments.out}: {count} pages")
    return 0


def pages() -> Iterator[str]:
    """Name the pages of the book, in the order of its table of contents."""
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
    yield toc["root"]
    for part in toc["parts"]:
        yield from (chapter["file"] for chapter in part["chapters"])


def print_book(names: list[str], chromium: str, out: Path) -> int:
    """Print the pages called `names` into one file; return how many sheets it has."""
    writer = PdfWriter()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-background-networking"]
        )
        for name in tqdm(names, unit="page", desc="printing", disable=None):
            title, content = print_page(browser, SITE / f"{name}.html")
            writer.append(PdfReader(io.BytesIO(content)), outline_item=title, import_outline=False)
        browser.close()
    out.parent.mkdir(parents=True, exist_ok=True)
    writer.write(out)
    return len(writer.pages)


def print_page(browser: Browser, path: Path) -> tuple[str, bytes]:
    """Print one page of the site; return its title and the PDF."""
    page = browser.new_page(color_scheme="light")
    page.goto(path.as_uri(), wait_until="load")
    page.evaluate(TYPESET)
    # Chromium's printing for a program does not tell the page that it prints
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    title = page.locator("h1").first.evaluate("h => h.firstChild.textContent.trim()")
    content = page.pdf(
        format="A4",
        margin={"top": "18mm", "bottom": "18mm", "left": "16mm", "right": "16mm"},
        display_header_footer=True,
        header_template="<span></span>",
        footer_template=FOOT,
        tagged=True,
    )
    page.close()
    return title, content


if __name__ == "__main__":
    sys.exit(main())
