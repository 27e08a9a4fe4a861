"""The addresses of a copy of the course: used wherever they are set, and nowhere made up.

The site as it is configured here, and a book of two pages for which both addresses are set.
"""

from __future__ import annotations

import re
import shutil
import struct
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import nbformat
import numpy as np
import pytest
import yaml
from bs4 import BeautifulSoup

from book import build
from dlnorm.grading import release, sections
from dlnorm.grading.student import checker
from tests.book.test_site import soup
from tests.support import REPO, run

REPOSITORY = "https://github.com/someone/their-course"
SITE = "https://someone.example/their-course"
PAGES = {
    "index": """---
myst:
  html_meta:
    description: "What the book is."
---

# A book

```{tableofcontents}
```
""",
    "page": """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
    format_version: 0.13
    jupytext_version: 1.19.6
kernelspec:
  display_name: Python 3
  language: python
  name: python3
myst:
  html_meta:
    description: "What stands on this page."
---

# A page

```{code-cell} ipython3
print(1)
```
""",
}
_ADDRESS = re.compile(r"https?://[^\s\"'<>()\[\]\\]+")
#: What an address has if it leads to a copy of the course, or to what can be done with one.
_OURS = re.compile(r"dlnorm|mybinder\.org|colab\.research|/edit/|/issues/new", re.IGNORECASE)


class Book(NamedTuple):
    """A built book: the folder of its site, its two addresses, and its executed pages."""

    site: Path
    repository: str
    address: str
    executed: frozenset[str]

    def page(self, name: str) -> BeautifulSoup:
        """Return a parsed page."""
        return soup(self.site / f"{name}.html")

    @property
    def names(self) -> list[str]:
        """Return the pages that have a source."""
        return sorted(path.stem for path in self.site.glob("_sources/*.md"))


def settings(config: Path) -> tuple[str, str]:
    """Return the repository's and the site's address, the latter with a slash at the end."""
    read = yaml.safe_load(config.read_text("utf-8"))
    site = read["html"]["baseurl"]
    return read["repository"]["url"], f"{site.rstrip('/')}/" if site else ""


def with_addresses(repository: str, site: str) -> str:
    """Return the text of `_config.yml` with two addresses in the place of those that it has."""
    text = (REPO / "_config.yml").read_text("utf-8")
    for key, address in (("url", repository), ("baseurl", site)):
        text, count = re.subn(rf"^  {key}:.*$", f"  {key}: {address}", text, flags=re.MULTILINE)
        assert count == 1, f"_config.yml has {count} lines of two spaces and `{key}:`"
    return text


def invented(text: str, *configured: str) -> list[str]:
    """Return the addresses in a text that lead to a copy of the course which nobody configured."""
    known = [address.removesuffix("/").split("://")[1] for address in configured if address]
    # Binder is given the last two parts of a repository's address
    known += ["/".join(address.split("/")[-2:]) for address in known if "github.com" in address]
    return [
        address
        for address in _ADDRESS.findall(text)
        if _OURS.search(address) and not any(part in unquote(address) for part in known)
    ]


KINDS = ("as it is configured", "with both addresses")


@pytest.fixture(
    scope="module", params=[pytest.param(kind, marks=pytest.mark.browser) for kind in KINDS]
)
def book(request: pytest.FixtureRequest) -> Book:
    """Return the site, and then the small book."""
    if request.param == KINDS[0]:
        sources = (REPO / "book").glob("*.md")
        executed = {path.stem for path in sources if "{code-cell}" in path.read_text("utf-8")}
        repository, address = settings(REPO / "_config.yml")
        return Book(request.getfixturevalue("site"), repository, address, frozenset(executed))
    folder = request.getfixturevalue("shared")("book-with-addresses", make_book)
    return Book(folder / "_build" / "html", REPOSITORY, f"{SITE}/", frozenset({"page"}))


def make_book(folder: Path) -> None:
    """Build two pages with this course's settings, but for the addresses."""
    (folder / "_config.yml").write_text(with_addresses(REPOSITORY, SITE), "utf-8")
    (folder / "book").mkdir()
    for name in ("_ext", "_assets", "references.bib"):
        (folder / "book" / name).symlink_to(REPO / "book" / name)
    (folder / "assignments").mkdir()
    (folder / "_build").mkdir()
    (folder / "book" / "_toc.yml").write_text(
        "format: jb-book\nroot: index\nchapters: [file: page]"
    )
    for name, text in PAGES.items():
        (folder / "book" / f"{name}.md").write_text(text, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "ROOT", folder)
        problems = build.run_jupyter_book(folder, folder / "_build" / "log")
    assert problems == []


@pytest.mark.parametrize(
    "text",
    [
        '<a href="https://dlnorm.github.io/dlnorm/page.html">',
        "git+https://github.com/dlnorm/dlnorm@main",
        '"https://mybinder.org/v2/gh/another/course/main"',
        "(https://colab.research.google.com/#fileId=https%3A//another.example/page.ipynb)",
        "https://github.com/another/course/edit/main/book/page.md",
    ],
)
def test_an_address_that_nobody_configured_is_found(text: str):
    assert len(invented(text)) == len(invented(text, REPOSITORY, SITE)) == 1


def test_no_page_has_an_address_that_nobody_configured(book: Book):
    files = [path for end in ("*.html", "*.md", "*.ipynb", "*.js") for path in book.site.rglob(end)]
    assert len(files) > len(book.names)
    found = {
        path.name: invented(path.read_text("utf-8", "replace"), book.repository, book.address)
        for path in files
    }
    assert {name: addresses for name, addresses in found.items() if addresses} == {}


def test_buttons_lead_into_the_repository_where_it_has_an_address(book: Book):
    kinds = ("source-repository", "source-edit", "source-issues")
    for name in book.names:
        page = book.page(name)
        links = {
            kind: [str(link["href"]) for link in page.select(f"a.btn-{kind}-button")]
            for kind in kinds
        }
        expected = (
            [book.repository],
            [f"{book.repository}/edit/main/book/{name}.md"],
            [f"{book.repository}/issues/new"],
        )
        found = [[link.split("?")[0] for link in links[kind]] for kind in kinds]
        assert found == (list(expected) if book.repository else [[], [], []]), name
        # a group of buttons without any would be an empty menu
        assert bool(page.select(".dropdown-source-buttons")) is bool(book.repository)


def test_executed_pages_open_on_binder_and_in_colab_where_these_can_find_them(book: Book):
    for name in book.names:
        page = book.page(name)
        links = {
            label: [unquote(str(link["href"])) for link in page.select(f"a.btn-launch-{label}")]
            for label in ("binder", "colab")
        }
        on_github = book.repository.startswith("https://github.com/")
        if name not in book.executed or not on_github:
            assert links["binder"] == []
        else:
            # Binder opens the source in the repository
            path = book.repository.removeprefix("https://github.com/")
            assert links["binder"] == [
                f"https://mybinder.org/v2/gh/{path}/main?urlpath=lab/tree/book/{name}.md"
            ]
        if name not in book.executed or not (book.repository and book.address):
            assert links["colab"] == []
        else:
            # Colab opens the notebook of the published site
            lead = f"https://colab.research.google.com/#fileId={book.address}"
            (colab,) = links["colab"]
            assert colab.startswith(lead)
            assert (book.site / colab.removeprefix(lead)).is_file()
        assert bool(page.select(".dropdown-launch-buttons")) is any(links.values())


def test_a_downloaded_page_installs_the_course_or_says_how(book: Book):
    for name in book.executed:
        notebook = nbformat.read(book.site / "_sources" / f"{name}.ipynb", as_version=4)
        first = notebook.cells[0].source
        if book.repository:
            assert f'"dlnorm[experiments] @ git+{book.repository}@main"' in first
        else:
            assert "in a copy of the course: pip install -e" in first


def test_a_link_to_a_page_has_a_title_and_where_the_site_has_an_address_a_card(book: Book):
    for name in book.names:
        page = book.page(name)
        tags = {str(tag["property"]): str(tag["content"]) for tag in page.select("meta[property]")}
        (described,) = page.find_all("meta", attrs={"name": "description"})
        assert tags["og:title"]
        assert "<" not in tags["og:title"]
        assert str(page.title and page.title.string).startswith(tags["og:title"])
        assert tags["og:description"] == described["content"]
        canonical = [link["href"] for link in page.select("link[rel=canonical]")]
        large = page.select("meta[name='twitter:card'][content=summary_large_image]")
        if not book.address:
            assert canonical == large == []
            assert not {key for key in tags if key.startswith(("og:url", "og:image"))}
            continue
        assert tags["og:url"] == book.address + ("" if name == "index" else f"{name}.html")
        assert canonical == [f"{book.address}{name}.html"]
        assert len(large) == 1
        card = book.site / tags["og:image"].removeprefix(book.address)
        header = card.read_bytes()[:24]
        assert header[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">II", header[16:]) == (1200, 630)
        assert (tags["og:image:width"], tags["og:image:height"]) == ("1200", "630")
        assert card.stat().st_size < 300_000


# ---------------------------------------------------------------- what is released


#: Releases; then fails the first check of what was released, and its hidden test.
RELEASE = """
from dlnorm.cli import main
from dlnorm.grading import grade
from dlnorm.grading.student import checker

assert main(["release"]) == 0
name, spec = next(iter(checker.load("assignments/weightnorm/checks.npz").items()))
wrong = [lambda *given: 0.0 for function in spec["functions"]]
print(checker.judge(spec, wrong)["message"])
grade(name, *wrong)
"""


def released(course: Path, repository: str, site: str) -> tuple[str, str, str]:
    """Release with two addresses: the text, a failed check's message, a failed hidden test's."""
    (course / "_config.yml").write_text(with_addresses(repository, site), "utf-8")
    done = run(sys.executable, "-c", RELEASE, cwd=course, ok=False)
    assert "CheckFailed: ✗ " in done.stderr
    path = course / "assignments" / "weightnorm" / "weightnorm.ipynb"
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(cell.source for cell in cells), done.stdout, done.stderr


def test_what_is_released_links_to_the_book_where_that_has_an_address(tmp_path: Path):
    # another instructor's copy of the course, with the first exercise of one problem set
    for package in ("dlnorm", "nbwarden"):
        (tmp_path / package).symlink_to(REPO / package)
    shutil.copy(REPO / "nbgrader_config.py", tmp_path)
    folder = tmp_path / "solutions" / "weightnorm"
    folder.mkdir(parents=True)
    text = (REPO / "solutions" / "weightnorm" / "weightnorm.md").read_text("utf-8")
    first, more, _ = text.partition("\n## 2. ")
    assert more
    (folder / "weightnorm.md").write_text(first, "utf-8")

    text, message, hidden = released(tmp_path, REPOSITORY, SITE)
    assert f"[Weight normalization]({SITE}/weightnorm.html)" in text
    link = rf"”:\n    {SITE}/weightnorm\.html#wn-[\w-]+$"
    for said in (message, hidden):
        named = r"^Reread “[^”]+” in the chapter “Weight normalization"
        assert re.search(named + link, said, re.MULTILINE), said
    # a change of the settings is a reason to release anew
    text, message, hidden = released(tmp_path, '""', '""')
    assert "**Read** the chapter “Weight normalization”" in text
    for said in (message, hidden):
        assert re.search(rf"{named}\.”$", said, re.MULTILINE), said
    assert "://" not in text + message + hidden


def test_no_problem_set_has_an_address_that_nobody_configured():
    configured = settings(REPO / "_config.yml")
    files = [path for path in (REPO / "assignments").rglob("*") if path.suffix != ".npz"]
    texts = {path: path.read_text("utf-8") for path in files if path.is_file()}
    for path in (REPO / "assignments").rglob("checks.npz"):
        with np.load(path, allow_pickle=False) as stored:
            words = [name for name in stored.files if not name.endswith(checker.ARRAYS)]
            texts[path] = " ".join(bytes(stored[name]).decode() for name in words)
        assert '"chapter"' in texts[path]
    assert len(texts) > 12
    found = {path: invented(text, *configured) for path, text in texts.items()}
    assert {path: addresses for path, addresses in found.items() if addresses} == {}
    # a link of the source that was not turned into one that works elsewhere
    assert [path for path, text in texts.items() if "](.." in text] == []


def test_an_address_must_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sections, "CONFIG", tmp_path / "_config.yml")
    for given, understood in (
        (SITE, f"{SITE}/"),
        (f"{SITE}/", f"{SITE}/"),
        ('""', ""),
        ("someone.example", None),
    ):
        (tmp_path / "_config.yml").write_text(with_addresses('""', given), "utf-8")
        if understood is not None:
            assert sections.published.__wrapped__() == understood
            continue
        with pytest.raises(RuntimeError, match=r"begins with https://.* got 'someone.example'"):
            sections.published.__wrapped__()


def test_a_chapter_is_named_and_linked_in_a_sentence(monkeypatch: pytest.MonkeyPatch):
    text = "Read [Dropout](../../book/dropout.md#dropout-mask), and [this](https://a.example)."
    for book, expected in (
        ("", "Read “Dropout,” and [this](https://a.example)."),
        ("https://b.example/", "Read [Dropout](https://b.example/dropout.html#dropout-mask), and "
         "[this](https://a.example)."),
    ):  # fmt: skip
        monkeypatch.setattr(sections, "published", lambda book=book: book)
        assert release.with_chapters(text) == expected


@pytest.mark.parametrize("source", sorted((REPO / "solutions").glob("*/*.md")), ids=str)
def test_the_chapters_that_a_problem_set_names_are_there_under_their_titles(source: Path):
    links = re.findall(r"\[([^][]+)\]\(([^)#]+\.md)(?:#([\w-]+))?\)", source.read_text("utf-8"))
    assert links
    for title, path, anchor in links:
        text = (source.parent / path).resolve().read_text("utf-8")
        assert f"\n# {title}\n" in text
        assert not anchor or f"\n({anchor})=\n" in text


# ---------------------------------------------------------------- what describes the project


def test_the_package_and_the_citation_name_no_address_that_nobody_configured(tmp_path: Path):
    repository, site = settings(REPO / "_config.yml")
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-TEXT"):
        shutil.copy(REPO / name, tmp_path)
    for package in ("dlnorm", "nbwarden"):
        (tmp_path / package).mkdir()
        shutil.copy(REPO / package / "__init__.py", tmp_path / package)
    (tmp_path / "made").mkdir()
    script = "from setuptools import build_meta as b; b.prepare_metadata_for_build_wheel('made')"
    run(sys.executable, "-c", script, cwd=tmp_path)
    (metadata,) = (tmp_path / "made").rglob("METADATA")
    text = metadata.read_text("utf-8")
    assert "Name: dlnorm\n" in text
    assert not re.search(r"^(Project-URL|Home-page|Download-URL):", text, re.MULTILINE)
    assert invented(text, repository, site) == []
    citation = yaml.safe_load((REPO / "CITATION.cff").read_text("utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    # a copy that has addresses may give them here as well
    assert citation.get("repository-code", repository) == repository
    assert citation.get("url", site).rstrip("/") == site.rstrip("/")
    for path in (
        *REPO.glob("*.*"),
        *(REPO / "binder").iterdir(),
        *(REPO / ".github").rglob("*.y*"),
    ):
        if path.suffix in {".md", ".cff", ".toml", ".yml", ".py", ".txt", ""} and path.is_file():
            assert invented(path.read_text("utf-8"), repository, site) == [], path


def test_what_binder_installs_is_there():
    wanted = (REPO / "binder" / "requirements.txt").read_text("utf-8").splitlines()[-1]
    extras = re.fullmatch(r"\.\[([\w,]+)\]", wanted)
    assert extras is not None
    project = tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(extras[1].split(",")) <= set(project["optional-dependencies"])
