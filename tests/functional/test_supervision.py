# SPDX-License-Identifier: Apache-2.0
"""Supervision of worker processes, as an operator sees it: signals, deaths and exit codes."""

import contextlib
import os
import pty
import re
import signal
import socket
import tempfile
import threading
import typing
import unittest

from tests.support.programs import Program, alive, ask, read, wakeups
from tests.support.waiting import PATIENCE, eventually


class WorkersTest(unittest.TestCase):
    """Start, death and restart."""

    def test_all_workers_accept_on_one_socket(self) -> None:
        program = Program(self, 2).started()
        seen: set[int] = set()

        def both() -> bool:
            seen.add(int(program.get("/pid")))
            return seen == program.children()

        eventually(both, "answers of both workers")
        self.assertEqual(len(seen), 2)

    def test_one_worker_is_supervised_too(self) -> None:
        program = Program(self, 1).started()
        first = int(program.get("/pid"))
        self.assertNotEqual(first, program.popen.pid)
        os.kill(first, signal.SIGKILL)
        program.logged(r"Worker process \d+ is ready", 2)
        self.assertNotEqual(int(program.get("/pid")), first)

    def test_a_dead_worker_is_replaced_at_once_and_its_death_logged(self) -> None:
        program = Program(self, 2).started()
        victim = min(program.children())
        os.kill(victim, signal.SIGKILL)
        # Ten seconds are far above what it takes and far below any back-off's end.
        eventually(lambda: len(program.children() - {victim}) == 2, "a replacement", patience=10)
        program.logged(rf"WARNING .* Worker process {victim} ended: killed by SIGKILL")

    def test_a_crash_costs_only_what_the_worker_held(self) -> None:
        program = Program(self, 2).started()
        slow, busy = program.begin("free")
        (other,) = program.children() - {busy}

        def crashed() -> bool:
            # The kernel decides who accepts; the busy one must survive.
            if int(program.get("/pid")) == other:
                os.kill(other, signal.SIGKILL)
            return not alive(other)

        eventually(crashed, "the death of the other worker")
        program.sign("free")
        self.assertEqual(int(read(slow)), busy)

    def test_an_exit_of_a_worker_is_logged_with_its_code(self) -> None:
        program = Program(self, 1).started()
        with self.assertRaises(OSError):
            program.get("/crash")
        program.logged("ended: exit code 3")
        program.logged(r"Worker process \d+ is ready", 2)
        program.get("/pid")

    def test_a_worker_killed_while_it_logs_does_not_silence_the_others(self) -> None:
        program = Program(self, 2).started()
        with self.assertRaises(OSError):
            program.get("/die_logging")
        program.logged(r"Worker process \d+ is ready", 3)
        seen: set[int] = set()

        def all_log() -> bool:
            seen.add(int(program.get("/log/something")))
            return seen == program.children()

        eventually(all_log, "log lines of both workers")
        program.signal(signal.SIGTERM)
        self.assertEqual(program.wait(), 0)

    def test_a_worker_that_somebody_terminates_is_replaced_while_it_drains(self) -> None:
        program = Program(self, 1).started()
        slow, old = program.begin("free")
        os.kill(old, signal.SIGTERM)
        eventually(lambda: int(program.get("/pid")) != old, "an answer of a new worker")
        program.sign("free")
        self.assertEqual(int(read(slow)), old)
        program.logged(rf"INFO .* Worker process {old} ended: exit code 0")

    def test_workers_that_die_at_once_are_backed_off_and_come_back(self) -> None:
        program = Program(self, 2, broken=True)
        program.logged(r"WARNING .* the next one starts in 0\.8 s", 2)
        # Four deaths each take 0.7 s of waiting; without back-off they would be hundreds.
        waits = re.findall(r"the next one starts in (\S+) s", program.log)
        self.assertEqual(waits, sorted(waits, key=float))
        self.assertLessEqual(len(re.findall("Worker process .* started", program.log)), 12)
        (program.signs / "broken").unlink()
        program.started()
        program.get("/pid")

    def test_a_back_off_blocks_neither_signals_nor_others(self) -> None:
        program = Program(self, 2).started()
        program.sign("broken")
        victim, other = program.children()
        os.kill(victim, signal.SIGKILL)
        program.logged(r"the next one starts in 1\.6 s")
        self.assertEqual(int(program.get("/pid")), other)
        program.signal(signal.SIGTERM)
        self.assertEqual(program.wait(), 0)
        self.assertNotIn("starts in 3.2 s", program.log)

    def test_an_idle_supervisor_sleeps(self) -> None:
        program = Program(self, 1).started()
        program.get("/pid")
        before = wakeups(program.popen.pid)
        for _ in range(300):
            program.get("/pid")
        self.assertLess(wakeups(program.popen.pid) - before, 5)

    def test_workers_end_when_the_supervisor_was_killed(self) -> None:
        program = Program(self, 2).started()
        slow, _ = program.begin("free")
        workers = program.children()
        port = program.port
        program.popen.kill()
        program.popen.wait(PATIENCE)
        eventually(program.refuses, "refused connections")
        program.sign("free")
        read(slow)
        for pid in workers:
            eventually(lambda pid=pid: not alive(pid), f"the end of {pid}")  # type: ignore[misc]
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind(("127.0.0.1", port))
            again.listen()

    def test_orphans_are_cut_off_after_the_graceful_shutdown_timeout(self) -> None:
        program = Program(self, 1, graceful_shutdown_timeout=1).started()
        _, worker = program.begin("never")
        program.popen.kill()
        eventually(lambda: not alive(worker), "the end of the worker")
        program.logged(f"WARNING .* Worker process {worker} does not end")


class ReloadTest(unittest.TestCase):
    """SIGHUP."""

    def test_no_request_fails_under_load(self) -> None:
        program = Program(self, 2).started()
        old = program.children()
        stop = threading.Event()
        failures: list[str] = []
        answered = [0, 0, 0, 0]

        def load(number: int) -> None:
            connection = program.connect()
            while not stop.is_set():
                if number % 2:  # a connection for each request, and connections that stay
                    connection.close()
                try:
                    ask(connection, "/pid", "POST")
                except (OSError, AssertionError) as error:
                    failures.append(repr(error))
                    connection.close()
                answered[number] += 1

        def more() -> None:
            goal = [count + 20 for count in answered]
            eventually(lambda: all(c >= g for c, g in zip(answered, goal, strict=True)), "answers")

        threads = [threading.Thread(target=load, args=(each,)) for each in range(4)]
        for thread in threads:
            thread.start()
        try:
            more()
            program.configure(connect_timeout=7)
            for _ in range(5):  # in quick succession
                program.signal(signal.SIGHUP)
            # Old ones may linger for connections that are idle.
            eventually(lambda: not any(map(alive, old)), "the end of the old workers")
            program.signal(signal.SIGHUP)
            eventually(
                lambda: len(re.findall("All worker processes run with", program.log)) >= 2,
                "a second replacement",
            )
            more()
        finally:
            stop.set()
            for thread in threads:
                thread.join(PATIENCE)
        self.assertEqual(failures, [])
        self.assertEqual(program.get("/option"), "7.0")
        self.assertNotIn("Traceback", program.log)

    def test_a_request_in_flight_ends_on_the_old_worker(self) -> None:
        program = Program(self, 1, graceful_shutdown_timeout=1).started()
        slow, old = program.begin("free")
        program.signal(signal.SIGHUP)
        program.logged("All worker processes run with the new configuration")
        self.assertNotEqual(int(program.get("/pid")), old)
        self.assertTrue(alive(old))
        program.sign("free")
        self.assertEqual(int(read(slow)), old)
        program.logged(f"Worker process {old} ended: exit code 0")

    def test_a_wrong_file_is_reported_and_the_old_workers_stay(self) -> None:
        program = Program(self, 2).started()
        old = program.children()
        for number, raw in enumerate(("no option at all\n", "[engine]\nbatch = many\n"), start=1):
            program.configure(raw, connect_timeout=7)
            program.signal(signal.SIGHUP)
            program.logged("WARNING .* The new configuration does not work", number)
            self.assertEqual(program.children(), old)
            self.assertEqual(program.get("/option"), "5.0")
        self.assertIn("[engine] batch", program.log)
        program.configure(connect_timeout=7)
        program.signal(signal.SIGHUP)
        program.logged("All worker processes run with the new configuration")
        self.assertEqual(program.get("/option"), "7.0")

    def test_a_service_that_cannot_start_anew_leaves_the_old_workers(self) -> None:
        program = Program(self, 1).started()
        old = program.children()
        program.sign("broken")
        program.signal(signal.SIGHUP)
        program.logged("The new configuration does not work")
        self.assertEqual(program.children(), old)

    def test_workers_started_later_have_the_new_configuration(self) -> None:
        program = Program(self, 1).started()
        program.configure(connect_timeout=7)
        program.signal(signal.SIGHUP)
        program.logged("All worker processes run with the new configuration")
        os.kill(int(program.get("/pid")), signal.SIGKILL)
        program.logged(r"Worker process \d+ is ready", 3)
        self.assertEqual(program.get("/option"), "7.0")

    def test_a_mended_configuration_ends_a_back_off(self) -> None:
        program = Program(self, 1, broken=True)
        program.logged(r"the next one starts in 1\.6 s")
        (program.signs / "broken").unlink()
        program.signal(signal.SIGHUP)
        program.logged("All worker processes run with the new configuration")
        program.get("/pid")

    def test_a_process_alone_takes_over_what_can_change_and_goes_on(self) -> None:
        program = Program(self, 0).started()
        program.configure("[DEFAULT]\ndebug = true\n", connect_timeout=7)
        program.signal(signal.SIGHUP)
        program.logged("DEFAULT.debug changed from")
        program.logged("Ignoring change to immutable option api_proxy.connect_timeout")
        self.assertEqual(int(program.get("/pid")), program.popen.pid)
        program.configure("no option at all\n")
        program.signal(signal.SIGHUP)
        program.logged("The configuration stays as it was")
        program.get("/pid")


class StopCases:
    """What SIGTERM and SIGINT do, whatever the number of workers."""

    workers: typing.ClassVar[int]

    def program(self, **options: object) -> Program:
        return Program(typing.cast("unittest.TestCase", self), self.workers, **options).started()

    def drains(self, number: signal.Signals) -> None:
        case = typing.cast("unittest.TestCase", self)
        program = self.program()
        idle = program.connect()
        ask(idle, "/pid")
        slow, pid = program.begin("free")
        program.signal(number)
        eventually(program.refuses, "refused connections")
        case.assertEqual(idle.sock.recv(1), b"")
        case.assertIsNone(program.popen.poll())
        case.assertTrue(program.refuses())
        program.sign("free")
        answer = slow.getresponse()
        case.assertEqual(int(answer.read()), pid)
        # Its worker may not have got the order yet when it answered: then it closes afterwards.
        if answer.getheader("Connection") != "close":
            case.assertEqual(slow.sock.recv(1), b"")
        case.assertEqual(program.wait(), 0)
        case.assertNotIn("Traceback", program.log)

    def test_sigterm_drains(self) -> None:
        self.drains(signal.SIGTERM)

    def test_sigint_drains(self) -> None:
        self.drains(signal.SIGINT)

    def test_idle_connections_do_not_hold_the_stop(self) -> None:
        case = typing.cast("unittest.TestCase", self)
        program = self.program(graceful_shutdown_timeout=0)
        used, unused = program.connect(), program.connect()
        ask(used, "/pid")
        unused.connect()
        program.signal(signal.SIGTERM)
        case.assertEqual(program.wait(), 0)

    def test_a_connection_just_made_may_send_its_request(self) -> None:
        case = typing.cast("unittest.TestCase", self)
        program = self.program()
        slow, _ = program.begin("free")
        with socket.create_connection(("127.0.0.1", program.port), timeout=PATIENCE) as early:
            early.sendall(b"G")
            program.get("/pid")  # accepted after it, on one process or another
            program.signal(signal.SIGTERM)
            eventually(program.refuses, "refused connections")
            early.sendall(b"ET /pid HTTP/1.1\r\nHost: x\r\n\r\n")
            case.assertTrue(early.recv(4096).startswith(b"HTTP/1.1 200"))
        program.sign("free")
        read(slow)
        case.assertEqual(program.wait(), 0)

    def test_a_second_signal_cuts_off(self) -> None:
        case = typing.cast("unittest.TestCase", self)
        program = self.program(graceful_shutdown_timeout=0)
        _, pid = program.begin("never")
        program.signal(signal.SIGTERM)
        program.logged("SIGTERM: ")
        case.assertIsNone(program.popen.poll())
        program.signal(signal.SIGINT)
        case.assertEqual(program.wait(), 1)
        program.logged(rf"WARNING .*\b{pid}\b.* a second SIGINT")
        case.assertFalse(alive(pid))

    def test_the_timeout_cuts_off(self) -> None:
        case = typing.cast("unittest.TestCase", self)
        program = self.program(graceful_shutdown_timeout=1)
        _, pid = program.begin("never")
        program.signal(signal.SIGTERM)
        case.assertEqual(program.wait(), 1)
        program.logged(rf"WARNING .*\b{pid}\b.* graceful_shutdown_timeout = 1")
        case.assertFalse(alive(pid))
        case.assertNotIn("Traceback", program.log)

    def test_systemd_is_told(self) -> None:
        case = typing.cast("unittest.TestCase", self)
        directory = case.enterContext(tempfile.TemporaryDirectory(prefix="headwater-test-"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(f"{directory}/notify")
            manager.settimeout(PATIENCE)

            def told() -> str:
                return manager.recv(4096).decode()

            program = Program(
                case, self.workers, environment={"NOTIFY_SOCKET": f"{directory}/notify"}
            )
            case.assertEqual(told(), "READY=1")
            program.get("/pid")
            program.signal(signal.SIGHUP)
            case.assertRegex(told(), r"\ARELOADING=1\nMONOTONIC_USEC=\d+\Z")
            case.assertEqual(told(), "READY=1")
            program.configure("wrong\n")
            program.signal(signal.SIGHUP)
            case.assertIn("RELOADING=1", told())
            case.assertEqual(told(), "READY=1")
            program.signal(signal.SIGTERM)
            case.assertEqual(told(), "STOPPING=1")
            case.assertEqual(program.wait(), 0)
            manager.setblocking(False)
            case.assertRaises(BlockingIOError, told)


class StopOfWorkersTest(StopCases, unittest.TestCase):
    workers = 2


class StopOfOneProcessTest(StopCases, unittest.TestCase):
    workers = 0

    def test_it_is_one_process(self) -> None:
        program = self.program()
        self.assertEqual(int(program.get("/pid")), program.popen.pid)
        self.assertEqual(program.children(), set())


class TerminalCases:
    """In the foreground of a terminal."""

    workers: typing.ClassVar[int]

    def start(self) -> tuple[Program, int]:
        case = typing.cast("unittest.TestCase", self)
        master, slave = pty.openpty()
        try:
            program = Program(case, self.workers, terminal=slave)
        finally:
            os.close(slave)
        case.addCleanup(_close, master)
        return program.started(), master

    def test_sighup_does_not_end_it(self) -> None:
        program, _ = self.start()
        program.signal(signal.SIGHUP)
        program.logged("SIGHUP: reading the configuration again")
        program.get("/pid")
        program.signal(signal.SIGTERM)
        typing.cast("unittest.TestCase", self).assertEqual(program.wait(), 0, program.log)

    def test_ctrl_c_drains(self) -> None:
        case = typing.cast("unittest.TestCase", self)
        program, master = self.start()
        slow, pid = program.begin("free")
        os.write(master, b"\x03")
        eventually(program.refuses, "refused connections")
        program.sign("free")
        case.assertEqual(int(read(slow)), pid)
        case.assertEqual(program.wait(), 0)

    def test_a_second_ctrl_c_cuts_off(self) -> None:
        case = typing.cast("unittest.TestCase", self)
        program, master = self.start()
        program.begin("never")
        os.write(master, b"\x03")
        program.logged("SIGINT: ")
        os.write(master, b"\x03")
        case.assertEqual(program.wait(), 1)

    def test_it_ends_with_its_terminal(self) -> None:
        case = typing.cast("unittest.TestCase", self)
        program, master = self.start()
        _close(master)
        case.assertEqual(program.wait(), 0)
        program.logged("SIGHUP: .* under way")


class TerminalOfWorkersTest(TerminalCases, unittest.TestCase):
    workers = 2


class TerminalOfOneProcessTest(TerminalCases, unittest.TestCase):
    workers = 0


def _close(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        os.close(descriptor)
