# SPDX-License-Identifier: Apache-2.0
"""The nursery seen from the product's environment: orders go to it, running children come back.

keystone_server.py is the other side and describes the wire between the two. Used by keystone.py
only.
"""

import atexit
import contextlib
import fcntl
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time
import typing

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SERVICES_PYTHON = ROOT / ".venv-services" / "bin" / "python"
"""The Python that tools/lib.sh (ensure_services_venv) makes."""

LARGEST_PACKET = 65536
PATIENCE = 60.0
"""Seconds for anything that takes under one on an idle machine; only a hang reaches it."""


class ServicesMissing(Exception):
    """The environment with the real services has not been built."""


class KeystoneFailed(Exception):
    """A Keystone, or the process that makes them, did not do what it was told; says why."""


def check_installed(services_python: pathlib.Path) -> None:
    """Raise ServicesMissing unless the services environment's Python is there."""
    if not services_python.exists():
        raise ServicesMissing(
            f"no Keystone to run, {services_python} does not exist: "
            "run tools/test or tools/demo, either installs it"
        )


class Child:
    """One process that the nursery forked: its id, its end, and signals for it."""

    def __init__(self, reply: socket.socket) -> None:
        self._reply = reply
        self._text = b""
        self._ended = False
        limit = time.monotonic() + PATIENCE
        while b"\n" not in self._text and self._read(limit):
            pass
        if b"\n" not in self._text:
            self.close()
            raise KeystoneFailed("the nursery did not start a process")
        self.pid = int(self._text.partition(b"\n")[0])

    def _read(self, limit: float) -> bool:
        """Take what comes next until the clock says LIMIT; False when nothing more will, or did."""
        if self._ended:
            return False
        readable, _, _ = select.select([self._reply], [], [], max(0.0, limit - time.monotonic()))
        if not readable:
            return False
        received = self._reply.recv(LARGEST_PACKET)
        self._text += received
        self._ended = not received
        return not self._ended

    def is_alive(self) -> bool:
        """Whether the process still exists; a stopped one does."""
        while self._read(0.0):
            pass
        return not self._ended

    def wait(self, seconds: float) -> str:
        """Wait for its end, at most so long, and return its last word ("done", "failed: ...")."""
        limit = time.monotonic() + seconds
        while self._read(limit):
            pass
        if not self._ended:
            raise KeystoneFailed(f"process {self.pid} still runs after {seconds:g} s")
        return self._text.decode(errors="replace").strip().rpartition("\n")[2]

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens when it is gone already."""
        if self.is_alive():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    def is_stopped(self) -> bool:
        """Whether SIGSTOP has reached every one of its threads."""
        tasks = list(pathlib.Path(f"/proc/{self.pid}/task").glob("*/stat"))
        # The state is the field after the command's name, which stands in parentheses.
        return all(task.read_text().rpartition(")")[2].split()[0] == "T" for task in tasks)

    def close(self) -> None:
        """Let go of it; the process itself is not ended."""
        self._reply.close()
        self._ended = True


class Nursery:
    """The process that forks Keystones; it and its children end with this process."""

    def __init__(self, services_python: pathlib.Path) -> None:
        check_installed(services_python)
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - close() closes it
        with theirs:
            self._process = subprocess.Popen(
                [services_python, "-I", HERE / "keystone_server.py", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                # oslo.config would take OS_<GROUP>__<OPTION> for Keystone's own settings.
                env={k: v for k, v in os.environ.items() if not k.startswith("OS_")},
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                # Ctrl-C is for us; it ends when we do.
                start_new_session=True,
            )
        atexit.register(self.close)
        self._control.settimeout(PATIENCE)
        hello = self._control.recv(LARGEST_PACKET)
        if not hello:
            words = self._last_words()
            self.close()
            raise KeystoneFailed(
                f"{services_python} cannot import Keystone "
                f"(tools/test or tools/demo finish an interrupted installation):\n{words}"
            )
        self.keystone_version = str(json.loads(hello)["version"])

    def _last_words(self) -> str:
        self._output.seek(0)
        return "\n".join(self._output.read().decode(errors="replace").splitlines()[-20:])

    def is_alive(self) -> bool:
        """Whether orders from this process, not from one forked off it, can be carried out."""
        return self._owner == os.getpid() and self._process.poll() is None

    def order(self, job: str, listener: socket.socket | None = None, **fields: typing.Any) -> Child:
        """Have a child forked that does the job; the fields are described at each job."""
        ours, theirs = socket.socketpair()
        packet = json.dumps({"job": job, **fields}).encode()
        with theirs:
            descriptors = [theirs.fileno()] + ([listener.fileno()] if listener else [])
            try:
                with self._lock:
                    socket.send_fds(self._control, [packet], descriptors)
            except OSError as error:
                ours.close()
                raise KeystoneFailed(f"the nursery is gone:\n{self._last_words()}") from error
        return Child(ours)

    def template(self) -> pathlib.Path:
        """Return a database with Keystone's schema, built once per checkout and Keystone version.

        Processes and threads that need it at once wait for the one that builds it.
        """
        cache = ROOT / ".cache"
        template = cache / f"keystone-{self.keystone_version}.db"
        if template.exists():
            return template
        cache.mkdir(exist_ok=True)
        with (cache / "keystone.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not template.exists():
                with tempfile.TemporaryDirectory(dir=cache) as directory:
                    database = pathlib.Path(directory) / "keystone.db"
                    child = self.order("template", directory=directory, database=str(database))
                    with contextlib.closing(child):
                        outcome = child.wait(PATIENCE)
                    if outcome != "done":
                        raise KeystoneFailed(f"no template database: {outcome}")
                    # Complete or absent: the rename is what makes it visible.
                    database.replace(template)
        return template

    def close(self) -> None:
        """End the nursery with everything it started, and wait until it is gone."""
        atexit.unregister(self.close)
        self._control.close()
        if self._owner == os.getpid():
            self._process.wait(PATIENCE)
        self._output.close()


_nurseries: dict[pathlib.Path, Nursery] = {}
_nurseries_lock = threading.Lock()


def nursery(services_python: pathlib.Path) -> Nursery:
    """Return this process's nursery, started at the first call: importing Keystone takes 2 s."""
    with _nurseries_lock:
        known = _nurseries.get(services_python)
        if known is None or not known.is_alive():
            known = _nurseries[services_python] = Nursery(services_python)
        return known
