"""Many messages at once: counted first, done by POST, each held to its state; and the log as a file."""

import csv
import io
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.mail import EmailMultiAlternatives
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from emails import exporting
from emails.admin import bulk
from emails.models import EmailEvent, EmailLog, State
from tests.emails.test_log_admin import reader
from tests.log import force

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("asleep")]
LIST = "/admin/emails/emaillog/"


def email(state: State = State.QUEUED, subject: str = "Hello") -> EmailLog:
    message = EmailMultiAlternatives(subject, "The text", to=["mei@example.com"])
    message.send()
    row: EmailLog = message.email_log  # type: ignore[attr-defined]
    if state != State.QUEUED:
        force(row, state=state)
    return row


def post(client: Client, action: str, *rows: EmailLog, **data: str) -> Any:
    return client.post(LIST, {"action": action, "_selected_action": [row.pk for row in rows], **data})


def states(*rows: EmailLog) -> list[str]:
    return [EmailLog.objects.get(pk=row.pk).state for row in rows]


def test_what_will_happen_is_counted_and_nothing_is_done_yet(admin_client: Client) -> None:
    rows = [email(State.FAILED), email(State.FAILED), email(State.SENT), email()]
    page = post(admin_client, "send_again", *rows)
    assert (page.context["count"], dict(page.context["passed"])) == (
        2,
        {"Its status is “Sent”.": 1, "Its status is “Queued”.": 1},
    )
    assert "2 emails" in page.content.decode()
    assert EmailLog.objects.filter(resend_of__isnull=False).count() == 0


def test_the_page_that_asks_takes_as_many_queries_for_many_as_for_few(admin_client: Client) -> None:
    counts = []
    for number in (2, 30):
        rows = [email(State.FAILED) for _ in range(number)]
        with CaptureQueriesContext(connection) as captured:
            assert post(admin_client, "send_again", *rows).context["count"] == number
        counts.append(len(captured))
    assert counts[0] == counts[1]


def test_what_has_failed_is_sent_again_once(admin_client: Client) -> None:
    rows = [email(State.FAILED), email(State.EXPIRED), email(State.SENT)]
    for _ in range(2):
        post(admin_client, "send_again", *rows, confirm="yes", reason="The provider was down.")
    new = EmailLog.objects.filter(resend_of__isnull=False)
    assert {row.resend_of_id for row in new} == {rows[0].pk, rows[1].pk}  # type: ignore[attr-defined]
    assert new.count() == 2
    assert set(new.values_list("state", flat=True)) == {"queued"}
    events = EmailEvent.objects.filter(type="sent_again")
    assert {event.detail["error"] for event in events} == {"The provider was down."}


@pytest.mark.parametrize(
    ("verb", "state", "becomes"),
    [
        ("cancel", State.QUEUED, "cancelled"),
        ("cancel", State.RETRYING, "cancelled"),
        ("believe", State.IN_DOUBT, "sent"),
        ("hurry", State.RETRYING, "retrying"),
    ],
)
def test_each_verb_is_done_to_what_it_is_for(admin_client: Client, verb: str, state: State, becomes: str) -> None:
    rows = [email(state), email(state), email(State.SENT)]
    answer = post(admin_client, verb, *rows, confirm="yes", reason="x")
    assert answer.status_code == 302
    assert states(*rows) == [becomes, becomes, "sent"]


def test_a_reason_is_asked_for(admin_client: Client) -> None:
    row = email()
    assert "Say why" in post(admin_client, "cancel", row, confirm="yes", reason=" ").content.decode()
    assert states(row) == ["queued"]


def test_what_somebody_else_was_quicker_with_is_passed_over(admin_client: Client, monkeypatch: Any) -> None:
    rows = [email(), email()]
    whole = bulk.carry_out

    def meanwhile(*args: Any) -> None:
        force(rows[0], state=State.SENDING)
        whole(*args)

    monkeypatch.setattr(bulk, "carry_out", meanwhile)
    answer = post(admin_client, "cancel", *rows, confirm="yes", reason="x")
    assert states(*rows) == ["sending", "cancelled"]
    said = [str(message) for message in admin_client.get(answer["Location"]).context["messages"]]
    assert said[0] == "Done for 1 email."
    assert "already leaving" in said[1]


def test_no_more_than_can_be_waited_for_are_done_at_once(admin_client: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr(bulk, "AT_ONCE", 2)
    rows = [email(), email(), email()]
    everything = {"action": "cancel", "_selected_action": [rows[0].pk], "select_across": "1"}
    page = admin_client.post(f"{LIST}?kind=other", everything)
    assert "Only 2 are done at once, the newest" in page.content.decode()
    admin_client.post(f"{LIST}?kind=other", {**everything, "confirm": "yes", "reason": "x"})
    assert states(*rows) == ["queued", "cancelled", "cancelled"]


def test_what_it_can_not_be_done_to_is_in_nobodys_way(admin_client: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr(bulk, "AT_ONCE", 2)
    [email(State.SENT) for _ in range(3)]
    rows = [email(State.FAILED) for _ in range(3)]
    forgotten = [email(State.FAILED) for _ in range(3)]
    EmailLog.objects.filter(pk__in=[row.pk for row in forgotten]).update(payload="", text="", html="")
    everything = {"action": "send_again", "_selected_action": [rows[0].pk], "select_across": "1"}
    page = admin_client.post(LIST, everything)
    assert (page.context["count"], page.context["too_many"]) == (2, 2)
    passed = dict(page.context["passed"])
    assert passed["Its status is “Sent”."] == passed["Its content is not kept, and it can't be written anew."] == 3
    admin_client.post(LIST, {**everything, "confirm": "yes", "reason": "x"})
    assert [row.resends.count() for row in rows] == [0, 1, 1]
    assert rows[1].resends.get().pk < rows[2].resends.get().pk  # In the order in which they were written.
    admin_client.post(LIST, {**everything, "confirm": "yes", "reason": "x"})
    assert [row.resends.count() for row in rows] == [1, 1, 1]
    page = admin_client.post(LIST, everything)
    assert page.context["count"] == 0
    assert dict(page.context["passed"])["It has been sent again already, or is on its way."] == 3


def test_the_reasons_of_very_many_are_not_counted(admin_client: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr(bulk, "LOOKED_AT", 2)
    rows = [email(State.SENT) for _ in range(3)]
    assert "More than 2 emails are passed over" in post(admin_client, "cancel", *rows, email()).content.decode()


def test_a_doubt_is_pointed_out_before_it_is_sent_again(admin_client: Client) -> None:
    row = email()
    EmailLog.objects.filter(pk=row.pk).update(payload="")
    force(row, state=State.IN_DOUBT)  # Nothing is left of it that could be sent.
    page = post(admin_client, "send_again", row, email(State.FAILED), email(State.IN_DOUBT)).content.decode()
    assert "1 of them may have arrived: look it up at the provider first." in page
    assert "1 email is passed over: Its content is not kept" in page


def test_permissions_decide_what_is_offered_and_what_is_done(client: Client) -> None:
    row, failed = email(), email(State.FAILED)
    grace = reader(client, "view_emaillog", "resend_emaillog")
    page = grace.get(LIST)
    names = [name for name, _label in page.context["action_form"].fields["action"].choices if name]
    assert names == ["send_again", "resend"]
    post(grace, "cancel", row, confirm="yes", reason="x")
    post(grace, "export", row, confirm="yes")
    post(grace, "delete_selected", row, post="yes")
    assert states(row) == ["queued"]
    post(grace, "send_again", failed, confirm="yes", reason="x")
    assert failed.resends.count() == 1
    assert not LogEntry.objects.exists()


# The file -----------------------------------------------------------------------------------------------------------


def rows_of(answer: Any) -> list[dict[str, str]]:
    text = b"".join(answer.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def test_an_export_is_asked_for_streamed_and_recorded(admin_client: Client) -> None:
    rows = [email(subject="Grüße"), email(State.FAILED)]
    page = post(admin_client, "export", *rows).content.decode()
    assert "That you did so is recorded." in page
    assert not LogEntry.objects.exists()
    answer = admin_client.post(
        f"{LIST}?q=mei%40example.com&status=failed",
        {"action": "export", "_selected_action": [0], "select_across": "1", "confirm": "yes"},
    )
    assert answer.streaming
    (row,) = rows_of(answer)
    assert (row["id"], row["to"], row["status"]) == (str(rows[1].pk), "mei@example.com", "failed")
    assert "The text" not in str(row)
    entry = LogEntry.objects.get()
    assert (entry.user, entry.change_message) == (User.objects.get(username="admin"), "1 status=failed")


def test_s40_no_cell_of_the_log_is_a_formula(admin_client: Client) -> None:
    rows = [email(subject=subject) for subject in ("=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "a;=1", "＝1")]
    found = rows_of(post(admin_client, "export", *rows, confirm="yes"))
    subjects = {row["subject"] for row in found}
    assert subjects == {"'=HYPERLINK(1)", "'+1", "'-1", "'@SUM(A1)", "a;'=1", "'＝1"}
    assert {exporting.unescaped(subject) for subject in subjects} >= {"=HYPERLINK(1)", "a;=1"}


def test_an_export_takes_as_many_queries_for_many_rows_as_for_few(admin_client: Client) -> None:
    counts = []
    for number in (1, 40):
        rows = [email() for _ in range(number)]
        with CaptureQueriesContext(connection) as captured:
            assert len(rows_of(post(admin_client, "export", *rows, confirm="yes"))) == number
        counts.append(len(captured))
    assert counts[1] <= counts[0]
    assert not any('"payload"' in query["sql"] for query in captured.captured_queries)


def test_a_file_holds_no_more_than_allowed(admin_client: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr(exporting, "MOST", 2)
    rows = [email(), email(), email()]
    answer = post(admin_client, "export", *rows, confirm="yes")
    assert "more than the 2 emails that one file holds" in answer.content.decode()
    assert not LogEntry.objects.exists()
