# SPDX-License-Identifier: Apache-2.0
"""headwater's API as commands see it: documents in, documents out, errors that say what to do."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from keystoneauth1 import exceptions as ks_exceptions
from osc_lib import exceptions

#: In the catalog; its endpoints are the API without a version, such as http://controller:25080.
SERVICE_TYPE = "headwater"

Json = dict[str, Any]

#: Seconds for which the service may be silent; a stream says every 15 that it lives.
_SILENCE = 90

#: Entries of a page when all are wanted.
_PAGE = 1000


class Api:
    """Calls through a keystoneauth adapter. All methods raise CommandError."""

    def __init__(self, adapter: Any):
        self._adapter = adapter

    def get(self, path: str, **query: object) -> Json:
        """Read one document; a query's None is left out."""
        answer = self._call("GET", path, params=_given(query))
        found: Json = answer.json()
        return found

    def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        """Change something; an answer without a document is an empty one."""
        answer = self._call(method, path, json=body, headers=dict(headers or {}))
        found: Json = answer.json() if answer.content else {}
        return found

    def pages(
        self, path: str, noun: str, limit: int | None = None, **query: object
    ) -> Iterator[Json]:
        """All entries of a list, or the first `limit`, page by page as they are used."""
        params = _given(query)
        left = limit
        while True:
            wanted = _PAGE if left is None else min(left, _PAGE)
            page = self._call("GET", path, params=[*params, ("limit", str(wanted))]).json()
            yield from page[noun]
            if left is not None:
                left -= len(page[noun])
            following = [link["href"] for link in page["links"] if link["rel"] == "next"]
            if not following or left == 0:
                return
            params = [
                (name, value)
                for name, value in parse_qsl(urlsplit(following[0]).query)
                if name != "limit"
            ]

    def stream(self, path: str, last_event: str | None) -> Iterator[str]:
        """The lines of an event stream, as they come. Raises ConnectionError when it breaks off."""
        headers = {"Accept": "text/event-stream"}
        if last_event:
            headers["Last-Event-ID"] = last_event
        answer = self._call("GET", path, headers=headers, stream=True)
        try:
            for line in answer.iter_lines(chunk_size=1):
                yield line.decode("utf-8")
        except OSError as error:  # requests' own errors are of this kind
            raise ConnectionError(str(error)) from error
        finally:
            answer.close()

    def _call(self, method: str, path: str, **options: Any) -> Any:
        try:
            answer = self._adapter.request(
                path,
                method,
                raise_exc=False,
                timeout=_SILENCE,
                # --debug would show a password.
                log="password" not in str(options.get("json")),
                **options,
            )
        except ks_exceptions.EndpointNotFound as error:
            raise exceptions.CommandError(
                f"The catalog has no service of type {SERVICE_TYPE!r} in this region. Register "
                "headwater's API there, or name another region with --os-region-name."
            ) from error
        except ks_exceptions.ConnectFailure as error:
            raise exceptions.CommandError(
                f"headwater's API does not answer: {error}. Is headwater-api running?"
            ) from error
        if answer.status_code >= 400:
            raise exceptions.CommandError(_reason(answer))
        return answer


def path_of(noun: str, name: str, *rest: str) -> str:
    """The path of one resource, or of something below it."""
    return "/".join(["/v1", noun, quote(name, safe=""), *rest])


def _given(query: Mapping[str, object]) -> list[tuple[str, str]]:
    pairs = []
    for name, value in query.items():
        for each in value if isinstance(value, (list, tuple)) else [value]:
            if each is not None:
                pairs.append((name, str(each).lower() if isinstance(each, bool) else str(each)))
    return pairs


def _reason(answer: Any) -> str:
    try:
        (error,) = answer.json()["errors"]
        detail, request_id = str(error["detail"]), str(error["request_id"])
    except (ValueError, KeyError, TypeError):
        return f"{answer.url} answers {answer.status_code}, and it is not headwater's API."
    if answer.status_code in (401, 403):
        detail += " Ask whoever runs the clouds for the role."
    if answer.status_code == 412:
        detail += " Somebody else was quicker: look at it and try again."
    return f"{detail} ({answer.status_code}, request {request_id})"
