"""Every executed page as a notebook: to download, and to open in Colab or on Binder.

Colab reads notebooks and no Markdown, so it is handed the executed notebook that lies in the site;
Binder starts the repository (folder `binder/`), where Jupytext opens the Markdown as a notebook.
Both are links: nothing is asked of either before a reader follows one. Binder needs the address of
a repository on GitHub, Colab those of repository and site; without them in `_config.yml` there is
no such link.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat
from jupyter_cache import get_cache
from nbformat import NotebookNode
from sphinx.application import Sphinx

COLAB = "https://colab.research.google.com"
BINDER = "https://mybinder.org"
GITHUB = "https://github.com/"
#: What a page imports beyond the packages that every notebook server has.
INSTALL = """\
# Only where dlnorm is not installed yet, as in Colab: gets what this page runs
try:
    import dlnorm, myst_nb
except ImportError:
    %pip install --quiet "dlnorm[experiments] @ git+{repository}@{branch}" myst-nb"""
#: The same while the repository has no address: an error of this cell shows its lines.
NEEDED = """\
# Needs the course's package; in a copy of the course: pip install -e ".[experiments]" myst-nb
import dlnorm, myst_nb"""


def offer_notebook(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Put the executed notebook into the site, where the theme's download button finds it.

    The theme does so itself only beside a button that launches the page on some server. Of the
    notebooks that MyST-NB writes, those of pages out of its cache have no outputs, and the others
    have printed lines twice, as it merges streams in place; so the outputs come out of its cache.
    """
    source = Path(app.outdir).parent / "jupyter_execute" / f"{page}.ipynb"
    if doctree is None or "kernelspec" not in app.env.metadata[page] or not source.is_file():
        return
    cache = get_cache(app.env.mystnb_config.execution_cache_path)
    _, notebook = cache.merge_match_into_notebook(nbformat.read(source, as_version=4))
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = one_of_each_stream(cell.outputs)
    notebook.cells.insert(0, install_cell(app))
    target = Path(app.outdir, "_sources", f"{page}.ipynb")
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, target)
    context["ipynb_source"] = f"{page}.ipynb"


def one_of_each_stream(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Join what a cell has printed, which arrives in pieces that depend on how fast it ran."""
    streams: dict[str, NotebookNode] = {}
    joined = []
    for output in outputs:
        if output.output_type == "stream" and output.name in streams:
            streams[output.name].text += output.text
            continue
        if output.output_type == "stream":
            streams[output.name] = output
        joined.append(output)
    return joined


def install_cell(app: Sphinx) -> NotebookNode:
    """Return a first cell for where the course is not installed: it installs it, or says how."""
    options = app.config.html_theme_options
    repository, branch = options["repository_url"], options["repository_branch"]
    source = INSTALL.format(repository=repository, branch=branch) if repository else NEEDED
    return nbformat.v4.new_code_cell(source, id="install")


def link_servers(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Add the links to Binder and Colab to the buttons above an executed page."""
    options, site = app.config.html_theme_options, app.config.html_baseurl
    links = {}
    if options["repository_url"].startswith(GITHUB):
        links["Binder"] = binder_address(options, page)
    if options["repository_url"] and site:
        links["Colab"] = colab_address(site, page)
    if "ipynb_source" not in context or not links:
        return
    group = {
        "type": "group",
        "tooltip": "Run this page",
        "icon": "fas fa-rocket",
        "label": "launch-buttons",
        "buttons": [
            {
                "type": "link",
                "text": name,
                "url": address,
                "tooltip": f"Open this page in {name}",
                "icon": "fas fa-play",
                "label": f"launch-{name.lower()}",
            }
            for name, address in links.items()
        ],
    }
    context["header_buttons"].insert(0, group)


def binder_address(options: dict[str, Any], page: str) -> str:
    """Return the address at which Binder starts the repository with this page open."""
    owner, name = options["repository_url"].split("/")[-2:]
    path = quote(f"lab/tree/{options['path_to_docs']}/{page}.md", safe="/")
    return f"{BINDER}/v2/gh/{owner}/{name}/{options['repository_branch']}?urlpath={path}"


def colab_address(site: str, page: str) -> str:
    """Return the address at which Colab opens the notebook of the published site."""
    return f"{COLAB}/#fileId={quote(f'{site}_sources/{page}.ipynb', safe='')}"


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("html-page-context", offer_notebook)
    # after the theme, which begins a page's list of buttons at 500 and adds its own at 501
    app.connect("html-page-context", link_servers, priority=502)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
