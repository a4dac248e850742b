"""The desk: one thread, in which whoever waits leaves it to the others."""

import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import IPv4Address
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from emails.desk import READ, Desk, elsewhere, wait
from emails.sending import Sender
from emails.sessions import NeverConnected, Session
from tests.site import ROOT

Told = SimpleQueue[Any]
NUMBERS = count()


def seated(number: int, work: Callable[[Desk, Told], Any]) -> tuple[Desk, Told]:
    """A desk at which `number` do `work`, and what they tell."""
    desk, told = Desk(f"desk-{next(NUMBERS)}"), Told()
    desk.seat(number, lambda: work(desk, told))
    return desk, told


def takes(desk: Desk, told: Told) -> None:
    while (item := desk.get()) is not None:
        told.put((item, threading.current_thread().name))


def waits(sock: Any, seconds: float, told: Told) -> None:
    try:
        wait(sock, READ, seconds)
        told.put("ready")
    except TimeoutError:
        told.put("too late")


def test_what_is_put_is_taken_once_whoever_puts_it() -> None:
    desk, told = seated(5, takes)

    def put(start: int) -> None:
        for item in range(start, start + 99):
            desk.put(item)

    putting = [threading.Thread(target=put, args=[100 * n + 1]) for n in range(8)]
    for thread in putting:
        thread.start()
    taken = [told.get(timeout=5) for _ in range(8 * 99)]
    assert sorted(item for item, _ in taken) == [100 * n + i for n in range(8) for i in range(1, 100)]
    assert {name for _, name in taken} == {desk.name}
    for _ in range(5):
        desk.put(None)


def test_its_thread_ends_with_the_last_who_sits_there() -> None:
    desk, _ = seated(3, takes)
    for _ in range(3):
        desk.put(None)
    desk.thread.join(timeout=5)
    assert not desk.thread.is_alive()
    desk.ring()  # Too late, and nobody's error.


def test_who_waits_for_work_does_so_for_as_long_as_it_says() -> None:
    def takes_nothing(desk: Desk, told: Told) -> None:
        started = time.monotonic()
        try:
            desk.get(timeout=0.3)
        except Empty:
            told.put(time.monotonic() - started)

    _, told = seated(2, takes_nothing)
    assert all(0.3 <= told.get(timeout=5) < 1 for _ in range(2))


def test_a_call_elsewhere_holds_nobody_up_and_brings_its_error_back() -> None:
    def fails() -> None:
        time.sleep(0.4)
        raise ZeroDivisionError

    def calls(desk: Desk, told: Told) -> None:
        started = time.monotonic()
        try:
            elsewhere(fails)
        except ZeroDivisionError:
            told.put((threading.current_thread().name, time.monotonic() - started))

    desk, told = seated(6, calls)
    ended = [told.get(timeout=5) for _ in range(6)]
    assert {name for name, _ in ended} == {desk.name}
    assert max(seconds for _, seconds in ended) < 1.2


def test_who_waits_for_a_socket_is_woken_by_it_or_by_the_time() -> None:
    ours, theirs = socket.socketpair()
    silent, _kept = socket.socketpair()
    socks = [ours, silent]

    _, told = seated(2, lambda desk, told: waits(socks.pop(0), 0.5, told))
    theirs.send(b"!")
    assert [told.get(timeout=5), told.get(timeout=5)] == ["ready", "too late"]


def test_away_from_a_desk_one_waits_oneself() -> None:
    ours, theirs = socket.socketpair()
    with pytest.raises(TimeoutError):
        wait(ours, READ, 0.05)
    theirs.send(b"!")
    wait(ours, READ, 5)
    assert elsewhere(threading.current_thread) is threading.current_thread()


def test_an_answer_that_came_while_another_held_everybody_up_is_not_too_late() -> None:
    ours, theirs = socket.socketpair()
    other, others = socket.socketpair()
    jobs = ["waits", "holds up"]

    def works(desk: Desk, told: Told) -> None:
        if jobs.pop(0) == "holds up":
            wait(other, READ, 5)
            theirs.send(b"!")
            time.sleep(1.5)
        else:
            waits(ours, 1, told)

    _, told = seated(2, works)
    time.sleep(0.1)  # Both wait.
    others.send(b"!")
    assert told.get(timeout=5) == "ready"


def test_what_is_put_while_another_is_busy_does_not_wait_for_somebody_to_look() -> None:
    """The bell that rings while those are served who were ready with it is not the one that has been heard."""
    first, firsts = socket.socketpair()
    second, seconds = socket.socketpair()
    jobs = [first, second]

    def works(desk: Desk, told: Told) -> None:
        if jobs:
            sock = jobs.pop(0)
            while True:
                wait(sock, READ, None)
                sock.recv(1)
                until = time.monotonic() + 0.01
                while time.monotonic() < until:
                    time.sleep(0.0005)
        while True:
            told.put((desk.get(), time.monotonic()))

    desk, told = seated(8, works)
    late = []
    for _ in range(10):
        firsts.send(b"!")
        time.sleep(0.004)  # The first is busy: second and bell are ready at the next look.
        seconds.send(b"!")
        desk.put("a")
        time.sleep(0.01)
        desk.put("b")  # While the second is busy.
        assert {told.get(timeout=5)[0], told.get(timeout=5)[0]} == {"a", "b"}
        time.sleep(0.03)
        began = time.monotonic()
        desk.put("c")
        late.append(told.get(timeout=5)[1] - began)
    assert max(late) < 0.5


def test_one_that_fails_begins_anew_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    def takes_badly(desk: Desk, told: Told) -> None:
        while (item := desk.get()) is not None:
            told.put(10 // item)

    desk, told = seated(2, takes_badly)
    for item in (0, 0, 5):
        desk.put(item)
    assert told.get(timeout=5) == 2
    assert "ZeroDivisionError" in caplog.text
    desk.put(None)
    desk.put(None)
    desk.thread.join(timeout=5)
    assert not desk.thread.is_alive()


@pytest.mark.parametrize("parts", [{"data": "x"}, {"data": "x", "verify": True}])  # Ours, and requests' own way.
def test_where_no_thread_can_be_had_nothing_has_left(parts: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def connects(desk: Desk, told: Told) -> None:
        desk.get()
        try:
            Session(like=requests.Session()).request("POST", "http://127.0.0.1:9/", **parts, headers={}, timeout=5)
        except NeverConnected as error:
            told.put(error)

    def no_thread(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    desk, told = seated(1, connects)
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    desk.put("go")
    assert "No thread" in str(told.get(timeout=5))


def test_a_process_may_end_amid_it_all() -> None:
    """Python 3.11 crashed in one run of three where a greenlet was running when it ended the thread."""
    script = """
import requests, socket, threading, time
from emails.desk import Desk
from emails.sessions import Session

def answer(connection):
    while connection.recv(65536):
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")

def serve():
    while True:
        threading.Thread(target=answer, args=[listening.accept()[0]], daemon=True).start()

def work():
    session = Session(like=requests.Session())
    while True:
        session.request("POST", url, data="x", headers={}, timeout=5)

listening = socket.create_server(("127.0.0.1", 0), backlog=32)
url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
threading.Thread(target=serve, daemon=True).start()
Desk("busy").seat(6, work)
time.sleep(0.3)
"""
    started = [subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stderr=subprocess.PIPE) for _ in range(12)]
    ended = [(process.communicate(timeout=60)[1], process.returncode) for process in started]
    assert ended == [(b"", 0)] * 12


def test_who_has_ended_first_is_heard_before_another_begins() -> None:
    """So that the thread that writes outcomes has something to write while others are sent."""
    ours, theirs = socket.socketpair()

    def answers(desk: Desk, told: Told) -> None:
        item = desk.get()
        if item == 0:
            wait(ours, READ, 5)
        elif item == 1:
            theirs.send(b"!")
        told.put(item)

    desk, told = Desk("test"), Told()
    for item in range(4):
        desk.put(item)
    desk.seat(4, lambda: answers(desk, told))
    assert [told.get(timeout=5) for _ in range(4)] == [1, 0, 2, 3]


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A certificate for 127.0.0.1, which sessions trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "provider")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "provider.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def test_over_tls_many_are_sent_at_once_and_each_connection_serves_many(tls: ssl.SSLContext) -> None:
    """Bodies larger than any buffer, answers in pieces smaller than TLS's records."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=16)
    size, connections = 3_000_000, []

    def serve() -> None:
        while True:
            plain, _ = listening.accept()
            connections.append(plain)
            threading.Thread(target=answer, args=[tls.wrap_socket(plain, server_side=True)], daemon=True).start()

    def answer(connection: ssl.SSLSocket) -> None:
        file = connection.makefile("rb")
        while file.readline():
            while file.readline() not in (b"\r\n", b""):
                pass
            file.read(size)
            time.sleep(0.2)
            said = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 50000\r\n\r\n" + b"a" * 50_000
            for start in range(0, len(said), 20_000):
                connection.sendall(said[start : start + 20_000])
                time.sleep(0.02)

    threading.Thread(target=serve, daemon=True).start()
    url = f"https://127.0.0.1:{listening.getsockname()[1]}/"

    def posts(desk: Desk, told: Told) -> None:
        with Session(like=requests.Session()) as session:
            for _ in range(3):
                answer = session.request("POST", url, data="x" * size, headers={}, timeout=10)
                told.put(len(answer.text))

    started = time.monotonic()
    _, told = seated(4, posts)
    assert [told.get(timeout=20) for _ in range(12)] == [50_000] * 12
    assert time.monotonic() - started < 12 * 0.26  # One after the other would take longer.
    assert len(connections) == 4


def test_an_answer_over_tls_that_is_there_when_the_call_is_broken_off_is_read(tls: ssl.SSLContext) -> None:
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        plain, _ = listening.accept()
        with tls.wrap_socket(plain, server_side=True) as connection:
            connection.recv(65536)
            held_up.wait(timeout=5)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok")
            answered.set()
            time.sleep(2)

    threading.Thread(target=serve, daemon=True).start()
    session = Session(like=requests.Session())
    sender = Sender()
    sender.connections["it"] = SimpleNamespace(session=session, close=session.close)  # type: ignore[assignment]
    jobs = ["posts", "holds up"]
    held_up, answered, broken_off = threading.Event(), threading.Event(), threading.Event()

    def works(desk: Desk, told: Told) -> None:
        if jobs.pop(0) == "posts":
            url = f"https://127.0.0.1:{listening.getsockname()[1]}/"
            told.put(session.request("POST", url, data="x", headers={}, timeout=10).text)
            return
        while session.connection is None:
            elsewhere(partial(time.sleep, 0.01))
        held_up.set()
        broken_off.wait(timeout=5)  # Nobody reads while the answer comes, and the call is broken off.

    _, told = seated(2, works)
    assert answered.wait(timeout=5)
    time.sleep(0.1)  # It has come.
    sender.abort()
    broken_off.set()
    assert told.get(timeout=5) == "ok"
