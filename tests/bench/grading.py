"""How much faster `dlnorm grade` is than plain nbgrader, on the same submissions in one run.

    python tests/bench/grading.py                three rounds of 60 submissions
    python tests/bench/grading.py --soak 1000    one long run, watched for leaks

Each round grades the same submissions with both, in turn, so that what else the machine does
meets both. `dlnorm grade` runs every submission in a sandbox, its tests outside, and writes the
feedback; plain `nbgrader autograde` does neither, and its feedback is timed apart.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from nbgrader.api import Gradebook
from tqdm import tqdm

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO))

from tests.bench.honest import hand_in  # noqa: E402

PLAIN = """
import os
import sys
from pathlib import Path

c = get_config()
os.environ["PATH"] = f"{{Path(sys.executable).parent}}{{os.pathsep}}{{os.environ['PATH']}}"
c.CourseDirectory.course_id = "dlnorm"
c.CourseDirectory.source_directory = {source!r}
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", "feedback", "*.md", ".*"]
c.Execute.timeout = 30
"""


def timed(*command: str | Path, cwd: Path = REPO) -> float:
    """Run a command; the seconds it took."""
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    started = time.perf_counter()
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode not in (0, 1):
        told = f"{done.stdout}\n{done.stderr}\nexit status {done.returncode}"
        raise SystemExit(f"{' '.join(map(str, command))}\n{told}")
    return time.perf_counter() - started


def processors() -> float:
    """How much more the processors do at once than one alone, here and now.

    Those of a virtual machine may be halves of one, or somebody else's at times.
    """
    work = [sys.executable, "-S", "-c", "for i in range(10_000_000): pass"]
    count = psutil.cpu_count() or 1
    started = time.perf_counter()
    subprocess.run(work, check=True)
    alone = time.perf_counter() - started
    for running in [subprocess.Popen(work) for _ in range(count)]:
        running.wait()
    return count * alone / (time.perf_counter() - started - alone)


def scores(root: Path, assignment: str) -> dict[str, dict[str, float | None]]:
    """The points of every student in every cell."""
    with Gradebook(f"sqlite:///{root}/gradebook.db", "dlnorm") as book:
        return {
            s.student.id: {g.cell.name: g.auto_score for n in s.notebooks for g in n.grades}
            for s in book.find_assignment(assignment).submissions
        }


def compare(place: Path, assignment: str, count: int, rounds: int, jobs: int) -> int:
    """Grade with both, round by round; 1 if any score differs."""
    ours, plain = place / "ours", place / "plain"
    plain.mkdir()
    (plain / "nbgrader_config.py").write_text(
        PLAIN.format(source=str(REPO / "solutions")), encoding="utf-8"
    )
    binary = Path(sys.executable).parent

    def grade() -> float:
        return timed(binary / "dlnorm", "grade", assignment, "--class-dir", ours, "--jobs", jobs)

    def autograde() -> float:
        return timed(binary / "nbgrader", "autograde", assignment, cwd=plain)

    def feedback() -> float:
        return timed(binary / "nbgrader", "generate_feedback", assignment, cwd=plain)

    # one submission that is not timed: the assignment is generated, files are in the cache
    hand_in(ours / "submitted", assignment, 1, first=9999)
    shutil.copytree(ours / "submitted", plain / "submitted")
    timed(binary / "nbgrader", "generate_assignment", assignment, "--force", cwd=plain)
    grade(), autograde(), feedback()
    ratios, with_feedback, at_once, rows = [], [], [], []
    for number in tqdm(range(rounds), desc="rounds", unit="round"):
        names = hand_in(ours / "submitted", assignment, count, first=number * count)
        for name in names:
            shutil.copytree(ours / "submitted" / name, plain / "submitted" / name)
        if number % 2:
            slow, page, fast = autograde(), feedback(), grade()
        else:
            fast, slow, page = grade(), autograde(), feedback()
        ratios.append(slow / fast)
        at_once.append(processors())
        with_feedback.append((slow + page) / fast)
        rows.append((fast, slow, page))
    print(
        f"\n{rounds} rounds of {count} submissions of {assignment}; "
        f"{jobs or psutil.cpu_count()} workers; load {os.getloadavg()[0]:.1f}"
    )
    print(
        "round   dlnorm grade   nbgrader autograde   generate_feedback   ratio   with feedback"
        f"   processors worth (of {psutil.cpu_count()})"
    )
    for number, (fast, slow, page) in enumerate(rows):
        print(
            f"{number + 1:>5}{fast:>13.1f} s{slow:>18.1f} s{page:>18.1f} s"
            f"{ratios[number]:>9.2f}{with_feedback[number]:>13.2f}{at_once[number]:>17.1f}"
        )
    print(
        f"median ratio to autograde alone {statistics.median(ratios):.2f}, "
        f"to autograde and feedback {statistics.median(with_feedback):.2f}"
    )
    mine, theirs = scores(ours, assignment), scores(plain, assignment)
    differ = [
        f"{student}, {cell}: {points} and plain {theirs[student].get(cell)}"
        for student, cells in mine.items()
        for cell, points in cells.items()
        if points != theirs[student].get(cell)
    ]
    cells = sum(map(len, mine.values()))
    print(f"scores: {cells - len(differ)} of {cells} cells of {len(mine)} students are the same")
    print("\n".join(differ))
    return 1 if differ or mine.keys() != theirs.keys() else 0


def soak(place: Path, assignment: str, count: int, jobs: int) -> int:
    """Grade many submissions in one run, and watch; 1 if time, memory or leftovers grow."""
    home = place / "class"
    hand_in(home / "submitted", assignment, count)
    before, sockets = leftovers(), unix_sockets()
    command = [Path(sys.executable).parent / "dlnorm", "grade", assignment]
    command += ["--class-dir", home, "--jobs", jobs, "--json"]
    started = time.perf_counter()
    running = subprocess.Popen(
        [str(part) for part in command],
        cwd=REPO,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    )
    watched = psutil.Process(running.pid)
    seen: list[tuple[float, int, float, int]] = []  # seconds, graded, coordinator's MB, processes
    printed = ""
    with tqdm(total=count, unit="submission", desc="soak") as bar:
        while running.poll() is None:
            try:
                memory = watched.memory_info().rss / 2**20
                processes = len(watched.children(recursive=True))
            except psutil.Error:
                break
            graded = len(list((home / "feedback").glob("h*")))
            seen.append((time.perf_counter() - started, graded, memory, processes))
            bar.update(graded - bar.n)
            try:
                printed, _ = running.communicate(timeout=1)
            except subprocess.TimeoutExpired:
                continue
    printed = printed or running.communicate()[0]
    seconds = time.perf_counter() - started
    outcomes = json.loads(printed)["outcomes"]
    statuses = [o["status"] for o in outcomes]
    each = sorted(o["seconds"] for o in outcomes)
    time.sleep(3)  # the last kernels look for their parents once a second

    def when(part: float) -> float:
        return next(t for t, graded, *_ in seen if graded >= part * count)

    quarter, three = when(0.25), when(0.75)
    first, last = (when(0.5) - quarter), (three - when(0.5))
    early = max(m for t, _, m, _ in seen if t <= quarter)
    late = max(m for t, _, m, _ in seen if t >= three)
    left, open_sockets = leftovers() - before, unix_sockets() - sockets
    print(
        f"\n{count} submissions in {seconds:.0f} s, {seconds / count:.2f} s each; "
        f"{statuses.count('graded')} graded"
    )
    print(f"one submission: median {each[len(each) // 2]:.2f} s, slowest {each[-1]:.2f} s")
    print(f"second quarter {first:.0f} s, third quarter {last:.0f} s: ratio {last / first:.2f}")
    print(f"coordinator: {early:.0f} MB in the first quarter, {late:.0f} MB in the last")
    print(f"most processes at a time: {max(p for *_, p in seen)}")
    print(f"left behind: {', '.join(map(str, left)) or 'nothing'}; sockets {open_sockets:+d}")
    good = statuses.count("graded") == count and not left and open_sockets <= 2
    return 0 if good and last / first < 1.3 and late < early * 1.1 + 10 else 1


def leftovers() -> set[str]:
    """Folders and processes that grading might have left."""
    folders = {str(p) for p in Path(tempfile.gettempdir()).glob("nbw-*")}
    words = ("bwrap", "ipykernel", "nbwarden")
    processes = set()
    for process in psutil.process_iter(["pid", "cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if any(word in line for word in words):
            processes.add(f"{process.info['pid']}: {line[:80]}")
    return folders | processes


def unix_sockets() -> int:
    """Sockets of this machine with a path."""
    return sum(
        " /" in line for line in Path("/proc/net/unix").read_text(encoding="utf-8").splitlines()
    )


def main() -> int:
    """Run the benchmark; 0 if every score is the same (or the soak is clean)."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=60, help="submissions a round (default: 60)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default: 3)")
    parser.add_argument("--jobs", type=int, default=0, help="workers (default: one a processor)")
    parser.add_argument("--assignment", default="batchnorm")
    parser.add_argument("--soak", type=int, metavar="N", help="grade N in one run, and watch")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-grading-") as scratch:
        place = Path(scratch)
        if arguments.soak:
            return soak(place, arguments.assignment, arguments.soak, arguments.jobs)
        return compare(
            place, arguments.assignment, arguments.count, arguments.rounds, arguments.jobs
        )


if __name__ == "__main__":
    sys.exit(main())
