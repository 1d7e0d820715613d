"""What our own operators make of a piece of code: each mutant, and no other."""

import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

import operators


def mutants(name: str, code: str) -> set[str]:
    operator = operators.ALL[name]()
    count = sum(len(list(operator.mutation_positions(node))) for node in ast_nodes(get_ast(code)))
    made = [mutate_code(code, operator, occurrence) for occurrence in range(count)]
    for mutant in made:
        compile(mutant, "mutant", "exec")
    return set(made)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("WHERE a <= b", {"WHERE a < b"}),
        ("WHERE a < b", {"WHERE a <= b"}),
        ("WHERE a >= b", {"WHERE a > b"}),
        ("WHERE a > b", {"WHERE a >= b"}),
        ("WHERE a = b", {"WHERE a <> b"}),
        ("WHERE a <> b", {"WHERE a = b"}),
        ("WHERE f(a => b)", set()),
        ("WHERE a->>b IS NULL", {"WHERE a->>b IS NOT NULL"}),
        ("WHERE a IS NOT NULL", {"WHERE a IS NULL"}),
        ("a AND b", {"a OR b"}),
        ("a OR b", {"a AND b"}),
        ("CREATE OR REPLACE", set()),
        ("WHERE a ORDER BY b, c DESC LIMIT :d", {"WHERE a LIMIT :d", "WHERE a ORDER BY b, c LIMIT :d",
                                                 "WHERE a ORDER BY b, c DESC"}),
        ("(SELECT 1 ORDER BY a)", {"(SELECT 1)"}),
        ("WHERE a FOR UPDATE SKIP LOCKED", {"WHERE a", "WHERE a FOR UPDATE"}),
        ("WHERE a FOR NO KEY UPDATE OF b", {"WHERE a"}),
        ("SELECT DISTINCT * FROM a", {"SELECT * FROM a"}),
        ("INSERT INTO a ON CONFLICT (b) DO NOTHING", {"INSERT INTO a"}),
        ("a LEFT JOIN b", {"a JOIN b"}),
        ("WHERE now() - interval '30 days'", {"WHERE now() + interval '30 days'", "WHERE now() - interval '31 days'"}),
        ("SELECT a, f(b, c) FROM d", {"SELECT NULL, f(b, c) FROM d", "SELECT a, NULL FROM d"}),
        ("UPDATE a SET b = 'x', c = f(d, e), g = h WHERE i = j", {
            "UPDATE a SET c = f(d, e), g = h WHERE i = j",
            "UPDATE a SET b = 'x', g = h WHERE i = j",
            "UPDATE a SET b = 'x', c = f(d, e) WHERE i = j",
            "UPDATE a SET b = 'x', c = f(d, e), g = h WHERE i <> j",
        }),
    ],
)  # fmt: skip
def test_sql_is_changed_in_one_place_at_a_time(sql: str, expected: set[str]) -> None:
    assert mutants("sql-text", f'x = text("{sql}")') == {f'x = text("{mutant}")' for mutant in expected}


@pytest.mark.parametrize("code", ['"""SELECT a WHERE b < c"""\n', 'x = "a < b, and so on"\n', "x = a < b\n"])
def test_what_is_no_sql_is_left_alone(code: str) -> None:
    assert mutants("sql-text", code) == set()


def test_the_sql_of_an_f_string_is_changed_and_its_expressions_are_not() -> None:
    assert mutants("sql-text", 'x = f"DELETE FROM {a < b} WHERE c < d"\n') == {
        'x = f"DELETE FROM {a < b} WHERE c <= d"\n'
    }


def test_a_mutant_in_a_long_string_stands_on_its_own_line() -> None:
    (node,) = (
        node for node in ast_nodes(get_ast('x = """\n  SELECT *\n  FROM a WHERE b < c"""')) if node.type == "string"
    )

    assert list(operators.SqlText().mutation_positions(node)) == [((3, 17), (3, 18))]


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [
        ("sql-builder", "q = select(a).where(b).with_for_update()\n", {
            "q = select(a).with_for_update()\n",
            "q = select(a).where(b)\n",
        }),
        ("entry", "f(a, b=1, c=2)\n", {"f(a, c=2)\n", "f(a, b=1)\n"}),
        ("entry", "f(b=1)\n", {"f()\n"}),
        ("entry", "q.where(a, b)\n", {"q.where(b)\n", "q.where(a)\n"}),
        ("entry", "x = {'a': 1, **b,\n     'c': 2}\n", {"x = {**b,\n     'c': 2}\n", "x = {'a': 1,\n     'c': 2}\n",
                                                       "x = {'a': 1, **b}\n"}),
        ("entry", "x = {a, b}\n", {"x = {b}\n", "x = {a}\n"}),
        ("entry", "x = {a: b for a in c}\n", set()),
        ("argument", "x = Paid(a, 'text', b=c)\n", {"x = Paid(None, 'text', b=c)\n"}),
        ("argument", "x = m.Paid(a)\n", {"x = m.Paid(None)\n"}),
        ("argument", "x = paid(a)\n", set()),
        ("statement", "def f():\n    await a()  # why\n", {"def f():\n    pass  # why\n"}),
        ("statement", "def f():\n    a.b = 1\n    c = 2\n    c += 3\n", {
            "def f():\n    pass\n    c = 2\n    c += 3\n",
            "def f():\n    a.b = 1\n    c = 2\n    pass\n",
        }),
        ("statement", 'def f():\n    """Why."""\n    return 1\n', set()),
    ],
)  # fmt: skip
def test_a_part_of_the_code_is_left_out(name: str, code: str, expected: set[str]) -> None:
    assert mutants(name, code) == expected
