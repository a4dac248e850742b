"""What is read without a parser, because it is usual, is read as the parser reads it: heads of answers, addresses."""

import gzip
import http.client
import zlib
from functools import partial
from io import BufferedReader, BytesIO
from typing import Any

import pytest
import requests
from anymail.backends import postmark
from anymail.backends.base import BasePayload
from anymail.exceptions import AnymailInvalidAddress
from anymail.message import AnymailMessage
from anymail.utils import parse_address_list
from django.utils.translation import gettext_lazy
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from emails.addresses import PLAIN, parsed
from emails.answers import Answer, as_response
from emails.connections import connection
from emails.providers import PROVIDERS
from tests.emails.messages import ANYMAIL, ESPS, messages, request_of


class Wire:
    """A socket that has received these bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, mode: str) -> Any:
        return BufferedReader(BytesIO(self.data))  # type: ignore[arg-type]


def read(kind: type[http.client.HTTPResponse], data: bytes) -> Any:
    """All that is read of an answer, or how it fails."""
    answer = kind(Wire(data), method="POST")  # type: ignore[arg-type]
    try:
        answer.begin()
        names = ("status", "code", "version", "reason", "will_close", "length", "chunked")
        return [getattr(answer, name) for name in names], answer.headers.items(), answer.read()
    except (http.client.HTTPException, OSError, ValueError) as error:
        return type(error)
    finally:
        answer.close()


BODY = b'{"MessageID": "1"}'
LENGTH = b"Content-Length: 18"
CHUNKED = b"12\r\n" + BODY + b"\r\n0\r\n\r\n"
USUAL = [
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: application/json; charset=utf-8\r\n%b\r\n\r\n" % LENGTH + BODY,
    b"HTTP/1.1 429 Too Many Requests\r\nretry-after:3\r\nConnection: keep-alive\r\n%b\r\n\r\n" % LENGTH + BODY,
    b"HTTP/1.1 503 \r\nConnection: close\r\n%b\r\n\r\n" % LENGTH + BODY,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\n" + CHUNKED,
    b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n%b\r\n\r\n" % LENGTH + BODY,
    b"HTTP/1.1 200 OK\r\nX-Empty:\r\nX-Blank:  \tb \t\r\nX-Latin: \xe9\r\n%b\r\n\r\n" % LENGTH + BODY,
    b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + BODY,
]
ODD = [
    b"HTTP/1.1 200 OK\r\n\r\n" + BODY,
    b"HTTP/1.0 200 OK\r\n%b\r\n\r\n" % LENGTH + BODY,
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n%b\r\n\r\n" % LENGTH + BODY,
    b"HTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\n%b\r\n\r\n" % LENGTH + BODY,
    b"HTTP/1.1 200 OK\nX: a\n%b\n\n" % LENGTH + BODY,
    b"HTTP/1.1 200 OK\r\nno colon here\r\n%b\r\n\r\n" % LENGTH + BODY,
    b"HTTP/1.1 200 OK\r\n%b\r\nContent-Length: 3\r\n\r\n" % LENGTH + BODY,
    b"HTTP/1.1 200 OK\r\n%b\r\nTransfer-Encoding: chunked\r\n\r\n" % LENGTH + CHUNKED,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + BODY,
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + BODY,
    b"HTTP/1.1 200 OK\r\nContent-Length: 1_8\r\n\r\n" + BODY,
    b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n" + BODY,
    b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 99 + b"%b\r\n\r\n" % LENGTH + BODY,
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n%b\r\n\r\n" % LENGTH + BODY,
    b"HTTP/1.1 200 OK\r\n%b" % LENGTH,
    b"SSH-2.0-OpenSSH_9\r\n",
    b"",
]


@pytest.mark.parametrize("data", USUAL)
def test_a_usual_head_is_read_as_http_client_reads_it(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read(http.client.HTTPResponse, data)
    with monkeypatch.context() as patch:
        patch.delattr(http.client, "parse_headers")  # And without it.
        assert read(Answer, data) == expected


@pytest.mark.parametrize("data", ODD)
def test_an_odd_head_is_left_to_http_client(data: bytes) -> None:
    assert read(Answer, data) == read(http.client.HTTPResponse, data)


LINES = [
    *(LENGTH, b"content-length: 0", b"Content-Length:", b"Content-Length: x", b"Transfer-Encoding: chunked"),
    *(b"Transfer-Encoding: Chunked", b"Connection: Close", b"Connection: keep-alive", b"X-A: b", b"X-A:\xff:c ", b" x"),
]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(LINES), max_size=5), st.sampled_from([BODY, CHUNKED, b""]), st.integers(190, 599))
def test_any_head_is_read_as_http_client_reads_it(lines: list[bytes], body: bytes, status: int) -> None:
    data = b"\r\n".join([b"HTTP/1.1 %d Word" % status, *lines, b"", body])
    assert read(Answer, data) == read(http.client.HTTPResponse, data)


def test_what_was_encoded_twice_is_decoded_twice() -> None:
    body = zlib.compress(gzip.compress(BODY))
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Encoding: deflate\r\nContent-Length: %d\r\n\r\n"
    answer = Answer(Wire(head % len(body) + body), method="POST")  # type: ignore[arg-type]
    answer.begin()
    assert as_response(requests.PreparedRequest(), answer, answer.read()).json() == {"MessageID": "1"}


def spelled(reader: Any, values: Any) -> Any:
    """What is read of these addresses, or how it is refused."""
    try:
        return [
            (a.display_name, a.username, a.domain, a.addr_spec, a.address, str(a), a.uses_eai)
            for a in reader(values, field="to")
        ]
    except AnymailInvalidAddress as error:
        return str(error)


PIECES = st.lists(
    st.sampled_from(["a", "B1", *'.@-_ <>,"=?é', "=?utf-8?q?abc?=", "Ada Lovelace <", "x@example.com"]),
    max_size=8,
).map("".join)


@given(st.one_of(PIECES, st.lists(PIECES, max_size=3), st.from_regex(PLAIN, fullmatch=True)))
@example("Ada Lovelace <ada@example.com>")
@example(["o'brien+x@sub.example.com", "Ada <ada@example.com>"])
@example("a@b>")
@example("Ada <a@b")
@example("a..b@example.com")
@example("=?utf-8?q?abc?=@example.com")
@example("a@=?utf-8?q?abc?=")
@example("")
@example([])
@example(["a@example.com\n"])
@example(("a@example.com",))
@example([None])
@example(gettext_lazy("a@example.com"))
def test_an_address_is_read_as_anymail_reads_it(values: Any) -> None:
    assert spelled(parsed, values) == spelled(parse_address_list, values)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=messages(), esp=st.sampled_from(ESPS))
def test_what_a_provider_is_sent_is_what_anymail_makes_of_it(
    monkeypatch: pytest.MonkeyPatch, settings: Any, message: AnymailMessage, esp: str
) -> None:
    settings.ANYMAIL = ANYMAIL
    ours = request_of(esp, message)
    attributes: Any = BasePayload.base_message_attrs
    readers = [read for _, _, read in attributes if isinstance(read, partial)]
    assert {read.func for read in readers} == {parsed}
    assert [read.keywords["field"] for read in readers] == ["from_email", "to", "cc", "bcc", "reply_to"]
    with monkeypatch.context() as patch:
        as_it_was = tuple((n, c, parse_address_list if isinstance(r, partial) else r) for n, c, r in attributes)
        patch.setattr(BasePayload, "base_message_attrs", as_it_was)
        assert request_of(esp, message) == ours


def test_addresses_in_answers_are_read_so_too(settings: Any) -> None:
    settings.ANYMAIL = ANYMAIL
    connection(PROVIDERS["postmark"])
    assert vars(postmark)["parse_address_list"] is parsed
