# SPDX-License-Identifier: Apache-2.0
"""A small Redfish service that breaks in the ways that BMCs break.

It says what DMTF's specification demands of one system. It proves nothing about real BMCs.
"""

import contextlib
import json
import pathlib
import socket
import ssl
import sys
import threading
import typing
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SYSTEMS = "/redfish/v1/Systems"
SYSTEM = f"{SYSTEMS}/1"
RESET = f"{SYSTEM}/Actions/ComputerSystem.Reset"
DRIVES = f"{SYSTEM}/VirtualMedia"
DRIVE = f"{DRIVES}/Cd"
INSERT = f"{DRIVE}/Actions/VirtualMedia.InsertMedia"
EJECT = f"{DRIVE}/Actions/VirtualMedia.EjectMedia"

#: Answers one exchange instead of the service.
Fault = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        path = self.path.rstrip("/")
        bmc = self.server.bmc
        bmc.asked.append((self.command, path))
        bmc.peers.add(self.client_address)
        fault = bmc.faults.get((self.command, path))
        if fault is not None:
            fault(self)
        else:
            bmc.serve(self, self.command, path)

    @property
    def document(self) -> typing.Any:
        """The body, as JSON."""
        return json.loads(self.body)

    def refuse(self, status: int, message: str = "No.", **headers: str) -> None:
        """An error as Redfish forms it."""
        error = {"error": {"code": "Base.1.0.GeneralError", "message": message}}
        self.answer(status, error, **headers)

    def answer(self, status: int, document: object = None, **headers: str) -> None:
        """Send a document, or a text as it is."""
        if document is None:
            body = b""
        else:
            body = document.encode() if isinstance(document, str) else json.dumps(document).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if self.close_connection:
            self.send_header("Connection", "close")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status != 204:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    bmc: "RedfishPeer"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients may be killed; anything else is a defect of ours and is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class RedfishPeer:
    """A Redfish service at `url` that breaks where it is told to."""

    def __init__(self, certificate: pathlib.Path | None = None) -> None:
        self.asked: list[tuple[str, str]] = []
        #: Addresses of its clients' connections.
        self.peers: set[typing.Any] = set()
        self.faults: dict[tuple[str, str], Fault] = {}
        self._hung = threading.Event()
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.bmc = self
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            scheme = "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}"
        # The default would make each end wait for half a second.
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()

    def __enter__(self) -> typing.Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._hung.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def serve(self, handler: Handler, method: str, path: str) -> None:
        """Answer an exchange that does not break."""
        raise NotImplementedError

    def fail(
        self, method: str, path: str, status: int, message: str = "No.", **headers: str
    ) -> None:
        """Answer an error as Redfish forms it."""
        self.faults[method, path] = lambda handler: handler.refuse(status, message, **headers)

    def hang(self, method: str, path: str, *, after: Callable[[bytes], None] | None = None) -> None:
        """Say nothing for ever; with `after`, do what was asked first."""

        def silent(handler: Handler) -> None:
            if after is not None:
                after(handler.body)
            self._hung.wait()

        self.faults[method, path] = silent

    def trickle(
        self, method: str, path: str, head: bytes, piece: bytes = b" ", every: float = 0.02
    ) -> None:
        """Answer with `head`, and then with one piece after the other for ever."""

        def endless(handler: Handler) -> None:
            handler.close_connection = True
            with contextlib.suppress(ConnectionError):
                handler.wfile.write(head)
                while not self._hung.wait(every):
                    handler.wfile.write(piece)

        self.faults[method, path] = endless

    def cut(self, method: str, path: str) -> None:
        """Close the connection instead of an answer."""

        def closed(handler: Handler) -> None:
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)

        self.faults[method, path] = closed


class FaultyBmc(RedfishPeer):
    """One BMC with one system."""

    def __init__(self, certificate: pathlib.Path | None = None) -> None:
        super().__init__(certificate)
        self.resets: list[str] = []
        self.documents: dict[str, typing.Any] = {
            "/redfish/v1": {
                "@odata.id": "/redfish/v1/",
                "Id": "RootService",
                "Name": "Root Service",
                "RedfishVersion": "1.6.0",
                "UUID": "92384634-2938-2342-8820-489239905423",
                "Systems": {"@odata.id": SYSTEMS},
            },
            SYSTEMS: {
                "@odata.id": SYSTEMS,
                "Name": "Computer System Collection",
                "Members@odata.count": 1,
                "Members": [{"@odata.id": SYSTEM}],
            },
            SYSTEM: {
                "@odata.id": SYSTEM,
                "Id": "1",
                "Name": "server-1",
                "Manufacturer": "Contoso",
                "SerialNumber": "2M220101SL",
                "PowerState": "Off",
                "Status": {"State": "Enabled", "Health": "OK"},
                "ProcessorSummary": {"Count": 2},
                "MemorySummary": {"TotalSystemMemoryGiB": 96},
                "VirtualMedia": {"@odata.id": DRIVES},
                "Boot": {
                    "BootSourceOverrideEnabled": "Disabled",
                    "BootSourceOverrideTarget": "None",
                    "BootSourceOverrideTarget@Redfish.AllowableValues": ["Hdd", "Pxe", "Cd"],
                },
                "Actions": {
                    "#ComputerSystem.Reset": {
                        "target": RESET,
                        "ResetType@Redfish.AllowableValues": [
                            "On",
                            "ForceOff",
                            "GracefulShutdown",
                            "ForceRestart",
                        ],
                    }
                },
            },
        }
        self.documents[DRIVES] = {
            "@odata.id": DRIVES,
            "Name": "Virtual Media",
            "Members": [{"@odata.id": DRIVE}],
        }
        self.documents[DRIVE] = {
            "@odata.id": DRIVE,
            "Id": "Cd",
            "Name": "Virtual CD",
            "MediaTypes": ["CD", "DVD"],
            "Image": None,
            "Inserted": False,
            "Actions": {
                "#VirtualMedia.InsertMedia": {"target": INSERT},
                "#VirtualMedia.EjectMedia": {"target": EJECT},
            },
        }

    def serve(self, handler: Handler, method: str, path: str) -> None:
        """As DMTF's specification says."""
        if method == "POST" and path == RESET:
            self.power(handler.document["ResetType"])
            handler.answer(204)
        elif method == "POST" and path in (INSERT, EJECT):
            self.insert(handler.document["Image"] if path == INSERT else None)
            handler.answer(204)
        elif method == "PATCH" and path == SYSTEM:
            self.documents[SYSTEM]["Boot"].update(handler.document["Boot"])
            handler.answer(204)
        elif method == "GET" and path in self.documents:
            handler.answer(200, self.documents[path])
        else:
            handler.refuse(404)

    def power(self, reset_type: str) -> None:
        """The power button was pressed; the state is reached at once."""
        self.resets.append(reset_type)
        on = reset_type in ("On", "ForceRestart")
        self.documents[SYSTEM]["PowerState"] = "On" if on else "Off"

    def insert(self, image: str | None) -> None:
        """Put an image into the virtual CD drive, or take it out."""
        self.documents[DRIVE].update(Image=image, Inserted=image is not None)
