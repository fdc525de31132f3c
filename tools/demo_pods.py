# SPDX-License-Identifier: Apache-2.0
"""tools/demo --pods: emulated machines as pods, from the first inventory to nodes and back.

Once as a list of BMCs, once behind a pod manager that composes: that one is a layer of the tests
over the same emulator, because nobody's emulator composes.
"""

import contextlib
import secrets

from tests.services.emulator import Emulator
from tests.services.podm import ComposingPod
from tools.demo_installation import Installation, openstack

_VARIABLE = "HEADWATER_POD_PASSWORD"

_POD, _NODE = "rack-7", "worker-1"

_MANAGER, _COMPOSED = "podm", "worker-2"

#: Looks that an operation of the pod manager takes.
_LOOKS = 3


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
    composes = _play_composition(installation, running.enter_context(ComposingPod(emulator)), word)
    return 0 if (switched_on, switched_off) == (1, 3) and composes else 1


def _play_composition(installation: Installation, podm: ComposingPod, word: str) -> bool:
    """Whether a machine was made of resource blocks, and taken apart again."""
    print(f"\nA pod manager answers at {podm.url}, with resource blocks in two zones\n")
    podm.looks = _LOOKS
    add = ("pod", "add", _MANAGER, "--driver", "redfish", "--address", podm.url)
    openstack(installation, *add, password=word, variable=_VARIABLE)
    free = podm.free()
    shown = ("-c", "Name", "-c", "Node", "-c", "State", "-c", "CPUs", "-c", "Size GiB")
    of_manager = ("--pod", _MANAGER)
    compose = ("node", "compose", _COMPOSED, *of_manager, "--storage-gib", "100")
    for command in (
        ("pod", "sync", _MANAGER, "--wait"),
        (*compose, "--wait", "-c", "state"),
        ("pod", "component", "list", *of_manager, "--kind", "block", "--refresh", *shown),
    ):
        print(openstack(installation, *command))
    made = len(podm.composed)
    print(openstack(installation, "node", "delete", _COMPOSED, "--wait"))
    left = len(podm.composed)
    print(f"The pod manager itself says: {made} machine was composed, {left} are left now.")
    return made == 1 and podm.free() == free
