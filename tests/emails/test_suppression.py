"""Addresses that bounced for good or complained get no more mail, until staff let it go there again."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.mail import EmailMessage
from django.utils import timezone

from accounts.emails import PASSWORD_CHANGED, WELCOME
from accounts.models import User
from accounts.values import read
from accounts.writing import tell
from emails import delivery
from emails.control import NotNow, send_again
from emails.models import EmailLog, Suppression
from tests.esp import LoopbackESP
from tests.log import force
from tests.webhooks import EVENTS, configure, environment, event, report

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("asleep")]
ADDRESS = "linus@example.com"


@pytest.fixture(autouse=True)
def provider(esp: LoopbackESP, settings: Any) -> None:
    configure(settings, **environment("postmark", esp.url))


def record(**options: Any) -> EmailLog:
    message = EmailMessage("s", "b", **{"to": [ADDRESS], **options})
    message.send()
    email: EmailLog = message.email_log  # type: ignore[attr-defined]
    email.refresh_from_db()
    return email


def told(kind: str, key: str = "postmark", **changes: Any) -> None:
    email = record()
    force(email, state="sent", provider=key, message_id="m", attempts=1)
    said = event(key, email, kind, event_id=f"e-{email.pk}", **{"at": timezone.now(), **changes})
    assert report(key, said).status_code == 200


class TestMarking:
    @pytest.mark.parametrize("key", sorted(EVENTS))
    def test_a_bounce_for_good(self, key: str, settings: Any) -> None:
        configure(settings, **environment(key))
        told("bounced", key)
        suppression = Suppression.objects.get()
        assert (suppression.address, suppression.reason) == (ADDRESS, "bounced")
        assert suppression.event is not None
        assert suppression.event.type == "bounced"

    @pytest.mark.parametrize("key", sorted(key for key, events in EVENTS.items() if "complained" in events))
    def test_a_complaint(self, key: str, settings: Any) -> None:
        configure(settings, **environment(key))
        told("complained", key)
        assert Suppression.objects.get().reason == "complained"

    def test_not_a_soft_bounce_nor_a_delay(self) -> None:
        email = record()
        force(email, state="sent", provider="postmark", message_id="m", attempts=1)
        report("postmark", event("postmark", email, "bounced") | {"Type": "SoftBounce"})
        told("deferred")
        assert not Suppression.objects.exists()

    def test_not_an_address_that_the_report_does_not_name(self) -> None:
        told("bounced", to="ada@example.com")
        assert not Suppression.objects.exists()

    def test_not_the_first_of_several_where_the_provider_names_nobody_else(self, settings: Any) -> None:
        configure(settings, **environment("resend"))
        email = record(to=[ADDRESS, "ada@example.com"])
        force(email, state="sent", provider="resend", message_id="m", attempts=1)
        assert report("resend", event("resend", email, "bounced")).status_code == 200
        assert not Suppression.objects.exists()
        email.refresh_from_db()
        assert email.status == "bounced"

    def test_a_bounce_weighs_more_than_a_complaint(self) -> None:
        told("complained")
        told("bounced")
        assert Suppression.objects.get().reason == "bounced"


class TestWhatFollows:
    @pytest.fixture(autouse=True)
    def bounced(self, provider: None) -> None:
        Suppression.objects.create(address=ADDRESS, reason="bounced")

    def test_it_is_recorded_and_not_sent(self, esp: LoopbackESP) -> None:
        email = record(to=["Linus <LINUS@example.com>"])
        assert (email.state, email.status) == ("suppressed", "suppressed")
        assert "bounced for good" in email.error
        assert email.payload
        assert delivery.drain(seconds=1) == (0, False)
        assert esp.requests == 0

    def test_others_of_the_same_message_get_it(self, esp: LoopbackESP) -> None:
        email = record(to=["ada@example.com", ADDRESS], cc=["Cc <cc@example.com>"])
        delivery.drain(seconds=5)
        assert (esp.accepted[0]["To"], esp.accepted[0]["Cc"]) == ("ada@example.com", "Cc <cc@example.com>")
        email.refresh_from_db()
        assert email.state == "sent"
        assert list(email.recipients.filter(suppressed=True).values_list("address", flat=True)) == [ADDRESS]

    def test_copies_alone_make_no_message(self, esp: LoopbackESP) -> None:
        assert record(cc=["ada@example.com"], bcc=["eve@example.com"]).state == "suppressed"
        assert record(to=[], bcc=["ada@example.com"]).state == "queued"

    def test_what_is_queued_already_does_not_leave_either(self, esp: LoopbackESP) -> None:
        Suppression.objects.all().delete()
        email, both = record(), record(to=["ada@example.com", ADDRESS])
        Suppression.objects.create(address=ADDRESS, reason="complained")
        delivery.drain(seconds=5)
        email.refresh_from_db()
        assert email.state == "suppressed"
        assert email.events.get().type == "suppressed"
        assert [accepted["To"] for accepted in esp.accepted] == ["ada@example.com"]
        both.refresh_from_db()
        assert both.state == "sent"

    def test_staff_lift_it_with_a_reason_and_send_again(self, esp: LoopbackESP, ada: User) -> None:
        email = record()
        suppression = Suppression.objects.get(address=ADDRESS)
        with pytest.raises(NotNow, match="still suppressed"):
            send_again(email, ada, "Once more.")
        assert suppression.lift(ada, "She has a new mailbox.")
        assert not suppression.lift(ada, "Once more.")
        esp.accepted.clear()
        new = send_again(email, ada, "It is lifted.")
        delivery.drain(seconds=5)
        new.refresh_from_db()
        assert new.state == "sent"

    def test_an_old_report_does_not_bring_it_back_and_a_new_one_does(self, ada: User) -> None:
        Suppression.objects.get().lift(ada, "mended")
        told("bounced", at=timezone.now() - timedelta(hours=1))
        assert not Suppression.objects.filter(lifted_at=None).exists()
        told("bounced", at=timezone.now() + timedelta(seconds=5))
        assert Suppression.objects.filter(lifted_at=None).count() == 1

    def test_another_address_of_the_person_is_free(self, linus: User) -> None:
        linus.email = "new@example.com"
        linus.save()
        states = dict(EmailLog.objects.filter(kind="email_changed").values_list("recipients__address", "state"))
        assert states == {ADDRESS: "suppressed", "new@example.com": "queued"}


@pytest.mark.parametrize(
    ("reason", "states"), [("complained", ("suppressed", "queued")), ("bounced", ("suppressed",) * 2)]
)
def test_what_guards_an_account_still_goes_to_who_complained(reason: str, states: tuple[str, str], linus: User) -> None:
    Suppression.objects.create(address=ADDRESS, reason=reason)
    enabled = {WELCOME.key, PASSWORD_CHANGED.key}
    values = read("default", linus.pk)
    assert values is not None
    told = [tell(kind, values, changes={"password": ["", ""]}, enabled=enabled) for kind in (WELCOME, PASSWORD_CHANGED)]
    assert tuple(email.state for email in told) == states


def test_retries_under_a_key_keep_their_bytes(esp: LoopbackESP, settings: Any) -> None:
    configure(settings, **environment("resend", esp.url))
    record(to=["ada@example.com", ADDRESS])
    esp.fault = "reset-after"
    delivery.drain(seconds=5)
    Suppression.objects.create(address=ADDRESS, reason="bounced")
    EmailLog.objects.update(run_at=timezone.now())
    esp.fault, esp.body = None, {"id": "1"}
    delivery.drain(seconds=5)
    assert len(esp.bodies) == 2
    assert esp.bodies[0] == esp.bodies[1]
