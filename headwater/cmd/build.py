# SPDX-License-Identifier: Apache-2.0
"""Builds the objects of a process from its configuration; shared by all console scripts."""

import functools
import os
from pathlib import Path

from oslo_config import cfg

from headwater.common import conf as configuration
from headwater.common.concurrency import StoppableThread
from headwater.common.conf import endpoints as endpoint_options
from headwater.common.endpoints.model import EndpointType
from headwater.common.endpoints.registry import Registry, load_registry
from headwater.common.errors import ConfigurationError, HeadwaterError
from headwater.common.secrets import KeyRing
from headwater.common.sessions import ServiceClient, configured_session
from headwater.db import jobs, lanes, schema
from headwater.db.connection import Database, connect
from headwater.engine import periodic
from headwater.engine.execution import LaneRunner
from headwater.engine.retry import Policy
from headwater.engine.worker import Worker, WorkerSettings
from headwater.orchestrator.subclouds import AccessSettings, SubcloudAccess
from headwater.orchestrator.sync.central import CentralReader
from headwater.orchestrator.sync.replay import SyncHandler
from headwater.orchestrator.sync.settle import Settler

#: Seconds between two looks at all unfinished jobs.
_FINISH_INTERVAL = 60.0


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
    return known.only(names)


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


def engine(
    conf: cfg.ConfigOpts, known: Registry, opened: Database, keys: KeyRing
) -> tuple[Worker, tuple[StoppableThread, ...]]:
    """An engine worker that replays changes, and its periodic work.

    Lanes for new endpoint types are made.
    """
    lanes.ensure(opened, known.names)
    readers = {item.name: central_reader(conf, item) for item in known}
    settings = conf.engine
    runner = LaneRunner(
        opened,
        keys,
        SyncHandler(opened, known, subcloud_access(conf, keys), readers),
        policy=Policy(
            max_tries=settings.max_tries,
            retry_delay=settings.retry_delay,
            max_retry_delay=settings.max_retry_delay,
        ),
        batch=settings.batch,
        lease=settings.lease,
    )
    worker = Worker(
        opened,
        runner,
        WorkerSettings(
            endpoint_types=known.names,
            threads=settings.green_threads,
            lease=settings.lease,
            poll_interval=settings.poll_interval,
        ),
    )
    settler = Settler(opened, keys, known, readers, worker.wake, age=settings.settle_after)
    return worker, (
        periodic.every(settings.settle_interval, "settler", settler.run),
        # Workers drop the bodies of what they finish; this finds what a killed one left.
        periodic.every(_FINISH_INTERVAL, "finisher", lambda: jobs.finish(opened)),
    )


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
