# SPDX-License-Identifier: Apache-2.0
"""What commands give to cliff: names of columns, and values."""

from collections.abc import Iterable

#: Of one thing.
Columns = tuple[tuple[str, ...], tuple[object, ...]]

#: Of a list, made as it is printed.
Rows = tuple[tuple[str, ...], Iterable[tuple[object, ...]]]
