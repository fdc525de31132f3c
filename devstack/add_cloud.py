# SPDX-License-Identifier: Apache-2.0
"""Adds a cloud to devstack's clouds.yaml: `add_cloud.py FILE NAME REGION`.

It is devstack-admin in another region. Needs nothing but PyYAML; the second time nothing changes.
"""

import pathlib
import sys

import yaml


def main(path: pathlib.Path, name: str, region: str) -> None:
    """Copy the entry; no password is given or shown."""
    document = yaml.safe_load(path.read_text())
    document["clouds"][name] = {**document["clouds"]["devstack-admin"], "region_name": region}
    path.write_text(yaml.safe_dump(document, default_flow_style=False))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), *sys.argv[2:])
