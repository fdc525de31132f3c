# SPDX-License-Identifier: Apache-2.0
"""Policies and polls that many tests begin with, written through the product's functions."""

from typing import Any

from headwater.common import clock
from headwater.common.states import Severity
from headwater.db import metrics, telemetry
from headwater.db.connection import Database
from headwater.db.pod_records import Pod, Reading
from headwater.db.telemetry_records import TelemetryPolicy, Threshold
from headwater.orchestrator.podm import alarms
from tests.support.pod_builders import seen

HOT = Threshold("temperature_celsius", Severity.CRITICAL, above=80.0, hysteresis=5.0)


def add_policy(database: Database, name: str = "one", **changes: Any) -> TelemetryPolicy:
    values = {"labels": {}, "interval": 60, "thresholds": (HOT,), **changes}
    return telemetry.add(database, TelemetryPolicy(name, None, created_at=clock.now(), **values))


def poll(
    database: Database, pod: Pod, *readings: Reading, history_interval: float | None = 300
) -> None:
    """All machines of a pod show some readings, by default one that is worth an event."""
    shown = list(readings) or [Reading("temperature_celsius", "inlet", 90.5)]
    found = [
        alarms.answered(each, seen(each.uri), shown, [HOT])
        for each in metrics.watched(database, pod.id)
    ]
    metrics.store(database, pod.id, found, history_interval)
