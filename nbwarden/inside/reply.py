"""Answer one question about the student's functions, in the student's kernel."""

from __future__ import annotations

import base64
import importlib
import sys
import traceback
from typing import Any

from nbwarden.inside.data import pack, unpack

#: What a reply is published as.
MIME = "application/vnd.nbwarden.reply"


def reply(answer: str, names: list[str], question: str) -> None:
    """Publish what `answer`, a function called "module:name", says about the functions `names`.

    What goes wrong is said in the reply: `missing` names, `raised` text.
    """
    from IPython import get_ipython

    try:
        message = pack(_reply(answer, names, question))
    except ValueError as error:
        message = pack({"raised": str(error)})
    data = {MIME: base64.b64encode(message).decode()}
    get_ipython().display_pub.publish(data, {})


def _reply(answer: str, names: list[str], question: str) -> dict[str, Any]:
    space = sys.modules["__main__"].__dict__
    if missing := [name for name in names if name not in space]:
        return {"missing": missing}
    module, _, name = answer.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
        said = function(unpack(base64.b64decode(question)), *(space[name] for name in names))
    except KeyboardInterrupt:
        raise  # the time of the cell is up
    except BaseException as error:
        return {"raised": f"{type(error).__name__}: {error}"[:1000]}
    return {"reply": said}


def calls(question: Any, function: Any) -> list[dict[str, Any]]:
    """What a function does with each list of arguments in `question`.

    The answer of a check that names no other: for each call `returned`, the value, or `raised`,
    the name and the text of the error, and the line it came from.
    """
    said: list[dict[str, Any]] = []
    for arguments in question:
        try:
            said.append({"returned": function(*arguments)})
        except Exception as error:
            line = traceback.extract_tb(error.__traceback__)[-1].line
            said.append({"raised": f"{type(error).__name__}: {error}, in: {line}"[:1000]})
    return said
