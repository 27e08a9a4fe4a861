"""The book on paper: one PDF, with an outline and with every answer."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pypdf import PdfReader

from book import pdf
from tests.book.test_site import of_toc
from tests.support import REPO, run


def test_all_pages_of_the_book_are_printed():
    assert list(pdf.pages()) == of_toc()


@pytest.mark.usefixtures("browser")  # where there is none, this is skipped
def test_pages_become_one_pdf_with_an_outline_and_open_folds(site: Path, tmp_path: Path):
    out = tmp_path / "book.pdf"
    done = run(sys.executable, REPO / "book" / "pdf.py", "dropout", "bibliography", "--out", out)
    reader = PdfReader(out)
    assert f"{out}: {len(reader.pages)} pages" in done.stdout
    assert [item.title for item in reader.outline] == ["Dropout", "Bibliography"]
    # where lines and words break depends on the fonts
    text = " ".join(" ".join(page.extract_text() for page in reader.pages).split())
    assert "Three on average while training" in text  # a folded answer
    assert "Search this book" not in text
    links = [
        annotation.get_object()
        for page in reader.pages
        for annotation in page.get("/Annots", ())
        if annotation.get_object()["/Subtype"] == "/Link"
    ]
    addresses = [str(link["/A"]["/URI"]) for link in links if "/A" in link]
    assert addresses
    assert all(address.startswith("https://") for address in addresses)
    # a paper that is cited is found in the same file
    first = reader.get_destination_page_number(reader.outline[1])
    inside = [
        reader.get_page_number(link["/Dest"][0].get_object()) for link in links if "/Dest" in link
    ]
    assert any(sheet >= first for sheet in inside)


def test_an_unknown_page_is_answered_with_those_there_are(site: Path):
    done = run(sys.executable, REPO / "book" / "pdf.py", "nope", ok=False)
    assert done.returncode == 2
    assert "no page nope; there are: index, how-to-use" in done.stderr
