# SPDX-License-Identifier: Apache-2.0
"""What systemd (`Type=notify` and `Type=notify-reload`) is told about a service.

oslo_service.systemd knows READY=1 only; the protocol is one datagram.
"""

import logging
import os
import socket
import time

LOG = logging.getLogger(__name__)


class Notifier:
    """Tells the service manager of NOTIFY_SOCKET; does nothing where there is none."""

    def __init__(self) -> None:
        # Taken away, so that no child speaks in the name of the service.
        address = os.environ.pop("NOTIFY_SOCKET", "")
        # A leading @ stands for the null byte of the abstract namespace.
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def ready(self) -> None:
        """The service works, for the first time or again after `reloading`."""
        self._send("READY=1")

    def reloading(self) -> None:
        """The configuration is being read again; `ready` has to follow."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={now}")

    def stopping(self) -> None:
        """The service is about to end."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.sendto(message.encode(), self._address)
        except OSError as error:
            # A service that works must not end because nobody listens to it.
            LOG.warning("systemd cannot be told %s: %s", message.split("\n", 1)[0], error)
