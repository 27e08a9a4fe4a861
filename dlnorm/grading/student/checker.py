"""The checker that travels with an assignment: runs your functions and names the mistake.

In the notebook::

    from checker import check
    check("batchnorm_forward.train", batchnorm_forward)

It calls your function on inputs stored beside this file (`checks.npz`), compares what comes
back with stored results, and, where they differ, looks for a known mistake that gives exactly
your numbers. It needs NumPy and nothing else. Reading it is fine; it holds no solution.
"""

import _thread
import ast
import html
import json
import linecache
import math
import os
import sys
import textwrap
import threading
import time
import traceback
import warnings
import zipfile
import zlib
from contextlib import suppress
from functools import cache, partial
from pathlib import Path

import numpy as np

WIDTH = 80
#: Seconds that one call of one of your functions may take.
TIME_LIMIT = 5.0
#: Largest difference that passes, relative to the largest expected entry. Every right way to
#: compute these results agrees to 1e-10 in float64; in float32 it is 2**10 roundings.
TOLERANCE = {"float64": 1e-6, "float32": 2**10 * float(np.finfo(np.float32).eps)}
#: Standard errors that a random fraction may be off: one in 1.5e8 is further off by chance. A check
#: looks at twelve of them at most, so that it stops a right answer less than once in 10^6 times.
SIGMAS = 5.8


FORGOTTEN = " Is the return statement missing?"


class CheckFailed(AssertionError):
    """Your function did not pass; the text says what was compared, what differs and why."""

    #: Whether the whole message stands above the error already, as it does in a notebook.
    shown = False

    def _render_traceback_(self):
        lines = str(self).split("\n")
        return [f"{lines[0]} (see above)"] if self.shown else lines


class Problem(Exception):
    """What keeps a result from being compared at all: a crash, None, a wrong shape."""


# ---------------------------------------------------------------- entry point


def check(name, *functions):
    """Check your `functions` against the stored cases called `name`.

    Prints one line if all is well, and raises CheckFailed with the diagnosis if not.
    """
    verdict = judge(load(Path(__file__).with_name("checks.npz"), name)[name], functions)
    if verdict["passed"]:
        say(verdict["message"])
        return
    failed = CheckFailed(verdict["message"])
    if in_notebook():
        show(verdict["message"], as_html(verdict["report"]))
        failed.shown = True
    raise failed


def judge(spec, functions):
    """Run `functions` on every case of `spec`: a dict with `passed` and `message`."""
    return verdict_on(spec, outcomes_of(spec, functions))


def outcomes_of(spec, functions):
    """Run `functions` on the cases of `spec`, up to one that is unwritten or never ends."""
    names = spec["functions"]
    if len(functions) != len(names) or not all(map(callable, functions)):
        raise ValueError(f"check({spec['name']!r}, ...) needs the function(s) {', '.join(names)}")
    return outcomes_from(spec, answer(question_of(spec), *functions))


def ask(name):
    """The stored check called `name`, for a grader that keeps your code at a distance.

    Returns the question, which is data, and the judge of what `answer` says to it: a function
    that returns the share of the points, 0 or 1, and the message.
    """
    spec = load(Path(__file__).with_name("checks.npz"), name)[name]
    return question_of(spec), partial(score, spec)


def score(spec, replies):
    """The share of the points, and the message, for what `answer` says."""
    verdict = verdict_on(spec, outcomes_from(spec, replies))
    return float(verdict["passed"]), verdict["message"]


check.ask, check.answer = ask, "checker:answer"


def verdict_on(spec, outcomes):
    """Compare each case's outcome with what was expected, and explain the first that differs.

    A dict with `passed` and `message`; if it did not pass, with `misconception`, the name of the
    likely one or None, and `report`, the parts of the message.
    """
    for number, (case, outcome) in enumerate(zip(spec["cases"], outcomes), 1):
        found = difference(spec, case, outcome)
        if found:
            likely = diagnose(spec, outcomes, number - 1)
            report = report_on(spec, number, case, found, likely)
            return {
                "passed": False,
                "message": as_text(report),
                "misconception": likely and likely["name"],
                "report": report,
            }
    count = len(outcomes)
    message = f"✓ {spec['name']}: {spec['says']} ({count} case{'s' * (count > 1)})"
    notes = sorted({note for outcome in outcomes for note in outcome["warnings"]})
    return {"passed": True, "message": "\n".join([message, *(f"  warning: {n}" for n in notes)])}


def say(text):
    """Print `text`, also on a terminal that lacks some of its characters."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding))


def in_notebook():
    """Whether somebody looks at this in a notebook; nbgrader's own runs want plain text."""
    ipython = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    return hasattr(shell, "kernel") and "NBGRADER_EXECUTION" not in os.environ


def show(text, page):
    """Display a message in a notebook, as HTML where that can be drawn."""
    from IPython.display import display

    display({"text/plain": text, "text/html": page}, raw=True)


# ---------------------------------------------------------------- stored cases


def load(path, name=None):
    """Read a `checks.npz`: the checks by name; only the one called `name`, if that is given.

    For each check it holds a JSON text, and the bytes of all its arrays in a row: where an array
    belongs, the text says which dtype and shape it has and where it begins.
    """
    if not Path(path).exists():
        raise FileNotFoundError(
            f"{Path(path).name} is missing. It comes with the assignment and must stay in the same "
            f"folder as checker.py ({Path(path).parent}); download the folder again."
        )
    checks = {}
    try:
        with open(path, "rb") as file:
            begins_well = file.read(4) == b"PK\3\4"
        if not (begins_well and zipfile.is_zipfile(path)):  # NumPy would speak of pickles
            raise zipfile.BadZipFile("it is no whole archive")
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            names = [key for key in stored.files if not key.endswith(ARRAYS)]
            for key in [name] if name in names else names:
                text, data = stored[key].tobytes().decode(), stored[key + ARRAYS]
                checks[key] = json.loads(text, object_hook=partial(restored, data))
    except (zipfile.BadZipFile, zlib.error, LookupError, TypeError, ValueError, RuntimeError,
            EOFError, OSError) as error:  # fmt: skip
        raise ValueError(
            f"{Path(path).name} is damaged ({Path(path).stat().st_size} bytes, in "
            f"{Path(path).parent}): {error}. Download the assignment's folder again, and put its "
            f"{Path(path).name} in the place of this one; your notebook can stay."
        ) from None

    if name is not None and name not in checks:
        raise ValueError(f"there is no check called {name!r}; there are: {', '.join(checks)}")
    return checks


#: What follows a check's name in the name of its arrays' entry.
ARRAYS = "/arrays"


def restored(data, entry):
    """An entry of a stored text; an array out of `data`, if it says where one begins."""
    if entry.keys() != {"dtype", "shape", "start"}:
        return entry
    dtype, shape, start = np.dtype(entry["dtype"]), tuple(entry["shape"]), entry["start"]
    return data[start : start + dtype.itemsize * math.prod(shape)].view(dtype).reshape(shape)


# ---------------------------------------------------------------- running a program
#
# A program runs in two places, which may be two processes. Beside your functions run the lines that
# call them, and those that make what they are called with. What came of it is data. All that looks
# at it runs where the judge is, on copies of the arguments that your functions have never seen.


def run(spec, functions, args, limit=None):
    """Run the spec's program, line by line, with `functions` on copies of `args`.

    One call may take `limit` seconds. Returns the outcome: the values to compare, the arguments
    that were changed in place, the warnings, and the problem that stopped it, if one did.
    """
    there, wanted, *_ = places_of(spec, args)
    return outcome_of(spec, args, answer_case(there, wanted, functions, args, limit))


def places_of(spec, args):
    """Where a program's lines run, by number: beside the functions, or here.

    Returns the lines that run there; the names, or entries such as ``param['key']``, whose values
    must come from there; the lines that run here, each with those of its names that do; and those
    of what is compared. What is made of the arguments alone is made in both places, so that
    nobody's word is needed for it.
    """
    there, here, wanted = [], [], set()
    known, judged = set(args), set()
    for number, line in enumerate(spec["program"]):
        node = parsed(line)
        helper = node.value.func.id
        bound = {n.id for n in ast.walk(node.targets[0]) if isinstance(n, ast.Name)}
        used = {n.id for a in node.value.args for n in ast.walk(a) if isinstance(n, ast.Name)}
        if helper not in HELPERS or helper in MAKERS:
            there.append([number, line])
            judged -= bound
            if helper not in REPEATABLE or not used <= known:
                known -= bound
                continue
        else:
            judged |= bound
        foreign = sorted(used - known)
        here.append((number, line, foreign))
        wanted |= {*foreign}
        known |= bound | used
    compared = {name for name in spec["compare"] if base_of(name) not in judged}
    return there, sorted(wanted | compared), here, compared


def base_of(text):
    """The name in ``out`` or ``bn_param['running_mean']``."""
    return next(n.id for n in ast.walk(parsed(text)) if isinstance(n, ast.Name))


def question_of(spec):
    """What `answer` needs to know of a check: nothing of what is expected."""
    cases = []
    for case in spec["cases"]:
        there, wanted, *_ = places_of(spec, case["args"])
        used = {
            n.id for _, line in there for n in ast.walk(parsed(line)) if isinstance(n, ast.Name)
        }
        args = {name: value for name, value in case["args"].items() if name in used}
        cases.append({"args": args, "lines": there, "wanted": wanted})
    return {"functions": spec["functions"], "cases": cases}


def answer(question, *functions):
    """Run a check's cases beside `functions`, up to one that is unwritten or never ends."""
    given = dict(zip(question["functions"], functions))
    replies = []
    state = np.random.get_state()  # a check leaves no trace in the notebook's random numbers
    try:
        for case in question["cases"]:
            lines, wanted, args = case["lines"], case["wanted"], case["args"]
            replies.append(answer_case(lines, wanted, given, args, TIME_LIMIT))
            if replies[-1]["raised"] in ENDINGS:
                break
    finally:
        np.random.set_state(state)
    return replies


#: What stops a check before its last case.
ENDINGS = ("TimeoutError", "NotImplementedError")


def answer_case(lines, wanted, functions, args, limit):
    """Run one case's lines beside `functions`: the values wanted, and what happened.

    `stopped` is the number of the line that a problem stopped, `changed` names the arguments that
    were changed in place.
    """
    names = copy_of(args)
    reply = {"stopped": None, "problem": None, "raised": None, "error": ""}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            for number, line in lines:
                reply["stopped"] = number
                step(line, functions, names, limit)
            reply["stopped"] = None
        except Problem as problem:
            reply.update(described(problem))
    reply["warnings"] = [shortened(f"{w.category.__name__}: {w.message}") for w in caught[:MANY]]
    reply["changed"] = [
        name
        for name, value in args.items()
        if isinstance(value, np.ndarray) and not np.array_equal(value, names[name], equal_nan=True)
    ]
    reply["values"] = {}
    for name in wanted:
        with suppress(Problem, KeyError):  # whoever needs it will miss it
            value = lookup(parsed(name).value, names)
            if isinstance(value, dict):  # under other keys nobody looks
                value = {key: entry for key, entry in value.items() if isinstance(key, str)}
            reply["values"][name] = value
    return reply


#: Characters that are kept of a text, and warnings of a case.
LONG, MANY = 5000, 20


def shortened(text):
    """A text that may be very long, such as an error's that quotes an array."""
    return text if len(text) <= LONG else f"{text[: LONG - 4]} ..."


def described(problem):
    """A problem as data."""
    cause = problem.__cause__
    raised = type(cause).__name__ if cause else str(problem)
    said = {"problem": str(problem), "raised": raised, "error": str(cause or "")}
    return {key: shortened(text) for key, text in said.items()}


def outcomes_from(spec, replies):
    """The outcome of each case, from what `answer` says; ValueError if that is no answer.

    It may come from a process whose word counts for nothing.
    """
    cases = spec["cases"]
    if not isinstance(replies, list) or not all(map(is_reply, replies)):
        raise ValueError("what came back is no answer to the check")
    whole = len(replies) == len(cases)
    ended = 0 < len(replies) < len(cases) and replies[-1]["raised"] in ENDINGS
    if not (whole or ended):
        raise ValueError(f"{len(cases)} cases were asked, and {len(replies)} answered")
    return [outcome_of(spec, case["args"], reply) for case, reply in zip(cases, replies)]


def is_reply(reply):
    """Whether `reply` has the form of what `answer_case` returns."""
    kinds = {"stopped": (int, type(None)), "problem": (str, type(None)),
             "raised": (str, type(None)), "error": str, "warnings": list, "changed": list,
             "values": dict}  # fmt: skip
    return (
        isinstance(reply, dict)
        and reply.keys() == kinds.keys()
        and all(isinstance(reply[key], kind) for key, kind in kinds.items())
        and all(isinstance(text, str) for key in ("warnings", "changed") for text in reply[key])
        and len(reply["warnings"]) <= MANY
        and all(
            len(text or "") <= LONG
            for text in [*reply["warnings"], reply["problem"], reply["raised"], reply["error"]]
        )
        # what was stopped says why, and nothing else does
        and reply["problem"] != ""
        and len({reply[key] is None for key in ("stopped", "problem", "raised")}) == 1
    )


def outcome_of(spec, args, reply):
    """The outcome of one case: the reply, and what the judge's own lines make of it."""
    values, stopped = copy_of(args), reply["stopped"]
    outcome = {"values": {}, "raised": None, "problem": None}
    _, _, here, compared = places_of(spec, args)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            for number, line, foreign in here:
                if stopped is not None and number > stopped:
                    break
                values.update({name: came(name, reply) for name in foreign})
                step(line, {}, values, None)
            if stopped is not None:
                outcome.update({key: reply[key] for key in ("problem", "raised", "error")})
            else:
                for name in spec["compare"]:
                    here_too = name not in compared
                    outcome["values"][name] = values[name] if here_too else came(name, reply)
        except Problem as problem:
            outcome.update(described(problem))
    notes = [f"{w.category.__name__}: {w.message}" for w in caught]
    changed = [name for name in args if name in reply["changed"]]
    return {**outcome, "warnings": reply["warnings"] + notes, "changed": changed}


def came(name, reply):
    """A value of the reply."""
    if name in reply["values"]:
        return reply["values"][name]
    if name != base_of(name):
        raise missing_entry(name)
    raise ValueError(f"the value of {name} did not come back")


def missing_entry(text):
    """The problem that ``param['key']`` is not there."""
    return Problem(f"{text} is missing: your function did not store it.")


@cache
def parsed(line):
    """A line of a program, or a name that is compared, as Python reads it."""
    return ast.parse(line).body[0]


def step(line, functions, values, limit):
    """Run one line, ``out, cache = f(x, param['p'])``, and store what it returns in `values`."""
    node = parsed(line)
    call, target = node.value, node.targets[0]
    name = call.func.id
    arguments = [lookup(argument, values) for argument in call.args]
    if name not in functions:
        result = HELPERS[name](*arguments)
    else:
        result = call_student(functions[name], arguments, call, limit)
    if isinstance(target, ast.Name):
        if result is None:
            raise Problem(f"{name} must return {target.id}, but returned None.{FORGOTTEN}")
        values[target.id] = result
        return
    wanted = [element.id for element in target.elts]
    if not isinstance(result, (tuple, list)) or len(result) != len(wanted):
        came = (
            f"{len(result)} values"
            if isinstance(result, (tuple, list))
            else "None"
            if result is None
            else f"one {type(result).__name__}"
        )
        forgot = FORGOTTEN if result is None else ""
        raise Problem(f"{name} must return {', '.join(wanted)}, but returned {came}.{forgot}")
    values.update(zip(wanted, result))


def lookup(node, values):
    """The value of an argument of a line: a name, a constant or ``param['key']``."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return values[node.id]
    container = values[node.value.id]
    key = node.slice.value
    if key not in container:
        raise missing_entry(ast.unparse(node))
    return container[key]


def call_student(function, arguments, call, limit):
    """Call a student's function; turn whatever goes wrong into a Problem that shows the line."""
    try:
        # a thread can interrupt the main one only
        if limit and threading.current_thread() is threading.main_thread():
            return call_limited(function, arguments, limit)
        return function(*arguments)
    except TimeIsUp as interrupt:
        raise Problem(
            f"{ast.unparse(call)} ran for more than {limit:g} seconds and was stopped"
            f"{own_line(interrupt)}\nDoes a loop never end?"
        ) from TimeoutError()
    except NotImplementedError as error:
        raise Problem(
            f"{call.func.id} is not written yet: its cell still raises NotImplementedError."
        ) from error
    except Exception as error:
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise Problem(f"{ast.unparse(call)} raised {what}{own_line(error)}") from error


class TimeIsUp(KeyboardInterrupt):
    """A call has run for too long; not an Exception, which a student's code might catch."""


def call_limited(function, arguments, limit):
    """Call a function; raise TimeIsUp where it is, if it runs for more than `limit` seconds."""
    finished = threading.Lock()
    expired = threading.Event()

    def expire():
        if finished.acquire(blocking=False):
            expired.set()
            _thread.interrupt_main()

    timer = threading.Timer(limit, expire)
    timer.daemon = True
    with suppress(RuntimeError):  # in a browser there are no threads, and so no limit
        timer.start()
    try:
        try:
            return function(*arguments)
        finally:
            timer.cancel()
            if not finished.acquire(blocking=False):
                time.sleep(0.1)  # the interrupt is on its way: let it arrive here
    except KeyboardInterrupt as interrupt:
        if not expired.is_set():
            raise
        raise TimeIsUp().with_traceback(interrupt.__traceback__) from None


def own_line(error):
    """Where in the student's own code `error` came from, as text; empty if not known."""
    # by the names of modules: how the paths of files look depends on the system
    not_theirs = {"numpy", *getattr(sys, "stdlib_module_names", ())}
    last = None
    for frame, number in traceback.walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__") or "").split(".")[0]
        if frame.f_globals is not globals() and module not in not_theirs:
            last = frame.f_code, number
    if last is None:
        return "."
    code, number = last
    source = linecache.getline(code.co_filename, number).strip()
    place = f"\nin {code.co_name}, line {number} of {file_of(code)}"
    return f"{place}:\n    {source}" if source else f"{place}."


def file_of(code):
    """What a line number counts in: a cell, or the module whose name is given."""
    name = code.co_filename.replace("\\", "/").split("/")[-1]
    in_file = name.endswith(".py") and "ipykernel" not in code.co_filename
    return name if in_file else "its cell"


def copy_of(value):
    """A copy of arguments that shares no array with them."""
    if isinstance(value, dict):
        return {key: copy_of(entry) for key, entry in value.items()}
    return value.copy() if isinstance(value, np.ndarray) else value


# ---------------------------------------------------------------- comparing


def difference(spec, case, outcome, brief=False):
    """The first thing in which `outcome` is not as expected, as a dict, or None.

    If `brief`, a dict that says no more than that numbers differ. Where a mistake's outcome stands
    in the place of the expected one, ``case["right"]`` is what is right: both give the scale.
    """
    expected, right = case["expected"], case.get("right", {"values": {}})["values"]
    if outcome["problem"] or expected["raised"]:
        if outcome["raised"] == expected["raised"]:
            return None
        if not outcome["problem"]:
            return {
                "what": "error",
                "text": f"A {expected['raised']} was expected here, but nothing was raised.",
            }
        wanted = expected["raised"] and f"\nA {expected['raised']} was expected here."
        return {"what": "problem", "text": outcome["problem"] + (wanted or "")}
    for name in spec["compare"]:
        got = outcome["values"][name]
        found = compare(name, expected["values"][name], got, case["args"], brief, right.get(name))
        if found:
            return found
    extra = [name for name in outcome["changed"] if name not in expected["changed"]]
    if extra:
        text = f"The results are right, but {listed(extra)} changed in place."
        return {"what": "changed", "names": extra, "text": text}
    return None


def compare(name, expected, got, args, brief=False, right=None):
    """How `got`, the value called `name`, differs from `expected`: a dict with a text, or None.

    Numbers are compared by the scale of `expected`, or of what is `right` if that is larger.
    """
    if isinstance(expected, dict):
        return compare_words(name, expected, got)
    array = plain_array(got)
    if array is None:
        wanted = "NumPy array of numbers" if expected.ndim else "number"
        text = f"{name} must be a {wanted}, got {kind_of(got)}."
        return {"what": "type", "name": name, "text": text}
    if not shapes_agree(name, expected, array, args):
        text = f"{name} must have shape {expected.shape}, got {array.shape}."
        if not expected.ndim:
            text = f"{name} must be a single number, got an array of shape {array.shape}."
        return {"what": "shape", "name": name, "text": text}
    strict = expected.ndim != 1
    if strict and array.dtype != expected.dtype:
        given = ", as the inputs have" if expected.dtype in dtypes_in(args) else ""
        text = f"{name} must have dtype {expected.dtype}{given}; got {array.dtype}."
        return {"what": "dtype", "name": name, "text": text}
    return compare_numbers(name, expected, array.reshape(expected.shape), brief, scale_of(right))


def plain_array(value):
    """`value` as a plain numeric ndarray, or None: a subclass could compare as it likes."""
    if isinstance(value, (bool, int, float, np.generic)) or type(value) is np.ndarray:
        array = np.asarray(value)
        return array if array.dtype.kind in "fiub" else None
    return None


def kind_of(value):
    """What `value` is, for a message that says what was expected in its place."""
    if value is None:
        return "None"
    if type(value) is np.ndarray:
        return f"an array of dtype {value.dtype}"
    return type(value).__name__


def dtypes_in(value):
    """The dtypes of the floating-point arrays among some arguments."""
    if isinstance(value, dict):
        return set().union(*map(dtypes_in, value.values()))
    return {value.dtype} if isinstance(value, np.ndarray) and value.dtype.kind == "f" else set()


def listed(names):
    """Names in a sentence, with their verb: ``x was``, ``x and w were``, ``x, w and b were``."""
    *others, last = names
    return f"{', '.join(others)} and {last} were" if others else f"{last} was"


def shapes_agree(name, expected, array, args):
    """Whether the shape will do: for one number a feature, (1, D) is as good as (D,).

    Not so where an array of shape (D,) was handed in to be updated: it must come back as it was.
    """
    if array.shape == expected.shape:
        return True
    node = parsed(name).value
    handed_in = isinstance(node, ast.Subscript) and node.slice.value in args[node.value.id]
    return not handed_in and expected.ndim == 1 and array.shape == (1, *expected.shape)


def scale_of(value):
    """The largest finite entry, 0.0 if there are no numbers."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
        return 0.0
    value = value.astype(np.float64)
    return np.abs(value[np.isfinite(value)]).max(initial=0.0)


def compare_numbers(name, expected, array, brief=False, least=0.0):
    """Entry by entry, relative to the largest expected entry, or to `least`."""
    array = array.astype(np.float64)
    expected64 = expected.astype(np.float64)
    lost = ~(np.isfinite(array) & np.isfinite(expected64))
    if lost.any() and np.array_equal(array[lost], expected64[lost], equal_nan=True):
        # a known mistake may have the very same holes; no right result has any
        array, expected64 = np.where(lost, 0.0, array), np.where(lost, 0.0, expected64)
    elif lost.any():
        bad = int(lost.sum())
        which = f"{bad} of the {array.size} entries of {name}" if array.ndim else name
        text = f"{which} {'is' if bad == 1 else 'are'} NaN or infinite."
        return {"what": "nan", "name": name, "text": text}
    error = np.abs(array - expected64)
    scale = max(np.abs(expected64).max(initial=0.0), least)
    allowed = TOLERANCE["float32" if expected.dtype == np.float32 else "float64"] * (scale or 1.0)
    wrong = error > allowed
    if not wrong.any():
        return None
    if brief:
        return {"what": "value", "name": name}
    at = np.unravel_index(error.argmax(), error.shape)
    lead = f"{name} differs"
    if at:
        lead = (
            f"{name}, shape {expected.shape}: {int(wrong.sum())} of {wrong.size} entries differ, "
            f"the most at [{', '.join(map(str, at))}]"
        )
    lines = [
        lead,
        f"    expected  {expected64[at]: .8g}",
        f"    got       {array[at]: .8g}",
    ]
    relation = simple_relation(expected64, array, allowed)
    if relation:
        lines.append(f"    {relation}")
    return {
        "what": "value",
        "name": name,
        "text": "\n".join(lines),
        "lead": lines[0],
        "table": neighborhood(expected64, array, at),
        "relation": relation,
    }


def neighborhood(expected, got, at):
    """Up to five entries around the index `at`, along its row: (index, expected, got) each."""
    if not at:
        return [((), float(expected), float(got))]
    first = max(0, min(at[-1] - 2, expected.shape[-1] - 5))
    places = [(*at[:-1], k) for k in range(first, min(first + 5, expected.shape[-1]))]
    return [(place, float(expected[place]), float(got[place])) for place in places]


def simple_relation(expected, got, allowed):
    """Say so if all entries are off by one factor or one constant."""
    if expected.size < 3:
        return None
    if not got.any():
        return "Every entry you return is 0."
    norm = (expected * expected).sum()
    factor = (expected * got).sum() / norm if norm else 0.0
    if np.abs(got - factor * expected).max() <= allowed * max(abs(factor), 1):
        return f"Every entry is {factor:.6g} times what was expected."
    shift = (got - expected).mean()
    if np.abs(got - expected - shift).max() <= allowed:
        return f"Every entry is off by the same {shift:.6g}."
    return None


def compare_words(name, expected, got):
    """Compare what a describing helper saw: one word a property; see HELPERS."""
    wrong = [key for key in expected if got.get(key, ["nothing"])[0] != expected[key][0]]
    if not wrong:
        return None
    wide = max(map(len, wrong)) + 2
    rows = [
        (
            key,
            ASKED.get(expected[key][0], expected[key][0]),
            shortened(": ".join(got.get(key, ["nothing"]))),
        )
        for key in wrong
    ]
    lines = [
        f"{key:<{wide}}expected  {asked}\n{'':<{wide}}got       {came}" for key, asked, came in rows
    ]
    return {"what": "words", "keys": wrong, "text": "\n".join(lines), "words": rows}


# ---------------------------------------------------------------- diagnosing


def diagnose(spec, outcomes, first_wrong):
    """The known mistake that gives what the student's code gives, or None.

    A dict with its name, hint and section, and `sure`: "all" if it reproduces every case,
    "some" if only some, "part" if only a part of the first wrong case, "crash" if it is the only
    one that crashes in the same cases, with another error, "rounding" if it is the only one that
    loses digits in the same cases, though other digits.
    """
    ranks = []
    wrong_case, wrong_outcome = spec["cases"][first_wrong], outcomes[first_wrong]
    for name, hint in spec["hints"].items():
        if name not in wrong_case["variants"]:
            continue
        variant = wrong_case["variants"][name]
        if explains_all(spec, name, outcomes):
            rank = 3
        elif variant is None:
            continue
        elif outcome_matches(spec, wrong_case, name, wrong_outcome):
            rank = 2
        else:
            explained = explains_part(spec, wrong_case, name, wrong_outcome)
            rank = explained / (1 + explained)
        if rank:
            ranks.append((rank, name, hint))
    if ranks:
        rank, name, hint = max(ranks, key=lambda entry: entry[0])
        return {"name": name, "sure": {3: "all", 2: "some"}.get(rank, "part"), **hint}
    for sure, is_alike in (("crash", crashes_alike), ("rounding", rounds_alike)):
        alike = [name for name in spec["hints"] if is_alike(spec, name, outcomes)]
        if len(alike) == 1:
            return {"name": alike[0], "sure": sure, **spec["hints"][alike[0]]}
    return None


#: Errors that a wrong shape ends in, or a None that is computed with.
CRASHES = ("ValueError", "IndexError", "AxisError", "TypeError")


def crashes_alike(spec, name, outcomes):
    """Whether the wrong variant crashes where the outcomes do, and both are right elsewhere.

    What a crash says depends on how the code is written; where it happens says something, too, if
    there are cases in which it does not.
    """
    crashed = [outcome["raised"] in CRASHES for outcome in outcomes]
    return False in crashed and all(
        (case["variants"].get(name) or {"raised": None})["raised"]
        if crash
        else name not in case["variants"] and not difference(spec, case, outcome, brief=True)
        for case, outcome, crash in zip(spec["cases"], outcomes, crashed)
    )


def rounds_alike(spec, name, outcomes):
    """Whether variant and outcomes have other numbers in single precision, and only there.

    What is left after digits have canceled is noise: it depends on the order of the operations.
    """
    kinds = set()
    for case, outcome in zip(spec["cases"], outcomes):
        variant = case["variants"].get(name)
        found = difference(spec, case, outcome, brief=True)
        if not (variant and found):
            if name in case["variants"] or found:
                return False
            continue
        dtypes = [getattr(v, "dtype", None) for v in case["expected"]["values"].values()]
        seen = difference(spec, case, {"problem": variant["raised"], **variant}, brief=True)
        kinds |= {found["what"], seen["what"], "value" if np.float32 in dtypes else "double"}
    return kinds == {"value"}


def explains_all(spec, name, outcomes):
    """Whether every outcome is that of the wrong variant, or right where that is right, too.

    Where the variant gives nothing but rounding noise, None is stored, and any outcome will do.
    """
    if not any(case["variants"].get(name) for case in spec["cases"]):
        return False
    return all(
        case["variants"][name] is None or outcome_matches(spec, case, name, outcome)
        if name in case["variants"]
        else not difference(spec, case, outcome, brief=True)
        for case, outcome in zip(spec["cases"], outcomes)
    )


def outcome_matches(spec, case, name, outcome):
    """Whether `outcome` is what the wrong variant gives, in everything that is compared.

    A crash is the same only if it says the same, down to the shapes.
    """
    variant = case["variants"][name]
    if spec["hints"][name].get("up_to_sign"):
        outcome = without_signs(outcome)
    if variant["raised"] and variant["error"] != outcome.get("error"):
        return False
    as_wrong = {"args": case["args"], "expected": variant, "right": case["expected"]}
    if difference(spec, as_wrong, outcome, brief=True):
        return False
    shapes = all(
        is_shaped_like(wrong, outcome["values"][key], case["expected"]["values"].get(key))
        for key, wrong in variant["values"].items()
    )
    return shapes and set(outcome["changed"]) == set(variant["changed"])


def without_signs(outcome):
    """An outcome in which the signs of columns are those that `up_to_sign` gives them."""
    values = {name: up_to_sign(value) for name, value in outcome["values"].items()}
    return {**outcome, "values": values}


def is_shaped_like(wrong, got, right):
    """Whether `got` has the shape of a `wrong` result, where that shape is the mistake."""
    if isinstance(wrong, dict) or right is None or wrong.shape == right.shape:
        return True
    array = plain_array(got)
    return array is not None and array.shape == wrong.shape


def explains_part(spec, case, name, outcome):
    """How many of the results that differ a wrong variant explains; 0 if any speaks against it.

    A result that it gets wrong in another way counts a little against it.
    """
    variant, explained, otherwise = case["variants"][name], 0, 0
    if outcome["problem"] or variant["raised"] or case["expected"]["raised"]:
        return 0
    for key in spec["compare"]:
        right, wrong = case["expected"]["values"][key], variant["values"][key]
        got = outcome["values"][key]
        if isinstance(right, dict):
            words = [(right[k][0], wrong[k][0], got.get(k, ["nothing"])[0]) for k in right]
            if any(w not in (r, g) or w != r == g for r, w, g in words):
                return 0  # it should show here, and does not, or in another way
            explained += sum(w == g != r for r, w, g in words)
        else:
            got_right = not compare(key, right, got, case["args"], brief=True)
            got_wrong = is_shaped_like(wrong, got, right)
            got_wrong = got_wrong and not compare(key, wrong, got, case["args"], True, right)
            if got_right and not got_wrong:
                return 0
            explained += got_wrong and not got_right
            seen = bool(compare(key, right, wrong, case["args"], brief=True))
            otherwise += seen and not got_wrong
    expected, changed = set(case["expected"]["changed"]), set(outcome["changed"])
    if not set(variant["changed"]) <= changed | expected:
        return 0
    explained += len(changed & set(variant["changed"]) - expected)
    return explained and explained - otherwise / 100


#: How sure a diagnosis is, and how the message says so.
OPENING = {
    "all": "Likely mistake (it gives exactly your results):",
    "some": "Likely mistake (it gives exactly your results in some of the cases):",
    "part": "At least this seems to be among the mistakes:",
    "words": "Likely mistake (it shows in the same way):",
    "crash": "Perhaps this is the mistake (it stops in the same cases):",
    "rounding": "Perhaps this is the mistake (it loses digits in the same cases):",
    None: "None of the mistakes we know of gives these results.",
}


IN_PLACE = (
    "What is handed in belongs to the caller. Operators such as += and *=, and assignments to a "
    "part of an array, write into the array itself, under whatever name it goes."
)


def report_on(spec, number, case, found, likely):
    """What a message is made of, in the order in which it is read."""
    # a crash, a wrong type or shape, or a changed argument explains itself
    known = likely or found["what"] in ("problem", "type", "shape", "dtype", "changed")
    sure = likely and likely["sure"]
    if sure in ("all", "some") and found["what"] == "words":
        sure = "words"  # the same words are less than the same numbers
    if found["what"] == "changed" and not likely:
        found = {**found, "text": f"{found['text']}\n{IN_PLACE}"}
    return {
        "title": f"✗ {spec['name']}: case {number} of {len(spec['cases'])}",
        "calls": own_calls(spec),
        "args": [(name, summary(value)) for name, value in case["args"].items()],
        "heading": "What happened:" if found["what"] == "problem" else "What differs:",
        "found": found,
        "opening": OPENING[sure] if likely else None if known else OPENING[None],
        "hint": likely["hint"] if likely else None,
        "section": likely["section"] if likely else spec["section"],
        "seed": spec.get("seed"),
    }


def reread(section):
    """The sentence that names a section of the book; the section's address may follow it."""
    name = f"“{section['title']}” in the chapter “{section['chapter']}"
    return f"Reread {name}”:" if section["url"] else f"Reread {name}.”"


def reread_as_html(section):
    """The same sentence; if the section has an address, its title is the link."""
    if not section["url"]:
        return html.escape(reread(section))
    link = f"<a href='{html.escape(section['url'])}'>{html.escape(section['title'])}</a>"
    return f"Reread “{link}” in the chapter “{html.escape(section['chapter'])}.”"


def as_text(report):
    """The message for a terminal: what was run, what differs, the likely mistake, the section."""
    lines = [report["title"], "", "What was run:", *(f"    {line}" for line in report["calls"])]
    wide = max(len(name) for name, _ in report["args"])
    lines.append("with")
    for name, value in report["args"]:
        lead = f"    {name:<{wide}}  "
        hang = " " * len(lead)
        lines += textwrap.wrap(value, WIDTH, initial_indent=lead, subsequent_indent=hang)
    lines += ["", report["heading"]]
    lines += textwrap.indent(wrap(report["found"]["text"], WIDTH - 4), "    ").split("\n")
    if report["opening"]:
        lines += ["", report["opening"]]
    if report["hint"]:
        lines += wrap(report["hint"], WIDTH - 8, indent="    ").split("\n")
    lines += ["", *textwrap.wrap(reread(report["section"]), WIDTH)]
    if report["section"]["url"]:
        lines.append(f"    {report['section']['url']}")
    if report["seed"] is not None:
        lines += ["", f"(a fresh random case; seed {report['seed']})"]
    return "\n".join(lines)


#: Colors come from the notebook's theme, so that the message reads on light and on dark pages.
STYLE = """
.dl-check { border-left: 4px solid #d26a00; padding: 0.2em 0 0.2em 1em; max-width: 46em; }
.dl-check p { margin: 0.8em 0 0.2em; }
.dl-check pre { margin: 0.2em 0; padding: 0; background: none; color: inherit;
  white-space: pre-wrap; }
.dl-check a { color: inherit; text-decoration: underline; }
.dl-check div { overflow-x: auto; }
.dl-check table { margin: 0.2em 0; border-collapse: collapse; font-family: monospace; }
.dl-check table :is(th, td) { padding: 0.15em 0.8em 0.15em 0; color: inherit; background: none;
  text-align: right; font-weight: normal; }
.dl-check table th:first-child { text-align: left; }
.dl-check table .worst { font-weight: bold; text-decoration: underline; }
"""


def as_html(report):
    """The message for a notebook: the same words, with a table where two results are compared."""
    esc = html.escape
    args = "".join(row((name, value), text=True) for name, value in report["args"])
    parts = [
        f"<p><b>{esc(report['title'])}</b></p>",
        f"<p>What was run:</p><pre>{esc(chr(10).join(report['calls']))}</pre>",
        f"<div><table>{args}</table></div>",
        f"<p><b>{esc(report['heading'])}</b></p>",
        found_as_html(report["found"]),
    ]
    if report["opening"]:
        parts.append(f"<p><b>{esc(report['opening'])}</b></p>")
    if report["hint"]:
        parts.append(f"<p>{esc(report['hint'])}</p>")
    parts.append(f"<p>{reread_as_html(report['section'])}</p>")
    if report["seed"] is not None:
        parts.append(f"<p>(a fresh random case; seed {report['seed']})</p>")
    return f"<div class='dl-check'><style>{STYLE}</style>{''.join(parts)}</div>"


def found_as_html(found):
    """What differs: a small table where that reads best."""
    if found["what"] == "value":
        worst = max(found["table"], key=lambda entry: abs(entry[1] - entry[2]))
        marks = ["worst" if entry is worst else "" for entry in found["table"]]
        places = [f"[{', '.join(map(str, place))}]" for place, _, _ in found["table"]]
        rows = [row(("", *places), head=True)]
        for label, column in (("expected", 1), ("got", 2)):
            numbers = [f"{entry[column]:.6g}" for entry in found["table"]]
            rows.append(row((label, *numbers), marks=["", *marks]))
        relation = f"<p>{html.escape(found['relation'])}</p>" if found["relation"] else ""
        lead = f"<p>{html.escape(found['lead'])}</p>"
        return f"{lead}<div><table>{''.join(rows)}</table></div>{relation}"
    if found["what"] == "words":
        rows = [row(("", "expected", "got"), head=True, text=True)]
        rows += [row(words, text=True) for words in found["words"]]
        return f"<div><table>{''.join(rows)}</table></div>"
    return f"<pre>{html.escape(wrap(found['text'], WIDTH))}</pre>"


def row(cells, marks=None, head=False, text=False):
    """One row of a table; its first cell is the row's heading."""
    first, *rest = (html.escape(str(cell)) for cell in cells)
    tag = "th scope='col'" if head else "td"
    style = " style='text-align:left'" if text else ""
    marks = marks[1:] if marks else [""] * len(rest)
    data = "".join(
        f"<{tag}{style}{f' class={mark}' if mark else ''}>{cell}</{tag.split()[0]}>"
        for cell, mark in zip(rest, marks)
    )
    lead = f"<th scope='row'>{first}</th>" if first else "<td></td>"
    return f"<tr>{lead}{data}</tr>"


def own_calls(spec):
    """The lines of the program that call the student's functions."""
    return [line for line in spec["program"] if any(f"{f}(" in line for f in spec["functions"])]


def summary(value):
    """One line about an argument: an array by dtype and shape, a dict entry by entry."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype}, shape {value.shape}"
    if isinstance(value, dict):
        entries = (
            f"{key!r}: {f'array {v.shape}' if isinstance(v, np.ndarray) else repr(v)}"
            for key, v in value.items()
        )
        return "{" + ", ".join(entries) + "}"
    return repr(value)


def wrap(text, width, indent=""):
    """Wrap each line of `text` that is too long; keep the others, and their indent."""
    out = []
    for line in text.split("\n"):
        lead = indent + line[: len(line) - len(line.lstrip())]
        out += textwrap.wrap(line.strip(), width, initial_indent=lead, subsequent_indent=lead) or [
            ""
        ]
    return "\n".join(out)


# ---------------------------------------------------------------- describing random results
#
# A random result is not compared number by number. A helper describes it in words, each with
# the figure behind it: [word, figure]. The words are compared, and they name the mistake.

ONE_COIN = "one coin for all"
NORMAL_SHARE = "the share of normal numbers on one side of p"
#: How a message puts what is expected where the word itself would be the answer.
ASKED = {
    "x / (1 - p)": "scaled so that the mean of out is x",
    "x * (1 - p)": "the mean of what training gives",
    "p / (1 - p)": "that of a scaled mask",
    "beta**2 / 3": "that of an even spread over the interval",
}
NETWORK_KEYS = ("W1", "b1", "W2", "b2", "W3", "b3")


def describe_mask(x, out, p):
    """What dropout did to `x` (no zeros in it): what it dropped, how it scaled, and who shared."""
    words = describe_scaling(x, out, p)
    dropped = out == 0
    sharing = sharing_words(dropped)
    looked_at = dropped
    if words.get("negative entries") == ["all dropped"]:
        looked_at = dropped[x > 0]  # what happened to the negative ones was no coin
    coins = coins_tossed(x.shape, sharing) * looked_at.size / x.size
    words["fraction dropped"] = fraction_word(looked_at.mean(), p, coins)
    return {**words, **{f"coins along axis {axis}": [word] for axis, word in enumerate(sharing)}}


def describe_scaling(x, out, p):
    """What became of the entries of `x` (no zeros in it), where all should be treated alike."""
    out = result_like("out", out, x)
    dropped = out == 0
    words = {
        "fraction dropped": fraction_word(
            dropped.mean(), p, coins_tossed(x.shape, sharing_words(dropped))
        ),
        "kept entries": factor_word(out[~dropped] / x[~dropped], p, "x"),
        "dtype of out": [str(out.dtype)],
    }
    if (x < 0).any():
        gone = dropped[x < 0].all() and not dropped.all()
        words["negative entries"] = ["all dropped" if gone else "treated like the others"]
    return words


def describe_accepted(x, out, p):
    """That `p` was accepted; and what became of `x`, if it is a probability to accept."""
    if 0 <= p < 1:
        return describe_scaling(x, out, p)
    return {"p": ["accepted", f"{p:g}"]}


def describe_draw(mask, shape, p):
    """What is in a 0/1 mask: its values, how many zeros, how shared."""
    mask = result_like("mask", mask, np.empty(shape))
    dropped = mask == 0
    sharing = sharing_words(dropped)
    return {
        "fraction of zeros": fraction_word(dropped.mean(), p, coins_tossed(shape, sharing)),
        "the other entries": factor_word(mask[~dropped].astype(float), p, "1"),
        **{f"coins along axis {axis}": [word] for axis, word in enumerate(sharing)},
    }


def describe_calls(first, second, which="second call"):
    """Whether two calls dropped the same entries."""
    first, second = plain_array(first), plain_array(second)
    if first is None or second is None:
        raise Problem("each call must return a NumPy array of numbers.")
    if first.all() and second.all():
        return {which: ["nothing is dropped"]}
    return {which: ["the same mask" if np.array_equal(first == 0, second == 0) else "another mask"]}


def describe_backward(x, out, dout, dx, p):
    """How `dx` follows from `dout`, given what the forward pass did (x has zeros as well)."""
    out, dx = result_like("out", out, x), result_like("dx", dx, x)
    seen = x != 0
    kept, dropped = seen & (out != 0), seen & (out == 0)
    words = {"dropped in the forward pass": [amount_word(dropped, seen)]}
    if (dx[kept] == 0).any():
        share = (dx[kept] == 0).mean()
        word = "0 for all" if share == 1 else "0 for some"
        words["gradient of kept entries"] = [word, f"{share:.3f} of them"]
    else:
        way_back, way_there = dx[kept] / dout[kept], out[kept] / x[kept]
        exact = TOLERANCE.get(str(dx.dtype), 1e-6)
        if kept.any() and (np.abs(way_back - way_there) <= exact * np.abs(way_there)).all():
            words["gradient of kept entries"] = ["scaled as in the forward pass"]
        else:
            words["gradient of kept entries"] = factor_word(way_back, p, "dout")
    word = "0"
    if (dx[dropped] != 0).any():
        finite = np.isfinite(dx[dropped]).all()
        word = "not always 0" if finite else "NaN or infinite"
    words["gradient of dropped entries"] = [word]
    words["gradient where x is 0"] = [f"0 for {amount_word((dx == 0) & ~seen, ~seen)}"]
    return words


def describe_draws(first, second):
    """Whether the global generator gives the same numbers after two differently seeded runs."""
    same = np.array_equal(first, second)
    return {"NumPy's global generator": ["reset by your function" if same else "left as it was"]}


def seed_global(seed):
    """Seed NumPy's global generator (`outcomes_of` puts its state back)."""
    np.random.seed(seed)
    return seed


def draw_global():
    """Draw from NumPy's global generator."""
    return np.random.random(4)


def weights_from(*arrays):
    """The weights of a three-layer network, as the dict that the exercise speaks of."""
    return dict(zip(NETWORK_KEYS, arrays))


def weights_of(grads):
    """The gradients of a three-layer network's weights, from a dict with the weights' keys."""
    if not isinstance(grads, dict):
        raise Problem(f"grads must be a dict, got {type(grads).__name__}.")
    missing = [key for key in NETWORK_KEYS if key not in grads]
    if missing:
        raise Problem(f"grads must have a gradient for each weight; missing: {', '.join(missing)}.")
    return tuple(grads[key] for key in NETWORK_KEYS)


def result_like(name, value, x):
    """`value` as an array of x's shape, or a Problem that says what it is."""
    array = plain_array(value)
    if array is None:
        raise Problem(f"{name} must be a NumPy array of numbers, got {type(value).__name__}.")
    if array.shape != x.shape:
        raise Problem(f"{name} must have shape {x.shape}, got {array.shape}.")
    return array


def amount_word(chosen, among):
    """How many of the entries `among` are `chosen`: none, some or all."""
    count = int((chosen & among).sum())
    return "none" if count == 0 else "all" if count == int(among.sum()) else "some"


def fraction_word(fraction, p, coins):
    """Name a fraction of dropped entries, `coins` of them independent."""
    normal = (1 + math.erf(p / math.sqrt(2))) / 2
    chances = (
        *(("none", 0.0), ("all", 1.0), ("p", p), ("1 - p", 1 - p), ("1/2, not p", 0.5)),
        *((NORMAL_SHARE, normal), (NORMAL_SHARE, 1 - normal)),
    )
    for word, chance in chances:
        if abs(fraction - chance) <= SIGMAS * np.sqrt(chance * (1 - chance) / coins):
            return [word, f"{fraction:.3f} of them, where p = {p:g}"]
    return ["another share", f"{fraction:.3f} of them, where p = {p:g}"]


def factor_word(ratio, p, of):
    """Name the one factor in `ratio`, if it is one; `of` is what it is a multiple of."""
    if ratio.size == 0:
        return ["there are none"]
    if np.isnan(ratio).any():
        return ["NaN"]
    if np.isinf(ratio).any():
        return ["infinite"]
    factor, q = float(np.median(ratio)), 1 - p
    exact = TOLERANCE.get(str(ratio.dtype), 1e-6)
    if np.abs(ratio - factor).max() > exact * abs(factor):
        return [f"not one multiple of {of}", f"{ratio.min():.4g} to {ratio.max():.4g}"]
    known = {
        "1" if of == "1" else f"{of} itself": 1.0,
        f"{of} / (1 - p)": 1 / q,
        f"{of} / p": 1 / p if p else np.inf,
        f"{of} * (1 - p)": q,
        f"{of} * p": p,
        f"{of} / (1 - p)**2": 1 / q**2,
    }
    for word, value in known.items():
        if abs(factor - value) <= exact * value < np.inf:
            return [word]
    return [f"another multiple of {of}", f"{factor:.4g} times"]


def sharing_words(dropped):
    """For each axis, whether neighbors along it are dropped independently or always together."""
    if dropped.all() or not dropped.any():
        return ["nothing to compare"] * dropped.ndim
    words = {}
    for axis, size in enumerate(dropped.shape):
        if size == 1:
            words[axis] = "only one entry"
        elif (dropped == dropped.take([0], axis)).all():
            words[axis] = ONE_COIN
    # the coins that are really there: one index stands for an axis along which all are the same
    coins = dropped[tuple(slice(1 if words.get(a) else None) for a in range(dropped.ndim))]
    return [
        words.get(axis) or neighbors_word(coins.astype(float), axis) for axis in range(coins.ndim)
    ]


def coins_tossed(shape, sharing):
    """How many coins decide about an array: one for all along an axis where they are shared."""
    return math.prod(n for n, word in zip(shape, sharing) if word != ONE_COIN)


def neighbors_word(coins, axis):
    """Whether neighbors along `axis` are correlated, beyond what chance explains."""
    a, b = np.delete(coins, -1, axis).ravel(), np.delete(coins, 0, axis).ravel()
    spread = a.std() * b.std()
    z = ((a - a.mean()) * (b - b.mean())).mean() / spread * np.sqrt(a.size) if spread else 0.0
    return "independent" if abs(z) <= SIGMAS else "not independent"


# Noise that is no mask: every entry has a factor of its own, out / x, with a mean and a variance.

#: Of a distribution: the share of its numbers within one standard deviation of the mean, and its
#: fourth moment over its squared variance, which says how well a variance can be estimated.
SHAPES = {"normal": (0.6827, 3.0), "uniform": (0.5774, 1.8)}
FACTOR_KEYS = ("mean of the factors", "variance of the factors", "shape of the noise")
MULTIPLIED = "x times noise"
#: Two factors are the same number if they differ by no more: both were rounded, to float32 perhaps.
SAME = TOLERANCE["float32"]


def noise_moments(kind, strength):
    """Means and variances to look for, by name, the right ones first."""
    if kind == "normal":
        p, q = strength, 1 - strength
        means = {"1": 1.0, "0": 0.0, "1 / (1 - p)": 1 / q, "1 - p": q}
        variances = {
            "p / (1 - p)": p / q,
            "(1 - p) / p": q / p,
            "(p / (1 - p))**2": (p / q) ** 2,
            "p * (1 - p)": p * q,
            "p": p,
            "p**2": p**2,
        }
    else:
        beta = strength
        means = {"1": 1.0, "0": 0.0, "1 + beta / 2": 1 + beta / 2, "beta / 2": beta / 2}
        variances = {
            "beta**2 / 3": beta**2 / 3,
            "beta**2 / 12": beta**2 / 12,
            "beta**2": beta**2,
            "beta": beta,
        }
    return means, variances


def describe_noise(x, out, kind, strength):
    """What noise `x` (no zeros in it) was multiplied by: its mean, variance, shape, and sharing."""
    change = describe_change(x, out)["out"][0]
    if change != MULTIPLIED:
        raise Problem(f"In train mode out must be {MULTIPLIED}; it is {change}.")
    words = factor_words((out / x).astype(float), kind, strength)
    return {**words, "dtype of out": [str(out.dtype)]}


def describe_change(x, out):
    """What became of `x` (no zeros in it): multiplied by one number or by many, or added to."""
    out = result_like("out", out, x)
    factor = out / x
    if not np.isfinite(factor).all():
        return {"out": ["NaN or infinite for some entries"]}
    if np.ptp(factor) <= SAME * np.abs(factor).max():
        value = float(factor.flat[0])
        word = "x itself" if abs(value - 1) <= SAME else "one multiple of x"
        return {"out": [word, f"{value:.4g} times x"]}
    large = np.abs(x) > np.median(np.abs(x))
    grows, wanted = (a[large].mean() / a[~large].mean() for a in ((out - x) ** 2, x**2))
    return {"out": [MULTIPLIED if grows > np.sqrt(wanted) else "x plus noise"]}


def factor_words(factor, kind, strength):
    """Mean, variance and shape of the numbers in `factor`, and along which axes they repeat."""
    words, axes = {}, range(factor.ndim)
    for axis in axes:
        if factor.shape[axis] > 1 and np.ptp(factor, axis=axis).max() <= 10 * SAME:
            words[axis] = "one number for all"
    # the numbers that were really drawn
    drawn = factor[tuple(slice(1 if axis in words else None) for axis in axes)]
    means, variances = noise_moments(kind, strength)
    mean, variance, n = drawn.mean(), drawn.var(), drawn.size
    off, of_itself = np.sqrt(variance / n), np.sqrt((SHAPES[kind][1] - 1) / n)
    mean_word = nearby(mean, {name: (m, off) for name, m in means.items()})
    variance_word = nearby(variance, {name: (v, v * of_itself) for name, v in variances.items()})
    found = ([mean_word, f"{mean:.3f}"], [variance_word, f"{variance:.3f}"])
    sharing = [words.get(axis) or neighbors_word(drawn, axis) for axis in axes]
    return {
        **dict(zip(FACTOR_KEYS, (*found, [shape_word(drawn, kind)]))),
        **{f"along axis {axis}": [word] for axis, word in enumerate(sharing)},
    }


def nearby(value, known):
    """The name of the first known value within SIGMAS of its standard errors; (value, s.e.)."""
    for name, (expected, error) in known.items():
        if abs(value - expected) <= SIGMAS * error:
            return name
    return "another"


def shape_word(numbers, kind):
    """Name a distribution by the share of its numbers within one standard deviation."""
    if np.unique(numbers.round(3)).size <= 3:
        return "a few values only"
    within = (np.abs(numbers - numbers.mean()) <= numbers.std()).mean()
    # measured with the numbers' own mean and deviation, the share varies less than with coins
    known = {
        name: (share, np.sqrt(share * (1 - share) / numbers.size))
        for name, (share, _) in sorted(SHAPES.items(), key=lambda entry: entry[0] != kind)
    }
    return nearby(within, known)


def describe_noise_calls(first, second):
    """Whether two calls drew the same noise."""
    first, second = plain_array(first), plain_array(second)
    if first is None or second is None:
        raise Problem("each call must return a NumPy array of numbers.")
    return {"second call": ["the same noise" if np.array_equal(first, second) else "other noise"]}


def describe_noise_backward(x, out, dout, dx):
    """How `dx` follows from `dout`, given what the forward pass did (x has zeros as well)."""
    out, dx = result_like("out", out, x), result_like("dx", dx, x)
    seen = x != 0
    there, back = out[seen] / x[seen], dx[seen] / dout[seen]
    exact = TOLERANCE.get(str(dx.dtype), 1e-6)
    with np.errstate(all="ignore"):
        known = {
            "that of the forward pass": there,
            "1": np.ones_like(there),
            "the forward pass's, squared": there**2,
            "1 over that of the forward pass": 1 / there,
            "the output of the forward pass": out[seen],
        }
    word = "another one"
    for name, factor in known.items():
        if np.isfinite(factor).all() and (np.abs(back - factor) <= exact * np.abs(factor)).all():
            word = name
            break
    at_zeros = dx[~seen]
    left = "not 0" if at_zeros.all() else "0 for some"
    return {
        "noise in the forward pass": ["none" if np.abs(there - 1).max() <= exact else "some"],
        "factor from dout to dx": [word],
        "gradient where x is 0": [left if np.isfinite(at_zeros).all() else "NaN or infinite"],
    }


def noisy_network(first, center, second, factors):
    """A network for Monte Carlo dropout, whose noise is known: `factors`, one array a call.

    In train mode its normalization layer takes away the mean of the batch, in test mode `center`.
    """
    calls = {"noisy": 0}

    def network(x, dropout_mode, norm_mode):
        if {dropout_mode, norm_mode} - {"train", "test"}:
            raise ValueError("a mode must be 'train' or 'test'")
        hidden = x @ first
        hidden = np.maximum(hidden - (center if norm_mode == "test" else hidden.mean(axis=0)), 0)
        if dropout_mode == "train":
            hidden = hidden * factors[calls["noisy"] % len(factors)]
            calls["noisy"] += 1
        return hidden @ second

    return network


# ------------------------------------------------- describing a network and what it has learned

#: The share of new images that a network trained on pairs must name right.
MARK = 0.85
#: A network that has learned nothing names one image in ten right.
GUESSING = 0.2


def pixels(images):
    """Images of whole numbers from 0 to 16, as a network takes them: float64 around 0."""
    return images / 16 - 0.3


def entries_of(found, names):
    """The arrays under `names`, separated by blanks, in a dict that a function returned."""
    if not isinstance(found, dict):
        raise Problem(f"a dict of arrays must be returned, got {type(found).__name__}.")
    missing = [name for name in names.split() if name not in found]
    if missing:
        raise Problem(f"the returned dict must have an entry for {', '.join(missing)}.")
    return tuple(found[name] for name in names.split())


def describe_positions(found):
    """Positions in a list, as words."""
    found = found.tolist() if isinstance(found, np.ndarray) else found
    if not isinstance(found, (list, tuple)):
        raise Problem(f"a list of positions must be returned, got {type(found).__name__}.")
    if not all(isinstance(k, (int, np.integer)) and not isinstance(k, bool) for k in found):
        raise Problem("every position must be an int.")
    return {"positions": [", ".join(str(int(k)) for k in found) or "none"]}


def describe_layers(found, what):
    """A stack of layers, as words; `what` says which stack it is."""
    if not isinstance(found, (list, tuple)) or not all(isinstance(kind, str) for kind in found):
        raise Problem(f"a list of strings must be returned, got {type(found).__name__}.")
    return {what: [", ".join(found) or "no layer"]}


def labels_like(labels, count):
    """`labels` as an array of `count` classes, or a Problem that says what it is."""
    array = plain_array(labels)
    if array is None:
        raise Problem(f"predict must return a NumPy array, got {type(labels).__name__}.")
    if array.shape != (count,) or array.dtype.kind not in "iu":
        raise Problem(
            f"predict must return one class (int) for each of {count} images: shape ({count},), "
            f"got {array.dtype} of shape {array.shape}."
        )
    return array


def describe_answers(x, labels, again, other_start, other_pairs, x_first, alone):
    """What the answers to x depend on; `alone` are those to x_first, its first images."""
    runs = [labels_like(run, len(x)) for run in (labels, again, other_start, other_pairs)]
    alone = labels_like(alone, len(x_first))
    first, *others = runs

    def word(same):
        return ["the same answers" if same else "other answers"]

    return {
        "images asked without the others": word(np.array_equal(first[: alone.size], alone)),
        "trained again, rng in the same state": word(np.array_equal(first, others[0])),
        "trained again, another rng": word(np.array_equal(first, others[1])),
        "trained on other pairs": word(np.array_equal(first, others[2])),
        # one run on so few pairs may do so by chance
        "classes named": classes_word(runs),
    }


def describe_accuracy(labels, right):
    """How many images are named right, and whether more than one class is ever named."""
    labels = labels_like(labels, len(right))
    share = (labels == right).mean()
    word = (
        f"at least {MARK:.0%}"
        if share >= MARK
        else "next to none"
        if share < GUESSING / 10
        else "hardly more than by guessing"
        if share < GUESSING
        else f"more than by guessing, less than {MARK:.0%}"
    )
    return {
        "named right": [word, f"{share:.1%} of {labels.size} images"],
        "classes named": classes_word([labels]),
    }


def classes_word(runs):
    """Whether more than one class is named by any of the networks."""
    return ["only one" if all((run == run[0]).all() for run in runs) else "several"]


def table_layer(sees):
    """A layer for tables: row i of its output is made of the samples j where sees[i, j] is not 0.

    Like a norm it overlooks some changes. Of samples 0, 2, ... it sees how far the features are
    from the first, and no number added to all of them; of samples 1, 3, ... how large they are
    beside the largest, and no factor on all of them.
    """

    def layer(x):
        seen = x - x[:, :1]
        largest = np.abs(x[1::2]).max(axis=1, keepdims=True)
        seen[1::2] = x[1::2] / np.where(largest > 0, largest, 1)
        seen = seen.round(9)  # a rounding error is no influence
        return np.array([row[row != 0] @ seen[row != 0] for row in sees])

    return layer


def as_numbers(table):
    """A table of True and False, or of 1 and 0, as floats."""
    array = plain_array(table)
    return table if array is None else array.astype(np.float64)


def per_channel(value):
    """`value` in shape (C,) if it comes as (1, C, 1, 1), where one is as good as the other."""
    array = plain_array(value)
    wide = array is not None and array.ndim == 4 and array.shape == (1, array.size, 1, 1)
    return array.ravel() if wide else value


def several(*values):
    """The values as a list."""
    return list(values)


def describe_truths(found, names):
    """Which of the statements in `names`, separated by commas, a dict says are True."""
    if not isinstance(found, dict):
        raise Problem(f"a dict must be returned, got {type(found).__name__}.")
    words = {}
    for name in names.split(", "):
        if name not in found:
            raise Problem(f"the returned dict must have the key {name!r}.")
        if not isinstance(found[name], (bool, np.bool_)):
            raise Problem(f"{name!r} must be True or False, got {type(found[name]).__name__}.")
        words[name] = [str(bool(found[name]))]
    return words


# ---------------------------------------------------------------- functions to differentiate
#
# What the checks of numeric gradients hand in as `f`. Each takes a float array, or a complex one.


def ripple(x):
    """One number from any array, in which neighbors are multiplied: sin(k x_k) + x_k x_k+1^2."""
    x = x.ravel()
    return np.sin(np.arange(1, x.size + 1) * x).sum() + (x[:-1] * x[1:] ** 2).sum()


def growth(x):
    """One number from any array: the exponential of a mean square, times the first entry."""
    return np.exp((x * x).mean()) * x.ravel()[0]


def squash(x):
    """An array of x's shape, x / sqrt(1 + sum of squares): each entry depends on all of x."""
    return x / np.sqrt(1 + (x * x).sum())


def mix(x):
    """From (N, D) to (N, D + 1): tanh of x times a fixed matrix."""
    d = x.shape[1]
    return np.tanh(x @ np.cos(np.arange(d * (d + 1)).reshape(d, d + 1)))


def pool(x):
    """From (N, D) to (D,): the cubes of each column, summed with weights 1, 2, ..., N."""
    return np.arange(1.0, len(x) + 1) @ x**3


FUNCTIONS = {"ripple": ripple, "growth": growth, "squash": squash, "mix": mix, "pool": pool}


def off_axis(x, v, h):
    """A complex point: x, and a step h along v at a right angle to the real axis."""
    return x + 1j * (h * v)


def slope_of(out, h):
    """The imaginary part of a complex result, divided by the step."""
    if type(out) is not np.ndarray or out.dtype.kind != "c":
        what = f"dtype {out.dtype}" if isinstance(out, np.ndarray) else type(out).__name__
        raise Problem(f"For a complex x the result must be a complex array, got {what}.")
    return out.imag / h


def real(value):
    """`value`, unless it is complex: the derivative of a real function is a real number."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "c":
        raise Problem(f"A real array was expected, got {value.dtype}: which part is the result?")
    return value


def number(value):
    """A single number as a float, whatever its type; anything else is passed on as it is."""
    array = plain_array(value)
    return value if array is None or array.shape else float(array)


def up_to_sign(out):
    """Columns whose sign is free, each with the sign that makes its largest entry positive."""
    array = plain_array(out)
    if array is None or array.ndim != 2 or not array.size:
        return out
    largest = np.abs(array).argmax(axis=0)
    return np.where(array[largest, np.arange(array.shape[1])] < 0, -array, array)


#: Helpers that make what a student's function is called with, or leave something for it to change:
#: they run beside it. All others look at what came of it, and run where the judge is.
MAKERS = {
    *("copy", "draw_global", "function", "generator", "list_of", "noisy_network", "off_axis"),
    *("pixels", "seed_global", "several", "table_layer", "tuple_of", "weights_from"),
}
#: Those of them that make the same of the same arguments in either place.
REPEATABLE = {"copy", "off_axis", "pixels", "tuple_of"}

HELPERS = {
    "function": FUNCTIONS.__getitem__,
    "off_axis": off_axis,
    "slope_of": slope_of,
    "real": real,
    "number": number,
    "up_to_sign": up_to_sign,
    "copy": np.copy,
    "describe_truths": describe_truths,
    "tuple_of": tuple,
    "generator": np.random.default_rng,
    "describe_mask": describe_mask,
    "describe_scaling": describe_scaling,
    "describe_accepted": describe_accepted,
    "describe_draw": describe_draw,
    "describe_calls": describe_calls,
    "describe_backward": describe_backward,
    "describe_draws": describe_draws,
    "seed_global": seed_global,
    "draw_global": draw_global,
    "weights_from": weights_from,
    "weights_of": weights_of,
    "list_of": list,
    "pixels": pixels,
    "entries_of": entries_of,
    "describe_positions": describe_positions,
    "describe_layers": describe_layers,
    "describe_answers": describe_answers,
    "describe_accuracy": describe_accuracy,
    "describe_noise": describe_noise,
    "describe_change": describe_change,
    "describe_noise_calls": describe_noise_calls,
    "describe_noise_backward": describe_noise_backward,
    "noisy_network": noisy_network,
    "table_layer": table_layer,
    "as_numbers": as_numbers,
    "per_channel": per_channel,
    "several": several,
}
