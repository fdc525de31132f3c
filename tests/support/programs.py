# SPDX-License-Identifier: Apache-2.0
"""The program of `tests.support.supervised` as a process, and ways to look at it."""

import contextlib
import http.client
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import typing
import unittest
from collections.abc import Mapping

from tests.support.waiting import PATIENCE, eventually

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


class Program:
    """The test service with a configuration and a directory of signs of its own."""

    def __init__(
        self,
        test: unittest.TestCase,
        workers: int,
        *,
        broken: bool = False,
        environment: Mapping[str, str] | None = None,
        terminal: int | None = None,
        **options: object,
    ):
        self._test = test
        self.signs = pathlib.Path(
            test.enterContext(tempfile.TemporaryDirectory(prefix="headwater-test-"))
        )
        self.config, self._log = self.signs / "test.conf", self.signs / "log"
        self._workers, self._options = workers, options
        self.configure()
        if broken:
            self.sign("broken")
        with self._log.open("ab") as log:
            self.popen = subprocess.Popen(
                [
                    *(() if terminal is None else ("setsid", "--ctty")),
                    *(sys.executable, "-m", "tests.support.supervised"),
                    *("--config-file", self.config),
                ],
                cwd=ROOT,
                stdin=subprocess.DEVNULL if terminal is None else terminal,
                stdout=log,
                stderr=log,
                # A session of its own: it has no terminal unless it is given one.
                start_new_session=terminal is None,
                env={**os.environ, **(environment or {})},
            )
        test.addCleanup(self._end)

    def configure(self, raw: str = "", **api_proxy: object) -> None:
        """Write the configuration file anew."""
        default = {"state_path": self.signs, "api_workers": self._workers, **self._options}
        self.config.write_text(_group("DEFAULT", default) + _group("api_proxy", api_proxy) + raw)

    def sign(self, name: str) -> None:
        (self.signs / name).touch()

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def logged(self, pattern: str, times: int = 1) -> list[typing.Any]:
        """All matches in the log, when there are at least `times`."""

        def look() -> list[typing.Any] | None:
            found = re.findall(pattern, self.log)
            return found if len(found) >= times else None

        try:
            return typing.cast("list[typing.Any]", eventually(look, repr(pattern)))
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log[-5000:]}") from None

    @property
    def port(self) -> int:
        return int(self.logged(r"test program listens on http://127.0.0.1:(\d+)")[0])

    def started(self) -> "Program":
        """When all workers are there."""
        if self._workers:
            self.logged(r"Worker process \d+ is ready", self._workers)
        else:
            self.logged("listens on")
        return self

    def connect(self) -> http.client.HTTPConnection:
        """A connection that stays open after an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        self._test.addCleanup(connection.close)
        return connection

    def get(self, path: str) -> str:
        """The answer on a connection of its own."""
        with contextlib.closing(self.connect()) as connection:
            return ask(connection, path)

    def begin(self, name: str) -> tuple[http.client.HTTPConnection, int]:
        """A request that lasts until `sign(name)`, when it is being served; and by which pid."""
        connection = self.connect()
        connection.request("GET", f"/slow/{name}")
        begun = self.signs / f"{name}.begun"
        return connection, int(eventually(lambda: begun.exists() and begun.read_text(), name))

    def refuses(self) -> bool:
        """Whether nobody listens on the port."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE).close()
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:  # it was in the queue when the queue was closed
            pass
        return False

    def children(self) -> set[int]:
        """The worker processes."""
        pid = self.popen.pid
        return {int(each) for each in _read(f"/proc/{pid}/task/{pid}/children").split()}

    def signal(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def wait(self) -> int:
        """Its exit code."""
        try:
            return self.popen.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end:\n{self.log[-5000:]}") from None

    def _end(self) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait(PATIENCE)
        # Workers notice that their supervisor is gone; a test that failed must not leave any.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)


def ask(connection: http.client.HTTPConnection, path: str, method: str = "GET") -> str:
    """The text of a good answer."""
    connection.request(method, path)
    return read(connection)


def read(connection: http.client.HTTPConnection) -> str:
    """The text of a good answer to a request that was sent."""
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.status != 200:
        raise AssertionError(f"{answer.status}: {text}")
    return text


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    return not re.search(r"\) [ZX] ", _read(f"/proc/{pid}/stat") or ") X ")


def wakeups(pid: int) -> int:
    """How often a process has gone to sleep until now."""
    return int(re.findall(r"\nvoluntary_ctxt_switches:\s*(\d+)", _read(f"/proc/{pid}/status"))[0])


def _read(path: str) -> str:
    try:
        return pathlib.Path(path).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _group(name: str, values: Mapping[str, object]) -> str:
    return f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())
