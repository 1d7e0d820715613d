"""What others made: `make sbom` lists the packages, `make audit` asks for known holes in them, and `make pin` ties what
has no lock file (images, GitHub's actions) to one content."""

import json
import re
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import install
import layout
import tools
from console import Problem, say, shown

_FROM = re.compile(r"^FROM ([\w./-]+:[\w.-]+)(?:@sha256:\w+)?", re.MULTILINE)
_USES = re.compile(r"uses: ([\w.-]+/[\w.-]+)@(?:\w{40} # )?(v[\w.]+)$", re.MULTILINE)
# A release whose holes are known: who doesn't name them is no advisory service.
_ADVISORIES = "https://pypi.org/pypi/requests/2.19.0/json"


def sbom() -> None:
    """Writes a bill of materials (CycloneDX 1.6) of each image's Python packages, as its lock file has them."""
    program, target = tools.own("cyclonedx", "cyclonedx-bom==7.*") / "cyclonedx-py", layout.ROOT / "dist" / "sbom"
    target.mkdir(parents=True, exist_ok=True)
    for name, pins in _pins():
        project = install.read_toml(layout.ROOT / name / "pyproject.toml")["project"]
        itself = pins.with_suffix(
            ".toml"
        )  # of its own pyproject.toml cyclonedx-py can't read: Poetry's part is no whole one
        itself.write_text(f'[project]\nname = "{project["name"]}"\nversion = "{project["version"]}"\n')
        file = target / f"{name}.cdx.json"
        command: list[str | Path] = [program, "requirements", pins, "--pyproject", itself, "--output-reproducible"]
        tools.run(
            [*command, "-o", file],
            layout.RUN / "log" / "sbom.log",
            f"cyclonedx-py could not list the packages of {name}",
        )
        say(shown(file))


def audit() -> int:
    """Whether a package of an image has a hole that is known; 0 if none has, or nobody can be asked."""
    try:
        with urllib.request.urlopen(_ADVISORIES, timeout=10) as answer:
            if not json.load(answer)["vulnerabilities"]:
                raise ValueError
    except (OSError, ValueError, KeyError):
        say("audit: SKIPPED, for no advisory service answers at pypi.org. Nothing was checked.")
        return 0
    program, found = tools.own("pip-audit", "pip-audit==2.*") / "pip-audit", []
    for name, pins in _pins():
        say(f"audit: {name}")
        if subprocess.run([program, "--strict", "--disable-pip", "--require-hashes", "-r", pins]).returncode:
            found.append(name)
    if found:
        say(f"audit: see above what is wrong with {', '.join(found)}.")
    return int(bool(found))


def pin() -> None:
    """Writes the digest of each image and the commit of each action behind its tag: all of them as of now, or none."""
    files = [*layout.ROOT.glob("*/Dockerfile"), *layout.ROOT.glob("deploy/*/Dockerfile")]
    files += layout.ROOT.glob(".github/workflows/*.yml")
    texts = {file: _USES.sub(_commit, _FROM.sub(_digest, file.read_text())) for file in files}
    for file, text in texts.items():
        file.write_text(text)
    say(f"Pinned what {len(texts)} files take from elsewhere: `git diff` shows it.")


def _digest(found: re.Match[str]) -> str:
    command = ["docker", "buildx", "imagetools", "inspect", found[1], "--format", "{{.Manifest.Digest}}"]
    return f"FROM {found[1]}@{_answer(command, found[1], r'sha256:[0-9a-f]{64}')}"


def _commit(found: re.Match[str]) -> str:
    # An annotated tag is an object of its own; what it points at bears ^{} and comes after it.
    command = [
        "git",
        "ls-remote",
        f"https://github.com/{found[1]}",
        f"refs/tags/{found[2]}",
        f"refs/tags/{found[2]}^{{}}",
    ]
    return f"uses: {found[1]}@{_answer(command, f'{found[1]}@{found[2]}', r'[0-9a-f]{40}')} # {found[2]}"


def _answer(command: list[str], of: str, form: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Problem(f"{of} can't be looked up; nothing was changed.", str(error)) from None
    if not (answers := re.findall(form, done.stdout)):
        sentence = f"{of} can't be looked up; nothing was changed. It needs a network, and for images Docker's buildx."
        raise Problem(sentence, done.stderr)
    return str(answers[-1])


def _pins() -> Iterator[tuple[str, Path]]:
    """The projects that have an image, each with a file of the packages in it."""
    poetry, log = tools.poetry(), layout.RUN / "log" / "export.log"
    with tempfile.TemporaryDirectory() as folder:
        for name in layout.projects():
            if (layout.ROOT / name / "Dockerfile").exists():
                pins = Path(folder) / f"{name}.txt"
                install.export(name, poetry, pins, log)
                yield name, pins
