# SPDX-License-Identifier: Apache-2.0
"""The nursery: one process that has imported Keystone and forks what a test run asks for.

Run by the services environment's Python as `python -I keystone_server.py CONTROL_FD`; it never
runs in the product's environment and imports nothing from this repository. (-I keeps this file's
directory off sys.path, where keystone.py would hide the real keystone package.)

Importing Keystone costs two seconds of CPU and a forked child gets it for nothing, so a cloud is
made, started and restarted in well under a second.

CONTROL_FD is one end of a SOCK_SEQPACKET pair. The nursery first sends {"version": ...}. Then each
packet received is one order, a JSON object whose "job" is a key of JOBS, with file descriptors: the
reply socket, and for "serve" a listening socket. Each order gets a forked child, which writes lines
to the reply socket: its process id, and at the end "done" or "failed: ...". The child alone holds
its end of the reply socket, so end of file says that it is gone, whatever the reason.

Nothing is left behind: the nursery ends when the control socket closes or its parent is gone, and
the kernel kills its children with it (PR_SET_PDEATHSIG, so this needs Linux).
"""

import collections.abc
import ctypes
import importlib.metadata
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import sys
import traceback
import typing

# Keystone reads sys.argv as its own command line: keep it from finding ours.
CONTROL_FD = int(sys.argv.pop())
sys.argv[:] = ["keystone"]

# The product's environment, in which types are checked, has none of these.
# ruff: noqa: E402
import cryptography.fernet
import keystone.cmd.bootstrap  # type: ignore[import-not-found, unused-ignore]
import keystone.common.sql.upgrades  # type: ignore[import-not-found, unused-ignore]
import keystone.server.flask.core  # type: ignore[import-not-found, unused-ignore]
import waitress  # type: ignore[import-not-found, import-untyped, unused-ignore]

Order = dict[str, typing.Any]

PR_SET_PDEATHSIG = 1
LARGEST_ORDER = 65536
THREADS = 4

# Cheap on purpose: four hash rounds, no fsync, a cache in memory. memory_pickle because the other
# in-memory backends share objects between threads and now and then let a revoked token pass.
CONFIG = """\
[DEFAULT]
log_file = {directory}/keystone.log
{endpoint}
[database]
connection = sqlite:///{database}
sqlite_synchronous = false
[token]
provider = fernet
[fernet_tokens]
key_repository = {directory}/fernet-keys
[fernet_receipts]
key_repository = {directory}/fernet-keys
[credential]
key_repository = {directory}/credential-keys
[identity]
password_hash_rounds = 4
[cache]
enabled = true
backend = dogpile.cache.memory_pickle
[oslo_middleware]
enable_proxy_headers_parsing = true
"""


def write_config(directory: pathlib.Path, database: pathlib.Path, endpoint: str = "") -> None:
    """Write DIRECTORY/keystone.conf for a Keystone that keeps everything in that directory."""
    text = CONFIG.format(directory=directory, database=database, endpoint=endpoint)
    (directory / "keystone.conf").write_text(text)


def write_keys(repository: pathlib.Path) -> None:
    """Make a key repository as keystone-manage would: key 0 staged, key 1 primary."""
    repository.mkdir()
    for name in ("0", "1"):
        (repository / name).write_bytes(cryptography.fernet.Fernet.generate_key())


def configure(directory: pathlib.Path) -> None:
    """Load DIRECTORY/keystone.conf into this process's global configuration."""
    keystone.server.configure(config_files=[str(directory / "keystone.conf")])


def make_template(order: Order) -> None:
    """Build a database with Keystone's schema and no cloud in it, at order["database"]."""
    directory = pathlib.Path(order["directory"])
    write_config(directory, pathlib.Path(order["database"]))
    configure(directory)
    keystone.common.sql.upgrades.offline_sync_database_to_version()


def create(order: Order) -> None:
    """Fill an empty directory with a new cloud: its own ids, keys, administrator and endpoints."""
    directory = pathlib.Path(order["directory"])
    database = directory / "keystone.db"
    # The keys come first: where a cloud is already, this fails before anything of it is touched.
    for repository in ("fernet-keys", "credential-keys"):
        write_keys(directory / repository)
    shutil.copyfile(order["template"], database)
    write_config(directory, database, order["endpoint"])
    configure(directory)
    bootstrapper = keystone.cmd.bootstrap.Bootstrapper()
    bootstrapper.admin_username = "admin"
    bootstrapper.admin_password = order["admin_password"]
    bootstrapper.project_name = "admin"
    bootstrapper.admin_role_name = "admin"
    bootstrapper.service_name = "keystone"
    bootstrapper.region_id = order["region"]
    # An interface whose URL is None gets no endpoint.
    bootstrapper.public_url = order["public_url"]
    bootstrapper.internal_url = order["other_url"]
    bootstrapper.admin_url = order["other_url"]
    bootstrapper.immutable_roles = True
    bootstrapper.bootstrap()


def serve(order: Order) -> None:
    """Serve the cloud of order["directory"] on the listening socket order["listener"], for ever."""
    configuration = str(pathlib.Path(order["directory"]) / "keystone.conf")
    application = keystone.server.flask.core.initialize_application(
        name="public", config_files=[configuration]
    )
    server = waitress.create_server(
        application,
        sockets=[order["listener"]],
        threads=THREADS,
        url_prefix=order["path"],
        # Nobody stands before it but the gateway under test, whose X-Forwarded-* must arrive.
        clear_untrusted_proxy_headers=False,
    )
    server.run()


JOBS: dict[str, collections.abc.Callable[[Order], None]] = {
    "template": make_template,
    "create": create,
    "serve": serve,
}


def die_with(parent: int) -> None:
    """Have the kernel kill this process, even a stopped one, when its PARENT ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # it ended before the call
        os._exit(1)


def run_child(parent: int, order: Order, reply: socket.socket) -> typing.NoReturn:
    """Do one order in a freshly forked child and end it, with what it prints in the cloud's log."""
    status = 1
    try:
        die_with(parent)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.umask(0o077)
        log_path = os.path.join(order["directory"], "keystone.log")
        log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        reply.sendall(b"%d\n" % os.getpid())
        JOBS[order["job"]](order)
        reply.sendall(b"done\n")
        status = 0
    except BaseException as error:  # noqa: BLE001 - a forked child must not return to its caller
        # The one door out: whatever happened goes to the cloud's log and to who asked.
        traceback.print_exc()
        summary = " ".join(str(error).split())
        reply.sendall(f"failed: {type(error).__name__}: {summary}\n".encode())
    finally:
        # _exit: what the nursery registered to run at its own end is none of a child's business.
        os._exit(status)


def main() -> None:
    """Announce readiness, then fork a child for each order until the parent is gone."""
    parent = os.getppid()
    nursery = os.getpid()
    # Children are never waited for: their replies tell what is to be known.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    control = socket.socket(fileno=CONTROL_FD)
    control.send(json.dumps({"version": importlib.metadata.version("keystone")}).encode())
    while True:
        # The socket's end is the usual sign. A fork of the parent may hold it open, hence the look
        # at the parent each second.
        readable, _, _ = select.select([control], [], [], 1.0)
        if os.getppid() != parent:
            return
        if not readable:
            continue
        packet, descriptors, _, _ = socket.recv_fds(control, LARGEST_ORDER, 2)
        if not packet:
            return
        sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        order = json.loads(packet)
        if len(sockets) > 1:
            order["listener"] = sockets[1]
        if os.fork() == 0:
            control.close()
            run_child(nursery, order, sockets[0])
        for given in sockets:
            given.close()


if __name__ == "__main__":
    main()
    # Tidying up two thousand modules would keep whoever waits for our end for nothing.
    os._exit(0)
