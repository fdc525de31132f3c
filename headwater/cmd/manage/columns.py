# SPDX-License-Identifier: Apache-2.0
"""Rows and columns as cliff takes them."""

from collections.abc import Mapping

Columns = tuple[tuple[str, ...], tuple[object, ...]]


def record_columns(view: Mapping[str, object]) -> Columns:
    """One object as names and values."""
    return tuple(view), tuple(view.values())
