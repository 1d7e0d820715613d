"""Whether a lock file knows the chassis as it is now. `poetry check --lock` looks at the project's own lines only."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import install


def differences(folder: Path) -> Iterator[str]:
    """A line for each dependency of the chassis that the folder's lock file lacks, has too much or has otherwise."""
    lock = install.read_toml(folder / "poetry.lock")
    for name, path in install.path_dependencies(lock).items():
        locked = next(package for package in lock["package"] if package["name"] == name)
        now = _declared(install.read_toml((folder / path).resolve() / "pyproject.toml")["project"])
        then = {_normal(key): _locked(value) for key, value in locked.get("dependencies", {}).items()}
        for dependency in sorted(now.keys() | then.keys()):
            if now.get(dependency) != then.get(dependency):
                yield (
                    f"{folder.name}/poetry.lock has {name} needing {dependency} {_readable(then.get(dependency))}, "
                    f"{path}/pyproject.toml {_readable(now.get(dependency))}: run `poetry lock` in {folder.name}"
                )


_Requirement = tuple[frozenset[str], frozenset[str]]  # extras, version specifiers


def _declared(project: dict[str, Any]) -> dict[str, _Requirement]:
    found = {}
    for line in project.get("dependencies", []):
        name, extras, versions = re.match(r"\s*([\w.-]+)\s*(?:\[([^]]*)\])?\s*\(?([^;)]*)", line).groups()  # type: ignore[union-attr]
        found[_normal(name)] = (_parts(extras or ""), _parts(versions))
    return found


def _locked(value: Any) -> _Requirement:
    if isinstance(value, str):
        return frozenset(), _parts(value)
    if isinstance(value, dict):
        return frozenset(value.get("extras", [])), _parts(value.get("version", "*"))
    return frozenset(), frozenset(str(entry) for entry in value)


def _parts(text: str) -> frozenset[str]:
    """Extras or version specifiers as a set, the latter written as Poetry writes them into a lock file."""
    parts = (part for part in re.sub(r"\s", "", text).split(",") if part not in ("", "*"))
    return frozenset(one for part in parts for one in _expanded(part))


def _expanded(specifier: str) -> Iterator[str]:
    """`~=1.4` and `==1.4.*` as the ranges that they stand for; `<2.0` as `<2`."""
    operator, version = re.match(r"([<>=!~^]*)(.*)", specifier).groups()  # type: ignore[union-attr]
    if operator == "~=" or (operator == "==" and version.endswith(".*")):
        lower = version.removesuffix(".*")
        *kept, last = (version if operator == "~=" else f"{lower}.0").split(".")[:-1]
        yield f">={_shortest(lower)}"
        yield f"<{_shortest('.'.join([*kept, str(int(last) + 1)]))}"
    else:
        yield f"{operator}{_shortest(version)}"


def _shortest(version: str) -> str:
    return re.sub(r"(\.0)+$", "", version)


def _readable(requirement: _Requirement | None) -> str:
    if requirement is None:
        return "not at all"
    extras, versions = requirement
    text = ",".join(sorted(versions)) or "in any version"
    return f"[{','.join(sorted(extras))}] {text}" if extras else text


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
