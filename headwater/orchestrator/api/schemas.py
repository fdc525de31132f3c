# SPDX-License-Identifier: Apache-2.0
"""JSON schemas (draft 2020-12, as OpenAPI 3.1 takes them) of what goes in and comes out."""

from collections.abc import Mapping
from typing import Any

from headwater.common.states import (
    AuditMode,
    AuditStatus,
    Availability,
    BootDevice,
    ComponentKind,
    DriftAction,
    DriftKind,
    EventSource,
    InitialSync,
    JobState,
    Management,
    NodeState,
    Operation,
    PodService,
    PowerAction,
    RequestState,
    Severity,
    SyncRequest,
    SyncStatus,
    TaskState,
)
from headwater.orchestrator.api.route import MOST, USUAL

Json = Mapping[str, Any]

#: Texts that every database takes, of a length that its columns have.
_TEXT = {"type": "string", "maxLength": 255, "pattern": r"^[^\x00]*$"}
_FULL_TEXT = {**_TEXT, "minLength": 1}
_TIME = {"type": ["string", "null"], "format": "date-time"}
_COUNT = {"type": "integer", "minimum": 0}
_MAYBE_TEXT = {"type": ["string", "null"]}

#: The name of a region; what a path or a command line cannot hold is refused.
REGION_NAME = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    # A $ alone lets a newline at the end pass in Python. In a path . and .. lead elsewhere.
    "pattern": r"^(?!.*\n)(?!\.{1,2}$)[^/\x00-\x20\x7f]([^/\x00-\x1f\x7f]*[^/\x00-\x20\x7f])?$",
}


def one_of(kind: Any) -> dict[str, Any]:
    """The values of an enumeration."""
    return {"type": "string", "enum": [each.value for each in kind]}


def _object(properties: Json, *required: str, description: str = "") -> dict[str, Any]:
    """An object without other fields; without names all are required."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "required": list(required or properties),
        "additionalProperties": False,
    }
    return {**schema, "description": description} if description else schema


_LABELS = {
    "type": "object",
    "maxProperties": 64,
    "propertyNames": {"pattern": r"^[A-Za-z0-9._/-]{1,63}$"},
    "additionalProperties": _TEXT,
}

_ACCESS: Json = {
    "auth_url": {
        "type": "string",
        "maxLength": 1024,
        "pattern": r"^(?!.*\n)https?://[^/@?#\x00-\x20]+(/[^@?#\x00-\x20]*)?$",
        "description": "Address of the subcloud's Keystone, such as https://cloud.example:5000/v3.",
    },
    "username": {**_FULL_TEXT, "description": "User with the role admin in the subcloud."},
    "password": {
        "type": "string",
        "minLength": 1,
        "maxLength": 4096,
        "pattern": r"^[^\x00]*$",
        "writeOnly": True,
        "description": "Of that user. Stored encrypted and never shown.",
    },
    "user_domain_name": {**_FULL_TEXT, "description": "Domain of that user."},
    "project_name": {**_FULL_TEXT, "description": "Project to log in to."},
    "project_domain_name": {**_FULL_TEXT, "description": "Domain of that project."},
    "description": {**_TEXT, "type": ["string", "null"]},
    "labels": {**_LABELS, "description": "Replaces all labels."},
}

NEW_SUBCLOUD = _object(
    {"subcloud": _object({"name": REGION_NAME, **_ACCESS}, "name", "auth_url", "password")}
)
CHANGED_SUBCLOUD = _object(
    {
        "subcloud": {
            **_object(
                {
                    **_ACCESS,
                    "availability_override": {
                        "enum": ["online", "offline", None],
                        "description": "Holds whatever is measured; null: as measured.",
                    },
                },
                "subcloud",
            ),
            "required": [],
            "minProperties": 1,
        }
    }
)
NOTHING: Json = {"type": "object", "maxProperties": 0}
UNMANAGE = {**_object({"drop_backlog": {"type": "boolean", "default": False}}), "required": []}
MARK = _object({"endpoint_type": _FULL_TEXT, "resource_type": _FULL_TEXT, "key": _FULL_TEXT})

#: Seconds after which a task is given up where the client does not say.
USUAL_DEADLINE = 600

_DEADLINE = {
    "type": "integer",
    "minimum": 1,
    "maximum": 86400,
    "default": USUAL_DEADLINE,
    "description": "Seconds after which the task is given up.",
}
DEADLINE_ONLY = {**_object({"deadline": _DEADLINE}), "required": []}
_IMAGE = {
    "type": "string",
    "maxLength": 1024,
    "pattern": r"^(?!.*\n)https?://[^/@?#\x00-\x20]+(/[^\x00-\x20]*)?$",
    "description": "Address of the image, as the BMC can fetch it, without a password.",
}
BOOT = _object(
    {
        "device": one_of(BootDevice),
        "once": {"type": "boolean", "default": True, "description": "Only the next time."},
        "deadline": _DEADLINE,
    },
    "device",
)
MEDIA = _object({"image": {**_IMAGE, "type": ["string", "null"]}, "deadline": _DEADLINE}, "image")
BOOT_IMAGE = _object({"image": _IMAGE, "deadline": _DEADLINE}, "image")
POWER = _object({"action": one_of(PowerAction), "deadline": _DEADLINE}, "action")
BIOS = _object(
    {
        "attributes": {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 256,
            "propertyNames": {"pattern": r"^[A-Za-z0-9._-]{1,255}$"},
            "additionalProperties": {
                "type": ["string", "integer", "boolean"],
                "maxLength": 1024,
                "pattern": r"^[^\x00]*$",
            },
            "description": "As the machine names them; 'GET .../bios' shows all.",
        },
        "deadline": _DEADLINE,
    },
    "attributes",
)
FIRMWARE = _object(
    {"image": _IMAGE, "deadline": {**_DEADLINE, "default": 3600}},
    "image",
)
_SIZE = {"type": "integer", "minimum": 1, "maximum": 2**31 - 1, "description": "GiB."}
NEW_VOLUME = _object(
    {
        "volume": _object(
            {
                "name": {**_FULL_TEXT, "maxLength": 63},
                "size_gib": _SIZE,
                "raid": {
                    "enum": ["RAID0", "RAID1", "RAID5", "RAID6", "RAID10"],
                    "description": "Default: as the controller likes.",
                },
            },
            "name",
            "size_gib",
        ),
        "deadline": _DEADLINE,
    },
    "volume",
)
ATTACH = _object({"size_gib": _SIZE, "deadline": _DEADLINE}, "size_gib")
DETACH = _object(
    {"block": {**_FULL_TEXT, "description": "Id of a resource block."}, "deadline": _DEADLINE},
    "block",
)

_POD_ACCESS: Json = {
    "description": {**_TEXT, "type": ["string", "null"]},
    "driver": {**_FULL_TEXT, "maxLength": 63, "description": "Such as bmc_fleet."},
    "addresses": {
        "type": "array",
        "minItems": 1,
        "maxItems": 10000,
        "uniqueItems": True,
        "items": {
            "type": "string",
            "maxLength": 255,
            "pattern": r"^(?!.*\n)https?://[^/@?#\x00-\x20]+$",
        },
        "description": "Of the pod manager, or of each BMC, such as https://10.0.0.7.",
    },
    "username": _FULL_TEXT,
    "password": {**_ACCESS["password"], "description": "Stored encrypted and never shown."},
    "ca_certificates": {
        "type": ["string", "null"],
        "maxLength": 60000,
        "pattern": r"^[^\x00]*$",
        "description": "PEM; null: the system's authorities.",
    },
    "tls_fingerprint": {
        "type": ["string", "null"],
        "pattern": r"^[0-9a-f]{64}\Z",
        "description": "SHA-256 of the one certificate that is trusted instead, in hexadecimal.",
    },
    "labels": {**_LABELS, "description": "Replaces all labels."},
}

NEW_POD = _object(
    {
        "pod": _object(
            {"name": REGION_NAME, **_POD_ACCESS}, "name", "driver", "addresses", "password"
        )
    }
)
CHANGED_POD = _object({"pod": {**_object(_POD_ACCESS), "required": [], "minProperties": 1}})

_AT_LEAST = {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}
_NEEDS: Json = {
    "pod": {**_FULL_TEXT, "description": "Where; default: wherever it fits."},
    "cpus": {**_AT_LEAST, "description": "At least so many processors."},
    "memory_mib": {**_AT_LEAST, "description": "At least so much memory."},
    "storage_gib": {**_AT_LEAST, "description": "At least so much on drives."},
    "labels": {**_LABELS, "description": "That the pod has to have."},
}
NEW_NODE = _object(
    {
        "node": _object(
            {
                "name": REGION_NAME,
                "flavor": {**_FULL_TEXT, "description": "Name of a flavor; what is given wins."},
                "machine": {
                    **_FULL_TEXT,
                    "description": "Id of the one machine to adopt as it is; nothing else then.",
                },
                **_NEEDS,
            },
            "name",
        )
        # A machine that is adopted is taken as it is: its name and nothing else.
        | {"dependentSchemas": {"machine": {"maxProperties": 2}}},
        "deadline": _DEADLINE,
    },
    "node",
)
NEW_FLAVOR = _object(
    {
        "flavor": _object(
            {"name": REGION_NAME, "description": {**_TEXT, "type": ["string", "null"]}, **_NEEDS},
            "name",
        )
    }
)
NEW_BATCH = _object(
    {
        "batch": _object(
            {
                "action": {
                    "enum": [*map(str, PowerAction), "sync", "read_storage", "read_ports"],
                    "description": "What is done to each machine (sync: to each pod).",
                },
                "labels": {
                    **_LABELS,
                    "minProperties": 1,
                    "description": "Pods that have all of these labels.",
                },
                "nodes": {
                    "type": "boolean",
                    "default": False,
                    "description": "Also machines that somebody has to himself.",
                },
                "budget": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": 1000,
                    "default": 5,
                    "description": "Most of it that is open at a time on one pod.",
                },
            },
            "action",
            "labels",
        ),
        "deadline": {**_DEADLINE, "default": 3600},
    },
    "batch",
)

_METRIC = {"type": "string", "pattern": r"^[a-z0-9_]{1,63}\Z"}
_LIMIT = {"type": "number", "minimum": -1e12, "maximum": 1e12}
_THRESHOLD: Json = {
    "type": "object",
    "properties": {
        "metric": {**_METRIC, "description": "Such as temperature_celsius."},
        "severity": {"enum": ["warning", "critical"]},
        "above": _LIMIT,
        "below": _LIMIT,
        "hysteresis": {
            "type": "number",
            "minimum": 0,
            "maximum": 1e12,
            "default": 0,
            "description": "How far back the value has to be until it is over.",
        },
    },
    "required": ["metric", "severity"],
    "oneOf": [{"required": ["above"]}, {"required": ["below"]}],
    "additionalProperties": False,
}
_POLICY: Json = {
    "description": {**_TEXT, "type": ["string", "null"]},
    "labels": {
        **_LABELS,
        "maxProperties": 8,
        "description": "That a pod has to have; none: all pods.",
    },
    "interval": {
        "type": "integer",
        "minimum": 5,
        "maximum": 3600,
        "description": "Seconds between two polls; of several policies the shortest counts.",
    },
    "thresholds": {
        "type": "array",
        "maxItems": 32,
        "items": _THRESHOLD,
        "description": "What raises an event; those of all policies of a pod count.",
    },
}
NEW_TELEMETRY_POLICY = _object(
    {"telemetry_policy": _object({"name": REGION_NAME, **_POLICY}, "name", "interval")}
)
CHANGED_TELEMETRY_POLICY = _object(
    {"telemetry_policy": {**_object(_POLICY), "required": [], "minProperties": 1}}
)

_REQUIREMENTS = _object(
    {
        "pod": _MAYBE_TEXT,
        "cpus": {"type": ["integer", "null"]},
        "memory_mib": {"type": ["integer", "null"]},
        "storage_gib": {"type": ["integer", "null"]},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    }
)

_LANE: Json = {
    "id": _COUNT,
    "subcloud": {"type": "string"},
    "management_state": one_of(Management),
    "availability_status": one_of(Availability),
    "endpoint_type": {"type": "string"},
    "sync_request": one_of(SyncRequest),
    "sync_status": one_of(SyncStatus),
    "sync_status_since": _TIME,
    "pending": _COUNT,
    "failed": _COUNT,
    "oldest_pending_at": _TIME,
    "next_try_at": _TIME,
    "worker": _MAYBE_TEXT,
    "last_error": _MAYBE_TEXT,
    "audit": _object(
        {
            "status": one_of(AuditStatus),
            "error": _MAYBE_TEXT,
            "audited_at": _TIME,
            "next_audit_at": _TIME,
        }
    ),
    "initial_sync": _object(
        {
            "state": one_of(InitialSync),
            "progress": {
                "type": "object",
                "additionalProperties": _object({"done": _COUNT, "total": _COUNT}),
                "description": "By resource type; only where one subcloud is asked for.",
            },
        },
        "state",
    ),
}

_SUBCLOUD: Json = {
    "name": {"type": "string"},
    "description": _MAYBE_TEXT,
    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    "management_state": one_of(Management),
    "availability_status": one_of(Availability),
    "availability_override": {"enum": ["online", "offline", None]},
    "failures": {**_COUNT, "description": "Tries in a row that were left without an answer."},
    "breaker_until": _TIME,
    "auth_url": {"type": "string"},
    "username": {"type": "string"},
    "user_domain_name": {"type": "string"},
    "project_name": {"type": "string"},
    "project_domain_name": {"type": "string"},
    "generation": {**_COUNT, "description": "For If-Match; raised by every change."},
    "created_at": _TIME,
    "updated_at": _TIME,
    "lanes": {"type": "array", "items": {"$ref": "#/components/schemas/Lane"}},
}

_STATES = {state.value: _COUNT for state in RequestState}

#: One server-sent event; its data is a job, as JSON.
EVENT: Json = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "event": {"type": "string", "enum": ["progress", "end"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["id", "event", "data"],
}

#: Documents by name, as `#/components/schemas/NAME`.
COMPONENTS: Json = {
    "Subcloud": _object(_SUBCLOUD, *(name for name in _SUBCLOUD if name != "lanes")),
    "Lane": _object(_LANE),
    "Drift": _object(
        {
            "id": _COUNT,
            "subcloud": {"type": "string"},
            "endpoint_type": {"type": "string"},
            "resource_type": {"type": "string"},
            "key": {
                "type": "string",
                "description": "Id in the central cloud, or / and the id in the subcloud.",
            },
            "name": {"type": "string"},
            "kind": one_of(DriftKind),
            "fields": {"type": "array", "items": {"type": "string"}},
            "action": one_of(DriftAction),
            "first_seen_at": _TIME,
            "last_seen_at": _TIME,
            "times_seen": _COUNT,
            "repairs": _COUNT,
            "resolved_at": _TIME,
        }
    ),
    "UnmanagedResource": _object(
        {
            "endpoint_type": {"type": "string"},
            "resource_type": {"type": "string"},
            "key": {"type": "string"},
            "created_at": _TIME,
        }
    ),
    "Job": _object(
        {
            "id": {"type": "string", "format": "uuid"},
            "endpoint_type": {"type": "string"},
            "resource_type": {"type": "string"},
            "operation": one_of(Operation),
            "resource_id": _MAYBE_TEXT,
            "resource_name": _MAYBE_TEXT,
            "state": one_of(JobState),
            "user_id": _MAYBE_TEXT,
            "user_name": _MAYBE_TEXT,
            "project_id": _MAYBE_TEXT,
            "request_id": _MAYBE_TEXT,
            "created_at": _TIME,
            "accepted_at": _TIME,
            "finished_at": _TIME,
            "requests": _object({**_STATES, "total": _COUNT}),
        }
    ),
    "Request": _object(
        {
            "subcloud": {"type": "string"},
            "state": one_of(RequestState),
            "try_count": _COUNT,
            "error": _MAYBE_TEXT,
            "started_at": _TIME,
            "finished_at": _TIME,
        }
    ),
    "Pod": _object(
        {
            "name": {"type": "string"},
            "description": _MAYBE_TEXT,
            "driver": {"type": "string"},
            "addresses": {"type": "array", "items": {"type": "string"}},
            "username": {"type": "string"},
            "ca_certificates": _MAYBE_TEXT,
            "tls_fingerprint": _MAYBE_TEXT,
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "availability_status": one_of(Availability),
            "synced_at": _TIME,
            "created_at": _TIME,
            "updated_at": _TIME,
        }
    ),
    "Machine": _object(
        {
            "id": {"type": "string", "format": "uuid"},
            "pod": {"type": "string"},
            "uri": {"type": "string"},
            "name": {"type": "string"},
            "power_state": _MAYBE_TEXT,
            "health": _MAYBE_TEXT,
            "cpus": {"type": ["integer", "null"]},
            "memory_mib": {"type": ["integer", "null"]},
            "properties": {"type": "object"},
            "composed": {
                "type": "boolean",
                "description": "Made of resource blocks; it ends with its node.",
            },
            "seen_at": _TIME,
            "missing_since": _TIME,
            "node": {**_MAYBE_TEXT, "description": "Name of the node that has it to itself."},
        }
    ),
    "Component": _object(
        {
            "id": {"type": "string", "format": "uuid"},
            "kind": one_of(ComponentKind),
            "pod": {"type": "string"},
            "machine": {**_MAYBE_TEXT, "description": "Id of the machine that it belongs to."},
            "uri": {"type": "string"},
            "name": {"type": "string"},
            "health": _MAYBE_TEXT,
            "state": {**_MAYBE_TEXT, "description": "Of a resource block, such as Unused."},
            "cpus": {"type": ["integer", "null"]},
            "memory_mib": {"type": ["integer", "null"]},
            "size_gib": {"type": ["integer", "null"]},
            "zones": {"type": "array", "items": {"type": "string"}},
            "properties": {"type": "object"},
            "node": {**_MAYBE_TEXT, "description": "Node that has a resource block to itself."},
            "seen_at": _TIME,
            "missing_since": _TIME,
        }
    ),
    "Flavor": _object(
        {
            "name": {"type": "string"},
            "description": _MAYBE_TEXT,
            "requirements": _REQUIREMENTS,
            "created_at": _TIME,
        }
    ),
    "Bios": _object(
        {
            "attributes": {"type": "object"},
            "pending": {
                "type": "object",
                "description": "Those that hold from the next start on.",
            },
        }
    ),
    "Firmware": _object(
        {"versions": {"type": "object", "additionalProperties": {"type": "string"}}}
    ),
    "Batch": _object(
        {
            "id": {"type": "string", "format": "uuid"},
            "total": _COUNT,
            "states": _object({state.value: _COUNT for state in TaskState}),
        }
    ),
    "Node": _object(
        {
            "id": {"type": "string", "format": "uuid"},
            "name": {"type": "string"},
            "pod": {"type": "string"},
            "state": one_of(NodeState),
            "error": {**_MAYBE_TEXT, "description": "Why it is not what was asked for."},
            "requirements": _REQUIREMENTS,
            "machine": {
                "description": "Null while it is composed.",
                "oneOf": [{"$ref": "#/components/schemas/Machine"}, {"type": "null"}],
            },
            "user_id": _MAYBE_TEXT,
            "project_id": _MAYBE_TEXT,
            "created_at": _TIME,
        }
    ),
    "Task": _object(
        {
            "id": {"type": "string", "format": "uuid"},
            "service": one_of(PodService),
            "action": {"type": "string"},
            "pod": {"type": "string"},
            "machine": _MAYBE_TEXT,
            "state": one_of(TaskState),
            "percent": _COUNT,
            "message": _MAYBE_TEXT,
            "result": {"type": ["object", "null"]},
            "error": _MAYBE_TEXT,
            "try_count": _COUNT,
            "cancel_requested": {"type": "boolean"},
            "user_id": _MAYBE_TEXT,
            "user_name": _MAYBE_TEXT,
            "project_id": _MAYBE_TEXT,
            "request_id": _MAYBE_TEXT,
            "created_at": _TIME,
            "started_at": _TIME,
            "finished_at": _TIME,
            "deadline_at": _TIME,
            "batch": {**_MAYBE_TEXT, "description": "What it was ordered with."},
        }
    ),
    "TelemetryPolicy": _object(
        {
            "name": {"type": "string"},
            "description": _MAYBE_TEXT,
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "interval": _COUNT,
            "thresholds": {
                "type": "array",
                "items": _object(
                    {
                        "metric": {"type": "string"},
                        "above": {"type": ["number", "null"]},
                        "below": {"type": ["number", "null"]},
                        "hysteresis": {"type": "number"},
                        "severity": one_of(Severity),
                    }
                ),
            },
            "created_at": _TIME,
        }
    ),
    "Metric": _object(
        {
            "id": _COUNT,
            "metric": {"type": "string"},
            "sensor": {"type": "string"},
            "value": {"type": "number"},
            "read_at": _TIME,
        }
    ),
    "Alarm": _object(
        {"name": {"type": "string"}, "severity": one_of(Severity), "raised_at": _TIME}
    ),
    "PodEvent": _object(
        {
            "id": _COUNT,
            "pod": {"type": "string"},
            "machine": {**_MAYBE_TEXT, "description": "Id; null: the pod, or one that is gone."},
            "kind": {"type": "string", "description": "A metric, or what the pod calls it."},
            "severity": one_of(Severity),
            "message": {"type": "string"},
            "source": one_of(EventSource),
            "created_at": _TIME,
        }
    ),
    "EndpointType": _object(
        {
            "name": {"type": "string"},
            "service_type": {"type": "string"},
            "audit": one_of(AuditMode),
            "resources": {"type": "array", "items": {"type": "string"}},
        }
    ),
    "Service": _object(
        {
            "id": {"type": "string"},
            "kind": {"type": "string"},
            "host": {"type": "string"},
            "pid": _COUNT,
            "version": {"type": "string"},
            "started_at": _TIME,
            "last_seen_at": _TIME,
            "alive": {"type": "boolean"},
            "lanes": {**_COUNT, "description": "That it runs now."},
            "tasks": {**_COUNT, "description": "That it runs now."},
        }
    ),
    "Summary": _object(
        {
            "subclouds": _object(
                dict.fromkeys(["total", *map(str, Management), *map(str, Availability)], _COUNT),
                description="Availability counts managed ones.",
            ),
            "lanes": _object({state.value: _COUNT for state in SyncStatus}),
            "requests": _object(dict.fromkeys(("queued", "in-progress", "failed"), _COUNT)),
            "lag_seconds": _object(
                {
                    name: {"type": ["number", "null"], "minimum": 0}
                    for name in ("p50", "p95", "p99", "max")
                },
                description="Age of the oldest waiting request of each lane that has one.",
            ),
        }
    ),
    "Errors": _object(
        {
            "errors": {
                "type": "array",
                "items": _object(
                    {
                        "request_id": {"type": "string"},
                        "code": {"type": "string"},
                        "status": {"type": "integer"},
                        "title": {"type": "string"},
                        "detail": {"type": "string"},
                    }
                ),
            }
        }
    ),
}


def named(name: str) -> dict[str, str]:
    """A reference to a document."""
    return {"$ref": f"#/components/schemas/{name}"}


def single(key: str, name: str) -> dict[str, Any]:
    """An answer with one document."""
    return _object({key: named(name)})


def counted(*keys: str) -> dict[str, Any]:
    """An answer of numbers."""
    return _object(dict.fromkeys(keys, _COUNT))


def listed(key: str, name: str) -> dict[str, Any]:
    """An answer with a page of documents."""
    link = _object({"rel": {"const": "next"}, "href": {"type": "string"}})
    return _object(
        {
            key: {"type": "array", "items": named(name)},
            "links": {"type": "array", "items": link, "maxItems": 1},
        }
    )


def all_of(key: str, name: str) -> dict[str, Any]:
    """An answer with all documents of a kind, which are few."""
    return _object({key: {"type": "array", "items": named(name)}})


def with_count(answer: Json, key: str) -> dict[str, Any]:
    """An answer that also has a number."""
    return _object({**answer["properties"], key: _COUNT})


def with_all(answer: Json, key: str, name: str) -> dict[str, Any]:
    """An answer that also has all documents of a kind, which are few."""
    return _object({**answer["properties"], key: {"type": "array", "items": named(name)}})


def paged(marker: str, kind: str = "string", /, **filters: Json) -> dict[str, Json]:
    """The query of a list; `marker` says what the marker is."""
    of_kind: Json = _FULL_TEXT if kind == "string" else {**_COUNT, "maximum": 2**63 - 1}
    return {
        "limit": {
            "type": "integer",
            "minimum": 1,
            "maximum": MOST,
            "default": USUAL,
            "description": "Most entries of the page.",
        },
        "marker": {**of_kind, "description": f"The page begins behind this {marker}."},
        **filters,
    }


#: The query of what can be read anew before it is answered.
REFRESH: Mapping[str, Json] = {
    "refresh": {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 60,
        "description": "Read it anew, and wait so many seconds for it; 202 and the task where it "
        "takes longer.",
    }
}

#: Seconds to wait for what a pod is asked, where the client does not say.
USUAL_PATIENCE = 20

#: The query of what is always read from a pod.
PATIENCE: Mapping[str, Json] = {
    "wait": {
        "type": "number",
        "minimum": 0,
        "maximum": 60,
        "default": USUAL_PATIENCE,
        "description": "Seconds to wait for the answer; 202 and the task where it takes longer.",
    }
}

#: The filter by labels.
LABEL: Mapping[str, Json] = {
    "label": {
        "type": "array",
        "items": {
            **_FULL_TEXT,
            "pattern": r"^[^=\x00]+=[^\x00]*$",
            "description": "NAME=VALUE; of several all must match.",
        },
        "maxItems": 8,
    }
}

#: The query of what can be waited for. Below what proxies usually allow.
WAIT: Mapping[str, Json] = {
    "wait": {
        "type": "number",
        "minimum": 0,
        "maximum": 60,
        "default": 0,
        "description": "Seconds to wait until nothing of it is left to run.",
    }
}


def text(description: str) -> dict[str, Any]:
    """A filter by a text."""
    return {**_FULL_TEXT, "description": description}
