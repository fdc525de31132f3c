# SPDX-License-Identifier: Apache-2.0
"""openstack orchestration drift list, endpoint list, worker list."""

import argparse

from osc_lib.cli import format_columns
from osc_lib.command import command

from headwater.client import options
from headwater.client.columns import Rows


class ListDrift(command.Lister):  # type: ignore[misc]
    """List in what subclouds differ from the central cloud, as their last audits found."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Filter and page."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--subcloud", metavar="<subcloud>", help="Only this subcloud.")
        parser.add_argument("--endpoint-type", metavar="<name>", help="Only this endpoint type.")
        parser.add_argument("--resource-type", metavar="<type>", help="Only such resources.")
        parser.add_argument(
            "--action",
            choices=["repair", "observe", "left-alone", "unmanaged", "quarantine"],
            help="Only those about which this was done.",
        )
        parser.add_argument(
            "--resolved",
            action="store_true",
            help="Also what was found before and is not any more.",
        )
        options.add_paging(parser, "id")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        """One row per resource of a subcloud."""
        found = self.app.client_manager.headwater.pages(
            "/v1/drift",
            "drift",
            parsed_args.limit,
            marker=parsed_args.marker,
            subcloud=parsed_args.subcloud,
            endpoint_type=parsed_args.endpoint_type,
            resource_type=parsed_args.resource_type,
            action=parsed_args.action,
            resolved=parsed_args.resolved,
        )
        header = (
            "ID",
            "Subcloud",
            "Resource",
            "Key",
            "Name",
            "Difference",
            "Fields",
            "Action",
            "Since",
            "Seen",
            "Repairs",
            "Resolved at",
        )
        return header, (
            (
                each["id"],
                each["subcloud"],
                each["resource_type"],
                each["key"],
                each["name"],
                each["kind"],
                format_columns.ListColumn(each["fields"]),
                each["action"],
                each["first_seen_at"],
                each["times_seen"],
                each["repairs"],
                each["resolved_at"],
            )
            for each in found
        )


class ListEndpoints(command.Lister):  # type: ignore[misc]
    """List what the gateway fronts."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        """One row per endpoint type."""
        found = self.app.client_manager.headwater.get("/v1/endpoint_types")["endpoint_types"]
        return ("Name", "Service type", "Audit", "Resources"), (
            (
                each["name"],
                each["service_type"],
                each["audit"],
                format_columns.ListColumn(each["resources"]),
            )
            for each in found
        )


# Not 'service list': Heat's plugin has a command of that name.
class ListWorkers(command.Lister):  # type: ignore[misc]
    """List the processes that work, and what they hold."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        """One row per process."""
        found = self.app.client_manager.headwater.pages("/v1/services", "services")
        return ("ID", "Kind", "Host", "Alive", "Lanes", "Tasks", "Started at", "Last seen at"), (
            (
                each["id"],
                each["kind"],
                each["host"],
                each["alive"],
                each["lanes"],
                each["tasks"],
                each["started_at"],
                each["last_seen_at"],
            )
            for each in found
        )
