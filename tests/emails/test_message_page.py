"""The page of one message: what became of it in plain words, why it was written, proof, and its content in parts."""

import base64
import hashlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from anymail.message import AnymailMessage
from django.core.mail import EmailMultiAlternatives
from django.db import connection
from django.template import Template, engines
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from emails import delivery, digests
from emails.kinds import KINDS
from emails.models import EmailEvent, EmailLog, Lane, State
from tests.conftest import Commit
from tests.emails.messages import PNG, attach_image
from tests.emails.test_log_admin import reader
from tests.esp import LoopbackESP
from tests.log import newest

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("asleep")]
HTML = "<h1>Hello</h1><p>The html</p>"


@pytest.fixture
def email(esp: LoopbackESP) -> EmailLog:
    return recorded(HTML)


def recorded(html: str, text: str = "The text") -> EmailLog:
    message = EmailMultiAlternatives("Hello", text, to=["Linus <linus@example.com>"])
    message.attach_alternative(html, "text/html")
    message.send()
    return message.email_log  # type: ignore[attr-defined,no-any-return]


def read(client: Client, email: EmailLog, query: str = "") -> str:
    return client.get(f"{email.get_absolute_url()}?{query}").content.decode()


def sent(email: EmailLog) -> None:
    delivery.drain(seconds=5)
    email.refresh_from_db()
    assert email.state == "sent"


def told(email: EmailLog, kind: str, after: timedelta, **detail: Any) -> None:
    """The provider reports `kind`, so long after it was sent."""
    assert email.sent_at is not None
    at = email.sent_at + after
    EmailEvent.objects.create(
        **{"email": email, "recipient": email.recipients.get(), "type": kind, "reported": True, "occurred_at": at},
        **{"recorded_at": at + timedelta(seconds=40), "event_id": f"evt-{kind}", "dedupe_key": str(uuid4())},
        detail=detail,
    )
    EmailLog.objects.filter(pk=email.pk).update(delivery=kind)


class TestItsState:
    @pytest.mark.parametrize(
        ("kind", "after", "error", "words", "advice"),
        [
            ("bounced", 200, "mailbox does not exist (550 5.1.1)",
             "Bounced 3 minutes after sending: mailbox does not exist (550 5.1.1)", "right address"),
            ("bounced", 45, "", "Bounced 45 seconds after sending: the recipient’s mail", "right address"),
            ("delivered", 9, "", "Delivered 9 seconds after sending: the recipient’s mail server", "among their spam"),
            ("delivered", -3, "", "Delivered right after sending: ", "among their spam"),
            ("complained", 8000, "", "reported as spam by its recipient 2 hours after sending", "before you lift"),
            ("deferred", 60, "451 greylisted", "goes on trying: 451 greylisted.", "Nothing is to be done"),
            ("rejected", 2, "on the list", "Rejected 2 seconds after sending by Postmark: on the list.", "own list"),
            ("failed", 2, "", "Postmark could not send it.", "Look it up at Postmark"),
        ],
    )  # fmt: skip
    def test_it_says_what_became_of_it_how_long_after_and_why(
        self, admin_client: Client, email: EmailLog, kind: str, after: int, error: str, words: str, advice: str
    ) -> None:
        sent(email)
        told(email, kind, timedelta(seconds=after), error=error)
        sentence = admin_client.get(email.get_absolute_url()).context["sentence"]
        assert words in sentence.words
        assert advice in sentence.advice

    def test_silence_is_explained(self, admin_client: Client, email: EmailLog) -> None:
        sent(email)
        page = read(admin_client, email)
        assert "webhook has reported nothing yet" in page
        assert "/admin/emails/health/" in page
        Lane.objects.filter(key="postmark").update(last_webhook_at=timezone.now())
        assert "There is no delivery report yet." in read(admin_client, email)

    def test_a_reason_in_markup_is_text(self, admin_client: Client, email: EmailLog) -> None:
        sent(email)
        told(email, "bounced", timedelta(seconds=5), error="<script>alert(1)</script>")
        page = read(admin_client, email)
        assert "<script>alert(1)" not in page
        assert "&lt;script&gt;alert(1)" in page


class TestWhyAndProof:
    def test_it_tells_event_actor_change_and_template(self, admin_client: Client, commit: Commit, linus: User) -> None:
        with commit():
            admin_client.post(
                f"/admin/accounts/user/{linus.pk}/change/",
                {"username": "linus", "email": linus.email, "first_name": "Lin", "last_name": "Ahlberg",
                 "language": "en", "is_active": "on"},
            )  # fmt: skip
        email = newest()
        assert email.kind == "update_notice"
        page = read(admin_client, email)
        actor = User.objects.get(username="admin")
        for words in ("are about to change; lists what", f"/admin/accounts/user/{actor.pk}/change/", "POST /admin/"):
            assert words in page
        assert email.template == digests.version(KINDS["update_notice"])
        assert email.template in page
        assert "the one in use" in page
        EmailLog.objects.filter(pk=email.pk).update(template="0123456789ab")
        assert "has been changed since" in read(admin_client, email)

    def test_the_content_shown_is_proved_to_be_what_was_handed_over(
        self, admin_client: Client, email: EmailLog
    ) -> None:
        assert "Proof" not in read(admin_client, email)
        sent(email)
        page = read(admin_client, email)
        assert digests.of_content(email, []) in page
        assert "is the same" in page
        EmailLog.objects.filter(pk=email.pk).update(html="<h1>Something else</h1>")
        assert "is another one, or the site’s key has changed" in read(admin_client, email)

    def test_the_digest_can_not_be_guessed_and_outlives_a_change_of_the_key(
        self, admin_client: Client, email: EmailLog, settings: Any
    ) -> None:
        sent(email)
        digest = email.events.get(type="sent").detail["digest"]
        pieces = [email.payload, email.text, email.html]
        plain = "".join(f"{len(piece.encode())}:{piece}" for piece in pieces)
        assert digest != hashlib.sha256(plain.encode()).hexdigest()
        settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
        settings.SECRET_KEY = "another one"
        assert digests.of_content(email, []) != digest
        admin_client.force_login(User.objects.get(username="admin"))
        assert "is the same" in read(admin_client, email)

    def test_each_piece_of_it_counts(self, email: EmailLog) -> None:
        found = {digests.of_content(email, [])}
        for name in ("text", "html", "payload"):
            other = EmailLog.objects.get(pk=email.pk)
            setattr(other, name, getattr(other, name) + " ")
            found.add(digests.of_content(other, []))
        moved = EmailLog(text="ab", html="c", payload="")
        found |= {digests.of_content(moved, []), digests.of_content(EmailLog(text="a", html="bc", payload=""), [])}
        assert len(found) == 6

    def test_a_template_that_is_built_on_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = digests.version(KINDS["welcome"])
        assert len(before) == 12
        assert before == digests.version(KINDS["welcome"])
        assert before != digests.version(KINDS["update_notice"])
        base = digests.template("emails/base.html")
        engine: Any = engines["django"].engine  # type: ignore[attr-defined]
        changed = Template(f"{base.source} ", engine=engine)
        found = digests.template
        monkeypatch.setattr(digests, "template", lambda name: changed if name == "emails/base.html" else found(name))
        monkeypatch.setattr(digests, "_known", {})
        assert digests.version(KINDS["welcome"]) != before

    def test_it_tells_who_has_read_it_beside_the_timeline(self, admin_client: Client, email: EmailLog) -> None:
        read(admin_client, email)
        context = admin_client.get(email.get_absolute_url()).context
        assert [reader["who"] for reader in context["readers"]] == ["admin"]
        assert [entry["label"] for entry in context["timeline"]] == ["Recorded"]


class TestTheTimeline:
    def test_details_are_folded_away(self, admin_client: Client, email: EmailLog) -> None:
        sent(email)
        told(email, "delivered", timedelta(seconds=9))
        timeline = admin_client.get(email.get_absolute_url()).context["timeline"]
        assert [entry["label"] for entry in timeline] == ["Recorded", "Sent", "Delivered"]
        assert timeline[2]["since"] == "+ 9 seconds"
        details = dict(timeline[2]["details"])
        assert details["The provider’s id of the report"] == "evt-delivered"
        assert details["Heard of"] == "40 seconds later"
        assert dict(timeline[1]["details"])["Message id"] == email.message_id
        assert read(admin_client, email).count("<summary>Technical details</summary>") == 2

    def test_what_is_said_again_and_again_is_one_entry(self, admin_client: Client, email: EmailLog) -> None:
        sent(email)
        for minutes in (1, 5, 30):
            told(email, "deferred", timedelta(minutes=minutes), error="451 greylisted")
        told(email, "deferred", timedelta(minutes=31), error="452 mailbox full")
        timeline = admin_client.get(email.get_absolute_url()).context["timeline"]
        assert [(entry["label"], entry["times"]) for entry in timeline][2:] == [("Deferred", 3), ("Deferred", 1)]
        assert "3 times" in read(admin_client, email)


class TestItsContent:
    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ("", 'class="email-frame width-full"'),
            ("show=html&width=360", 'class="email-frame width-360"'),
            ("show=text", "The text"),
            ("show=source", "&lt;h1&gt;Hello&lt;/h1&gt;"),
            ("show=headers", "linus@example.com"),
            ("show=nonsense&width=9999&look=%22%3E", 'class="email-frame width-full"'),
        ],
    )
    def test_parts_and_widths_are_links(self, admin_client: Client, email: EmailLog, query: str, words: str) -> None:
        assert words in read(admin_client, email, query)

    def test_what_was_chosen_stays_chosen(self, admin_client: Client, email: EmailLog) -> None:
        body = admin_client.get(f"{email.get_absolute_url()}?width=600&look=dark").context["body"]
        assert [tab.href for tab in body["tabs"]][1] == "?show=text&width=600&look=dark#content-of-email"
        assert [one.label for one in body["widths"] if one.chosen] == ["600 px"]
        assert body["frame"].endswith("/preview/?look=dark")

    def test_a_plain_email_opens_with_its_text(self, admin_client: Client, esp: LoopbackESP) -> None:
        email = recorded("", text="Only text")
        page = read(admin_client, email)
        assert "<iframe" not in page
        assert "Only text" in page
        assert "show=source" not in page

    def test_a_huge_body_is_shown_in_part(self, admin_client: Client, esp: LoopbackESP) -> None:
        email = recorded("<p>" + "x" * 5_000_000, text="y" * 300_000)
        for show in ("text", "source"):
            page = read(admin_client, email, f"show={show}")
            assert len(page) < 400_000
            assert "only its beginning" in page
        preview = admin_client.get(f"/admin/emails/emaillog/{email.pk}/preview/")
        assert len(preview.content) > 5_000_000

    def test_a_long_row_of_blanks_takes_no_time(self, admin_client: Client, esp: LoopbackESP) -> None:
        email = recorded("<img src=" + " " * 200_000 + "x><p style='background: url(" + " " * 200_000 + "x'>")
        assert "email-frame" in read(admin_client, email)

    def test_a_picture_that_is_named_often_does_not_fill_the_memory(
        self, admin_client: Client, esp: LoopbackESP, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        message = AnymailMessage("Picture", "text", to=["linus@example.com"])
        attach_image(message)
        cid = message.attachments[0]["Content-ID"].strip("<>")  # type: ignore[call-overload,index]
        message.attach_alternative(f'<img src="cid:{cid}">' * 500, "text/html")
        message.send()
        monkeypatch.setattr("emails.admin.preview.MOST", 1000)
        preview = admin_client.get(f"/admin/emails/emaillog/{newest().pk}/preview/").content.decode()
        assert 1 <= preview.count("data:image/png") < 10

    @pytest.mark.parametrize("look", ["dark", "light"])
    def test_the_frame_shows_it_as_the_other_device_would(
        self, admin_client: Client, esp: LoopbackESP, look: str
    ) -> None:
        style = (
            "<style>@media (prefers-color-scheme:dark){p{color:#fff}} @media ( prefers-color-scheme : light ){}</style>"
        )
        email = recorded(style + "<p>x")
        preview = admin_client.get(f"/admin/emails/emaillog/{email.pk}/preview/?look={look}").content.decode()
        assert "prefers-color-scheme" not in preview
        assert preview.index("(min-width: 0)" if look == "dark" else "(max-width: 0)") < preview.index("p{color:#fff}")
        as_sent = admin_client.get(f"/admin/emails/emaillog/{email.pk}/preview/?look=odd").content.decode()
        assert as_sent == email.html

    def test_pictures_that_came_with_it_are_in_it(self, admin_client: Client, esp: LoopbackESP) -> None:
        message = AnymailMessage("Picture", "text", to=["linus@example.com"])
        attach_image(message)
        cid = message.attachments[0]["Content-ID"].strip("<>")  # type: ignore[call-overload,index]
        message.attach_alternative(f'<img src="cid:{cid}"><img src="cid:other@x">', "text/html")
        message.send()
        preview = admin_client.get(f"/admin/emails/emaillog/{newest().pk}/preview/").content.decode()
        assert "data:image/png;base64," in preview
        assert "cid:other@x" in preview
        assert base64.b64encode(PNG).decode()[:40] in preview

    @pytest.mark.parametrize(
        ("html", "asked"),
        [
            ('<img src="https://example.com/a.png">', True),
            ("<td background=//example.com/a.png>", True),
            ("<p style=\"background: url('http://example.com/b')\">", True),
            ('<a href="https://example.com/">a link</a>', False),
            ('<img src="data:image/png;base64,AAAA">', False),
        ],
    )
    def test_remote_images_are_off_until_asked_for(
        self, admin_client: Client, esp: LoopbackESP, html: str, asked: bool
    ) -> None:
        email = recorded(html)
        assert ("Show remote images" in read(admin_client, email)) is asked
        path = f"/admin/emails/emaillog/{email.pk}/preview/"
        assert "img-src data:;" in admin_client.get(path).headers["Content-Security-Policy"]
        shown = admin_client.get(f"{path}?images=on")
        assert "img-src data: https: http:;" in shown.headers["Content-Security-Policy"]
        assert shown.headers["Referrer-Policy"] == "no-referrer"
        led = admin_client.get(f"{path}?images=on", headers={"Sec-Fetch-Site": "cross-site"})
        assert "img-src data:;" in led.headers["Content-Security-Policy"]  # By a link that somebody else has sent.

    def test_without_the_permission_there_is_no_part_to_ask_for(self, client: Client, email: EmailLog) -> None:
        sent(email)
        clerk = reader(client, "view_emaillog")
        for query in ("", "show=text", "show=source", "show=headers"):
            page = read(clerk, email, query)
            assert "not read it" in page
            assert not any(words in page for words in ("The text", "The html", "show=text", "Proof"))
        with CaptureQueriesContext(connection) as captured:
            read(clerk, email)
        assert not any('"payload"' in query["sql"] for query in captured.captured_queries)
        assert not email.events.filter(type="read").exists()

    def test_what_was_never_written_says_so(self, admin_client: Client) -> None:
        email = EmailLog.objects.create(state=State.SKIPPED, error="The person has no email address.")
        assert "It has no content" in read(admin_client, email)


@pytest.fixture(autouse=True)
def no_state_left() -> Iterator[None]:
    yield
    digests._known.clear()


def test_the_page_costs_no_more_queries_for_a_long_story(
    admin_client: Client, email: EmailLog, django_assert_max_num_queries: Any
) -> None:
    sent(email)
    told(email, "deferred", timedelta(seconds=3), error="451")
    read(admin_client, email)
    for n in range(50):
        told(email, "deferred", timedelta(minutes=n), error=f"451 {n}")
    with django_assert_max_num_queries(8):
        read(admin_client, email)
