"""An email is sent once more on purpose: how, to whom and why is asked first; a new row, linked, and never two."""

import threading
from typing import Any

import pytest
from anymail.message import AnymailMessage
from django.core.mail import EmailMultiAlternatives
from django.db import connection
from django.test import Client

from accounts import links
from accounts.models import PersonEvent, User
from emails import delivery
from emails.models import EmailKindSwitch, EmailLog, State, Suppression
from tests.conftest import Commit
from tests.emails.test_log_admin import reader
from tests.esp import LoopbackESP
from tests.log import force, newest, sent_to

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("asleep")]


def page(email: EmailLog) -> str:
    return f"/admin/emails/emaillog/{email.pk}/resend/"


def again(client: Client, email: EmailLog, **data: str) -> Any:
    seen = EmailLog.objects.get(pk=email.pk).status
    return client.post(page(email), {"way": "same", "reason": "She asked.", "seen": seen, **data})


@pytest.fixture
def email(esp: LoopbackESP) -> EmailLog:
    message = EmailMultiAlternatives("Hello", "The text", to=["Linus <linus@example.com>"], cc=["boss@example.com"])
    message.attach_alternative("<p>The html</p>", "text/html")
    message.attach("bill.pdf", b"%PDF", "application/pdf")
    message.extra_headers["Resent-To"] = "else@example.com"
    message.send()
    delivery.drain(seconds=5)
    email: EmailLog = message.email_log  # type: ignore[attr-defined]
    email.refresh_from_db()
    return email


@pytest.fixture
def notice(commit: Commit, esp: LoopbackESP, linus: User) -> EmailLog:
    """An update notice that has been sent."""
    with commit():
        linus.first_name = "Lin"
        linus.save()
    delivery.drain(seconds=5)
    email = newest()
    assert (email.kind, email.state) == ("update_notice", "sent")
    return email


def test_the_same_bytes_leave_once_more(admin_client: Client, email: EmailLog, esp: LoopbackESP) -> None:
    response = again(admin_client, email)
    new = newest()
    assert response.headers["Location"] == new.get_absolute_url()
    assert (new.resend_of, new.text, new.html, new.actor_label) == (email, email.text, email.html, "admin")
    delivery.drain(seconds=5)
    first, second = (
        {name: value for name, value in sent.items() if name not in {"Metadata", "Headers"}}
        for sent in esp.accepted
        if sent["Subject"] == "Hello"
    )
    assert first == second
    event = email.events.get(type="sent_again")
    assert (event.detail["by"], event.detail["error"]) == ("admin", "She asked.")


def test_a_corrected_address_gets_it_alone(admin_client: Client, email: EmailLog, esp: LoopbackESP) -> None:
    again(admin_client, email, to="Linus.Right@Example.com")
    new = newest()
    assert sent_to(new) == ["linus.right@example.com"]
    delivery.drain(seconds=5)
    sent = esp.accepted[-1]
    assert (sent["To"], sent.get("Cc"), sent["Attachments"][0]["Name"]) == ("Linus.Right@Example.com", None, "bill.pdf")
    assert "else@example.com" not in str(sent)
    assert email.events.get(type="sent_again").detail["to"] == "Linus.Right@Example.com"
    assert "Linus.Right@Example.com" in admin_client.get(email.get_absolute_url()).content.decode()


def test_written_anew_it_has_the_templates_and_the_person_of_now(
    admin_client: Client, commit: Commit, notice: EmailLog, linus: User
) -> None:
    User.objects.filter(pk=linus.pk).update(email="new@example.com", last_name="Of Today")
    EmailLog.objects.filter(pk=notice.pk).update(template="0123456789ab", html="<p>an old template</p>")
    again(admin_client, notice, way="anew")
    new = newest()
    assert (new.kind, new.resend_of, new.changes) == ("update_notice", notice, notice.changes)
    assert sent_to(new) == ["new@example.com"]
    assert "Lin Of Today" in new.text
    assert "an old template" not in new.html
    assert "made by our system" in new.text  # As it was: to write it again changes nobody's account.
    assert new.template not in {"", "0123456789ab"}


def test_what_is_written_anew_goes_where_it_was_asked_to(admin_client: Client, notice: EmailLog, linus: User) -> None:
    """Also where that is the address that the old one went to, and no longer the person's."""
    User.objects.filter(pk=linus.pk).update(email="new@example.com")
    again(admin_client, notice, way="anew", to="linus@example.com")
    assert sent_to(newest()) == ["linus@example.com"]


def test_who_made_the_change_stays_who_it_was(admin_client: Client, notice: EmailLog) -> None:
    again(admin_client, notice, way="anew")
    second = newest()
    force(second, state=State.FAILED)
    again(admin_client, second, way="anew")
    assert newest() != second
    assert "made by our system" in newest().text


@pytest.mark.parametrize("kind", ["no address", "suppressed", "switched off"])
def test_what_would_not_be_sent_is_no_resend_and_settles_no_doubt(
    admin_client: Client, notice: EmailLog, linus: User, kind: str
) -> None:
    force(notice, state=State.IN_DOUBT)
    if kind == "no address":
        User.objects.filter(pk=linus.pk).update(email="")
    elif kind == "suppressed":
        Suppression.objects.create(address="linus@example.com", reason="bounced")
    else:
        EmailKindSwitch.objects.update_or_create(key="update_notice", defaults={"enabled": False})
    count = EmailLog.objects.count()
    assert "would not be sent" in again(admin_client, notice, way="anew").content.decode()
    notice.refresh_from_db()
    assert (notice.state, EmailLog.objects.count()) == ("in_doubt", count)


def test_news_that_is_no_longer_true_is_not_told_again(admin_client: Client, commit: Commit, linus: User) -> None:
    for active in (False, True):
        with commit():
            linus.is_active = active
            linus.save()
    old = EmailLog.objects.get(kind="deactivated")
    force(old, state=State.FAILED)
    assert "needs it no more" in again(admin_client, old, way="anew").content.decode()
    assert newest().kind == "reactivated"


def test_a_page_that_has_grown_stale_sends_nothing(admin_client: Client, email: EmailLog) -> None:
    """It was in doubt when it was shown; the provider has reported since that it arrived."""
    force(email, state=State.SENT, delivery="delivered")
    answer = again(admin_client, email, seen="in_doubt").content.decode()
    assert "status has changed" in answer
    assert "will have it twice" in answer
    assert newest() == email
    assert again(admin_client, email).status_code == 302


def test_written_anew_it_goes_to_a_corrected_address(admin_client: Client, notice: EmailLog) -> None:
    again(admin_client, notice, way="anew", to="right@example.com")
    assert sent_to(newest()) == ["right@example.com"]


def test_the_notice_to_the_old_address_goes_there_again(admin_client: Client, commit: Commit, linus: User) -> None:
    with commit():
        linus.email = "new@example.com"
        linus.save()
    old = EmailLog.objects.get(kind="email_changed", recipients__address="linus@example.com")
    force(old, state=State.SENT)
    again(admin_client, old, way="anew")
    new = newest()
    assert sent_to(new) == ["linus@example.com"]
    assert "no longer go to this address" in new.text


def test_what_was_skipped_is_written_after_all(admin_client: Client, commit: Commit) -> None:
    with commit():
        nobody = User.objects.create_user("nobody", "")
    User.objects.filter(pk=nobody.pk).update(email="somebody@example.com")
    skipped = EmailLog.objects.get(kind="welcome", user=nobody)
    assert skipped.state == "skipped"
    again(admin_client, skipped, way="anew")
    assert (newest().kind, newest().state, sent_to(newest())) == ("welcome", "queued", ["somebody@example.com"])


def test_a_person_who_is_gone_gets_nothing_anew(admin_client: Client, notice: EmailLog, linus: User) -> None:
    linus.delete()
    response = admin_client.get(page(notice))
    assert "today’s templates" not in response.content.decode()
    count = EmailLog.objects.count()
    assert again(admin_client, notice, way="anew").status_code == 200
    assert EmailLog.objects.count() == count


def test_a_second_click_sends_nothing_and_shows_where_it_went(admin_client: Client, email: EmailLog) -> None:
    again(admin_client, email)
    new = newest()
    answer = again(admin_client, email).content.decode()
    assert "sent again already" in answer
    assert new.get_absolute_url() in answer
    assert newest() == new


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite's writers are alone with it anyway")
def test_two_clicks_at_once_send_one(email: EmailLog, ada: User) -> None:
    both, codes = threading.Barrier(2), []

    def click() -> None:
        client = Client()
        client.force_login(ada)
        both.wait()
        codes.append(again(client, email).status_code)
        connection.close()

    threads = [threading.Thread(target=click) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [200, 302]
    assert EmailLog.objects.filter(resend_of=email).count() == 1


def test_the_chain_is_shown_on_each_of_its_pages(admin_client: Client, email: EmailLog) -> None:
    again(admin_client, email)
    second = newest()
    force(second, state=State.FAILED)
    again(admin_client, second)
    third = newest()
    for one in (email, second, third):
        chain = admin_client.get(one.get_absolute_url()).context["chain"]
        assert [link.pk for link in chain] == [email.pk, second.pk, third.pk]
    story = [
        (entry["label"], entry["note"]) for entry in admin_client.get(third.get_absolute_url()).context["timeline"]
    ]
    assert (f"In place of #{second.pk}", "admin: She asked.") in story


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"delivery": "delivered"}, "will have it twice"),
        ({}, "within the past hour"),
        ({"state": State.IN_DOUBT}, "look it up at the provider first"),
    ],
)
def test_the_page_warns_before(admin_client: Client, email: EmailLog, columns: dict[str, Any], words: str) -> None:
    force(email, **columns)
    assert words in admin_client.get(page(email)).content.decode()


@pytest.mark.parametrize("state", [State.QUEUED, State.CLAIMED, State.SENDING, State.RETRYING])
def test_what_is_on_its_way_is_not(admin_client: Client, email: EmailLog, state: State) -> None:
    force(email, state=state)
    assert "on its way" in admin_client.get(page(email)).content.decode()
    assert again(admin_client, email).status_code == 200
    assert newest() == email


NO_ADDRESSES = [
    *("no-at-sign", "a@[127.0.0.1", "a@b.example\r\nBcc: evil@example.com", "x" * 400 + "@x.y"),
    *('"a b"@example.com', "ada@[127.0.0.1]"),
]


@pytest.mark.parametrize("to", NO_ADDRESSES)
def test_what_is_no_address_is_refused_and_nothing_typed_is_lost(
    admin_client: Client, email: EmailLog, to: str
) -> None:
    response = again(admin_client, email, to=to, reason="A long story")
    assert response.status_code == 200
    errors = response.context["form"].errors
    assert errors.get("to") or errors["__all__"]
    assert 'value="A long story"' in response.content.decode()
    assert newest() == email


def test_a_reason_is_asked_for(admin_client: Client, email: EmailLog) -> None:
    assert "Say why" in again(admin_client, email, reason=" ").content.decode()
    assert newest() == email


def test_a_suppressed_address_is_told_at_once(admin_client: Client, email: EmailLog) -> None:
    Suppression.objects.create(address="linus@example.com", reason="bounced")
    assert "No more mail goes to linus@example.com" in admin_client.get(page(email)).content.decode()
    assert "still suppressed" in again(admin_client, email).content.decode()
    assert newest() == email
    Suppression.objects.create(address="right@example.com", reason="bounced")
    assert "still suppressed" in again(admin_client, email, to="right@example.com").content.decode()
    assert again(admin_client, email, to="other@example.com").status_code == 302


class TestWhoMay:
    def test_it_needs_the_permission(self, client: Client, email: EmailLog) -> None:
        clerk = reader(client, "view_emaillog", "view_email_body")
        assert clerk.get(page(email)).status_code == 403
        assert again(clerk, email).status_code == 403
        assert "Send again" not in clerk.get(email.get_absolute_url()).content.decode()

    def test_news_about_who_is_stronger_is_not_written_anew(
        self, client: Client, commit: Commit, ada: User, esp: LoopbackESP
    ) -> None:
        with commit():
            ada.first_name = "Augusta"
            ada.save()
        old = EmailLog.objects.get(kind="update_notice")
        force(old, state=State.FAILED)
        clerk = reader(client, "view_emaillog", "resend_emaillog")
        assert "superuser" in again(clerk, old, way="anew").content.decode()
        assert not EmailLog.objects.filter(resend_of=old).exists()
        assert PersonEvent.objects.filter(type="denied", person=ada).exists()

    def test_what_guards_an_account_goes_nowhere_else(self, admin_client: Client, commit: Commit, linus: User) -> None:
        with commit():
            linus.email = "new@example.com"
            linus.save()
        old = EmailLog.objects.get(kind="email_changed", recipients__address="linus@example.com")
        force(old, state=State.SENT)
        assert "To another address" not in admin_client.get(page(old)).content.decode()
        again(admin_client, old, way="anew", to="evil@evil.example")
        assert sent_to(newest()) == ["linus@example.com"]
        assert "new@example.com" not in newest().text

    def test_who_may_not_read_it_does_not_choose_who_does(self, client: Client, email: EmailLog) -> None:
        clerk = reader(client, "view_emaillog", "resend_emaillog")
        assert "To another address" not in clerk.get(page(email)).content.decode()
        again(clerk, email, to="clerk@evil.example")
        assert sent_to(newest()) == ["linus@example.com", "boss@example.com"]

    def test_a_link_goes_to_nobody_else(self, admin_client: Client, linus: User, esp: LoopbackESP) -> None:
        reset = links.send("password_reset", linus)
        force(reset, state=State.FAILED)
        assert "To another address" not in admin_client.get(page(reset)).content.decode()
        again(admin_client, reset, way="anew", to="evil@evil.example")
        assert sent_to(newest()) == ["linus@example.com"]

    def test_other_codes_sealed_link_goes_nowhere(self, admin_client: Client, email: EmailLog) -> None:
        EmailLog.objects.filter(pk=email.pk).update(has_sealed=True)
        assert "link that is kept nowhere" in admin_client.get(page(email)).content.decode()
        again(admin_client, email, to="evil@evil.example")
        assert newest() == email

    def test_one_of_a_batch_has_no_other_address(self, admin_client: Client, esp: LoopbackESP) -> None:
        message = AnymailMessage("Hi", "text", to=["linus@example.com"], merge_data={"linus@example.com": {"a": 1}})
        message.send()
        force(newest(), state=State.FAILED)
        assert "To another address" not in admin_client.get(page(newest())).content.decode()

    def test_a_get_does_nothing(self, admin_client: Client, email: EmailLog) -> None:
        admin_client.get(page(email), {"way": "same", "reason": "x"})
        assert newest() == email
