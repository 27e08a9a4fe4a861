"""A Jupyter server with formgrader, for as long as a test needs it."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import REPO, tool


@contextmanager
def formgrader(class_dir: Path, config: Path) -> Iterator[Callable[[str], str]]:
    """Start Jupyter in the class's folder and give a function that fetches a page from it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
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
    }
    command = [
        str(tool("jupyter-server")),
        "--no-browser",
        "--allow-root",
        f"--port={port}",
        "--IdentityProvider.token=",
        "--ServerApp.password=",
        "--ServerApp.disable_check_xsrf=True",
        "--ServerApp.jpserver_extensions={'nbgrader.server_extensions.formgrader': True}",
    ]
    log = class_dir / "server.log"
    with log.open("w") as stream:
        server = subprocess.Popen(
            command, cwd=class_dir, env=environment, stdout=stream, stderr=subprocess.STDOUT
        )
    address = f"http://127.0.0.1:{port}"

    def get(path: str) -> str:
        with urllib.request.urlopen(address + path, timeout=30) as answer:
            return str(answer.read().decode())

    try:
        for _ in range(120):
            try:
                get("/api")
                break
            except (urllib.error.URLError, ConnectionError):
                if server.poll() is not None:
                    break
                time.sleep(0.25)
        else:
            pytest.fail(f"the server did not answer:\n{log.read_text()}")
        yield get
    finally:
        server.terminate()
        server.wait(timeout=20)
