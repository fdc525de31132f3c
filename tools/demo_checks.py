# SPDX-License-Identifier: Apache-2.0
"""The demo's proof: each subcloud's own Keystone is asked, past headwater, as its own admin."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import requests
from keystoneauth1.exceptions import ClientException

from tests.services.keystone import Keystone
from tools.demo_admin import Story
from tools.demo_screen import print_table

Check = Callable[[Keystone, Story], None]


class Wrong(Exception):
    """A subcloud is not as it should be; says how."""


def _find(cloud: Keystone, noun: str, name: str) -> dict[str, Any] | None:
    answer = cloud.request("GET", f"/v3/{noun}s?{urlencode({'name': name})}")
    if not answer.ok:
        raise Wrong(f"{answer.status_code} {answer.text}")
    found: list[dict[str, Any]] = answer.json()[f"{noun}s"]
    return found[0] if found else None


def _expect(cloud: Keystone, noun: str, name: str, **attributes: object) -> str:
    """Return the id of what has this name; raises Wrong unless it has these attributes, too."""
    found = _find(cloud, noun, name)
    if found is None:
        raise Wrong(f"there is no {noun} {name}")
    for attribute, value in attributes.items():
        if found.get(attribute) != value:
            raise Wrong(f"{attribute} of {noun} {name} is {found.get(attribute)!r}, not {value!r}")
    return str(found["id"])


def _expect_none(cloud: Keystone, noun: str, name: str) -> None:
    if _find(cloud, noun, name) is not None:
        raise Wrong(f"there is a {noun} {name}")


def _expect_link(cloud: Keystone, path: str) -> None:
    answer = cloud.request("HEAD", path)
    if answer.status_code != requests.codes.no_content:
        raise Wrong(f"HEAD {path} answers {answer.status_code}")


def _expect_login(cloud: Keystone, story: Story, password: str, status: int) -> None:
    user = {"name": story.user, "domain": {"id": "default"}, "password": password}
    project = {"name": story.new_project, "domain": {"id": "default"}}
    login = {
        "identity": {"methods": ["password"], "password": {"user": user}},
        "scope": {"project": project},
    }
    with requests.Session() as session:
        session.trust_env = False  # a proxy in the environment is not for this address
        answer = session.post(f"{cloud.auth_url}/auth/tokens", json={"auth": login}, timeout=30)
    if answer.status_code != status:
        raise Wrong(f"the login of {story.user} answers {answer.status_code}, not {status}")


def _user(cloud: Keystone, story: Story) -> None:
    _expect(cloud, "user", story.user, email=story.email, enabled=True)


def _project(cloud: Keystone, story: Story) -> None:
    attributes = {"description": story.project_description, "enabled": True}
    _expect(cloud, "project", story.new_project, **attributes)
    _expect_none(cloud, "project", story.project)


def _role(cloud: Keystone, story: Story) -> None:
    _expect(cloud, "role", story.role)


def _group(cloud: Keystone, story: Story) -> None:
    _expect(cloud, "group", story.group)


def _membership(cloud: Keystone, story: Story) -> None:
    group, user = _expect(cloud, "group", story.group), _expect(cloud, "user", story.user)
    _expect_link(cloud, f"/v3/groups/{group}/users/{user}")


def _assignment(cloud: Keystone, story: Story) -> None:
    project = _expect(cloud, "project", story.new_project)
    user, role = _expect(cloud, "user", story.user), _expect(cloud, "role", story.role)
    _expect_link(cloud, f"/v3/projects/{project}/users/{user}/roles/{role}")


def _leaver(cloud: Keystone, story: Story) -> None:
    _expect_none(cloud, "user", story.leaver)


def _new_password(cloud: Keystone, story: Story) -> None:
    _expect_login(cloud, story, story.new_password, requests.codes.created)


def _old_password(cloud: Keystone, story: Story) -> None:
    _expect_login(cloud, story, story.first_password, requests.codes.unauthorized)


def _checks(story: Story) -> dict[str, Check]:
    """Return the checks by what is printed about them."""
    return {
        f"user {story.user} with her e-mail address": _user,
        f"project {story.new_project}, not {story.project} any more": _project,
        f"role {story.role}": _role,
        f"group {story.group}": _group,
        f"{story.user} is in {story.group}": _membership,
        f"{story.user} is {story.role} on {story.new_project}": _assignment,
        f"user {story.leaver} is gone": _leaver,
        f"{story.user} logs in to {story.new_project} with the new password": _new_password,
        "the old password is refused": _old_password,
    }


def print_checks(subclouds: Mapping[str, Keystone], story: Story) -> bool:
    """Ask every subcloud everything and print a table; returns whether nothing is missing."""
    rows = []
    reasons = []
    for title, check in _checks(story).items():
        cells = []
        for name, cloud in subclouds.items():
            try:
                check(cloud, story)
                cells.append("ok")
            except (Wrong, ClientException, requests.RequestException) as error:
                cells.append("MISSING")
                reasons.append(f"{name}: {title}: {error}")
        rows.append([title, *cells])
    print_table(["", *subclouds], rows)
    for reason in reasons:
        print(f"  {reason}")
    return not reasons
