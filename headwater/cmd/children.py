# SPDX-License-Identifier: Apache-2.0
"""Worker processes as their supervisor sees them, and the words that the two exchange."""

import contextlib
import os
import signal
import socket
from dataclasses import dataclass, field

#: A worker process that lived for so many seconds did not die "at once".
_LIVED = 5.0
_SHORTEST_DELAY, _LONGEST_DELAY = 0.1, 30.0

#: A child says: I have started; I accept nothing more, told or not.
READY, LEAVING = b"r", b"l"
#: A supervisor says: a successor is there, make room for it.
RETIRE = b"q"
#: And both: I am gone.
GONE = b""


def say(channel: socket.socket, word: bytes) -> None:
    """Tell the other side, if it is there; that it is gone is noticed where it is listened to."""
    with contextlib.suppress(OSError):
        channel.send(word)


def hear(channel: socket.socket) -> bytes:
    """What the other side says; waits for it."""
    try:
        return channel.recv(1)
    except OSError:  # reset: it died before it read what was sent
        return GONE


class Backoff:
    """How long to wait before a process is started again; doubles while it dies at once."""

    def __init__(self) -> None:
        self._deaths = 0

    def delay(self, lived: float) -> float:
        """Seconds to wait after a process that lived for `lived` seconds."""
        if lived >= _LIVED:
            self._deaths = 0
            return 0.0
        self._deaths += 1
        # The exponent is bounded too: a float overflows at the 1025th death.
        return float(min(_LONGEST_DELAY, _SHORTEST_DELAY * 2 ** min(self._deaths - 1, 10)))


@dataclass
class Child:
    """A worker process; moments are of the monotonic clock."""

    pid: int
    channel: socket.socket
    #: Counts how often the configuration was read.
    generation: int
    started: float
    #: The moment until which an answer is awaited: that it is ready, or that it makes room.
    limit: float
    ready: bool = False
    #: It ends because it was told to.
    leaving: bool = False
    #: It accepts nothing more.
    left: bool = False
    #: Its end of the channel is closed: it is about to be a zombie.
    silent: bool = False

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal. Its pid is nobody else's before the supervisor has waited for it."""
        os.kill(self.pid, number)


@dataclass
class Slot:
    """The place of one worker process."""

    child: Child | None = None
    #: Takes the place when it is ready.
    successor: Child | None = None
    #: No fork before this moment.
    due: float = 0.0
    backoff: Backoff = field(default_factory=Backoff)


def describe(status: int) -> str:
    """How a process ended, from what waitpid says."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal
        return f"killed by signal {-code}"
