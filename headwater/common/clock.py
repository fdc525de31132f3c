# SPDX-License-Identifier: Apache-2.0
"""The time of day, always in UTC and always aware."""

from datetime import UTC, datetime, timedelta


def now() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)


def after(seconds: float) -> datetime:
    """The moment that is `seconds` from now."""
    return now() + timedelta(seconds=seconds)


def isoformat(moment: datetime | None) -> str | None:
    """ISO 8601 with milliseconds and the letter Z, as the APIs and `-f json` show times."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
