"""A Jupyter server with formgrader, for as long as a test needs it."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import PATIENCE, REPO, tool


@contextmanager
def formgrader(class_dir: Path, config: Path) -> Iterator[Callable[[str], str]]:
    """Start Jupyter in the class's folder and give a function that fetches a page from it."""
    settings = class_dir / "nbgrader_config.py"
    settings.write_text(
        config.read_text(encoding="utf-8").replace(
            "Path(__file__).resolve().parent", f"Path({str(REPO)!r})"
        )
        + f"\nc.CourseDirectory.root = {str(class_dir)!r}\n"
        + f"c.CourseDirectory.source_directory = {str(REPO / 'solutions')!r}\n",
        encoding="utf-8",
    )
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(class_dir / "jupyter"),
        "JUPYTER_DATA_DIR": str(class_dir / "jupyter-data"),
        "JUPYTER_RUNTIME_DIR": str(class_dir / "jupyter-run"),
    }
    command = [
        str(tool("jupyter-server")),
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        "--port=0",  # any that is free
        "--IdentityProvider.token=",
        "--ServerApp.password=",
        "--ServerApp.disable_check_xsrf=True",
        "--ServerApp.jpserver_extensions={'nbgrader.server_extensions.formgrader': True}",
    ]
    log = class_dir / "server.log"
    with log.open("w", encoding="utf-8") as stream:
        server = subprocess.Popen(
            command, cwd=class_dir, env=environment, stdout=stream, stderr=subprocess.STDOUT
        )
    # this machine itself, whatever proxy leads to others
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(path: str) -> str:
        (told,) = (class_dir / "jupyter-run").glob("jpserver-*.json")
        port = json.loads(told.read_text(encoding="utf-8"))["port"]
        with opener.open(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as answer:
            return str(answer.read().decode())

    try:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                get("/api")
                break
            except (ValueError, OSError):  # it has not written where it is, or does not answer
                if server.poll() is not None or time.monotonic() > end:
                    pytest.fail(f"the server did not answer:\n{log.read_text(encoding='utf-8')}")
                time.sleep(0.25)
        yield get
    finally:
        server.terminate()
        server.wait(timeout=PATIENCE)
