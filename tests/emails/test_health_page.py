"""One page tells how email does: what is missing, who delivers, what waits, what each provider can; never a value."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from accounts.models import User
from emails import delivery, sweeper
from emails.models import EmailLog, Lane, Pause, Suppression, Worker
from emails.providers import PROVIDERS
from tests.esp import LoopbackESP
from tests.webhooks import configure, environment, event, report

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("asleep")]
PAGE = "/admin/emails/health/"


def page(client: Client) -> str:
    response = client.get(PAGE)
    assert response.status_code == 200
    return str(response.content.decode())


def staff(client: Client, *codenames: str) -> Client:
    grace = User.objects.create_user("grace", "grace@example.com", is_staff=True)
    grace.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(grace)
    return client


def test_it_names_what_is_missing_and_where_to_find_it(admin_client: Client, settings: Any) -> None:
    values = environment("mailgun") | {"MAILGUN_API_KEY": ""} | environment("postmark")
    configure(settings, **values, EMAIL_FALLBACK_PROVIDER="mailgun")
    html = page(admin_client)
    assert "MAILGUN_API_KEY (Send → Sending keys" in html
    assert "https://USER:PASSWORD@backoffice.example.com/anymail/postmark/tracking/" in html
    assert "Postmark <span" in html
    assert "(fallback)" in html


def test_no_value_of_any_variable_is_on_it(admin_client: Client, settings: Any) -> None:
    for key in PROVIDERS:
        values = environment(key)
        configure(settings, DEBUG="true", **values)
        html = page(admin_client)
        secret = {value for name, value in values.items() if name not in {"EMAIL_PROVIDER"} and "://" not in value}
        for value in secret - {"example.com", "email_host-value"}:
            assert value not in html, (key, value)


def test_it_tells_of_successes_errors_reports_and_of_a_closed_lane(
    admin_client: Client, esp: LoopbackESP, settings: Any
) -> None:
    configure(settings, **environment("postmark", esp.url), EMAIL_RATE_LIMIT="14")
    admin_client.post(f"{PAGE}try/", {"address": "linus@example.com"})
    delivery.drain(seconds=5)
    email = EmailLog.objects.get(recipients__address="linus@example.com")
    report("postmark", event("postmark", email, "delivered"))
    html = page(admin_client)
    assert "just now" in html
    assert "14.0 messages a second" in html
    Lane.objects.update(reason="configuration", error="HTTP 401: no", failures=3)
    html = page(admin_client)
    assert "The provider refuses our settings" in html
    assert "HTTP 401: no" in html
    assert "3 failures in a row" in html


def test_a_worker_that_ended_is_not_missed(admin_client: Client) -> None:
    sweeper.turn()
    assert Worker.objects.count() == 1
    sweeper.leave()
    assert Worker.objects.count() == 0


def test_its_headline_tells_what_goes_wrong_now(admin_client: Client, esp: LoopbackESP, settings: Any) -> None:
    configure(settings, **environment("postmark", esp.url))
    settings.DEBUG = True
    assert "No worker is alive" in page(admin_client)
    sweeper.turn()
    assert "and mail goes out" in page(admin_client)
    esp.fault = "reset-after"
    admin_client.post(f"{PAGE}try/", {"address": "linus@example.com"})
    delivery.drain(seconds=5)
    html = page(admin_client)
    assert "In doubt in the past day: 2." in html  # beside the welcome of the admin
    assert "and mail goes out" not in html


def test_it_tells_who_delivers_and_what_waits(admin_client: Client, settings: Any) -> None:
    assert "Start “manage.py worker”" in page(admin_client)
    sweeper.turn()
    worker = Worker.objects.get()
    assert worker.name in page(admin_client)
    assert "alive" in page(admin_client)
    Worker.objects.update(seen_at=timezone.now() - timedelta(minutes=5))
    assert "silent" in page(admin_client)
    admin_client.post(f"{PAGE}try/", {"address": "linus@example.com"})
    EmailLog.objects.update(run_at=timezone.now() - timedelta(minutes=11))
    html = page(admin_client)
    assert "11 minutes" in html
    Pause.objects.create(started_by_label="Ada", reason="the bill is not paid")
    assert "the bill is not paid" in page(admin_client)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("scaleway", "Scaleway reports no deliveries"),
        ("postal", "It takes no metadata"),
        ("resend", "does not say which of several recipients"),
        ("brevo", "another try makes no second copy"),
        ("postmark", "shown as in doubt"),
        ("mailjet", "It takes one tag"),
        ("scaleway", "switch the tracking of opens and clicks"),
    ],
)
def test_it_says_what_the_provider_can(key: str, words: str, admin_client: Client, settings: Any) -> None:
    configure(settings, **environment(key))
    assert words in page(admin_client)


def test_a_test_email_is_posted_and_leads_to_its_row(admin_client: Client) -> None:
    assert admin_client.get(f"{PAGE}try/").status_code == 405
    response = admin_client.post(f"{PAGE}try/", {"address": "Linus@example.com"})
    email = EmailLog.objects.get(recipients__address="linus@example.com")
    assert response["Location"] == email.get_absolute_url()
    assert email.cause == f"POST {PAGE}try/"
    for odd in ("", "nobody", "a@b\r\nBcc: c@d"):
        assert admin_client.post(f"{PAGE}try/", {"address": odd})["Location"] == PAGE
    assert EmailLog.objects.filter(subject="Test email").count() == 1


def test_only_those_who_control_delivery_try_and_only_those_who_see_lanes_look(client: Client) -> None:
    staff(client, "view_health")
    assert "Send test email" not in page(client)
    assert client.post(f"{PAGE}try/", {"address": "a@example.com"}).status_code == 403
    User.objects.get(username="grace").user_permissions.clear()
    assert client.get(PAGE).status_code == 403


class TestSuppressedAddresses:
    LIST = "/admin/emails/suppression/"

    @pytest.fixture
    def suppression(self) -> Suppression:
        return Suppression.objects.create(address="linus@example.com", reason="bounced")

    def test_they_are_listed_with_why_and_since_when(
        self, admin_client: Client, settings: Any, esp: LoopbackESP
    ) -> None:
        configure(settings, **environment("postmark", esp.url))
        admin_client.post(f"{PAGE}try/", {"address": "linus@example.com"})
        delivery.drain(seconds=5)
        email = EmailLog.objects.get(recipients__address="linus@example.com")
        report("postmark", event("postmark", email, "bounced", at=timezone.now()))
        html = admin_client.get(self.LIST).content.decode()
        for words in ("linus@example.com", "Bounced for good", "just now", f"Email #{email.pk}"):
            assert words in html
        assert admin_client.get(self.LIST, {"q": "nobody"}).context["cl"].result_count == 0
        one = Suppression.objects.get()
        html = admin_client.get(f"{self.LIST}{one.pk}/change/").content.decode()
        assert "550 5.1.1 mailbox does not exist" in html
        assert f'href="{email.get_absolute_url()}"' in html

    def test_one_is_lifted_with_a_reason_and_once(self, admin_client: Client, suppression: Suppression) -> None:
        url = f"{self.LIST}{suppression.pk}/lift/"
        assert admin_client.get(url).status_code == 405
        admin_client.post(url, {"reason": " "})
        suppression.refresh_from_db()
        assert suppression.lifted_at is None
        admin_client.post(url, {"reason": "a new mailbox"})
        admin_client.post(url, {"reason": "again"})
        suppression.refresh_from_db()
        assert (suppression.lifted_for, suppression.lifted_by_label) == ("a new mailbox", "admin")
        html = admin_client.get(f"{self.LIST}{suppression.pk}/change/").content.decode()
        assert "a new mailbox" in html
        assert "Let mail go there again" not in html
        assert admin_client.get(self.LIST, {"lifted": "no"}).context["cl"].result_count == 0

    def test_nobody_else_lifts_and_nobody_edits(self, client: Client, suppression: Suppression) -> None:
        staff(client, "view_suppression", "change_suppression", "add_suppression", "delete_suppression")
        assert client.get(self.LIST).status_code == 200
        assert "Let mail" not in client.get(f"{self.LIST}{suppression.pk}/change/").content.decode()
        assert client.post(f"{self.LIST}{suppression.pk}/lift/", {"reason": "x"}).status_code == 403
        assert client.get(f"{self.LIST}add/").status_code == 403
        assert client.post(f"{self.LIST}{suppression.pk}/delete/").status_code == 403
        assert Suppression.objects.get().lifted_at is None


class TestThePageOfAMessage:
    def test_it_tells_what_the_provider_reported(self, admin_client: Client, esp: LoopbackESP, settings: Any) -> None:
        configure(settings, **environment("postmark", esp.url))
        admin_client.post(f"{PAGE}try/", {"address": "linus@example.com"})
        delivery.drain(seconds=5)
        email = EmailLog.objects.get(recipients__address="linus@example.com")
        for kind in ("delivered", "opened", "clicked"):
            report("postmark", event("postmark", email, kind, at=timezone.now()))
        html = admin_client.get(email.get_absolute_url()).content.decode()
        for words in ("Delivered", "Opened", "Link clicked", "opened once", "clicked once"):
            assert words in html
        report("postmark", event("postmark", email, "bounced", at=timezone.now() + timedelta(minutes=1)))
        html = admin_client.get(email.get_absolute_url()).content.decode()
        assert re.search(r"Bounced \d+ seconds after sending: ", html)
        assert "550 5.1.1 mailbox does not exist" in html
