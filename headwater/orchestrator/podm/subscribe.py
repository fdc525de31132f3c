# SPDX-License-Identifier: Apache-2.0
"""Event subscriptions: every address of a pod that has events is asked to send them.

Each gets a secret of its own as a part of the destination; only the secret's hash is kept. Done
twice it leaves alone what is young enough, and what is made anew replaces what was there.
"""

import contextlib
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta

from headwater.common import clock
from headwater.common.errors import ExchangeError
from headwater.common.redact import scrub
from headwater.db import subscriptions, telemetry
from headwater.db.telemetry_records import Subscription
from headwater.engine.tracked import Cancelled, Completed, Result, TaskWork
from headwater.orchestrator.podm.actions import Place
from headwater.orchestrator.podm.drivers import PodRefused
from headwater.orchestrator.podm.fan_out import Silent, read_all

#: Seconds after which a subscription is made anew: BMCs forget theirs when they are reset, and
#: nobody keeps a secret for ever.
_RENEW = 86400.0

#: Seconds after which an address is asked again that did not answer.
_AGAIN = 600.0

#: Addresses that a result names.
_NAMED = 20


def subscribe(work: TaskWork, place: Place) -> Result:
    """Bring the pod's subscriptions to what they shall be: with an empty `event_url` none."""
    if work.task.cancel_requested:
        return Cancelled("The subscriptions were left as they were.")
    base = str(work.parameters.get("event_url", "")).rstrip("/")
    known = subscriptions.of_pod(place.database, place.pod.id)
    wanted = frozenset(place.pod.addresses) if base else frozenset()
    _end(work, place, [each for each in known if each.address not in wanted])
    due = [each for each in place.pod.addresses if each in wanted and _is_due(each, known)]
    # Of an address that never answers there shall be one row, and not one more with each try.
    lost = [each.id for each in known if each.address in due and each.possible and not each.uri]
    subscriptions.forget(place.database, lost)
    made, none, failed = _make(work, place, base, due) if due else (0, 0, {})
    seconds = _RENEW if base and not failed else _AGAIN
    telemetry.subscribe_later(place.database, place.pod.id, place.pod.updated_at, seconds)
    result = {
        "subscribed": made,
        "without_events": none,
        "failed": len(failed),
        "failed_addresses": dict(sorted(failed.items())[:_NAMED]),
    }
    return Completed(result, f"{made} subscribed, {none} without events, {len(failed)} failed.")


def _is_due(address: str, known: Sequence[Subscription]) -> bool:
    """Whether no row says that it was asked, or found to have no events, not long ago."""
    young = clock.now() - timedelta(seconds=_RENEW / 2)
    return not any(
        each.address == address
        and each.created_at > young
        and (each.uri is not None or not each.possible)
        for each in known
    )


def _make(
    work: TaskWork, place: Place, base: str, addresses: Sequence[str]
) -> tuple[int, int, Mapping[str, str]]:
    """Ask addresses; how many do it, how many have no events, and why the others do not."""
    given = {address: secrets.token_urlsafe(32) for address in addresses}
    rows = subscriptions.begin(place.database, place.pod.id, given)

    def ask(address: str) -> str | None:
        work.guard()
        destination = f"{base}/v1/pod_events/{given[address]}"
        return place.driver.subscribe(address, destination, context(place.pod.id, address))

    made = none = 0
    failed: dict[str, str] = {}
    chains = [[address] for address in addresses]
    with contextlib.closing(read_all(chains, ask, work.guard, longest=60.0)) as found:
        for address, uri in found:
            if isinstance(uri, Silent):
                # BMCs repeat in their errors what they were given.
                failed[address] = scrub(uri.reason, [given[address]])
                continue
            work.guard()
            subscriptions.end(place.database, rows[address], uri)
            made, none = made + (uri is not None), none + (uri is None)
    return made, none, failed


def _end(work: TaskWork, place: Place, ended: Sequence[Subscription]) -> None:
    """Let addresses send no more, as far as they answer; in any case nothing more is taken."""
    uris = [each.uri for each in ended if each.uri is not None]

    def end(uri: str) -> None:
        work.guard()
        # What is left over where it does not answer sends to a destination that refuses it.
        with contextlib.suppress(ExchangeError, PodRefused):
            place.driver.unsubscribe(uri)

    if uris:
        with contextlib.closing(read_all([[each] for each in uris], end, work.guard)) as found:
            for _ in found:
                pass
    if ended:
        work.guard()
        subscriptions.forget(place.database, [each.id for each in ended])


def context(pod_id: int, address: str) -> str:
    """By what a pod tells that a subscription is ours, and drivers that it is an earlier one.

    The same for another `event_url`, or the one with the old url would stay.
    """
    return "headwater-" + hashlib.sha256(f"{pod_id} {address}".encode()).hexdigest()[:32]
