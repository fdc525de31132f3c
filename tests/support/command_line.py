# SPDX-License-Identifier: Apache-2.0
"""headwater-manage in the test's own process."""

import contextlib
import io
import json
import logging
from dataclasses import dataclass
from typing import Any

from headwater.cmd.manage.app import ManageApp


@dataclass(frozen=True)
class Ran:
    """What one command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def manage(*arguments: str) -> Ran:
    """Run headwater-manage with these arguments to its end."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        app = ManageApp()
        try:
            code = app.run(list(arguments))
        except SystemExit as error:  # argparse
            code = int(error.code or 0)
        finally:
            # cliff adds handlers to the root logger for each run.
            root.handlers[:] = handlers
            root.setLevel(level)
            opened = app.__dict__.get("database")
            if opened is not None:
                opened.dispose()
    return Ran(code, out.getvalue(), err.getvalue())
