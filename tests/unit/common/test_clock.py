# SPDX-License-Identifier: Apache-2.0
"""Times are aware, in UTC, and shown with milliseconds."""

import unittest
from datetime import UTC, datetime, timedelta, timezone

from headwater.common import clock


class ClockTest(unittest.TestCase):
    def test_now_is_aware_and_in_utc(self) -> None:
        self.assertEqual(timedelta(0), clock.now().utcoffset())

    def test_after_lies_as_far_ahead_or_back_as_it_is_told(self) -> None:
        for seconds in (60.0, -60.0, 0.25):
            earliest = clock.now() + timedelta(seconds=seconds)
            moment = clock.after(seconds)
            self.assertLessEqual(earliest, moment)
            self.assertLessEqual(moment, clock.now() + timedelta(seconds=seconds))

    def test_times_are_shown_with_milliseconds_and_the_letter_z(self) -> None:
        shown = {
            datetime(2026, 1, 2, 3, 4, 5, 678901, UTC): "2026-01-02T03:04:05.678Z",
            datetime(2026, 1, 2, 3, 4, 5, 0, UTC): "2026-01-02T03:04:05.000Z",
            datetime(2026, 1, 2, 0, 30, tzinfo=timezone(timedelta(hours=2))): (
                "2026-01-01T22:30:00.000Z"
            ),
        }
        for moment, text in shown.items():
            self.assertEqual(text, clock.isoformat(moment))

    def test_no_time_is_shown_as_none(self) -> None:
        self.assertIsNone(clock.isoformat(None))
