# SPDX-License-Identifier: Apache-2.0
"""What python-openstackclient asks of a plugin."""

import argparse
from typing import Any

from keystoneauth1.adapter import Adapter

from headwater.client.rest import SERVICE_TYPE, Api

API_NAME = "headwater"
API_VERSION_OPTION = "os_headwater_api_version"
DEFAULT_API_VERSION = "1"
API_VERSIONS = {"1": "headwater.client.rest.Api"}


def make_client(instance: Any) -> Api:
    """The API, found in the catalog by its service type in the region that the user named."""
    # The kind of adapter that openstacksdk's own services are; its get_session_client makes one
    # that works only where a private attribute ties it to the connection.
    return Api(
        Adapter(
            instance.session,
            service_type=SERVICE_TYPE,
            interface=instance.interface,
            region_name=instance.region_name,
        )
    )


def build_option_parser(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the global option that every plugin has."""
    parser.add_argument(
        "--os-headwater-api-version",
        metavar="<headwater-api-version>",
        default=DEFAULT_API_VERSION,
        choices=sorted(API_VERSIONS),
        help=f"Version of headwater's API (default: {DEFAULT_API_VERSION}).",
    )
    return parser
