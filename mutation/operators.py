"""Mutations that Cosmic Ray lacks: of SQL, as text and as SQLAlchemy builds it, and of what can be left out.

Each operator yields edits of one node's text: where it begins and ends in the file, and the node's new text.
"""

import re
from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import Any

from cosmic_ray.operators.operator import Operator
from parso.python.tree import Name

_Position = tuple[int, int]
_Edit = tuple[_Position, _Position, str]

_IS_SQL = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|FROM|WHERE|SET|AND|OR|LIMIT|JOIN|NOT NULL|ORDER BY)\b|\bnow\(\)")
_CLAUSE_ENDS = r"""(?=\s+(?:LIMIT|FOR|ON CONFLICT|RETURNING)\b|\)|\n|"|'|$)"""
_SQL: list[tuple[str, str]] = [
    (r"<=", "<"),
    (r">=", ">"),
    (r"(?<![<>=-])<(?![=>@])", "<="),
    (r"(?<![<>=-])>(?!=)", ">="),
    (r"<>|!=", "="),
    (r"\bAND\b", "OR"),
    (r"\bOR\b(?! REPLACE)", "AND"),
    (r"\bNOT ", ""),
    (r"\bIS NULL\b", "IS NOT NULL"),
    (r"\bASC\b", "DESC"),
    (r" DESC\b", ""),
    (r"\bDISTINCT (?:ON \([^)]*\) )?", ""),
    (r"\s+FOR (?:NO KEY )?(?:UPDATE|SHARE)(?: OF \w+)?(?: SKIP LOCKED| NOWAIT)?", ""),
    (r" SKIP LOCKED", ""),
    (r"\s+ORDER BY .+?" + _CLAUSE_ENDS, ""),
    (r"\s+LIMIT [^\s)\"']+", ""),
    (r"\s+ON CONFLICT(?: \([^)]*\))? DO NOTHING", ""),
    (r"\b(?:LEFT|RIGHT|FULL) (?=JOIN\b)", ""),
    (r"\bUNION ALL\b", "UNION"),
    (r"\bmin(?=\()", "max"),
    (r"\bmax(?=\()", "min"),
    (r"\bleast(?=\()", "greatest"),
    (r"\bgreatest(?=\()", "least"),
    (r" - (?=make_interval|interval|CAST)", " + "),
    (r" \+ (?=make_interval|interval|CAST)", " - "),
]
_NUMBER = re.compile(r"(?<![\w:.$])(?<!SELECT )\d+\b")
_EQUALS = re.compile(r"(?<![<>!:=])=(?![=>])")
_BEFORE_EQUALS = re.compile(r"\b(SET|WHERE|ON|AND|OR|WHEN|HAVING|FROM)\b")
_LIST = re.compile(r"\b(?:SELECT(?: DISTINCT)?|SET)\s+(.+?)(?=\s+(?:FROM|WHERE|RETURNING)\b|[\"']*$)", re.DOTALL)
_BUILDER = {"where", "order_by", "limit", "with_for_update", "distinct", "desc", "asc", "on_conflict_do_nothing"}


class TextOperator(Operator):  # type: ignore[misc]  # it has no types
    def edits(self, node: Any) -> Iterator[_Edit]:
        raise NotImplementedError

    def mutation_positions(self, node: Any) -> Iterator[tuple[_Position, _Position]]:
        return ((begin, end) for begin, end, _ in self.edits(node))

    def mutate(self, node: Any, index: int) -> Name:
        *_, text = list(self.edits(node))[index]
        return Name(text, node.start_pos, node.get_first_leaf().prefix)

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


class SqlText(TextOperator):
    """In a string that is SQL: another comparison, a clause or condition left out, a column that is not written."""

    def edits(self, node: Any) -> Iterator[_Edit]:
        if node.type not in ("string", "fstring_string") or node.parent.type == "simple_stmt":
            return
        text: str = node.value
        if not _IS_SQL.search(text):
            return
        for begin, end, new in sorted(sql_edits(text)):
            before, old = text[:begin], text[begin:end]
            yield _moved(node.start_pos, before), _moved(node.start_pos, before + old), before + new + text[end:]


def sql_edits(sql: str) -> Iterator[tuple[int, int, str]]:
    for pattern, new in _SQL:
        for found in re.finditer(pattern, sql):
            yield *found.span(), new
    for found in _NUMBER.finditer(sql):
        yield *found.span(), str(int(found[0]) + 1)
    for found in _EQUALS.finditer(sql):
        keywords = _BEFORE_EQUALS.findall(sql, 0, found.start())
        if not keywords or keywords[-1] != "SET":
            yield *found.span(), "<>"
    for found in _LIST.finditer(sql):
        items = list(_items(sql, *found.span(1)))
        for number, (begin, end) in enumerate(items):
            if found[0].startswith("SELECT"):
                if sql[begin:end].strip() not in ("*", "1"):
                    yield begin, end, "NULL"
            elif len(items) > 1:  # with the comma behind it, or before it if it is the last
                yield (begin, items[number + 1][0], "") if number + 1 < len(items) else (items[number - 1][1], end, "")


def _items(text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Where each of the items begins and ends that commas outside of parentheses divide."""
    depth, start = 0, begin
    for at in range(begin, end + 1):
        character = text[at] if at < end else ","
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            item = text[start:at]
            yield start + len(item) - len(item.lstrip()), at - (len(item) - len(item.rstrip()))
            start = at + 1


def _moved(position: _Position, text: str) -> _Position:
    lines = text.split("\n")
    return position[0] + len(lines) - 1, len(lines[-1]) + (position[1] if len(lines) == 1 else 0)


class SqlBuilder(TextOperator):
    """A call in the making of a query left out: `.order_by(...)`, `.with_for_update()`, ..."""

    def edits(self, node: Any) -> Iterator[_Edit]:
        parts = node.children if node.type in ("atom_expr", "power") else []
        for at, (name, call) in enumerate(pairwise(parts)):
            if _is_trailer(name, ".") and name.children[1].value in _BUILDER and _is_trailer(call, "("):
                yield _without(node, at, at + 2)


class Entry(TextOperator):
    """An entry of a dictionary or a set, a keyword argument, or one of the conditions of `where` left out."""

    def edits(self, node: Any) -> Iterator[_Edit]:
        if _is_trailer(node, "(") and _is_keyword(node.children[1]):
            yield _without(node, 1, 2)
        if node.type not in ("arglist", "dictorsetmaker") or node.children[-1].type in ("comp_for", "sync_comp_for"):
            return
        before = node.parent.get_previous_sibling()
        of_where = before is not None and _is_trailer(before, ".") and before.children[1].value == "where"
        at = 0
        for is_comma, group in groupby(node.children, key=lambda child: child == ","):
            begin, at = at, at + len(entry := list(group))
            if not is_comma and (node.type == "dictorsetmaker" or of_where or _is_keyword(entry[0])):
                is_last = at == len(node.children)
                yield _without(node, begin - 1 if is_last and begin else begin, at if is_last else at + 1)


class Argument(TextOperator):
    """What a constructor is given by position is None; texts for people are left alone."""

    def edits(self, node: Any) -> Iterator[_Edit]:
        call = node.parent if node.type == "arglist" else node
        callee = call.get_previous_sibling() if _is_trailer(call, "(") else None
        if callee is None or not re.match(r"\.?_?[A-Z][a-z]", _text(callee)):
            return
        for at, child in enumerate(node.children):
            if child.type not in ("operator", "argument", "arglist", "string", "strings", "fstring", "keyword"):
                kept = [part.get_code() for part in node.children]
                kept[at] = child.get_first_leaf().prefix + "None"
                yield child.start_pos, child.end_pos, "".join(kept).removeprefix(node.get_first_leaf().prefix)


class Statement(TextOperator):
    """A line left out: a call, a raise, or an assignment to more than a local name."""

    def edits(self, node: Any) -> Iterator[_Edit]:
        if node.type == "simple_stmt" and node.parent.type == "suite" and node.parent.parent.type != "classdef":
            act = node.children[0]
            if act.type in ("atom_expr", "power", "await", "raise_stmt") or (
                act.type == "expr_stmt"
                and (act.children[0].type != "name" or _text(act.children[1]).endswith(("+=", "-=", "|=")))
            ):
                yield act.start_pos, act.end_pos, "pass" + node.get_code(include_prefix=False)[len(_text(act)) :]


def _is_trailer(node: Any, opening: str) -> bool:
    return bool(node.type == "trailer" and node.children[0] == opening)


def _is_keyword(node: Any) -> bool:
    return bool(node.type == "argument" and node.children[1] == "=")


def _text(node: Any) -> str:
    return str(node.get_code(include_prefix=False))


def _without(node: Any, begin: int, end: int) -> _Edit:
    children = node.children
    kept = "".join(child.get_code() for child in (*children[:begin], *children[end:]))
    return (
        children[begin].start_pos,
        children[end - 1].end_pos,
        kept.removeprefix(node.get_first_leaf().prefix) if begin else kept.lstrip(),
    )


ALL: dict[str, type[TextOperator]] = {
    "sql-text": SqlText,
    "sql-builder": SqlBuilder,
    "entry": Entry,
    "argument": Argument,
    "statement": Statement,
}
