# SPDX-License-Identifier: Apache-2.0
"""Rows and columns as cliff takes them."""

import argparse
from collections.abc import Mapping

Columns = tuple[tuple[str, ...], tuple[object, ...]]


def limit(text: str) -> int:
    """A number of rows, for argparse, which reports anything else."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of rows")
    return int(text)


def record_columns(view: Mapping[str, object]) -> Columns:
    """One object as names and values."""
    return tuple(view), tuple(view.values())
