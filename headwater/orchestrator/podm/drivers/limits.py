# SPDX-License-Identifier: Apache-2.0
"""How long and how large an answer may be: a timeout for silence ends none that trickles."""

import http.client
import io
import time
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

#: Bytes of an answer, decompressed. The largest that is of any use is a collection of as many
#: members as are read, on one page: 100,000 paths of some 100 characters.
MOST_BYTES = 16 * 2**20

#: An answer ends within so many times the silence after which it is given up: slow BMCs pause
#: more than once, and a thread that waits is one that nobody else has.
_SILENCES = 4

#: Bytes that are taken at a time.
_PIECE = 2**16


class _Timed(io.RawIOBase):
    """What a socket gives, however little at a time, until the time is up."""

    def __init__(self, raw: io.RawIOBase, seconds: float):
        self._raw, self._seconds = raw, seconds
        self._until = time.monotonic() + seconds

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read what is there. TimeoutError: the whole took too long."""
        if time.monotonic() > self._until:
            raise TimeoutError(f"No whole answer within {self._seconds:g} s.")
        number: int | None = self._raw.readinto(buffer)
        return number

    def close(self) -> None:
        """Let the socket go."""
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    """Takes also its headers, and what is between the parts of its body, in time."""

    def __init__(self, sock: Any, *arguments: Any, **options: Any):
        super().__init__(sock, *arguments, **options)
        silence = sock.gettimeout()
        if silence is not None:
            timed = _Timed(self.fp.detach(), _SILENCES * silence)
            self.fp = io.BufferedReader(timed)


class _Connection(HTTPConnection):
    response_class = _Answer


class _TlsConnection(HTTPSConnection):
    response_class = _Answer


class Bounded(HTTPAdapter):
    """Gives up answers that do not end, or are too large, as those that never came."""

    def get_connection_with_tls_context(self, *arguments: Any, **options: Any) -> Any:
        """One that takes the time, also through a proxy."""
        pool = super().get_connection_with_tls_context(*arguments, **options)
        pool.ConnectionCls = _TlsConnection if pool.scheme == "https" else _Connection
        return pool

    def send(self, *arguments: Any, **options: Any) -> requests.Response:
        """Send a request and read the whole answer."""
        answer = super().send(*arguments, **options)
        pieces, size = [], 0
        for piece in answer.iter_content(_PIECE):
            pieces.append(piece)
            size += len(piece)
            if size > MOST_BYTES:
                answer.close()
                raise requests.exceptions.ConnectionError(
                    f"The answer has more than {MOST_BYTES} bytes.", request=answer.request
                )
        # What requests would read next, without a limit.
        answer._content = b"".join(pieces)
        return answer
