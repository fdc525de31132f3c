# SPDX-License-Identifier: Apache-2.0
"""Links that are named after a file get the title of the page.

`[scaling.md](scaling.md)` reads well in a checkout and on a code host; in HTML there is no such
file, and the link becomes "From one process to many hosts".
"""

import re
from typing import Any

from docutils import nodes
from sphinx import addnodes

_FILE = re.compile(r"(docs/)?[\w-]+\.(md|rst)")


def name_by_title(_app: Any, document: nodes.document) -> None:
    """Have Sphinx name such links itself."""
    for link in document.findall(addnodes.pending_xref):
        if _FILE.fullmatch(link.astext()):
            link["refexplicit"] = False


def setup(app: Any) -> dict[str, Any]:
    """Tell Sphinx."""
    app.connect("doctree-read", name_by_title)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
