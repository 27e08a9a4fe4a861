"""Grading with nbgrader, for any course: knows nothing of what is taught."""
