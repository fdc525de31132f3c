# SPDX-License-Identifier: Apache-2.0
"""The supervisor: one process that starts, watches and replaces worker processes.

It stands in for oslo.service's ProcessLauncher, which polls for dead children a hundred times a
second, sleeps for a second, deaf to signals, when they die fast, kills all workers before the first
new one runs on SIGHUP, and dies of a raw SIGALRM when they do not end in time. What runs in a child
is oslo.service all the same: a ServiceBase in a Launcher, see `running`.

Bootstrap and restart are one step that is repeated: compare what runs with what should, fork what
is missing, sleep until a signal, a word of a child or a moment that is due.
"""

import gc
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from signal import SIGCHLD, SIGHUP, SIGINT, SIGKILL, SIGTERM
from typing import NoReturn

from eventlet import hubs, patcher, tpool
from oslo_config import cfg
from oslo_service import service

from headwater.cmd.children import LEAVING, READY, RETIRE, Backoff, Child, Slot, describe, hear, say
from headwater.cmd.running import exit_forced, limit_of, run_child
from headwater.cmd.signals import Hangup, Signals
from headwater.cmd.systemd import Notifier
from headwater.common.errors import ConfigurationError

LOG = logging.getLogger(__name__)

#: Blocks the whole process: there are no green threads here. eventlet's own would not do: when two
#: sockets are readable at a time, its next call returns the second one, whatever it is asked for.
_select = patcher.original("select").select

#: Seconds in which a successor has to have started, and its predecessor to have made room.
_START_LIMIT = 60.0


class Supervisor:
    """Runs `process` in `workers` child processes until it is stopped.

    `process` is never started here; its `stop` is called here too when all has to end, and has to
    close listening sockets then. `reread` reads the configuration files again and raises
    ConfigurationError; it is called in the first new child before it is called here.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        process: service.ServiceBase,
        workers: int,
        reread: Callable[[], None],
    ):
        self._conf, self._process, self._reread = conf, process, reread
        self._slots = [Slot() for _ in range(workers)]
        self._children: dict[int, Child] = {}
        self._notifier = Notifier()
        self._hangup = Hangup()
        self._generation = 0
        #: The first child that runs with files that were read again, until it is ready.
        self._candidate: Child | None = None
        self._replacing = self._again = self._announced = self._stopping = False
        self._limit: float | None = None

    def wait(self) -> None:
        """Run until SIGTERM or SIGINT. A forced stop ends the process with EXIT_FORCED."""
        # The garbage collector would write to all that is shared with the children, and copy it.
        gc.freeze()
        LOG.info("Supervisor %d starts %d worker processes", os.getpid(), len(self._slots))
        with Signals([SIGTERM, SIGINT, SIGHUP, SIGCHLD]) as self._signals:
            while not self._stopping or self._children:
                if self._stopping:
                    self._hurry()
                else:
                    self._reconcile()
                for number in self._sleep():
                    self._obey(number)
        LOG.info("Supervisor %d has stopped", os.getpid())

    def _sleep(self) -> list[signal.Signals]:
        """Wait for something to do; hear what children say, bury the dead, return signals."""
        channels = {c.channel: c for c in self._children.values() if not c.silent}
        for readable in _select([self._signals, *channels], [], [], self._patience())[0]:
            if readable is not self._signals:
                self._hear(channels[readable])
        caught = self._signals.wait(0)
        # Not before: a SIGCHLD that is taken here would have come too late for it.
        self._reap()
        return caught

    def _patience(self) -> float | None:
        """Seconds until something is due by itself; None: nothing is."""
        if self._stopping:
            moments = [] if self._limit is None else [self._limit]
        else:
            moments = [s.due for s in self._slots if s.child is None and s.successor is None]
            if successors := [s.successor for s in self._slots if s.successor]:
                moments += [each.limit for each in successors]
            elif outdated := self._outdated():
                moments.append(outdated[0].due)
            elif self._replacing:
                moments += [max((c.limit for c in self._lingering()), default=0.0)]
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _outdated(self) -> list[Slot]:
        """Places of processes that have to be replaced."""
        return [s for s in self._slots if s.child and s.child.generation < self._generation]

    def _lingering(self) -> list[Child]:
        """Processes that were told to make room and have not said that they did."""
        return [c for c in self._children.values() if c.leaving and not c.left and not c.silent]

    def _obey(self, number: signal.Signals) -> None:
        if number == SIGCHLD:
            return  # `_sleep` has seen to it
        if number == SIGHUP and not self._hangup.terminal_is_gone():
            self._hang_up()
        elif not self._stopping:
            self._stop(number.name)
        elif number != SIGHUP:
            self._force(f"a second {number.name}")

    # Start and death of children.

    def _reconcile(self) -> None:
        now = time.monotonic()
        for slot in self._slots:
            if slot.child is None and slot.successor is None and now >= slot.due:
                slot.child = self._fork(slot)
            if slot.successor and now >= slot.successor.limit:
                slot.successor.limit = float("inf")
                LOG.warning("Worker process %d does not get ready: killed", slot.successor.pid)
                slot.successor.signal(SIGKILL)
        self._replace_next(now)
        if not self._announced and all(slot.child and slot.child.ready for slot in self._slots):
            self._announced = True
            self._notifier.ready()

    def _fork(self, slot: Slot, *, reread: bool = False) -> Child | None:
        """A new child; None when the system has no room for one, which is tried again."""
        ours, theirs = socket.socketpair()
        with self._signals.held_back():
            try:
                pid = os.fork()
            except OSError as error:
                ours.close()
                theirs.close()
                delay = slot.backoff.delay(0.0)
                slot.due = time.monotonic() + delay
                LOG.warning("No process can be forked, next try in %.1f s: %s", delay, error)
                return None
            if pid == 0:
                ours.close()
                self._be_child(theirs, self._reread if reread else None)
        theirs.close()
        generation = self._generation + 1 if reread else self._generation
        now = time.monotonic()
        child = Child(pid, ours, generation, started=now, limit=now + _START_LIMIT)
        self._children[pid] = child
        LOG.info("Worker process %d started", pid)
        return child

    def _be_child(self, channel: socket.socket, reread: Callable[[], None] | None) -> NoReturn:
        """What the child does instead of returning into the supervisor's loop."""
        code: object = 1
        try:
            # As oslo's ProcessLauncher does: the hub's epoll and native threads are the parent's.
            hubs.use_hub()
            tpool.killall()
            signals = Signals([SIGTERM], ignored=[SIGINT, SIGHUP])
            signal.signal(SIGCHLD, signal.SIG_DFL)
            self._signals.forget()
            # Else the others would not notice when the supervisor is gone.
            for other in self._children.values():
                other.channel.close()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())
            if reread is not None:
                reread()
            code = run_child(self._conf, self._process, channel, signals)
        except ConfigurationError as error:
            LOG.error("%s", error)  # noqa: TRY400 - says all that an operator needs
        except SystemExit as error:  # a service could not start; oslo has logged why
            code = error.code
        except BaseException:  # nothing may get out into the parent's code
            LOG.exception("Worker process %d ends with an error", os.getpid())
        finally:
            logging.shutdown()
            os._exit(code if isinstance(code, int) else 1)

    def _hear(self, child: Child) -> None:
        word = hear(child.channel)
        if word == READY:
            child.ready = True
            LOG.info("Worker process %d is ready", child.pid)
            for slot in self._slots:
                if slot.successor is child and not self._stopping:
                    self._succeed(slot, child)
        elif word == LEAVING:
            child.left = True
            if not child.leaving and not self._stopping:
                # Somebody sent it a SIGTERM: its place is free while it finishes what it has begun.
                child.leaving = True
                self._vacate(child)
        else:
            child.silent = True

    def _reap(self) -> None:
        for child in list(self._children.values()):
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if not pid:
                continue
            del self._children[pid]
            child.channel.close()
            level = logging.INFO if child.leaving or self._stopping else logging.WARNING
            LOG.log(level, "Worker process %d ended: %s", pid, describe(status))
            if not self._stopping:
                self._vacate(child)

    def _vacate(self, child: Child) -> None:
        """The child's place is free; it is taken again at once, or after a back-off."""
        for slot in self._slots:
            if child is slot.child:
                slot.child = None
            elif child is slot.successor:
                slot.successor = None
            else:
                continue
            if child is self._candidate:
                self._candidate = None
                LOG.warning("The new configuration does not work: the old workers stay")
                self._finish_reload()
            elif not child.leaving:
                delay = slot.backoff.delay(time.monotonic() - child.started)
                slot.due = time.monotonic() + delay
                if delay:
                    LOG.warning("It lived too short: the next one starts in %.1f s", delay)

    # SIGHUP: the files are read again and every worker is replaced, one after the other.

    def _hang_up(self) -> None:
        if self._stopping:
            return
        if self._candidate or self._replacing:
            LOG.info("SIGHUP: the configuration is read again after the present replacement")
            self._again = True
            return
        LOG.info("SIGHUP: reading the configuration again and replacing all worker processes")
        self._notifier.reloading()
        # One child tries it out. What does not work there is not worth ending a worker for.
        first = self._slots[0]
        self._candidate = first.successor = self._fork(first, reread=True)
        if self._candidate is None:
            LOG.warning("The configuration is not read again")
            self._finish_reload()

    def _succeed(self, slot: Slot, child: Child) -> None:
        """The successor is ready: it takes the place."""
        if child is self._candidate:
            self._candidate = None
            self._adopt(child)
        slot.successor, old, slot.child = None, slot.child, child
        if old is None:
            return
        LOG.info(
            "Worker process %d replaces %d, which finishes what it has begun", child.pid, old.pid
        )
        old.leaving = True
        old.limit = time.monotonic() + _START_LIMIT
        say(old.channel, RETIRE)

    def _adopt(self, child: Child) -> None:
        """Take over what the candidate has shown to work."""
        try:
            self._reread()
        except ConfigurationError as error:
            # Changed again in this moment; workers that start later have the values of before.
            LOG.warning("%s", error)
        self._generation, self._replacing = child.generation, True
        for slot in self._slots:
            slot.due, slot.backoff = 0.0, Backoff()

    def _replace_next(self, now: float) -> None:
        if not self._replacing or any(slot.successor for slot in self._slots):
            return
        old = self._outdated()
        if not old:
            if any(now < child.limit for child in self._lingering()):
                return  # somebody might still meet the old configuration
            LOG.info("All worker processes run with the new configuration")
            self._replacing = False
            self._finish_reload()
        elif now >= old[0].due:
            old[0].successor = self._fork(old[0])

    def _finish_reload(self) -> None:
        self._notifier.ready()
        if self._again:
            self._again = False
            self._hang_up()

    # The end.

    def _stop(self, name: str) -> None:
        self._stopping = True
        self._notifier.stopping()
        self._limit = limit_of(self._conf)
        # Before the children know: whoever comes now is refused, and not left waiting.
        self._process.stop()
        LOG.info("%s: %d worker processes finish what is under way", name, len(self._children))
        for child in self._children.values():
            child.signal(SIGTERM)

    def _hurry(self) -> None:
        if self._limit is not None and time.monotonic() >= self._limit:
            self._force(f"graceful_shutdown_timeout = {self._conf.graceful_shutdown_timeout}")

    def _force(self, why: str) -> NoReturn:
        LOG.warning(
            "Worker processes %s are killed in what was under way: %s",
            ", ".join(str(pid) for pid in sorted(self._children)) or "(none)",
            why,
        )
        for child in self._children.values():
            child.signal(SIGKILL)
        self._limit = None
        while self._children:
            self._sleep()
        exit_forced()
