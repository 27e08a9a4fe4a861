"""The first thing that runs inside the sandbox: take the limits, drop all rights, start a kernel.

It is started with a JSON file as its argument; see `Sandbox` for who writes it. Nothing here is
secret, and nothing here is believed outside once a student's code has run.
"""

from __future__ import annotations

import json
import os
import resource
import select
import sys
from pathlib import Path
from typing import Any


def limit(name: str, value: int) -> None:
    """Set a resource limit for good, as far as the system's own limit lets one."""
    what = getattr(resource, name, None)
    if what is None:  # not every system has all of them
        return
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    try:
        resource.setrlimit(what, (value, value))
    except (ValueError, OSError):  # macOS refuses some
        print(f"nbwarden: {name} could not be limited", file=sys.stderr)


def end_if_alone() -> None:
    """End if whoever started this, and holds the other end of its input, has ended meanwhile."""
    watch = select.poll()
    watch.register(0, 0)
    if any(event & select.POLLHUP for _, event in watch.poll(0)):
        os._exit(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def kernel(settings: dict[str, dict[str, Any]]) -> Any:
    """A kernel with these settings, by class and name, ready to be started.

    It gets them as they are: to read them from a command line takes a good part of a start.
    """
    from ipykernel.kernelapp import IPKernelApp
    from traitlets.config import Config

    class Kernel(IPKernelApp):
        def parse_command_line(self, argv: Any = None) -> None:
            pass

    app: Any = Kernel.instance(config=Config(settings))
    app.initialize()
    return app


def main(path: str) -> None:
    """Turn this process into the kernel that `path` describes."""
    end_if_alone()
    told = json.loads(Path(path).read_text(encoding="utf-8"))
    for name, value in told["limits"].items():
        limit(name, value)
    if told["uid"] is not None:
        os.setgroups([])
        os.setgid(told["uid"])
        os.setuid(told["uid"])  # the kernel takes all capabilities away with it
    os.umask(0o077)
    ours = Path(__file__).resolve().parent
    sys.path[:] = [p for p in sys.path if p and Path(p).resolve() != ours]
    sys.path += [p for p in (*told["path"], str(ours.parent.parent)) if p not in sys.path]
    sys.argv = [sys.argv[0]]

    # before the submission's folder is on the path: a file called numpy.py must not come in here
    import ipykernel.kernelapp  # noqa: F401

    from nbwarden.inside import reply  # noqa: F401

    os.chdir(told["folder"])
    app = kernel(
        {
            "IPKernelApp": {"connection_file": told["connection"]},
            "HistoryManager": {"enabled": False},
        }
    )
    sys.path.insert(0, "")  # as in any notebook; this Python was started without
    app.start()


if __name__ == "__main__":
    main(sys.argv[1])
