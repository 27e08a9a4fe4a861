"""What the papers found, tried on scikit-learn's digits: one module an experiment.

Every module says in its docstring what it shows and what it measures, and has the same four parts:
`Settings`, with ``quick()`` for seconds and ``full()`` for minutes; ``measure(settings, seed)``,
which returns plain arrays for one seed; ``verdict(result)``, made of the numbers; and
``figure(result)``. `run` puts the seeds together and keeps the result until code or settings
change::

    from dlnorm import experiments

    result = experiments.run("bjorck_2018")
    print(experiments.verdict(result))
    experiments.figure(result)

`recorded` returns what came out at the full settings when it was last measured, and
``python -m dlnorm.experiments --check`` says whether that is still true.

From the command line: ``python -m dlnorm.experiments --help``. Needs the extra ``experiments``,
and Matplotlib.
"""

from dlnorm.experiments._core import BaseSettings, Result, Verdict
from dlnorm.experiments._record import RecordError, recorded
from dlnorm.experiments._run import NAMES, figure, finding, run, verdict

__all__ = [
    "NAMES",
    "BaseSettings",
    "RecordError",
    "Result",
    "Verdict",
    "figure",
    "finding",
    "recorded",
    "run",
    "verdict",
]
