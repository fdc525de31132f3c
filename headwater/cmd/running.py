# SPDX-License-Identifier: Apache-2.0
"""Services that run in this process: in a child of the supervisor, or alone.

They run in oslo.service's plain Launcher. Its ServiceLauncher is not used: it dies of a raw SIGALRM
when the graceful shutdown takes too long, exits at once on SIGINT, and starts the very same service
objects again on SIGHUP.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from signal import SIGHUP, SIGINT, SIGTERM
from signal import Signals as Signal
from typing import NoReturn

from oslo_config import cfg
from oslo_service import service

from headwater.cmd.children import LEAVING, READY, RETIRE, hear, say
from headwater.cmd.signals import Hangup, Signals
from headwater.cmd.systemd import Notifier

LOG = logging.getLogger(__name__)

#: Exit code when requests under way were cut off; a drained stop is 0.
EXIT_FORCED = 1

#: Seconds beyond graceful_shutdown_timeout that a child leaves to its supervisor, whose kill is
#: logged and counts in the exit code. Only a child that has no supervisor any more needs its own.
_CHILD_MARGIN = 1.0


def exit_forced() -> NoReturn:
    """End this process now, whatever its threads are doing."""
    logging.shutdown()
    os._exit(EXIT_FORCED)


def limit_of(conf: cfg.ConfigOpts) -> float | None:
    """The moment (monotonic) at which a stop that begins now has taken too long."""
    timeout = conf.graceful_shutdown_timeout
    return time.monotonic() + timeout if timeout > 0 else None


class _Announced(service.ServiceBase):  # type: ignore[misc]
    """A service that tells when it was started; oslo's launcher does not."""

    def __init__(self, inner: service.ServiceBase, started: Callable[[], None]):
        self._inner, self._started = inner, started

    def start(self) -> None:
        self._inner.start()
        self._started()

    def stop(self) -> None:
        self._inner.stop()

    def wait(self) -> None:
        self._inner.wait()

    def reset(self) -> None:
        self._inner.reset()


class Running:
    """Starts `services`; `on_started` is called when all of them have started.

    A service that cannot start ends the process with exit code 1: oslo's launcher raises SystemExit
    in the main thread.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        services: Sequence[service.ServiceBase],
        signals: Signals,
        on_started: Callable[[], None],
        margin: float = 0.0,
    ):
        #: `stop` was called; all services have ended.
        self.stopping = self.ended = False
        self._conf, self._services, self._signals = conf, services, signals
        self._on_started, self._margin = on_started, margin
        self._missing = len(services)
        self._limit: float | None = None
        self._launcher = service.Launcher(conf)
        for each in services:
            self._launcher.launch_service(_Announced(each, self._count))

    @property
    def remaining(self) -> float | None:
        """Seconds until the stop has taken too long; None: no limit."""
        return None if self._limit is None else max(0.0, self._limit - time.monotonic())

    @property
    def overdue(self) -> bool:
        """Whether the stop has taken too long."""
        return not self.ended and self.remaining == 0.0

    def stop(self) -> None:
        """Begin to stop; the second time nothing happens. Never blocks."""
        if self.stopping:
            return
        self.stopping = True
        limit = limit_of(self._conf)
        self._limit = None if limit is None else limit + self._margin
        self._signals.wake()  # whoever waits does not know the limit yet
        self._spawn(self._drain)

    def retire(self, on_left: Callable[[], None]) -> None:
        """Make room for a successor and stop when nothing is under way any more. Never blocks.

        `on_left` is called when nothing more is accepted.
        """
        self._spawn(lambda: self._give_way(on_left))

    def _count(self) -> None:
        self._missing -= 1
        if not self._missing:
            self._on_started()

    def _give_way(self, on_left: Callable[[], None]) -> None:
        for each in self._services:
            each.reset()
        on_left()
        for each in self._services:
            each.wait()
        self.stop()

    def _drain(self) -> None:
        try:
            self._launcher.stop()
            self._launcher.wait()
        finally:
            self.ended = True
            self._signals.wake()

    def _spawn(self, work: Callable[[], None]) -> None:
        # Daemons: a forced stop must not wait for them.
        threading.Thread(target=work, daemon=True).start()


def run_child(
    conf: cfg.ConfigOpts, process: service.ServiceBase, channel: socket.socket, signals: Signals
) -> int:
    """Run a child of the supervisor to its end; returns its exit code.

    `signals` collects SIGTERM: finish what is under way and end. `channel` leads to the supervisor.
    """

    def listen() -> None:
        while hear(channel) == RETIRE:
            running.retire(lambda: say(channel, LEAVING))
        LOG.warning("The supervisor of worker process %d is gone: stopping", os.getpid())
        running.stop()

    running = Running(conf, [process], signals, lambda: say(channel, READY), _CHILD_MARGIN)
    threading.Thread(target=listen, name="listen", daemon=True).start()
    while not running.ended:
        caught = signals.wait(running.remaining)
        if caught and not running.stopping:
            say(channel, LEAVING)
            running.stop()
        if running.overdue:
            LOG.warning(
                "Worker process %d does not end within graceful_shutdown_timeout = %d s: cut off",
                os.getpid(),
                conf.graceful_shutdown_timeout,
            )
            return EXIT_FORCED
    return 0


class Alone:
    """All services in this process, without a supervisor.

    A SIGHUP changes options that may be changed in a running process, such as `debug`; a log line
    names changed ones that need a restart.
    """

    def __init__(self, conf: cfg.ConfigOpts, services: Sequence[service.ServiceBase]):
        self._conf, self._services = conf, services
        self._notifier = Notifier()
        self._hangup = Hangup()

    def wait(self) -> None:
        """Run until SIGTERM or SIGINT. A forced stop ends the process with EXIT_FORCED."""
        with Signals([SIGTERM, SIGINT, SIGHUP]) as signals:
            running = Running(self._conf, self._services, signals, self._notifier.ready)
            while not running.ended:
                caught = signals.wait(running.remaining)
                for number in caught:
                    self._obey(number, running)
                if running.overdue:
                    _cut_off(f"graceful_shutdown_timeout = {self._conf.graceful_shutdown_timeout}")
        LOG.info("Process %d has stopped", os.getpid())

    def _obey(self, number: Signal, running: Running) -> None:
        if number == SIGHUP and not self._hangup.terminal_is_gone():
            if not running.stopping:
                self._reread()
        elif not running.stopping:
            LOG.info("%s: process %d finishes what is under way", number.name, os.getpid())
            self._notifier.stopping()
            running.stop()
        elif number != SIGHUP:
            _cut_off(f"a second {number.name}")

    def _reread(self) -> None:
        LOG.info("SIGHUP: reading the configuration again")
        self._notifier.reloading()
        try:
            self._conf.mutate_config_files()
        except (cfg.Error, OSError, ValueError) as error:
            LOG.warning("The configuration stays as it was: %s", error)
        self._notifier.ready()


def _cut_off(why: str) -> NoReturn:
    LOG.warning("Process %d is cut off in what was under way: %s", os.getpid(), why)
    exit_forced()
