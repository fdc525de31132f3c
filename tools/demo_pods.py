# SPDX-License-Identifier: Apache-2.0
"""tools/demo --pods: a pod of emulated machines, from its first inventory to a node and back."""

import contextlib
import secrets

from tests.services.emulator import Emulator
from tools.demo_installation import Installation, openstack

_VARIABLE = "HEADWATER_POD_PASSWORD"

_POD, _NODE = "rack-7", "worker-1"


def play_pods(installation: Installation, running: contextlib.ExitStack) -> int:
    """Run the commands, and ask the emulator itself in the end; returns the exit code."""
    emulator = running.enter_context(
        Emulator(installation.directory / "emulator", ("blade-1", "blade-2", "blade-3"))
    )
    print(f"\nsushy-emulator answers at {emulator.url}, with three machines\n")
    # Any file will do: nothing runs in these machines. The emulator's own page is one.
    image = f"{emulator.url}/redfish/v1/"
    word = secrets.token_hex(10)
    add = ("pod", "add", _POD, "--address", emulator.url)
    openstack(installation, *add, password=word, variable=_VARIABLE)
    for command in (
        ("pod", "sync", _POD, "--wait"),
        ("machine", "list"),
        ("node", "compose", _NODE, "--pod", _POD, "-c", "name", "-c", "state"),
        ("node", "power", "on", _NODE, "--wait"),
        ("node", "boot", "image", _NODE, image, "--wait"),
        ("node", "list"),
    ):
        print(openstack(installation, *command))
    switched_on = emulator.power_states().count("On")
    for command in (
        ("node", "delete", _NODE, "--wait"),
        ("pod", "task", "list", "-c", "Action", "-c", "State", "-c", "Note"),
    ):
        print(openstack(installation, *command))
    switched_off = emulator.power_states().count("Off")
    print(f"The emulator itself says: {switched_on} machine was on, {switched_off} are off now.")
    return 0 if (switched_on, switched_off) == (1, 3) else 1
