# SPDX-License-Identifier: Apache-2.0
"""All endpoint types of an installation, by name."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from headwater.common.endpoints import loader
from headwater.common.endpoints.model import EndpointType, ResourceType
from headwater.common.errors import ConfigurationError, InvalidInput, NotFound


class Registry:
    """Immutable after construction; iterates over its endpoint types."""

    def __init__(self, endpoint_types: Mapping[str, EndpointType]):
        self._types = dict(endpoint_types)

    def __iter__(self) -> Iterator[EndpointType]:
        return iter(self._types.values())

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all endpoint types."""
        return tuple(self._types)

    def endpoint_type(self, name: str) -> EndpointType:
        """One endpoint type; raises NotFound when no loaded endpoint file describes it."""
        try:
            return self._types[name]
        except KeyError:
            raise NotFound(f"No endpoint file describes {name}; was one removed?") from None

    def resource(self, endpoint_type: str, name: str) -> ResourceType:
        """One noun; raises NotFound when no loaded endpoint file describes it."""
        try:
            return self._types[endpoint_type].resources[name]
        except KeyError:
            raise NotFound(
                f"No endpoint file describes {endpoint_type} {name}; was one removed?"
            ) from None

    def protecting(self, endpoint_type: str, names: Iterable[str]) -> "Registry":
        """The registry with more protected resources, as TYPE:NAME; raises InvalidInput."""
        changed = self._types[endpoint_type]
        found = dict(changed.resources)
        for entry in names:
            type_name, separator, name = entry.partition(":")
            if not separator or not name or type_name not in found:
                raise InvalidInput(f"{entry}: is not TYPE:NAME with a TYPE of {endpoint_type}.")
            resource = found[type_name]
            if not resource.match:
                raise InvalidInput(f"{entry}: a {type_name} has no name.")
            found[type_name] = replace(resource, protected=resource.protected | {name})
        return Registry({**self._types, endpoint_type: replace(changed, resources=found)})

    def only(self, names: frozenset[str]) -> "Registry":
        """The registry cut down to some endpoint types."""
        return Registry({name: value for name, value in self._types.items() if name in names})


def load_registry(directory: str | None) -> Registry:
    """The built-in endpoint types and those of the operator's directory, which win.

    Raises ConfigurationError for a directory that does not exist and EndpointFileError for a file
    that is wrong.
    """
    files = list(loader.builtin_files())
    if directory is not None:
        own = Path(directory)
        if not own.is_dir():
            raise ConfigurationError(f"[endpoints] directory = {directory}: is not a directory.")
        files += sorted(own.glob("*.yaml"))
    types = {}
    for file in files:
        endpoint_type = loader.load_file(file)
        types[endpoint_type.name] = endpoint_type
    return Registry(types)
