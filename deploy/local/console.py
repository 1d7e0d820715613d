"""What the user reads: lines of progress, and problems as one sentence instead of a traceback."""

import os
import sys
from pathlib import Path


class Problem(Exception):
    """Something the user can put right. Its text names the problem and what to do; `detail` is printed above it."""

    def __init__(self, sentence: str, detail: str = "") -> None:
        super().__init__(sentence)
        self.detail = detail


def say(line: str = "") -> None:
    print(line, flush=True)


def confirm(consequence: str) -> None:
    """Asks on a terminal whether to go on; `YES=1` answers beforehand. Raises Problem if the answer is not yes."""
    if os.environ.get("YES") == "1" or not sys.stdin.isatty():
        return
    if input(f"{consequence} Go on? [y/N] ").strip().lower() not in ("y", "yes"):
        raise Problem("Nothing was changed. (YES=1 answers the question beforehand.)")


def shown(path: Path) -> str:
    """The path as somebody in the current folder would write it."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def tail(path: Path, lines: int = 30, since: int = 0) -> str:
    """The last lines of what a file holds after its first `since` bytes, or nothing when there is no such file."""
    try:
        content = path.read_bytes()
    except OSError:
        return ""
    new = content[since:] if since <= len(content) else content
    return "\n".join(new.decode(errors="replace").splitlines()[-lines:])


def report(problem: Problem) -> None:
    if problem.detail:
        print("\n".join(f"  | {line}" for line in problem.detail.splitlines()), file=sys.stderr)
    print(f"error: {problem}", file=sys.stderr, flush=True)
