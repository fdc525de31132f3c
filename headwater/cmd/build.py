# SPDX-License-Identifier: Apache-2.0
"""Builds the objects of a process from its configuration; shared by all console scripts."""

import functools
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from oslo_config import cfg

from headwater.common import conf as configuration
from headwater.common.conf import endpoints as endpoint_options
from headwater.common.endpoints.model import EndpointType
from headwater.common.endpoints.registry import Registry, load_registry
from headwater.common.errors import ConfigurationError, HeadwaterError, InvalidInput
from headwater.common.secrets import KeyRing
from headwater.common.sessions import Greeter, ServiceClient, configured_session
from headwater.common.states import AuditMode, PodService
from headwater.db import audits, jobs, lanes, metrics, pod_events, schema, tasks, telemetry
from headwater.db.connection import Database, connect
from headwater.db.pod_records import ClaimedTask
from headwater.db.records import ClaimedLane
from headwater.engine.audit import AuditPolicy
from headwater.engine.execution import LaneRunner
from headwater.engine.lane_source import LaneSource
from headwater.engine.periodic import Periodic, PeriodicRunner
from headwater.engine.purge import purge
from headwater.engine.retry import Policy
from headwater.engine.task_execution import TaskRunner
from headwater.engine.task_source import TaskSource
from headwater.engine.worker import Worker, WorkerSettings
from headwater.orchestrator.availability import Prober, ProbeSettings
from headwater.orchestrator.podm.access import PodAccess, PodAccessSettings
from headwater.orchestrator.podm.handler import PodHandler
from headwater.orchestrator.podm.mending import mend
from headwater.orchestrator.podm.scheduler import Scheduler, Weights
from headwater.orchestrator.subclouds import AccessSettings, SubcloudAccess
from headwater.orchestrator.sync.audit import AuditSettings, Comparer
from headwater.orchestrator.sync.central import CentralReader
from headwater.orchestrator.sync.replay import SyncHandler
from headwater.orchestrator.sync.settle import Settler
from headwater.orchestrator.sync.snapshot import CentralSnapshot

#: Seconds between two looks at all unfinished jobs.
_FINISH_INTERVAL = 60.0

#: Seconds between two looks for audits that are due, and how many are asked for each time: those of
#: 10,000 subclouds that are all due at once take a good quarter of an hour.
_AUDITS_INTERVAL = 5.0
_AUDITS = 50

#: Seconds between two looks for probes that are due.
_PROBES_INTERVAL = 2.0

#: Seconds between two looks for nodes that are neither ready nor worked on.
_MEND_INTERVAL = 30.0

#: Seconds between two looks for pods that are due for a poll, or for a look at their event
#: subscriptions, and of how many each of them takes care.
_POLLS_INTERVAL = 2.0
_SUBSCRIPTIONS_INTERVAL = 5.0
_PODS = 500

#: Seconds between two looks for telemetry that is old, and the rows of one transaction.
_PURGE_TELEMETRY_INTERVAL = 600.0
_PURGED = 10000

#: Seconds between two looks for tasks whose deadline has passed.
_EXPIRE_INTERVAL = 2.0

#: Seconds between two looks for jobs that are past their retention.
_PURGE_INTERVAL = 3600.0


def registry(conf: cfg.ConfigOpts) -> Registry:
    """The enabled endpoint types; registers the options of each."""
    known = load_registry(conf.endpoints.directory)
    for endpoint_type in known:
        endpoint_options.register_type(conf, endpoint_type.name, endpoint_type.default_port)
        configuration.check_values(
            conf,
            endpoint_options.type_group(endpoint_type.name).name,
            endpoint_options.type_opts(endpoint_type.default_port),
        )
    names = frozenset(name for name in known.names if conf[f"endpoint_type:{name}"].enabled)
    if not names:
        raise ConfigurationError("[endpoint_type:...] enabled: no endpoint type is enabled.")
    known = known.only(names)
    for name in names:
        try:
            known = known.protecting(name, conf[f"endpoint_type:{name}"].protected)
        except InvalidInput as error:
            raise ConfigurationError(f"[endpoint_type:{name}] protected: {error}") from error
    return known


def database(conf: cfg.ConfigOpts, *, embedded: bool = False) -> Database:
    """The database, checked to be writable and of this version's schema.

    In the embedded mode the schema is brought up to date first. Raises ConfigurationError.
    """
    opened = open_database(conf)
    opened.check_writable()
    if embedded:
        schema.sync(opened)
    schema.check(opened)
    return opened


def check_storage(conf: cfg.ConfigOpts) -> None:
    """Raise ConfigurationError for a database or keys that cannot be used.

    Before the fork, so that it fails once and not in every process; each opens its own after it.
    """
    database(conf).dispose()
    key_ring(conf)


def open_database(conf: cfg.ConfigOpts) -> Database:
    """The database as configured, whatever its schema."""
    if conf.database.connection.startswith("sqlite:///" + conf.state_path):
        configuration.state_path(conf)
    return connect(
        conf.database.connection.replace("sqlite:///~", f"sqlite:///{Path.home()}"),
        pool_size=conf.database.max_pool_size or 5,
        max_overflow=conf.database.max_overflow or 0,
        pool_timeout=conf.database.pool_timeout or 30,
    )


def key_directory(conf: cfg.ConfigOpts) -> Path:
    """The directory of encryption keys."""
    return Path(conf.secrets.key_directory).expanduser()


def key_ring(conf: cfg.ConfigOpts, *, embedded: bool = False) -> KeyRing:
    """The encryption keys; in the embedded mode a first one is made."""
    directory = key_directory(conf)
    return KeyRing.ensure(directory) if embedded else KeyRing(directory)


def central_client(conf: cfg.ConfigOpts, endpoint_type: EndpointType) -> ServiceClient:
    """A client of the central cloud's service; raises ConfigurationError without [central] auth."""
    return ServiceClient(
        configured_session(conf, "central"),
        service_type=endpoint_type.service_type,
        interface=conf.central.interface,
        region_name=conf.central.region_name,
    )


def upstream(conf: cfg.ConfigOpts, endpoint_type: EndpointType) -> str:
    """The address of the central cloud's service: as configured, or as its catalog says."""
    group = f"endpoint_type:{endpoint_type.name}"
    if conf[group].upstream:
        return str(conf[group].upstream).rstrip("/")
    try:
        return central_client(conf, endpoint_type).root()
    except HeadwaterError as error:
        raise ConfigurationError(
            f"[{group}] upstream: is not set, and the catalog of the central cloud does not give "
            f"it: {error}"
        ) from error


def worker(
    conf: cfg.ConfigOpts,
    known: Registry,
    opened: Database,
    keys: KeyRing,
    spread: Callable[[], None] | None = None,
) -> Worker[ClaimedLane]:
    """An engine worker that replays changes. Lanes for new endpoint types are made."""
    lanes.ensure(opened, known.names)
    settings = conf.engine
    readers = {item.name: central_reader(conf, item) for item in known}
    access = subcloud_access(conf, keys)
    comparer = Comparer(
        opened,
        known,
        access,
        {item.name: CentralSnapshot(item, readers[item.name]) for item in known},
        {
            item.name: AuditSettings(
                audit_mode(conf, item.name),
                settings.audit_interval / 4,
                conf[f"endpoint_type:{item.name}"].remove_extra,
            )
            for item in known
        },
    )
    handler = SyncHandler(opened, known, access, readers, comparer)
    runner = LaneRunner(
        opened,
        keys,
        handler,
        policy=retry_policy(conf),
        batch=settings.batch,
        breaker_after=settings.breaker_failures,
        audits=AuditPolicy(
            interval=settings.audit_interval,
            most_repairs=settings.audit_most_repairs,
            window=settings.audit_window,
        ),
    )
    return Worker(
        LaneSource(opened, runner, known.names, settings.lanes_per_subcloud),
        WorkerSettings(
            threads=settings.green_threads,
            lease=settings.lease,
            poll_interval=settings.poll_interval,
        ),
        spread,
    )


def pod_workers(
    conf: cfg.ConfigOpts, opened: Database, keys: KeyRing, services: Iterable[PodService]
) -> Mapping[PodService, Worker[ClaimedTask]]:
    """A worker per functional service: a flood of one kind of tasks delays no other."""
    settings, engine = conf.pods, conf.engine
    access = PodAccess(
        keys,
        PodAccessSettings(
            settings.connect_timeout,
            settings.timeout,
            settings.keep_alive,
            settings.calls_per_address,
            settings.breaker_failures,
            settings.breaker_pause,
        ),
    )
    runner = TaskRunner(opened, keys, PodHandler(opened, access, keys), retry_policy(conf))
    return {
        service: Worker(
            TaskSource(opened, runner, (service,), settings.tasks_per_pod),
            WorkerSettings(
                threads=settings.green_threads,
                lease=engine.lease,
                poll_interval=engine.poll_interval,
            ),
        )
        for service in services
    }


def scheduler(conf: cfg.ConfigOpts, opened: Database, keys: KeyRing) -> Scheduler:
    """Finds what nodes are made of."""
    weights = Weights(conf.pods.weight_fit, conf.pods.weight_spread, conf.pods.weight_ready)
    return Scheduler(opened, keys, weights)


def retry_policy(conf: cfg.ConfigOpts) -> Policy:
    """When what failed is tried again."""
    settings = conf.engine
    return Policy(
        max_tries=settings.max_tries,
        retry_delay=settings.retry_delay,
        max_retry_delay=settings.max_retry_delay,
    )


def periodic_runner(
    conf: cfg.ConfigOpts,
    known: Registry,
    opened: Database,
    keys: KeyRing,
    wake: Callable[[Collection[str]], None],
    owner: str,
    wake_service: Callable[[PodService], None],
) -> PeriodicRunner:
    """What engines do again and again."""
    settings = conf.engine
    readers = {item.name: central_reader(conf, item) for item in known}
    settler = Settler(opened, keys, known, readers, wake, age=settings.settle_after)
    keep = settings.job_retention_days * 86400.0
    audited = [name for name in known.names if audit_mode(conf, name) is not AuditMode.OFF]

    def ask_audits() -> None:
        if audits.request_due(opened, audited, limit=_AUDITS):
            wake(audited)

    works = [
        Periodic("settle-intents", settings.settle_interval, settler.run),
        # Workers drop the bodies of what they finish; this finds what a killed one left.
        Periodic("finish-jobs", _FINISH_INTERVAL, lambda: jobs.finish(opened)),
    ]
    probes = conf.subclouds
    if probes.probe_interval:
        prober = Prober(
            opened,
            Greeter(probes.probe_timeout, probes.cafile).answers,
            ProbeSettings(
                probes.probe_interval, probes.offline_probe_interval, probes.probe_timeout
            ),
            lambda: wake(known.names),
        )
        works.append(Periodic("probe-subclouds", _PROBES_INTERVAL, prober.run))
    if audited:
        works.append(Periodic("due-audits", _AUDITS_INTERVAL, ask_audits))
    if keep:
        works.append(Periodic("purge-jobs", _PURGE_INTERVAL, lambda: purge(opened, keep)))
    works.append(Periodic("expire-tasks", _EXPIRE_INTERVAL, lambda: tasks.expire(opened)))
    works.append(Periodic("promote-tasks", _EXPIRE_INTERVAL, lambda: tasks.promote(opened)))
    works.append(Periodic("mend-nodes", _MEND_INTERVAL, lambda: mend(opened, keys)))
    kept = conf.pods.task_retention_days * 86400.0
    if kept:
        works.append(
            Periodic("purge-tasks", _PURGE_INTERVAL, lambda: tasks.purge(opened, kept, limit=10000))
        )
    works += _telemetry_works(conf, opened, keys, wake_service)
    return PeriodicRunner(opened, owner, tuple(works), settings.lease)


def _telemetry_works(
    conf: cfg.ConfigOpts,
    opened: Database,
    keys: KeyRing,
    wake_service: Callable[[PodService], None],
) -> list[Periodic]:
    settings = conf.pods
    url = settings.event_url

    def ask_polls() -> None:
        parameters = {"history_interval": settings.metric_history_interval or None}
        if telemetry.submit_polls(opened, keys.encrypt(parameters), limit=_PODS):
            wake_service(PodService.TELEMETRY)

    def ask_subscriptions() -> None:
        parameters = keys.encrypt({"event_url": url})
        if telemetry.submit_subscribing(opened, parameters, limit=_PODS, wanted=bool(url)):
            wake_service(PodService.TELEMETRY)

    def purge_old() -> None:
        hours, days = settings.metric_retention_hours, settings.event_retention_days
        while metrics.purge(opened, hours * 3600.0, limit=_PURGED):
            pass
        while pod_events.purge(opened, days * 86400.0, limit=_PURGED):
            pass
        telemetry.end_alarms(opened)

    return [
        Periodic("due-polls", _POLLS_INTERVAL, ask_polls),
        Periodic("due-subscriptions", _SUBSCRIPTIONS_INTERVAL, ask_subscriptions),
        Periodic("purge-telemetry", _PURGE_TELEMETRY_INTERVAL, purge_old),
    ]


def audit_mode(conf: cfg.ConfigOpts, endpoint_type: str) -> AuditMode:
    """What audits of an endpoint type do."""
    return AuditMode(conf[f"endpoint_type:{endpoint_type}"].audit)


def subcloud_access(conf: cfg.ConfigOpts, keys: KeyRing) -> SubcloudAccess:
    """Clients for subclouds."""
    settings = conf.subclouds
    return SubcloudAccess(
        keys,
        AccessSettings(
            interface=settings.interface, timeout=settings.timeout, cafile=settings.cafile
        ),
    )


def check_access(conf: cfg.ConfigOpts) -> None:
    """Raise ConfigurationError for logins and certificate files that cannot work."""
    configured_session(conf, "central")
    for group in ("central", "api_proxy", "subclouds"):
        file = conf[group].cafile
        if file and not os.access(file, os.R_OK):
            raise ConfigurationError(f"[{group}] cafile = {file}: cannot be read.")


def central_reader(conf: cfg.ConfigOpts, endpoint_type: EndpointType) -> CentralReader:
    """A reader that logs in when it first reads."""
    return CentralReader(functools.cache(lambda: central_client(conf, endpoint_type)))
