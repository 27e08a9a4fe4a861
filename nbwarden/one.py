"""nbgrader's converters, for one submission that was rebuilt and executed before they begin.

They write into folders that are nobody else's, and into the gradebook of the class.
"""

from __future__ import annotations

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
    """A converter that converts one submission, and lets pass what goes wrong.

    nbgrader's own logs an error as text, and goes on with the next submission.
    """

    student = ""
    rebuilt: Mapping[str, NotebookNode] = {}
    gradebook: Any = None

    def init_single_notebook_resources(self, notebook_filename: str) -> dict[str, Any]:
        resources: dict[str, Any] = super().init_single_notebook_resources(notebook_filename)
        resources["nbgrader"]["gradebook"] = self.gradebook
        return resources

    def init_notebooks(self) -> None:
        folder = self._format_source(self.coursedir.assignment_id, self.student)
        self.notebooks = [os.path.join(folder, f"{name}.ipynb") for name in sorted(self.rebuilt)]
        self.assignments = {folder: self.notebooks}

    def convert_notebooks(self) -> None:
        names = (self.coursedir.assignment_id, self.student)
        self.run_pre_convert_hook()
        self.init_assignment(*names)
        for notebook in self.notebooks:
            self.convert_single_notebook(notebook)
        self.set_permissions(*names)
        self.run_post_convert_hook()


class _Autograde(_One, Autograde):  # type: ignore[misc]
    """Autograde, of what `Intake` and `SafeExecute` take from here instead of making it."""

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
        return self._convert(_Autograde, student, assignment, rebuilt=rebuilt, outputs=outputs)

    def feedback(
        self, student: str, assignment: str, rebuilt: Mapping[str, NotebookNode]
    ) -> tuple[Entry, ...]:
        """The pages of a submission that was just graded."""
        return self._convert(_GenerateFeedback, student, assignment, rebuilt=rebuilt)

    def _convert(
        self, kind: type[_One], student: str, assignment: str, **known: Any
    ) -> tuple[Entry, ...]:
        coursedir = self.api.coursedir
        coursedir.assignment_id = assignment
        coursedir.student_id = folders.literal(student)  # nbgrader takes a pattern
        converter = kind(coursedir=coursedir, parent=self.api)
        converter.student, converter.gradebook = student, self.gradebook
        for name, value in known.items():
            setattr(converter, name, value)
        converter.start()
        return folders.pack(Path(converter._format_dest(assignment, student)))

    def clear(self, student: str) -> None:
        """Remove what was made of a submission."""
        for step in ("submitted", "autograded", "feedback"):
            folders.discard(self.place / step / student)
