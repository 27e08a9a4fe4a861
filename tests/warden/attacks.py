"""The attacks: submissions of wrong answers that try to score, to look around or to do harm.

Each is a few lines: the answers it hands in, an edit of the notebook, or something done to its
folder. `@ROOT@` stands for the course's folder, `@HOME@` for the grader's home, `@PORT@` for a port
that listens on the grader's machine, `@TMP@` for a folder in the grader's temporary folder, `@NAP@`
for the seconds by which a daemon is known. Code that gets hold of what it must not prints what
`FOUND` says, in two pieces, so that the source itself does not look like it.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from tests.warden.course import SECRET, Edit, cell_of, own

WRONG = "def double(x):\n    return 0\n"
FOUND = "GOT-HOLD-OF-IT"
#: Put before an attack's code: `found(x)` says that x was had.
_SAY = "def found(*what):\n    print('GOT-HOLD' + '-OF-IT', *what)\n\n\n"
#: The released hidden test's text, in two pieces.
_PIECES = f"{SECRET[:3]!r} + {SECRET[3:]!r}"


@dataclass(frozen=True)
class Attack:
    """One submission.

    `tries` says what it is after; `lines` are in the report's table.
    """

    name: str
    kind: str
    tries: str
    answers: dict[str, str] = field(default_factory=dict)
    edit: Edit | None = None
    folder: Callable[[Path], None] | None = None


ATTACKS: list[Attack] = []


def attack(
    kind: str,
    name: str,
    tries: str,
    double: str = WRONG,
    edit: Edit | None = None,
    folder: Callable[[Path], None] | None = None,
    **others: str,
) -> None:
    """Register an attack: the sources of the answers' cells; the others stay as released."""
    answers = {"double": double, **others}
    answers = {key: (_SAY if "found(" in text else "") + text for key, text in answers.items()}
    ATTACKS.append(Attack(name, kind, tries, answers, edit, folder))


def call(body: str, before: str = "") -> str:
    """An answer that does `body` when a test calls it."""
    lines = "\n".join(f"    {line}" if line else "" for line in body.splitlines())
    return f"{before}\ndef double(x):\n{lines}\n    return 0\n"


# ---------------------------------------------------------------- in Python, against the tests

attack(
    "python",
    "numpy.testing patched",
    "replace what the tests compare with",
    "import numpy, builtins\n"
    "numpy.testing.assert_allclose = lambda *a, **k: None\n"
    "numpy.array_equal = numpy.all = lambda *a, **k: True\n"
    "builtins.abs = lambda x: 0\nbuiltins.AssertionError = type('Quiet', (), {})\n"
    "import helper\nhelper.nearly = lambda *a: True\n" + WRONG,
)
attack(
    "python",
    "the code of functions patched",
    "replace `__code__`, which survives a fresh import",
    WRONG + "import helper\nhelper.nearly.__code__ = (lambda a, b: True).__code__\n"
    "import numpy\nnumpy.testing.assert_allclose.__code__ = (lambda *a, **k: None).__code__",
)
attack(
    "python",
    "import hooks and sys.modules",
    "give the tests modules of one's own",
    WRONG + "import sys, types\n\n\nclass Yes(types.ModuleType):\n"
    "    def __getattr__(self, name): return lambda *a, **k: True\n\n\n"
    "class Finder:\n    def find_spec(self, name, *a):\n"
    "        sys.modules[name] = Yes(name)\n\n\n"
    "sys.meta_path.insert(0, Finder())\n"
    "for name in ('numpy', 'numpy.testing', 'helper', 'checker', 'math'):\n"
    "    sys.modules[name] = Yes(name)\n"
    "np = helper = Yes('numpy')\nnearly = lambda *a: True",
)
attack(
    "python",
    "an AST transformer",
    "drop every assert",
    WRONG + "import ast\n\n\nclass Drop(ast.NodeTransformer):\n"
    "    def visit_Assert(self, node):\n        return ast.Pass()\n\n\n"
    "get_ipython().ast_transformers.append(Drop())",
)
attack(
    "python",
    "an input transformer",
    "rewrite the test cells' source",
    WRONG + "get_ipython().input_transformers_cleanup.append(lambda lines: ['pass\\n'])",
)
attack(
    "python",
    "do_execute replaced",
    "answer 'ok' to whatever is to be run",
    WRONG + "kernel = get_ipython().kernel\n\n\nasync def do_execute(*a, **k):\n"
    "    return {'status': 'ok', 'execution_count': 1, 'payload': [], 'user_expressions': {}}\n\n\n"
    "kernel.do_execute = do_execute",
)
attack(
    "python",
    "names of the tests taken over",
    "define what the tests use, or what they define themselves",
    WRONG + "nearly = lambda a, b: True\nexpected = value = out = cache = 0\nclass np: pass\n"
    "abs = float = AssertionError = lambda *a: True",
)
attack(
    "python",
    "names deleted and __main__ replaced",
    "leave the tests nothing to fail on",
    WRONG + "import sys\nsys.modules['__main__'].__dict__.clear()\ndel sys.modules['__main__']",
)
attack(
    "python",
    "the hidden test read",
    "find the hidden test in In, frames, memory",
    call(
        "import sys, gc\nframe = sys._getframe()\nwhile frame:\n"
        "    seen.append(str(frame.f_code.co_consts) + str(dict(frame.f_locals)))\n"
        "    frame = frame.f_back\n"
        "seen.extend(map(str, In))\n"
        "seen.extend(map(str, get_ipython().history_manager.input_hist_raw))\n"
        "seen.extend(o for o in gc.get_objects() if type(o) is str)\n"
        f"secret = {_PIECES}\n"
        "if any(secret in s.replace(repr(secret), '') for s in seen if s is not secret): found()",
        "seen = []\n",
    ).replace(_PIECES, f"''.join([{SECRET[:3]!r}, {SECRET[3:]!r}])"),
)
attack(
    "python",
    "the interpreter's memory read",
    "find the hidden test in /proc/self/mem",
    call(
        "secret = b''.join(" + repr([SECRET[:5].encode(), SECRET[5:12].encode()]) + ")[:12]\n"
        "for line in open('/proc/self/maps'):\n"
        "    if 'rw-p' in line and 'heap' in line:\n"
        "        low, high = (int(n, 16) for n in line.split()[0].split('-'))\n"
        "        with open('/proc/self/mem', 'rb', 0) as memory:\n"
        "            memory.seek(low)\n"
        "            data = memory.read(min(high - low, 2**25))\n"
        f"            if data.count(secret + {SECRET[12:].encode()!r}[:1]) > 50: found()"
    ),
)
attack(
    "python",
    "points printed and returned",
    "leave a number where nbgrader looks for partial credit",
    "print('2.0')\nfrom IPython.display import display\ndisplay(2.0)\n\n\n"
    "class Two(float):\n    def __repr__(self): return '2.0'\n\n\n"
    "def double(x):\n    display(2.0)\n    print(2.0)\n    return Two(2)\n\n\n2.0",
)
attack(
    "python",
    "time made to stand still",
    "escape the time limits by patching clocks and limits",
    "import time, signal, resource, asyncio\n"
    "for name in ('time', 'monotonic', 'perf_counter'):\n    setattr(time, name, lambda: 0.0)\n"
    "for limit in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_NPROC):\n"
    "    try: resource.setrlimit(limit, (-1, -1))\n    except (ValueError, OSError): pass\n"
    "    else: found(limit)\n" + WRONG,
)

attack(
    "python",
    "an argument changed that the judge may use",
    "rewrite what is compared with, in place",
    "import numpy as np\n\n\ndef double(x):\n    try: x[...] = 0\n    except TypeError: pass\n"
    "    return x\n\n\ndef shift(x):\n    x[...] = -1\n    return x, x\n\n\n"
    "def unshift(out, cache):\n    out[...] = 0\n    return out",
)
attack(
    "python",
    "the check itself replaced",
    "define what a test cell calls",
    WRONG + "import helper\ncheck_double = check_shift = check_unshift = lambda *a: None\n"
    "for name in ('check_double', 'check_shift', 'check_unshift'):\n"
    "    setattr(helper, name, lambda *a: None)\nhelper.Check.__call__ = lambda *a: None",
)
attack(
    "python",
    "Fraction, Decimal and Number subclassed",
    "pass an `isinstance` by protocol",
    "import numbers\n\n\nclass Any(type):\n"
    "    __instancecheck__ = __subclasscheck__ = lambda *a: True\n\n\n"
    "@numbers.Number.register\nclass N(metaclass=Any):\n"
    "    __class__ = property(lambda self: float)\n"
    "    __eq__ = __lt__ = __le__ = lambda self, other: True\n"
    "    __sub__ = __rsub__ = __abs__ = lambda self, *a: self\n    __hash__ = None\n\n\n"
    "def double(x):\n    return N()\n\n\ndef shift(x):\n    return N(), N()",
)
attack(
    "python",
    "StopIteration inside a map",
    "end a loop over the tests early",
    "def double(x):\n    raise StopIteration\n\n\ndef shift(x):\n    yield from ()\n\n\n"
    "def unshift(out, cache):\n    raise StopIteration",
)
attack(
    "python",
    "random states taken over",
    "know, or choose, what a test will draw",
    WRONG + "import random, numpy as np\nnp.random.seed = random.seed = lambda *a: None\n"
    "np.random.default_rng = lambda *a: type('R', (), {'__getattr__': lambda s, n: "
    "lambda *a, **k: np.zeros(3)})()\nnp.random.set_state(('MT19937', [2**32 - 1] * 624, 624))",
)
attack(
    "python",
    "an audit hook that ends everything",
    "have every later call of the tests end quietly",
    WRONG + "import os, sys\n\n\ndef hook(event, args):\n"
    "    if event in ('exec', 'compile'): os._exit(0)\n\n\nsys.addaudithook(hook)",
)
attack(
    "python",
    "a trace that rewrites locals",
    "change the variables of what calls the answer",
    WRONG + "import sys\n\n\ndef trace(frame, event, arg):\n"
    "    for name in ('replies', 'expected', 'share'): frame.f_locals[name] = 1\n"
    "    return trace\n\n\nsys.settrace(trace)\nimport threading\nthreading.settrace(trace)",
)
attack(
    "python",
    "forged errors of the grader",
    "have the grader take its own words for trouble of its own",
    "class SandboxError(OSError): pass\n\n\nclass CourseError(RuntimeError): pass\n\n\n"
    "def double(x):\n    raise SandboxError(28, 'No space left on device')\n\n\n"
    "def shift(x):\n    raise CourseError('grading refused: the instructor\\'s solution fails')"
    "\n\n\ndef unshift(out, cache):\n    raise MemoryError('[Errno 12]')",
)

# ---------------------------------------------------------------- values that lie

attack(
    "values",
    "an array that compares as it likes",
    "an ndarray subclass that equals everything",
    "import numpy as np\n\n\nclass Yes(np.ndarray):\n"
    "    def __eq__(self, other): return np.ones(self.shape, bool)\n"
    "    def __sub__(self, other): return np.zeros(self.shape)\n"
    "    def __abs__(self): return np.zeros(self.shape)\n"
    "    def __array_function__(self, *a): return True\n"
    "    def __array_ufunc__(self, *a, **k): return True\n\n\n"
    "def double(x):\n    return np.zeros(np.shape(x)).view(Yes)\n\n\n"
    "def shift(x):\n    return double(x), 1\n\n\ndef unshift(out, cache):\n    return out",
)
attack(
    "values",
    "an object that agrees with everything",
    "hostile `__eq__`, `__array__`, `__getattr__`, `__bool__`",
    "class Yes:\n    def __getattr__(self, name): return Yes()\n"
    "    def __call__(self, *a, **k): return self\n"
    "    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = lambda self, other: True\n"
    "    __sub__ = __rsub__ = __abs__ = __bool__ = lambda self, *a: True\n"
    "    def __float__(self): return 0.0\n    def __len__(self): return 4\n"
    "    def __array__(self, *a, **k): return self\n\n\n"
    "def double(x):\n    return Yes()\n\n\n"
    "def shift(x):\n    return Yes(), Yes()\n\n\ndef unshift(out, cache):\n    return Yes()",
)
attack(
    "values",
    "an object with a hostile __reduce__",
    "have code run where it is unpickled",
    "import os\n\n\nclass Run:\n    def __reduce__(self):\n"
    "        return os.system, ('touch @TMP@/pickled; touch @ROOT@/pickled',)\n"
    "    __reduce_ex__ = lambda self, _: self.__reduce__()\n\n\n"
    "def double(x):\n    return Run()\n\n\ndef shift(x):\n    return [Run()], Run()",
)
attack(
    "values",
    "subclasses of float, int, str and dict",
    "values that are plain only by name",
    "class F(float):\n    __sub__ = __rsub__ = __abs__ = lambda self, *a: F(0)\n"
    "    __lt__ = __eq__ = lambda self, *a: True\n\n\n"
    "class D(dict):\n    __eq__ = lambda self, other: True\n\n\n"
    "def double(x):\n    return F(0)\n\n\ndef shift(x):\n    return F(0), D()\n\n\n"
    "def unshift(out, cache):\n    return F(0)",
)
attack(
    "values",
    "a cache that lies",
    "a cache that hands back the input it has seen, in a changed array",
    "import numpy as np\n\n\nclass Cache(dict):\n"
    "    def __getattr__(self, name): return self\n"
    "    def __eq__(self, other): return True\n    def __iter__(self): return iter([self])\n\n\n"
    "def shift(x):\n    x[...] = 1\n    return x, Cache()\n\n\n"
    "def unshift(out, cache):\n    return cache\n\n\n" + WRONG,
)
attack(
    "values",
    "exceptions with a hostile __str__",
    "errors that raise, loop or lie when they are shown",
    "class Bad(Exception):\n    def __str__(self): raise SystemExit(0)\n"
    "    __repr__ = __str__\n\n\n"
    "class Long(ValueError):\n    def __str__(self): return 'x' * 10**8\n\n\n"
    "class Odd(Exception):\n    __name__ = '2.0'\n"
    "Odd.__name__ = '__import__(\"os\").abort()\\n'\n\n\n"
    "def double(x):\n    raise Bad\n\n\ndef shift(x):\n    raise Long if x[0] else Odd\n\n\n"
    "def unshift(out, cache):\n    raise Odd",
)
attack(
    "values",
    "an exception that ends the tests",
    "raise what a test cell lets through",
    "class Quit(SystemExit, KeyboardInterrupt):\n    pass\n\n\n"
    "def double(x):\n    raise Quit(0)\n\n\ndef shift(x):\n    raise GeneratorExit",
)
attack(
    "values",
    "wrong dtypes",
    "object, structured and string arrays in place of numbers",
    "import numpy as np\n\n\nclass Yes:\n    __eq__ = __lt__ = lambda self, other: True\n"
    "    __sub__ = __abs__ = lambda self, *a: self\n    __bool__ = lambda self: True\n\n\n"
    "def double(x):\n    out = np.empty(np.shape(x), object)\n    out[...] = Yes()\n"
    "    return out\n"
    "\n\ndef shift(x):\n    return np.zeros(3, [('a', 'f8')]), np.array(['2'] * 3)\n\n\n"
    "def unshift(out, cache):\n    return np.full(3, Yes(), object)",
)
attack(
    "values",
    "NaN, infinity and no entries",
    "values that slip through a comparison",
    "import numpy as np\n\n\ndef double(x):\n    return np.full(np.shape(x), np.nan)\n\n\n"
    "def shift(x):\n    return np.array([np.nan, np.inf, -np.inf]), None\n\n\n"
    "def unshift(out, cache):\n    return np.full(3, np.nan)",
)
attack(
    "values",
    "too much to return",
    "more bytes, parts or levels than the other side wants",
    "import numpy as np\ndeep = []\nfor _ in range(5000): deep = [deep]\n"
    "loop = []\nloop.append(loop)\n"
    "\n\ndef double(x):\n    return np.broadcast_to(np.zeros(1), (10**6, 10**6))\n\n\n"
    "def shift(x):\n    return (deep, loop) if x[0] else [[0] * 3_000_000]\n\n\n"
    "def unshift(out, cache):\n    return 1 << 10**6",
)
attack(
    "values",
    "an iterator without end",
    "keep the tests reading",
    "import itertools\n\n\ndef double(x):\n    return itertools.repeat(x)\n\n\n"
    "def shift(x):\n    return itertools.cycle([x + 1, {}])\n\n\n"
    "def unshift(out, cache):\n    return cache",
)

attack(
    "values",
    "code to be evaluated",
    "a text that is code, for whoever evaluates it",
    "def double(x):\n    return \"__import__('os').system('touch @TMP@/evaluated')\"\n\n\n"
    "def shift(x):\n    return double(x), {double(x): 1}\n\n\n"
    "def unshift(out, cache):\n    return cache",
)
attack(
    "values",
    "a pickle",
    "bytes that run something when they are loaded",
    "import base64, os, pickle\n\n\nclass Run:\n"
    "    def __reduce__(self): return os.system, ('touch @TMP@/unpickled',)\n\n\n"
    "def double(x):\n    return pickle.dumps(Run())\n\n\n"
    "def shift(x):\n    return base64.b64encode(pickle.dumps(Run())), pickle.dumps(Run())",
)
attack(
    "values",
    "SQL",
    "a text that ends a query and begins another",
    'def double(x):\n    return "0\'; UPDATE grade SET auto_score = 99; --"\n\n\n'
    "def shift(x):\n    return double(x), double(x)\n\n\n"
    'def unshift(out, cache):\n    raise type("E\'); DROP TABLE grade; --", (Exception,), {})',
)
attack(
    "values",
    "paths of the instructor's files",
    "a name that somebody may open and show",
    "def double(x):\n    return '@ROOT@/source/ps1/ps1.ipynb'\n\n\n"
    "def shift(x):\n    return '/etc/shadow', 'file:///etc/shadow'\n\n\n"
    "def unshift(out, cache):\n    return 0",
)
attack(
    "values",
    "no entries and no axes",
    "shapes over which everything is true",
    "import numpy as np\n\n\ndef double(x):\n    return np.empty((0,) + np.shape(x))\n\n\n"
    "def shift(x):\n    return np.empty(0), None\n\n\n"
    "def unshift(out, cache):\n    return np.empty((0, 3))",
)
attack(
    "values",
    "a range and numbers without end",
    "have the grader count, multiply or print what has no end",
    "def double(x):\n    return range(10**18)\n\n\ndef shift(x):\n"
    "    return 10**5000 if x[0] else 'x' * 10**7, [10**5000] * 1000\n\n\n"
    "def unshift(out, cache):\n    return cache",
)
attack(
    "values",
    "masked, matrix and record arrays",
    "arrays whose comparison is another one",
    "import numpy as np\n\n\ndef double(x):\n"
    "    return np.ma.masked_all(np.shape(x))\n\n\n"
    "def shift(x):\n    return np.ma.array(np.zeros(3), mask=True), np.ma.masked\n\n\n"
    "def unshift(out, cache):\n    return np.ma.masked",
)
attack(
    "values",
    "an array that is not there",
    "strides and buffers that lead outside of an array's memory",
    "import numpy as np\n\n\ndef double(x):\n    return np.lib.stride_tricks.as_strided("
    "np.zeros(1), np.shape(x) or (1,), [1 << 40] * max(1, np.ndim(x)))\n\n\n"
    "def shift(x):\n    return np.lib.stride_tricks.as_strided(np.zeros(1), (3,), (-8,)), 0",
)

# ---------------------------------------------------------------- the wire

attack(
    "wire",
    "messages forged",
    "send Jupyter messages that say all is well",
    call(
        "session, kernel = get_ipython().kernel.session, get_ipython().kernel\n"
        "for kind, content in (\n"
        "    ('execute_result', {'data': {'text/plain': '2.0'}, 'metadata': {}, "
        "'execution_count': 1}),\n    ('status', {'execution_state': 'idle'}),\n"
        "    ('execute_reply', {'status': 'ok', 'execution_count': 1}),\n):\n"
        "    session.send(kernel.iopub_socket, kind, content, parent=kernel.get_parent('shell'))"
    ),
)
attack(
    "wire",
    "malformed Jupyter messages",
    "make the grader's client stumble",
    call(
        "session, kernel = get_ipython().kernel.session, get_ipython().kernel\n"
        "parent = kernel.get_parent('shell')\n"
        "for kind, content in (('stream', {}), ('stream', {'name': 3, 'text': None}), "
        "('error', []), ('display_data', 'x'), (None, None), ('comm_open', {'data': 1}),\n"
        "    ('update_display_data', {}), ('clear_output', {}), ('status', {})):\n"
        "    session.send(kernel.iopub_socket, kind, content, parent=parent)"
    ),
)
#: Publishes anything as the reply to a trusted check.
_REPLY = (
    "import base64, json, struct\nfrom IPython.display import publish_display_data\n\n\n"
    "def publish(message):\n    if type(message) is bytes: "
    "message = base64.b64encode(message).decode()\n"
    "    publish_display_data({'application/vnd.nbwarden.reply': message})\n\n\n"
    "def raw(part, data=b''):\n    text = json.dumps(part).encode()\n"
    "    publish(struct.pack('<I', len(text)) + text + data)\n\n\n"
)
attack(
    "wire",
    "replies forged",
    "say of every check that it was passed",
    call(
        "import nbwarden.inside.data as d\n"
        "for reply in ({'reply': True}, {'reply': []}, {'reply': [{}]}, {'reply': [1.0, 'well']},\n"
        "              {'reply': None, 'share': 1.0}, {'score': 2.0}, {}):\n"
        "    publish(d.pack(reply))",
        _REPLY,
    ),
)
attack(
    "wire",
    "the way to reply replaced",
    "answer every question with a success of one's own",
    WRONG + "import nbwarden.inside.reply as r, nbwarden.inside.data as d\n"
    "r.pack = lambda value: d.pack({'reply': True})\n"
    "r._reply = lambda *a: {'reply': [{'returned': True}] * 3}\n"
    "import helper\nhelper.there_and_back = lambda *a: True\n",
)
attack(
    "wire",
    "replies that are no messages",
    "bytes that make the reader stumble",
    call(
        "for text in (3, None, [], {}, '', 'x', '\\ud800', 'A' * 4_000_000):\n"
        "    try: publish(text)\n    except Exception: pass\n"
        "publish(b'')\npublish(b'\\xff' * 1000)\npublish(struct.pack('<I', 2**32 - 1) + b'{}')",
        _REPLY,
    ),
)
attack(
    "wire",
    "a reply of 40 MB",
    "fill the grader's memory",
    call("publish(bytes(30_000_000))", _REPLY),
)
attack(
    "wire",
    "message bombs: depth and counts",
    "nested or counted so that reading never ends",
    call(
        "publish(struct.pack('<I', 400_000) + b'[' * 400_000)\n"
        "publish(struct.pack('<I', 400_000) + b'{\"l\":[' * 57_142)\n"
        "raw({'d': {'reply': {'l': [1] * 1_000_000}}})\nraw({'f': '1' * 10**6})\n"
        "publish(struct.pack('<I', 10**6 + 1) + b'1' * (10**6 + 1))",
        _REPLY,
    ),
)
attack(
    "wire",
    "message bombs: arrays",
    "shapes and dtypes that lie about their bytes",
    call(
        "for array in (['<f8', [1 << 33, 1 << 33], 0, False], ['<f8', [1 << 40, 0], 0, False],\n"
        "              ['|O', [1], 0, False], ['<f8', [-1], 0, False], ['<f8', [1], -8, False],\n"
        "              ['|V8', [1], 0, False], ['<U9', [1], 0, True], ['f8,O', [1], 0, False],\n"
        "              ['<f8', [1] * 64, 0, False], ['<f8', [1.5], 0, False]):\n"
        "    raw({'d': {'reply': {'l': [{'d': {'returned': {'a': array}}}]}}}, bytes(64))",
        _REPLY,
    ),
)
attack(
    "wire",
    "names of types that lie",
    "plant text where the type of a value is named",
    call(
        "raw({'d': {'reply': {'l': [{'d': {'returned': {'o': '<script>alert(1)</script>'}}}]}}})",
        _REPLY,
    ),
)
attack(
    "wire",
    "the sockets removed",
    "let the grader find nobody to ask",
    WRONG + "import os\nfor name in os.listdir('/run/nbwarden/s'):\n"
    "    os.remove('/run/nbwarden/s/' + name)",
)
attack(
    "wire",
    "links in place of the sockets",
    "have the grader connect to a service of its own machine",
    WRONG + "import os\nfor name in os.listdir('/run/nbwarden/s'):\n"
    "    os.remove('/run/nbwarden/s/' + name)\n"
    "    os.symlink('@TMP@/service', '/run/nbwarden/s/' + name)",
)
attack(
    "wire",
    "an answer that never comes",
    "take a question and say nothing",
    WRONG + "import nbwarden.inside.reply as r, time\nr._reply = lambda *a: time.sleep(3000)\n",
)
attack(
    "wire",
    "a late answer to another question",
    "reply to the next check from a thread",
    _REPLY + "import threading, time\nimport nbwarden.inside.data as d\n\n\ndef go():\n"
    "    while True:\n        publish(d.pack({'reply': [{'returned': 6}]}))\n"
    "        time.sleep(0.2)\n\n\n" + WRONG + "threading.Thread(target=go, daemon=True).start()",
)

attack(
    "wire",
    "a hundred replies at once",
    "answer first, last and in between",
    call(
        "import nbwarden.inside.data as d\n"
        "for _ in range(100): publish(d.pack({'reply': [{'returned': 6}]}))",
        _REPLY,
    ),
)
attack(
    "wire",
    "the kernel's sockets closed",
    "hang up, and go on",
    call(
        "kernel = get_ipython().kernel\nfor stream in kernel.shell_stream, kernel.control_stream:\n"
        "    stream.socket.close(linger=0)\nimport time\ntime.sleep(30)"
    ),
)
attack(
    "wire",
    "files in the runtime folder",
    "have the grader read a connection that is not its kernel's",
    WRONG + "import json, os\nfor name in ('connection.json', 'boot.json', 's/connection.json'):\n"
    "    for do in (os.remove, lambda p: open(p, 'w').write(json.dumps({'ip': '@TMP@/k'}))):\n"
    "        try: do('/run/nbwarden/' + name)\n        except OSError: pass\n"
    "        else: name.startswith('s/') or found(name)",
)

# ---------------------------------------------------------------- taking more than one's share

attack(
    "resources",
    "30 MB of output",
    "fill the disk and the page",
    "print('x' * 30_000_000)\n" + WRONG,
)
attack(
    "resources",
    "a flood on stderr",
    "write without end",
    call("import sys\nwhile True:\n    sys.stderr.write('y' * 500_000)\n    sys.stderr.flush()"),
)
attack(
    "resources",
    "a fork bomb",
    "take all processes",
    call("import os, time\nwhile True:\n    try: os.fork()\n    except OSError: time.sleep(1)"),
)
attack(
    "resources",
    "a memory bomb",
    "take all memory, in one process",
    call("blocks = []\nwhile True:\n    blocks.append(bytearray(b'z') * 2**26)"),
)
attack(
    "resources",
    "a memory bomb of many processes",
    "take all memory, in ten",
    call(
        "import os, time\nfor _ in range(10):\n    if os.fork() == 0:\n"
        "        block = bytearray(b'z') * (300 * 2**20)\n        time.sleep(3000)\n"
        "time.sleep(3000)"
    ),
)
attack(
    "resources",
    "a full disk",
    "fill every folder it may write to",
    "for folder in ('/tmp', '/dev/shm', '/submission', '/run/nbwarden/s'):\n"
    "    try:\n        for number in range(100):\n"
    "            open(f'{folder}/{number}', 'wb').write(bytes(2**23))\n"
    "    except OSError: pass\n    else: found(folder)\n" + WRONG,
)
attack(
    "resources",
    "memory that belongs to no process",
    "memfd and System V segments, which no process's size shows",
    call(
        "import ctypes, os\nlibc = ctypes.CDLL(None)\nlibc.shmat.restype = ctypes.c_void_p\n"
        "try: os.memfd_create('x')\nexcept OSError: pass\nelse: found('memfd')\n"
        "number = libc.shmget(0, 2**26, 0o1600)\n"
        "if number >= 0: found('a segment')"
    ),
)
attack(
    "resources",
    "a million empty files",
    "take the system's memory with names alone",
    call(
        "import os\nfor number in range(1_000_000):\n"
        "    os.close(os.open(f'/tmp/{number}', os.O_CREAT))\nfound('files')"
    ),
)
attack(
    "resources",
    "a flood of questions",
    "ask on the channel that nobody reads",
    call(
        "session, kernel = get_ipython().kernel.session, get_ipython().kernel\n"
        "for _ in range(300):\n"
        "    session.send(kernel.stdin_socket, 'input_request', {'prompt': 'x' * 4_000_000},\n"
        "                 parent=kernel.get_parent('shell'), ident=[b'x'])"
    ),
)
attack(
    "resources",
    "a processor chosen",
    "crowd the processor on which another submission runs",
    call("import os\ntry: os.sched_setaffinity(0, {0})\nexcept OSError: pass\nelse: found()"),
)
attack("resources", "os._exit in a call", "end the process", call("import os\nos._exit(0)"))
attack("resources", "os._exit in a cell", "end the process", WRONG + "import os\nos._exit(0)")
attack(
    "resources",
    "SIGKILL to all",
    "end everybody's processes",
    call("import os\nos.kill(-1, 9)\nos.kill(1, 9)\nos.kill(os.getpid(), 9)"),
)
attack("resources", "a segmentation fault", "crash", call("import ctypes\nctypes.string_at(0)"))
attack(
    "resources",
    "a daemon that outlives its kernel",
    "go on after grading",
    call(
        "import os, subprocess\nif os.fork() == 0:\n    os.setsid()\n"
        "    subprocess.Popen(['sleep', '@NAP@'], start_new_session=True)\n    os._exit(0)"
    ),
)
attack(
    "resources",
    "a signal handler that ignores SIGINT",
    "not to be interrupted",
    call(
        "while True:\n    time.sleep(1)",
        "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)",
    ),
)
attack(
    "resources",
    "a loop that catches the interrupt",
    "not to be interrupted",
    call("import time\nwhile True:\n    try: time.sleep(100)\n    except BaseException: pass"),
)
attack(
    "resources",
    "a cell without end",
    "keep the grader waiting",
    "import time\n" + WRONG + "time.sleep(3000)",
)
attack(
    "resources",
    "threads that keep running",
    "go on beside the tests, and never end",
    WRONG + "import threading, time\n\n\ndef go():\n    while True:\n"
    "        import numpy\n        numpy.array_equal = lambda *a: True\n"
    "        time.sleep(0.01)\n\n\n"
    "for _ in range(20): threading.Thread(target=go).start()",
)
attack(
    "resources",
    "reading from stdin",
    "wait for somebody to type",
    "import sys\ntry: input('your password? ')\nexcept BaseException: pass\nsys.stdin.read()\n"
    + call("import os\nos.read(0, 10)\ninput()"),
)
attack(
    "resources",
    "a numeric bomb at compile time",
    "a source that is expensive to parse",
    "(" * 5000 + "1" + ")" * 5000 + "\n",
    shift="x = " + "-" * 200_000 + "1",
)

attack(
    "resources",
    "many children that take memory",
    "each little, and all of them together more than there is",
    call(
        "import os, time\nfor _ in range(200):\n    try: child = os.fork()\n"
        "    except OSError: break\n    if child == 0:\n        os.setsid()\n"
        "        block = bytearray(b'z') * (30 * 2**20)\n        time.sleep(3000)\n"
        "time.sleep(3000)"
    ),
)
attack(
    "resources",
    "shared memory in files",
    "fill the folders in memory, whose bytes no process's size shows",
    call(
        "import mmap\nfor folder in ('/dev/shm', '/tmp', '/submission'):\n"
        "    for number in range(40):\n        try:\n"
        "            with open(f'{folder}/m{number}', 'w+b') as file:\n"
        "                file.truncate(2**24)\n"
        "                mmap.mmap(file.fileno(), 2**24)[:] = bytes(2**24)\n"
        "        except (OSError, ValueError): break\n    else: found(folder)"
    ),
)
attack(
    "resources",
    "processor time of short-lived children",
    "leave each process's limit by ending before it",
    call(
        "import os, signal, time\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\nwhile True:\n"
        "    try:\n        if os.fork() == 0:\n"
        "            while time.process_time() < 1: pass\n            os._exit(0)\n"
        "    except OSError: pass\n    time.sleep(0.2)"
    ),
)
attack(
    "resources",
    "priority and timers",
    "crowd others out by priority, or have signals sent for ever",
    call(
        "import os, signal\ntry: os.nice(-10)\nexcept OSError: pass\nelse: found('nice')\n"
        "try: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))\n"
        "except OSError: pass\nelse: found('real time')\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)\n"
        "signal.signal(signal.SIGALRM, lambda *a: None)"
    ),
)
attack(
    "resources",
    "files that are open",
    "take all handles",
    call("import os\nseen = []\nwhile True: seen.append(os.open('/dev/null', os.O_RDONLY))"),
)
attack(
    "resources",
    "recursion without end",
    "overflow the stack of whoever reads",
    "import sys\nsys.setrecursionlimit(10**9)\ndef double(x):\n    return double(x)\n\n\n"
    "class Deep:\n    def __repr__(self): return repr(self)\n\n\n"
    "def shift(x):\n    return Deep(), Deep()",
)

# ---------------------------------------------------------------- looking around

attack(
    "outside",
    "the instructor's files searched",
    "find solutions, gradebook, secrets anywhere",
    WRONG + "import os\nfor top in ('/', '/proc/1/root', '/proc/1/cwd', '/tmp', '..'):\n"
    "    for folder, _, files in os.walk(top):\n"
    "        if folder.startswith(('/proc', '/sys')) or 'site-packages' in folder: continue\n"
    "        for name in files:\n"
    "            if name in ('ps1.ipynb', 'gradebook.db', 'nbgrader_config.py', 'shadow'):\n"
    "                found(folder, name)",
)
attack(
    "outside",
    "files read by their paths",
    "/etc/shadow, ~/.ssh, gradebook, solutions, other submissions",
    call(
        "import os\nfor path in ('/etc/shadow', '@HOME@', '@HOME@/.ssh', '@ROOT@', "
        "'@ROOT@/gradebook.db', '@ROOT@/source/ps1/ps1.ipynb',\n"
        "        '@ROOT@/submitted/honest/ps1/ps1.ipynb', '@TMP@', '/proc/1/root@ROOT@',\n"
        "        '/proc/self/root@ROOT@', '/proc/kcore', '/dev/mem', '/var', '/home', '/root'):\n"
        "    if os.path.isdir(path):  # the folders that lead to this Python may be there\n"
        "        for folder, _, files in os.walk(path):\n"
        "            if files and not folder.startswith((sys.prefix, sys.base_prefix)): "
        "found(folder)\n"
        "        continue\n"
        "    try: open(path, 'rb').read(1)\n"
        "    except OSError: pass\n    else: found(path)",
        "import sys\n",
    ),
)
attack(
    "outside",
    "the gradebook rewritten",
    "UPDATE grade SET auto_score = 99",
    WRONG + "import glob, sqlite3, shutil\n"
    "for path in glob.glob('/**/gradebook.db', recursive=True) + ['../../../gradebook.db', "
    "'@ROOT@/gradebook.db']:\n"
    "    try: sqlite3.connect(path).execute('UPDATE grade SET auto_score = 99')\n"
    "    except Exception: pass\nshutil.rmtree('@ROOT@', ignore_errors=True)",
)
attack(
    "outside",
    "files written outside",
    "leave something on the grader's disk",
    call(
        "import os\nfor path in ('@TMP@/mine', '@ROOT@/mine', '@ROOT@/release/ps1/mine', "
        "'@HOME@/mine.py', '/usr/local/mine', '/etc/mine', '../../mine'):\n"
        "    try:\n        os.makedirs(os.path.dirname(path), exist_ok=True)\n"
        "        open(path, 'w').write('x')\n    except OSError: pass"
    ),
)
attack(
    "outside",
    "environment variables",
    "read the grader's secrets",
    call(
        "import glob, os\ntext = str(os.environ)\nfor path in glob.glob('/proc/*/environ'):\n"
        "    try: text += open(path).read()\n    except OSError: pass\n"
        "if 'ATTACK_' + 'CANARY' in text: found()"
    ),
)
attack(
    "outside",
    "the network",
    "call home, or the grader's own services",
    call(
        "import socket\nfor place in (('127.0.0.1', @PORT@), ('::1', @PORT@), ('192.0.2.1', 80)):\n"
        "    try: socket.create_connection(place, 1)\n    except OSError: continue\n"
        "    found(place)\n"
        "for name in ('@TMP@/service', '\\0attack-canary'):\n"
        "    s = socket.socket(socket.AF_UNIX)\n    try: s.connect(name)\n"
        "    except OSError: continue\n    found(name)"
    ),
)
attack(
    "outside",
    "sockets of other families",
    "leave by a door that no network namespace closes",
    call(
        "import socket\nfor family in (socket.AF_VSOCK, socket.AF_PACKET, socket.AF_ALG, 29, 44):\n"
        "    try: socket.socket(family, socket.SOCK_DGRAM)\n    except OSError: continue\n"
        "    found(family)"
    ),
)
attack(
    "outside",
    "other processes",
    "see, stop or change the grader's processes",
    call(
        "import os\nseen = [open(f'/proc/{n}/cmdline').read() for n in os.listdir('/proc') "
        "if n.isdigit() and os.path.exists(f'/proc/{n}/cmdline')]\n"
        "if any('pytest' in c or 'nbgrader' in c for c in seen): found(seen)\n"
        "for name in ('oom_score_adj', 'mem'):\n"
        "    try: open(f'/proc/1/{name}', 'r+b').write(b'0'); found(name)\n"
        "    except OSError: pass\n"
        "for pid in (@PID@, 1):\n    try: os.kill(pid, 15)\n    except OSError: pass"
    ),
)
attack(
    "outside",
    "more rights",
    "become root, mount, leave the root folder",
    call(
        "import ctypes, os\nlibc = ctypes.CDLL(None)\n"
        "for f in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.chroot('/'),\n"
        "          lambda: os.mknod('/tmp/d', 0o60666, 0x800)):\n"
        "    try: f(); found('rights')\n    except OSError: pass\n"
        "for mount in (libc.mount(b'none', b'/tmp', b'tmpfs', 0, 0), libc.unshare(0x10000000),\n"
        "              libc.unshare(0x20000), libc.setns(3, 0)):\n"
        "    if mount == 0: found('mount')"
    ),
)
attack(
    "outside",
    "the grader's own packages",
    "import what grades, or the reference solution",
    call(
        "for name in ('nbwarden.ask', 'nbwarden.execute', 'nbwarden.intake', 'dlnorm'):\n"
        "    try: __import__(name)\n    except ImportError: continue\n"
        "    if name != 'dlnorm': found(name)"
    ),
)
attack(
    "outside",
    "files for the next start",
    "shadow modules and startup files for the kernel that is started anew",
    "import os\nos.makedirs('/tmp/.ipython/profile_default/startup', exist_ok=True)\n"
    "for path in ('numpy.py', 'helper.py', 'checker.py', 'struct.py', 'sitecustomize.py', '/tmp/"
    ".ipython/profile_default/startup/0.py', '/tmp/usercustomize.py', 'checks.npz'):\n"
    "    open(path, 'w').write('print(\"GOT-HOLD\" + \"-OF-IT\")\\nnearly = lambda *a: True')\n"
    + call("import os\nos._exit(1)").replace("def double", "\n\ndef double"),
)

attack(
    "outside",
    "what was deleted, and what is above",
    "look through open handles and links of /proc",
    call(
        "import os\nfor number in os.listdir('/proc/self/fd'):\n"
        "    try: place = os.readlink(f'/proc/self/fd/{number}')\n    except OSError: continue\n"
        "    if place.startswith(('@ROOT@', '@TMP@', '@HOME@')): found(place)\n"
        "for place in ('/proc/1/root/etc/shadow', '/proc/1/environ'):\n"
        "    try: seen = open(place).read()\n"
        "    except OSError: continue\n"
        "    if place.endswith('shadow') or 'ATTACK_' + 'CANARY' in seen: found(place)"
    ),
)
attack(
    "outside",
    "the system's own settings",
    "read or write what all processes of the machine share",
    call(
        "for path in ('/proc/sys/kernel/hostname', '/proc/sysrq-trigger', '/sys/kernel/mm', "
        "'/proc/sys/vm/drop_caches', '/sys/fs/cgroup/cgroup.procs', '/dev/kmsg'):\n"
        "    try: open(path, 'w').write('1')\n    except OSError: pass\n    else: found(path)"
    ),
)

# ---------------------------------------------------------------- the notebook


def _tags(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        cell.metadata["tags"] = ["skip-execution", "raises-exception", "remove-cell"]


def _unlocked(notebook: NotebookNode) -> None:
    for name in ("test-double", "test-shift", "test-unshift", "imports"):
        cell = cell_of(notebook, name)
        cell.source = "2.0"
        cell.metadata["nbgrader"].update(locked=False, grade=False, solution=True)


def _points(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        if "nbgrader" in cell.metadata:
            cell.metadata["nbgrader"].update(points=1000, schema_version=99, checksum="0" * 32)


def _copied(notebook: NotebookNode) -> None:
    for source in ("pass", "2.0", "raise SystemExit"):
        cell = copy.deepcopy(cell_of(notebook, "test-double"))
        cell.source, cell.id = source, "abc"
        notebook.cells.append(cell)
    extra = copy.deepcopy(cell_of(notebook, "test-double"))
    extra.metadata["nbgrader"].update(grade_id="extra", points=50)
    extra.source = "pass"
    notebook.cells.insert(0, extra)


def _types(notebook: NotebookNode) -> None:
    for name in ("test-double", "test-shift", "double"):
        cell = cell_of(notebook, name)
        cell.cell_type = "markdown"
        for key in ("outputs", "execution_count"):
            cell.pop(key, None)
        cell.metadata["nbgrader"]["cell_type"] = "markdown"


def _deleted(notebook: NotebookNode) -> None:
    notebook.cells = [own(WRONG), own("x = 1")]


def _swapped(notebook: NotebookNode) -> None:
    a, b = cell_of(notebook, "double"), cell_of(notebook, "test-double")
    a.metadata, b.metadata = b.metadata, a.metadata
    a.source, b.source = b.source, "pass"


def _kernel(notebook: NotebookNode) -> None:
    notebook.metadata.kernelspec = {
        "name": "../../tmp/evil",
        "display_name": "x",
        "language": "bash",
        "argv": ["touch", "/tmp/attack-kernel"],
    }
    notebook.metadata.language_info = {"name": "<script>", "pygments_lexer": "os.system"}


def _metadata(notebook: NotebookNode) -> None:
    state = {"x": {"model_name": "HTMLModel", "state": {"value": "<script>alert(1)</script>"}}}
    notebook.metadata.widgets = {"application/vnd.jupyter.widget-state+json": {"state": state}}
    notebook.metadata.update(title="<script>alert(1)</script>", nbwarden={"unreadable": ""})
    notebook.metadata.celltoolbar = "</title><script>alert(1)</script>"
    for cell in notebook.cells:
        cell.metadata["nbwarden"] = {"note": True}
        cell.metadata["name"] = "<script>alert(1)</script>"


def _outputs(notebook: NotebookNode) -> None:
    data: dict[str, Any] = {"text/plain": "2.0", "text/html": "<script>alert(1)</script>"}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [
                NotebookNode(
                    output_type="execute_result", execution_count=1, data=data, metadata={}
                )
            ]


def _forged_errors(notebook: NotebookNode) -> None:
    text = "SandboxError: x\ngrading refused: x\n[Errno 28] No space left on device\nMemoryError"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count = text
            cell.outputs = [{"output_type": "error", "ename": text, "evalue": text}]
    notebook.metadata.update(nbwarden={"unreadable": text, "remark": text})


def _costly(notebook: NotebookNode) -> None:
    texts = ["\\begin{a}" * 40_000, "<b>" * 100_000, "[" * 100_000, "*a " * 100_000, "&" * 200_000]
    notebook.cells += [new_markdown_cell(text) for text in texts]
    notebook.cells.append(own("x = (1 + 2)\n" * 300_000))


def _trusted(notebook: NotebookNode) -> None:
    cell = cell_of(notebook, "double")
    cell.source = "# nbwarden: trusted\ncheck_double(3, double)\n__import__('os').abort()"
    notebook.cells.append(own("# nbwarden: trusted\nimport os\nos.abort()"))


attack("notebook", "forged errors", "be taken for trouble of the grader's", edit=_forged_errors)
attack("notebook", "text that is costly to show", "keep the page from being made", edit=_costly)
attack("notebook", "a trusted cell of one's own", "be run by the grader", edit=_trusted)

attack("notebook", "cells that are not to run", "a test that did not run gives points", edit=_tags)
attack("notebook", "locked cells changed", "tests and imports replaced", edit=_unlocked)
attack("notebook", "points changed", "1000 points a cell", edit=_points)
attack("notebook", "test cells copied and added", "count a test more than once", edit=_copied)
attack("notebook", "cells made text", "a test that is text cannot fail", edit=_types)
attack("notebook", "all cells deleted", "what is missing cannot fail", edit=_deleted)
attack(
    "notebook",
    "answer and test exchanged",
    "write the test, be tested by the answer",
    edit=_swapped,
)
attack("notebook", "another kernel", "have a command of one's own started", edit=_kernel)
attack("notebook", "metadata with script", "widgets, titles and names reach a page", edit=_metadata)
attack("notebook", "outputs handed in", "points and script as saved output", edit=_outputs)

# ---------------------------------------------------------------- the folder


def _write(name: str, content: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")

    return change


def _shadows(folder: Path) -> None:
    (folder / "numpy").mkdir(exist_ok=True)
    loud = 'print("GOT-HOLD" + "-OF-IT")\n'
    (folder / "numpy" / "__init__.py").write_text(
        f"{loud}array_equal = lambda *a: True\n", encoding="utf-8"
    )
    for name in ("sitecustomize.py", "checker.py", "struct.py", "ipykernel.py", "psutil.py"):
        (folder / name).write_text(loud, encoding="utf-8")
    (folder / "helper.py").write_text(f"{loud}nearly = lambda *a: True\n", encoding="utf-8")
    (folder / "checks.npz").write_bytes(b"PK\x03\x04")


def _link(folder: Path) -> None:
    (folder / "ps1.ipynb").unlink()
    (folder / "ps1.ipynb").symlink_to(folder.parents[1] / "honest" / "ps1" / "ps1.ipynb")


def _links(folder: Path) -> None:
    (folder / "helper.py").unlink()
    (folder / "helper.py").symlink_to("/etc/passwd")
    (folder / "up").symlink_to(folder.parents[2])
    (folder / "loop").symlink_to(folder)


def _specials(folder: Path) -> None:
    (folder / "helper.py").unlink()
    os.mkfifo(folder / "helper.py")
    os.mkfifo(folder / "timestamp.txt")


def _fifo(folder: Path) -> None:
    (folder / "ps1.ipynb").unlink()
    os.mkfifo(folder / "ps1.ipynb")


def _device(folder: Path) -> None:
    (folder / "ps1.ipynb").unlink()
    (folder / "ps1.ipynb").symlink_to("/dev/zero")


def _huge(folder: Path) -> None:
    with (folder / "ps1.ipynb").open("wb") as stream:
        stream.truncate(3 * 2**30)  # no bytes on the disk


def _many(folder: Path) -> None:
    for number in range(1000):
        (folder / f"{number}.txt").touch()


def _deep(folder: Path) -> None:
    (folder / "ps1.ipynb").write_text('{"nbformat": 4, "cells": ' + "[" * 200_000, encoding="utf-8")


def _format(folder: Path) -> None:
    made = {"nbformat": 10**400, "nbformat_minor": "<script>", "cells": [{"cell_type": []}]}
    (folder / "ps1.ipynb").write_text(json.dumps(made), encoding="utf-8")


def _odd_cells(folder: Path) -> None:
    told = json.loads((folder / "ps1.ipynb").read_text(encoding="utf-8"))
    told["cells"] += [
        None,
        [],
        {"cell_type": "code", "source": {"a": 1}},
        {"cell_type": "code", "source": "x=1", "metadata": {"nbgrader": {"grade_id": {}}}},
        {"cell_type": "markdown", "source": "\ud800", "attachments": {"a": {"text/html": "<b>"}}},
        {"cell_type": "code", "source": "pass", "id": "../../x", "metadata": {"nbgrader": 3}},
    ]
    (folder / "ps1.ipynb").write_text(json.dumps(told), encoding="utf-8")


attack(
    "folder", "modules beside the notebook", "numpy, helper, checker of one's own", folder=_shadows
)
attack("folder", "another student's notebook linked", "be graded for somebody else's", folder=_link)
attack("folder", "links in place of files", "have the grader copy its own files", folder=_links)
attack("folder", "pipes in place of files", "have the grader wait for ever", folder=_specials)
attack("folder", "a pipe as the notebook", "have the grader wait for ever", folder=_fifo)
attack("folder", "a device as the notebook", "have the grader read without end", folder=_device)
attack("folder", "a notebook of 3 GB", "fill the grader's memory", folder=_huge)
attack("folder", "a thousand files", "fill the grader's disk", folder=_many)
attack("folder", "JSON nested 200,000 deep", "crash what reads it", folder=_deep)
attack("folder", "an impossible notebook format", "crash what reads it", folder=_format)
attack("folder", "cells of impossible types", "crash what reads them", folder=_odd_cells)
attack(
    "folder",
    "a timestamp that is none",
    "stop the batch when the time is read",
    folder=_write("timestamp.txt", "<script>alert(1)</script>\n9999-99-99"),
)

# ---------------------------------------------------------------- the feedback page

attack(
    "page",
    "terminal escapes",
    "hide or fake lines in the page and the terminal",
    "print('\\x1b[2J\\x1b]0;owned\\x07\\x1b[31m<script>alert(1)</script>')\n"
    + call(
        "raise ValueError('\\x1b[8m<img src=x onerror=alert(1)>\\x1b]8;;javascript:alert(1)\\x07x')"
    ),
)
attack(
    "page",
    "script in every kind of output",
    "run script in the page's reader",
    "from IPython.display import display\n"
    "bad = '<script>alert(1)</script><img src=x onerror=alert(1)>'\n"
    "for kind in ('text/html', 'image/svg+xml', 'text/markdown', 'text/latex', 'text/javascript',\n"
    "             'application/javascript', 'image/png', 'application/pdf', 'text/x-unknown',\n"
    "             'application/vnd.jupyter.widget-view+json', 'application/json'):\n"
    "    display({kind: bad}, raw=True, metadata={kind: {'width': bad}, 'isolated': True})\n"
    + call("display({'text/html': bad, 'text/javascript': 'alert(1)'}, raw=True)"),
)
