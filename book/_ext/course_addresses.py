"""The addresses of `_config.yml`: in one form, and no button without the one that it needs."""

from __future__ import annotations

from sphinx.application import Sphinx
from sphinx.config import Config

#: The theme's buttons that lead into the repository.
BUTTONS = ("use_repository_button", "use_issues_button", "use_edit_page_button")


def settle(app: Sphinx, config: Config) -> None:
    """End the site's address with one slash, and show the repository's buttons if it has one."""
    if config.html_baseurl:
        config.html_baseurl = f"{config.html_baseurl.rstrip('/')}/"
    options = config.html_theme_options
    options["repository_url"] = (options.get("repository_url") or "").rstrip("/")
    options.update(dict.fromkeys(BUTTONS, bool(options["repository_url"])))


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("config-inited", settle)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
