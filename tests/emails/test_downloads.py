"""Attachments and whole messages as files: saved and never shown, by who may read, and noted."""

import email as stdlib_email
from email.policy import default
from typing import Any

import pytest
from django.core import mail
from django.test import Client

from accounts.models import User
from emails.models import EmailEvent, EmailLog
from tests.emails.test_log_admin import reader

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("asleep")]
NAMES = [
    "page.html",
    "picture.svg",
    "a\r\nSet-Cookie: x=1\r\n.html",
    "../../etc/passwd",
    "évidence\u202efdp.exe",
    "",
    " . ",
]


def sent(*names: str, **values: Any) -> EmailLog:
    message = mail.EmailMultiAlternatives(
        "Grüße", "The text", "Shop <shop@example.com>", ["Mei <mei@example.com>"], **values
    )
    message.attach_alternative("<p>The html</p>", "text/html")
    for name in names:
        message.attach(name or None, b"<script>alert(1)</script>", "text/html")
    message.send()
    return message.email_log  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("name", NAMES)
def test_s47_an_attachment_is_saved_and_never_shown(admin_client: Client, name: str) -> None:
    row = sent("x")
    row.attachments.update(filename=name)  # Past what send() refuses.
    answer = admin_client.get(f"/admin/emails/emaillog/{row.pk}/attachments/{row.attachments.get().position}/")
    assert answer.content == b"<script>alert(1)</script>"
    disposition = answer["Content-Disposition"]
    assert disposition.startswith("attachment")
    assert not set("\r\n\u202e") & set(disposition)
    assert "/" not in disposition
    assert (answer["Content-Type"], answer["X-Content-Type-Options"]) == ("application/octet-stream", "nosniff")
    assert "sandbox" in answer["Content-Security-Policy"]
    assert "Set-Cookie" not in answer.headers


def test_a_message_is_saved_as_it_is_sent(admin_client: Client) -> None:
    row = sent("bill.html", headers={"X-Kind": "bill"}, reply_to=["help@example.com"])
    answer = admin_client.get(f"/admin/emails/emaillog/{row.pk}/message.eml")
    assert answer["Content-Disposition"] == f'attachment; filename="{row.ref}.eml"'
    made = stdlib_email.message_from_bytes(answer.content, policy=default)
    assert (made["Subject"], made["To"], made["X-Kind"]) == ("Grüße", "Mei <mei@example.com>", "bill")
    assert made["Reply-To"] == "help@example.com"
    assert made["Date"]
    parts = {part.get_content_type() for part in made.walk()}
    assert {"text/plain", "text/html"} <= parts
    assert [part.get_filename() for part in made.iter_attachments()] == ["bill.html"]


def test_a_secret_is_in_no_file(admin_client: Client) -> None:
    message = mail.EmailMessage("Reset", "https://x.example/in?token=s3cr3t-s3cr3t-s3cr3t", to=["mei@example.com"])
    message.send()
    row: EmailLog = message.email_log  # type: ignore[attr-defined]
    assert b"s3cr3t-s3cr3t" not in admin_client.get(f"/admin/emails/emaillog/{row.pk}/message.eml").content


def test_s21_files_need_the_right_to_read_and_are_a_reading(admin_client: Client, client: Client) -> None:
    row = sent("bill.html")
    urls = [f"/admin/emails/emaillog/{row.pk}/{path}" for path in ("message.eml", "attachments/0/", "preview/")]
    for url in urls:
        assert Client().get(url).status_code == 302
        assert admin_client.post(url).status_code == 405
    without = reader(client, "view_emaillog")
    assert [without.get(url).status_code for url in urls] == [403, 403, 403]
    assert "/message.eml" not in without.get(f"/admin/emails/emaillog/{row.pk}/change/").content.decode()
    assert not EmailEvent.objects.filter(type="read").exists()
    page = admin_client.get(f"/admin/emails/emaillog/{row.pk}/change/").content.decode()
    EmailEvent.objects.filter(type="read").delete()
    for url in urls[:2]:
        assert url in page
        assert admin_client.get(url).status_code == 200
    event = EmailEvent.objects.get(type="read")
    assert event.actor == User.objects.get(username="admin")


def test_what_is_not_there_is_not_found(admin_client: Client) -> None:
    row = sent()
    for path in ("attachments/0/", "attachments/99999/"):
        assert admin_client.get(f"/admin/emails/emaillog/{row.pk}/{path}").status_code == 404
    EmailLog.objects.filter(pk=row.pk).update(payload="", text="", html="")
    assert admin_client.get(f"/admin/emails/emaillog/{row.pk}/message.eml").status_code == 404
