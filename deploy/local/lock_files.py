"""Whether a lock file knows the chassis as it is now. `poetry check --lock` looks at the project's own lines only."""

import re
from collections.abc import Iterator
from pathlib import Path

import install


def differences(folder: Path) -> Iterator[str]:
    """A line for each dependency of the chassis that the folder's lock file lacks, has too much or has otherwise. The
    chassis writes its requirements as Poetry locks them, `name[extra] (>=1.4,<2.0)`, so that their texts can be
    compared."""
    lock = install.read_toml(folder / "poetry.lock")
    for name, path in install.path_dependencies(lock).items():
        locked = next(package for package in lock["package"] if package["name"] == name).get("dependencies", {})
        then = {_normal(key): _requirement(value) for key, value in locked.items()}
        declared = install.read_toml((folder / path).resolve() / "pyproject.toml")["project"].get("dependencies", [])
        now = dict(_split(line) for line in declared)
        for dependency in sorted(now.keys() | then.keys()):
            before, after = then.get(dependency, "not at all"), now.get(dependency, "not at all")
            if before != after:
                yield (
                    f"{folder.name}/poetry.lock has {name} needing {dependency} {before}, {path}/pyproject.toml "
                    f"{after}: run `poetry lock` in {folder.name}"
                )


def _split(line: str) -> tuple[str, str]:
    bare = re.sub(r"[\s()]", "", line)
    name = re.split(r"[^\w.-]", bare, maxsplit=1)[0]
    return _normal(name), bare.removeprefix(name) or "*"


def _requirement(locked: object) -> str:
    """The same text of what a lock file holds: a version, or a table of version and extras."""
    if isinstance(locked, dict):
        extras = f"[{','.join(locked['extras'])}]" if locked.get("extras") else ""
        return f"{extras}{locked.get('version', '*')}"
    return str(locked)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
