# SPDX-License-Identifier: Apache-2.0
"""The reference of headwater-manage: cliff's own directive, for commands that are in a table.

cliff finds commands by entry points only.
"""

from typing import Any

from cliff.sphinxext import AutoprogramCliffDirective
from docutils import nodes

from headwater.cmd.manage import app as manage


class ManageReference(AutoprogramCliffDirective):  # type: ignore[misc]
    """The global options, and one section per command."""

    required_arguments = 0

    def run(self) -> list[nodes.Node]:
        """The sections."""
        self.env = self.state.document.settings.env
        self.env.note_reread()
        app = manage.ManageApp()
        commands = {
            name: app.command_manager.find_command(name.split())[0] for name in manage.commands()
        }
        name = "headwater-manage"
        return [
            *self._generate_app_node(app, name),
            *self._generate_command_nodes(commands, name),
        ]


def setup(app: Any) -> dict[str, Any]:
    """Tell Sphinx."""
    app.add_directive("manage-reference", ManageReference)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
