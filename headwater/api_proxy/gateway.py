# SPDX-License-Identifier: Apache-2.0
"""The gateway of one endpoint type: a plain WSGI callable."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from headwater.api_proxy import exchange, faults, headers, interpreter
from headwater.api_proxy.exchange import Exchange
from headwater.api_proxy.faults import Fault
from headwater.api_proxy.forwarder import Answer, Forwarder
from headwater.api_proxy.recorder import Recorder
from headwater.api_proxy.router import Meaning, Open, Recorded, Router, Unmatched
from headwater.common import auth, policy
from headwater.common.auth import WsgiApp
from headwater.common.context import Caller
from headwater.common.errors import HeadwaterError, NoAnswer, NotSent
from headwater.common.proxies import TrustedProxies
from headwater.common.states import Operation
from headwater.db.records import Job
from headwater.engine.task import ResourceInfo

LOG = logging.getLogger(__name__)

#: Header of an answer that tells which job repeats the change on the subclouds.
JOB_HEADER = "X-Headwater-Job"

#: Characters of the longest id that is recorded; OpenStack's own are at most 64.
_LONGEST_ID = 255

_EXCHANGE = "headwater.exchange"
_MEANING = "headwater.meaning"

StartResponse = Callable[..., Any]


@dataclass(frozen=True)
class GatewaySettings:
    """The values of [api_proxy] that concern calls."""

    deny_unmatched: bool
    max_recorded_body: int
    #: Path in front of the upstream's own, such as `/identity`; empty for none.
    prefix: str
    proxies: TrustedProxies = field(default_factory=TrustedProxies)


class Gateway:
    """Forwards every call to the central cloud and records those that change a resource."""

    def __init__(
        self,
        router: Router,
        forwarder: Forwarder,
        recorder: Recorder,
        token_filter: Callable[[WsgiApp], WsgiApp],
        allows: Callable[[str, Mapping[str, Any]], bool],
        settings: GatewaySettings,
    ):
        self._router, self._forwarder, self._recorder = router, forwarder, recorder
        self._allows, self._settings = allows, settings
        self._authenticated = token_filter(self._checked)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one exchange (PEP 3333)."""
        # eventlet would hold small pieces of a slow stream back.
        environ["eventlet.minimum_write_chunk_size"] = 0
        environ["wsgi.url_scheme"] = self._settings.proxies.scheme(environ)
        try:
            # Taken before auth_token writes its findings among the client's headers.
            client = exchange.from_environ(environ)
            headers.refuse_loop(client.headers)
            environ[_EXCHANGE], environ[_MEANING] = client, self._meaning(client)
            if _is_open(client, environ[_MEANING]):
                anonymous = Caller(request_id=client.header("X-Openstack-Request-Id"))
                return self._answer(environ, start_response, anonymous)
            answer: Iterable[bytes] = self._authenticated(environ, start_response)
        except HeadwaterError as error:
            return _fault(error, environ, start_response)
        except Exception:  # the server in front would answer without a word in any log
            LOG.exception("%s %s broke", environ.get("REQUEST_METHOD"), environ.get("PATH_INFO"))
            broken = Fault(500, "The gateway failed; its log says why.")
            return _fault(broken, environ, start_response)
        return answer

    def _meaning(self, client: Exchange) -> Meaning:
        prefix = self._settings.prefix
        if prefix and not (client.path == prefix or client.path.startswith(prefix + "/")):
            raise Fault(404, f"This gateway serves paths below {prefix}.")
        meaning = self._router.match(client.method, client.path.removeprefix(prefix))
        denied = isinstance(meaning, Unmatched) and not meaning.known
        if denied and self._settings.deny_unmatched:
            raise Fault(403, "This gateway passes documented calls only.")
        return meaning

    def _checked(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Continue behind auth_token with a token that is valid."""
        client: Exchange = environ[_EXCHANGE]
        caller = auth.caller(environ, client.header("X-Openstack-Request-Id"))
        return self._answer(environ, start_response, caller)

    def _answer(
        self, environ: dict[str, Any], start_response: StartResponse, caller: Caller
    ) -> Iterable[bytes]:
        client, meaning = environ[_EXCHANGE], environ[_MEANING]
        try:
            if isinstance(meaning, Recorded):
                # Without a token the headers that tell of roles are the client's own words.
                self._authorize(meaning, environ if caller.user_id is not None else {})
                return self._record(client, meaning, caller, start_response)
            answer = self._forwarder.forward(client)
        except HeadwaterError as error:
            return _fault(error, environ, start_response)
        start_response(f"{answer.status} {answer.reason}", answer.headers)
        return _Body(answer)

    def _authorize(self, meaning: Recorded, environ: Mapping[str, Any]) -> None:
        """Refuse what the installation's own rules do not allow; the central cloud has its own."""
        resource, operation = meaning.call.resource, meaning.call.operation
        rule = policy.gateway_rule(self._router.endpoint_type.name, resource, operation)
        if not self._allows(rule, environ):
            raise Fault(403, f"The rule {rule} does not let you do this.")

    def _record(
        self, client: Exchange, meaning: Recorded, caller: Caller, start_response: StartResponse
    ) -> Iterable[bytes]:
        known = interpreter.master_id(meaning)
        if known is not None and (len(known) > _LONGEST_ID or "\0" in known):
            raise Fault(404, "No resource has such an id.")
        body = client.read_body(self._settings.max_recorded_body)
        info = interpreter.intended(meaning, client, body)
        info = replace(info, key_before=self._key_before(client, meaning))
        job = self._recorder.open(meaning, info, caller)
        try:
            answer = self._forwarder.forward(_readable(client), body)
        except (NotSent, Fault):
            self._recorder.drop(job)
            raise
        try:
            read, queued = self._settle(job, meaning, info, answer)
        except BaseException:
            answer.close()
            raise
        shown = answer.headers
        if 200 <= answer.status < 300:
            shown = [*shown, (JOB_HEADER, queued)]
        start_response(f"{answer.status} {answer.reason}", shown)
        return _Body(answer, read)

    def _settle(
        self, job: Job, meaning: Recorded, info: ResourceInfo, answer: Answer
    ) -> tuple[bytes, str]:
        """Close or drop the intent by the answer.

        Returns what was read of the answer's body, and the uuid of the job that replays the change.
        After a server's error, and after an answer that broke off, nobody knows what happened: the
        intent stays open.
        """
        if answer.status >= 500:
            LOG.warning("Job %s stays open: the central cloud answered %d", job.uuid, answer.status)
            return b"", job.uuid
        if not 200 <= answer.status < 300:
            self._recorder.drop(job)
            return b"", job.uuid
        # Before the client hears of it: what is accepted is also recorded.
        limit = self._settings.max_recorded_body
        try:
            read = answer.read(limit)
        except NoAnswer:
            read = b""
            change = interpreter.accepted(meaning, info, read)
            if change is not None:
                self._recorder.close(job, change, answer.header("X-Openstack-Request-Id"))
            raise
        change = interpreter.accepted(meaning, info, read)
        if change is None:
            LOG.warning("Job %s stays open: the answer does not tell what was created", job.uuid)
            return read, job.uuid
        queued = self._recorder.close(job, change, answer.header("X-Openstack-Request-Id"))
        return read, queued

    def _key_before(self, client: Exchange, meaning: Recorded) -> Mapping[str, Any] | None:
        """How subclouds know the resource until the change is replayed there.

        A resource that is older than the gateway is looked at before it changes, with the client's
        own token: after a rename or a delete the central cloud cannot tell its name any more.
        """
        if meaning.call.operation is Operation.CREATE or not meaning.resource.match:
            return None
        known = self._recorder.known_key(meaning)
        if known is not None:
            return known
        path = self._settings.prefix + meaning.resource.member.expand(
            {
                name: value
                for name, value in meaning.parameters.items()
                if name in meaning.resource.member.parameters
            }
        )
        kept = [
            (name, value)
            for name, value in client.headers
            if not name.lower().startswith(("content-", "transfer-", "expect", "if-", "range"))
        ]
        look = replace(client, method="GET", target=path, path=path, headers=kept, length=0)
        look = _readable(look)
        answer = self._forwarder.forward(look)
        try:
            if answer.status != 200:
                return None
            read = answer.read(self._settings.max_recorded_body)
            return interpreter.natural_key(meaning.resource, read)
        finally:
            answer.close()


def _is_open(client: Exchange, meaning: Meaning) -> bool:
    """Whether a call passes without a token: the central cloud decides about it alone."""
    if isinstance(meaning, Recorded) and not meaning.call.token_required:
        return client.header("X-Auth-Token") is None
    return isinstance(meaning, Open)


def _readable(client: Exchange) -> Exchange:
    """The same exchange, asking for an answer that is not compressed: it has to be understood."""
    kept = [(name, value) for name, value in client.headers if name.lower() != "accept-encoding"]
    return replace(client, headers=[*kept, ("Accept-Encoding", "identity")])


class _Body:
    """An answer's body for the WSGI server, beginning with what was read of it already."""

    def __init__(self, answer: Answer, read: bytes = b""):
        self._answer, self._read = answer, read

    def __iter__(self) -> Iterator[bytes]:
        try:
            if self._read:
                yield self._read
            yield from self._answer
        except NoAnswer as error:
            # The client sees a body that breaks off: the headers are long sent.
            LOG.warning("An answer could not be passed on whole: %s", error)
            raise

    def close(self) -> None:
        """Called by the server in any case, also when the client is gone."""
        self._answer.close()


def _fault(
    error: HeadwaterError, environ: dict[str, Any], start_response: StartResponse
) -> Iterable[bytes]:
    response = faults.response(error)
    LOG.log(
        logging.WARNING if response.status_int >= 500 else logging.INFO,
        "%s %s: %d %s",
        environ.get("REQUEST_METHOD"),
        environ.get("PATH_INFO"),
        response.status_int,
        error,
    )
    answered: Iterable[bytes] = response(environ, start_response)
    return answered
