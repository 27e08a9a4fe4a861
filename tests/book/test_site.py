"""The built site by itself: complete, without a dead link, and asking no other machine."""

from __future__ import annotations

import inspect
import re
import zipfile
from functools import cache
from pathlib import Path
from typing import Any, NotRequired, get_origin, get_type_hints
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup

import dlnorm
from book._ext.course_assignments import found_in, pack
from book._ext.course_equations import scan
from book._ext.course_notebook import one_of_each_stream
from book._ext.course_output import is_text
from dlnorm import experiments
from tests.support import REPO

MEGABYTE = 1_000_000
#: Elements that make a browser fetch something, and the attribute that says what.
FETCHED = {
    "script": "src", "img": "src", "iframe": "src", "video": "src", "audio": "src",
    "source": "src", "embed": "src", "object": "data", "image": "href", "use": "href",
}  # fmt: skip
SOURCES = sorted((REPO / "book").glob("*.md"))


@cache
def soup(path: Path) -> BeautifulSoup:
    """Return a parsed page."""
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


def pages(site: Path) -> list[Path]:
    """Return every page of the site."""
    return sorted(site.rglob("*.html"))


def of_toc() -> list[str]:
    """Return the pages of the table of contents."""
    toc = yaml.safe_load((REPO / "book" / "_toc.yml").read_text("utf-8"))
    return [toc["root"]] + [c["file"] for part in toc["parts"] for c in part["chapters"]]


def external(address: str) -> bool:
    """Whether a browser leaves the site for this address."""
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme in {"http", "https", "ftp"}


def foreign(path: Path) -> list[str]:
    """Return what a page makes a browser fetch from elsewhere."""
    found = [
        str(element.get(attribute, ""))
        for name, attribute in FETCHED.items()
        for element in soup(path).find_all(name)
    ]
    for element in soup(path).find_all("link"):
        if set(element.get("rel", [])) - {"canonical", "author", "license", "next", "prev"}:
            found.append(str(element.get("href", "")))
    styles = " ".join(element.get_text() for element in soup(path).find_all("style"))
    return [address for address in found + in_css(styles) if external(address)]


def in_css(text: str) -> list[str]:
    """Return the addresses that a style sheet loads."""
    return re.findall(r"(?:url\(|@import)\s*['\"]?([^'\")\s;]+)", text)


def test_every_page_of_the_contents_is_built(site: Path):
    assert [page for page in of_toc() if not (site / f"{page}.html").is_file()] == []


def test_no_page_is_left_over(site: Path):
    generated = {"genindex", "search", "py-modindex"}
    assert {path.stem for path in site.glob("*.html")} - generated == set(of_toc())


def test_nothing_is_fetched_from_elsewhere(site: Path):
    assert {path.name: foreign(path) for path in pages(site) if foreign(path)} == {}
    sheets = {path.name: in_css(path.read_text("utf-8")) for path in site.rglob("*.css")}
    assert [(name, a) for name, all_ in sheets.items() for a in all_ if external(a)] == []


@pytest.mark.parametrize(
    ("printed", "wraps"),
    [
        ("✗ spread: the sides differ by 1.6 (allowed 2.6e-12): left 2.6, right 1.0\n", True),
        ("h = 1e-100: central difference 0, complex step 0.786\nyes\n", True),
        ("seed   as trained    after\n  0        3.6\n", False),
        ("dx [1. 2. 3.]", False),
        ("    out, cache = batchnorm_forward(x)", False),
        ("Student,ID,Section", False),
    ],
)
def test_printed_sentences_wrap_and_columns_do_not(printed: str, wraps: bool):
    assert is_text(printed) is wraps


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://unpkg.com/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/css">',
        '<img src="http://example.org/x.png">',
        "<style>@import 'https://example.org/x.css';</style>",
        "<style>a { background: url(https://example.org/x.png) }</style>",
    ],
)
def test_a_foreign_address_is_found(html: str, tmp_path: Path):
    page = tmp_path / "page.html"
    page.write_text(html)
    assert len(foreign(page)) == 1


def test_links_and_anchors_resolve(site: Path):
    dead = []
    for path in pages(site):
        for element in soup(path).find_all("a", href=True):
            address = urlsplit(str(element["href"]))
            if address.scheme or address.netloc:
                continue
            target = (path.parent / unquote(address.path)).resolve() if address.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                dead.append(f"{path.name}: {element['href']}")
            elif address.fragment and target.suffix == ".html":
                name = unquote(address.fragment)
                if name not in anchors(target):
                    dead.append(f"{path.name}: {element['href']}")
    assert sorted(set(dead)) == []


@cache
def anchors(path: Path) -> frozenset[str]:
    """Return every place of a page that a link can lead to."""
    return frozenset(str(element["id"]) for element in soup(path).find_all(id=True))


def test_ids_are_unique_on_a_page(site: Path):
    twice = {}
    for path in pages(site):
        if path.name == "search.html":  # the theme puts its search field there twice
            continue
        ids = [str(element["id"]) for element in soup(path).find_all(id=True)]
        twice[path.name] = sorted({name for name in ids if ids.count(name) > 1})
    assert {page: names for page, names in twice.items() if names} == {}


def test_mathjax_is_served_by_the_site_and_small(site: Path):
    folder = site / "_static" / "mathjax"
    assert (folder / "tex-chtml.js").is_file()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert size < 4 * MEGABYTE


def test_every_page_describes_itself(site: Path):
    described = {}
    for path in pages(site):
        tags = soup(path).find_all("meta", attrs={"name": "description"})
        assert len(tags) == 1, path
        described[path] = str(tags[0]["content"])
        assert 10 <= len(described[path]) <= 160, f"{path.name}: {described[path]}"
    assert len(set(described.values())) == len(described)


def test_every_check_is_shown_with_the_number_of_its_equation(site: Path):
    for source in SOURCES:
        labels = [equation.label for equation in scan(source.read_text("utf-8")).equations]
        page = soup(site / f"{source.stem}.html")
        lines = [line.get_text() for line in page.select("details.course-check > summary > span")]
        numbers = [re.match(r"✓ Equation \((\d+)\): ", line) for line in lines]
        assert all(numbers), lines
        shown = [number.get_text(strip=True) for number in page.select("span.eqno")]
        assert [f"({number[1]})" for number in numbers if number] == [
            number.rstrip("#¶") for number in shown
        ]
        assert len(lines) == len(labels)


def test_every_public_function_is_on_the_reference_page(site: Path):
    functions = [getattr(dlnorm, name) for name in dlnorm.__all__]
    names = {f"{f.__module__}.{f.__name__}" for f in functions if inspect.isfunction(f)}
    assert names - anchors(site / "api.html") == set()


def test_the_settings_of_the_reference_page_are_those_of_the_package(site: Path):
    (table,) = (
        table
        for table in soup(site / "api.html").select("article table")
        if "type of the dict" in table.get_text()
    )
    shown = {}
    for row in table.select("tbody tr"):
        name, _, must, may = row.select("td")
        keys = {code.get_text() for code in may.select("code")}
        if "BatchNormParam" in keys:
            keys = keys - {"BatchNormParam"} | keys_of(dlnorm.BatchNormParam)[1]
        shown[name.get_text()] = {code.get_text() for code in must.select("code")}, keys
    dicts = [getattr(dlnorm, name) for name in dlnorm.__all__ if name.endswith("Param")]
    assert shown == {d.__name__: keys_of(d) for d in dicts}


def keys_of(settings: Any) -> tuple[set[str], set[str]]:
    """Return the keys that a dict of settings must have, and those that it may have."""
    hints = get_type_hints(settings, include_extras=True)
    may = {key for key, hint in hints.items() if get_origin(hint) is NotRequired}
    return set(hints) - may, may


def test_every_experiment_stands_in_the_table(site: Path):
    table = soup(site / "api-nn.html").select_one("article table")
    rows = [row.select("td") for row in table.select("tbody tr")]
    assert [row[0].get_text() for row in rows] == list(experiments.NAMES)
    assert [row[0].get_text() for row in rows if not row[-1].select("a")] == []  # its pages


def test_a_formula_keeps_its_full_stop(site: Path):
    for path in pages(site):
        for formula in soup(path).select("article span.math"):
            text = formula.next_sibling
            assert not (isinstance(text, str) and text.startswith((".", ","))) or (
                "course-joined" in formula.parent["class"]
            ), f"{path.name}: {formula.get_text()}{text[:20]}"


def test_chinese_says_that_it_is(site: Path):
    words = soup(site / "glossary.html").select('dt span[lang="zh"]')
    assert len(words) > 90
    assert all(re.search("[\u4e00-\u9fff]", word.get_text()) for word in words)


def test_every_figure_says_what_it_shows(site: Path):
    for path in pages(site):
        for figure in soup(path).select(".dl-figure svg"):
            assert figure["role"] == "img"
            assert len(str(figure["aria-label"])) > 20, path
        assert [image for image in soup(path).find_all("img") if not image.has_attr("alt")] == []


def test_executed_pages_can_be_downloaded_as_notebooks(site: Path):
    for source in SOURCES:
        if "{code-cell}" not in source.read_text("utf-8"):
            continue
        link = soup(site / f"{source.stem}.html").select_one("a.btn-download-notebook-button")
        assert link is not None, source
        notebook = nbformat.read(site / str(link["href"]), as_version=4)
        nbformat.validate(notebook)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert any(cell.outputs for cell in code)
        # where the course is not installed, it begins with what installs it or says how
        assert "import dlnorm, myst_nb" in code[0].source
        assert code[0] is notebook.cells[0]


def test_a_published_notebook_says_nothing_twice(site: Path):
    """What a cell prints arrives in pieces; a reader gets one output of it."""
    notebooks = sorted(site.rglob("*.ipynb"))
    assert len(notebooks) > len(found_in(REPO / "assignments"))
    for path in notebooks:
        for cell in nbformat.read(path, as_version=4).cells:
            streams = [o.name for o in cell.get("outputs", ()) if o.output_type == "stream"]
            assert len(streams) == len(set(streams)), f"{path.name}: {cell.source[:80]}"


def test_pieces_of_a_stream_are_joined_where_it_began():
    def printed(name: str, text: str) -> nbformat.NotebookNode:
        return nbformat.v4.new_output("stream", name=name, text=text)

    figure = nbformat.v4.new_output("display_data", {"text/plain": "figure"})
    pieces = [printed("stdout", "a"), figure, printed("stderr", "!"), printed("stdout", "b\n\n")]
    assert one_of_each_stream(pieces) == [printed("stdout", "ab\n\n"), figure, pieces[2]]
    assert one_of_each_stream([figure, figure]) == [figure, figure]


def test_pages_follow_one_another(site: Path):
    names = of_toc()
    for before, name, after in zip([None, *names], names, [*names[1:], None], strict=False):
        page = soup(site / f"{name}.html")
        for mark, other in (("left-prev", before), ("right-next", after)):
            linked = [str(link["href"]) for link in page.select(f".prev-next-footer a.{mark}")]
            assert linked == ([f"{other}.html"] if other else []), name


def test_the_start_page_says_what_there_is(site: Path):
    page = soup(site / "index.html")
    listed = [str(link["href"]) for link in page.select(".course-chapters li > p > a:first-child")]
    assert listed == [f"{name}.html" for name in of_toc() if name != "index"]
    text = " ".join(page.get_text().split())
    equations = sum(len(scan(source.read_text("utf-8")).equations) for source in SOURCES)
    assert f"There are {equations}." in text
    assert f"in {len(found_in(REPO / 'assignments'))} problem sets" in text
    doors = {str(link["href"]) for link in page.select(".course-doors a")}
    assert doors == {
        "how-to-use.html#how-to-read",
        "assignments.html",
        "instructors.html",
    }


def test_pages_have_their_colors_without_script(site: Path):
    for path in pages(site):
        assert soup(path).html["data-theme"] == "light", path


def test_released_problem_sets_can_be_downloaded(site: Path):
    page = soup(site / "assignments.html")
    offered = {str(link["href"]) for link in page.select(".course-downloads a")}
    released = found_in(REPO / "assignments")
    names = [path.stem for path in released]
    assert offered == {f"assignments/{name}.{end}" for name in names for end in ("zip", "ipynb")}
    for path in released:
        name = path.stem
        assert (site / f"assignments/{name}.ipynb").read_bytes() == path.read_bytes()
        with zipfile.ZipFile(site / f"assignments/{name}.zip") as archive:
            packed = {entry: archive.read(entry) for entry in archive.namelist()}
        assert packed == {
            f"{name}/{file.name}": file.read_bytes()
            for file in path.parent.iterdir()
            if file.is_file()
        }


def test_problem_sets_stand_in_the_order_of_the_course(site: Path):
    page = soup(site / "assignments.html")
    cards = [str(card["id"]) for card in page.select(".course-assignment")]
    names = [path.stem for path in found_in(REPO / "assignments")]
    assert sorted(cards) == sorted(f"set-{name}" for name in names)
    assert (cards[0], cards[-1]) == ("set-foundations", "set-together")


def test_a_zip_depends_on_nothing_but_its_contents(tmp_path: Path):
    made = []
    for day in (1, 2):
        folder = tmp_path / str(day) / "some"
        folder.mkdir(parents=True)
        for name in ("checks.npz", "some.ipynb", "checker.py"):
            (folder / name).write_text(name)
            (folder / name).chmod(0o600 + day)
        pack(folder / "some.ipynb", tmp_path / f"out{day}")
        made.append((tmp_path / f"out{day}" / "some.zip").read_bytes())
    assert made[0] == made[1]
