"""Print the book as one PDF: `python book/pdf.py [--out FILE]`, or `make pdf`.

Each page of the built site is printed by Chromium, with its formulas typeset and its folds open,
and the pages are put together with an outline. A link from one page to another stays inside the
PDF; one to what is not printed leads to the published site, and is left out while `_config.yml`
names none. Needs the site (`make book`) and a browser (`make needs`).
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import yaml
from playwright.sync_api import Browser, sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, FloatObject, NameObject, NullObject, TextStringObject
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from book.browser import PATIENCE, NoBrowserError, start  # noqa: E402

SITE = ROOT / "_build" / "html"
TYPESET = "window.MathJax && MathJax.startup ? MathJax.startup.promise.then(() => true) : true"
#: Chromium notes the place of what its page links to; the links from other pages count as well.
NOTE_PLACES = """
const links = document.createElement("div");
for (const place of document.querySelectorAll("main [id]")) {
  const link = links.appendChild(document.createElement("a"));
  link.href = "#" + encodeURIComponent(place.id);
}
links.hidden = true;
document.body.append(links);
"""
#: Whether Chinese is drawn as two different signs, and not as two equal boxes for want of a font.
HAS_CHINESE = """
const drawn = (sign) => {
  const canvas = document.createElement("canvas");
  const pen = canvas.getContext("2d");
  pen.font = "40px sans-serif";
  pen.fillText(sign, 0, 40);
  return canvas.toDataURL();
};
return drawn("\u5f52") !== drawn("\u5316");
"""
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
    try:
        count = print_book(arguments.pages or known, arguments.out)
    except NoBrowserError as error:
        parser.error(str(error))
    print(f"{arguments.out}: {count} pages")
    return 0


class Place(NamedTuple):
    """Where a link of the PDF leads: a sheet, counted from 0, and the height on it."""

    sheet: int
    top: float | None = None


def pages() -> Iterator[str]:
    """Name the pages of the book, in the order of its table of contents."""
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
    yield toc["root"]
    for part in toc["parts"]:
        yield from (chapter["file"] for chapter in part["chapters"])


def print_book(names: list[str], out: Path) -> int:
    """Print the pages called `names` into one file; return how many sheets it has.

    Raises
    ------
    NoBrowserError
        If no Chromium starts here.
    """
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    writer, places, page_of = PdfWriter(), dict[tuple[str, str], Place](), list[str]()
    with sync_playwright() as playwright:
        browser, _ = start(playwright)
        for name in tqdm(names, unit="page", desc="printing", disable=None):
            title, content = print_page(browser, SITE / f"{name}.html")
            reader = PdfReader(io.BytesIO(content))
            places[name, ""] = Place(len(page_of))
            for target, found in reader.named_destinations.items():
                sheet = reader.get_destination_page_number(found)
                if sheet is not None:
                    top = None if found.top is None else float(found.top)
                    places[name, unquote(target).strip("/")] = Place(len(page_of) + sheet, top)
            writer.append(reader, outline_item=title, import_outline=False)
            page_of += [name] * len(reader.pages)
        if "glossary" in names and not has_chinese(browser):
            print(
                "No font for Chinese is installed, so the glossary has empty boxes; on Debian and "
                "Ubuntu: apt install fonts-noto-cjk",
                file=sys.stderr,
            )
        browser.close()
    for sheet, name in enumerate(page_of):
        for annotation in writer.pages[sheet].get("/Annots", ()):
            relink(writer, annotation.get_object(), name, places, config["html"]["baseurl"])
    writer.add_metadata({"/Title": config["title"], "/Author": config["author"]})
    out.parent.mkdir(parents=True, exist_ok=True)
    writer.write(out)
    return len(writer.pages)


def relink(
    writer: PdfWriter, link: Any, name: str, places: dict[tuple[str, str], Place], site: str
) -> None:
    """Turn a link that leads into the folder of the site into one that works anywhere.

    Pages share the names of some places ("exercise"), so a link within its page, which only gives
    that name, is made to lead to a sheet as well.
    """
    if link.get("/Subtype") != "/Link":
        return
    address = str(link["/A"].get("/URI", "")) if "/A" in link else ""
    folder = f"{SITE.as_uri()}/"
    if address.startswith(folder):
        path, _, anchor = address.removeprefix(folder).partition("#")
        goal = path.removesuffix(".html"), unquote(anchor)
    elif "/Dest" in link and not address:
        goal = name, unquote(str(link["/Dest"])).strip("/")
    else:
        return
    place = places.get(goal, places.get((goal[0], "")))
    if place is None and site:  # a problem set to download, the source code of a function
        inside = address.removeprefix(folder)
        link["/A"][NameObject("/URI")] = TextStringObject(f"{site.rstrip('/')}/{inside}")
        return
    link.pop("/A", None)
    if place is None:
        return
    top = NullObject() if place.top is None else FloatObject(place.top)
    sheet = writer.pages[place.sheet].indirect_reference
    link[NameObject("/Dest")] = ArrayObject(
        [sheet, NameObject("/XYZ"), NullObject(), top, NullObject()]
    )


def has_chinese(browser: Browser) -> bool:
    """Return whether this machine can draw the glossary's Chinese."""
    page = browser.new_page()
    found = bool(page.evaluate(f"() => {{ {HAS_CHINESE} }}"))
    page.close()
    return found


def print_page(browser: Browser, path: Path) -> tuple[str, bytes]:
    """Print one page of the site; return its title and the PDF."""
    page = browser.new_page(color_scheme="light")
    page.set_default_timeout(1000 * PATIENCE)
    page.goto(path.as_uri(), wait_until="load")
    page.wait_for_function(TYPESET)  # `evaluate` would wait for as long as it takes
    # Chromium's printing for a program does not tell the page that it prints
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.evaluate(f"() => {{ {NOTE_PLACES} }}")
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
