# SPDX-License-Identifier: Apache-2.0
"""headwater-manage: the operator's commands on the database of an installation."""

import sys

from headwater.cmd.manage.app import ManageApp


def main() -> int:
    """Console script."""
    return int(ManageApp().run(sys.argv[1:]))
