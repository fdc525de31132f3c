# SPDX-License-Identifier: Apache-2.0
"""Who asked for a change."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Caller:
    """The identity behind one exchange, as the central cloud's Keystone confirmed it.

    All fields are empty for a call that carries its own proof, such as a user's change of an own
    password, which needs no token.
    """

    user_id: str | None = None
    user_name: str | None = None
    project_id: str | None = None
    request_id: str | None = None
