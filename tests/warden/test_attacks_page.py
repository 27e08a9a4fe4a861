"""No script that a student plants reaches a page, wherever it stands."""

from __future__ import annotations

import pytest
from nbconvert.exporters import HTMLExporter

from tests.warden.attacked import dangers
from tests.warden.course import RIGHT, cell_of, own

SCRIPT = "<script>alert(1)</script>"
PLANTS = {
    "html": f"from IPython.display import HTML, display\ndisplay(HTML({SCRIPT!r}))",
    "svg": "from IPython.display import SVG, display\n"
    "display({'image/svg+xml': '<svg onload=alert(1)>'}, raw=True)",
    "javascript": "from IPython.display import Javascript\nJavascript('alert(1)')",
    "markdown": f"from IPython.display import Markdown\nMarkdown({SCRIPT!r} + "
    "'<img src=x onerror=alert(1)>[x](javascript:alert(1))')",
    "latex": f"from IPython.display import Latex\nLatex(r'$\\href{{javascript:alert(1)}}{{x}}$' "
    f"+ {SCRIPT!r})",
    "a picture that is none": "from IPython.display import display\n"
    "display({'image/png': '\\\"><script>alert(1)</script>'}, raw=True)",
    "sizes": "from IPython.display import display\ndisplay({'image/png': 'AAAA'}, raw=True, "
    "metadata={'image/png': {'width': '1 onerror=alert(1)', 'alt': 'x\" onload=alert(1)'}})",
    "printed": f"print({SCRIPT!r})",
    "raised": f"raise ValueError({SCRIPT!r})",
    "an error's name": f"raise type({SCRIPT!r}, (Exception,), {{}})('x')",
    "widget": "from IPython.display import display\n"
    "display({'application/vnd.jupyter.widget-view+json': {'model_id': 'x'}}, raw=True)",
}


@pytest.fixture(scope="module")
def planted(course):
    """One submission with all the plants in it, in output, in text and in an answer's error."""

    def edit(notebook):
        notebook.cells += [own(source) for source in PLANTS.values()]
        text = (
            f"{SCRIPT}<img src=x onerror=alert(1)><iframe src=x></iframe>[x](javascript:alert(1))"
        )
        notebook.cells[0].source = text
        cell_of(notebook, "essay").source = f"{text} $\\href{{javascript:alert(1)}}{{x}}$ $a < b$"

    answers = {**RIGHT, "shift": f"def shift(x):\n    raise ValueError({SCRIPT!r})"}
    return course.grade(answers, edit)


def test_no_script_reaches_the_feedback_page(planted):
    assert dangers(planted.page) == []
    assert "alert(1)" in planted.page  # the text itself is shown, as text
    assert "a &lt; b" in planted.page


def test_formgraders_page_is_as_safe(planted, course):
    """Its exporter gets the same filter, and the notebook it shows holds no script."""
    html, _ = HTMLExporter(config=course.api.config).from_notebook_node(planted.notebook)
    assert dangers(html) == []


def test_the_look_for_dangers_finds_them():
    body = "<body><img src=x onerror=f()><a href='javascript:f()'>x</a><script>f()</script>"
    assert len(dangers(body)) == 4
