"""What could be taken out of a file without its author noticing: one mutant a guard, operand, boundary, check, limit.

Kinds:
- `if`: an if whose body ends in raise, return, continue or break never holds;
- `raise`: any other raise, those of an except included, does nothing;
- `operand`: an operand of and, or, min, max, or of a chained comparison is left out;
- `boundary`: < for <=, > for >=, and the other way round;
- `check`: a call whose result nobody uses, and that writes nothing itself, is left out;
- `filter`: a comprehension takes everything;
- `weaker`: the caller need not be active, or its organisation admitted;
- `limit`: a keyword of msgspec.Meta, or forbid_unknown_fields, is left out.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

WRITES = {
    "write",
    "put",
    "delete",
    "pay",
    "consume",
    "announce",
    "set_event",
    "append",
    "add",
    "update",
    "pop",
}
WRITES |= {"add_done_callback", "warning", "sleep", "fill_diagonal", "setdefault", "_note", "_look", "_write"}
FLIPPED = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
WEAKER = {"caller": ("acting", 1), "admitted": ("consortium", 1)}  # a call's name -> name and arguments left
NEVER = ast.Constant(False)
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


class Edit(NamedTuple):
    """Put `new` where `old` is; `shown` is the part that goes."""

    kind: str
    old: ast.AST
    new: ast.AST
    shown: ast.AST


class Mutant(NamedTuple):
    """A file with one thing taken out of it: `line` is where, `function` the outermost one around it ("" if none)."""

    file: Path
    line: int
    function: str
    edit: Edit
    text: str
    original: ast.Module

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.edit.kind}: {' '.join(self.text.split())[:110]}"

    def tree(self) -> ast.Module:
        """The file's tree with the edit made, everything else where it was."""
        return ast.fix_missing_locations(
            copy.deepcopy(self.original, {id(self.edit.old): ast.copy_location(self.edit.new, self.edit.old)})
        )


def mutants(root: Path, file: Path) -> Iterator[Mutant]:
    """Every mutant of a file, from its top to its end."""
    source = (root / file).read_text()
    tree = ast.parse(source)
    functions = dict(_functions(tree))
    found = []
    ends = {node.body[-1] for node in ast.walk(tree) if isinstance(node, ast.If)}
    for node in ast.walk(tree):
        for edit in () if node in ends and isinstance(node, ast.Raise) else edits(node):
            line = getattr(edit.shown, "lineno", 0)
            text = ast.get_source_segment(source, edit.shown) or ast.unparse(edit.shown)
            found.append(Mutant(file, line, functions.get(node, ""), edit, text, tree))
    yield from sorted(found, key=lambda each: each.line)


def edits(node: ast.AST) -> Iterator[Edit]:
    """What can be taken out at this node itself."""
    match node:
        case ast.If(test=test, body=body) if isinstance(
            body[-1], ast.Raise | ast.Return | ast.Continue | ast.Break
        ):
            yield Edit("if", test, NEVER, test)
        case ast.Raise():
            yield Edit("raise", node, _dead(node), node)
        case ast.BoolOp(values=values) if len(values) > 1:
            yield from _without_one(node, values, "values")
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            yield from _comparisons(node, left, ops, comparators)
        case ast.Expr(value=value) if (called := _called(value)) and called not in WRITES:
            yield Edit("check", node, _dead(node), node)
        case ast.Call(func=ast.Name(id="min" | "max"), args=args, keywords=[]) if len(args) > 1:
            yield from _without_one(node, args, "args")
        case ast.Call(func=ast.Attribute(attr="Meta"), keywords=keywords):
            yield from _without_keywords(node, keywords)
        case ast.comprehension(ifs=ifs) if ifs:
            for test in ifs:
                yield Edit("filter", test, ast.Constant(True), test)
        case ast.ClassDef(keywords=keywords):
            loose = [each for each in keywords if each.arg == "forbid_unknown_fields"]
            yield from (Edit("limit", each.value, NEVER, each.value) for each in loose)
    match node:
        case ast.Call(func=ast.Attribute(attr=name), args=args) if name in WEAKER:
            weaker, kept = WEAKER[name]
            new = copy.deepcopy(node)
            assert isinstance(new, ast.Call)
            assert isinstance(new.func, ast.Attribute)
            new.func.attr, new.args = weaker, new.args[:kept]
            yield Edit("weaker", node, new, node)


def _functions(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Each node inside a function, its decorators and annotations left out, with that outermost function's name."""

    def visit(body: list[ast.stmt], within: str) -> Iterator[tuple[ast.AST, str]]:
        for statement in body:
            if isinstance(statement, ast.ClassDef):
                yield from visit(statement.body, f"{within}{statement.name}.")
            elif isinstance(statement, FUNCTION):
                for part in statement.body:
                    yield from ((inner, within + statement.name) for inner in ast.walk(part))

    yield from visit(tree.body, "")


def _comparisons(
    node: ast.AST, left: ast.expr, ops: list[ast.cmpop], comparators: list[ast.expr]
) -> Iterator[Edit]:
    for place, op in enumerate(ops):
        if type(op) in FLIPPED:
            new = copy.deepcopy(node)
            assert isinstance(new, ast.Compare)
            new.ops[place] = FLIPPED[type(op)]()
            yield Edit("boundary", node, new, node)
    if len(ops) > 1:
        terms = [left, *comparators]
        for place in range(len(ops)):
            one = [ast.Compare(terms[i], [ops[i]], [terms[i + 1]]) for i in range(len(ops)) if i != place]
            new_test: ast.AST = one[0] if len(one) == 1 else ast.BoolOp(ast.And(), list(one))
            gone = ast.Compare(terms[place], [ops[place]], [terms[place + 1]])
            yield Edit("operand", node, new_test, ast.copy_location(gone, node))


def _without_one(node: ast.AST, parts: list[ast.expr], field: str) -> Iterator[Edit]:
    for place, part in enumerate(parts):
        left = [each for i, each in enumerate(parts) if i != place]
        new = copy.deepcopy(node)
        setattr(new, field, left)
        yield Edit("operand", node, left[0] if len(left) == 1 else new, part)


def _without_keywords(node: ast.AST, keywords: list[ast.keyword]) -> Iterator[Edit]:
    for gone in keywords:
        new = copy.deepcopy(node)
        assert isinstance(new, ast.Call)
        new.keywords = [each for each in keywords if each is not gone]
        yield Edit("limit", node, new, gone)


def _called(value: ast.expr) -> str:
    """The name of what an expression calls, "" if it calls nothing."""
    call = value.value if isinstance(value, ast.Await) else value
    if not isinstance(call, ast.Call):
        return ""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "?")


def _dead(statement: ast.AST) -> ast.If:
    """Never done, but still there: what the function closes over stays the same."""
    assert isinstance(statement, ast.stmt)
    return ast.If(NEVER, [statement], [])
