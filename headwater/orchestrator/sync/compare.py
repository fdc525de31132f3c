# SPDX-License-Identifier: Apache-2.0
"""Compares a subcloud with the central cloud. Pure: takes two listings, gives what differs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headwater.common.endpoints.model import EndpointType, ResourceType
from headwater.common.states import DriftKind
from headwater.engine.audit import Difference, Key
from headwater.orchestrator.sync.listing import CloudState


@dataclass(frozen=True)
class Comparison:
    """What a comparison found."""

    #: In dependency order; what only the subcloud has comes last, dependents first.
    differences: tuple[Difference, ...]
    #: Counterparts by (resource type, id in the central cloud) that were not known before.
    learnt: Mapping[Key, str]
    #: Mappings that hold no more: neither cloud has it, or the subcloud's has another origin.
    stale: frozenset[Key]
    #: Resources of the central cloud that the subcloud should have, by type.
    totals: Mapping[str, int]


def compare(
    endpoint_type: EndpointType,
    central: CloudState,
    there: CloudState,
    mapped: Mapping[Key, str],
    own: frozenset[str] = frozenset(),
) -> Comparison:
    """Compare by known counterparts first, then by natural key with translated references.

    `mapped` gives the subcloud's ids by (resource type, id in the central cloud). What a cloud
    makes for itself (`protected`), and what has one of the names `own`, is matched, so that links
    may refer to it, and otherwise left alone.
    """
    work = _Work(endpoint_type, central, there, mapped, own)
    extra: list[list[Difference]] = []
    for resource in endpoint_type.resources.values():
        if resource.name not in central or resource.name not in there:
            continue
        if resource.collection is None:
            extra.append(work.links(resource))
        else:
            extra.append(work.objects(resource))
    return Comparison(
        differences=(*work.found, *(each for of_type in reversed(extra) for each in of_type)),
        learnt=work.learnt,
        stale=frozenset(
            (name, master_id)
            for (name, master_id), subcloud_id in mapped.items()
            if name in central
            and master_id not in central[name]
            and work.origin.get((name, subcloud_id)) != master_id
        ),
        totals=work.totals,
    )


@dataclass
class _Work:
    """Counterparts as far as they are known, while the types are gone through in order."""

    endpoint_type: EndpointType
    central: CloudState
    there: CloudState
    mapped: Mapping[Key, str]
    own: frozenset[str]
    found: list[Difference] = field(default_factory=list)
    learnt: dict[Key, str] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)
    #: Both directions, with what was matched just now.
    known: dict[Key, str] = field(default_factory=dict)
    origin: dict[Key, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for (name, master_id), subcloud_id in self.mapped.items():
            if subcloud_id in self.there.get(name, {}):
                self.origin[name, subcloud_id] = master_id
                if master_id in self.central.get(name, {}):
                    self.known[name, master_id] = subcloud_id

    def objects(self, resource: ResourceType) -> list[Difference]:
        """Resources with an id of their own. Returns what only the subcloud has."""
        here, there = self.central[resource.name], self.there[resource.name]
        free: dict[tuple[Any, ...], list[str]] = {}
        for subcloud_id, state in there.items():
            if self.origin.get((resource.name, subcloud_id)) not in here:
                free.setdefault(_key(resource.natural_key(state)), []).append(subcloud_id)
        matched = set()
        for master_id, state in here.items():
            protected = self._is_protected(resource, state)
            self.totals[resource.name] = self.totals.get(resource.name, 0) + (not protected)
            counterpart = self.known.get((resource.name, master_id))
            if counterpart is None:
                counterpart = self._by_key(resource, state, free)
                if counterpart is not None:
                    self._learn((resource.name, master_id), counterpart)
            if counterpart is not None:
                matched.add(counterpart)
            if protected:
                continue
            name = _name(resource, state, master_id)
            if counterpart is None:
                self._note(DriftKind.MISSING, resource, master_id, None, name)
                continue
            fields = self._differing(resource, state, there[counterpart])
            if fields:
                self._note(DriftKind.DIFFERENT, resource, master_id, counterpart, name, fields)
        return [
            Difference(
                DriftKind.EXTRA,
                resource.name,
                self.origin.get((resource.name, subcloud_id)),
                subcloud_id,
                _name(resource, state, subcloud_id),
            )
            for subcloud_id, state in there.items()
            if subcloud_id not in matched and not self._is_protected(resource, state)
        ]

    def links(self, resource: ResourceType) -> list[Difference]:
        """Links between resources. Returns what only the subcloud has."""
        there, matched = self.there[resource.name], set()
        for master_id in self.central[resource.name]:
            ends = self._ends(resource, master_id, self.central)
            if all(end.protected for end in ends):
                # What both have is no difference, whoever made it.
                matched.add("/".join(end.counterpart or "" for end in ends))
                continue
            self.totals[resource.name] = self.totals.get(resource.name, 0) + 1
            subcloud_id = "/".join(end.counterpart or "" for end in ends)
            name = " / ".join(end.name for end in ends)
            if subcloud_id not in there:
                self._note(DriftKind.MISSING, resource, master_id, None, name)
                continue
            matched.add(subcloud_id)
            if self.mapped.get((resource.name, master_id)) != subcloud_id:
                self._learn((resource.name, master_id), subcloud_id)
        extra = []
        for subcloud_id in there:
            ends = self._ends(resource, subcloud_id, self.there)
            if subcloud_id in matched or all(end.protected for end in ends):
                continue
            extra.append(
                Difference(
                    DriftKind.EXTRA,
                    resource.name,
                    self.origin.get((resource.name, subcloud_id)),
                    subcloud_id,
                    " / ".join(end.name for end in ends),
                )
            )
        return extra

    def _ends(self, resource: ResourceType, link_id: str, cloud: CloudState) -> list["_End"]:
        central = cloud is self.central
        ends = []
        for parameter, end_id in resource.parameters(link_id).items():
            end = _End(end_id)
            for type_name in resource.references[parameter]:
                state = cloud.get(type_name, {}).get(end_id)
                if state is None:
                    continue
                target = self.endpoint_type.resources[type_name]
                counterparts = self.known if central else self.origin
                end = _End(
                    _name(target, state, end_id),
                    counterparts.get((type_name, end_id)),
                    self._is_protected(target, state),
                )
                break
            ends.append(end)
        return ends

    def _is_protected(self, resource: ResourceType, state: Mapping[str, Any]) -> bool:
        return resource.is_protected(state) or (
            bool(resource.match) and state.get(resource.match[-1]) in self.own
        )

    def _by_key(
        self,
        resource: ResourceType,
        state: Mapping[str, Any],
        free: Mapping[tuple[Any, ...], list[str]],
    ) -> str | None:
        key = resource.natural_key(state)
        if key is None:
            return None
        wanted = {}
        for name, value in key.items():
            translated = self._translate(resource, name, value)
            if translated is _UNKNOWN:
                return None
            wanted[name] = translated
        found = free.get(_key(wanted), [])
        # Several by one key: nobody can tell which; the replay says so.
        return found[0] if len(found) == 1 else None

    def _translate(self, resource: ResourceType, name: str, value: Any) -> Any:
        """A value as the subcloud has it; _UNKNOWN for a reference without a counterpart."""
        if name not in resource.references or not isinstance(value, str):
            return value
        for type_name in resource.references[name]:
            counterpart = self.known.get((type_name, value))
            if counterpart is not None:
                return counterpart
        return _UNKNOWN

    def _differing(
        self, resource: ResourceType, state: Mapping[str, Any], there: Mapping[str, Any]
    ) -> tuple[str, ...]:
        names = dict.fromkeys((*resource.match, *resource.compare))
        return tuple(
            name
            for name in names
            if name not in resource.secrets
            and _plain(self._translate(resource, name, state.get(name))) != _plain(there.get(name))
        )

    def _learn(self, key: Key, subcloud_id: str) -> None:
        self.learnt[key] = self.known[key] = subcloud_id
        self.origin[key[0], subcloud_id] = key[1]

    def _note(
        self,
        kind: DriftKind,
        resource: ResourceType,
        master_id: str,
        subcloud_id: str | None,
        name: str,
        fields: tuple[str, ...] = (),
    ) -> None:
        self.found.append(Difference(kind, resource.name, master_id, subcloud_id, name, fields))


@dataclass(frozen=True)
class _End:
    """One end of a link."""

    name: str
    #: Its id in the other cloud.
    counterpart: str | None = None
    protected: bool = False


_UNKNOWN = object()


def _key(natural_key: Mapping[str, Any] | None) -> tuple[Any, ...]:
    return () if natural_key is None else tuple(sorted(natural_key.items()))


def _plain(value: Any) -> Any:
    """Clouds do not agree on how nothing is written, and lists such as tags have no order."""
    if value == "":
        return None
    if isinstance(value, list):
        return sorted(value, key=repr) or None
    return value


def _name(resource: ResourceType, state: Mapping[str, Any], otherwise: str) -> str:
    value = state.get(resource.match[-1]) if resource.match else None
    return str(value) if value else otherwise
