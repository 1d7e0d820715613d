"""What is mutated, and what is known of it: one Cosmic Ray session a file, kept under .run/mutate/sessions/."""

import ast
import hashlib
import re
import sqlite3
import subprocess
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from cosmic_ray.commands.init import init
from cosmic_ray.work_db import WorkDB

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
STATE = ROOT / ".run" / "mutate"
OPERATORS = re.compile(
    r"ours/.*|core/(AddNot|ExceptionReplacer|NumberReplacer|ZeroIterationForLoop"
    r"|Replace(AndWithOr|OrWithAnd|TrueWithFalse|FalseWithTrue|BreakWithContinue|ContinueWithBreak"
    r"|UnaryOperator_(Delete_Not|USub_UAdd)|BinaryOperator_(Add_Sub|Sub_Add|Mul_Div|Div_Mul|FloorDiv_Mul)"
    r"|ComparisonOperator_(Eq_NotEq|NotEq_Eq|Lt_LtE|LtE_Lt|Gt_GtE|GtE_Gt|Is_IsNot|IsNot_Is|In_NotIn|NotIn_In)))"
)
"""Of some two hundred: one change of each kind, and none that only breaks type annotations or imports."""

Job = Any  # Cosmic Ray's WorkItem; it has no types


class Session:
    def __init__(self, folder: Path, path: Path, lines: set[int] | None) -> None:
        self.folder, self.path, self.name = folder, path, str(path.relative_to(ROOT))
        self._database = _database(path, digest(folder))
        self.results: dict[str, Any] = dict(self._database.results)
        self._noise = noise(path.read_text())
        self.jobs: list[Job] = [job for job in self._database.work_items if self._is_chosen(job.mutations[0], lines)]

    def _is_chosen(self, mutation: Any, lines: set[int] | None) -> bool:
        if not OPERATORS.fullmatch(mutation.operator_name) or mutation.start_pos[0] in self._noise:
            return False
        return lines is None or not lines.isdisjoint(range(mutation.start_pos[0], mutation.end_pos[0] + 1))

    def pending(self) -> list[Job]:
        return [job for job in self.jobs if job.job_id not in self.results]

    def keep(self, job: Job, result: Any) -> None:
        self._database.set_result(job.job_id, result)
        self.results[job.job_id] = result

    def forget(self) -> None:
        for file in _files_of(self.path):
            file.unlink()


def noise(code: str) -> set[int]:
    """Lines whose mutants no test should see: what is logged, how a dataclass is made, and a lone `*` among parameters,
    which Cosmic Ray takes for a product."""
    nodes = list(ast.walk(ast.parse(code)))
    found = [node for node in nodes if isinstance(node, ast.Expr) and ast.unparse(node).startswith("log.")]
    found += [one for node in nodes for one in getattr(node, "decorator_list", ()) if "dataclass" in ast.unparse(one)]
    stars = {number for number, line in enumerate(code.splitlines(), 1) if re.search(r"(^|[(,])\s*\*,", line)}
    return stars | {line for node in found for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}


def folders() -> Iterator[tuple[Path, dict[str, list[str]]]]:
    config = tomllib.loads((HERE / "pyproject.toml").read_text())["tool"]["mutate"]
    return ((folder, rules) for pattern, rules in config.items() for folder in sorted(ROOT.glob(pattern)))


def of_folder(
    folder: Path, rules: Mapping[str, list[str]], only: str, lines: Mapping[str, set[int]] | None
) -> list[Session]:
    """Of the folder's files, or of those that `only` names; if lines are given, those lines."""
    found = []
    for path in sorted(matching(folder, rules["sources"]) - matching(folder, rules.get("without", ()))):
        name = str(path.relative_to(ROOT))
        if (not only or f"{name}/".startswith(f"{only.rstrip('/')}/")) and (lines is None or name in lines):
            session = Session(folder, path, None if lines is None else lines[name])
            if session.jobs:
                found.append(session)
    return found


def matching(folder: Path, patterns: Iterable[str]) -> set[Path]:
    return {path for pattern in patterns for path in folder.glob(pattern)}


@cache
def files() -> list[Path]:
    """All that is in the working tree and not ignored."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


@cache
def digest(*paths: Path) -> str:
    """Of these files, and of all Python files in these folders."""
    total = hashlib.sha256()
    for file in sorted(files()):
        if file in paths or (file.suffix == ".py" and not set(paths).isdisjoint(file.parents)):
            total.update(str(file).encode() + file.read_bytes())
    return total.hexdigest()[:16]


def _files_of(path: Path) -> list[Path]:
    return list((STATE / "sessions").glob(f"{str(path.relative_to(ROOT)).replace('/', '+')}.*"))


def _database(path: Path, of_folder: str) -> WorkDB:
    """The mutants of this very text, and their results: those that survived, of this very folder."""
    name = f"{str(path.relative_to(ROOT)).replace('/', '+')}.{digest(path, HERE / 'operators.py')}.sqlite"
    file = STATE / "sessions" / name
    seen = file.with_suffix(".folder")
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        for old in _files_of(path):
            old.unlink()
        database = WorkDB(draft := file.with_suffix(".new"), WorkDB.Mode.create)
        init([path], database, {})
        database.close()
        draft.rename(file)
    elif seen.read_text() != of_folder:
        with sqlite3.connect(file) as connection:
            connection.execute("DELETE FROM work_results WHERE test_outcome = 'SURVIVED'")
    seen.write_text(of_folder)
    return WorkDB(file, WorkDB.Mode.open)
