"""What a run of the tests takes from the machine: nothing of its owner's habits.

The variables that many programs look at are set to values that hardly anybody's machine has, so
that a test which depends on one of them fails at its author's. Those that are set already stay: a
run in another time zone is `TZ=Asia/Shanghai make test`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import hypothesis
import pytest

from tests.support import REPO

#: A time zone whose offset is no whole number of hours, and the plainest locale there is.
UNUSUAL = {"TZ": "America/St_Johns", "LC_ALL": "C"}
#: What changes the output of programs, or sends them elsewhere.
UNSET = (
    *("LANGUAGE", "FORCE_COLOR", "NO_COLOR", "PYTHONWARNINGS", "MPLBACKEND", "MATPLOTLIBRC"),
    *("JUPYTER_PATH", "JUPYTER_CONFIG_PATH", "NBGRADER_EXECUTION", "NBWARDEN_NO_SANDBOX"),
    *("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"),
)
#: Where programs look for their owner's settings.
SETTINGS = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")
#: Has Python warn of a text file that is opened in the locale's encoding; here that is an error.
ENCODINGS = "PYTHONWARNDEFAULTENCODING"
#: How many threads multiply matrices: with a few, processes side by side wait for each other.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
FONTS = REPO / "_build" / "matplotlib"

# the same examples in every run, however long it takes to find them
hypothesis.settings.register_profile(
    "any machine",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)


def settle(config: pytest.Config) -> None:
    """Set up this process, and with it those that it starts."""
    hypothesis.settings.load_profile("any machine")
    if hasattr(config, "workerinput"):  # of pytest-xdist: the rest is inherited
        os.environ["COLUMNS"] = "47"  # not in the process that writes to the terminal
        os.environ.pop(ENCODINGS, None)
        return
    if getattr(config.option, "numprocesses", None):
        os.environ[ENCODINGS] = "1"  # for its workers only
        for name in THREADS:  # which are as many as there are processors
            os.environ.setdefault(name, "1")
    os.environ["PYTHONUTF8"] = "1"  # for what is started; files have names in any script
    if sys.getfilesystemencoding() != "utf-8":
        config.pluginmanager.getplugin("capturemanager").suspend_global_capture(in_=True)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    for name in UNSET:
        os.environ.pop(name, None)
    for name, value in UNUSUAL.items():
        os.environ.setdefault(name, value)
    time.tzset()
    empty = tempfile.TemporaryDirectory(prefix="settings-")
    config.add_cleanup(empty.cleanup)
    os.environ.update({name: str(Path(empty.name, name)) for name in SETTINGS})
    # Matplotlib looks through all fonts when there is no list, which takes seconds, and says so
    os.environ["MPLCONFIGDIR"] = str(FONTS)
    if not list(FONTS.glob("fontlist-*.json")):
        code = "import matplotlib.font_manager"
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
