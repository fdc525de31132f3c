# SPDX-License-Identifier: Apache-2.0
"""The states of requests and how one leads to another."""

import unittest

from headwater.common import states
from headwater.common.states import PENDING, REQUEST_SOURCES, SETTLED, RequestState

#: Nothing follows these by itself; only an operator leads out of FAILED.
ENDS = (RequestState.COMPLETED, RequestState.FAILED)


class RequestStatesTest(unittest.TestCase):
    def reachable_from(self, start: RequestState) -> set[RequestState]:
        reached, new = {start}, {start}
        while new:
            new = {to for to, sources in REQUEST_SOURCES.items() if sources & new} - reached
            reached |= new
        return reached

    def test_every_state_says_from_which_states_it_is_reached(self) -> None:
        self.assertEqual(set(RequestState), set(REQUEST_SOURCES))
        for state, sources in REQUEST_SOURCES.items():
            self.assertTrue(sources, state)

    def test_every_state_is_reached_from_the_first(self) -> None:
        self.assertEqual(set(RequestState), self.reachable_from(RequestState.QUEUED))

    def test_nothing_leads_out_of_completed(self) -> None:
        self.assertEqual({RequestState.COMPLETED}, self.reachable_from(RequestState.COMPLETED))

    def test_nothing_leads_out_of_cancelled(self) -> None:
        self.assertEqual({RequestState.CANCELLED}, self.reachable_from(RequestState.CANCELLED))

    def test_what_a_worker_has_read_is_not_cancelled(self) -> None:
        self.assertNotIn(RequestState.IN_PROGRESS, REQUEST_SOURCES[RequestState.CANCELLED])

    def test_a_failed_request_is_queued_again_or_given_up(self) -> None:
        following = {
            to for to, sources in REQUEST_SOURCES.items() if RequestState.FAILED in sources
        }
        self.assertEqual({RequestState.QUEUED, RequestState.CANCELLED}, following)

    def test_a_request_ends_only_where_a_worker_has_read_it(self) -> None:
        for state in ENDS:
            self.assertEqual({RequestState.IN_PROGRESS}, REQUEST_SOURCES[state])

    def test_a_request_is_pending_or_at_an_end(self) -> None:
        self.assertEqual(set(RequestState), {*PENDING, *ENDS, RequestState.CANCELLED})
        self.assertEqual({RequestState.COMPLETED, RequestState.CANCELLED}, set(SETTLED))
        self.assertEqual(set(), set(PENDING) & set(ENDS))


class ValuesTest(unittest.TestCase):
    ENUMS = (
        states.IntentState,
        states.Operation,
        states.RequestState,
        states.JobState,
        states.SyncRequest,
        states.SyncStatus,
        states.Management,
        states.Availability,
    )

    def test_every_value_fits_into_its_column(self) -> None:
        for enum in self.ENUMS:
            for state in enum:
                self.assertLessEqual(len(state), 16, state)

    def test_values_are_the_words_of_the_peer(self) -> None:
        self.assertEqual(
            ["none", "requested", "in-progress", "completed", "failed"],
            [state.value for state in states.SyncRequest],
        )
        self.assertEqual(
            {"in-sync", "out-of-sync", "unknown"}, {state.value for state in states.SyncStatus}
        )
        self.assertEqual({"managed", "unmanaged"}, {state.value for state in states.Management})
