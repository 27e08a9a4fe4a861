"""Archives that students hand in: what is fit comes out, and what is not is named.

Measured with plain nbgrader 0.9.6 on the class of `test_the_command_collects_everybody_else`: it
stops with a traceback at an archive that is damaged, encrypted, or has a name that leads out, and
collects nobody. The bomb it unpacks to the end, all of it in memory.
"""

from __future__ import annotations

import gzip
import io
import logging
import os
import random
import shutil
import stat
import struct
import sys
import tarfile
import threading
import tracemalloc
import zipfile
from contextlib import contextmanager, suppress
from pathlib import Path

import nbformat
import pytest
from nbgrader.plugins import ExtractorPlugin
from traitlets.config import Config

import nbwarden
from nbwarden import bubblewrap, members
from nbwarden.archive import LIST, SafeCollector, SafeExtractor
from nbwarden.members import parts_of
from tests.support import run, tool
from tests.warden.course import source_cells

pytestmark = pytest.mark.without_sandbox

MB = 2**20
ZEROS = bytes(MB)


class Unpacked:
    """A folder of archives, and what became of it."""

    def __init__(self, root: Path) -> None:
        self.archive = root / "archive"
        self.target = root / "extracted"
        self.archive.mkdir(parents=True)
        self.target.mkdir()
        self.said: list[str] = []

    def extract(self, plugin=SafeExtractor, **settings):
        log = logging.Logger("extract")
        log.addHandler(handler := logging.Handler())
        handler.emit = lambda record: self.said.append(record.getMessage())
        plugin(log=log, **settings).extract(str(self.archive), str(self.target))
        return self

    @property
    def files(self) -> dict[str, bytes]:
        return {
            path.relative_to(self.target).as_posix(): path.read_bytes()
            for path in sorted(self.target.rglob("*"))
            if not path.is_dir()
        }

    @property
    def folders(self) -> set[str]:
        found = (path for path in self.target.rglob("*") if path.is_dir())
        return {path.relative_to(self.target).as_posix() for path in found}

    @property
    def left_out(self) -> dict[str, str]:
        """What is in the list, by where it was."""
        path = self.target.parent / LIST
        lines = path.read_text(encoding="utf-8").splitlines()[2:] if path.exists() else []
        return dict(line.split(": ", 1) for line in lines)


@pytest.fixture
def unpacked(tmp_path):
    return Unpacked(tmp_path)


def zipped(entries, compression=zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of names, or ZipInfos, and contents; a name may come twice."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in entries.items() if isinstance(entries, dict) else entries:
            archive.writestr(name, content)
    return stream.getvalue()


def tarred(entries, **kwargs) -> bytes:
    """A gzipped tar of names, or TarInfos, and contents."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", **kwargs) as archive:
        for name, content in entries.items() if isinstance(entries, dict) else entries:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def zeros(path: Path, megabytes: int, kind: str) -> None:
    """A small archive of so many zeros."""
    if kind == "gz":
        with gzip.open(path, "wb") as stream:
            for _ in range(megabytes):
                stream.write(ZEROS)
    elif kind == "zip":
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open("ps1.ipynb", "w") as stream,
        ):
            for _ in range(megabytes):
                stream.write(ZEROS)
    else:
        with gzip.open(path, "wb") as stream:
            info = tarfile.TarInfo("ps1.ipynb")
            info.size = megabytes * MB
            stream.write(info.tobuf())
            for _ in range(megabytes):
                stream.write(ZEROS)
            stream.write(bytes(1024))


@contextmanager
def watched(folder: Path):
    """The most bytes that were in a folder at a time, and in memory."""
    peak = {"disk": 0, "memory": 0}
    done = threading.Event()

    def watch():
        while not done.wait(0.001):
            size = 0
            for parent, _, names in os.walk(folder):  # which does not mind folders that vanish
                for name in names:
                    with suppress(FileNotFoundError):
                        size += os.lstat(os.path.join(parent, name)).st_size
            peak["disk"] = max(peak["disk"], size)

    thread = threading.Thread(target=watch)
    tracemalloc.start()
    thread.start()
    try:
        yield peak
    finally:
        peak["memory"] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        done.set()
        thread.join()


# ---------------------------------------------------------------- what is fit


def test_what_is_fit_lies_where_the_plain_extractor_puts_it(tmp_path):
    inner = zipped({"ps1.ipynb": b"{}", "data/more.txt": b"more"})
    everything = {
        "lms.zip": zipped(
            {
                "Ada Lovelace_1_assignsubmission_file/ps1.ipynb": b"{1}",
                "Béla_2_assignsubmission_file/work.zip": inner,
                "Cara_3_assignsubmission_file/work.tar.gz": tarred({"./ps1.ipynb": b"{3}"}),
                "empty folder/": b"",
                "Same.txt": b"upper",
                "same.txt": b"lower",
            }
        ),
        "eve.gz": tarred({"a/b/ps1.ipynb": b"{4}"}),
        "loose_ps1.ipynb": b"{5}",
        "folder/dora.zip": zipped({"ps1.ipynb": b"{6}", "deep.zip": inner}),
        "folder/loose.txt": b"7",
    }
    plain, safe = Unpacked(tmp_path / "plain"), Unpacked(tmp_path / "safe")
    for course, plugin in ((plain, ExtractorPlugin), (safe, SafeExtractor)):
        for name, content in everything.items():
            path = course.archive / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        course.extract(plugin)
    assert safe.files == plain.files
    assert safe.folders == plain.folders
    assert not safe.left_out
    assert not (tmp_path / "safe" / LIST).exists()


def test_the_content_says_what_an_archive_is_and_not_its_name(unpacked):
    """A tar called zip, a zip called gz, a tar that ends in a zip, a zip behind a program."""
    inner = zipped({"ps1.ipynb": b"{}"})
    plain = gzip.decompress(tarred({"ps1.ipynb": b"{}", "last.zip": inner}))
    contents = {
        "a.zip": tarred({"ps1.ipynb": b"{}"}),
        "b.gz": inner,
        "c.zip": plain,
        "d.ZIP": b"#!/bin/sh\n" + inner,
        "e.tgz": tarred({"ps1.ipynb": b"{}"}),
    }
    for name, content in contents.items():
        (unpacked.archive / name).write_bytes(content)
    unpacked.extract()
    assert {f"{name}/ps1.ipynb" for name in "abcde"} <= set(unpacked.files)
    assert "c/last/ps1.ipynb" in unpacked.files
    assert not unpacked.left_out


def test_a_single_gzipped_file(unpacked):
    (unpacked.archive / "ada_ps1.ipynb.gz").write_bytes(gzip.compress(b"{}"))
    assert unpacked.extract().files == {"ada_ps1.ipynb/ada_ps1.ipynb": b"{}"}


def test_long_names_and_pax_headers_are_fine(unpacked):
    name = "/".join(["Ünïcödé" * 10] * 3) + "/ps1.ipynb"
    for kind in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        content = tarred({name: b"{}"}, format=kind, pax_headers={"comment": "by git"})
        (unpacked.archive / f"{kind}.tgz").write_bytes(content)
    assert set(unpacked.extract().files) == {f"{kind}/{name}" for kind in (1, 2)}


# ---------------------------------------------------------------- too much


@pytest.mark.parametrize("kind", ["zip", "tgz", "gz"])
def test_a_bomb_stays_under_the_limit_on_disk_and_in_memory(unpacked, kind):
    path = unpacked.archive / f"ada_ps1.{kind}"
    zeros(path, 300, kind)
    assert path.stat().st_size < MB
    with watched(unpacked.target) as peak:
        unpacked.extract(max_file=3, max_total=5)
    assert unpacked.files == {}
    assert any("3 MB" in why or "5 MB" in why for why in unpacked.left_out.values())
    assert peak["disk"] <= 3 * MB
    assert peak["memory"] < 3 * MB


def test_memory_is_flat_when_what_comes_out_is_large_and_allowed(unpacked):
    for kind in ("zip", "tgz", "gz"):
        zeros(unpacked.archive / f"{kind}.{kind}", 40, kind)
    with watched(unpacked.target) as peak:
        unpacked.extract()
    assert sum(map(len, unpacked.files.values())) == 120 * MB
    assert peak["memory"] < 3 * MB


def test_the_memory_of_the_process_does_not_grow_with_a_bomb(unpacked):
    """As the system counts it, in a process of its own, whose files may not grow either.

    Not by `ru_maxrss`: that begins with the memory of the process that started this one.
    """
    path = unpacked.archive / "ada_ps1.zip"
    zeros(path, 300, "zip")
    program = f"""
import re, resource
from nbwarden.archive import SafeExtractor
def most():
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM: +([0-9]+) kB", status.read().replace("\t", " "))[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (5 * 2**20, 5 * 2**20))
before = most()
SafeExtractor(max_file=4).extract({str(unpacked.archive)!r}, {str(unpacked.target)!r})
print(most() - before)
"""
    # a tenth of the bomb: libraries take some memory of their own, another amount everywhere
    assert int(run(sys.executable, "-c", program).stdout) < 300 * 1024 / 10
    assert "4 MB" in unpacked.left_out["ada_ps1.zip > ps1.ipynb"]


def test_many_files_that_are_each_small_enough_are_too_much_together(unpacked):
    content = zipped([(f"{index}.bin", ZEROS) for index in range(40)])
    (unpacked.archive / "lms.zip").write_bytes(
        zipped({"ada.zip": content, "bob.zip": zipped({"ps1.ipynb": b"{}"})})
    )
    with watched(unpacked.target) as peak:
        unpacked.extract(max_archive=8)
    assert set(unpacked.files) == {"lms/bob.zip", "lms/bob/ps1.ipynb"}
    assert unpacked.left_out == {
        "lms.zip > ada.zip": "more than 8 MB come out of ada.zip (c.SafeExtractor.max_archive)"
    }
    assert peak["disk"] <= 8 * MB + len(content) * 2


def test_a_zip_whose_files_all_lie_on_the_same_bytes(unpacked):
    """One megabyte of zeros, and a table that names it five hundred times."""
    single = zipped({"0000": ZEROS})
    start, size = single.index(b"PK\1\2"), single.index(b"PK\5\6")
    entry = single[start:size]
    entries = b"".join(entry for _ in range(500))
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 500, 500, len(entries), start, 0)
    (unpacked.archive / "a.zip").write_bytes(single[:start] + entries + end)
    unpacked.extract(max_total=20)
    assert unpacked.files.keys() <= {"a/0000"}


def test_nested_archives_end(unpacked):
    content = b"{}"
    for depth in range(8):
        content = zipped({"next.zip": content, f"{depth}.txt": b"kept"})
    (unpacked.archive / "next.zip").write_bytes(content)
    unpacked.extract()
    assert [name for name in unpacked.files if name.endswith("txt")] == [
        "next/7.txt",
        "next/next/6.txt",
        "next/next/next/5.txt",
    ]
    (where,) = unpacked.left_out
    assert where == "next.zip > next.zip > next.zip > next.zip"
    assert "max_depth" in unpacked.left_out[where]


def test_the_archive_that_holds_itself_ends(unpacked):
    """A zip and its own bytes in it, over and over, as far as the limits go."""
    content = b"{}"
    for _ in range(4):
        content = zipped([(f"{index}.zip", content) for index in range(16)])
    (unpacked.archive / "42.zip").write_bytes(content)  # 16 ** 4 zips in all
    unpacked.extract(max_archive_files=20)
    assert len(unpacked.files) <= 16 + 16 * 20
    assert "max_archive_files" in "".join(unpacked.left_out.values())


def test_one_student_uses_up_nothing_of_the_others(unpacked):
    """The limits of a student's archive hold for all that is in it, and for nothing else."""
    bomb = zipped([(f"{i}.zip", zipped({"zeros": ZEROS})) for i in range(30)])
    good = zipped({"ps1.ipynb": ZEROS})
    (unpacked.archive / "lms.zip").write_bytes(
        zipped({"ada.zip": good, "bob.zip": bomb, "cara.zip": good})
    )
    unpacked.extract(max_archive=10, max_total=30)
    assert {"lms/ada/ps1.ipynb", "lms/cara/ps1.ipynb"} <= set(unpacked.files)
    assert all(where.startswith("lms.zip > bob.zip > ") for where in unpacked.left_out)
    assert len(unpacked.left_out) >= 20


def test_all_together_are_limited_and_who_came_too_late_is_named(unpacked):
    (unpacked.archive / "lms.zip").write_bytes(
        zipped({f"{name}.zip": zipped({"ps1.ipynb": 4 * ZEROS}) for name in ("a", "b", "c")})
    )
    unpacked.extract(max_total=9)
    assert {"lms/a/ps1.ipynb", "lms/b/ps1.ipynb"} <= set(unpacked.files)
    assert unpacked.left_out == {
        "lms.zip > c.zip": "more than 9 MB come out of lms.zip (c.SafeExtractor.max_total)"
    }


@pytest.mark.parametrize("make", [zipped, tarred])
def test_too_many_members(unpacked, make):
    content = make({f"{index}": b"" for index in range(300)})
    (unpacked.archive / "lms.zip").write_bytes(zipped({"ada.zip": content, "b.txt": b""}))
    unpacked.extract(max_archive_files=200)
    assert set(unpacked.files) == {"lms/b.txt"}
    assert "200 files" in unpacked.left_out["lms.zip > ada.zip"]


def test_a_table_of_contents_without_end_is_not_read(unpacked):
    """The count at its end says one; Python's own reader would make 200 000 objects of it."""
    single = zipped({"a": b""})
    start, stop = single.index(b"PK\1\2"), single.index(b"PK\5\6")
    entries = single[start:stop] * 200_000
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(entries), start, 0)
    (unpacked.archive / "a.zip").write_bytes(single[:start] + entries + end)
    with watched(unpacked.target) as peak:
        unpacked.extract(max_total_files=1000)
    assert set(unpacked.left_out) == {"a.zip"}
    assert peak["memory"] < 3 * MB


def headers(kind: str) -> bytes:
    """A tar that says much about one member: tarfile reads all of it into memory."""
    block = tarfile.TarInfo("x")

    def part(what: bytes, size: int) -> bytes:
        block.type, block.size = what, size
        return block.tobuf(tarfile.GNU_FORMAT)

    record = b"30 comment=01234567890123456\n"
    if kind == "long name":
        return part(tarfile.GNUTYPE_LONGNAME, 100 * MB) + b"a" * 100 * MB
    if kind == "pax":
        return part(tarfile.XHDTYPE, 100 * MB) + record * (100 * MB // len(record))
    if kind == "global":
        return (part(tarfile.XGLTYPE, 512) + (record * 18)[:512]) * 5000
    if kind == "digits":  # it fits, but older Pythons need the square of their number
        return (part(tarfile.XHDTYPE, 4096) + b"1" * 4096 + part(tarfile.REGTYPE, 0)) * 1000
    sparse = bytearray(part(tarfile.GNUTYPE_SPARSE, 0))
    sparse[482] = 1  # a list of holes goes on in the next block, and in the one after it
    sparse[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(sparse))[0]
    more = bytearray(b"00000000001\0" * 42 + bytes(8))
    more[504] = 1
    return bytes(sparse) + bytes(more) * 40_000


@pytest.mark.parametrize("kind", ["long name", "pax", "global", "digits", "sparse"])
def test_headers_without_end_are_not_read(unpacked, kind):
    content = gzip.compress(headers(kind), 1)
    (unpacked.archive / "a.tgz").write_bytes(content)
    with watched(unpacked.target) as peak:
        unpacked.extract()
    assert set(unpacked.left_out) == {"a.tgz"}
    assert unpacked.files == {}
    assert peak["memory"] < 3 * MB


# ---------------------------------------------------------------- lies


@pytest.mark.parametrize("size", [0, 10, 2**31])
def test_a_zip_that_lies_about_a_size(unpacked, size):
    """Too small, and the content does not fit its checksum; too large, and nothing is wrong."""
    content = bytearray(zipped({"bomb.bin": 50 * ZEROS, "ps1.ipynb": b"{}"}))
    struct.pack_into("<L", content, 22, size)
    struct.pack_into("<L", content, content.index(b"PK\1\2") + 24, size)
    (unpacked.archive / "a.zip").write_bytes(content)
    with watched(unpacked.target) as peak:
        unpacked.extract(max_file=3)
    # nothing of it can be right if it says it is nothing; zipfile then gives out nothing
    assert unpacked.files.pop("a/bomb.bin", b"") == b""
    assert unpacked.files.keys() - {"a/bomb.bin"} == {"a/ps1.ipynb"}
    assert size == 0 or set(unpacked.left_out) == {"a.zip > bomb.bin"}
    assert peak["disk"] <= 3 * MB + 2


def test_a_zip_that_says_more_than_there_is(unpacked):
    content = bytearray(zipped({"ps1.ipynb": b"{}"}))
    struct.pack_into("<L", content, content.index(b"PK\1\2") + 24, 2**31)
    (unpacked.archive / "a.zip").write_bytes(content)
    assert unpacked.extract().files == {"a/ps1.ipynb": b"{}"}


@pytest.mark.parametrize("size", [2**62, -1, -(2**40)])
def test_a_tar_that_lies_about_a_size(unpacked, size):
    info = tarfile.TarInfo("ps1.ipynb")
    info.size = size
    good = tarfile.TarInfo("good.txt").tobuf()
    content = good + info.tobuf(tarfile.GNU_FORMAT) + bytes(MB)
    (unpacked.archive / "a.tgz").write_bytes(gzip.compress(content))
    (unpacked.archive / "b.txt").write_bytes(b"")
    unpacked.extract()
    assert "b.txt" in unpacked.files
    assert "a.tgz" in unpacked.left_out or unpacked.files.get("a/ps1.ipynb", b"") == b""


# ---------------------------------------------------------------- names

NAMES = {
    "../ps1.ipynb": "leads out",
    "a/../../ps1.ipynb": "leads out",
    "a/..": "leads out",
    "/etc/ps1.ipynb": "absolute",
    "//server/ps1.ipynb": "absolute",
    "..\\ps1.ipynb": "backslash",
    "a\\ps1.ipynb": "backslash",
    "C:ps1.ipynb": "drive",
    "c:/ps1.ipynb": "drive",
    "a\x1b[2Jb": "printed",
    "a\nb": "printed",
    "a" * 256: "too long",
    "é" * 128: "too long",
    "a/" * 40 + "b": "too long",
    "/".join(["a" * 100] * 11): "too long",
}


@pytest.mark.parametrize("make", [zipped, tarred])
def test_names_that_lead_elsewhere(unpacked, tmp_path, make):
    content = make([*((name, b"bad") for name in NAMES), ("./good//ps1.ipynb", b"{}")])
    (unpacked.archive / "a.zip").write_bytes(content)
    unpacked.extract()
    assert unpacked.files == {"a/good/ps1.ipynb": b"{}"}
    assert len(unpacked.left_out) == len(NAMES)
    for name, (where, why) in zip(NAMES, unpacked.left_out.items(), strict=True):
        assert where == f"a.zip > {members.shown(name)}"
        assert NAMES[name] in why
    assert {path.name for path in tmp_path.iterdir()} == {"archive", "extracted", LIST}
    assert all(line.isprintable() for text in unpacked.said for line in text.split("\n"))


def test_a_name_that_ends_at_a_nul(unpacked):
    content = zipped({"ps1.ipynb?.txt": b"{}"}).replace(b"?", b"\0")
    (unpacked.archive / "a.zip").write_bytes(content)
    assert unpacked.extract().files == {}
    assert unpacked.left_out == {
        "a.zip > ps1.ipynb\\x00.txt": "its name has characters that cannot be printed"
    }


def test_a_name_in_no_encoding(unpacked):
    info = tarfile.TarInfo("Bj\udcf6rn.ipynb")
    (unpacked.archive / "a.tgz").write_bytes(
        tarred([(info, b"{}"), ("ps1.ipynb", b"{}")], format=tarfile.GNU_FORMAT)
    )
    assert set(unpacked.extract().files) == {"a/ps1.ipynb"}
    assert set(unpacked.left_out) == {"a.tgz > Bj\\udcf6rn.ipynb"}


@pytest.mark.parametrize("name", ["ps1.ipynb", "./a/b", "Ada L_1_file_/ü (1).ipynb", "...", "ab:c"])
def test_ordinary_names(name):
    assert "/".join(parts_of(name)) == name.removeprefix("./")


@pytest.mark.parametrize("name", ["..zip", "...zip", "..tar.gz", "...tar.gz", ".zip", ". .zip"])
def test_an_archive_whose_name_is_all_dots(unpacked, tmp_path, name):
    (unpacked.archive / "lms.zip").write_bytes(
        zipped({name: zipped({"x": b"bad"}), "ps1.ipynb": b"{}"})
    )
    unpacked.extract()
    assert unpacked.files["lms/ps1.ipynb"] == b"{}"
    assert all(file.startswith("lms/") and file != "lms/x" for file in unpacked.files)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("make", [zipped, tarred])
def test_a_name_that_comes_twice(unpacked, make):
    entries = [
        *(("ps1.ipynb", b"first"), ("./ps1.ipynb", b"second"), ("ps1.ipynb", b"third")),
        *(("PS1.ipynb", b"another"), ("a", b"file"), ("a/b", b"in it"), ("c/d", b"in"), ("c", b"")),
    ]
    (unpacked.archive / "a.zip").write_bytes(make(entries))
    unpacked.extract()
    assert unpacked.files == {
        "a/PS1.ipynb": b"another",
        "a/a": b"file",
        "a/c/d": b"in",
        "a/ps1.ipynb": b"first",
    }
    assert set(unpacked.left_out) == {
        f"a.zip > {name}" for name in ("ps1.ipynb", "./ps1.ipynb", "a/b", "c")
    }


def test_two_archives_for_one_folder(unpacked):
    """And a folder of that name beside an archive: nothing is mixed, nothing overwritten."""
    (unpacked.archive / "ada.tgz").write_bytes(tarred({"ps1.ipynb": b"1"}))
    (unpacked.archive / "ada.zip").write_bytes(zipped({"ps1.ipynb": b"2"}))
    (unpacked.archive / "lms.zip").write_bytes(
        zipped({"work/ps1.ipynb": b"3", "work.zip": zipped({"ps1.ipynb": b"4"})})
    )
    unpacked.extract()
    assert unpacked.files == {"ada/ps1.ipynb": b"1", "lms/work/ps1.ipynb": b"3"}
    assert set(unpacked.left_out) == {"ada.zip", "lms.zip > work.zip"}


# ---------------------------------------------------------------- no files


def special(kind: str) -> bytes:
    if kind == "zip":
        link = zipfile.ZipInfo("link")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        device = zipfile.ZipInfo("device")
        device.create_system, device.external_attr = 3, (stat.S_IFCHR | 0o666) << 16
        return zipped([(link, b"/etc"), ("link/passwd", b"x"), (device, b""), ("ps1.ipynb", b"{}")])
    entries = []
    for name, what in {
        "link": tarfile.SYMTYPE,
        "hard": tarfile.LNKTYPE,
        "device": tarfile.CHRTYPE,
        "disk": tarfile.BLKTYPE,
        "pipe": tarfile.FIFOTYPE,
        "unknown": b"Z",
    }.items():
        info = tarfile.TarInfo(name)
        info.type, info.linkname = what, "/etc"
        entries.append((info, b""))
    return tarred([*entries, ("link/passwd", b"x"), ("hard", b"x"), ("ps1.ipynb", b"{}")])


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_links_and_devices(unpacked, kind):
    (unpacked.archive / "a.zip").write_bytes(special(kind))
    unpacked.extract()
    assert {"a/link/passwd", "a/ps1.ipynb"} <= set(unpacked.files)
    assert not any(path.is_symlink() for path in unpacked.target.rglob("*"))
    found = {where.split()[-1]: why for where, why in unpacked.left_out.items()}
    assert "link" in found["link"]
    assert "neither a file" in found["device"]
    assert set(found) == {
        *("link", "device"),
        *(("hard", "disk", "pipe", "unknown") if kind == "tar" else ()),
    }


def test_what_is_written_has_no_rights_from_the_archive(unpacked):
    evil = zipfile.ZipInfo("evil.sh")
    evil.create_system, evil.external_attr = 3, (stat.S_IFREG | 0o6777) << 16
    shut = tarfile.TarInfo("shut.txt")
    shut.mode = 0
    (unpacked.archive / "a.zip").write_bytes(zipped([(evil, b"")]))
    (unpacked.archive / "b.tgz").write_bytes(tarred([(shut, b"")]))
    unpacked.extract()
    for path in ("a/evil.sh", "b/shut.txt"):
        assert stat.S_IMODE((unpacked.target / path).stat().st_mode) & 0o7700 == 0o600


def test_encrypted_members(unpacked):
    content = bytearray(zipped({"secret.ipynb": b"{}", "ps1.ipynb": b"{}"}))
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    (unpacked.archive / "a.zip").write_bytes(content)
    assert unpacked.extract().files == {"a/ps1.ipynb": b"{}"}
    assert unpacked.left_out == {"a.zip > secret.ipynb": "it is encrypted"}


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_that_zipfile_inflates_at_once(unpacked, method):
    (unpacked.archive / "a.zip").write_bytes(zipped({"a.bin": 100 * ZEROS}, method))
    with watched(unpacked.target) as peak:
        unpacked.extract()
    assert unpacked.files == {}
    assert "Deflate" in unpacked.left_out["a.zip > a.bin"]
    assert peak["memory"] < 3 * MB


# ---------------------------------------------------------------- broken


NOISE = random.Random(0).randbytes(5000)
BROKEN = {
    "cut.zip": zipped({"ps1.ipynb": NOISE})[:3000],
    "cut.tgz": tarred({"a.txt": b"a", "ps1.ipynb": NOISE})[:3000],
    "cut.gz": gzip.compress(NOISE)[:3000],
    "garbage.zip": NOISE,
    "text.gz": b"no archive at all",
    "text.tar.gz": gzip.compress(b"no archive at all"),
    "none.zip": b"",
    "empty.zip": zipped({}),
    "empty.tar.gz": tarred({}),
    "rar.zip": b"Rar!\x1a\x07\x01\x00" + bytes(100),
    "damaged.tgz": gzip.compress(
        gzip.decompress(tarred({"a": b"", "b": b"", "c": b""})).replace(b"b\0", b"x\0", 1)
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_archives_outside_and_inside(unpacked, name):
    """Named once, nothing of it stays, and what comes before and after it is unpacked."""
    good = zipped({"ps1.ipynb": b"{}"})
    (unpacked.archive / name).write_bytes(BROKEN[name])
    (unpacked.archive / "a.zip").write_bytes(good)
    (unpacked.archive / "z.zip").write_bytes(
        zipped({"a.zip": good, f"x/{name}": BROKEN[name], "z.zip": good})
    )
    unpacked.extract()
    assert {name for name in unpacked.files if name.endswith("ipynb")} == {
        *("a/ps1.ipynb", "z/a/ps1.ipynb", "z/z/ps1.ipynb")
    }
    assert unpacked.files.keys() - {"z/a.zip", "z/z.zip"} == {
        *("a/ps1.ipynb", "z/a/ps1.ipynb", "z/z/ps1.ipynb")
    }
    assert set(unpacked.left_out) == {name, f"z.zip > x/{name}"}
    assert unpacked.folders == {"a", "z", "z/a", "z/x", "z/z"}


def test_a_damaged_file_in_a_zip_costs_only_itself(unpacked):
    content = zipped([("a.txt", b"a" * 50), ("b.txt", b"b" * 50), ("c.txt", b"c")], 0)
    (unpacked.archive / "a.zip").write_bytes(content.replace(b"bbb", b"bab", 1))
    assert set(unpacked.extract().files) == {"a/a.txt", "a/c.txt"}
    assert set(unpacked.left_out) == {"a.zip > b.txt"}


@pytest.mark.parametrize("kind", ["zip", "tar", "tgz"])
def test_no_byte_of_an_archive_can_stop_it(unpacked, tmp_path, kind):
    """Each cut, and many changes: whatever is in it, the next archive is unpacked."""
    entries = {"a/b.txt": b"text" * 20, "inner.zip": zipped({"x": b"x"}), "c": b""}
    whole = zipped(entries) if kind == "zip" else tarred(entries)
    if kind == "tar":
        whole = gzip.decompress(whole)[:4096]
    draw = random.Random(0)
    (unpacked.archive / "z.txt").write_bytes(b"")
    for index in range(400):
        content = bytearray(whole)
        if index % 4 == 0:
            del content[draw.randrange(len(whole)) :]
        for _ in range(draw.randrange(4)):
            if content:
                content[draw.randrange(len(content))] = draw.choice(
                    (0, 1, 255, draw.randrange(256))
                )
        (unpacked.archive / "a.zip").write_bytes(content)
        unpacked.extract()
        assert "z.txt" in unpacked.files
        assert {path.name for path in tmp_path.iterdir()} <= {"archive", "extracted", LIST}
        shutil.rmtree(unpacked.target)
        unpacked.target.mkdir()


def test_the_readers_own_errors_are_the_archives_fault(unpacked):
    """A place in the file that is no place, and a checksum field that is no number."""
    content = bytearray(zipped({"a": b"a", "b": b"b"}))
    struct.pack_into("<L", content, content.index(b"PK\1\2") + 42, 2**32 - 2)
    (unpacked.archive / "a.zip").write_bytes(content)
    (unpacked.archive / "b.zip").write_bytes(zipped({"a": b"a"})[:-3] + b"xyz")
    assert "a/b" in unpacked.extract().files
    assert "a.zip > a" in unpacked.left_out


# ---------------------------------------------------------------- telling


def test_what_was_left_out_is_listed_and_an_old_list_goes(unpacked):
    (unpacked.archive / "a.zip").write_bytes(zipped({"../a": b"", "b": b""}))
    unpacked.extract()
    assert "NOT EVERYTHING" in unpacked.said[-1]
    assert str(unpacked.target.parent / LIST) in unpacked.said[-1]
    (unpacked.archive / "a.zip").write_bytes(zipped({"b": b""}))
    shutil.rmtree(unpacked.target)
    unpacked.target.mkdir()
    unpacked.said.clear()
    assert not unpacked.extract().left_out
    assert not (unpacked.target.parent / LIST).exists()
    assert not any("left out" in line.lower() for line in unpacked.said)


def test_one_archive_cannot_fill_the_terminal(unpacked):
    bad = zipped({f"../{index}": b"" for index in range(1000)})
    (unpacked.archive / "lms.zip").write_bytes(zipped({"ada.zip": bad, "bob.zip": b"bad"}))
    unpacked.extract()
    assert len(unpacked.said) < 70
    assert len(unpacked.left_out) == 1001
    assert "bob.zip" in unpacked.said[-1]


# ---------------------------------------------------------------- the command


def test_enable_switches_it_on():
    config = Config()
    nbwarden.enable(config)
    assert config.ZipCollectApp.extractor_plugin == "nbwarden.archive.SafeExtractor"


CONFIG = """
import nbwarden

c = get_config()
c.CourseDirectory.course_id = "small"
c.FileNameCollectorPlugin.named_regexp = (
    r".*/[^/]*?_(?P<student_id>\\d+)_\\d+_[^/]*/(?P<file_id>[\\w-]+)\\.ipynb$"
)
nbwarden.enable(c)
c.SafeExtractor.max_file = 4
"""


@pytest.fixture(scope="module")
def released_course(tmp_path_factory):
    root = tmp_path_factory.mktemp("small")
    source = root / "source" / "ps1"
    source.mkdir(parents=True)
    nbformat.write(nbformat.v4.new_notebook(cells=source_cells()), source / "ps1.ipynb")
    (root / "nbgrader_config.py").write_text(CONFIG, encoding="utf-8")
    run(tool("nbgrader"), "generate_assignment", "ps1", cwd=root)
    (root / "downloaded" / "ps1" / "archive").mkdir(parents=True)
    return root


@pytest.fixture
def small(released_course, tmp_path):
    """A course with a released assignment."""
    return shutil.copytree(released_course, tmp_path / "small")


def hostile(kind: str) -> bytes:
    good = {"ps1.ipynb": b"{}"}
    if kind == "damaged":
        return zipped(good)[:-30]
    if kind == "leads out":
        return zipped({**good, "../../../../nbgrader_config.py": b"raise SystemExit"})
    if kind == "encrypted":
        content = bytearray(zipped(good))
        content[6] |= 1
        content[content.index(b"PK\1\2") + 8] |= 1
        return bytes(content)
    return zipped({"ps1.ipynb": 300 * ZEROS})


@pytest.mark.parametrize("kind", ["bomb", "damaged", "leads out", "encrypted"])
def test_the_command_collects_everybody_else(small, kind):
    """A learning platform's zip with three students, one of whom is hostile, and a broken one."""
    released = (small / "release" / "ps1" / "ps1.ipynb").read_bytes()
    folder = small / "downloaded" / "ps1"
    good = zipped({"ps1.ipynb": released})
    (folder / "archive" / "canvas.zip").write_bytes(
        zipped(
            {
                "ada_1001_55501_ps1.zip": good,
                "eve_1002_55502_ps1.zip": hostile(kind),
                "zoe_1003_55503_ps1.zip": good,
            }
        )
    )
    (folder / "archive" / "again.zip").write_bytes(good[:100])
    done = run(tool("nbgrader"), "zip_collect", "ps1", "--strict", cwd=small)
    assert "Using file extractor: SafeExtractor" in done.stderr
    for student in ("1001", "1003"):
        assert (small / "submitted" / student / "ps1" / "ps1.ipynb").read_bytes() == released
    if kind != "leads out":  # that student's notebook is a good one
        assert not (small / "submitted" / "1002").exists()
    listed = (folder / LIST).read_text(encoding="utf-8")
    reasons = {
        "bomb": "eve_1002_55502_ps1.zip > ps1.ipynb: it has more than 4 MB",
        "damaged": "eve_1002_55502_ps1.zip: the end of the zip is missing",
        "leads out": "nbgrader_config.py: its name leads out",
        "encrypted": "eve_1002_55502_ps1.zip > ps1.ipynb: it is encrypted",
    }
    assert reasons[kind] in listed
    assert "again.zip: the end of the zip is missing" in listed
    assert (small / "nbgrader_config.py").read_text(encoding="utf-8") == CONFIG
    # the last that is said, after all that collecting says
    last = done.stderr.split("NOT EVERYTHING WAS COLLECTED")[1]
    assert "canvas.zip > eve_1002_55502_ps1.zip" in last
    assert str(folder / LIST) in last
    assert "Parsing file" not in last
    assert not (folder / "extracted" / LIST).exists()


CANVAS = (
    r".*/[^/]*?_(?:LATE_)?(?P<student_id>\d+)_\d+_"
    r"(?P<file_id>[\w-]+?)(?:[ -]\(?\d+\)?)?\.ipynb$"
)
MOODLE = (
    r".*/[^/]*_(?P<student_id>\d+)_assignsubmission_file_?/"
    r"(?P<file_id>[\w-]+?)(?:[ -]\(?\d+\)?)?\.ipynb$"
)


@pytest.mark.parametrize(
    ("pattern", "path", "owner"),
    [
        (CANVAS, "canvas/ada_1001_5_ps1.ipynb", "1001"),
        (CANVAS, "canvas/ada_1001_5_all/ada_1001_5_ps1.ipynb", "1001"),
        (CANVAS, "canvas/eve_1002_5_all/ada_1001_5_ps1.ipynb", None),
        (CANVAS, "canvas/eve_1002_5_all/extracted/ada_1001_5_ps1.ipynb", None),
        (CANVAS, "eve_1002_5_all/ada_1001_5_x/ada_1001_5_ps1.ipynb", None),
        (CANVAS, "canvas/eve_LATE_1002_5_all/deep/er/ada_1001_5_ps1.ipynb", None),
        (MOODLE, "moodle/Ada L_204_assignsubmission_file/ps1.ipynb", "204"),
        (MOODLE, "moodle/Eve_205_assignsubmission_file/Ada_204_assignsubmission_file/ps1.ipynb",
         None),
    ],
)  # fmt: skip
def test_no_file_passes_for_another_students(pattern, path, owner):
    collector = SafeCollector(named_regexp=pattern, log=logging.Logger("collect"))
    found = collector.collect(f"/course/downloaded/ps1/extracted/{path}")
    assert (found and found["student_id"]) == owner
    assert len(collector.left_out) == (owner is None)


def test_the_command_lets_nobody_hand_in_for_another_or_twice(small):
    """A student's archive holds a notebook under another's number, and the own one two times."""
    released = (small / "release" / "ps1" / "ps1.ipynb").read_bytes()
    other = released + b" "
    folder = small / "downloaded" / "ps1"
    (folder / "archive" / "canvas.zip").write_bytes(
        zipped(
            {
                "ada_1001_55501_ps1.ipynb": released,
                "eve_1002_55502_ps1.zip": zipped(
                    {
                        "a/eve_1002_5_ps1.ipynb": released,
                        "b/eve_1002_5_ps1.ipynb": other,
                        "c/ada_1001_5_ps1.ipynb": other,
                        "d/zoe_1003_5_ps1.ipynb": other,
                    }
                ),
            }
        )
    )
    with (small / "nbgrader_config.py").open("a", encoding="utf-8") as stream:
        stream.write(f"c.FileNameCollectorPlugin.named_regexp = {CANVAS!r}\n")
    done = run(tool("nbgrader"), "zip_collect", "ps1", "--strict", cwd=small)
    for student in ("1001", "1002"):
        assert (small / "submitted" / student / "ps1" / "ps1.ipynb").read_bytes() == released
    assert not (small / "submitted" / "1003").exists()
    listed = (folder / LIST).read_text(encoding="utf-8")
    assert "c/ada_1001_5_ps1.ipynb: it is in what 1002 handed in, and its name says 1001" in listed
    assert "d/zoe_1003_5_ps1.ipynb: it is in what 1002 handed in, and its name says 1003" in listed
    assert "b/eve_1002_5_ps1.ipynb: another file of 1002 is ps1 as well" in listed
    assert "canvas > eve_1002_55502_ps1/" in done.stderr.split("NOT EVERYTHING WAS COLLECTED")[1]


def test_who_handed_in_something_else_is_named_with_what_was_there(small):
    released = (small / "release" / "ps1" / "ps1.ipynb").read_bytes()
    folder = small / "downloaded" / "ps1"
    others = {"notes.txt": b"", "__MACOSX/._ps1.ipynb": b"", ".ipynb_checkpoints/a.ipynb": b"{}"}
    (folder / "archive" / "canvas.zip").write_bytes(
        zipped(
            {
                "ada_1001_55501_ps1.zip": zipped({**others, "ps1.ipynb": released}),
                "bea_1002_55502_ps1_final.ipynb": released,
                "eve_1003_55503_ps1.html": b"<html>",
                "kim_1004_55504_ps1.zip": zipped({**others, "answer.pdf": b""}),
                "lee_1005_55505_ps1.zip": zipped({"ps1.ipynb": released, "old.ipynb": released}),
                "zoe_1006_55506_ps1.zip": zipped({})[:5],
            }
        )
    )
    with (small / "nbgrader_config.py").open("a", encoding="utf-8") as stream:
        pattern = r".*/canvas/[^/]*?_(?P<student_id>\d+)_\d+_(?:ps1/)?(?P<file_id>\w+)\.ipynb"
        stream.write(f"c.FileNameCollectorPlugin.named_regexp = {pattern!r}\n")
    done = run(tool("nbgrader"), "zip_collect", "ps1", "--strict", cwd=small)
    submitted = {path.parent.parent.name for path in small.glob("submitted/*/ps1/*")}
    assert submitted == {"1001", "1005"}
    named = done.stderr.split("NOT EVERYTHING WAS COLLECTED")[1]
    *whose, where = [line.strip() for line in named.splitlines() if line.startswith("  ")]
    assert where.endswith(f"{LIST} says why.")
    assert whose == [
        "canvas.zip > zoe_1006_55506_ps1.zip",
        "canvas > bea_1002_55502_ps1_final.ipynb",
        "canvas > eve_1003_55503_ps1.html",
        "canvas > kim_1004_55504_ps1 (answer.pdf, notes.txt)",
        "canvas > lee_1005_55505_ps1 (old.ipynb)",
    ]
    listed = (folder / LIST).read_text(encoding="utf-8")
    assert "bea_1002_55502_ps1_final.ipynb: not collected, because of its name" in listed


def test_the_command_line_sets_limits_too(small):
    folder = small / "downloaded" / "ps1"
    (folder / "archive" / "ada_1001_5_ps1.zip").write_bytes(zipped({"ps1.ipynb": 2 * ZEROS}))
    command = (tool("nbgrader"), "zip_collect", "ps1", "--strict", "--force")
    run(*command, "--SafeExtractor.max_file=1", cwd=small)
    assert "1 MB" in (folder / LIST).read_text(encoding="utf-8")
    run(*command, cwd=small)
    assert not (folder / LIST).exists()
    assert (small / "submitted" / "1001" / "ps1" / "ps1.ipynb").stat().st_size == 2 * MB


@pytest.mark.sandbox
def test_a_full_disk_is_said_and_nothing_is_collected(small):
    """On a disk of one megabyte, made for it."""
    folder = small / "downloaded" / "ps1"
    (folder / "extracted").mkdir()
    (folder / "archive" / "ada_1001_5_ps1.zip").write_bytes(zipped({"ps1.ipynb": b"{}"}))
    (folder / "archive" / "bob_1002_5_ps1.zip").write_bytes(zipped({"ps1.ipynb": 2 * ZEROS}))
    disk = ("--dev-bind", "/", "/", "--size", str(MB), "--tmpfs", folder / "extracted")
    done = run(
        str(bubblewrap.find()),
        *disk,
        "--",
        tool("nbgrader"),
        "zip_collect",
        "ps1",
        cwd=small,
        ok=False,
    )
    assert done.returncode == 1
    assert "no room left on the disk. Nothing was collected. Make room" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (small / "submitted").exists()
