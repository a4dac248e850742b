"""Who may report what: the probes from outside, for every provider that reports."""

import json
import logging
import time
from typing import Any
from unittest.mock import patch

import pytest
from django.core.mail import EmailMessage
from django.db import OperationalError
from django.test import Client

from emails import tracking
from emails.models import EmailEvent, EmailLog, Lane, Suppression
from emails.providers import PROVIDERS
from emails.signing import hexdigest, post
from tests.log import force
from tests.webhooks import REPORTING, SITE, configure, environment, event, private_half, report, send

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("asleep")]


@pytest.fixture
def client() -> Client:
    tracking._seen_at.clear()
    return Client(raise_request_exception=False)


def sent(key: str, to: str = "linus@example.com") -> EmailLog:
    message = EmailMessage("s", "b", to=[to])
    message.send()
    email: EmailLog = message.email_log  # type: ignore[attr-defined]
    force(email, state="sent", provider=key, message_id="123", attempts=1)
    email.recipients.update(message_id="123")
    email.refresh_from_db()
    return email


def mailgun_signature(token: str) -> dict[str, str]:
    now = str(int(time.time()))
    return {
        "timestamp": now,
        "token": token,
        "signature": hexdigest(b"mailgun_api_key-value", f"{now}{token}".encode()),
    }


def untouched(email: EmailLog) -> bool:
    email.refresh_from_db()
    return email.delivery == "" and not EmailEvent.objects.filter(reported=True).exists()


def test_only_the_provider_in_use_has_an_address(settings: Any, client: Client) -> None:
    configure(settings, **environment("postmark"))
    for key in (*REPORTING, "scaleway", "smtp", "sendinblue"):
        for kind in ("tracking", "inbound"):
            answer = send(client, f"/anymail/{key}/{kind}/", b"{}", {})
            expected = 401 if (key, kind) == ("postmark", "tracking") else 404
            assert answer.status_code == expected, (key, kind)


def test_a_fallback_reports_too(settings: Any, client: Client) -> None:
    both = environment("mailjet") | environment("postmark") | {"EMAIL_FALLBACK_PROVIDER": "mailjet"}
    configure(settings, **both)
    for key in ("postmark", "mailjet"):
        email = sent(key)
        assert report(key, event(key, email, "delivered"), client=client).status_code == 200
        email.refresh_from_db()
        assert email.delivery == "delivered"


@pytest.mark.parametrize("key", REPORTING)
def test_without_its_secret_there_is_no_address(key: str, settings: Any, client: Client) -> None:
    values = environment(key)
    configure(settings, **values)
    email = sent(key)
    made = post(PROVIDERS[key], [event(key, email, "bounced")], f"{SITE}/anymail/{key}/tracking/", private_half(key))
    webhook = PROVIDERS[key].webhook
    assert webhook is not None
    secrets = {"ANYMAIL_WEBHOOK_SECRET", *webhook.signed_by} - set(PROVIDERS[key].required)
    configure(settings, **{name: value for name, value in values.items() if name not in secrets})
    # Mailgun and Unisender Go sign with the API key, without which nothing is sent either.
    signs_anyway = key in {"mailgun", "unisender_go"}
    answer = send(client, f"/anymail/{key}/tracking/", b"{}", {} if signs_anyway else made.headers)
    assert answer.status_code in ({400, 401, 403} if signs_anyway else {404})
    assert untouched(email)


@pytest.mark.parametrize("key", REPORTING)
def test_a_post_without_authentication_touches_nothing(key: str, settings: Any, client: Client) -> None:
    configure(settings, **environment(key))
    email = sent(key)
    path = f"/anymail/{key}/tracking/"
    made = post(PROVIDERS[key], [event(key, email, "bounced")], SITE + path, private_half(key))
    kept = {"Content-Type", "X-Amz-Sns-Message-Type", "X-Amz-Sns-Message-Id"}
    bare = {name: value for name, value in made.headers.items() if name in kept}
    body = made.body
    if key in {"mailgun", "unisender_go"}:  # These carry their signature in the body.
        body = body.replace(b'"signature": "', b'"signature": "0').replace(b'"auth": "', b'"auth": "0')
    with patch("emails.tracking.ingest") as ingest:
        answer = send(client, path, body, bare)
    assert answer.status_code in {400, 401, 403}
    assert not ingest.called
    wrong = {name: value[:-3] + "AAA" for name, value in made.headers.items() if name not in kept}
    answer = send(client, path, body, {**bare, **wrong})
    assert answer.status_code in {400, 401, 403}
    assert untouched(email)


def test_a_signature_is_enough_where_another_provider_has_a_password(settings: Any, client: Client) -> None:
    for key in ("mailersend", "mandrill", "postal", "mailgun", "resend"):
        configure(settings, **{**environment("postmark"), **environment(key)}, EMAIL_FALLBACK_PROVIDER="postmark")
        assert settings.ANYMAIL["WEBHOOK_SECRET"]
        email = sent(key)
        path = f"/anymail/{key}/tracking/"
        made = post(PROVIDERS[key], [event(key, email, "delivered")], SITE + path, private_half(key))
        assert "Authorization" not in made.headers
        assert send(client, path, made.body, made.headers).status_code == 200, key


def test_amazon_is_asked_for_its_password(settings: Any, client: Client) -> None:
    configure(settings, **environment("amazon_ses"))
    answer = send(client, "/anymail/amazon_ses/tracking/", b"{}", {})
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Basic realm="webhook"')


def test_a_look_at_the_address_is_answered_and_nothing_else_is(settings: Any, client: Client) -> None:
    configure(settings, **environment("mandrill"))
    host = {"headers": {"Host": "backoffice.example.com"}, "secure": True}
    assert client.head("/anymail/mandrill/tracking/", **host).status_code == 200  # type: ignore[arg-type]
    assert client.put("/anymail/mandrill/tracking/", **host).status_code == 405  # type: ignore[arg-type]


class TestMailgun:
    """Its signature covers a time and a token, and nothing of what they stand above."""

    def test_a_token_is_good_for_one_event(self, settings: Any, client: Client) -> None:
        configure(settings, **environment("mailgun"))
        email, victim = sent("mailgun"), sent("mailgun", "ada@example.com")
        path = "/anymail/mailgun/tracking/"
        made = post(PROVIDERS["mailgun"], [event("mailgun", email, "delivered")], SITE + path)
        assert send(client, path, made.body, made.headers).status_code == 200
        assert send(client, path, made.body, made.headers).status_code == 200  # the identical one, once more
        forged = json.loads(made.body)
        forged["event-data"] = event("mailgun", victim, "bounced")["event-data"]
        assert send(client, path, json.dumps(forged).encode(), made.headers).status_code == 400
        assert EmailEvent.objects.filter(reported=True).count() == 1
        victim.refresh_from_db()
        assert victim.delivery == ""

    def test_the_identical_event_signed_anew_changes_nothing(self, settings: Any, client: Client) -> None:
        configure(settings, **environment("mailgun"))
        email = sent("mailgun")
        said = event("mailgun", email, "opened")
        path = "/anymail/mailgun/tracking/"
        for token in ("one", "two"):
            made = post(PROVIDERS["mailgun"], [said], SITE + path)
            signed = json.loads(made.body)
            signed["signature"] = mailgun_signature(token)
            assert send(client, path, json.dumps(signed).encode(), made.headers).status_code == 200
        assert email.recipients.get().open_count == 1
        assert EmailEvent.objects.filter(reported=True).count() == 1

    def test_of_two_at_once_one_is_refused(self, settings: Any, client: Client) -> None:
        """The second has looked before the first was committed, and finds it when it writes."""
        configure(settings, **environment("mailgun"))
        victim = sent("mailgun")
        matching = tracking.match

        def late(provider: Any, reports: Any, using: str) -> Any:
            EmailEvent.objects.create(dedupe_key=reports[0].key, detail={"print": "another's"})
            return matching(provider, reports, using)

        with patch("emails.tracking.match", late):
            assert report("mailgun", event("mailgun", victim, "bounced"), client=client).status_code == 400
        assert not Suppression.objects.exists()
        assert untouched(victim)

    @pytest.mark.parametrize("seconds", [-3600, -9 * 365 * 86400, 3600])
    def test_an_old_signature_is_none(self, seconds: int, settings: Any, client: Client) -> None:
        configure(settings, **environment("mailgun"))
        email = sent("mailgun")
        then = time.time() + seconds
        with patch("emails.signing.time.time", return_value=then):
            path = "/anymail/mailgun/tracking/"
            made = post(PROVIDERS["mailgun"], [event("mailgun", email, "bounced")], SITE + path)
        assert send(client, path, made.body, made.headers).status_code == 403
        assert untouched(email)


@pytest.mark.parametrize("key", REPORTING)
def test_giant_and_absurdly_deep_bodies_are_refused_cheaply(
    key: str, settings: Any, client: Client, caplog: Any
) -> None:
    configure(settings, **environment(key))
    path = f"/anymail/{key}/tracking/"
    headers = post(PROVIDERS[key], [event(key, sent(key), "bounced")], SITE + path, private_half(key)).headers
    send(client, path, b"{}", headers)  # Imports are no one's fault.
    for body, statuses in (
        (b'{"a": "' + b"x" * 2_700_000 + b'"}', {413}),
        (b"[" * 100_000, {400, 403}),
        (b'{"a":' * 100_000, {400, 403}),
    ):
        costs = []  # In seconds of CPU: the least of three, for a busy machine only ever adds.
        for _ in range(3):
            began = time.process_time()
            answer = send(client, path, body, headers)
            costs.append(time.process_time() - began)
            assert answer.status_code in statuses, answer.status_code
        assert min(costs) < 0.2, costs
    assert "Traceback" not in caplog.text
    assert not EmailEvent.objects.filter(reported=True).exists()


@pytest.mark.parametrize("key", REPORTING)
@pytest.mark.parametrize(
    "said", [None, [], {}, "x", 7, [None], [[]], [{}], {"events": 5}, {"items": 1}, {"a": "\x00"}, {"ts_epoch": 1e400}]
)
def test_malformed_posts_that_are_signed_well_are_no_error_of_ours(
    key: str, said: Any, settings: Any, client: Client
) -> None:
    configure(settings, **environment(key))
    answer = report(key, said, client=client)
    assert answer.status_code in {200, 400, 403}
    assert not EmailEvent.objects.filter(reported=True).exists()


def test_no_body_address_or_token_gets_into_a_log_line(settings: Any, client: Client, caplog: Any) -> None:
    with caplog.at_level(logging.DEBUG):
        for key in REPORTING:
            configure(settings, **environment(key))
            email = sent(key)
            report(key, event(key, email, "bounced", to="s3cr3t@example.com"), client=client)
            report(key, event(key, email, "bounced", to=7), client=client)
            send(client, f"/anymail/{key}/tracking/", b'{"s3cr3t', {"Authorization": "Basic s3cr3t"})
    for record in caplog.records:
        if record.name.startswith(("emails", "django.request", "django.security")):
            assert "s3cr3t" not in record.getMessage()
            assert "user:pass" not in record.getMessage()


class TestTopics:
    """Amazon SNS signs for everybody who has a topic, so that only ours are subscribed to."""

    ARN = "arn:aws:sns:eu-central-1:123456789012:email"

    def subscribe(self, client: Client, arn: str) -> Any:
        said = {"Type": "SubscriptionConfirmation", "MessageId": "m-1", "TopicArn": arn, "Token": "s3cr3t"}
        return report("amazon_ses", said, client=client)

    def test_a_foreign_topic_is_not_confirmed(self, settings: Any, client: Client) -> None:
        for allowed in ("", self.ARN):
            configure(settings, **environment("amazon_ses"), AMAZON_SES_SNS_TOPIC_ARNS=allowed)
            with patch("anymail.webhooks.amazon_ses.AmazonSESBaseWebhookView.auto_confirm_sns_subscription") as confirm:
                assert self.subscribe(client, self.ARN.replace("email", "evil")).status_code == 403
            assert not confirm.called

    def test_ours_is(self, settings: Any, client: Client) -> None:
        configure(settings, **environment("amazon_ses"), AMAZON_SES_SNS_TOPIC_ARNS=f"x, {self.ARN}")
        with patch("anymail.webhooks.amazon_ses.AmazonSESBaseWebhookView.auto_confirm_sns_subscription") as confirm:
            assert self.subscribe(client, self.ARN).status_code == 200
        assert confirm.called

    def test_nothing_is_heard_of_a_foreign_topic(self, settings: Any, client: Client) -> None:
        configure(settings, **environment("amazon_ses"), AMAZON_SES_SNS_TOPIC_ARNS="arn:aws:sns:eu-central-1:1:other")
        email = sent("amazon_ses")
        assert report("amazon_ses", event("amazon_ses", email, "bounced"), client=client).status_code == 403
        assert untouched(email)


def test_a_flood_of_strangers_costs_no_query(settings: Any, client: Client, django_assert_num_queries: Any) -> None:
    configure(settings, **environment("postmark"))
    with django_assert_num_queries(0):
        for _ in range(50):
            assert send(client, "/anymail/postmark/tracking/", b'{"RecordType": "Bounce"}', {}).status_code == 401


def test_a_database_that_is_away_asks_the_provider_to_come_again(settings: Any, client: Client) -> None:
    configure(settings, **environment("postmark"))
    email = sent("postmark")
    with patch("emails.tracking.match", side_effect=OperationalError):
        answer = report("postmark", event("postmark", email, "delivered"), client=client)
    assert (answer.status_code, answer["Retry-After"]) == (503, "30")
    configure(settings, **environment("mailgun"))
    with patch("emails.tracking.remember", side_effect=OperationalError):
        answer = report("mailgun", {"event-data": {"event": "list_member_uploaded"}}, client=client)
    assert answer.status_code == 503


def test_inbound_mail_that_is_posted_here_is_named_in_the_log(settings: Any, client: Client, caplog: Any) -> None:
    configure(settings, **environment("postmark"))
    with caplog.at_level(logging.WARNING, "emails"):
        assert report("postmark", {"FromFull": {}, "To": "s3cr3t@example.com"}, client=client).status_code == 400
    assert "webhook.odd_events provider=postmark number=1 error=AnymailConfigurationError" in caplog.text
    assert "s3cr3t" not in caplog.text


def test_the_lane_tells_when_something_was_last_reported(settings: Any, client: Client) -> None:
    configure(settings, **environment("postmark"))
    report("postmark", event("postmark", sent("postmark"), "delivered"), client=client)
    assert Lane.objects.get(key="postmark").last_webhook_at is not None
