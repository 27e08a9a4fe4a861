"""Switch the protection on in an nbgrader course's configuration."""

from __future__ import annotations

from typing import Any


def enable(c: Any) -> None:
    """Make `nbgrader autograde`, its API and formgrader grade safely, and `zip_collect` unpack so.

    Parameters
    ----------
    c : traitlets Config
        What `get_config()` gives in nbgrader_config.py::

            import nbwarden
            nbwarden.enable(get_config())
    """
    c.ZipCollectApp.extractor_plugin = "nbwarden.archive.SafeExtractor"
    c.ZipCollectApp.collector_plugin = "nbwarden.archive.SafeCollector"
    c.Autograde.exporter_class = "nbwarden.intake.Intake"
    # the notebook is rebuilt from the gradebook's cells; there is nothing left to put right
    c.Autograde.sanitize_preprocessors = []
    # and its cells' metadata are nobody's but ours: nbgrader need not check them
    c.Autograde.autograde_preprocessors = [
        "nbwarden.execute.SafeExecute",
        "nbwarden.feedback.SafeOutput",
        "nbgrader.preprocessors.IgnorePattern",
        "nbconvert.preprocessors.ClearMetadataPreprocessor",
        "nbgrader.preprocessors.LimitOutput",
        "nbwarden.marks.SaveMarks",
        "nbgrader.preprocessors.AssignLatePenalties",
    ]
    c.GenerateFeedback.exporter_class = "nbwarden.feedback.FeedbackPage"
    c.GenerateFeedback.preprocessors = [
        "nbwarden.marks.ShowMarks",
        "nbwarden.feedback.HideTests",
        "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor",
    ]
    c.HTMLExporter.filters = {"markdown2html": "nbwarden.feedback.markdown_to_html"}
