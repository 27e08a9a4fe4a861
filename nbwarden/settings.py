"""Switch the protection on in an nbgrader course's configuration."""

from __future__ import annotations

from typing import Any


def enable(c: Any) -> None:
    """Make `nbgrader autograde`, its API and formgrader grade safely.

    Parameters
    ----------
    c : traitlets Config
        What `get_config()` gives in nbgrader_config.py::

            import nbwarden
            nbwarden.enable(get_config())
    """
    c.Autograde.exporter_class = "nbwarden.intake.Intake"
    # the notebook is rebuilt from the gradebook's cells; there is nothing left to overwrite
    c.Autograde.sanitize_preprocessors = ["nbgrader.preprocessors.CheckCellMetadata"]
    c.Autograde.autograde_preprocessors = [
        "nbwarden.trusted.TrustedExecute",
        "nbwarden.feedback.SafeOutput",
        "nbgrader.preprocessors.IgnorePattern",
        "nbconvert.preprocessors.ClearMetadataPreprocessor",
        "nbgrader.preprocessors.LimitOutput",
        "nbgrader.preprocessors.SaveAutoGrades",
        "nbgrader.preprocessors.AssignLatePenalties",
        "nbgrader.preprocessors.CheckCellMetadata",
    ]
    c.GenerateFeedback.preprocessors = [
        "nbgrader.preprocessors.GetGrades",
        "nbwarden.feedback.HideTests",
        "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor",
    ]
    c.HTMLExporter.filters = {"markdown2html": "nbwarden.feedback.markdown_to_html"}
