# SPDX-License-Identifier: Apache-2.0
"""Sends exchanges to the central cloud and gives its answers back, in slices both ways."""

import http.client
import logging
from collections.abc import Callable, Iterator

from headwater.api_proxy import headers
from headwater.api_proxy.connections import ConnectionPool
from headwater.api_proxy.exchange import SLICE, Exchange
from headwater.common.errors import DeadlineExceeded, NoAnswer

LOG = logging.getLogger(__name__)

#: Methods that may be sent again when a reused connection broke before any answer. PUT and DELETE
#: are idempotent too, but their second answer may be 404, which would hide that the first worked.
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Answer:
    """The central cloud's answer; iterate over it once for the body, and close it in any case."""

    def __init__(self, response: http.client.HTTPResponse, release: Callable[[bool], None]):
        self.status = response.status
        self.reason = response.reason or http.client.responses.get(response.status, "Unknown")
        self.headers = headers.downstream(response.getheaders(), chunked=response.chunked)
        self._response, self._release = response, release
        self._complete = self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        """The body in slices, each as soon as it is there. Raises NoAnswer when it breaks off."""
        try:
            while piece := self._response.read1(SLICE):
                yield piece
            self._finish()
        except (OSError, http.client.HTTPException) as error:
            raise _no_answer(error) from error

    def header(self, name: str) -> str | None:
        """The first value of a header, or None."""
        lowered = name.lower()
        return next((value for key, value in self.headers if key.lower() == lowered), None)

    def read(self, limit: int) -> bytes:
        """Up to `limit` bytes of the body; iterating goes on behind them. Raises NoAnswer."""
        pieces, size = [], 0
        for piece in self:
            pieces.append(piece)
            size += len(piece)
            if size >= limit:
                break
        return b"".join(pieces)

    def close(self) -> None:
        """Give the connection back if it can be used again, else close it."""
        if not self._closed:
            self._closed = True
            self._response.close()
            self._release(self._complete and not self._response.will_close)

    def _finish(self) -> None:
        # read1 ends silently when the peer closes before Content-Length is reached.
        if self._response.length:
            raise http.client.IncompleteRead(b"", self._response.length)
        self._complete = True


class Forwarder:
    """One upstream of the gateway."""

    def __init__(self, pool: ConnectionPool):
        self._pool = pool

    def forward(self, exchange: Exchange, body: bytes | None = None) -> Answer:
        """Send an exchange and return as soon as the answer's headers are there.

        `body` is what was read of it already, whole; None streams the client's. Raises NotSent when
        the central cloud has certainly seen nothing, NoAnswer or DeadlineExceeded when it may have.
        """
        connection, reused = self._pool.take()
        try:
            return self._send(connection, exchange, body)
        except NoAnswer as error:
            connection.close()
            again = reused and exchange.method in _SAFE and not exchange.has_body
            if not again or isinstance(error, DeadlineExceeded):
                raise
            LOG.debug("A reused connection had ended; sending once more on a fresh one")
        except BaseException:
            connection.close()
            raise
        connection, _ = self._pool.take(fresh=True)
        try:
            return self._send(connection, exchange, body)
        except BaseException:
            connection.close()
            raise

    def _send(
        self, connection: http.client.HTTPConnection, exchange: Exchange, body: bytes | None
    ) -> Answer:
        try:
            self._send_head(connection, exchange, body)
            try:
                self._send_body(connection, exchange, body)
            except (BrokenPipeError, ConnectionResetError):
                # It stopped reading; most likely it has answered why.
                LOG.debug("The central cloud closed its side before the body's end")
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise _no_answer(error) from error
        if response.status < 200:
            # 102 and 103; the true answer, behind it, would be taken for the next exchange's.
            raise NoAnswer(f"The central cloud gave an interim answer only, {response.status}.")

        def release(reusable: bool) -> None:
            if reusable:
                self._pool.give_back(connection)
            else:
                connection.close()

        return Answer(response, release)

    def _send_head(
        self, connection: http.client.HTTPConnection, exchange: Exchange, body: bytes | None
    ) -> None:
        connection.putrequest(
            exchange.method, exchange.target, skip_host=True, skip_accept_encoding=True
        )
        for name, value in headers.upstream(
            exchange.headers,
            scheme=exchange.scheme,
            host=exchange.host,
            peer=exchange.peer,
            version=exchange.version,
        ):
            connection.putheader(name, value.encode("latin-1"))
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        elif exchange.length is None:
            connection.putheader("Transfer-Encoding", "chunked")
        elif exchange.length or exchange.header("Content-Length") is not None:
            connection.putheader("Content-Length", str(exchange.length))
        connection.endheaders()

    def _send_body(
        self, connection: http.client.HTTPConnection, exchange: Exchange, body: bytes | None
    ) -> None:
        if body is not None:
            for start in range(0, len(body), SLICE):
                connection.send(body[start : start + SLICE])
            return
        chunked = exchange.length is None
        for piece in exchange.body_slices():
            connection.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        if chunked:
            connection.send(b"0\r\n\r\n")


def _no_answer(error: Exception) -> NoAnswer:
    if isinstance(error, TimeoutError):
        return DeadlineExceeded("The central cloud did not answer in time.")
    return NoAnswer(f"The central cloud ended the exchange without an answer: {error!r}")
