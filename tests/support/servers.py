# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL and a RabbitMQ of a test run's own, which a test may stop, kill and start again.

Both listen on 127.0.0.1 only, keep everything in a temporary directory and have nothing to do with
the servers of the machine. A server that is down keeps its port: connections to it are refused.
Where a program is missing the calling test is skipped, or fails with HEADWATER_REQUIRE_SERVICES=1.
"""

import atexit
import contextlib
import functools
import glob
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import typing
import unittest
from collections.abc import Sequence

import psycopg2
import sqlalchemy as sa

from tests.support.databases import REQUIRED
from tests.support.waiting import PATIENCE, eventually

HOST = "127.0.0.1"


class _PrivateServer:
    """One process on one port, which stays the same over restarts."""

    #: Who runs it when we are root; both programs refuse to serve root.
    user = ""

    def __init__(self) -> None:
        self._reservation = _bound()
        self.port: int = self._reservation.getsockname()[1]
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="headwater-test-"))
        self._own(self.directory)
        self._process: subprocess.Popen[bytes] | None = None
        # Also when a test run is interrupted between two tests.
        atexit.register(self.close)

    def __enter__(self) -> typing.Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def start(self) -> None:
        """Start it and wait until it serves. Nothing happens when it runs."""
        if self._process is None:
            self._process = self._run(self._command(), self._environment())
            eventually(self._serves, f"{type(self).__name__} to serve", 2 * PATIENCE)

    def kill(self) -> None:
        """End it as a power cut would; what it had committed is kept."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """End it for good and remove all its files."""
        atexit.unregister(self.close)
        self.kill()
        self._reservation.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _command(self) -> Sequence[object]:
        raise NotImplementedError

    def _environment(self) -> dict[str, str]:
        return {}

    def _answers(self) -> bool:
        raise NotImplementedError

    def _serves(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise AssertionError(f"{type(self).__name__} ended:\n{self._last_words()}")
        return self._answers()

    def _end(self, sign: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(sign)
            process.wait(PATIENCE)

    def _run(
        self, command: Sequence[object], environment: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        with (self.directory / "output").open("ab") as output:
            return subprocess.Popen(
                [str(part) for part in command],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # A proper PATH, and nothing that is meant for the machine's own server.
                env={"PATH": os.environ.get("PATH", os.defpath), **(environment or {})},
                # Ctrl-C is for the test run, which then ends it.
                start_new_session=True,
                **self._identity(),
            )

    def _identity(self) -> dict[str, typing.Any]:
        if os.getuid() != 0:
            return {}
        known = pwd.getpwnam(self.user)
        return {"user": known.pw_uid, "group": known.pw_gid, "extra_groups": []}

    def _own(self, path: pathlib.Path) -> None:
        if os.getuid() == 0:
            known = pwd.getpwnam(self.user)
            os.chown(path, known.pw_uid, known.pw_gid)

    def _last_words(self) -> str:
        output = self.directory / "output"
        return "\n".join(output.read_text(errors="replace").splitlines()[-20:])


class PrivatePostgresql(_PrivateServer):
    """A PostgreSQL cluster; start it before use.

    Data files are not flushed to the disk, but every commit is written before it is confirmed: it
    survives everything except the end of the machine.
    """

    user = "postgres"

    @classmethod
    def require(cls) -> None:
        """Skip the calling test, or fail it where services are required, without the programs."""
        found = cls._programs() is not None and _known(cls.user)
        _require(found, "no PostgreSQL server programs (initdb, postgres) are installed")

    @classmethod
    @functools.cache
    def _programs(cls) -> pathlib.Path | None:
        found = shutil.which("initdb")
        usual = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
        for program in [found, *reversed(usual)]:
            directory = pathlib.Path(program).resolve().parent if program else None
            if directory is not None and (directory / "postgres").exists():
                return directory
        return None

    def start(self) -> None:
        """Start it and wait until it serves; the first time its cluster is made."""
        if not (self.directory / "data").exists():
            self._initialize()
        super().start()

    def _initialize(self) -> None:
        initdb = self._run(
            [
                *(self._program("initdb"), "-D", self.directory / "data", "--no-sync"),
                *("-A", "trust", "-U", "postgres", "--locale=C", "-E", "UTF8"),
            ]
        )
        if initdb.wait(2 * PATIENCE) != 0:
            raise AssertionError(f"initdb failed:\n{self._last_words()}")

    def url(self, port: int | None = None) -> str:
        """The SQLAlchemy URL of its database, perhaps through a relay on another port."""
        return f"postgresql+psycopg2://postgres@{HOST}:{port or self.port}/postgres"

    def stop(self, *, immediate: bool = False) -> None:
        """Shut it down; `immediate` without a checkpoint, so that the next start recovers."""
        self._end(signal.SIGQUIT if immediate else signal.SIGINT)

    def _program(self, name: str) -> pathlib.Path:
        directory = self._programs()
        if directory is None:
            raise AssertionError("call require() first")
        return directory / name

    def _command(self) -> Sequence[object]:
        settings = {
            "listen_addresses": HOST,
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "off",
            # What is confirmed must be there after an immediate shutdown.
            "synchronous_commit": "on",
            "shared_buffers": "32MB",
            "autovacuum": "off",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [self._program("postgres"), "-D", self.directory / "data", *options]

    def _answers(self) -> bool:
        try:
            connection = psycopg2.connect(
                host=HOST, port=self.port, user="postgres", dbname="postgres", connect_timeout=5
            )
        except psycopg2.OperationalError:
            return False
        connection.close()
        return True

    def kill(self) -> None:
        """End it as a power cut would; what it had committed is kept."""
        # Of a killed postmaster some children would stay for a while, and no start would work.
        self.stop(immediate=True)

    def query(self, statement: str) -> Sequence[sa.Row[typing.Any]]:
        """All rows of one statement, over a connection of its own past every relay."""
        engine = sa.create_engine(self.url(), poolclass=sa.NullPool)
        with engine.begin() as connection:
            return connection.exec_driver_sql(statement).all()


class PrivateRabbitmq(_PrivateServer):
    """A RabbitMQ node without plugins, and an epmd for it alone; start it before use.

    A first start takes 4 s of CPU: tests share `shared_rabbitmq()`. Messages of an earlier test may
    lie in it; for headwater they are hints.
    """

    user = "rabbitmq"

    @classmethod
    def require(cls) -> None:
        """Skip the calling test, or fail it where services are required, without the programs."""
        found = cls._script() and shutil.which("epmd") and _known(cls.user)
        _require(bool(found), "no RabbitMQ server programs (rabbitmq-server, epmd) are installed")

    @classmethod
    @functools.cache
    def _script(cls) -> pathlib.Path | None:
        # The one on the PATH is, on Debian, a wrapper for the machine's own node.
        found = [pathlib.Path(each) for each in glob.glob("/usr/lib/rabbitmq/bin/rabbitmq-server")]
        if on_path := shutil.which("rabbitmq-server"):
            found.append(pathlib.Path(on_path).resolve())
        return next((each for each in found if (each.parent / "rabbitmq-env").exists()), None)

    def __init__(self) -> None:
        super().__init__()
        self._distribution, self._names = _bound(), _bound()
        for name in ("plugins", "log", "mnesia"):
            (self.directory / name).mkdir()
            self._own(self.directory / name)
        (self.directory / "enabled_plugins").write_text("[].\n")
        epmd = [shutil.which("epmd"), "-address", HOST, "-port", self._port_of(self._names)]
        self._epmd = self._run(epmd, {"HOME": str(self.directory)})

    def url(self, port: int | None = None) -> str:
        """The transport_url of its virtual host, perhaps through a relay on another port."""
        return f"rabbit://guest:guest@{HOST}:{port or self.port}/"

    def stop(self) -> None:
        """Shut it down as an operator would; clients are told."""
        self._end(signal.SIGTERM)

    def close(self) -> None:
        """End it for good and remove all its files."""
        self.kill()
        self._epmd.kill()
        self._epmd.wait(PATIENCE)
        self._distribution.close()
        self._names.close()
        super().close()

    def _command(self) -> Sequence[object]:
        script = self._script()
        if script is None:
            raise AssertionError("call require() first")
        return [script]

    def _environment(self) -> dict[str, str]:
        here = self.directory
        return {
            "HOME": str(here),  # where the cookie is made
            "ERL_CRASH_DUMP": str(here / "erl_crash.dump"),
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": self._port_of(self._names),
            "RABBITMQ_NODENAME": f"headwater-test-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": self._port_of(self._distribution),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_BASE": str(here),
            "RABBITMQ_MNESIA_BASE": str(here / "mnesia"),
            "RABBITMQ_LOG_BASE": str(here / "log"),
            "RABBITMQ_PID_FILE": str(here / "pid"),
            # None of the machine's own configuration. Reading its plugins costs 2 s.
            "RABBITMQ_CONF_ENV_FILE": str(here / "no-environment"),
            "RABBITMQ_CONFIG_FILE": str(here / "no-configuration"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(here / "no-advanced-configuration"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(here / "enabled_plugins"),
            "RABBITMQ_PLUGINS_DIR": str(here / "plugins"),
            # The script becomes the node, so that signals reach it and not a shell.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def _answers(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=5) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return bool(connection.recv(1))
        except OSError:
            return False

    @staticmethod
    def _port_of(reservation: socket.socket) -> str:
        return str(reservation.getsockname()[1])


@functools.cache
def shared_rabbitmq() -> PrivateRabbitmq:
    """This process's RabbitMQ, started at the first call and ended with the process."""
    server = PrivateRabbitmq()
    server.start()
    return server


def _bound() -> socket.socket:
    """A socket that keeps a port of the kernel's choice without listening on it."""
    bound = socket.socket()
    # With it a server that sets the same option may listen on the port.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((HOST, 0))
    return bound


def _known(user: str) -> bool:
    if os.getuid() != 0:
        return True
    with contextlib.suppress(KeyError):
        return bool(pwd.getpwnam(user))
    return False


def _require(found: bool, missing: str) -> None:
    if found:
        return
    if os.environ.get(REQUIRED) == "1":
        raise AssertionError(f"{REQUIRED}=1, but {missing}")
    raise unittest.SkipTest(missing)
