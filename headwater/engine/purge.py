# SPDX-License-Identifier: Apache-2.0
"""Finished jobs are forgotten after a while, or the tables would grow for ever."""

import logging

from headwater.db import jobs
from headwater.db.connection import Database

LOG = logging.getLogger(__name__)

#: Jobs per transaction; each takes one request per subcloud with it, up to 50,000.
_PAGE = 1


def purge(database: Database, age: float) -> int:
    """Delete jobs that finished more than `age` seconds ago; returns how many.

    Many short transactions. The second time finds nothing.
    """
    number = 0
    while deleted := jobs.purge(database, age, limit=_PAGE):
        number += deleted
    if number:
        LOG.info("%d jobs that finished more than %.0f days ago are forgotten", number, age / 86400)
    return number
