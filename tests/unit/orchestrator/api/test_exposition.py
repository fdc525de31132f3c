# SPDX-License-Identifier: Apache-2.0
"""The text that Prometheus reads, and with which tokens."""

import pathlib
import tempfile
from unittest import mock

from headwater.common.errors import ConfigurationError
from headwater.db import inventory
from headwater.db.pod_records import Reading
from headwater.orchestrator.api import exposition
from headwater.orchestrator.api.scraping import Scraper
from tests.support.api import ApiTestCase
from tests.support.pod_builders import URI, add_node, add_pod, seen
from tests.support.telemetry_builders import poll

TOKEN = "a-token-of-prometheus"


class ExpositionTest(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.pod = add_pod(self.database, 'rack "7"\\\n')
        stock = [seen(f"{URI}{number}", power_state=None) for number in range(1, 5)]
        inventory.store(self.database, self.pod.id, [seen(), *stock], [])

    def text(self) -> str:
        answer = self.call("GET", "/v1/metrics")
        self.assertEqual(200, answer.status_int)
        wanted = "text/plain; version=0.0.4; charset=utf-8"
        self.assertEqual(wanted, answer.headers["Content-Type"])
        return str(answer.text)

    def test_each_family_is_one_group_and_every_sample_has_its_labels(self) -> None:
        node = add_node(self.database, "n1")
        poll(
            self.database,
            self.pod,
            Reading("power_watts", "psu\x1b\n", 220.5),
            Reading("odd-metric", "x", 1e30),
        )
        with mock.patch.object(exposition, "_PAGE", 2):
            lines = self.text().splitlines()
        groups = [line.split("{")[0].split(" ")[0] for line in lines if not line.startswith("#")]
        kept = list(dict.fromkeys(groups))
        self.assertEqual(sorted(groups, key=kept.index), groups)
        self.assertEqual(
            [
                f"headwater_machine_{name}"
                for name in ("power_on", "health", "seen_seconds", "odd_metric", "power_watts")
            ],
            kept,
        )
        self.assertEqual(5, groups.count("headwater_machine_power_watts"))
        assert node.machine is not None
        labels = f'pod="rack \\"7\\"\\\\\\n",machine="{node.machine.uuid}",name="machine",node="n1"'
        self.assertIn(f'headwater_machine_power_watts{{{labels},sensor="psu \\n"}} 220.5', lines)
        self.assertIn("# TYPE headwater_machine_power_watts gauge", lines)

    def test_what_a_machine_does_not_tell_is_left_out(self) -> None:
        lines = self.text().splitlines()
        self.assertEqual(1, sum(line.startswith("headwater_machine_power_on{") for line in lines))
        self.assertEqual(5, sum(line.startswith("headwater_machine_health{") for line in lines))

    def test_nothing_is_there_at_first(self) -> None:
        inventory.store(self.database, self.pod.id, [], [])
        self.assertEqual([], [li for li in self.text().splitlines() if not li.startswith("#")])


class ScraperTestCase(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.file = directory / "token"
        self.file.write_text(f"{TOKEN}\n")
        self.app._scraper = Scraper(str(self.file))

    def scrape(self, path: str = "/v1/metrics", method: str = "GET", **headers: str) -> int:
        answer = self.ask(path, method, **{"Authorization": f"Bearer {TOKEN}", **headers})
        return int(answer.status_int)


class ScraperTest(ScraperTestCase):
    def test_the_token_of_the_file_passes_for_metrics_alone(self) -> None:
        self.assertEqual(200, self.scrape())
        self.assertEqual(200, self.scrape("/v1/metrics/"))
        for path in ("/v1/pods", "/v1/machines", "/v1/metrics/x", "/v1/telemetry_policies"):
            self.assertEqual(401, self.scrape(path), path)
        self.assertEqual(401, self.scrape(method="POST"))

    def test_any_other_does_not(self) -> None:
        for given in (
            "",
            "Bearer",
            "Bearer ",
            TOKEN,
            f"Basic {TOKEN}",
            f"Bearer {TOKEN}x",
            f"Bearer {TOKEN[:-1]}",
            "Bearer tok\xe9n",
        ):
            with self.subTest(given):
                self.assertEqual(401, self.scrape(Authorization=given))

    def test_nobody_becomes_more_than_a_reader_by_it(self) -> None:
        with mock.patch.object(self.app, "_checked", wraps=self.app._checked) as checked:
            self.scrape(X_Roles="admin", X_User_Id="admin", X_Is_Admin_Project="True")
        environ = checked.call_args.args[0]
        names = [name for name in environ if name.startswith("HTTP_X_")]
        self.assertEqual({"HTTP_X_ROLES", "HTTP_X_USER_NAME"}, set(names))
        self.assertEqual("reader", environ["HTTP_X_ROLES"])

    def test_the_file_can_be_replaced_and_taken_away(self) -> None:
        self.file.write_text("another-token-of-prometheus")
        self.assertEqual(401, self.scrape())
        self.assertEqual(200, self.scrape(Authorization="Bearer another-token-of-prometheus"))
        self.file.unlink()
        self.assertEqual(401, self.scrape())

    def test_without_a_file_only_tokens_of_keystone_pass(self) -> None:
        self.app._scraper = Scraper(None)
        self.assertEqual(401, self.scrape())
        self.assertEqual(200, self.call("GET", "/v1/metrics").status_int)

    def test_a_file_that_cannot_be_used_stops_the_start(self) -> None:
        for content in ("", "short", "two words of which none is long", "a\nb" * 20):
            self.file.write_text(content)
            with self.assertRaisesRegex(ConfigurationError, r"metrics_token_file = .*token"):
                Scraper(str(self.file))
        with self.assertRaisesRegex(ConfigurationError, "No such file"):
            Scraper(f"{self.file}.no")


class OwnRuleTest(ScraperTestCase):
    policy = '"headwater:metrics:show": "role:auditor"\n'

    def test_an_operators_rule_counts(self) -> None:
        self.assertEqual(403, self.scrape())
