"""A service's main.py, run in the test's own process."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from uuid import uuid4

import pytest


def load_main(folder: Path, **environment: str) -> ModuleType:
    """main.py, run anew: it reads the environment when it is imported, and twice the same is two replicas."""
    spec = spec_from_file_location(f"main_{uuid4().hex}", folder / "main.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        spec.loader.exec_module(module)
    return module
