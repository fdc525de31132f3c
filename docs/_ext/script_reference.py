# SPDX-License-Identifier: Apache-2.0
"""What the console scripts say about themselves.

`.. script-reference::` has a section for each console script of the package that is installed, made
from what it prints for `--help`. `headwater-manage` has a page of its own and is left out.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

_ELSEWHERE = {"headwater-manage"}


def scripts() -> list[str]:
    """Names of the scripts of the page."""
    points = distribution("headwater").entry_points.select(group="console_scripts")
    return sorted(set(points.names) - _ELSEWHERE)


def help_of(script: str) -> str:
    """What a script prints. Raises CalledProcessError with what it wrote instead."""
    done = subprocess.run(
        [Path(sys.executable).parent / script, "--help"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "88"},
        timeout=60,
    )
    return done.stdout


class ScriptReference(SphinxDirective):
    """One section per script, and one for the options that they share."""

    def run(self) -> list[nodes.Node]:
        """The sections."""
        self.env.note_reread()
        names = scripts()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            helps = [_parts(text) for text in pool.map(help_of, names)]
        shared = helps[0][1]
        sections = []
        for name, (description, options) in zip(names, helps, strict=True):
            parts: list[nodes.Node] = [nodes.paragraph(text=description)]
            if options != shared:
                parts.append(_literal(options))
            sections.append(_section(name, *parts))
        return [*sections, _section("Options of all of them", _literal(shared))]


def _parts(text: str) -> tuple[str, str]:
    """The description and the options in what argparse prints."""
    head, _, options = text.partition("\noptions:\n")
    _usage, _, description = head.partition("\n\n")
    return " ".join(description.split()), options


def _literal(text: str) -> nodes.Node:
    return nodes.literal_block(text, text, language="text")


def _section(name: str, *parts: nodes.Node) -> nodes.Node:
    identifier = nodes.make_id(name)
    title = nodes.title(text=name)
    return nodes.section("", title, *parts, ids=[identifier], names=[identifier])


def setup(app: Any) -> dict[str, Any]:
    """Tell Sphinx."""
    app.add_directive("script-reference", ScriptReference)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
