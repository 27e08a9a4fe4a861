"""What a student gets to see: no script, no hidden test.

`SafeOutput` runs when a submission is graded, so that formgrader's pages are as safe as the
feedback; `HideTests` runs when feedback is written; `markdown_to_html` is the filter for all text;
`FeedbackPage` makes the page.
"""

from __future__ import annotations

import base64
import html
import re
from functools import partial
from pathlib import Path
from typing import Any

import bleach  # type: ignore[import-untyped]
from bleach.css_sanitizer import CSSSanitizer  # type: ignore[import-untyped]
from IPython.core.inputtransformer2 import TransformerManager
from jinja2 import BytecodeCache, Environment, pass_context
from jinja2.bccache import Bucket
from nbconvert.exporters import HTMLExporter, TemplateExporter
from nbconvert.filters import Highlight2HTML
from nbconvert.filters.markdown_mistune import MarkdownWithMath
from nbconvert.filters.widgetsdatatypefilter import WidgetsDataTypeFilter
from nbformat import NotebookNode
from nbgrader import utils
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Integer, List, Unicode

from nbwarden.ask import is_trusted
from nbwarden.intake import preprocessed, released
from nbwarden.patience import Patience, is_apart
from nbwarden.pictures import (
    Page,
    Pictures,
    Renderer,
    ShowPictures,
    is_base64,
    is_picture,
)
from nbwarden.remembered import remembered

_TAGS = (
    *("a", "abbr", "b", "blockquote", "br", "caption", "code", "col", "colgroup", "dd", "del"),
    *("details", "div", "dl", "dt", "em", "figcaption", "figure", "h1", "h2", "h3", "h4", "h5"),
    *("h6", "hr", "i", "img", "ins", "kbd", "li", "mark", "ol", "p", "pre", "q", "s", "samp"),
    *("small", "span", "strong", "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th"),
    *("thead", "tr", "tt", "u", "ul"),
)
_ATTRIBUTES = {
    "*": ["class", "title", "style"],
    "a": ["href"],
    "img": ["src", "alt", "width", "height"],
    "td": ["colspan", "rowspan", "align"],
    "th": ["colspan", "rowspan", "align", "scope"],
    "ol": ["start"],
}
_STYLES = ["text-align", "color", "background-color", "font-weight", "font-style", "width"]
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_CODE = re.compile(r"<(style|script)\b", re.IGNORECASE)
_PICTURED = re.compile(r"!\[|<img", re.IGNORECASE)
_TEXTS = ("text/plain", "text/latex", "text/markdown")


def clean_html(text: str, pictures: Pictures | None = None) -> str:
    """HTML without scripts, forms, frames, foreign pictures, or links that run something.

    Where there are `pictures`, those that are named are shown, or leave a sentence why not.
    """
    cleaner = bleach.Cleaner(
        tags=_TAGS,
        attributes=_allowed_or_named if pictures else _allowed,
        protocols=["http", "https", "mailto", "data", *(["attachment"] if pictures else [])],
        css_sanitizer=CSSSanitizer(allowed_css_properties=_STYLES),
        filters=[partial(ShowPictures, pictures=pictures)] if pictures else [],
        strip=True,
    )
    return _no_links_in_formulas(cleaner.clean(text))


def _clean_output(text: str) -> str:
    """What may be shown of HTML that a cell has put out."""
    return clean_html(_without_code(text))


def _inert(figure: str) -> str:
    """A vector figure as a picture: browsers run nothing in one, and load nothing for it."""
    content = base64.b64encode(figure.encode("utf-8", "replace")).decode()
    return f'<img src="data:image/svg+xml;base64,{content}">'


def _without_code(text: str) -> str:
    """HTML without the contents of style sheets and scripts, whose tags are taken away later."""
    kept, at = [], 0
    for begin in _CODE.finditer(text):
        if begin.start() >= at:
            end = re.compile(rf"</{begin[1]}[^>]*>", re.IGNORECASE).search(text, begin.end())
            if end is None:
                break
            kept.append(text[at : begin.start()])
            at = end.end()
    return "".join(kept) + text[at:]


def _allowed_or_named(tag: str, name: str, value: str) -> bool:
    """As `_allowed`, but what may be shown of pictures is up to `ShowPictures`."""
    return (tag, name) == ("img", "src") or _allowed(tag, name, value)


def _allowed(tag: str, name: str, value: str) -> bool:
    if name not in (*_ATTRIBUTES["*"], *_ATTRIBUTES.get(tag, ())):
        return False
    if name == "href":
        return value.startswith(("http://", "https://", "mailto:", "#"))
    if name == "src":  # a picture elsewhere would tell its server who reads this page, and when
        return is_picture(value)
    return True


def _no_links_in_formulas(text: str) -> str:
    r"""MathJax would make a link of `\href`, even one that runs a script."""

    def letter(match: re.Match[str]) -> str:
        plain = html.unescape(match[0])
        return plain if plain.isalnum() or plain == "\\" else match[0]

    text = re.sub(r"&#(?:[xX][0-9a-fA-F]{1,6}|[0-9]{1,7});?|&bsol;", letter, text)
    return re.sub(r"\\(?=href|require|cssId|class|style|unicode)", r"\\no", text)


@pass_context
def markdown_to_html(context: Any, source: str) -> str:
    """The jinja filter `markdown2html`, cleaned: for text that anybody may have written."""
    cell, resources = context.get("cell") or {}, context.get("resources") or {}
    patience = resources.setdefault("nbwarden_patience", Patience())
    if not _PICTURED.search(source):
        return str(patience.render(_rendered, source))
    folder = resources.get("metadata", {}).get("path")
    page = resources.setdefault("nbwarden_page", Page())
    pictures = Pictures(cell.get("attachments", {}), Path(folder) if folder else None, page)
    made = patience.render(lambda text: clean_html(_html(text, pictures), pictures), source)
    if is_apart(source):  # then the page does not know yet what is on it
        page.room -= len(made)
    return str(made)


@remembered
def _rendered(source: str) -> str:
    return clean_html(_html(source, Pictures({}, None, Page())))


def _html(source: str, pictures: Pictures) -> str:
    return MarkdownWithMath(renderer=Renderer(pictures)).render(source)


class SafeOutput(NbGraderPreprocessor):  # type: ignore[misc]
    """Keeps of the outputs what can be shown without running anything."""

    max_bytes = Integer(
        5_000_000, help="Bytes of output that are kept of one cell, pictures included."
    ).tag(config=True)

    def preprocess_cell(
        self, cell: NotebookNode, resources: Any, cell_index: int
    ) -> tuple[NotebookNode, Any]:
        """Clean the outputs of one cell."""
        if cell.cell_type == "code":
            left, kept = self.max_bytes, []
            patience = resources.setdefault("nbwarden_cleaning", Patience())
            for output in cell.outputs:
                output = self._safe(output, patience)
                if "data" in output and not output.data:
                    continue  # nothing of it can be shown
                left -= len(str(output))
                if left < 0:
                    break
                kept.append(output)
            cell.outputs = kept
        return cell, resources

    @staticmethod
    def _safe(output: NotebookNode, patience: Patience) -> NotebookNode:
        kind = output.output_type
        if kind == "stream":
            name = "stderr" if output.get("name") == "stderr" else "stdout"
            return NotebookNode(output_type=kind, name=name, text=str(output.get("text", "")))
        if kind == "error":
            trace = [str(line) for line in output.get("traceback", [])]
            name, value = str(output.get("ename", "")), str(output.get("evalue", ""))
            return NotebookNode(output_type=kind, ename=name, evalue=value, traceback=trace)
        data = {}
        for mime, content in output.get("data", {}).items():
            if mime in _TEXTS and isinstance(content, str):
                plain = mime == "text/plain"
                data[mime] = content if plain else _no_links_in_formulas(content)
            elif mime == "text/html" and isinstance(content, str):
                data[mime] = patience.render(_clean_output, content)
            elif mime == "image/svg+xml" and isinstance(content, str):
                data.setdefault("text/html", _inert(content))
            elif mime in ("image/png", "image/jpeg") and is_base64(content):
                data[mime] = content
        made = NotebookNode(output_type=kind, data=NotebookNode(data), metadata=NotebookNode())
        if kind == "execute_result":
            made.execution_count = None
        return made


class HideTests(NbGraderPreprocessor):  # type: ignore[misc]
    """Takes hidden tests, mark schemes and the grader's own files out of the feedback."""

    # the HTML exporter sets it for every preprocessor it runs
    display_data_priority = List(Unicode()).tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Leave of locked cells what students got, and of test cells' errors what happened."""
        shown = [
            released(cell.source, self)
            if utils.is_locked(cell) or utils.is_task(cell)
            else cell.source
            for cell in nb.cells
        ]
        known = {line.strip() for source in shown for line in source.splitlines()}
        for cell, source in zip(nb.cells, shown, strict=True):
            if cell.cell_type == "code" and utils.is_locked(cell) and _MAGIC.search(source):
                known.update(map(str.strip, _as_run(source).splitlines()))
        for cell, source in zip(nb.cells, shown, strict=True):
            if cell.cell_type == "code" and utils.is_locked(cell) and not is_trusted(cell.source):
                is_hidden = source != cell.source
                if is_hidden:
                    cell.outputs = _without_text(cell.outputs)
                    if cell.source.lstrip().startswith("%%"):
                        _silence(cell.outputs)
                for output in cell.outputs:
                    if output.output_type == "error":
                        output.traceback = _without_source(output.traceback, known, is_hidden)
            cell.source = source
        return nb, resources


#: What stands in the place of what a test with a hidden part has printed or drawn.
NOT_SHOWN = "What this test printed is not shown, since a part of it is hidden.\n"
#: Lines that a traceback shows as Python: magics, the shell, and questions for help.
_MAGIC = re.compile(r"^\s*[%!?]|=\s*[%!]|\?\s*$", re.MULTILINE)


@remembered
def _as_run(source: str) -> str:
    """A cell as IPython runs it, and as a traceback shows it."""
    transformer: Any = TransformerManager
    try:
        return str(transformer().transform_cell(source))
    except SyntaxError:
        return source


def _silence(outputs: list[NotebookNode]) -> None:
    """Leave of errors what kind they are: a magic that fails may say what its whole cell was."""
    for output in outputs:
        if output.output_type == "error":
            output.evalue = "a part of this test is hidden, and so is what its error says"
            output.traceback = [f"{output.ename}: {output.evalue}"]


def _without_text(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """A hidden test's outputs without what it printed, warned of or drew."""
    kept = [o for o in outputs if o.output_type in ("error", "execute_result")]
    if len(kept) < len(outputs):
        kept.insert(0, NotebookNode(output_type="stream", name="stdout", text=NOT_SHOWN))
    return kept


def _without_source(traceback: list[str], known: set[str], is_hidden: bool) -> list[str]:
    """A traceback without lines that students do not know, and of a hidden test without files."""
    kept = []
    for part in traceback:
        text = _ANSI.sub("", part)
        if text.startswith(("Cell In", "Input In")):
            lines = re.findall(r"^(-+>)?\s*\d+ ?(.*)$", text, re.MULTILINE)
            failed = next((line.strip() for arrow, line in lines if arrow), "")
            if all(line.strip() in known for _, line in lines if line.strip()):
                kept.append(part)
            else:
                kept.append(
                    f"----> {failed}" if failed in known else "In lines that are not shown:"
                )
        elif not (is_hidden and text.startswith("File ")):
            kept.append(part)
    return kept


class _Compiled(BytecodeCache):
    """Compiled templates, for as long as the process lives."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Fill in a template that was compiled before; jinja looks whether it has changed."""
        if bucket.key in self._kept:
            bucket.bytecode_from_string(self._kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep a template that has been compiled."""
        self._kept[bucket.key] = bucket.bytecode_to_string()


_COMPILED = _Compiled()


#: On a narrow screen a wide picture shrinks, and the page does not scroll sideways.
FIT = "img { max-width: 100%; height: auto; }"
#: A picture that nobody has described.
_UNDESCRIBED = re.compile(r"<img(?=[\s/>])(?![^>]*\salt=)")


@remembered
def _highlighted(source: str, lexer: str) -> str:
    highlight: Any = Highlight2HTML
    return str(highlight(pygments_lexer=lexer)(source))


class FeedbackPage(HTMLExporter):
    """nbconvert's page, made with less work.

    Its templates are compiled once a process and not once a student; text that is the same for all
    is rendered once; and the page is not read again as HTML when it is done. nbconvert does that to
    describe pictures, which is done here, and to mark parts of a page of JupyterLab's, which this
    is not.
    """

    def from_notebook_node(  # type: ignore[override]
        self, nb: NotebookNode, resources: Any = None, **kwargs: Any
    ) -> tuple[str, Any]:
        """The page, and what nbconvert knows of it."""
        resources = self._init_resources(resources)  # type: ignore[no-untyped-call]
        register: Any = self.register_filter
        lexer = nb.metadata.get("language_info", {}).get("pygments_lexer", "ipython3")
        patience = Patience()
        register(
            "highlight_code",
            lambda source, metadata=None: patience.render(
                lambda text: _highlighted(text, lexer), source
            ),
        )
        choose: Any = WidgetsDataTypeFilter
        told = {"notebook_metadata": self._nb_metadata, "resources": resources}
        register("filter_data_type", choose(**told, parent=self))
        page, resources = TemplateExporter.from_notebook_node(self, nb, resources, **kwargs)
        return _UNDESCRIBED.sub('<img alt="picture made by this cell"', page), resources

    def _preprocess(self, nb: NotebookNode, resources: Any) -> tuple[Any, Any]:
        nb, resources = preprocessed(self, nb, resources)
        resources["inlining"]["css"].append(FIT)
        return nb, resources

    def _create_environment(self) -> Environment:
        environment: Environment
        environment = super()._create_environment()  # type: ignore[no-untyped-call]
        environment.bytecode_cache = _COMPILED
        return environment
