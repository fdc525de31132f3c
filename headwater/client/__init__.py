# SPDX-License-Identifier: Apache-2.0
"""The `openstack` commands of headwater: a python-openstackclient plugin.

Needs nothing of the rest of the package, so it can be installed alone: pip install
'headwater[client]' brings what it needs.
"""
