# SPDX-License-Identifier: Apache-2.0
"""Progress for people: one line that is drawn again, or a line per step."""

import shutil
import time
from collections.abc import Callable
from typing import TextIO

from headwater.client.rest import Json

#: Columns of the bar itself.
_BAR = 30


class Progress:
    """Of a job. Draws on a terminal, and writes lines anywhere else. `clock` gives seconds."""

    def __init__(self, screen: TextIO, clock: Callable[[], float] = time.monotonic):
        self._screen, self._clock = screen, clock
        self._live = screen.isatty()
        self._first: tuple[float, int] | None = None
        self._width = 0
        self._written = ""

    def show(self, job: Json) -> None:
        """Tell how far it is."""
        line = self.line(job)
        if not self._live:
            # The time that is left changes by itself; it is no news.
            told = line.partition(" - ")[0]
            if told != self._written:
                self._written = told
                self._screen.write(f"{line}\n")
                self._screen.flush()
            return
        line = line[: shutil.get_terminal_size().columns - 1]
        self._screen.write("\r" + line.ljust(self._width))
        self._screen.flush()
        self._width = len(line)

    def end(self) -> None:
        """Leave the line as it is; what follows begins on the next."""
        if self._live and self._width:
            self._screen.write("\n")
            self._screen.flush()

    def line(self, job: Json) -> str:
        """Done of all, a bar, what failed, and how long the rest takes at this pace."""
        counts = job["requests"]
        total = counts["total"]
        done = total - counts["queued"] - counts["in-progress"]
        full = _BAR * done // total if total else _BAR
        text = f"{done:{len(str(total))}}/{total} [{'#' * full}{'.' * (_BAR - full)}]"
        if job["state"] == "open":
            text += " waits for the central cloud's answer"
        for state in ("failed", "cancelled"):
            if counts[state]:
                text += f" {counts[state]} {state}"
        return text + self._pace(done, total)

    def _pace(self, done: int, total: int) -> str:
        now = self._clock()
        if self._first is None:
            self._first = now, done
            return ""
        began, before = self._first
        if now <= began or done <= before or done >= total:
            return ""
        rate = (done - before) / (now - began)
        return f" - {rate:.1f}/s, {duration((total - done) / rate)} left"


class TaskProgress(Progress):
    """Of a task."""

    def line(self, job: Json) -> str:
        """How far it is, a bar, its state, and what it says."""
        percent = int(job["percent"])
        full = _BAR * percent // 100
        text = f"{percent:3} % [{'#' * full}{'.' * (_BAR - full)}] {job['state']}"
        said = job["error"] or job["message"]
        return f"{text}: {said}" if said else text


def duration(seconds: float) -> str:
    """A time span as people say it: 42 s, 3 min 10 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
