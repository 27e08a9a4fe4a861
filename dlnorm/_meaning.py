"""What code a program runs, by its meaning: not changed by a comment, nor by code it cannot reach.

`Code.digest` starts at functions, modules or a source text and follows every name, definition by
definition, through all modules of the packages it is told of. What it hashes are syntax trees.

- From ``from dlnorm import layernorm_forward``, ``dlnorm.layernorm_forward`` or ``nn.LayerNorm``
  it goes on to that function or class alone. A module that is used in any other way, such as
  ``getattr(dlnorm, name)``, counts with all that is in it.
- An import anywhere, also one inside a function, brings in what the imported module does when it
  is imported: every statement of its top level, but definitions and assignments to names. A call
  on the right of such an assignment, or a decorator, is taken to do nothing but make its value.
- ``import_module(f"package.{name}")`` brings in those modules of the package that the source
  names in a string, or in a constant it refers to by name; all of them if it names none.
  A module whose name is nowhere in the code is not found.
- Docstrings count only if something reached reads them: ``__doc__``, ``help``, ``getdoc``.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from pathlib import Path

_READS_DOCSTRINGS = {"__doc__", "help", "getdoc", "getsource"}
#: Fields of syntax trees that say nothing, or not the same in every Python.
_WITHOUT_MEANING = {"ctx", "kind", "type_comment", "type_ignores"}


class Code:
    """The code of some packages, as it lies in a folder.

    Parameters
    ----------
    root : Path
        The folder that the packages lie in.
    packages : tuple of str
        Their names. What other modules they import is not followed.
    """

    def __init__(self, root: Path, packages: tuple[str, ...] = ("dlnorm",)) -> None:
        self.root, self.packages = root, packages

    def digest(self, *starts: str, source: str = "", messages: bool = True) -> str:
        """Identify what a program can run.

        Parameters
        ----------
        *starts : str
            ``"dlnorm.verify"``, a module and all that is in it, or ``"dlnorm.verify:verify"``,
            one function or class of it.
        source : str
            Python that runs as well.
        messages : bool
            Whether the texts of raised errors count.

        Raises
        ------
        ModuleNotFoundError
            If there is no such module, or no such name in it.
        SyntaxError
            If the source or a module is no Python.
        """
        reached = Reached(self, *starts, source=source)
        total = hashlib.sha256()
        for module, name, statements in reached.in_order():
            text = " ".join(_text(node, reached.docstrings, messages) for node in statements)
            total.update(f"{module}:{name} {text}\n".encode())
        return total.hexdigest()

    def module(self, name: str) -> Module | None:
        """Return a module by its dotted name; None if it is no module of these packages."""
        first, *rest = name.split(".")
        if first not in self.packages:
            return None
        base = self.root.joinpath(first, *rest)
        for path in (base / "__init__.py", base.with_suffix(".py")):
            if path.is_file():
                stat = path.stat()
                return _module(name, path, stat.st_mtime_ns, stat.st_size)
        return None

    def below(self, prefix: str) -> list[str]:
        """Return the dotted names of all modules that begin with `prefix`, by name."""
        folder = self.root.joinpath(*prefix.split(".")[:-1])
        package = prefix.rpartition(".")[0]
        names = (path.stem for path in folder.glob("*.py") if path.stem != "__init__")
        return sorted(f"{package}.{n}" for n in names if f"{package}.{n}".startswith(prefix))


class Module:
    """A module's statements, by what they do: define a name, import, or anything else."""

    def __init__(self, name: str, tree: ast.Module, *, is_package: bool = False) -> None:
        self.name = name
        self.definitions: dict[str, list[ast.stmt]] = {}
        self.effects: list[ast.stmt] = []
        #: What imports bind names to, wherever they stand: a module, or a name in a module.
        self.imported: dict[str, set[tuple[str, str]]] = {}
        self.docstring = ast.get_docstring(tree) or ""
        for statement in tree.body:
            names = _defined(statement)
            for defined in names:
                self.definitions.setdefault(defined, []).append(statement)
            if not names and not _does_nothing(statement):
                self.effects.append(statement)
        package = name if is_package else name.rpartition(".")[0]
        self.imports = list(_imports(tree, package))
        for bound, module, member in self.imports:
            self.imported.setdefault(bound, set()).add((module, member))


class Reached:
    """All definitions that can be reached from some starts.

    Attributes
    ----------
    definitions : set of (str, str)
        Module and name of each. The rest of a module has the name ``""``.
    docstrings : bool
        Whether something among them reads docstrings.
    """

    def __init__(self, code: Code, *starts: str, source: str = "") -> None:
        self._module = lru_cache(maxsize=None)(code.module)  # no file is looked for twice
        self._below = code.below
        self._source = Module("", ast.parse(source))
        self.definitions: set[tuple[str, str]] = set()
        self.docstrings = False
        self._whole: set[str] = set()
        self._named = self._names_in_source()
        self._touch(self._source)
        for name in self._source.definitions:
            self._define(self._source, name)
        for start in starts:
            module, _, member = start.partition(":")
            found = self._module(module)
            if found is None:
                raise ModuleNotFoundError(f"there is no module {module!r} in {code.root}")
            if member and member not in found.definitions.keys() | found.imported.keys():
                raise ModuleNotFoundError(f"there is no {member!r} in {module}")
            if member:
                self._follow(found, (member,))
            else:
                self._take_all_of(found, exported=False)

    def in_order(self) -> Iterator[tuple[str, str, list[ast.stmt]]]:
        """Yield module, name and statements of each definition, by name."""
        for name, member in sorted(self.definitions):
            module = self._of(name)
            if member:
                yield name, member, module.definitions[member]
            else:
                doc = [ast.Expr(ast.Constant(module.docstring))] if self.docstrings else []
                if doc or module.effects:
                    yield name, "", [*doc, *module.effects]

    def _of(self, name: str) -> Module:
        module = self._module(name) if name else self._source
        assert module is not None, name
        return module

    def _names_in_source(self) -> set[str]:
        """Strings in the source, and in the constants of other modules that it names."""
        source = self._source
        trees: list[ast.AST] = [*source.effects]
        trees += [node for nodes in source.definitions.values() for node in nodes]
        for chain in [chain for tree in trees for chain in _chains(tree)]:
            for module, member in self._places(source, chain):
                found = module.definitions.get(member, [])
                trees += [node for node in found if isinstance(node, ast.Assign | ast.AnnAssign)]
        nodes = (node for tree in trees for node in ast.walk(tree))
        values = (node.value for node in nodes if isinstance(node, ast.Constant))
        return {value for value in values if isinstance(value, str)}

    def _places(self, module: Module, chain: tuple[str, ...]) -> Iterator[tuple[Module, str]]:
        """Yield where ``a.b.c`` in a module comes from; the name is "" for a whole module."""
        name, rest = chain[0], chain[1:]
        if name in module.definitions:
            yield module, name
        for target, member in module.imported.get(name, ()):
            if target == module.name:  # a package that imports a module of its own
                yield from self._inside(f"{target}.{member}", rest)
                continue
            yield from self._inside(target, (member, *rest) if member else rest)

    def _inside(self, target: str, chain: tuple[str, ...]) -> Iterator[tuple[Module, str]]:
        """Yield where a chain that begins in a module ends."""
        module = self._module(target)
        if module is None:
            return
        if not chain:
            yield module, ""
        elif chain[0] in module.definitions or chain[0] in module.imported:
            yield from self._places(module, chain)
        elif chain[0] == "__dict__":
            yield module, ""
        else:  # a module of this package, or nothing of ours, such as `__file__`
            yield from self._inside(f"{target}.{chain[0]}", chain[1:])
            if "__getattr__" in module.definitions:
                yield module, "__getattr__"

    def _follow(self, module: Module, chain: tuple[str, ...]) -> None:
        if not chain[0]:
            return
        for found, member in self._places(module, chain):
            if member:
                self._define(found, member)
            else:
                self._take_all_of(found, exported=True)

    def _take_all_of(self, module: Module, *, exported: bool) -> None:
        """Reach all that is in a module; if `exported`, all that it has imported as well."""
        if exported and module.name not in self._whole:
            self._whole.add(module.name)
            for name in module.imported:
                self._follow(module, (name,))
        self._touch(module)
        for name in module.definitions:
            self._define(module, name)

    def _touch(self, module: Module) -> None:
        """Reach what a module does when it is imported."""
        if (module.name, "") in self.definitions:
            return
        self.definitions.add((module.name, ""))
        parent = self._module(module.name.rpartition(".")[0])
        imported = [self._module(target) for _, target, _ in module.imports]
        # `from package import module`
        imported += [self._module(f"{target}.{name}") for _, target, name in module.imports]
        for other in [parent, *imported]:
            if other is not None:
                self._touch(other)
        for _, target, name in module.imports:
            star = self._module(target) if name == "*" else None
            if star is not None:
                self._take_all_of(star, exported=True)
        self._read(module, module.effects)

    def _define(self, module: Module, name: str) -> None:
        if (module.name, name) not in self.definitions:
            self.definitions.add((module.name, name))
            self._touch(module)
            self._read(module, module.definitions[name])

    def _read(self, module: Module, statements: Iterable[ast.stmt]) -> None:
        """Reach all that statements refer to."""
        for statement in statements:
            for chain in _chains(statement):
                self.docstrings |= not _READS_DOCSTRINGS.isdisjoint(chain)
                self._follow(module, chain)
            for prefix, is_whole in _imports_by_name(statement):
                below = [prefix] if is_whole else self._below(prefix)
                named = [name for name in below if name.rpartition(".")[2] in self._named]
                for found in filter(None, map(self._module, named or below)):
                    self._take_all_of(found, exported=True)


@cache
def _module(name: str, path: Path, changed: int, size: int) -> Module:
    return Module(name, ast.parse(path.read_bytes()), is_package=path.name == "__init__.py")


def _defined(statement: ast.stmt) -> list[str]:
    """The names that a statement does nothing but bind; imports are no definitions."""
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [statement.name]
        case ast.Assign(targets=targets):
            found = [node for target in targets for node in _leaves(target)]
        case ast.AnnAssign(target=target):
            found = [target]
        case _ if type(statement).__name__ == "TypeAlias":  # since Python 3.12
            found = [statement.name]  # type: ignore[attr-defined]
        case _:
            return []
    names = [node.id for node in found if isinstance(node, ast.Name)]
    return names if len(names) == len(found) else []  # else something else changes, as in `x[0] =`


def _leaves(target: ast.expr) -> list[ast.expr]:
    if isinstance(target, ast.Tuple | ast.List):
        return [leaf for part in target.elts for leaf in _leaves(part)]
    return [target]


def _does_nothing(statement: ast.stmt) -> bool:
    """Whether importing a module does not run this: imports, texts, and the part for scripts."""
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.Expr(value=ast.Constant()):
            return True
        case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
            return True
    return False


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all statements in a tree, however deep, without looking into expressions."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            below = getattr(node, field, None)
            waiting += below if isinstance(below, list) else ()


def _imports(tree: ast.AST, package: str) -> Iterator[tuple[str, str, str]]:
    """Yield what each import binds, from which module, and which name in it ("" for all of it)."""
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname or "." not in alias.name:
                    yield alias.asname or alias.name, alias.name, ""
                else:
                    yield alias.name.partition(".")[0], alias.name.partition(".")[0], ""
                    yield "", alias.name, ""  # is imported, and found through the first name
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            parts = [*above, node.module] if node.level else [node.module]
            module = ".".join(filter(None, parts))
            for alias in node.names:
                yield alias.asname or alias.name, module, alias.name


@cache
def _chains(tree: ast.AST) -> tuple[tuple[str, ...], ...]:
    """Each name in a tree with the attributes that are taken of it, once: ``a.b.c``."""
    return tuple(dict.fromkeys(_chains_in(tree)))


def _chains_in(tree: ast.AST) -> Iterator[tuple[str, ...]]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        attributes: list[str] = []
        while isinstance(node, ast.Attribute):
            attributes.insert(0, node.attr)
            node = node.value
        if isinstance(node, ast.Name):
            yield (node.id, *attributes)
        else:
            if attributes:  # of a call's result, say
                yield ("", *attributes)
            waiting += ast.iter_child_nodes(node)


def _imports_by_name(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Yield what ``import_module(...)`` is called with, as far as it is written down."""
    calls = {"import_module", "__import__"}
    if calls.isdisjoint(chain[-1] for chain in _chains(tree)):
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called = _chains(node.func)
        if not called or called[0][-1] not in calls:
            continue
        match node.args[0]:
            case ast.Constant(value=str(name)):
                yield name, True
            case ast.JoinedStr(values=[ast.Constant(value=str(prefix)), *_]):
                yield prefix, False


@cache
def _text(node: ast.stmt, docstrings: bool, messages: bool) -> str:
    """Write a syntax tree down, the same in every Python."""

    def text(node: object) -> str:
        if isinstance(node, list):
            return "[" + " ".join(map(text, node)) + "]"
        if isinstance(node, ast.Constant):
            return repr(node.value)
        if not isinstance(node, ast.AST):
            return repr(node)
        fields = dict(ast.iter_fields(node))
        if not docstrings and _has_docstring(node):
            fields["body"] = fields["body"][1:]
        if not messages and isinstance(node, ast.Assert):
            fields["msg"] = None
        if not messages and isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            fields["exc"] = [node.exc.func, *map(_without_words, node.exc.args), node.exc.keywords]
        written = (
            f"{field}={text(value)}"
            for field, value in fields.items()
            if field not in _WITHOUT_MEANING and value is not None and value != []
        )
        return f"{type(node).__name__}({' '.join(written)})"

    return text(node)


def _without_words(argument: ast.expr) -> object:
    """What is left of an error's argument without its words: what is computed for them."""
    match argument:
        case ast.Constant(value=str()):
            return None
        case ast.JoinedStr(values=values):
            return [part for part in values if isinstance(part, ast.FormattedValue)]
    return argument


def _has_docstring(node: ast.AST) -> bool:
    match node:
        case (
            ast.FunctionDef(body=[ast.Expr(value=ast.Constant(value=str())), *_])
            | ast.AsyncFunctionDef(body=[ast.Expr(value=ast.Constant(value=str())), *_])
            | ast.ClassDef(body=[ast.Expr(value=ast.Constant(value=str())), *_])
        ):
            return True
    return False
