"""The log in the admin: found, read, and changed by nobody."""

import os
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.templatetags.admin_list import result_list
from django.contrib.auth.models import Permission
from django.core.mail import EmailMultiAlternatives
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext, override
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.models import User
from emails import delivery
from emails.admin.display import ago
from emails.kinds import KINDS
from emails.models import Delivery, EmailLog, State
from emails.recording import record_again
from emails.templatetags import emaillist
from tests.conftest import Commit
from tests.esp import LoopbackESP
from tests.log import force

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("asleep")]
LIST = "/admin/emails/emaillog/"


@pytest.fixture
def email() -> EmailLog:
    message = EmailMultiAlternatives("Hello & welcome", "The <text>", to=["Linus <linus@example.com>"])
    message.attach_alternative("<p>The html</p><script>alert(1)</script>", "text/html")
    message.attach("bill.pdf", b"%PDF", "application/pdf")
    message.send()
    return message.email_log  # type: ignore[attr-defined,no-any-return]


def reader(client: Client, *codenames: str) -> Client:
    grace = User.objects.create_user("grace", "grace@example.com", is_staff=True)
    grace.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(grace)
    return client


def found(client: Client, **query: str) -> list[EmailLog]:
    response = client.get(LIST, query)
    assert response.status_code == 200
    return list(response.context["cl"].queryset)


@pytest.mark.parametrize(
    "term",
    ["linus@example.com", "LINUS@Example.com", "linus", "hello & WELCOME", "<pm-1@x.example>", "pm-1@x.example"],
)
def test_it_is_found_by(admin_client: Client, email: EmailLog, term: str) -> None:
    email.recipients.update(message_id="<pm-1@x.example>" if term.startswith("<") else "pm-1@x.example")
    assert found(admin_client, q=term) == [email]


@pytest.mark.parametrize("term", ["nobody@example.com", "something else", "<other@example.com>"])
def test_it_is_not_found_by(admin_client: Client, email: EmailLog, term: str) -> None:
    assert found(admin_client, q=term) == []


def test_filters_narrow_the_list(admin_client: Client, commit: Commit, email: EmailLog, linus: User) -> None:
    force(email, state=State.FAILED, provider="postmark")
    assert found(admin_client, status="failed") == found(admin_client, status="attention") == [email]
    assert found(admin_client, status="waiting") == found(admin_client, kind="welcome")
    assert found(admin_client, kind="other") == found(admin_client, provider="postmark") == [email]
    EmailLog.objects.filter(pk=email.pk).update(created_at=timezone.now() - timezone.timedelta(hours=2))  # type: ignore[attr-defined]
    assert email not in found(admin_client, window="1")
    assert email in found(admin_client, window="24")


@pytest.mark.parametrize(
    "query", ["kind=%00", "status=%00", "provider=%00", "window=" + "9" * 5000, "status=nonsense", "q=%00"]
)
def test_nonsense_in_the_address_bar_is_no_error(admin_client: Client, email: EmailLog, query: str) -> None:
    assert admin_client.get(f"{LIST}?{query}").status_code in {200, 302}


def test_it_is_found_by_its_reference(admin_client: Client, email: EmailLog) -> None:
    assert found(admin_client, q=str(email.ref)) == [email]


@pytest.mark.parametrize(
    "query", ["text__contains=secret", "user__password__startswith=m", "payload__contains=x", "html__regex=."]
)
def test_bodies_and_people_can_not_be_probed_through_the_address_bar(
    admin_client: Client, email: EmailLog, query: str
) -> None:
    assert admin_client.get(f"{LIST}?{query}").status_code in {302, 400}


def test_the_list_takes_as_many_queries_for_fifty_rows_as_for_one(admin_client: Client, email: EmailLog) -> None:
    with CaptureQueriesContext(connection) as for_one:
        admin_client.get(LIST)
    for n in range(60):
        EmailMultiAlternatives("s", "b", to=[f"p{n}@example.com"]).send()
    with CaptureQueriesContext(connection) as for_fifty:
        page = admin_client.get(LIST).content.decode()
    assert "p59@example.com" in page
    assert len(for_fifty) == len(for_one) <= 8
    assert not any('"payload"' in query["sql"] or '"html"' in query["sql"] for query in for_fifty.captured_queries)


def test_the_list_tells_what_others_have_sent_again(admin_client: Client, email: EmailLog) -> None:
    force(email, state="failed")
    assert "log-again" not in admin_client.get(LIST).content.decode()
    new = record_again(email)
    page = admin_client.get(f"{LIST}?status=attention").content.decode()
    assert page.count('<span class="log-again">Sent again</span>') == 1
    assert f"/{email.pk}/change/" in page
    assert f"/{new.pk}/change/" not in page
    assert admin_client.get(LIST).content.decode().count("log-again") == 1


def test_the_page_tells_state_cause_and_recipients(admin_client: Client, email: EmailLog) -> None:
    page = admin_client.get(email.get_absolute_url()).content.decode()
    for words in ("Waiting to be sent", "Linus &lt;linus@example.com&gt;", "Hello &amp; welcome", "bill.pdf", "system"):
        assert words in page
    assert "The &lt;text&gt;" not in page  # Its HTML is shown first, in a frame.
    assert "The &lt;text&gt;" in admin_client.get(f"{email.get_absolute_url()}?show=text").content.decode()
    assert "alert(1)" not in page


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State.QUEUED, "Waiting to be sent"),
        (State.CLAIMED, "Waiting to be sent"),
        (State.SENDING, "Being handed to"),
        (State.SENT, "Accepted by Postmark"),
        (State.RETRYING, "attempt 3 of 12 failed"),
        (State.IN_DOUBT, "may or may not have been sent"),
        (State.FAILED, "not tried any more"),
        (State.SUPPRESSED, "address is refused"),
        (State.SKIPPED, "on purpose"),
        (State.CANCELLED, "Cancelled"),
        (State.EXPIRED, "Too old"),
    ],
)
def test_every_state_is_a_sentence(admin_client: Client, email: EmailLog, state: State, words: str) -> None:
    force(email, state=state, provider="postmark", attempts=3, sent_at=timezone.now(), error="The reason.")
    assert words in admin_client.get(email.get_absolute_url()).content.decode()


def test_what_a_provider_that_is_gone_did_not_take_is_no_failed_attempt(admin_client: Client, email: EmailLog) -> None:
    soon, ago = timezone.now() + timedelta(minutes=5), timezone.now() - timedelta(minutes=1)
    force(email, state=State.RETRYING, provider="postmark", attempts=0, run_at=soon, error="The reason.")
    page = admin_client.get(email.get_absolute_url()).content.decode()
    assert "Postmark takes nothing at the moment, which counts as no attempt. The next one is due at" in page
    assert "/admin/emails/health/" in page.partition("email-advice")[2].partition("</p>")[0]
    force(email, attempts=2, run_at=ago)
    page = admin_client.get(email.get_absolute_url()).content.decode()
    assert "attempt 2 of 12 failed. It is due, and leaves as soon as" in page


def test_nobody_has_read_what_is_forgotten(admin_client: Client, email: EmailLog) -> None:
    EmailLog.objects.filter(pk=email.pk).update(text="", html="", payload="", purged_at=timezone.now())
    for path in ("change/", "preview/"):
        admin_client.get(f"{LIST}{email.pk}/{path}")
    assert not email.events.filter(type="read").exists()
    assert "Who has read it" not in admin_client.get(email.get_absolute_url()).content.decode()


def test_a_message_nobody_picks_up_asks_for_the_worker(admin_client: Client, email: EmailLog) -> None:
    EmailLog.objects.update(run_at=timezone.now() - timezone.timedelta(minutes=5))  # type: ignore[attr-defined]
    assert "manage.py worker" in admin_client.get(email.get_absolute_url()).content.decode()


def test_the_timeline_tells_each_attempt(admin_client: Client, email: EmailLog, esp: LoopbackESP) -> None:
    esp.fault = 500
    delivery.drain(seconds=5)
    EmailLog.objects.update(run_at=timezone.now())
    esp.fault = None
    delivery.drain(seconds=5)
    timeline = admin_client.get(email.get_absolute_url()).context["timeline"]
    assert [entry["label"] for entry in timeline] == ["Recorded", "Retrying", "Sent"]
    assert "HTTP 500" in timeline[1]["note"]


@pytest.mark.parametrize("path", ["add/", "{pk}/delete/"])
def test_nobody_adds_or_deletes(admin_client: Client, email: EmailLog, path: str) -> None:
    assert admin_client.get(LIST + path.format(pk=email.pk)).status_code == 403
    assert admin_client.post(LIST + path.format(pk=email.pk), {"post": "yes"}).status_code == 403
    assert EmailLog.objects.filter(pk=email.pk).exists()


def test_nobody_edits(admin_client: Client, email: EmailLog) -> None:
    assert admin_client.post(email.get_absolute_url(), {"subject": "other"}).status_code == 405
    admin_client.post(LIST, {"action": "delete_selected", "_selected_action": [email.pk], "post": "yes"})
    email.refresh_from_db()
    assert email.subject == "Hello & welcome"


@pytest.mark.parametrize("pk", ["0", "999999", "x", "9" * 30])
def test_what_does_not_exist_is_not_found(admin_client: Client, pk: str) -> None:
    assert admin_client.get(f"{LIST}{pk}/change/").status_code == 404


def test_facts_need_one_permission_and_bodies_another(client: Client, email: EmailLog) -> None:
    preview = reverse("admin:emails_emaillog_preview", args=[email.pk])
    staff = reader(client, "view_emaillog")
    page = staff.get(email.get_absolute_url()).content.decode()
    assert "linus@example.com" in page
    assert "The &lt;text&gt;" not in page
    assert "<iframe" not in page
    assert staff.get(preview).status_code == 403


def test_staff_without_permission_see_nothing(client: Client, email: EmailLog) -> None:
    staff = reader(client)
    preview = reverse("admin:emails_emaillog_preview", args=[email.pk])
    for url in (LIST, email.get_absolute_url(), preview):
        assert staff.get(url).status_code == 403


def test_strangers_are_asked_to_sign_in(client: Client, email: EmailLog) -> None:
    preview = reverse("admin:emails_emaillog_preview", args=[email.pk])
    for url in (LIST, email.get_absolute_url(), preview):
        assert client.get(url).status_code == 302


def test_the_preview_can_do_nothing(admin_client: Client, email: EmailLog) -> None:
    response = admin_client.get(reverse("admin:emails_emaillog_preview", args=[email.pk]))
    assert response.content.decode() == email.html
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "allow-" not in policy
    assert "script-src" not in policy
    assert "form-action 'none'" in policy
    assert response.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert "no-store" in response.headers["Cache-Control"]
    page = admin_client.get(email.get_absolute_url())
    assert '<iframe class="email-frame width-full" sandbox=""' in page.content.decode()
    assert page.headers["X-Frame-Options"] == "DENY"
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]  # A frame, too, goes nowhere else.
    assert "frame-src" not in page.headers["Content-Security-Policy"]
    assert admin_client.post(reverse("admin:emails_emaillog_preview", args=[email.pk])).status_code == 405


def test_rows_are_as_django_writes_them(admin_client: Client, email: EmailLog) -> None:
    """Ours take less time; whatever else looks at the list finds what it is used to."""
    EmailLog.objects.create(state=State.SKIPPED, error="The <b>reason</b>.", user_label="Zoë")
    EmailLog.objects.create(state=State.SKIPPED, subject='<i>{0}</i> {} "&amp;" \u202e', user_label="{} <b>")
    cl = admin_client.get(LIST, {"kind": "other"}).context["cl"]
    ours: Any = emaillist.log_rows(cl)
    theirs: Any = result_list(cl)
    rows = [
        "".join(re.sub(r' class="field-created nowrap"', ' class="field-created"', str(cell)) for cell in row)
        for row in theirs["results"]
    ]
    assert len(rows) == 3
    assert ours["results"] == [["</tr>\n<tr>".join(rows)]]
    assert isinstance(ours["results"][0][0], SafeString)
    assert ours["result_headers"] == theirs["result_headers"]
    assert ours["num_sorted_fields"] == theirs["num_sorted_fields"]


def test_a_column_that_is_alike_in_many_rows_is_still_that_of_each(admin_client: Client) -> None:
    """A row's status, kind and provider are written once a page for all that have the same."""
    for state, status in ((State.SENT, Delivery.BOUNCED), (State.SENT, Delivery.NONE), (State.FAILED, Delivery.NONE)):
        EmailLog.objects.create(state=state, delivery=status, kind="welcome", provider="postmark")
        EmailLog.objects.create(state=state, delivery=status, kind="account_deleted", provider="brevo")
    page = admin_client.get(LIST, {"q": "-status:queued"}).content.decode()
    cells = re.findall(r'badge-\w+"><span aria-hidden="true">.</span> (\w+)<.*?kind_name">(.*?)<.*?name">(.*?)<', page)
    labels = {kind: KINDS[kind].label for kind in ("welcome", "account_deleted")}
    assert cells == [
        (status, labels[kind], provider)
        for status in ("Failed", "Sent", "Bounced")
        for kind, provider in (("account_deleted", "Brevo"), ("welcome", "Postmark"))
    ]


@given(
    st.datetimes(datetime(2024, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),
    st.one_of(st.integers(-60, 40 * 86400), st.integers(0, 1200).map(lambda days: days * 86400)),
    st.sampled_from(["en", "de"]),
)
@settings(max_examples=500 if os.environ.get("THOROUGH") else 100)
def test_how_long_ago_is_told_as_django_tells_it(now: datetime, seconds: int, language: str) -> None:
    when = now - timedelta(seconds=seconds)
    with override(language):
        expected = gettext("%(time)s ago") % {"time": timesince(when, now, depth=1)}
        assert ago(when, now) == (expected if seconds > 59 else gettext("just now"))


def test_a_list_tells_times_in_the_language_of_its_reader() -> None:
    when = timezone.now() - timedelta(hours=3)
    told = []
    for language in ("en", "de", "en"):
        with override(language):
            told.append(ago(when, timezone.now()))
    assert told == ["3\xa0hours ago", "vor 3\xa0Stunden", "3\xa0hours ago"]
