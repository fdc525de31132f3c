# SPDX-License-Identifier: Apache-2.0
"""Rows and columns as cliff takes them."""

from collections.abc import Mapping

Columns = tuple[tuple[str, ...], tuple[object, ...]]


def limit(text: str) -> int:
    """A number of rows; argparse reports anything else."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def record_columns(view: Mapping[str, object]) -> Columns:
    """One object as names and values."""
    return tuple(view), tuple(view.values())
