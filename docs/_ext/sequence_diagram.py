# SPDX-License-Identifier: Apache-2.0
"""Draws sequence diagrams that are written in a small part of Mermaid.

Code hosts draw the same text with Mermaid itself; here it takes no browser script, no network and
no program. Understood are `participant ID as TEXT` and `ID->>ID: TEXT`, with the arrows `->>`
(solid), `-->>` (dashed) and `-)` (open: nobody waits). Anything else is an error that names the
line.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

_PARTICIPANT = re.compile(r"participant\s+(\w+)\s+as\s+(.+)")
_MESSAGE = re.compile(r"(\w+)\s*(-->>|->>|-\))\s*(\w+)\s*:\s*(.+)")

#: Pixels of the drawing. The width of a character is that of an average one at 13 pixels.
_CHARACTER, _BOX, _ROW, _GAP, _TOP = 6.6, 30, 40, 24, 44


class NotUnderstood(ValueError):
    """A line that is not in the part of Mermaid that is drawn here."""


@dataclass(frozen=True)
class Message:
    """One arrow; the ends are numbers of participants."""

    start: int
    end: int
    text: str
    arrow: str


@dataclass(frozen=True)
class Diagram:
    """Who talks, from left to right, and what is said, from top to bottom."""

    participants: Sequence[str]
    messages: Sequence[Message]


def parse(text: str) -> Diagram:
    """The diagram behind a text. Raises NotUnderstood."""
    names: dict[str, int] = {}
    participants: list[str] = []
    messages: list[Message] = []
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or lines[0] != "sequenceDiagram":
        raise NotUnderstood("the first line is not sequenceDiagram")
    for line in lines[1:]:
        if found := _PARTICIPANT.fullmatch(line):
            names[found[1]] = len(participants)
            participants.append(found[2])
        elif (found := _MESSAGE.fullmatch(line)) and found[1] in names and found[3] in names:
            start, end = names[found[1]], names[found[3]]
            if start == end:
                raise NotUnderstood(f"a message to oneself: {line}")
            messages.append(Message(start, end, found[4], found[2]))
        else:
            raise NotUnderstood(line)
    return Diagram(participants, messages)


def draw(diagram: Diagram) -> str:
    """The diagram as an SVG element in the colour of the text around it."""
    places = _places(diagram)
    last = len(places) - 1
    width = places[-1] + _width(diagram.participants[last]) / 2 + 2
    height = _TOP + _ROW * (len(diagram.messages) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img" '
        f'style="max-width: {width:.0f}px; width: 100%" font-size="13" font-family="sans-serif" '
        'fill="currentColor" stroke="none">',
        f"<title>{escape(' '.join(_in_words(diagram)))}</title>",
    ]
    for name, x in zip(diagram.participants, places, strict=True):
        box = _width(name)
        parts += [
            f'<path d="M{x:.0f} {_BOX}V{height}" stroke="currentColor" opacity="0.3"/>',
            f'<rect x="{x - box / 2:.0f}" y="1" width="{box:.0f}" height="{_BOX}" rx="4" '
            'fill="none" stroke="currentColor"/>',
            _text(name, x, 21),
        ]
    for row, message in enumerate(diagram.messages, 1):
        y = _TOP + _ROW * row
        start, end = places[message.start], places[message.end]
        back = 8 if end < start else -8
        dash = ' stroke-dasharray="5 4"' if message.arrow == "-->>" else ""
        head = f"M{end + back:.0f} {y - 5}L{end:.0f} {y}L{end + back:.0f} {y + 5}"
        fill = "none" if message.arrow == "-)" else "currentColor"
        parts += [
            f'<path d="M{start:.0f} {y}H{end:.0f}" stroke="currentColor"{dash}/>',
            f'<path d="{head}" stroke="currentColor" fill="{fill}"/>',
            _text(message.text, (start + end) / 2, y - 7),
        ]
    return "\n".join([*parts, "</svg>"])


def _places(diagram: Diagram) -> list[float]:
    """Where the participants stand: as close as boxes and texts allow."""
    places = [_width(diagram.participants[0]) / 2 + 2]
    for number in range(1, len(diagram.participants)):
        pair = diagram.participants[number - 1 : number + 1]
        nearest = places[-1] + sum(map(_width, pair)) / 2 + _GAP
        for message in diagram.messages:
            if max(message.start, message.end) == number:
                other = min(message.start, message.end)
                nearest = max(nearest, places[other] + _width(message.text))
        places.append(nearest)
    return places


def _width(text: str) -> float:
    return len(text) * _CHARACTER + _GAP


def _text(text: str, x: float, y: float) -> str:
    return f'<text x="{x:.0f}" y="{y}" text-anchor="middle">{escape(text)}</text>'


def _in_words(diagram: Diagram) -> list[str]:
    names = diagram.participants
    return [f"{names[each.start]} to {names[each.end]}: {each.text}." for each in diagram.messages]


class MermaidDirective(SphinxDirective):
    """A fence named mermaid."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """The drawing for HTML, and the text for everything else."""
        text = "\n".join(self.content)
        try:
            drawing = draw(parse(text))
        except NotUnderstood as error:
            raise self.error(f"docs/_ext/sequence_diagram.py cannot draw: {error}") from error
        return [
            nodes.raw("", f"<figure>{drawing}</figure>", format="html"),
            *self._without_drawing(text),
        ]

    def _without_drawing(self, text: str) -> list[nodes.Node]:
        if self.env.app.builder.format == "html":
            return []
        return [nodes.literal_block(text, text)]


def setup(app: Any) -> dict[str, Any]:
    """Tell Sphinx."""
    app.add_directive("mermaid", MermaidDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
