# SPDX-License-Identifier: Apache-2.0
"""The Redfish driver on a real HTTP peer that breaks as BMCs do: sushy's traps, one test each."""

import datetime
import ipaddress
import json
import pathlib
import socket
import tempfile
import time
import unittest
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from headwater.common.errors import HeadwaterError, LoginRefused, NoAnswer, Unreachable
from headwater.common.states import BootDevice, PowerAction
from headwater.orchestrator.podm.drivers import Boot, Busy, DriverSettings, PodChanged, PodRefused
from headwater.orchestrator.podm.drivers.redfish import BmcFleet
from tests.support.redfish import (
    DRIVE,
    EJECT,
    INSERT,
    RESET,
    SYSTEM,
    SYSTEMS,
    FaultyBmc,
)
from tests.support.waiting import PATIENCE, eventually


class DriverTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.bmc = self.enterContext(FaultyBmc())
        self.driver = self.make()
        self.uri = self.bmc.url + SYSTEM

    def make(self, *, timeout: float = PATIENCE, cafile: str | None = None) -> BmcFleet:
        return BmcFleet(DriverSettings("admin", "tiger", cafile, PATIENCE, timeout))

    def asked(self, method: str, path: str) -> int:
        return self.bmc.asked.count((method, path))

    def press(self, action: PowerAction = PowerAction.ON) -> None:
        self.driver.power(self.uri, action)


class PasswordTest(DriverTestCase):
    def test_one_that_cannot_be_sent_is_not_shown(self) -> None:
        driver = BmcFleet(DriverSettings("admin", "abc\u20acdef", None, PATIENCE, PATIENCE))
        with self.assertRaises(PodRefused) as caught:
            driver.inventory(self.bmc.url)
        self.assertIn("cannot be sent", str(caught.exception))
        self.assertNotIn("20ac", ascii(str(caught.exception)))


class ReadTest(DriverTestCase):
    def test_a_system_is_read(self) -> None:
        found = self.driver.inventory(self.bmc.url)
        (machine,) = found.machines
        self.assertEqual(
            (self.uri, "server-1", "Off", "OK", 2, 96 * 1024),
            (
                machine.uri,
                machine.name,
                machine.power_state,
                machine.health,
                machine.cpus,
                machine.memory_mib,
            ),
        )
        self.assertEqual(
            {"Manufacturer": "Contoso", "SerialNumber": "2M220101SL"}, machine.properties
        )

    def test_one_root_serves_many_calls(self) -> None:
        for _ in range(3):
            self.driver.power_state(self.uri)
        self.assertEqual(1, self.asked("GET", "/redfish/v1"))

    def test_connections_are_kept_where_that_is_wanted(self) -> None:
        for keep, connections in ((False, 4), (True, 1)):
            self.bmc.peers.clear()
            settings = DriverSettings("admin", "tiger", None, PATIENCE, PATIENCE, keep)
            driver = BmcFleet(settings)
            for _ in range(2):
                driver.power_state(self.uri)
            with self.subTest(keep):
                self.assertEqual(connections, len(self.bmc.peers))

    def test_missing_fields_and_those_of_another_kind_are_unknown(self) -> None:
        system = self.bmc.documents[SYSTEM]
        for name in ("PowerState", "Status", "ProcessorSummary", "MemorySummary", "Name"):
            del system[name]
        system["SerialNumber"] = 7
        (machine,) = self.driver.inventory(self.bmc.url).machines
        self.assertEqual(
            ("1", None, None, None, None),
            (
                machine.name,
                machine.power_state,
                machine.health,
                machine.cpus,
                machine.memory_mib,
            ),
        )
        system.update(PowerState="Paused", ProcessorSummary=[], MemorySummary={"x": 1})
        self.assertEqual("Paused", self.driver.power_state(self.uri))

    def test_a_dead_member_is_named_and_not_skipped(self) -> None:
        dead = f"{SYSTEMS}/2"
        self.bmc.documents[SYSTEMS]["Members"].append({"@odata.id": dead})
        self.bmc.fail("GET", dead, 500)
        found = self.driver.inventory(self.bmc.url)
        self.assertEqual([self.uri], [machine.uri for machine in found.machines])
        self.assertEqual([self.bmc.url + dead], found.unread)

    def test_what_is_no_json_is_refused(self) -> None:
        for path in ("/redfish/v1", SYSTEMS):
            self.bmc.faults.clear()
            driver = self.make()
            self.bmc.faults["GET", path] = lambda handler: handler.answer(200, "<html>")
            with self.subTest(path), self.assertRaises(PodRefused):
                driver.inventory(self.bmc.url)

    def test_a_late_answer_is_given_up(self) -> None:
        self.driver = self.make(timeout=0.3)
        self.driver.power_state(self.uri)
        self.bmc.hang("GET", SYSTEM)
        began = time.monotonic()
        with self.assertRaises(Unreachable):
            self.driver.power_state(self.uri)
        self.assertLess(time.monotonic() - began, PATIENCE)

    def test_not_now_names_the_wait(self) -> None:
        for status, header, wait in ((503, "7", 7.0), (429, "2", 2.0), (503, "soon", None)):
            self.bmc.fail("GET", SYSTEM, status, Retry_After=header)
            with self.subTest(status), self.assertRaises(Unreachable) as caught:
                self.driver.power_state(self.uri)
            self.assertEqual(wait, caught.exception.retry_after)

    def test_a_refused_login_is_one(self) -> None:
        for status in (401, 403):
            self.bmc.fail("GET", SYSTEM, status, "The password tiger is wrong.")
            with self.subTest(status), self.assertRaises(LoginRefused):
                self.driver.power_state(self.uri)

    def test_nobody_there(self) -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            nobody = f"http://127.0.0.1:{bound.getsockname()[1]}"
            for call in (
                lambda: self.driver.inventory(nobody),
                lambda: self.driver.power(nobody + SYSTEM, PowerAction.ON),
            ):
                with self.assertRaises(Unreachable):
                    call()


class SessionTest(DriverTestCase):
    def setUp(self) -> None:
        super().setUp()
        sessions = "/redfish/v1/SessionService/Sessions"
        documents = self.bmc.documents
        documents["/redfish/v1"]["SessionService"] = {"@odata.id": "/redfish/v1/SessionService"}
        documents["/redfish/v1"]["Links"] = {"Sessions": {"@odata.id": sessions}}
        documents["/redfish/v1/SessionService"] = {
            "@odata.id": "/redfish/v1/SessionService",
            "Id": "SessionService",
            "Name": "Sessions",
            "SessionTimeout": 30,
            "Sessions": {"@odata.id": sessions},
        }
        self.valid: set[str] = set()
        self.logins: list[Any] = []
        self.sessions = sessions
        self.bmc.faults["POST", sessions] = self.login
        document = documents[SYSTEM]

        def system(handler: Any) -> None:
            if handler.headers.get("X-Auth-Token") in self.valid:
                handler.answer(200, document)
            else:
                handler.answer(401, {"error": {"code": "x", "message": "Expired."}})

        self.bmc.faults["GET", SYSTEM] = system

    def login(self, handler: Any) -> None:
        self.logins.append(json.loads(handler.body))
        token = f"token-{len(self.logins)}"
        self.valid = {token}
        place = f"{self.sessions}/{len(self.logins)}"
        handler.answer(201, {"@odata.id": place}, X_Auth_Token=token, Location=place)

    def test_an_expired_session_is_renewed_once(self) -> None:
        self.driver.power_state(self.uri)
        self.assertEqual([{"UserName": "admin", "Password": "tiger"}], self.logins)
        self.valid = set()
        self.assertEqual("Off", self.driver.power_state(self.uri))
        self.assertEqual(2, len(self.logins))

    def test_a_login_that_is_refused_then_is_told(self) -> None:
        self.driver.power_state(self.uri)
        self.valid = set()
        self.bmc.fail("POST", self.sessions, 401)
        with self.assertRaises(LoginRefused):
            self.driver.power_state(self.uri)


class OrderTest(DriverTestCase):
    def test_each_action_has_its_word(self) -> None:
        for action in PowerAction:
            self.press(action)
        words = ["On", "ForceOff", "GracefulShutdown", "ForceRestart"]
        self.assertEqual(words, self.bmc.resets)

    def test_a_lost_order_is_sent_once_and_known_to_be_lost(self) -> None:
        self.driver = self.make(timeout=0.3)
        self.driver.power_state(self.uri)
        self.bmc.hang("POST", RESET, after=lambda body: self.bmc.power("On"))
        with self.assertRaises(NoAnswer):
            self.press()
        eventually(lambda: self.bmc.resets, "the order to arrive")
        self.assertEqual((1, "On"), (self.asked("POST", RESET), self.driver.power_state(self.uri)))

    def test_a_connection_that_breaks_under_an_order_leaves_doubt(self) -> None:
        self.bmc.cut("POST", RESET)
        with self.assertRaises(NoAnswer):
            self.press()
        self.assertEqual(1, self.asked("POST", RESET))

    def test_an_order_that_the_pod_has_no_time_for_was_not_taken(self) -> None:
        self.bmc.fail("POST", RESET, 503, Retry_After="3")
        with self.assertRaises(Unreachable) as caught:
            self.press()
        self.assertEqual(3.0, caught.exception.retry_after)
        self.assertEqual(1, self.asked("POST", RESET))

    def test_an_order_that_is_wrong_says_why(self) -> None:
        for status in (400, 404, 405, 409, 410, 412):
            self.bmc.fail("POST", RESET, status, "The chassis is open.")
            with self.subTest(status), self.assertRaises(PodRefused) as caught:
                self.press()
            self.assertIn("The chassis is open.", str(caught.exception))

    def test_an_action_that_the_machine_does_not_have(self) -> None:
        reset = self.bmc.documents[SYSTEM]["Actions"]["#ComputerSystem.Reset"]
        reset["ResetType@Redfish.AllowableValues"] = ["On"]
        with self.assertRaises(PodRefused):
            self.press(PowerAction.OFF)
        self.bmc.documents[SYSTEM].pop("Actions")
        with self.assertRaises(PodRefused):
            self.press()
        self.assertEqual([], self.bmc.resets)

    def test_no_password_is_in_what_is_told(self) -> None:
        self.bmc.fail("POST", RESET, 401, "admin may not.")
        with self.assertRaises(HeadwaterError) as caught:
            self.press()
        self.assertNotIn("tiger", str(caught.exception))


class SettingsTest(DriverTestCase):
    def test_the_boot_source_is_overridden_and_read_back(self) -> None:
        self.assertEqual(Boot(None, once=False), self.driver.boot(self.uri))
        for device, once in ((BootDevice.CD, True), (BootDevice.NETWORK, False)):
            self.driver.set_boot(self.uri, device, once=once)
            self.assertEqual(Boot(device.value, once), self.driver.boot(self.uri))

    def test_a_source_that_the_machine_does_not_have(self) -> None:
        with self.assertRaises(PodRefused):
            self.driver.set_boot(self.uri, BootDevice.SETUP, once=True)

    def test_what_says_nothing_of_its_boot_source(self) -> None:
        del self.bmc.documents[SYSTEM]["Boot"]
        self.assertEqual(Boot(None, once=False), self.driver.boot(self.uri))

    def test_images_are_inserted_exchanged_and_ejected(self) -> None:
        for image in ("http://images/a.iso", "http://images/b.iso", None):
            self.driver.set_media(self.uri, image)
            self.assertEqual(image, self.driver.media(self.uri))
        self.assertEqual(2, self.asked("POST", EJECT))

    def test_an_eject_that_is_refused_is_told_as_for_every_order(self) -> None:
        for status, meaning in (
            (400, PodRefused),
            (401, LoginRefused),
            (403, LoginRefused),
            (404, PodRefused),
            (409, PodRefused),
            (429, Busy),
            (500, NoAnswer),
            (503, Busy),
        ):
            self.bmc.faults.clear()
            self.driver.set_media(self.uri, "http://images/a.iso")
            inserted = self.asked("POST", INSERT)
            self.bmc.fail("POST", EJECT, status, "It is locked.")
            for image in (None, "http://images/b.iso"):
                with self.subTest(f"{status} {image}"), self.assertRaises(meaning):
                    self.driver.set_media(self.uri, image)
            self.assertEqual(inserted, self.asked("POST", INSERT))

    def test_an_eject_that_wants_an_empty_object_gets_one(self) -> None:
        self.driver.set_media(self.uri, "http://images/a.iso")

        def eject(handler: Any) -> None:
            if handler.body == b"{}":
                self.bmc.faults.clear()
                self.bmc.serve(handler, "POST", EJECT)
            else:
                handler.refuse(415)

        self.bmc.faults["POST", EJECT] = eject
        self.driver.set_media(self.uri, None)
        self.assertIsNone(self.driver.media(self.uri))

    def test_a_lost_insertion_leaves_doubt(self) -> None:
        self.bmc.cut("POST", INSERT)
        with self.assertRaises(NoAnswer):
            self.driver.set_media(self.uri, "http://images/a.iso")
        self.assertEqual(1, self.asked("POST", INSERT))

    def test_a_machine_without_a_drive(self) -> None:
        self.bmc.documents[DRIVE]["MediaTypes"] = ["USBStick"]
        with self.assertRaises(PodRefused):
            self.driver.media(self.uri)

    def test_a_write_whose_condition_does_not_hold_is_never_repeated_without_it(self) -> None:
        conditions = []

        def show(handler: Any) -> None:
            handler.answer(200, self.bmc.documents[SYSTEM], ETag='W/"7"')

        def write(handler: Any) -> None:
            conditions.append(handler.headers.get("If-Match"))
            handler.refuse(412, "It was changed meanwhile.")

        self.bmc.faults["GET", SYSTEM] = show
        self.bmc.faults["PATCH", SYSTEM] = write
        with self.assertRaises(PodChanged):
            self.driver.set_boot(self.uri, BootDevice.CD, once=True)
        self.assertEqual(['W/"7"', '"7"'], conditions)


class TlsTest(unittest.TestCase):
    def test_one_certificate_may_be_trusted_by_its_fingerprint(self) -> None:
        directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        certificate = self_signed(directory)
        pem = x509.load_pem_x509_certificate(certificate.read_bytes())
        right = pem.fingerprint(hashes.SHA256()).hex()
        with FaultyBmc(certificate) as bmc:
            for fingerprint, works in ((right, True), ("0" * 64, False)):
                bmc.asked.clear()
                driver = BmcFleet(
                    DriverSettings("a", "b", None, PATIENCE, PATIENCE, fingerprint=fingerprint)
                )
                with self.subTest(fingerprint):
                    if works:
                        self.assertEqual("Off", driver.power_state(bmc.url + SYSTEM))
                    else:
                        with self.assertRaises(Unreachable):
                            driver.power_state(bmc.url + SYSTEM)
                        # Nothing, and so no password, went to whoever that is.
                        self.assertEqual([], bmc.asked)

    def test_certificates_are_checked(self) -> None:
        directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        certificate = self_signed(directory)
        with FaultyBmc(certificate) as bmc:
            for cafile, works in ((None, False), (str(certificate), True)):
                driver = BmcFleet(DriverSettings("a", "b", cafile, PATIENCE, PATIENCE))
                with self.subTest(cafile):
                    if works:
                        self.assertEqual("Off", driver.power_state(bmc.url + SYSTEM))
                    else:
                        with self.assertRaises(Unreachable):
                            driver.power_state(bmc.url + SYSTEM)


def self_signed(directory: pathlib.Path) -> pathlib.Path:
    """A key with its certificate for 127.0.0.1 in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bmc")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = directory / "bmc.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file
