"""The built site, once for the whole run."""

from __future__ import annotations

import http.server
import io
import threading
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path

import pytest

from book import build
from tests.support import REPO


@pytest.fixture(scope="session")
def site(shared) -> Path:
    """Return the folder of the built site; built now unless what is there is up to date."""

    def make(folder: Path) -> None:
        output = io.StringIO()
        with redirect_stdout(output), redirect_stderr(output):
            status = build.build(if_needed=True)  # `make test` may be at it
        (folder / "failure").write_text(output.getvalue() if status else "", encoding="utf-8")

    # one worker of the run builds; the others wait for it, and learn how it went
    failure = (shared("site", make) / "failure").read_text("utf-8")
    if failure:
        pytest.fail(f"The book does not build:\n{failure}", pytrace=False)
    return REPO / "_build" / "html"


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """Serve the site on this machine and return its address, with a slash at the end."""
    handler = partial(_Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """A file server that reports nothing."""

    def log_message(self, *args: object) -> None:
        pass
