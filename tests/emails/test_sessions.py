"""The HTTP session: the same bytes as requests sends, and nobody waits for somebody else's answer."""

import time
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any

import pytest
import requests

from emails.desk import Desk
from emails.sessions import Session
from tests.faults import HTTPFault


class Recorder(HTTPFault):
    """Keeps what it is sent, and answers after a while."""

    def __init__(self, pause: float = 0.0) -> None:
        super().__init__("closing")
        self.pause, self.received = pause, b""

    def read_request(self, connection: Any) -> None:
        data = b""
        while not (b"\r\n\r\n" in data and data.endswith((b"}", b"--\r\n", b"=end"))):
            data += connection.recv(65536)
        self.received = data
        time.sleep(self.pause)


def seconds_of(number: int, work: Callable[[], Any]) -> float:
    """How long `number` take that do it at once, at one desk as senders are."""
    ended: SimpleQueue[Exception | None] = SimpleQueue()

    def seated() -> None:
        try:
            work()
        except Exception as error:
            ended.put(error)
        else:
            ended.put(None)

    started = time.monotonic()
    Desk("test").seat(number, seated)
    for _ in range(number):
        assert ended.get(timeout=30) is None
    return time.monotonic() - started


def post(url: str, timeout: float = 5, size: int = 0) -> None:
    data = '{"a": "ß' + "x" * size + '"}'
    try:
        Session(like=requests.Session()).request("POST", url, data=data, headers={}, timeout=timeout)
    except requests.RequestException:
        pass


@pytest.mark.parametrize(
    "parts",
    [
        {"data": '{"a": "ß"}', "headers": {"Content-Type": "application/json", "X-Token": "t"}},
        {"data": '{"a": 1}', "headers": {}, "auth": ("user", "password")},
        {"data": '{"a": 1}', "headers": {}, "params": {"key": "k"}},
        {"data": [("to", "a@example.com"), ("x", "end")], "headers": {}},
    ],
)
def test_what_is_sent_is_what_requests_sends(parts: dict[str, Any]) -> None:
    sent = []
    for session in (requests.Session(), Session(like=requests.Session())):
        with Recorder() as server, session:
            for _ in range(2):
                answer = session.request("POST", f"{server.url}send?x=1", timeout=5, **parts)
                assert answer.json()["MessageID"] == "pm-1"
            head, _, body = server.received.replace(str(server.port).encode(), b"PORT").partition(b"\r\n\r\n")
            line, *headers = head.split(b"\r\n")
            sent.append((line, sorted(header.lower() for header in headers), body))
    assert sent[0] == sent[1]


def test_a_multipart_body_is_left_to_requests() -> None:
    with Recorder() as server, Session(like=requests.Session()) as session:
        files = [("attachment", ("a.txt", b"bytes", "text/plain"))]
        assert session.request("POST", server.url, data={"a": "b"}, files=files, headers={}, timeout=5).ok
        assert b'filename="a.txt"' in server.received


def test_many_who_wait_wait_at_the_same_time() -> None:
    with Recorder(pause=0.4) as server:
        assert 0.4 < seconds_of(6, lambda: post(server.url)) < 1.2


@pytest.mark.parametrize("fault", ["silence", "stalled body"])
def test_many_who_wait_in_vain_do_so_at_the_same_time(fault: str) -> None:
    with HTTPFault(fault) as server:
        assert 0.4 < seconds_of(6, lambda: post(server.url, timeout=0.5)) < 1.5


def test_behind_a_proxy_many_wait_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with Recorder(pause=0.4) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        assert 0.4 < seconds_of(6, lambda: post("http://provider.example/send")) < 1.2
        assert proxy.received.startswith(b"POST http://provider.example/send")


def test_a_connection_that_the_other_side_has_closed_is_not_used_again() -> None:
    with HTTPFault("good gzip") as server, Session(like=requests.Session()) as session:  # It closes after each answer.
        for _ in range(3):
            assert session.request("POST", server.url, data="{}", headers={}, timeout=2).ok
            time.sleep(0.05)


def test_a_large_body_that_nobody_takes_holds_nobody_up() -> None:
    with HTTPFault("unread") as slow, Recorder() as quick:
        taken: list[float] = []
        jobs = [partial(post, slow.url, timeout=2, size=20_000_000), partial(post, quick.url)]

        def work() -> None:
            job, started = jobs.pop(0), time.monotonic()
            job()
            taken.append(time.monotonic() - started)

        seconds_of(2, work)
        assert taken[0] < 1
        assert 1.5 < taken[1] < 4
