# SPDX-License-Identifier: Apache-2.0
"""Sequence diagrams: what is drawn, and what is refused."""

import unittest
from xml.etree import ElementTree

from tests.unit.docs.extensions import extension

TEXT = """
sequenceDiagram
    participant C as client & co
    participant G as gateway
    participant W as worker
    C->>G: POST
    G-->>C: 201
    G-)W: wake-up
"""
SVG = "{http://www.w3.org/2000/svg}"


class SequenceDiagramTest(unittest.TestCase):
    def setUp(self) -> None:
        self.module = extension("sequence_diagram")

    def test_it_draws_everybody_and_everything_that_is_said(self) -> None:
        svg = ElementTree.fromstring(self.module.draw(self.module.parse(TEXT)))  # noqa: S314
        texts = [each.text for each in svg.iter(f"{SVG}text")]
        self.assertEqual(["client & co", "gateway", "worker", "POST", "201", "wake-up"], texts)
        dashed = [each for each in svg.iter(f"{SVG}path") if "stroke-dasharray" in each.attrib]
        self.assertEqual(1, len(dashed))

    def test_it_is_told_in_words_to_those_who_do_not_see_it(self) -> None:
        svg = ElementTree.fromstring(self.module.draw(self.module.parse(TEXT)))  # noqa: S314
        title = svg.findtext(f"{SVG}title")
        self.assertIn("gateway to worker: wake-up.", str(title))

    def test_no_text_is_longer_than_the_way_between_its_ends(self) -> None:
        long = TEXT.replace("POST", "something that takes many words to be said")
        places = self.module._places(self.module.parse(long))
        self.assertGreater(places[1] - places[0], 42 * 6)
        self.assertEqual(sorted(places), places)

    def test_what_it_cannot_draw_is_named(self) -> None:
        for line in ("C->>X: nobody", "Note over C: text", "C->>C: myself", "loop every day"):
            with (
                self.subTest(line),
                self.assertRaisesRegex(self.module.NotUnderstood, line.split(":")[0]),
            ):
                self.module.parse(TEXT + line)
        with self.assertRaises(self.module.NotUnderstood):
            self.module.parse("flowchart LR")
