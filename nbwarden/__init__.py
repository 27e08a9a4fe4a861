"""Grading with nbgrader, for any course: knows nothing of what is taught."""

from nbwarden.settings import enable

__all__ = ["enable"]
