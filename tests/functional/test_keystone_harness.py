# SPDX-License-Identifier: Apache-2.0
"""The harness that runs real Keystones does what the tests above it take for granted."""

import pathlib
import tempfile
import unittest

import requests
from keystoneauth1 import exceptions, session
from keystoneauth1.identity import v3

from tests.services import keystone


class KeystoneHarnessTest(unittest.TestCase):
    clouds: dict[str, keystone.Keystone]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        keystone.require_services()
        directory = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.clouds = keystone.start_clouds(["RegionOne", "subcloud1"], pathlib.Path(directory))
        for cloud in cls.clouds.values():
            cls.addClassCleanup(cloud.close)

    def admin_id(self, region: str) -> str:
        answer = self.clouds[region].request("GET", "/v3/users?name=admin")
        self.assertEqual(200, answer.status_code, answer.text)
        return str(answer.json()["users"][0]["id"])

    def test_clouds_share_neither_ids_nor_passwords(self) -> None:
        central, subcloud = self.clouds["RegionOne"], self.clouds["subcloud1"]
        self.assertNotEqual(self.admin_id("RegionOne"), self.admin_id("subcloud1"))
        self.assertNotEqual(central.admin_password, subcloud.admin_password)
        token = central.admin_session().get_token()
        foreign = requests.get(
            f"{subcloud.auth_url}/users", headers={"X-Auth-Token": str(token)}, timeout=30
        )
        self.assertEqual(401, foreign.status_code)

    def test_each_region_has_its_endpoints_in_the_catalog(self) -> None:
        for region, cloud in self.clouds.items():
            for interface in ("public", "internal", "admin"):
                with self.subTest(region=region, interface=interface):
                    endpoint = cloud.admin_session().get_endpoint(
                        service_type="identity",
                        interface=interface,
                        region_name=region,
                        skip_discovery=True,
                    )
                    self.assertEqual(cloud.auth_url, endpoint)

    def test_a_stopped_cloud_refuses_and_comes_back_on_its_port_with_its_state(self) -> None:
        cloud = self.clouds["subcloud1"]
        before = self.admin_id("subcloud1")
        cloud.stop()
        self.addCleanup(cloud.wait_ready)
        self.addCleanup(cloud.start)
        self.assertFalse(cloud.is_running())
        with self.assertRaises(requests.ConnectionError):
            requests.get(cloud.auth_url, timeout=5)
        cloud.stop()  # the second time changes nothing
        cloud.start()
        cloud.start()
        cloud.wait_ready(30)
        self.assertEqual(before, self.admin_id("subcloud1"))

    def test_creating_a_cloud_twice_is_refused_and_harms_nothing(self) -> None:
        cloud = self.clouds["RegionOne"]
        before = self.admin_id("RegionOne")
        with self.assertRaisesRegex(keystone.KeystoneFailed, "FileExistsError"):
            cloud.create()
        cloud.stop()
        cloud.start()
        self.assertEqual(before, self.admin_id("RegionOne"))

    def test_a_paused_cloud_answers_after_it_is_resumed(self) -> None:
        cloud = self.clouds["subcloud1"]
        cloud.pause()
        self.addCleanup(cloud.resume)
        with self.assertRaises(requests.ReadTimeout):
            requests.get(cloud.auth_url, timeout=0.3)
        cloud.resume()
        cloud.wait_ready(30)

    def test_the_service_user_may_validate_a_token_and_do_no_more(self) -> None:
        cloud = self.clouds["RegionOne"]
        first = cloud.create_service_user("headwater", "replaced by the second call")
        self.assertEqual(first, cloud.create_service_user("headwater", "s3rvice-pass"))
        service = session.Session(
            auth=v3.Password(
                cloud.auth_url,
                username="headwater",
                password="s3rvice-pass",
                user_domain_name="Default",
                project_name="service",
                project_domain_name="Default",
            )
        )
        token = cloud.admin_session().get_token()
        answer = service.get(
            f"{cloud.auth_url}/auth/tokens", headers={"X-Subject-Token": str(token)}
        )
        self.assertEqual("admin", answer.json()["token"]["user"]["name"])
        with self.assertRaises(exceptions.Forbidden):
            service.get(f"{cloud.auth_url}/users")

    def test_another_region_can_be_put_into_the_catalog_and_moved(self) -> None:
        cloud = self.clouds["RegionOne"]
        for port in (25000, 25001):
            url = f"http://127.0.0.1:{port}/v3"
            cloud.add_region_endpoint("SystemController", url)
            listed = cloud.request("GET", "/v3/endpoints?region_id=SystemController").json()
            self.assertEqual(
                {("public", url), ("internal", url), ("admin", url)},
                {(entry["interface"], entry["url"]) for entry in listed["endpoints"]},
            )

    def test_a_missing_environment_names_the_command_that_builds_it(self) -> None:
        nowhere = pathlib.Path(tempfile.gettempdir()) / "no" / "bin" / "python"
        with (
            self.assertRaisesRegex(keystone.ServicesMissing, "tools/test"),
            keystone.Keystone("RegionOne", nowhere.parent, nowhere),
        ):
            self.fail("there was nothing to run")
