"""nbgrader's view of this repository: sources in solutions/, releases in assignments/.

Every plain nbgrader command works from here: generate_assignment, validate, autograde,
generate_feedback, export, formgrader, zip_collect.
"""

import os
import sys
from pathlib import Path

import nbwarden
from dlnorm.grading.release import refresh_sources

c = get_config()  # noqa: F821  (traitlets puts it here)

COURSE = Path(__file__).resolve().parent
# nbgrader makes a gradebook by calling `alembic`, which is installed beside this Python.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
# The notebooks nbgrader reads are made from the texts beside them; make the stale ones now.
refresh_sources(COURSE)

c.CourseDirectory.course_id = "dlnorm"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "assignments"
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", "feedback", "*.md", ".*"]

# Students' code runs in a sandbox, and what its checks say of it is judged outside. Where no
# sandbox can be made grading refuses; NBWARDEN_NO_SANDBOX=1 grades what you have read yourself.
nbwarden.enable(c)
c.Sandbox.hidden_packages = ["dlnorm"]

# One cell may take this long; an endless loop in an answer costs that, and only its own points.
c.Execute.timeout = 30

# Where kernel and client can encrypt what they say to each other, they do.
c.KernelManager.transport_encryption = "auto"
