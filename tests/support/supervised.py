# SPDX-License-Identifier: Apache-2.0
"""A service that starts in a moment and does what a test asks for, launched as headwater's are.

    python -m tests.support.supervised --config-file FILE

`state_path` is a directory of signs: `broken` keeps workers from starting; /slow/NAME makes the
file NAME.begun and answers when NAME exists.
"""

# isort: off
import headwater.cmd.eventlet_first  # noqa: F401 - before anything that uses threads or sockets
# isort: on

import logging
import os
import pathlib
import signal
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from oslo_config import cfg

from headwater.cmd import launch, server
from headwater.common.errors import ConfigurationError

LOG = logging.getLogger("headwater.test")

Environ = dict[str, Any]


class Application:
    """The WSGI callable of one worker."""

    def __init__(self, conf: cfg.ConfigOpts):
        self.signs = pathlib.Path(conf.state_path)
        if (self.signs / "broken").exists():
            raise ConfigurationError("The sign says that this worker is broken.")
        # As a worker that was built with it.
        self.option = conf.api_proxy.connect_timeout

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        word, _, rest = environ["PATH_INFO"].strip("/").partition("/")
        body = environ["wsgi.input"].read()
        answer = getattr(self, f"do_{word}")(rest)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(answer).encode(), body]

    def do_pid(self, _rest: str) -> int:
        return os.getpid()

    def do_option(self, _rest: str) -> float:
        return float(self.option)

    def do_slow(self, name: str) -> int:
        (self.signs / f"{name}.begun").write_text(str(os.getpid()))
        while not (self.signs / name).exists():
            time.sleep(0.005)
        return os.getpid()

    def do_crash(self, _rest: str) -> None:
        os._exit(3)

    def do_log(self, text: str) -> int:
        LOG.info("Asked to log: %s", text)
        return os.getpid()

    def do_die_logging(self, _rest: str) -> None:
        """What SIGKILL does to a worker that is writing a log line."""
        for handler in logging.root.handlers:
            handler.acquire()
        os.kill(os.getpid(), signal.SIGKILL)


def serve(conf: cfg.ConfigOpts) -> None:
    listener = server.bind("The test program", "127.0.0.1", 0, "[DEFAULT] listen")
    process = server.WsgiService(
        [listener],
        lambda: [Application(conf)],
        lambda: server.ServerSettings(
            max_connections=conf.api_proxy.max_connections,
            idle_timeout=conf.api_proxy.idle_timeout,
            client_timeout=conf.api_proxy.client_timeout,
        ),
    )
    launch.processes(conf, process, conf.api_workers).wait()


if __name__ == "__main__":
    sys.exit(launch.run(serve, "A service for tests of supervision."))
