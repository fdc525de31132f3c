# SPDX-License-Identifier: Apache-2.0
"""Event streams: read as the standard says, and taken up again where they broke off."""

import json
import unittest
from collections.abc import Iterator

from osc_lib import exceptions

from headwater.client.events import JOB, Event, follow, parse


def lines(text: str) -> list[str]:
    return text.split("\n")


class ParseTest(unittest.TestCase):
    def parsed(self, text: str) -> list[Event]:
        return list(parse(lines(text)))

    def test_an_event_ends_with_an_empty_line(self) -> None:
        self.assertEqual(
            [Event("1", "progress", "a"), Event("2", "end", "b")],
            self.parsed("id: 1\nevent: progress\ndata: a\n\nid: 2\nevent: end\ndata: b\n\n"),
        )

    def test_one_that_is_cut_off_is_none(self) -> None:
        self.assertEqual([], self.parsed("id: 1\ndata: a"))

    def test_comments_and_events_without_data_are_skipped(self) -> None:
        self.assertEqual([], self.parsed(": alive\n\nevent: x\n\n"))
        self.assertEqual([Event("", "message", "a")], self.parsed(": alive\ndata: a\n\n"))

    def test_lines_of_data_are_joined_and_one_blank_is_no_data(self) -> None:
        self.assertEqual([Event("", "message", " a\nb")], self.parsed("data:  a\ndata:b\n\n"))


class FakeApi:
    """Streams that are written down; after each the connection breaks."""

    def __init__(self, *streams: str):
        self.streams, self.asked = list(streams), []  # type: ignore[var-annotated]

    def stream(self, path: str, last: str | None) -> Iterator[str]:
        self.asked.append((path, last))
        if not self.streams:
            raise ConnectionError("refused")
        yield from lines(self.streams.pop(0))
        raise ConnectionError("broken")


def event(key: int, name: str = "progress") -> str:
    return f"id: {key}\nevent: {name}\ndata: {json.dumps({'key': key})}\n\n"


class FollowTest(unittest.TestCase):
    def follow(self, api: FakeApi) -> tuple[list[int], list[float]]:
        pauses: list[float] = []
        jobs = follow(api, JOB, "a/b", pauses.append)  # type: ignore[arg-type]
        return [job["key"] for job in jobs], pauses

    def test_it_ends_with_the_end(self) -> None:
        api = FakeApi(event(1) + event(2, "end") + event(3))
        self.assertEqual(([1, 2], []), self.follow(api))
        self.assertEqual([("/v1/jobs/a%2Fb/events", None)], api.asked)

    def test_what_breaks_off_is_taken_up_where_it_was(self) -> None:
        api = FakeApi(event(1) + event(2) + "id: 3\nda", "", event(3) + event(4, "end"))
        self.assertEqual(([1, 2, 3, 4], [1.0, 1.0]), self.follow(api))
        self.assertEqual([None, "2", "2"], [last for _, last in api.asked])

    def test_one_that_breaks_for_ever_is_given_up_with_advice(self) -> None:
        with self.assertRaisesRegex(exceptions.CommandError, "job show a/b"):
            self.follow(FakeApi(event(1)))
