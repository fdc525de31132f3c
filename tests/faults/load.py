# SPDX-License-Identifier: Apache-2.0
"""Clients that change groups all the time, and remember what they were told."""

import itertools
import threading
import typing
from collections.abc import Callable

import requests

from tests.faults.installation import FaultTest
from tests.support.waiting import PATIENCE

#: A state that a group may be in: its description, or None where it is not there.
State = str | None


class Load:
    """Several clients, each creating, changing and deleting groups of its own, one call at a time.

    Use it as a context manager: on leaving it the clients have ended.
    """

    def __init__(self, test: FaultTest, clients: int = 3) -> None:
        self.prefix = test.unique("load")
        #: What each group may be in the end, by name, after all that its client was told.
        self.allowed: dict[str, set[State]] = {}
        #: The answers' status codes; 0 stands for none.
        self.answers: list[int] = []
        self._url, self._token = test.system.url, test.token
        self._stopping = False
        self._errors: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._guarded, args=(f"{self.prefix}-{number}",), daemon=True)
            for number in range(clients)
        ]

    def __enter__(self) -> typing.Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping = True
        for thread in self._threads:
            thread.join(PATIENCE)
        if self._errors:
            raise AssertionError("a client failed") from self._errors[0]

    def count(self, wanted: Callable[[int], bool]) -> int:
        """How many answers so far have such a status."""
        return sum(map(wanted, list(self.answers)))

    def succeeded(self) -> int:
        """How many calls had success so far."""
        return self.count(lambda status: 200 <= status < 300)

    def _guarded(self, prefix: str) -> None:
        try:
            with requests.Session() as http:
                http.trust_env = False
                for number in itertools.count():
                    if self._stopping:
                        return
                    self._one_group(http, f"{prefix}-{number}", number)
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            self._errors.append(error)

    def _one_group(self, http: requests.Session, name: str, number: int) -> None:
        self.allowed[name] = {None}
        body = {"name": name, "domain_id": "default", "description": "first"}
        made = self._send(http, name, "first", "POST", "/v3/groups", {"group": body})
        if made is None or made.status_code != 201:
            return
        path = f"/v3/groups/{made.json()['group']['id']}"
        self._send(http, name, "second", "PATCH", path, {"group": {"description": "second"}})
        if number % 3 == 0:
            self._send(http, name, None, "DELETE", path)

    def _send(
        self,
        http: requests.Session,
        name: str,
        state: State,
        method: str,
        path: str,
        body: object = None,
    ) -> requests.Response | None:
        """Send a call that brings a group to a state, and note in which it may be now."""
        try:
            answer = http.request(
                method,
                self._url + path,
                json=body,
                headers={"X-Auth-Token": self._token},
                timeout=PATIENCE,
            )
        except requests.RequestException:
            self.answers.append(0)
            self.allowed[name].add(state)
            return None
        self.answers.append(answer.status_code)
        if answer.ok:
            self.allowed[name] = {state}
        elif not _refused_before_forwarding(answer):
            self.allowed[name].add(state)
        return answer


def _refused_before_forwarding(answer: requests.Response) -> bool:
    """Whether the gateway says that it could not write the change down."""
    return answer.status_code == 503 and "database" in answer.text
