"""What is recorded is what is sent: every shape of message survives, and what can't is refused at send()."""

from email.utils import getaddresses
from typing import Any

import pytest
from anymail.message import AnymailMessage
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.utils.translation import gettext_lazy
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from emails.addresses import DOMAIN, LOCAL, LONGEST, PLAIN, is_one, usual
from emails.payload import UnstorableMessage, dump, load
from tests.emails.messages import ANYMAIL, ATTACHMENTS, ESPS, attach_message, attachments, messages, mime_of, request_of


@pytest.fixture(autouse=True)
def credentials(settings: Any) -> None:
    settings.ANYMAIL = ANYMAIL


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=messages(), attached=attachments, esp=st.sampled_from(ESPS))
def test_the_rebuilt_message_makes_the_same_request_at_every_provider(
    message: AnymailMessage, attached: list[str], esp: str
) -> None:
    for name in attached:
        ATTACHMENTS[name](message)
    rebuilt = load(dump(message))
    assert request_of(esp, rebuilt) == request_of(esp, message)
    assert mime_of(rebuilt) == mime_of(message)


@pytest.mark.parametrize("esp", ESPS)
def test_a_full_message_survives_at(esp: str) -> None:
    message = AnymailMessage(
        "Größe ✓",
        "text",
        "Böss <boss@example.com>",
        ["Ada <ada@example.com>"],
        reply_to=["r@example.com"],
        headers={
            "X-Two": "2",
            "X-One": "1",
            "Message-ID": "<m@example.com>",
            "Date": "Mon, 23 Nov 2026 07:00:00 +0000",
        },
    )
    message.attach_alternative("<p>html</p>", "text/html")
    message.attach("a.txt", "one", "text/plain")
    message.attach("a.pdf", b"\xfftwo", "application/pdf")
    message.attach("a.pdf", b"\xffthree", "application/pdf")
    request = request_of(esp, message)
    assert not (isinstance(request, tuple) and request[0].startswith("Anymail")), request
    assert request_of(esp, load(dump(message))) == request


def test_headers_keep_their_order() -> None:
    message = EmailMessage("s", "b", to=["a@example.com"], headers={"X-Z": "1", "X-A": "2", "X-M": "3"})
    assert list(load(dump(message)).extra_headers) == ["X-Z", "X-A", "X-M"]


def test_text_and_html_stand_in_the_columns_alone() -> None:
    message = EmailMultiAlternatives("s", "the text", to=["a@example.com"])
    message.attach_alternative("<p>the html</p>", "text/html")
    payload = dump(message)
    assert (payload.text, payload.html) == ("the text", "<p>the html</p>")
    assert "the text" not in payload.data
    assert "the html" not in payload.data


@pytest.mark.parametrize("body", ["nul \x00 inside", "lone \ud800 surrogate", "", "line\r\nbreaks\r"])
def test_bodies_that_databases_refuse_survive(body: str) -> None:
    payload = dump(EmailMessage("s", body, to=["a@example.com"]))
    assert load(payload).body == body
    payload.text.encode()
    assert "\x00" not in payload.text + payload.data


def test_lazy_texts_are_settled_when_they_are_recorded() -> None:
    message = EmailMessage(gettext_lazy("Monday"), gettext_lazy("Tuesday"), to=["a@example.com"])
    message.tags = [gettext_lazy("Friday")]  # type: ignore[attr-defined]
    rebuilt = load(dump(message))
    assert (rebuilt.subject, rebuilt.body, rebuilt.tags) == ("Monday", "Tuesday", ["Friday"])


def test_an_attached_message_keeps_its_bytes() -> None:
    message = AnymailMessage("s", "b", to=["a@example.com"])
    child = EmailMessage("Child", "body", "x@example.com", ["y@example.com"])
    message.attach("child.eml", child, "message/rfc822")  # type: ignore[arg-type]
    attach_message(message)
    payload = dump(message)
    assert [a.content for a in payload.attachments] == [load(payload).attachments[n][1] for n in (0, 1)]
    assert b"Subject: Child" in payload.attachments[0].content


def injected(**parts: Any) -> EmailMessage:
    values: dict[str, Any] = {"subject": "s", "body": "b", "from_email": "f@example.com", "to": ["a@example.com"]}
    return EmailMessage(**{**values, **parts})


class Overriding(EmailMessage):
    def message(self, *args: Any, **kwargs: Any) -> Any:
        return super().message()


def with_attribute(name: str, value: Any) -> EmailMessage:
    message = injected()
    setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        (injected(subject="s\r\nBcc: x@evil.example"), "subject"),
        (injected(subject="s\u2028t"), "subject"),
        (injected(from_email="f\n@example.com"), "from_email"),
        (injected(to=["Ada\nBcc: x@evil.example <a@example.com>"]), "to"),
        (injected(reply_to=["r@example.com\n"]), "reply_to"),
        (injected(headers={"X-A": "1\r\nX-B: 2"}), "X-A"),
        (injected(headers={"X-A\n": "1"}), "header name"),
        (injected(to=["no-at-sign"]), "not one email address"),
        (injected(to=["a@example.com, b@example.com"]), "not one email address"),
        (injected(to=["x" * 400 + "@example.com"]), "not one email address"),
        (injected(attachments=[("a\n.txt", "x", "text/plain")]), "attachment's name"),
        (with_attribute("metadata", {"when": object()}), "metadata holds object"),
        (with_attribute("metadata", {"n": float("nan")}), "metadata holds float"),
        (with_attribute("metadata", {1: "x"}), "key that is not a text"),
        (with_attribute("attachments", [("a.txt", object(), "text/plain")]), "Attachment 1 holds object"),
        (with_attribute("attachments", ["just a text"]), "Attachment 1 is not"),
        (with_attribute("mixed_subtype", "related"), "mixed_subtype"),
        (Overriding("s", "b", to=["a@example.com"]), "overrides message()"),
    ],
)
def test_what_would_be_lost_or_inject_a_header_is_refused(message: EmailMessage, hint: str) -> None:
    with pytest.raises(UnstorableMessage, match=r"\.$") as error:
        dump(message)
    assert hint in str(error.value)


ATOM = st.text("abAB01!#$%&'*+/=?^_`{|}~-.", min_size=1, max_size=20)


@given(ATOM, st.text("abAB01-.", min_size=1, max_size=20))
def test_the_usual_address_is_read_as_the_parser_reads_it(local: str, domain: str) -> None:
    text = f"{local}@{domain}"
    assert getaddresses([text]) == [("", text)]
    assert is_one(text)
    assert LOCAL.fullmatch(local)
    assert DOMAIN.fullmatch(domain)


@given(st.from_regex(PLAIN, fullmatch=True))
def test_what_is_read_without_the_parser_is_read_as_it_would_read_it(text: str) -> None:
    found = usual(text)
    assume(found)
    assert found is not None
    address = f"{found[2]}@{found[3]}"
    assert getaddresses([text]) == [(found[1] or "", address)]
    assert is_one(text) is (len(address) <= LONGEST)
    assert LOCAL.fullmatch(found[2])
    assert DOMAIN.fullmatch(found[3])


@pytest.mark.parametrize("text", ["ada@example.com", "a.b+c=d@e-f.g", "Ada Lovelace <ada@example.com>"])
def test_what_is_usual_is_not_left_to_the_parser(text: str) -> None:
    assert usual(text)


@pytest.mark.parametrize(
    "text",
    [
        *("é@example.com", "a@", "@b", "a b@c", "a@b\n", "<a@b>", '"a"@b', "a@b, c@d", "a@[1]"),
        *("a..b@c", "Ada <a@b", "a@b>", "=?utf-8?q?a?=@b", "a@=?utf-8?q?b?="),
    ],
)
def test_what_is_not_usual_is_left_to_the_parser(text: str) -> None:
    assert not usual(text)


@pytest.mark.parametrize(("length", "fits"), [(LONGEST, True), (LONGEST + 1, False)])
def test_an_address_has_a_longest_length_and_its_name_does_not_count(length: int, fits: bool) -> None:
    address = "a" * (length - 2) + "@b"
    assert is_one(address) is is_one(f"Ada <{address}>") is fits
