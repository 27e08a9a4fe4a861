"""Pictures are shown, or a sentence stands in their place; they cost nobody a point."""

from __future__ import annotations

import base64
import json
import re
import unicodedata

import pytest
from nbconvert.filters.markdown_mistune import MarkdownWithMath

from nbwarden.canonical import Known
from nbwarden.feedback import markdown_to_html
from nbwarden.handed_in import Caps, Cell, read_cells
from nbwarden.pictures import Page, Pictures, Renderer, Room, taken
from nbwarden.rebuild import rebuild
from nbwarden.renamed import HandedIn

pytestmark = pytest.mark.without_sandbox

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n....").decode()
SVG = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def html(source, attachments=None, folder=None, page=None):
    """A text cell as it is on a page."""
    resources = {"metadata": {"path": str(folder) if folder else ""}}
    if page:
        resources["nbwarden_page"] = page
    cell = {"attachments": taken(attachments or {}, Room())}
    return markdown_to_html({"cell": cell, "resources": resources}, source)


def notes(page):
    """The sentences that stand in place of pictures."""
    return re.findall(r"<em>\[(.*?)\]</em>", page)


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "webp", "avif", "bmp", "svg+xml"])
def test_what_browsers_show_is_shown(kind):
    page = html("See ![here](attachment:a.pic)", {"a.pic": {f"image/{kind}": PNG}})
    assert f'<img alt="here" src="data:image/{kind};base64,{PNG}">' in page
    assert not notes(page)


@pytest.mark.parametrize(
    "content", [SVG, [SVG[:9], SVG[9:]], base64.b64encode(SVG.encode()).decode()]
)
def test_an_svg_is_shown_as_a_picture_that_runs_nothing(content):
    page = html("![](attachment:a.svg)", {"a.svg": {"image/svg+xml": content}})
    assert f"data:image/svg+xml;base64,{base64.b64encode(SVG.encode()).decode()}" in page
    assert "<script" not in page


def test_what_cannot_be_shown_says_why():
    attachments = {
        "a.heic": {"image/heic": PNG},
        "b.png": {"image/png": "no base64!"},
        "c.png": {"text/html": "<script>"},
        "d.png": "nothing",
        "e.jpg": {"image/jpg": "A" * 16 * 2**20},
    }
    found = notes(html("".join(f"![x](attachment:{n})" for n in attachments), attachments))
    assert [note.partition(" is not shown: ")[0] for note in found] == [
        f"The picture {name}" for name in attachments
    ]
    assert "browsers do not show image/heic; save it as PNG or JPEG." in found[0]
    assert "it is damaged." in found[1]
    assert "it has 12.0 MB; 10 MB are accepted." in found[4]


def test_a_missing_picture_leaves_the_text_around_it():
    page = html("Before ![p](attachment:p.png) and <b>after</b> `![p](attachment:p.png)`")
    assert notes(page) == ["The picture p.png is not shown: it is not in the notebook."]
    assert "<b>after</b>" in page
    assert "![p](attachment:p.png)</code>" in page


NAMES = {
    "my photo.png": ["my%20photo.png", "<attachment:my photo.png>"],
    "50% of it.png": ["50%25%20of%20it.png"],
    "100%.png": ["100%.png"],
    "übung.png": ["übung.png", "%C3%BCbung.png"],
    unicodedata.normalize("NFD", "übung.png"): ["%C3%BCbung.png"],
    "a(1).png": ["a(1).png"],
    "a&b <i>.png": ["a%26b%20%3Ci%3E.png"],
}


@pytest.mark.parametrize("name", list(NAMES))
def test_a_picture_is_found_by_its_name_however_it_is_written(name):
    for written in NAMES[name]:
        address = written if written.startswith("<") else f"attachment:{written}"
        page = html(f"![x]({address})", {name: {"image/png": PNG}})
        assert PNG in page, (written, page)


def test_a_picture_in_html_is_shown_at_its_size():
    page = html(
        '<img src="attachment:p.png" width=200 onerror="x()">', {"p.png": {"image/png": PNG}}
    )
    assert f'<img width="200" src="data:image/png;base64,{PNG}">' in page


def test_pictures_by_path_come_from_the_folder_and_from_nowhere_else(tmp_path):
    folder = tmp_path / "ps1"
    (folder / "img").mkdir(parents=True)
    (folder / "img" / "a b.png").write_bytes(b"inside")
    (tmp_path / "other.png").write_bytes(b"secret")
    (folder / "link.png").symlink_to(tmp_path / "other.png")
    (folder / "gradebook.db").write_bytes(b"secret")
    (folder / "d.png").mkdir()
    inside = base64.b64encode(b"inside").decode()
    for address in ("img/a%20b.png", "./img/a%20b.png?raw=true#x"):
        assert f"data:image/png;base64,{inside}" in html(f"![f]({address})", folder=folder)
    for address in (
        "../other.png",
        "link.png",
        f"{tmp_path}/other.png",
        "d.png",
        "none.png",
        "%00.png",
    ):
        page = html(f"![f]({address})", folder=folder)
        assert "<img" not in page, address
        assert len(notes(page)) == 1
    assert "browsers do not show .db files" in html("![f](gradebook.db)", folder=folder)
    assert "not among the files" in html("![f](img/a%20b.png)")


@pytest.mark.parametrize(
    "address",
    ["https://example.org/a.png", "//example.org/a.png", "javascript:x()", "data:text/html,x"],
)
def test_nothing_is_loaded_from_elsewhere(address):
    page = html(f"![a]({address}) <img src='{address}'>")
    assert "<img" not in page
    assert len(notes(page)) == 2


def test_a_note_cannot_be_made_to_say_anything_else():
    page = html('![<b>](attachment:%3Cscript%3E"x) <p title="<img> onclick=x() y=">t</p>')
    assert "<script" not in page
    assert "onclick=" not in re.sub(r'title="[^"]*"', "", page)


REPEATED = {
    "an attachment": ("![p](attachment:p.png)\n" * 300, {"p.png": {"image/png": "A" * 100_000}}),
    "a reference": ("![p][1]\n" * 300 + f"\n[1]: data:image/png;base64,{'A' * 100_000}", {}),
    "a link": ("[p][1] ![]()\n" * 300 + f"\n[1]: https://example.org/{'A' * 100_000}", {}),
    "a picture's title": (
        "![p][1]\n" * 300 + f"\n[1]: attachment:p.png '{'A' * 100_000}'",
        {"p.png": {"image/png": PNG}},
    ),
    "a title": ("[p][1] ![]()\n" * 300 + f"\n[1]: https://a.org '{'A' * 100_000}'", {}),
}


@pytest.mark.parametrize("kind", list(REPEATED))
def test_what_is_referred_to_again_and_again_does_not_blow_the_page_up(kind):
    source, attachments = REPEATED[kind]
    assert len(html(source, attachments)) < 3 * 2**20


def test_a_picture_written_out_once_is_not_written_each_time_before_it_is_cleaned():
    source, _ = REPEATED["a reference"]
    renderer = Renderer(Pictures({}, None, Page()))
    assert len(MarkdownWithMath(renderer=renderer).render(source)) < 2**20


def test_a_page_has_an_end():
    page = Page(room=3000)
    attachments = {f"{n}.png": {"image/png": f"{n}AAA" * 250} for n in range(4)}
    found = notes(
        html("".join(f"![x](attachment:{n}.png)" for n in range(4)), attachments, page=page)
    )
    assert len(found) == 2
    assert "no room" in found[0]


def test_small_pictures_may_be_shown_again():
    page = html("![p](attachment:p.png)\n\n" * 3, {"p.png": {"image/png": PNG}})
    assert page.count("<img") == 3


def cells_of(tmp_path, *cells, caps=None):
    path = tmp_path / "ps1.ipynb"
    path.write_text(json.dumps({"cells": cells, "nbformat": 4}), encoding="utf-8")
    return read_cells(path, caps or Caps())


def text(source, **attachments):
    return {"cell_type": "markdown", "source": source, "metadata": {}, "attachments": attachments}


def test_the_pictures_of_a_notebook_have_a_limit_together(tmp_path):
    picture = {"image/png": "A" * 4000}
    cells = cells_of(tmp_path, *(text("x", p=picture) for _ in range(3)), caps=Caps(pictures=7000))
    assert [list(cell.attachments["p"]) for cell in cells] == [
        ["image/png"],
        ["image/png"],
        ["text/plain"],
    ]


def test_a_picture_written_out_in_a_long_text_leaves_the_text(tmp_path):
    long = f"Before ![a](data:image/png;base64,{'A' * 1_500_000}) and after."
    (cell,) = cells_of(tmp_path, text(long))
    assert cell.source.startswith("Before ![a](attachment:")
    assert cell.source.endswith(") and after.")
    assert PNG not in cell.source
    assert [len(data["image/png"]) for data in cell.attachments.values()] == [1_500_000]


def test_a_text_that_is_too_long_says_so(tmp_path):
    code = {"cell_type": "code", "source": "x" * 2**21, "metadata": {}}
    cells = cells_of(tmp_path, text("x" * 2**21), code)
    assert cells[0].source == "2.0 MB of text stood here; 1 MB are accepted in a cell."
    assert cells[1].source.startswith("# 2.0 MB of text")


def test_a_locked_cell_keeps_the_instructors_pictures():
    kind = {
        "cell_type": "markdown",
        "locked": True,
        "grade": False,
        "solution": False,
        "task": False,
    }
    given = {"d.png": {"image/png": PNG}}
    entry = Known(
        "ro", source="![d](attachment:d.png)", released="", points=0, attachments=given, **kind
    )
    made = rebuild(HandedIn("ps1.ipynb", []), [entry])
    assert made.cells[0].attachments == given


def test_an_answer_keeps_the_pictures_of_both():
    kind = {
        "cell_type": "markdown",
        "locked": False,
        "grade": True,
        "solution": True,
        "task": False,
    }
    given, pasted = {"d.png": {"image/png": PNG}}, {"e.png": {"image/png": PNG}}
    entry = Known("essay", source="", released="", points=0, attachments=given, **kind)
    answer = Cell("markdown", "See both.", "essay", True, attachments=pasted)
    made = rebuild(HandedIn("ps1.ipynb", [answer]), [entry])
    assert made.cells[0].attachments == given | pasted
