"""Trusted cells are read and never run, and what comes back to their judges is data."""

from __future__ import annotations

import base64
import enum
import logging
import math
import re
import struct
import sys
import threading
import time
from collections import OrderedDict, namedtuple
from contextlib import suppress
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, strategies

from nbwarden.ask import CourseError, Instructor, Question, is_trusted
from nbwarden.execute import SafeExecute, _no_reply
from nbwarden.inside import data
from nbwarden.inside.reply import MIME, calls
from nbwarden.student import _Client
from tests.support import REPO

pytestmark = pytest.mark.without_sandbox

MODULE = """
import helping

CALLS = [[3], [4]]


def judge(replies):
    return float(all(r.get("returned") == helping.double(*c) for r, c in zip(replies, CALLS))), "m"


def check(double):
    raise AssertionError("a trusted cell is not run")


check.ask = lambda *given: (CALLS, judge)
no_check = 3


def broken(f):
    pass


broken.ask = lambda: 1 / 0
"""


@pytest.fixture
def instructor(tmp_path):
    (tmp_path / "mychecks.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "helping.py").write_text("def double(x):\n    return 2 * x\n", encoding="utf-8")
    files = {name: tmp_path / name for name in ("mychecks.py", "helping.py")}
    return Instructor(files, ["import numpy as np", "from mychecks import check"])


def test_the_first_line_says_that_a_cell_is_trusted():
    assert is_trusted("# nbwarden: trusted\ncheck(f)")
    assert is_trusted("\n# nbwarden: trusted  \n")
    assert not is_trusted("check(f)\n# nbwarden: trusted")
    assert not is_trusted("# nbwarden: trusted by nobody\ncheck(f)")


def test_a_check_is_asked_and_its_answer_judged(instructor):
    (question,) = instructor.questions("# nbwarden: trusted\ncheck('a', double)")
    assert question.check == "check"
    assert "'double'" in question.code
    right = [{"returned": 6}, {"returned": 8}]
    assert question.judge(right) == (1.0, "m")
    assert question.judge([{"returned": 6}, {"raised": "E: e"}]) == (0.0, "m")


@pytest.mark.parametrize(
    "replies",
    [[], [{"returned": 6}], [{"returned": 6}] * 3, None, 1.0, {"returned": 6}, [6, 8],
     [{"returned": 6}, {"returned": 8, "raised": ""}], [{}, {}]],
)  # fmt: skip
def test_a_judge_of_calls_sees_one_reply_for_each_or_nothing(instructor, replies):
    (question,) = instructor.questions("check(double)")
    with pytest.raises(ValueError, match="no answer to the question"):
        question.judge(replies)


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("check(double)\nassert double(1) == 2", "`assert double(1) == 2` stands in a trusted"),
        ("x = 3\ncheck(x)", "`x = 3` stands in a trusted cell"),
        ("check(double(3))", "called with constants and names"),
        ("check(name=double)", "called with constants and names"),
        ("mychecks.check(double)", "called with constants and names"),
        ("from .mychecks import check", "stands in a trusted cell"),
        ("check(", "line 2 of a trusted cell is no Python"),
        ("unknown(double)", "calls unknown, which neither the cell nor a given cell imports"),
        ("from mychecks import no_check\nno_check(double)", "no_check, which is no check"),
        ("from mychecks import broken\nbroken(double)", "cannot be asked: ZeroDivisionError"),
        ("from nowhere import check\ncheck(double)", "fails on this machine: ModuleNotFoundError"),
    ],
)
def test_what_is_wrong_with_a_trusted_cell_is_said_in_one_sentence(instructor, source, complaint):
    with pytest.raises(CourseError) as error:
        instructor.questions(f"# nbwarden: trusted\n{source}")
    assert complaint in str(error.value)
    if "cannot be asked" not in complaint:  # that is found out by asking
        with pytest.raises(CourseError, match=re.escape(complaint)):
            instructor.look_at(f"# nbwarden: trusted\n{source}")


def test_each_assignment_has_modules_of_its_own(instructor, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "mychecks.py").write_text(MODULE.replace('"m"', '"other"'), encoding="utf-8")
    (other / "helping.py").write_text("def double(x):\n    return x\n", encoding="utf-8")
    files = {name: other / name for name in ("mychecks.py", "helping.py")}
    second = Instructor(files, instructor.imports)
    path = list(sys.path)
    replies = [{"returned": 6}, {"returned": 8}]
    judged = [one.questions("check(f)")[0].judge(replies) for one in (instructor, second)]
    assert judged == [(1.0, "m"), (0.0, "other")]
    assert "mychecks" not in sys.modules
    assert sys.path == path
    assert not list(tmp_path.rglob("__pycache__"))


def test_calls_say_what_came_of_each():
    def f(x):
        if x > 1:
            raise ValueError("too large")
        return x

    returned, raised = calls([[1], [2]], f)
    assert returned == {"returned": 1}
    assert raised == {"raised": 'ValueError: too large, in: raise ValueError("too large")'}


def test_the_check_in_the_readme_judges_as_it_says():
    text = (REPO / "nbwarden" / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(# mychecks.py.*?)```", text, re.DOTALL)
    space = {}
    exec(code, space)
    check = space["check_double"]
    check(lambda x: 2 * x)
    with pytest.raises(AssertionError, match=r"double\(3\): \{'returned': 9\}"):
        check(lambda x: x * x)
    question, judge = check.ask()
    for function, share in ((lambda x: 2 * x, 1.0), (lambda x: x * x, 0.0), (len, 0.0)):
        assert judge(data.unpack(data.pack(calls(question, function))))[0] == share


# ---------------------------------------------------------------- data


PLAIN = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers(-(10**300), 10**300)
    | strategies.floats(allow_nan=False)
    | strategies.complex_numbers(allow_nan=False)
    | strategies.text(),
    lambda part: (
        strategies.lists(part)
        | strategies.lists(part).map(tuple)
        | strategies.dictionaries(strategies.text(), part)
    ),
    max_leaves=20,
)


@given(PLAIN)
def test_plain_values_come_back_as_they_are(value):
    again = data.unpack(data.pack(value))
    assert again == value
    assert type(again) is type(value)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3).T, np.zeros((0, 3)), np.array(3.5), np.array([True, False]),
        np.arange(3, dtype=np.int8), np.array([1 + 2j]), np.array([np.nan, -np.inf, -0.0]),
        np.ones(3, np.float32)[::2], np.ones((2,), np.longdouble),
    ],
)  # fmt: skip
def test_arrays_come_back_with_their_dtype_shape_and_bits(array):
    again = data.unpack(data.pack([array, array.dtype.type(1)]))
    assert again[0].dtype == array.dtype
    assert again[0].shape == array.shape
    assert again[0].tobytes() == array.tobytes()
    assert again[0].flags.writeable
    assert type(again[1]) is array.dtype.type


class Sub(np.ndarray):
    pass


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Fraction(1, 2), "Fraction"), ({1}, "set"), (b"x", "bytes"), ({1: 2}, "dict"), (len,
        "builtin_function_or_method"), (np.zeros(2).view(Sub), "Sub"), (threading.Lock(), "lock"),
        (np.array(["a"]), "an array of dtype <U1"), (np.array([None]), "an array of dtype object"),
        (1 << 20_000, "int"), (iter([]), "list_iterator"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_of_anything_else_the_name_of_its_type_comes(value, name):
    again = data.unpack(data.pack({"deep": [value]}))["deep"][0]
    assert isinstance(again, data.Other)
    assert type(again).__name__ == name


def test_what_holds_itself_ends_somewhere_and_what_is_too_large_is_refused():
    loop: list[object] = []
    loop.append(loop)
    assert "list" in repr(data.unpack(data.pack(loop)))
    with pytest.raises(ValueError, match="more than 20 MB"):
        data.pack(np.zeros(3_000_000))
    with pytest.raises(ValueError, match="more than 20 MB"):
        data.pack([0] * 2_000_000)
    wide = [loop] * 40
    for _ in range(6):
        wide = [wide] * 40
    with pytest.raises(ValueError, match="more than 20 MB"):
        data.pack(wide)


def message(text: str, behind: bytes = b"") -> bytes:
    return struct.pack("<I", len(text)) + text.encode() + behind


@pytest.mark.parametrize(
    "forged",
    [
        b"", b"\x01", b"\xff" * 100, struct.pack("<I", 2**32 - 1) + b"{}", message("["),
        message("[1]"), message('{"x": 1}'), message('{"f": "1", "c": []}'), message('{"f": 1}'),
        message('{"f": "x"}'), message('{"c": "0x1p0"}'), message('{"l": 3}'),
        message('{"l": {"a": 1}}'), message('{"d": []}'), message('{"o": 3}'),
        message("[" * 100_000), message('{"l":[' * 50 + "1" + "]}" * 50), message("1" * 5000),
        message('{"a": ["<f8", [1], 0, false]}'), message('{"a": ["<f8", [-1], 0, false]}'),
        message('{"a": ["|O", [1], 0, false]}', bytes(8)), message('{"a": ["<f8"]}'),
        message('{"a": ["<f8", [1.5], 0, false]}', bytes(64)), message('{"a": [3, [1], 0, false]}'),
        message('{"a": ["<f8", [1], -8, false]}', bytes(64)),
        message('{"a": ["<f8", [4611686018427387904, 4], 0, false]}', bytes(64)),
        message('{"a": ["<f8", [1099511627776, 0], 0, false]}'),
        message('{"a": ["<f8", [' + ", ".join(["1"] * 64) + '], 0, false]}', bytes(8)),
        message('{"a": ["|V8", [1], 0, false]}', bytes(8)),
        message('{"a": ["f8,O", [1], 0, true]}', bytes(8)),
        message('{"a": ["<f8", [true], 0, false]}', bytes(8)), bytes(50 << 20),
    ],
    ids=lambda forged: str(forged[4:44]),
)  # fmt: skip
def test_what_is_no_message_is_refused_and_nothing_else_happens(forged):
    with pytest.raises(ValueError, match="message"):
        data.unpack(forged)


def listed(*parts: str) -> str:
    return '{"l": [' + ", ".join(parts) + "]}"


@pytest.mark.parametrize(
    "forged",
    [
        # one array, read again and again; without a limit a message of 20 MB made 10 TB of it
        message(listed(*['{"a": ["<f8", [1000], 0, false]}'] * 2), bytes(16_000)),
        message(listed(*['{"l": []}'] * 700_000)), message(listed(*["[]"] * 1_400_000)),
        message(listed(*(f'{{"o": "{k}"}}' for k in range(2000)))),
        # a product of many large numbers takes hours
        message('{"a": ["<f8", [' + ", ".join(["9" * 4000] * 2000) + '], 0, false]}'),
        message('{"a": ["<f8", [' + ", ".join(["9" * 4000] * 30) + '], 0, false]}'),
    ],
    ids=["twice", "lists", "brackets", "types", "axes", "long axes"],
)  # fmt: skip
def test_a_message_takes_no_more_memory_and_time_than_an_honest_one(forged):
    start = time.process_time()
    with pytest.raises(ValueError, match="message"):
        data.unpack(forged)
    assert time.process_time() - start < 5


def test_many_numbers_of_numpy_are_packed_at_once():
    numbers = list(np.arange(50_000.0))
    start = time.process_time()
    assert data.unpack(data.pack(numbers)) == numbers
    assert time.process_time() - start < 5


class Text(str):
    pass


class Whole(enum.IntEnum):
    THREE = 3


@pytest.mark.parametrize(
    ("value", "comes"),
    [
        (OrderedDict(a=1), {"a": 1}), (namedtuple("Pair", "a b")(1, 2), (1, 2)),
        (np.str_("norm"), "norm"), ({np.str_("W"): Text("x")}, {"W": "x"}), (Whole.THREE, 3),
        (np.array([1.5], ">f8"), np.array([1.5], ">f8")), (type("L", (list,), {})([1]), [1]),
    ],
    ids=str,
)  # fmt: skip
def test_a_subclass_comes_as_what_it_is_made_from(value, comes):
    again = data.unpack(data.pack(value))
    assert again == comes
    assert type(again) is type(comes)


@given(strategies.binary(max_size=200), strategies.integers(0, 60))
def test_a_damaged_message_is_a_value_or_refused(noise, at):
    whole = data.pack({"a": [1.5, np.arange(3.0), "text", (None, True)]})
    with suppress(ValueError):  # and no other error
        data.unpack(whole[:at] + noise + whole[at + len(noise) :])


def test_the_name_of_a_type_holds_nothing_that_is_not_printed():
    name = type(data.unpack(message('{"o": "a\\u0000\\u001b[2J\\nb"}'))).__name__
    assert name == "a[2Jb"
    assert math.inf == data.unpack(data.pack(math.inf))


def test_one_reply_is_read_to_a_question_and_others_count_as_output():
    counted: list[object] = []
    client = SimpleNamespace(asked=True, reply={}, _count=counted.append)
    for value in (1, 2):
        text = base64.b64encode(data.pack({"reply": value})).decode()
        sent = {"msg_type": "display_data", "content": {"data": {MIME: text}}}
        assert _Client.process_message(client, sent, None, 0) is None
    assert client.reply == {"reply": 1}
    assert counted == [sent]


@pytest.mark.parametrize("reply", [{"raised": "x" * 10**6}, {"missing": ["x" * 10**6]}])
def test_what_came_back_is_not_quoted_at_length(reply):
    assert len(_no_reply(reply, "").evalue) < 30_000


def test_a_judge_that_is_led_to_nan_gives_nothing_and_stops_nobody():
    execute = SimpleNamespace(log=logging.getLogger("test"))
    question = Question("check", "", lambda reply: (1.0 - reply, "m"))
    assert SafeExecute._judged(execute, question, 0.25) == (0.75, "m")
    assert SafeExecute._judged(execute, question, math.nan)[0] == 0
    with pytest.raises(CourseError, match="gives 2"):
        SafeExecute._judged(execute, question, -1.0)
