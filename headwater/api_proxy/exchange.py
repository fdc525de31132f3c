# SPDX-License-Identifier: Apache-2.0
"""One HTTP exchange as the client sent it, taken from a WSGI environ before anything changes it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import quote, unquote, urlsplit

from headwater.api_proxy.faults import Fault
from headwater.api_proxy.headers import Headers

#: Size in bytes of the pieces in which bodies pass.
SLICE = 64 * 1024

#: RFC 9110, 5.6.2: methods and header names.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FORBIDDEN = frozenset("\r\n\0")
#: The only white space that HTTP knows.
_BLANKS = " \t"


@dataclass(frozen=True)
class Exchange:
    """What the client asked; the body is still in `stream`."""

    method: str
    #: Path and query exactly as sent.
    target: str
    #: The path decoded, as a WSGI application behind would see it.
    path: str
    headers: Headers
    scheme: str
    host: str
    peer: str
    version: str
    #: Bytes of the body; None when it is chunked.
    length: int | None
    stream: BinaryIO

    @property
    def has_body(self) -> bool:
        """Whether a body follows."""
        return self.length is None or self.length > 0

    def header(self, name: str) -> str | None:
        """The first value of a header, or None."""
        lowered = name.lower()
        return next((value for key, value in self.headers if key.lower() == lowered), None)

    def body_slices(self) -> Iterator[bytes]:
        """The body piece by piece; raises Fault 400 when it ends before its announced length."""
        if self.length is None:
            while piece := self._read(SLICE):
                yield piece
            return
        left = self.length
        while left:
            piece = self._read(min(SLICE, left))
            if not piece:
                raise Fault(400, f"The body ended {left} bytes before its announced length.")
            left -= len(piece)
            yield piece

    def _read(self, size: int) -> bytes:
        try:
            return self.stream.read(size)
        except (OSError, ValueError) as error:  # ValueError: a chunk's size that is no number
            raise Fault(400, f"The body cannot be read: {error}") from error

    def read_body(self, limit: int) -> bytes:
        """The whole body; raises Fault 413 when it is larger than `limit` bytes."""
        too_large = Fault(
            413, f"A call that is replayed on subclouds may carry at most {limit} bytes."
        )
        if self.length is not None and self.length > limit:
            raise too_large
        pieces, size = [], 0
        for piece in self.body_slices():
            size += len(piece)
            if size > limit:
                raise too_large
            pieces.append(piece)
        return b"".join(pieces)


def from_environ(environ: Mapping[str, Any]) -> Exchange:
    """The exchange behind a WSGI environ; raises Fault 400 for a framing that can be misread.

    Two parties that read the same bytes as different requests are how requests are smuggled past
    a gateway; what is not plain is refused. A chunked body that the server leaves undecoded is
    Fault 411.
    """
    headers = _headers(environ)
    _check_tokens(environ["REQUEST_METHOD"], headers)
    length = body_length(headers)
    if length is None and not _decodes_chunks(environ):
        raise Fault(411, "This server reads no chunked bodies: send a Content-Length.")
    target = _target(environ)
    path = unquote(target.partition("?")[0])
    _check_path(path)
    return Exchange(
        method=environ["REQUEST_METHOD"],
        target=target,
        path=path,
        headers=headers,
        scheme=environ.get("wsgi.url_scheme", "http"),
        host=environ.get("HTTP_HOST") or environ["SERVER_NAME"],
        peer=environ.get("REMOTE_ADDR", ""),
        version=environ.get("SERVER_PROTOCOL", "HTTP/1.1").removeprefix("HTTP/"),
        length=length,
        stream=environ["wsgi.input"],
    )


def _target(environ: Mapping[str, Any]) -> str:
    """Path and query as sent, from whichever key the server keeps them in."""
    query = environ.get("QUERY_STRING", "")
    suffix = f"?{query}" if query else ""
    if "RAW_PATH_INFO" in environ:  # eventlet: without the query
        raw = str(environ["RAW_PATH_INFO"]) + suffix
    elif "RAW_URI" in environ:  # gunicorn
        raw = str(environ["RAW_URI"])
    elif "REQUEST_URI" in environ:  # uWSGI, waitress, mod_wsgi
        raw = str(environ["REQUEST_URI"])
    else:
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        raw = quote(path.encode("latin-1"), safe="/:@!$&'()*+,;=~-._") + suffix
    if any(not 0x21 <= ord(character) <= 0x7E for character in raw):
        raise Fault(400, "The request target has characters that must be percent-encoded.")
    if not raw.startswith("/"):
        # The absolute form; its authority is what Host says.
        try:
            parts = urlsplit(raw)
        except ValueError as error:
            raise Fault(400, f"The request target is no URL: {error}.") from error
        if not parts.scheme or not parts.netloc:
            raise Fault(400, "The request target is neither a path nor a URL.")
        raw = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return raw.partition("#")[0]


def _decodes_chunks(environ: Mapping[str, Any]) -> bool:
    """Whether wsgi.input ends with a chunked body: eventlet and gunicorn do that, uWSGI does not.

    Read without it, the body would seem empty, and an empty one would be forwarded.
    """
    return "eventlet.input" in environ or bool(environ.get("wsgi.input_terminated"))


def _headers(environ: Mapping[str, Any]) -> Headers:
    """Headers as sent where the server keeps them; otherwise those of the environ.

    There the order is lost, and lines of one name have been joined with commas (PEP 3333).
    """
    if "headers_raw" in environ:  # eventlet: order and duplicates kept
        return [(str(name), str(value)) for name, value in environ["headers_raw"]]
    headers = [
        (key[5:].replace("_", "-").title(), str(value))
        for key, value in environ.items()
        if key.startswith("HTTP_") and isinstance(value, str)
    ]
    for key, name in (("CONTENT_TYPE", "Content-Type"), ("CONTENT_LENGTH", "Content-Length")):
        if environ.get(key):
            headers.append((name, str(environ[key])))
    return headers


def _check_tokens(method: str, headers: Headers) -> None:
    if not _TOKEN.fullmatch(method):
        raise Fault(400, "The method is not a token.")
    if method != method.upper():
        # Many services take `post` for POST; to the router it is another method (RFC 9110, 9.1).
        raise Fault(400, "The method has small letters.")
    hosts = [value for name, value in headers if name.lower() == "host"]
    # A comma is how servers without raw headers show two of them.
    if len(hosts) > 1 or any("," in host for host in hosts):
        raise Fault(400, "There is more than one Host header.")
    for name, value in headers:
        if not _TOKEN.fullmatch(name):
            raise Fault(400, "A header name is not a token.")
        if not _FORBIDDEN.isdisjoint(value):
            raise Fault(400, "A header value has a line end or a null character in it.")


def _check_path(path: str) -> None:
    """Servers in front of a service merge slashes and follow dots; to the router it is no match."""
    if any(segment in ("", ".", "..") for segment in path.rstrip("/").split("/")[1:]):
        raise Fault(400, "The path has an empty segment, or one of dots only.")


def body_length(headers: Headers) -> int | None:
    """Bytes of the body, None when it is chunked; raises Fault 400 for what can be misread."""
    lengths: set[str] = set()
    codings: list[str] = []
    for name, value in headers:
        lowered = name.lower()
        if lowered == "content-length":
            lengths.update(part.strip(_BLANKS) for part in value.split(","))
        elif lowered == "transfer-encoding":
            codings.append(value.strip(_BLANKS).lower())
    if codings:
        if codings != ["chunked"]:
            raise Fault(400, "The only supported Transfer-Encoding is 'chunked'.")
        if lengths:
            raise Fault(400, "Content-Length and Transfer-Encoding exclude each other.")
        return None
    if not lengths:
        return 0
    length = lengths.pop()
    if lengths or not (length.isascii() and length.isdigit()):
        raise Fault(400, "Content-Length is not one number.")
    return int(length)
