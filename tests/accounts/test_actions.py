"""What staff do to people besides editing: asked first, done by POST, told to the person, kept with its reason."""

from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts import batches, lifecycle, timeline
from accounts.models import Batch, PersonEvent, User
from emails.models import EmailKindSwitch, EmailLog, Suppression
from tests.conftest import Commit
from tests.log import kinds, newest

pytestmark = pytest.mark.django_db
UNTICKED = "Unticked before it was saved."
LIST = "/admin/accounts/user/"
CONFIRM = {"confirm": "yes", "reason": "She left."}


@pytest.fixture
def staff(ada: User, client: Client) -> Client:
    client.force_login(ada)
    return client


def act(client: Client, person: User, verb: str, *, ticked: Any = (), **data: str) -> Any:
    return client.post(f"{LIST}{person.pk}/act/{verb}/", {**CONFIRM, "email_kinds": list(ticked), **data})


def last_event(person: User) -> tuple[str, str, str]:
    event = person.events.first()
    assert event is not None
    return event.type, event.actor_label, event.reason


def test_a_person_is_invited_in_place_of_the_welcome(commit: Commit, staff: Client) -> None:
    data = {"username": "mei", "email": "mei@example.com", "language": "de", "send_invitation": "on"}
    with commit():
        response = staff.post(f"{LIST}add/", {**data, "email_choice": "1", "email_kinds": "welcome"}, follow=True)
    mei = User.objects.get(username="mei")
    states = {email.kind: email.state for email in EmailLog.objects.filter(user=mei)}
    assert states == {"welcome": "skipped", "invitation": "queued"}
    assert newest().language == "de"
    assert "⟦secret⟧" in newest().html
    assert "Invited" in response.content.decode()
    assert "until " in response.content.decode()


def test_a_password_that_staff_choose_needs_no_invitation(commit: Commit, staff: Client) -> None:
    passwords = {"password1": "long and secret", "password2": "long and secret", "send_invitation": "on"}
    with commit():
        staff.post(f"{LIST}add/", {"username": "mei", "email": "mei@example.com", "language": "en", **passwords})
    mei = User.objects.get(username="mei")
    assert mei.check_password("long and secret")
    assert list(EmailLog.objects.filter(user=mei).values_list("kind", "state")) == [("welcome", "queued")]


def test_an_invitation_is_resent_and_withdrawn(commit: Commit, staff: Client, linus: User) -> None:
    User.objects.filter(pk=linus.pk).update(password="!")
    with commit():
        act(staff, linus, "invite", ticked=["invitation"])
    assert last_event(linus)[:2] == ("invited", "ada")
    assert newest().kind == "invitation"
    page = staff.get(f"{LIST}{linus.pk}/change/").content.decode()
    assert "Withdraw invitation" in page
    with commit():
        act(staff, linus, "withdraw")
    linus.refresh_from_db()
    assert linus.invited_at is None
    assert last_event(linus) == ("withdrawn", "ada", "She left.")
    assert "act/withdraw" not in staff.get(f"{LIST}{linus.pk}/change/").content.decode()


def test_disabling_ends_sessions_at_once_and_for_good(commit: Commit, staff: Client, linus: User) -> None:
    theirs = Client()
    theirs.force_login(linus)
    assert theirs.get("/accounts/").status_code == 200
    with commit():
        act(staff, linus, "disable", ticked=["deactivated"])
    assert theirs.get("/accounts/").status_code == 302
    assert (newest().kind, newest().state) == ("deactivated", "queued")
    assert last_event(linus) == ("disabled", "ada", "She left.")
    with commit():
        act(staff, linus, "enable", ticked=["reactivated"])
    assert theirs.get("/accounts/").status_code == 302
    assert kinds()[-1] == "reactivated"


def test_a_person_who_is_disabled_by_the_form_is_signed_out_too(commit: Commit, staff: Client, linus: User) -> None:
    theirs = Client()
    theirs.force_login(linus)
    with commit():
        linus.is_active = False
        linus.save()
    with commit():
        linus.is_active = True
        linus.save()
    assert theirs.get("/accounts/").status_code == 302


def test_signing_out_everywhere_ends_every_session(commit: Commit, staff: Client, linus: User) -> None:
    browsers = [Client() for _ in range(3)]
    for browser in browsers:
        browser.force_login(linus)
    with commit():
        act(staff, linus, "sign_out")
    assert [browser.get("/accounts/").status_code for browser in browsers] == [302] * 3
    assert staff.get(LIST).status_code == 200


def test_anonymising_leaves_nothing_of_the_person(commit: Commit, staff: Client, linus: User) -> None:
    TOTPDevice.objects.create(user=linus, confirmed=True)
    with commit():
        linus.first_name = "Leonhard"
        linus.save()
    Suppression.objects.create(address="linus@example.com", reason="bounced")
    staff.post(f"{LIST}{linus.pk}/change/", {"username": "linus"})
    with commit():
        act(staff, linus, "anonymise", reason="Art. 17 GDPR")
    linus.refresh_from_db()
    assert (linus.username, linus.email, linus.get_full_name()) == (f"anonymised-{linus.pk}", "", "")
    assert not linus.is_active
    rows = EmailLog.objects.filter(user=linus)
    assert rows.count() >= 2
    everything = [str(list(model.objects.values())) for model in (User, EmailLog, PersonEvent, Suppression)]
    everything.append(str([list(email.recipients.values()) + list(email.events.values()) for email in rows]))
    assert not any(word in text for text in everything for word in ("inus", "Leonhard", "Ahlberg"))
    assert {row.state for row in rows} <= {"cancelled", "skipped", "suppressed"}
    assert last_event(linus) == ("anonymised", "ada", "Art. 17 GDPR")
    page = staff.get(f"{LIST}{linus.pk}/change/").content.decode()
    assert "This person is anonymised, which can" in page
    assert 'name="email"' not in page


def test_a_reason_is_asked_for(commit: Commit, staff: Client, linus: User) -> None:
    response = act(staff, linus, "disable", reason=" ")
    assert response.status_code == 200
    assert "Say why" in response.content.decode()
    linus.refresh_from_db()
    assert linus.is_active


def test_a_get_changes_nothing(staff: Client, linus: User) -> None:
    for verb in ("invite", "reset_password", "disable", "sign_out", "anonymise", "delete"):
        response = staff.get(f"{LIST}{linus.pk}/act/{verb}/", CONFIRM)
        assert response.status_code == 200
        assert 'method="post"' in response.content.decode() or "nobody" in response.content.decode()
    linus.refresh_from_db()
    assert linus.is_active
    assert not linus.events.exists()


def test_s33_a_post_without_token_is_refused(ada: User, linus: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada)
    for path in (f"{linus.pk}/act/disable/", "import/", f"{linus.pk}/delete/", ""):
        assert client.post(LIST + path, CONFIRM).status_code == 403
    assert User.objects.filter(pk=linus.pk, is_active=True).exists()


def test_what_goes_to_whom_is_told_before(commit: Commit, staff: Client) -> None:
    with commit():
        people = [User.objects.create_user(f"p{n}", f"p{n}@example.com") for n in range(10)]
        User.objects.create_user("nomail", "")
        User.objects.create_user("gone", "gone@example.com", is_active=False)
    Suppression.objects.create(address="p1@example.com", reason="bounced")
    chosen = [person.pk for person in User.objects.exclude(is_superuser=True)]
    response = staff.post(LIST, {"action": "disable", "_selected_action": chosen})
    ahead = response.context["ahead"]
    assert (ahead.count, ahead.skipped) == (11, [("They are not in a state for it.", 1, "gone")])
    assert [(mails.key, mails.count) for mails in ahead.mails] == [("deactivated", 9)]
    assert ahead.unreachable == ["1 has no address.", "1 is suppressed."]
    assert "This will send 9 emails." in response.content.decode()
    assert User.objects.filter(is_active=True).count() == len(people) + 2


def test_an_unticked_email_is_in_the_log_with_who_did_so(commit: Commit, staff: Client, linus: User) -> None:
    with commit():
        act(staff, linus, "disable", ticked=[])
    assert (newest().kind, newest().state, newest().error) == (
        "deactivated",
        "skipped",
        UNTICKED,
    )


def test_a_kind_that_is_off_is_not_said_to_be_unticked(commit: Commit, staff: Client, linus: User) -> None:
    EmailKindSwitch.objects.filter(key="deactivated").update(enabled=False)
    with commit():
        act(staff, linus, "disable", ticked=[])
    assert (newest().kind, newest().error) == ("deactivated", "This kind of email is switched off.")


def test_an_email_is_unticked_on_the_form(commit: Commit, staff: Client, linus: User) -> None:
    data = {"username": "linus", "first_name": "Leo", "email": "leo@example.com", "language": "en", "is_active": "on"}
    with commit():
        staff.post(f"{LIST}{linus.pk}/change/", {**data, "email_choice": "1"})
    states = dict(EmailLog.objects.exclude(kind="welcome").values_list("kind", "state"))
    assert states == {"email_changed": "queued"}  # Which can't be unticked: the old address has to know.
    with commit():
        staff.post(
            f"{LIST}{linus.pk}/change/", {**data, "email": "leo@example.com", "last_name": "X", "email_choice": "1"}
        )
    assert (newest().kind, newest().state, newest().error) == (
        "update_notice",
        "skipped",
        UNTICKED,
    )


def test_what_a_save_will_send_is_shown_and_nothing_is_saved(commit: Commit, staff: Client, linus: User) -> None:
    before = EmailLog.objects.count()
    data = {"username": "linus", "first_name": "Leo", "email": "leo@example.com", "language": "en", "is_active": "on"}
    with commit():
        response = staff.post(f"{LIST}{linus.pk}/change/", {**data, "_foresee": "1"})
    page = response.content.decode()
    assert page.count("Address changed") >= 2
    assert "linus@example.com" in page
    assert "leo@example.com" in page
    assert EmailLog.objects.count() == before
    linus.refresh_from_db()
    assert linus.first_name == "Linus"
    assert not PersonEvent.objects.exclude(type="signed_in").exists()
    posted = dict(response.context["posted"])
    with commit():
        done = staff.post(f"{LIST}{linus.pk}/change/", {**posted, "_continue": "Save"}, follow=True)
    linus.refresh_from_db()
    assert linus.first_name == "Leo"
    assert len([text for text in done.context["messages"] if "Email queued" in str(text)]) == 2


def test_an_addition_is_foreseen(commit: Commit, staff: Client) -> None:
    data = {"username": "mei", "email": "mei@example.com", "language": "en", "send_invitation": "on"}
    with commit():
        response = staff.post(f"{LIST}add/", {**data, "_foresee": "1"})
    assert "Invitation" in response.content.decode()
    assert not User.objects.filter(username="mei").exists()


def test_an_error_in_the_form_is_shown_instead(staff: Client, linus: User) -> None:
    response = staff.post(f"{LIST}{linus.pk}/change/", {"username": "", "_foresee": "1"})
    assert "This field is required." in response.content.decode()


def test_every_kind_has_a_picture(staff: Client) -> None:
    for kind in EmailKindSwitch.objects.values_list("key", flat=True):
        response = staff.get(f"{LIST}emails/{kind}/")
        assert response.status_code == 200, kind
        assert "sandbox" in response["Content-Security-Policy"]
        assert "Mei" in response.content.decode()


def test_a_deletion_is_told_unticked_and_reasoned(commit: Commit, staff: Client, linus: User) -> None:
    page = staff.get(f"{LIST}{linus.pk}/delete/").content.decode()
    assert "Deletion notice" in page
    with commit():
        staff.post(f"{LIST}{linus.pk}/delete/", {"post": "yes", "email_choice": "1", "reason": "Wished so."})
    told = EmailLog.objects.filter(kind__in=["deletion_notice", "account_deleted"])
    assert {email.error for email in told} == {UNTICKED}
    event = PersonEvent.objects.get(type="deleted")
    assert (event.person, event.person_label, event.reason) == (None, "Linus Ahlberg (linus)", "Wished so.")


def test_many_people_are_left_to_a_worker_with_progress(commit: Commit, staff: Client, asleep: None) -> None:
    with commit():
        people = [User.objects.create_user(f"p{n}", f"p{n}@example.com") for n in range(50)]
    chosen = {"action": "disable", "_selected_action": [person.pk for person in people], "select_across": "0"}
    with commit():
        response = staff.post(LIST, {**chosen, **CONFIRM, "email_kinds": "deactivated"})
    batch = Batch.objects.get()
    assert response["Location"] == batch.get_absolute_url()
    page = staff.get(batch.get_absolute_url())
    assert page["Refresh"] == "2"
    assert "0 of 50" in page.content.decode()


@pytest.mark.django_db(transaction=True)
def test_a_batch_goes_on_where_it_stopped_and_does_nothing_twice(asleep: None) -> None:
    ada = User.objects.create_superuser("ada", "ada@example.com")
    people = [User.objects.create_user(f"p{n}", f"p{n}@example.com") for n in range(50)]
    batch = Batch(what="disable", actor=ada, actor_label="ada", cause="test", reason="Left.")
    batch.begin([person.pk for person in people])
    assert batches.take_slice()
    batch.refresh_from_db()
    assert (batch.done, batch.counts) == (20, {"done": 20})
    assert User.objects.filter(is_active=False).count() == 20
    while batches.take_slice():
        pass
    batch.refresh_from_db()
    assert (batch.state, batch.done, batch.counts) == ("finished", 50, {"done": 50})
    assert EmailLog.objects.filter(kind="deactivated", actor=ada, cause="test").count() == 50
    assert PersonEvent.objects.filter(type="disabled", reason="Left.").count() == 50
    assert not batch.slices.exists()


@pytest.mark.django_db(transaction=True)
def test_a_batch_of_somebody_who_may_no_longer_does_nothing(asleep: None) -> None:
    User.objects.create_superuser("other", "other@example.com")
    ada = User.objects.create_superuser("ada", "ada@example.com")
    linus = User.objects.create_user("linus", "linus@example.com")
    batch = Batch(what="disable", actor=ada, actor_label="ada")
    batch.begin([linus.pk])
    lifecycle.disable(ada, "Left.")
    while batches.take_slice():
        pass
    linus.refresh_from_db()
    assert linus.is_active


@pytest.mark.django_db(transaction=True)
def test_a_batch_that_can_not_go_on_does_not_stop_the_next_one(asleep: None, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = User.objects.create_superuser("ada", "ada@example.com")
    linus = User.objects.create_user("linus", "linus@example.com")
    for verb in ("no-such-verb", "disable"):
        Batch(what=verb, actor=ada, actor_label="ada").begin([linus.pk])
    while batches.take_slice():
        pass
    assert [batch.state for batch in Batch.objects.order_by("id")] == ["failed", "finished"]


def test_the_timeline_tells_changes_mail_and_sign_ins(commit: Commit, staff: Client, linus: User) -> None:
    with commit():
        staff.post(
            f"{LIST}{linus.pk}/change/",
            {
                "username": "linus",
                "first_name": "Leo",
                "email": "linus@example.com",
                "language": "en",
                "is_active": "on",
            },
        )
    Client().post("/accounts/login/", {"username": "linus", "password": "wrong"})
    Client().post("/accounts/login/", {"username": "linus", "password": "secret"})
    with commit():
        act(staff, linus, "reset_password", ticked=["password_reset"])
    told = [(entry.what, entry.by) for entry in timeline.timeline(linus, 20)]
    assert told[:2] in ([("Password reset", "ada"), ("Password reset sent", "ada")], [*reversed(told[:2])])
    assert ("Signed in", "linus") in told
    assert ("Sign-in failed", "system") in told
    update = next(entry for entry in timeline.timeline(linus, 20) if entry.what == "Update notice")
    assert tuple(sorted(update.changes)) == (("First name", "Linus", "Leo"), ("Last name", "Ahlberg", "–"))
    page = staff.get(f"{LIST}{linus.pk}/history/").content.decode()
    assert "First name: Linus → Leo" in page
    User.objects.filter(username="ada").update(username="renamed")
    assert timeline.timeline(linus, 20)[0].by == "ada"


def test_who_may_not_see_the_log_sees_no_mail_in_the_timeline(linus: User) -> None:
    assert [entry.what for entry in timeline.timeline(linus, 20, emails=False)] == ["Created"]


@pytest.mark.parametrize(
    ("state", "columns"),
    [
        ("invited", {"password": "!", "invited_at": timezone.now()}),
        ("never", {}),
        ("active", {"last_login": timezone.now()}),
        ("disabled", {"is_active": False}),
        ("anonymised", {"anonymised_at": timezone.now(), "is_active": False}),
    ],
)
def test_the_list_tells_and_filters_the_state(
    commit: Commit, staff: Client, ada: User, linus: User, state: str, columns: dict[str, Any]
) -> None:
    User.objects.filter(pk=linus.pk).update(**columns)
    found = staff.get(LIST, {"state": state}).context["cl"].result_list
    assert linus in list(found)
    others = {"invited", "never", "active", "disabled", "anonymised", "locked"} - {state}
    for other in others:
        assert linus not in list(staff.get(LIST, {"state": other}).context["cl"].result_list)


def test_the_list_tells_a_bad_address(staff: Client, linus: User) -> None:
    Suppression.objects.create(address="linus@example.com", reason="bounced")
    assert "Bounced for good" in staff.get(LIST).content.decode()
    assert list(staff.get(LIST, {"address": "bounced"}).context["cl"].result_list) == [linus]
    assert "Bounced for good" in staff.get(f"{LIST}{linus.pk}/change/").content.decode()


def test_sessions_of_a_deleted_person_are_worth_nothing(commit: Commit, staff: Client, linus: User) -> None:
    theirs = Client()
    theirs.force_login(linus)
    with commit():
        act(staff, linus, "delete")
    assert theirs.get("/accounts/").status_code == 302
    assert Session.objects.exists()
