# SPDX-License-Identifier: Apache-2.0
"""Signals as values that a loop waits for.

oslo.service runs code in the middle of whatever a signal interrupts, and needs its loop to wake up
by itself to notice. Here Python's C handler writes the number into a socket (set_wakeup_fd) and the
loop reads it between two steps: nothing is interrupted, nothing polls, nothing is lost.
"""

import contextlib
import os
import signal
import socket
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self


class Signals:
    """Collects the `wanted` signals from now on; `ignored` ones have no effect. Main thread only.

    `close` gives them back their default action.
    """

    def __init__(self, wanted: Iterable[signal.Signals], ignored: Iterable[signal.Signals] = ()):
        self._wanted, self._ignored = tuple(wanted), tuple(ignored)
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in self._wanted:
            signal.signal(number, _note)
        for number in self._ignored:
            signal.signal(number, signal.SIG_IGN)

    def wait(self, timeout: float | None) -> list[signal.Signals]:
        """Signals that came, in their order; other green threads run meanwhile.

        Returns an empty list after `timeout` seconds (None: never) or a `wake`.
        """
        self._reader.settimeout(timeout)
        try:
            numbers = self._reader.recv(4096)
        except (TimeoutError, BlockingIOError):  # the second for a timeout of zero
            return []
        return [each for number in numbers for each in self._wanted if each == number]

    def fileno(self) -> int:
        """For select(): readable when `wait` would return at once."""
        return self._reader.fileno()

    def wake(self) -> None:
        """Let `wait` return; from any thread."""
        self._writer.send(b"\0")  # no signal has this number

    @contextlib.contextmanager
    def held_back(self) -> Iterator[None]:
        """Signals to this thread, and to a child forked from it, wait within the block.

        Not those that another thread takes. A child has the parent's wakeup socket at first and
        would report its own signals there.
        """
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def close(self) -> None:
        """Collect no more."""
        signal.set_wakeup_fd(-1)
        for number in (*self._wanted, *self._ignored):
            signal.signal(number, signal.SIG_DFL)
        self.forget()

    def forget(self) -> None:
        """Close the sockets only: in a child, where other Signals have taken over."""
        self._reader.close()
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Hangup:
    """What a SIGHUP means: read the configuration again, or the terminal is gone.

    oslo.service takes every SIGHUP in the foreground of a terminal for the second. The terminal
    itself tells them apart: a process whose terminal was closed has none any more.
    """

    def __init__(self) -> None:
        # Under nohup it was ignored: whoever started us wants us to outlive the terminal.
        self._had_one = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN and _has_terminal()

    def terminal_is_gone(self) -> bool:
        """Whether the terminal that this process was started from was closed."""
        return self._had_one and not _has_terminal()


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _note(_number: int, _frame: object) -> None:
    """Nothing: the number is in the wakeup socket already."""
