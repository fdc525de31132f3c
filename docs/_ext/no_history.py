# SPDX-License-Identifier: Apache-2.0
"""Takes reno's place where the documentation is built without a repository around it."""

from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective


class ReleaseNotes(SphinxDirective):
    """Says where the notes are."""

    def run(self) -> list[nodes.Node]:
        """One sentence."""
        return [
            nodes.paragraph(
                text="This was built without the history that orders the notes. They are the files "
                "in releasenotes/notes."
            )
        ]


def setup(app: Any) -> dict[str, Any]:
    """Tell Sphinx."""
    app.add_directive("release-notes", ReleaseNotes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
