"""A site that asks no other machine for anything, and holds nothing that no page asks for.

MathJax comes from the PyPI package sphinx-mathjax-offline; of its 24 MB the pages need about
three, and only those are copied. Thebe, which Jupyter Book loads whether it is used or not, puts
a script from a content-delivery network on every page; it is taken out again.
"""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

from course_head import GENERATED
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

PACKAGE = "sphinx-mathjax-offline"  # no Python identifier, hence find_spec
TARGET = "mathjax"
#: Relative to the package's folder of MathJax: what `tex-chtml.js` can ask for on our pages.
NEEDED = (
    "tex-chtml.js",
    "output/chtml/fonts/woff-v2/*.woff",
    "input/tex/extensions/*.js",
    "a11y/*.js",
    "sre/mathmaps/base.json",
    "sre/mathmaps/en.json",
)
#: Relative to the built site: what themes and extensions bring along and no page loads.
UNUSED = (
    "_static/**/*.map",
    "_static/**/*.ttf",
    "_static/**/*.po",
    "_static/**/*.mo",
    "_static/**/*webpack-macros.html",
    "_static/vendor/fontawesome/*/js/*",
    "_static/images/logo_*",
)


def mathjax_source() -> Path:
    """Return the package's folder of MathJax."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ExtensionError(f"MathJax is missing: install the package {PACKAGE}")
    return Path(spec.submodule_search_locations[0], "static", "mathjax")


def copy_mathjax(app: Sphinx) -> None:
    """Copy the needed part of MathJax into the site, unless it is there already."""
    if app.builder.format != "html":
        return
    source, target = mathjax_source(), Path(app.outdir, "_static", TARGET)
    for pattern in NEEDED:
        found = sorted(source.glob(pattern))
        if not found:
            raise ExtensionError(f"{PACKAGE} has no {pattern}: has its layout changed?")
        for file in found:
            copy = target / file.relative_to(source)
            if not copy.exists() or copy.stat().st_size != file.stat().st_size:
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)


def remove_thebe(app: Sphinx) -> None:
    """Disconnect every handler and style sheet that sphinx_thebe has registered."""
    for listeners in app.events.listeners.values():
        for listener in list(listeners):
            if listener.handler.__module__.partition(".")[0] == "sphinx_thebe":
                app.disconnect(listener.id)
    app.registry.css_files[:] = [
        (name, options) for name, options in app.registry.css_files if "thebe" not in name
    ]


def remove_unused(app: Sphinx, exception: Exception | None) -> None:
    """Remove files that no page loads, and pages whose source is gone."""
    if exception is not None or app.builder.format != "html":
        return
    site = Path(app.outdir)
    for pattern in UNUSED:
        for file in site.glob(pattern):
            file.unlink()
    for file in [*site.glob("*.html"), *site.glob("_sources/*")]:
        page = file.stem if file.suffix != ".txt" else Path(file.stem).stem
        if page not in app.env.found_docs and page not in GENERATED:
            file.unlink()
    for folder in sorted((path for path in site.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx; after sphinx_thebe, which stands among Jupyter Book's own extensions."""
    remove_thebe(app)
    app.config.mathjax_path = f"{TARGET}/tex-chtml.js"
    app.connect("builder-inited", copy_mathjax)
    app.connect("build-finished", remove_unused, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
