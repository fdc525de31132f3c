# SPDX-License-Identifier: Apache-2.0
"""Imported once, by the process from which commands are forked: see openstack_command."""

import os
import sys

# Both are looked at while modules are imported: the name of the command, and where clouds.yaml is.
sys.argv = ["openstack"]
os.environ["HOME"] = "/nonexistent"

import openstack  # noqa: E402, F401
import openstackclient.shell  # noqa: E402, F401

import headwater.client.plugin  # noqa: E402, F401
