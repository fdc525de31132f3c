# SPDX-License-Identifier: Apache-2.0
"""Options that several commands have."""

import argparse
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def add_paging(parser: argparse.ArgumentParser, marker: str, most: int | None = None) -> None:
    """--limit, which is `most` by default and all without, and --marker."""
    parser.add_argument(
        "--limit",
        type=positive,
        metavar="<number>",
        default=most,
        help=f"Most rows (default: {most or 'all'}).",
    )
    parser.add_argument("--marker", metavar=f"<{marker}>", help=f"List those behind this {marker}.")


def positive(text: str) -> int:
    """A number above zero, for argparse."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above zero.")
    return number


def moment(text: str) -> str:
    """A time, for argparse: in ISO 8601, or how long ago, such as 30m, 2h or 1d."""
    if text[:-1].isdecimal() and text[-1:] in _UNITS:
        ago = timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
        return (datetime.now(UTC) - ago).isoformat()
    try:
        return datetime.fromisoformat(text).astimezone().isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time such as 2026-03-01T12:00 or 2h."
        ) from None


def label(text: str) -> tuple[str, str]:
    """NAME=VALUE, for argparse."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not <name>=<value>.")
    return name, value


def add_labels(parser: argparse.ArgumentParser, text: str, *, required: bool = False) -> None:
    """--label, which may be given several times."""
    parser.add_argument(
        "--label",
        type=label,
        action="append",
        metavar="<name>=<value>",
        required=required,
        help=text,
    )


def query_labels(labels: Iterable[tuple[str, str]] | None) -> list[str]:
    """Labels as the API's filter takes them."""
    return [f"{name}={value}" for name, value in labels or ()]
