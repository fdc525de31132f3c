# SPDX-License-Identifier: Apache-2.0
"""What `tools/demo --keep` prints: how to go on by hand."""

import shlex

from tests.services.keystone import Keystone
from tools.demo_installation import MANAGE, OPENSTACK, Installation

TEXT = """
Everything is left running. Paste this into a shell to be the cloud admin:

unset $(env | grep -o '^OS_[A-Z_]*') 2>/dev/null
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
{exports}
openstack() {{ {openstack} --os-region-name SystemController "$@"; }}
headwater-manage() {{ {manage} --config-file {config_file} "$@"; }}

Then try, for example:

openstack user create carol
openstack orchestration job list
openstack orchestration status
openstack subcloud audit --all
openstack orchestration drift list
headwater-manage --help

To look at a subcloud itself, past headwater, in the same shell:

{subclouds}

Logs and databases are in {directory}
Press Ctrl-C here to stop everything and to remove them.
"""


def print_hints(installation: Installation) -> None:
    """Print the environment and the commands to paste."""
    print(
        TEXT.format(
            exports="\n".join(
                f"export {name}={shlex.quote(value)}"
                for name, value in installation.central.admin_environment().items()
            ),
            openstack=shlex.quote(str(OPENSTACK)),
            manage=shlex.quote(str(MANAGE)),
            config_file=installation.config_file,
            subclouds="\n".join(_user_list(cloud) for cloud in installation.subclouds.values()),
            directory=installation.directory,
        ),
        end="",
    )


def _user_list(cloud: Keystone) -> str:
    login = f"OS_AUTH_URL={cloud.auth_url} OS_PASSWORD={shlex.quote(cloud.admin_password)}"
    return f"{login} {shlex.quote(str(OPENSTACK))} user list"
