# SPDX-License-Identifier: Apache-2.0
"""Gets at the modules of docs/_ext, which are in no package."""

import importlib.util
import pathlib
from typing import Any

DOCS = pathlib.Path(__file__).parents[3] / "docs"


def extension(name: str) -> Any:
    """The module of a Sphinx extension."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / "_ext" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
