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
import json
import linecache
import textwrap
import threading
import time
import traceback
import warnings
from pathlib import Path

import numpy as np

WIDTH = 80
#: Seconds that one call of one of your functions may take.
TIME_LIMIT = 5.0
#: Largest difference that passes, relative to the largest expected entry. Every right way to
#: compute these results agrees to 1e-10 in float64; in float32 it is 2**10 roundings.
TOLERANCE = {"float64": 1e-6, "float32": 2**10 * float(np.finfo(np.float32).eps)}
#: Standard errors that a random fraction may be off: a right answer is stopped once in 2e8 checks.
SIGMAS = 5.8


class CheckFailed(AssertionError):
    """Your function did not pass; the text says what was compared, what differs and why."""

    def _render_traceback_(self):
        return str(self).split("\n")


class Problem(Exception):
    """What keeps a result from being compared at all: a crash, None, a wrong shape."""


# ---------------------------------------------------------------- entry point


def check(name, *functions):
    """Check your `functions` against the stored cases called `name`.

    Prints one line if all is well, and raises CheckFailed with the diagnosis if not.
    """
    checks = load(Path(__file__).with_name("checks.npz"))
    if name not in checks:
        raise ValueError(f"there is no check called {name!r}; there are: {', '.join(checks)}")
    verdict = judge(checks[name], functions)
    if not verdict["passed"]:
        raise CheckFailed(verdict["message"])
    print(verdict["message"])


def judge(spec, functions):
    """Run `functions` on every case of `spec`: a dict with `passed` and `message`."""
    names = spec["functions"]
    if len(functions) != len(names) or not all(map(callable, functions)):
        raise ValueError(f"check({spec['name']!r}, ...) needs the function(s) {', '.join(names)}")
    given = dict(zip(names, functions))
    outcomes = []
    for case in spec["cases"]:
        outcomes.append(run(spec, given, case["args"], TIME_LIMIT))
        if outcomes[-1]["raised"] in ("TimeoutError", "NotImplementedError"):
            break
    for number, (case, outcome) in enumerate(zip(spec["cases"], outcomes), 1):
        found = difference(spec, case, outcome)
        if found:
            likely = diagnose(spec, outcomes, number - 1)
            return {
                "passed": False,
                "message": explain(spec, number, case, outcome, found, likely),
                "misconception": likely and likely["name"],
            }
    count = len(outcomes)
    message = f"✓ {spec['name']}: {spec['says']} ({count} case{'s' * (count > 1)})"
    notes = sorted({note for outcome in outcomes for note in outcome["warnings"]})
    return {"passed": True, "message": "\n".join([message, *(f"  warning: {n}" for n in notes)])}


# ---------------------------------------------------------------- stored cases


def load(path):
    """Read a `checks.npz`: the checks by name."""
    if not Path(path).exists():
        raise FileNotFoundError(
            f"{Path(path).name} is missing. It comes with the assignment and must stay in the same "
            f"folder as checker.py ({Path(path).parent}); download the folder again."
        )
    with np.load(path, allow_pickle=False) as stored:
        arrays = {key: stored[key] for key in stored.files}

    def restore(value):
        if isinstance(value, dict) and set(value) == {"array"}:
            return arrays[value["array"]]
        if isinstance(value, dict):
            return {key: restore(entry) for key, entry in value.items()}
        return [restore(entry) for entry in value] if isinstance(value, list) else value

    return restore(json.loads(str(arrays["checks"])))


# ---------------------------------------------------------------- running a program


def run(spec, functions, args, limit=None):
    """Run the spec's program, line by line, with `functions` on copies of `args`.

    One call may take `limit` seconds. Returns the outcome: the values to compare, the arguments
    that were changed in place, the warnings, and the problem that stopped it, if one did.
    """
    names = copy_of(args)
    outcome = {"values": {}, "changed": [], "warnings": [], "raised": None, "problem": None}
    state = np.random.get_state()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            for line in spec["program"]:
                step(line, functions, names, limit)
            for name in spec["compare"]:
                outcome["values"][name] = lookup(ast.parse(name, mode="eval").body, names)
        except Problem as problem:
            cause = problem.__cause__
            outcome["problem"] = str(problem)
            outcome["raised"] = type(cause).__name__ if cause else str(problem)
    np.random.set_state(state)
    outcome["warnings"] = [f"{w.category.__name__}: {w.message}" for w in caught]
    outcome["changed"] = [
        name
        for name, value in args.items()
        if isinstance(value, np.ndarray) and not np.array_equal(value, names[name], equal_nan=True)
    ]
    return outcome


def step(line, functions, values, limit):
    """Run one line, ``out, cache = f(x, param['p'])``, and store what it returns in `values`."""
    node = ast.parse(line).body[0]
    call, target = node.value, node.targets[0]
    name = call.func.id
    arguments = [lookup(argument, values) for argument in call.args]
    if name not in functions:
        result = HELPERS[name](*arguments)
    else:
        result = call_limited(name, functions[name], arguments, ast.unparse(call), limit)
    if isinstance(target, ast.Name):
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
        forgot = " Is the return statement missing?" if result is None else ""
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
        raise Problem(f"{ast.unparse(node)} is missing: your function did not store it.")
    return container[key]


def call_limited(name, function, arguments, call, limit):
    """Call a student's function; turn whatever goes wrong into a Problem that shows the line."""
    finished = threading.Lock()
    expired = threading.Event()

    def expire():
        if finished.acquire(blocking=False):
            expired.set()
            _thread.interrupt_main()

    timer = threading.Timer(limit or 0, expire)
    timer.daemon = True
    if limit and threading.current_thread() is threading.main_thread():
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
        where = own_line(interrupt)
        raise Problem(
            f"{call} ran for more than {limit:g} seconds and was stopped{where}\n"
            "Does a loop never end?"
        ) from TimeoutError()
    except NotImplementedError as error:
        raise Problem(
            f"{name} is not written yet: its cell still raises NotImplementedError."
        ) from error
    except Exception as error:
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise Problem(f"{call} raised {what}{own_line(error)}") from error


def own_line(error):
    """Where in the student's own code `error` came from, as text; empty if not known."""
    skip = (str(Path(__file__).parent), str(Path(np.__file__).parent))
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(skip)
    ]
    # compiled functions name a source file that is not there
    frames = [f for f in frames if f.filename != __file__ and not f.filename.endswith(".pyx")]
    if not frames:
        return "."
    last = frames[-1]
    source = (last.line or linecache.getline(last.filename, last.lineno)).strip()
    return f", in {last.name}, line {last.lineno} of its cell:\n    {source}"


def copy_of(value):
    """A copy of arguments that shares no array with them."""
    if isinstance(value, dict):
        return {key: copy_of(entry) for key, entry in value.items()}
    return value.copy() if isinstance(value, np.ndarray) else value


# ---------------------------------------------------------------- comparing


def difference(spec, case, outcome):
    """The first thing in which `outcome` is not as expected, as a dict, or None."""
    expected = case["expected"]
    if outcome["problem"] or expected["raised"]:
        if outcome["raised"] == expected["raised"]:
            return None
        if not outcome["problem"]:
            return {
                "what": "error",
                "text": f"Expected {expected['raised']}, but nothing was raised.",
            }
        return {"what": "problem", "text": outcome["problem"]}
    for name in spec["compare"]:
        got = outcome["values"][name]
        found = compare(name, expected["values"][name], got, case["args"])
        if found:
            return found
    extra = [name for name in outcome["changed"] if name not in expected["changed"]]
    if extra:
        text = f"The results are right, but {' and '.join(extra)} was changed in place."
        return {"what": "changed", "names": extra, "text": text}
    return None


def compare(name, expected, got, args):
    """How `got`, the value called `name`, differs from `expected`: a dict with a text, or None."""
    if isinstance(expected, dict):
        return compare_words(name, expected, got)
    array = plain_array(got)
    if array is None:
        text = f"{name} must be a NumPy array of numbers, got {type(got).__name__}."
        return {"what": "type", "name": name, "text": text}
    if not shapes_agree(name, expected, array, args):
        text = f"{name} must have shape {expected.shape}, got {array.shape}."
        return {"what": "shape", "name": name, "text": text}
    strict = expected.ndim != 1
    if strict and array.dtype != expected.dtype:
        text = f"{name} must have dtype {expected.dtype}, as x has; got {array.dtype}."
        return {"what": "dtype", "name": name, "text": text}
    return compare_numbers(name, expected, array.reshape(expected.shape))


def plain_array(value):
    """`value` as a plain numeric ndarray, or None: a subclass could compare as it likes."""
    if isinstance(value, (bool, int, float, np.generic)) or type(value) is np.ndarray:
        array = np.asarray(value)
        return array if array.dtype.kind in "fiub" else None
    return None


def shapes_agree(name, expected, array, args):
    """Whether the shape will do: for one number a feature, (1, D) is as good as (D,).

    Not so where an array of shape (D,) was handed in to be updated: it must come back as it was.
    """
    if array.shape == expected.shape:
        return True
    node = ast.parse(name, mode="eval").body
    handed_in = isinstance(node, ast.Subscript) and node.slice.value in args[node.value.id]
    return not handed_in and expected.ndim == 1 and array.shape == (1, *expected.shape)


def compare_numbers(name, expected, array):
    """Entry by entry, relative to the largest expected entry."""
    array = array.astype(np.float64)
    expected64 = expected.astype(np.float64)
    if not np.isfinite(array).all():
        bad = int(array.size - np.isfinite(array).sum())
        text = f"{bad} of the {array.size} entries of {name} are NaN or infinite."
        return {"what": "nan", "name": name, "text": text}
    error = np.abs(array - expected64)
    scale = np.abs(expected64).max(initial=0.0)
    allowed = TOLERANCE["float32" if expected.dtype == np.float32 else "float64"] * (scale or 1.0)
    wrong = error > allowed
    if not wrong.any():
        return None
    at = np.unravel_index(error.argmax(), error.shape)
    place = f" at [{', '.join(map(str, at))}]" if at else ""
    lines = [
        f"{name}, shape {expected.shape}: {int(wrong.sum())} of {wrong.size} entries differ, "
        f"the most{place}",
        f"    expected  {expected64[at]: .8g}",
        f"    got       {array[at]: .8g}",
    ]
    relation = simple_relation(expected64, array, allowed)
    if relation:
        lines.append(f"    {relation}")
    return {"what": "value", "name": name, "text": "\n".join(lines)}


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
    lines = [
        f"{key:<{wide}}expected  {expected[key][0]}\n"
        f"{'':<{wide}}got       {': '.join(got.get(key, ['nothing']))}"
        for key in wrong
    ]
    return {"what": "words", "name": name, "keys": wrong, "text": "\n".join(lines)}


# ---------------------------------------------------------------- diagnosing


def diagnose(spec, outcomes, first_wrong):
    """The known mistake that gives what the student's code gives, or None.

    A dict with its name, hint and section, and `sure`: "all" if it reproduces every case,
    "some" if only some, "part" if only a part of the first wrong case.
    """
    ranks = []
    for name, hint in spec["hints"].items():
        same = [
            outcome_matches(spec, case, case["variants"][name], outcome)
            for case, outcome in zip(spec["cases"], outcomes)
            if name in case["variants"]
        ]
        right_elsewhere = all(
            name in case["variants"] or not difference(spec, case, outcome)
            for case, outcome in zip(spec["cases"], outcomes)
        )
        wrong_case, wrong_outcome = spec["cases"][first_wrong], outcomes[first_wrong]
        here = name in wrong_case["variants"]
        if here and all(same) and right_elsewhere:
            rank = 3
        elif here and outcome_matches(
            spec, wrong_case, wrong_case["variants"][name], wrong_outcome
        ):
            rank = 2
        elif here and explains_part(spec, wrong_case, name, wrong_outcome):
            rank = 1
        else:
            continue
        ranks.append((rank, name, hint))
    if not ranks:
        return None
    rank, name, hint = max(ranks, key=lambda entry: entry[0])
    return {"name": name, "sure": {3: "all", 2: "some", 1: "part"}[rank], **hint}


def outcome_matches(spec, case, variant, outcome):
    """Whether `outcome` is what the wrong `variant` gives, in everything that is compared."""
    same = difference(spec, {"args": case["args"], "expected": variant}, outcome) is None
    return same and set(outcome["changed"]) == set(variant["changed"])


def explains_part(spec, case, name, outcome):
    """Whether a wrong variant explains at least one of the results that differ."""
    variant = case["variants"][name]
    if outcome["problem"] or variant["raised"] or case["expected"]["raised"]:
        return False
    for key in spec["compare"]:
        right, wrong = case["expected"]["values"][key], variant["values"][key]
        got = outcome["values"][key]
        if isinstance(right, dict):
            off = [k for k in right if got[k][0] != right[k][0]]
            if any(wrong[k][0] == got[k][0] for k in off):
                return True
        elif compare(key, right, got, case["args"]) and not compare(key, wrong, got, case["args"]):
            return True
    changed = set(outcome["changed"]) - set(case["expected"]["changed"])
    return bool(changed & set(variant["changed"]))


def explain(spec, number, case, outcome, found, likely):
    """The message: what was run, what differs, the likely mistake, where to reread."""
    lines = [f"✗ {spec['name']}: case {number} of {len(spec['cases'])}", ""]
    lines += ["What was run:", *(f"    {line}" for line in own_calls(spec))]
    wide = max(map(len, case["args"]))
    lines.append("with")
    for name, value in case["args"].items():
        lead = f"    {name:<{wide}}  "
        hang = " " * len(lead)
        lines += textwrap.wrap(summary(value), WIDTH, initial_indent=lead, subsequent_indent=hang)
    lines += ["", "What differs:" if found["what"] != "problem" else "What happened:"]
    lines += textwrap.indent(wrap(found["text"], WIDTH - 8), "    ").split("\n")
    if likely:
        opening = {
            "all": "Likely mistake (it gives exactly your results):",
            "some": "Likely mistake (it gives exactly your results in some of the cases):",
            "part": "At least this seems to be among the mistakes:",
        }[likely["sure"]]
        lines += ["", opening, *wrap(likely["hint"], WIDTH - 8, indent="    ").split("\n")]
    elif found["what"] not in ("problem", "type"):
        lines += ["", "None of the mistakes we know of gives these results."]
    section = likely["section"] if likely else spec["section"]
    reread = f"Reread: {section['chapter']}, “{section['title']}”"
    lines += ["", *textwrap.wrap(reread, WIDTH, subsequent_indent=" " * 8), f"    {section['url']}"]
    if spec.get("seed") is not None:
        lines += ["", f"(a fresh random case; seed {spec['seed']})"]
    return "\n".join(lines)


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
NETWORK_KEYS = ("W1", "b1", "W2", "b2", "W3", "b3")


def describe_mask(x, out, p):
    """What dropout did to `x` (no zeros in it): what it dropped, how it scaled, and who shared."""
    words = describe_scaling(x, out, p)
    dropped = out == 0
    sharing = sharing_words(dropped)
    looked_at = dropped
    if words.get("negative entries") == ["all dropped"]:
        looked_at = dropped[x > 0]  # what happened to the negative ones was no coin
    coins = np.prod([n for n, word in zip(x.shape, sharing) if word != ONE_COIN])
    coins = coins * looked_at.size / x.size
    words["fraction dropped"] = fraction_word(looked_at.mean(), p, coins)
    return {**words, **{f"coins along axis {axis}": [word] for axis, word in enumerate(sharing)}}


def describe_scaling(x, out, p):
    """What became of the entries of `x` (no zeros in it), where all should be treated alike."""
    out = result_like("out", out, x)
    dropped = out == 0
    words = {
        "fraction dropped": fraction_word(dropped.mean(), p, x.size),
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
    coins = np.prod([n for n, word in zip(shape, sharing) if word != ONE_COIN])
    return {
        "fraction of zeros": fraction_word(dropped.mean(), p, coins),
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
        words["gradient of kept entries"] = ["0 for some", f"{(dx[kept] == 0).mean():.3f} of them"]
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
    """Seed NumPy's global generator (`run` puts its state back)."""
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
    chances = (("none", 0.0), ("all", 1.0), ("p", p), ("1 - p", 1 - p), ("1/2, not p", 0.5))
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


def neighbors_word(coins, axis):
    """Whether neighbors along `axis` are correlated, beyond what chance explains."""
    a, b = np.delete(coins, -1, axis).ravel(), np.delete(coins, 0, axis).ravel()
    spread = a.std() * b.std()
    z = ((a - a.mean()) * (b - b.mean())).mean() / spread * np.sqrt(a.size) if spread else 0.0
    return "independent" if abs(z) <= SIGMAS else "not independent"


HELPERS = {
    "copy": np.copy,
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
}
