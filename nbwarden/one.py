"""nbgrader's converters, for one submission that was rebuilt and executed before they begin.

They write into folders that are nobody else's, and into the gradebook of the class.
"""

from __future__ import annotations

import glob
import logging
import os
import shutil
import warnings
from collections.abc import Mapping
from contextlib import redirect_stderr
from copy import deepcopy
from io import StringIO
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from nbgrader.converters import Autograde, GenerateFeedback
from nbgrader.converters.base import BaseConverter
from sqlalchemy.exc import SAWarning
from traitlets.config import Config

from nbwarden import folders, source
from nbwarden.execute import Outputs
from nbwarden.folders import Entry


def open_course(config: Config) -> NbGraderAPI:
    """Nbgrader's API on a course, which says nothing on the terminal."""
    config = deepcopy(config)
    config.NbGraderAPI.log_level = "ERROR"
    with redirect_stderr(StringIO()):  # it complains if there is no exchange; none is needed
        course = NbGraderAPI(config=config)
    # nbgrader 0.9.6 makes SQLAlchemy warn at each new submission; nothing is wrong
    warnings.filterwarnings("ignore", category=SAWarning)
    course.log.propagate = False
    course.log.handlers[:] = [logging.NullHandler()]
    return course


class _One(BaseConverter):  # type: ignore[misc]
    """A converter that converts one folder, and lets pass what goes wrong.

    nbgrader's own logs an error as text, and goes on with the next submission.
    """

    student = ""
    gradebook: Any = None

    def init_single_notebook_resources(self, notebook_filename: str) -> dict[str, Any]:
        resources: dict[str, Any] = super().init_single_notebook_resources(notebook_filename)
        resources["nbgrader"]["gradebook"] = self.gradebook
        return resources

    def init_notebooks(self) -> None:
        folder = self._format_source(self.coursedir.assignment_id, self.student)
        found = glob.glob(os.path.join(glob.escape(folder), "*.ipynb"))
        self.assignments = {folder: found}

    def convert_notebooks(self) -> None:
        (found,) = self.assignments.values()
        self.notebooks = sorted(found)
        names = (self.coursedir.assignment_id, self.student)
        self.run_pre_convert_hook()
        self.init_assignment(*names)
        for notebook in self.notebooks:
            self.convert_single_notebook(notebook)
        self.set_permissions(*names)
        self.run_post_convert_hook()


class _Autograde(_One, Autograde):  # type: ignore[misc]
    """Autograde, of what `Intake` and `SafeExecute` take from here instead of making it."""

    rebuilt: Mapping[str, NotebookNode] = {}
    outputs: Mapping[str, Outputs] = {}

    def init_assignment(self, assignment_id: str, student_id: str) -> None:
        """What nbgrader's does, but that it opens the gradebook once and not five times."""
        BaseConverter.init_assignment(self, assignment_id, student_id)
        submitted = self._format_source(assignment_id, student_id)
        timestamp = self.coursedir.get_existing_timestamp(submitted)
        known = {"timestamp": timestamp} if timestamp else {}
        with self.gradebook as gradebook:
            gradebook.update_or_create_student(student_id)
            gradebook.update_or_create_submission(assignment_id, student_id, **known)
        excluded = self.exclude_overwriting.get(assignment_id, [])
        graded = Path(self._format_dest(assignment_id, student_id))
        for name, path in source.paths(self.coursedir, assignment_id).items():
            target = graded / name
            if name not in excluded:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.unlink(missing_ok=True)
                shutil.copy(path, target)


class _GenerateFeedback(_One, GenerateFeedback):  # type: ignore[misc]
    """GenerateFeedback, of what was graded just before."""


class Converters:
    """nbgrader's converters on the gradebook of a class, in a folder of their own.

    Parameters
    ----------
    config : Config
        The class's.
    db_url : str
        Its gradebook.
    place : Path
        An empty folder.
    """

    def __init__(self, config: Config, db_url: str, place: Path) -> None:
        own = deepcopy(config)
        own.CourseDirectory.root = str(place)
        own.CourseDirectory.db_url = db_url
        own.CourseDirectory.pop("directory_structure", None)
        for step in ("source", "submitted", "autograded", "feedback", "release"):
            own.CourseDirectory[f"{step}_directory"] = step
        self.api, self.place = open_course(own), place
        # closed, it lets go of its connection, and takes another one when it is asked again
        self.gradebook = Gradebook(db_url, self.api.coursedir.course_id)
        self.gradebook.close()

    def begin(self, assignment: str, source: Path) -> None:
        """Take an assignment's files from this folder."""
        link = self.place / "source" / assignment
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(source)

    def submitted(self, student: str, assignment: str) -> Path:
        """Where a submission is to be put."""
        return self.place / "submitted" / student / assignment

    def autograde(
        self,
        student: str,
        assignment: str,
        rebuilt: Mapping[str, NotebookNode],
        outputs: Mapping[str, Outputs],
    ) -> tuple[Entry, ...]:
        """Write a submission's marks into the gradebook; its graded folder."""
        self._aim_at(student, assignment)
        converter = _Autograde(coursedir=self.api.coursedir, parent=self.api)
        converter.rebuilt, converter.outputs = rebuilt, outputs
        self._start(converter, student)
        return folders.pack(self.place / "autograded" / student / assignment)

    def feedback(self, student: str, assignment: str) -> tuple[Entry, ...]:
        """The pages of a submission that was just graded."""
        self._aim_at(student, assignment)
        converter = _GenerateFeedback(coursedir=self.api.coursedir, parent=self.api)
        self._start(converter, student)
        return folders.pack(self.place / "feedback" / student / assignment)

    def _start(self, converter: Any, student: str) -> None:
        converter.student, converter.gradebook = student, self.gradebook
        converter.start()

    def _aim_at(self, student: str, assignment: str) -> None:
        self.api.coursedir.assignment_id = assignment
        self.api.coursedir.student_id = folders.literal(student)  # nbgrader takes a pattern

    def clear(self, student: str) -> None:
        """Remove what was made of a submission."""
        for step in ("submitted", "autograded", "feedback"):
            folders.discard(self.place / step / student)
