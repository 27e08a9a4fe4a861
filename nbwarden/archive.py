"""What students hand in as archives, unpacked and sorted with care: two plugins for `zip_collect`.

`c.ZipCollectApp.extractor_plugin` and `collector_plugin` are the places that nbgrader gives for
them. Folders and names are as with the plain plugins. What cannot be taken is left out and named,
on the terminal and in a file, and everything else is collected as if it had not been there.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from nbgrader.plugins import ExtractorPlugin, FileNameCollectorPlugin
from traitlets import Integer, List, Unicode

from nbwarden import members
from nbwarden.members import Budget, LeftOutError, Member, SpoiltError, parts_of, shown
from nbwarden.uncollected import uncollected

_MB = 2**20
#: Where everything that was left out is listed, beside the folder that was unpacked into.
LIST = "left-out.txt"
#: So many warnings on the terminal about what is in one archive; the list has them all.
_SAID = 50
#: So many names of one student's files are listed that were not collected.
_NAMED = 5


class SafeExtractor(ExtractorPlugin):  # type: ignore[misc]
    """Unpacks what the learning platform gave, and the archives in it that students handed in."""

    zip_ext = List(
        Unicode(),
        [".zip", ".gz", ".tgz"],
        help="""Endings of files that are unpacked: zips, tars, and what is gzipped. All others are
        taken as they are.""",
    ).tag(config=True)

    max_file = Integer(50, help="Megabytes that a file in an archive may have.").tag(config=True)

    max_archive = Integer(
        200,
        help="""Megabytes that may come out of an archive in an archive, such as a student's in
        that of the learning platform; archives inside it count with it.""",
    ).tag(config=True)

    max_archive_files = Integer(
        2000, help="Files and folders that may come out of an archive in an archive."
    ).tag(config=True)

    max_total = Integer(
        10_000,
        help="""Megabytes that may come out of one of the archives you put into the archive folder,
        with all archives in it.""",
    ).tag(config=True)

    max_total_files = Integer(
        100_000,
        help="Files and folders that may come out of one of those, with all archives in it.",
    ).tag(config=True)

    max_depth = Integer(
        3,
        help="""How deep archives are unpacked: 1 is only those in the archive folder, 2 also those
        inside them, which are the students' if the learning platform packs all into one.""",
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._left_out: list[tuple[tuple[str, ...], str]] = []
        self._uncollected: list[str] = []  # whose, and what was there
        self._said: Counter[tuple[str, ...]] = Counter()

    def extract(self, archive_path: str, extracted_path: str) -> None:
        """Unpack the archives in a folder, and copy its other files.

        Parameters
        ----------
        archive_path : str
            The folder with what was downloaded.
        extracted_path : str
            Where it goes. What was left out is listed beside it.
        """
        source, target = Path(archive_path), Path(extracted_path)
        listed = target.parent / LIST
        self._left_out.clear()
        self._uncollected.clear()
        self._said.clear()
        try:
            listed.unlink(missing_ok=True)
            self._extract(source, target)
            self._write_list(listed)
        except OSError as error:
            self._give_up(target, error)
        self._tell_last(target, listed)

    # -------- unpacking

    def _extract(self, source: Path, target: Path) -> None:
        if not any(source.iterdir()):
            self.log.warning("No files found in directory: %s", source)
        for parent, folders, files in os.walk(source):
            folders.sort()
            into = target / Path(parent).relative_to(source)
            if files:
                into.mkdir(parents=True, exist_ok=True)
            for name in sorted(files):
                path = Path(parent, name)
                where = (path.relative_to(source).as_posix(),)
                if self._is_archive(path):
                    label = shown(name)
                    limits = ("max_total", "max_total_files")
                    budget = Budget(label, self.max_total, self.max_total_files, limits)
                    self._unpack(path, into, where, 1, budget)
                    continue
                self.log.info("Copying from: %s", path)
                self.log.info("  Copying to: %s", into / name)
                try:
                    _write(into / name, members.pieces_of(path))
                except LeftOutError as error:
                    self._leave_out(where, error)

    def _is_archive(self, path: Path) -> bool:
        ending = os.path.splitext(path.name)[1].lower()
        return ending in (known.lower() for known in self.zip_ext)

    def _unpack(
        self, path: Path, into: Path, where: tuple[str, ...], depth: int, budget: Budget
    ) -> bool:
        """Unpack an archive into a folder of its own, all or nothing; whether it was."""
        folder = into / _stem(path)
        try:
            if depth > self.max_depth:
                raise LeftOutError(
                    f"it is an archive in an archive, {depth} deep; {self.max_depth} are unpacked "
                    "(c.SafeExtractor.max_depth)"
                )
            with _placing(f"there is something else of the name {shown(folder.name)}"):
                folder.mkdir()
            self.log.info("Extracting from: %s", path)
            self.log.info("  Extracting to: %s", folder)
            try:
                inner = self._fill(folder, path, where, budget)
            except BaseException:
                shutil.rmtree(folder)
                raise
        except LeftOutError as error:
            self._leave_out(where, error)
            return False
        for found in inner:
            name = found.relative_to(folder).as_posix()
            own = budget
            if depth == 1:
                limits = ("max_archive", "max_archive_files")
                label = shown(found.name)
                own = Budget(label, self.max_archive, self.max_archive_files, limits, budget)
            if not self._unpack(found, found.parent, (*where, name), depth + 1, own):
                found.unlink()
        return True

    def _fill(self, folder: Path, path: Path, where: tuple[str, ...], budget: Budget) -> list[Path]:
        """Write what is in an archive; which of it are archives."""
        inner: list[Path] = []
        empty = True
        with closing(members.read(path, budget)) as found:
            for member in found:
                empty = False
                try:
                    written = self._place(member, folder, budget)
                except SpoiltError:
                    raise
                except LeftOutError as error:
                    self._leave_out((*where, member.name), error)
                    continue
                if not member.folder and self._is_archive(written):
                    inner.append(written)
        if empty:
            raise LeftOutError("it is empty")
        return inner

    def _place(self, member: Member, folder: Path, budget: Budget) -> Path:
        """Write a member, whole or not at all."""
        parts = parts_of(member.name)
        if member.refused:
            raise LeftOutError(member.refused)
        if not parts and not member.folder:
            raise LeftOutError("it has no name")
        path = folder.joinpath(*parts)
        for part in parts if member.folder else parts[:-1]:
            folder /= part
            with _placing("a file has the name of its folder"):
                if not folder.is_dir():
                    folder.mkdir()
                    budget.take(files=1)
        if not member.folder:
            _write(path, member.pieces, self.max_file)
        return path

    # -------- telling

    def _leave_out(self, where: tuple[str, ...], why: Exception) -> None:
        self._left_out.append((where, str(why)))
        self._said[where[:-1]] += 1
        if self._said[where[:-1]] <= _SAID:
            self.log.warning("Left out: %s: %s", _path(where), why)
        elif self._said[where[:-1]] == _SAID + 1:
            self.log.warning("Left out: more of %s", _path(where[:-1]) or "these")

    def _write_list(self, listed: Path) -> None:
        lines = [f"{_path(where)}: {why}" for where, why in self._left_out]
        lines += [f"{whose}: not collected, because of its name" for whose in self._uncollected]
        if lines:
            head = "Left out; what was downloaded still has it.\n"
            listed.write_text("\n".join([head, *lines, ""]), encoding="utf-8")

    def _tell_last(self, target: Path, listed: Path) -> None:
        """Sum up what was left out after all that the command says, where it is seen."""
        plain: Callable[[], None] | None
        plain = getattr(self.parent, "process_extracted_files", None)
        if plain is None:
            self._sum_up(listed)
            return
        transfer_files = self.parent._transfer_files
        taken: set[Path] = set()

        def noted(collected: dict[str, Any]) -> None:
            taken.update(Path(path) for found in collected.values() for path in found["src_files"])
            transfer_files(collected)

        def process_extracted_files() -> None:
            try:
                plain()
            finally:
                collector = getattr(self.parent, "collector_plugin_inst", None)
                if isinstance(collector, SafeCollector):
                    self._left_out += collector.left_out
                self._add_uncollected(target, taken)
                self._write_list(listed)
                self._sum_up(listed)

        self.parent._transfer_files = noted
        self.parent.process_extracted_files = process_extracted_files

    def _add_uncollected(self, target: Path, taken: set[Path]) -> None:
        """Add what was unpacked and not collected, where it is not on the list already."""
        known = {tuple(map(_stem, map(Path, where[:2]))) for where, _ in self._left_out}
        for where, names in uncollected(target, taken).items():
            if tuple(map(_stem, map(Path, where))) not in known:
                more = [f"and {len(names) - _NAMED} more"] if len(names) > _NAMED else []
                there = ", ".join([*map(shown, names[:_NAMED]), *more])
                whose = _path(where) if names == [where[-1]] else f"{_path(where)} ({there})"
                self._uncollected.append(whose)

    def _sum_up(self, listed: Path) -> None:
        # in the learning platform's archive these are the students'
        whose = list(dict.fromkeys(_path(where[:2]) for where, _ in self._left_out))
        whose += self._uncollected
        if not whose:
            return
        more = [f"and {len(whose) - _SAID} more"] if len(whose) > _SAID else []
        self.log.warning(
            "NOT EVERYTHING WAS COLLECTED: something was left out of\n  %s\n%s says why.",
            "\n  ".join([*whose[:_SAID], *more]),
            listed,
        )

    def _give_up(self, target: Path, error: OSError) -> None:
        """Stop, as nothing can be written any more."""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        self.log.error(
            "%s: %s. Nothing was collected. %s, then run the command again with --force.",
            target,
            "there is no room left on the disk" if full else error,
            "Make room" if full else "Put that right",
        )
        raise SystemExit(1) from None


class SafeCollector(FileNameCollectorPlugin):  # type: ignore[misc]
    """Says whose a file is; no student's file can pass for another's, or stop the collection.

    The names inside a student's archive are the student's choice. So what the outermost folder
    says, which the learning platform or the instructor named, is what counts.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.left_out: list[tuple[tuple[str, ...], str]] = []
        self._collected: set[tuple[str, str]] = set()

    def collect(self, submitted_file: str) -> dict[str, str] | None:
        """Whose a file is and what it is, by `named_regexp`; None if it is left out.

        Parameters
        ----------
        submitted_file : str
            Its path below the folder that was unpacked into.
        """
        found: dict[str, str] | None = super().collect(submitted_file)
        if found is None:
            return None
        student, file = str(found.get("student_id")), str(found.get("file_id"))
        owner = self._owner(submitted_file)
        if owner not in (None, student):
            why = f"it is in what {owner} handed in, and its name says {student}"
            self._leave_out(submitted_file, why)
            return None
        if not found.get("timestamp"):  # with times nbgrader takes the later one
            if (student, file) in self._collected:
                why = f"another file of {student} is {file} as well, and was taken"
                self._leave_out(submitted_file, why)
                return None
            self._collected.add((student, file))
        return found

    def _owner(self, submitted_file: str) -> str | None:
        """Whose the outermost folder is that names a student, if any does."""
        root, rest = self._split(submitted_file)
        *folders, name = rest.split("/")
        ending = os.path.splitext(name)[1]
        for depth in range(1, len(folders) + 1):
            folder = root + "/".join(folders[:depth])
            # a pattern may look for the student in a file's name or in its folder's
            for path in (f"{folder}{ending}", f"{folder}/x{ending}"):
                match = re.match(self.named_regexp, path)
                if match:
                    return match["student_id"]
        return None

    def _split(self, submitted_file: str) -> tuple[str, str]:
        """The folder that was unpacked into, and the path below it."""
        unpacked = f"/{getattr(self.parent, 'extracted_directory', 'extracted')}/"
        root, slash, below = submitted_file.partition(unpacked)
        return (root + slash, below) if slash else ("", submitted_file)

    def _leave_out(self, submitted_file: str, why: str) -> None:
        where = tuple(self._split(submitted_file)[1].split("/", 1))
        self.left_out.append((where, why))
        self.log.warning("Left out: %s: %s", _path(where), why)


def _stem(path: Path) -> str:
    """The name of an archive's folder, as the plain extractor has it."""
    name = os.path.splitext(path.name)[0]
    stem, ending = os.path.splitext(name)
    return stem if ending == ".tar" else name


def _path(where: tuple[str, ...]) -> str:
    """Where something is: the archive, the one inside it, and so on, and the file."""
    return " > ".join(map(shown, where))


@contextmanager
def _placing(taken: str) -> Iterator[None]:
    """Tell a name that has no place from a disk that takes nothing."""
    try:
        yield
    except (FileExistsError, NotADirectoryError):
        raise LeftOutError(taken) from None
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL):
            raise LeftOutError(f"this disk does not take its name ({error.strerror})") from None
        raise


def _write(path: Path, pieces: Iterator[bytes], megabytes: int | None = None) -> None:
    """Write a new file; if that fails, there is none."""
    with _placing("another file of the same name came before it, and was taken"):
        stream = path.open("xb")
    size = 0
    try:
        with stream:
            for piece in pieces:
                size += len(piece)
                if megabytes is not None and size > megabytes * _MB:
                    raise LeftOutError(
                        f"it has more than {megabytes} MB (c.SafeExtractor.max_file)"
                    )
                stream.write(piece)
    except BaseException:
        path.unlink()
        raise
