"""The browser that prints the book and that the tests look with: found on this machine, or got.

It is the system's Chromium or Chrome; else the headless shell that Playwright downloads; else, on
Debian and Ubuntu and with the right to install it, a package.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from playwright.sync_api import Browser, Error, Playwright, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC = "/Applications/{0}.app/Contents/MacOS/{0}"
OPTIONS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update",
           "--disable-sync", "--no-first-run", "--disable-gpu"]  # fmt: skip
SHELL = "chromium-headless-shell"
HOW = (
    "get one with `sudo apt-get install chromium` on Debian, from https://www.google.com/chrome, "
    f"or with `.venv/bin/playwright install --with-deps {SHELL}`"
)
#: Seconds in which a browser starts, or loads a page, on however busy a machine.
PATIENCE = 300


class NoBrowserError(RuntimeError):
    """No browser starts on this machine; the text says how to get one."""


def start(playwright: Playwright) -> tuple[Browser, str]:
    """Start the first browser that does start: it, and what it is called.

    Raises
    ------
    NoBrowserError
        If there is none: a stub that only advertises a snap does not count.
    """
    said = []
    for path in (*installed(), None):  # None is Playwright's own
        name = path or f"Playwright's {SHELL}"
        try:
            launched = playwright.chromium.launch(
                executable_path=path, args=OPTIONS, timeout=1000 * PATIENCE
            )
            return launched, name
        except Error as error:
            said.append(f"{name}: {error.message.splitlines()[0]}")
    tried = f" ({'; '.join(said[:-1])})" if said[:-1] else ""
    raise NoBrowserError(f"no Chromium or Chrome starts here{tried}; {HOW}")


def installed() -> Iterator[str]:
    """The paths where this machine has Chromium or Chrome."""
    yield from filter(None, map(shutil.which, NAMES))
    apps = (MAC.format(name) for name in ("Google Chrome", "Chromium"))
    yield from filter(os.path.exists, apps)


def get() -> str:
    """Find a browser that starts, and install one if there is none; what it is called.

    Raises
    ------
    NoBrowserError
        If none can be had.
    """
    try:
        return _starts()
    except NoBrowserError as error:
        none = error
    for install in (_download, _packages):
        with suppress(NoBrowserError):
            if install():
                return _starts()
    raise none


def _starts() -> str:
    with sync_playwright() as playwright:
        browser, name = start(playwright)
        version = browser.version
        browser.close()
    return f"{name}, {version}"


def _download() -> bool:
    print(f"There is no Chromium or Chrome here: downloading Playwright's {SHELL} ...", flush=True)
    environment = {**os.environ, "PLAYWRIGHT_DOWNLOAD_CONNECTION_TIMEOUT": "10000"}
    command = [sys.executable, "-m", "playwright", "install", SHELL]
    return _done(command, environment)


def _packages() -> bool:
    """Have Debian's Chromium installed; on Ubuntu, what the downloaded shell lacks.

    Ubuntu's packages called chromium-browser only advertise a snap.
    """
    sudo = _sudo()
    if shutil.which("apt-get") is None or sudo is None:
        return False
    if _distribution() == "ubuntu":
        print(f"Installing what Playwright's {SHELL} needs, with apt ...", flush=True)
        return _done([sys.executable, "-m", "playwright", "install-deps", SHELL])
    print("Installing the package chromium, with apt ...", flush=True)
    apt = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    return _done([*apt, "update"]) and _done(
        [*apt, "install", "-y", "--no-install-recommends", "chromium"]
    )


def _sudo() -> list[str] | None:
    """What comes before a command for root; None if that needs a password, or cannot be."""
    if os.getuid() == 0:
        return []
    if shutil.which("sudo") and _done(["sudo", "-n", "true"], quiet=True):
        return ["sudo", "-n"]
    return None


def _distribution() -> str:
    """The name of this Linux, as os-release(5) has it."""
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line[3:].strip("\"'") for line in lines if line.startswith("ID=")), "")


def _done(
    command: list[str], environment: dict[str, str] | None = None, *, quiet: bool = False
) -> bool:
    """Whether a command ended well; if not, the last line it wrote is shown."""
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
    except subprocess.TimeoutExpired:
        print(f"  {' '.join(command)}: took more than ten minutes", flush=True)
        return False
    if done.returncode and not quiet:
        lines = (done.stderr or done.stdout).strip().splitlines() or [str(done.returncode)]
        why = next((line for line in lines if "Error: " in line), lines[-1])
        print(f"  did not work: {why.strip().removesuffix(', caused by')}", flush=True)
    return done.returncode == 0
