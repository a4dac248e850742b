"""Mail by any code through Django's mail API is recorded, in the caller's transaction, and wakes delivery once."""

from typing import Any

import pytest
from anymail.message import AnymailMessage
from django.core import mail
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.management import call_command
from django.db import DatabaseError, DataError, connection, transaction
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext
from django_tasks_db.models import DBTaskResult

from accounts.models import User
from emails import tasks
from emails.cause import caused_by
from emails.models import EmailLog, EmailRecipient, Suppression
from emails.payload import UnstorableMessage
from emails.recording import record
from emails.script import takes_several
from tests.conftest import Commit
from tests.log import newest, sent_to

NOTHING: Any = None
pytestmark = pytest.mark.django_db


def send(**parts: Any) -> None:
    EmailMessage(**{"subject": "s", "body": "b", "to": ["a@example.com"], **parts}).send()


@pytest.mark.parametrize(
    "way",
    [
        lambda: mail.send_mail("s", "b", None, ["a@example.com"], html_message="<p>b</p>"),
        lambda: EmailMessage("s", "b", to=["a@example.com"]).send(),
        lambda: EmailMultiAlternatives("s", "b", to=["a@example.com"]).send(),
        lambda: AnymailMessage("s", "b", to=["a@example.com"], tags=["t"]).send(),
        lambda: mail.send_mass_mail([("s", "b", None, ["a@example.com"])]),
        lambda: call_command("sendtestemail", "a@example.com"),
    ],
    ids=["send_mail", "EmailMessage", "EmailMultiAlternatives", "AnymailMessage", "send_mass_mail", "sendtestemail"],
)
def test_any_way_of_sending_is_recorded(commit: Commit, way: Any) -> None:
    with commit():
        way()
    assert sent_to(newest()) == ["a@example.com"]
    assert (newest().state, newest().kind) == ("queued", "")


def test_mail_to_admins_is_recorded(commit: Commit, settings: Any) -> None:
    settings.ADMINS = ["ops@example.com"] if hasattr(mail, "mailers") else [("Ops", "ops@example.com")]
    with commit():
        mail.mail_admins("broken", "b")
    assert sent_to(newest()) == ["ops@example.com"]


def test_every_address_has_a_row_of_its_own(commit: Commit) -> None:
    with commit():
        send(to=["Ada <ADA@Example.com>"], cc=["c@example.com"], bcc=["b@example.com"])
    rows = EmailRecipient.objects.values_list("field", "address", "formatted")
    assert list(rows) == [
        ("to", "ada@example.com", "Ada <ADA@Example.com>"),
        ("cc", "c@example.com", "c@example.com"),
        ("bcc", "b@example.com", "b@example.com"),
    ]


def test_attachments_have_rows_of_their_own(commit: Commit) -> None:
    with commit():
        send(attachments=[("a.txt", "one", "text/plain"), ("a.txt", b"\x00\xff", "application/pdf")])
    assert [(a.filename, bytes(a.content), a.size) for a in newest().attachments.all()] == [
        ("a.txt", b"one", 3),
        ("a.txt", b"\x00\xff", 2),
    ]


def test_what_is_refused_is_neither_recorded_nor_reported_as_sent(commit: Commit) -> None:
    with commit(), pytest.raises(UnstorableMessage):
        send(subject="s\nBcc: x@evil.example")
    assert not EmailLog.objects.exists()


def test_many_messages_are_a_handful_of_inserts(commit: Commit) -> None:
    messages = [EmailMessage("s", "b", to=[f"p{n}@example.com"]) for n in range(100)]
    backend: Any = mail.mailers["default"] if hasattr(mail, "mailers") else mail.get_connection()
    with (
        commit(),
        CaptureQueriesContext(
            connection,
        ) as queries,
    ):
        assert backend.send_messages(messages) == 100
    inserts = [query for query in queries.captured_queries if query["sql"].startswith("INSERT")]
    assert len(inserts) <= 12  # SQLite takes some hundred values a statement, PostgreSQL all of them.
    assert EmailLog.objects.count() == EmailRecipient.objects.count() == 100


def test_delivery_is_woken_once_per_transaction(commit: Commit, monkeypatch: pytest.MonkeyPatch) -> None:
    woken = []
    monkeypatch.setattr(type(tasks.deliver), "enqueue", lambda *args, **kwargs: woken.append(args))
    with commit(), transaction.atomic():
        for _ in range(3):
            send()
        with pytest.raises(RuntimeError), transaction.atomic():
            send()
            raise RuntimeError
        send()
    assert len(woken) + DBTaskResult.objects.count() == 1
    with commit():
        send()
    assert len(woken) + DBTaskResult.objects.count() == 2


@pytest.mark.parametrize("backend", ["immediate", "db"])
def test_a_message_recorded_after_a_rolled_back_savepoint_still_wakes_delivery(
    commit: Commit, monkeypatch: pytest.MonkeyPatch, settings: Any, backend: str
) -> None:
    settings.TASKS = {"default": {"BACKEND": settings.TASK_BACKENDS[backend], "QUEUES": []}}
    woken = []
    if backend == "immediate":
        monkeypatch.setattr(type(tasks.deliver), "enqueue", lambda *args, **kwargs: woken.append(args))
    with commit(), transaction.atomic():
        with pytest.raises(RuntimeError), transaction.atomic():
            send()
            raise RuntimeError
        send()
    assert len(woken) + DBTaskResult.objects.count() == 1
    assert EmailLog.objects.count() == 1


def test_a_broken_task_engine_costs_no_click(commit: Commit, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise ConnectionError("broker is gone")

    monkeypatch.setattr(type(tasks.deliver), "enqueue", broken)
    with commit():
        send()
    assert newest().state == "queued"


@pytest.mark.django_db(transaction=True)
def test_a_refused_row_leaves_the_callers_transaction_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    with transaction.atomic():
        send()
        monkeypatch.setattr(
            "emails.recording.addressed",
            lambda message: [EmailRecipient(field="cc", formatted=NOTHING, address="a@example.com")],
        )
        with pytest.raises(Exception, match=r"NULL|null"):
            send()
        monkeypatch.undo()
        assert EmailLog.objects.count() == 1
    assert EmailLog.objects.count() == 1


def rows_of(email: EmailLog) -> list[Any]:
    """All that is in the database of one message, but for what no two messages have in common."""
    own = {"id", "ref", "created_at", "run_at", "email", "email_id"}
    querysets = (
        EmailLog.objects.filter(pk=email.pk),
        email.recipients.order_by("pk"),
        email.attachments.order_by("pk"),
    )
    return [[{k: v for k, v in row.items() if k not in own} for row in rows.values()] for rows in querysets]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no round trips to spare")
@pytest.mark.parametrize("barred", [[], ["b@example.com"], ["a@example.com", "b@example.com", "c@example.com"]])
def test_a_message_alone_is_recorded_in_one_round_trip_and_as_any_other(
    commit: Commit, monkeypatch: pytest.MonkeyPatch, barred: list[str]
) -> None:
    for address in barred:
        Suppression.objects.create(address=address, reason="bounced")
    files = [("100 %s.txt", "é' \\ \"", "text/plain"), ("b.bin", b"\x00\xff%s", "application/octet-stream")]
    parts = {
        "subject": "100 % sure; it's \\ {} %s 🦆",
        "body": "",
        "to": ["A <a@example.com>"],
        "cc": ["c@example.com"],
        "bcc": ["b@example.com"],
        "attachments": files,
    }
    with commit(), CaptureQueriesContext(connection) as queries:
        with transaction.atomic():
            send(**parts)
    alone, round_trips = newest(), len(queries)
    monkeypatch.setattr("emails.outbox.takes_several", lambda using: False)
    with commit():
        send(**parts)
    usual = newest()
    assert alone.pk != usual.pk
    assert rows_of(alone) == rows_of(usual)
    assert DBTaskResult.objects.count() == (2 if alone.state == "queued" else 0)
    assert alone.state == ("suppressed" if len(barred) == 3 else "queued")
    assert alone.resends.count() == usual.resends.count() == 0
    assert barred or round_trips <= 3  # It, and what begins and ends the transaction.


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no round trips to spare")
@pytest.mark.django_db(transaction=True)
def test_where_the_server_binds_the_values_statements_go_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert takes_several("default")
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "server_side_binding", True)
    connection.close()
    try:
        with transaction.atomic():
            send()
        assert not takes_several("default")
        assert (newest().state, sent_to(newest())) == ("queued", ["a@example.com"])
    finally:
        connection.close()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite takes it")
@pytest.mark.django_db(transaction=True)
def test_what_the_driver_refuses_to_send_leaves_the_transaction_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no savepoint to go back to then: trying to would undo what the caller has done before."""
    refused = [EmailRecipient(field="to", formatted="a\x00", address="a@example.com")]
    with transaction.atomic():
        EmailLog.objects.create(subject="mine")
        monkeypatch.setattr("emails.recording.addressed", lambda message: refused)
        with pytest.raises(DataError, match="NUL"):
            send()
    assert EmailLog.objects.get().subject == "mine"


def test_a_cause_that_no_database_takes_is_recorded_as_far_as_it_can_be(commit: Commit) -> None:
    with commit(), caused_by("GET /x\x00y\udcff"):
        send()
    assert newest().cause == "GET /x\ufffdy?"


def failing(error: type[Exception], *, late: bool) -> Any:
    """Something between us and the driver that fails, before or after it has passed on a statement about the log."""

    def wrapper(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        answer = execute(sql, params, many, context) if late or "emails_emaillog" not in sql else None
        if "emails_emaillog" in sql:
            raise error("failed")
        return answer

    return wrapper


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("error", [RuntimeError, DatabaseError])
def test_what_fails_beside_the_database_neither_sends_nor_loses_anything_in_silence(error: Any, late: bool) -> None:
    """Either the caller's transaction is as if nothing had been sent, or it can't be committed and says so."""
    committed = False
    try:
        with transaction.atomic():
            User.objects.create_user("mine", "mine@example.com")
            EmailLog.objects.all().delete()
            with connection.execute_wrapper(failing(error, late=late)), pytest.raises(error):
                send()
            assert EmailLog.objects.count() == 0
        committed = True
    except TransactionManagementError:
        pass
    assert User.objects.filter(username="mine").exists() == committed
    assert not EmailLog.objects.filter(kind="").exists()


@pytest.mark.django_db(transaction=True)
def test_a_look_for_suppressed_addresses_that_fails_leaves_the_transaction_usable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(addresses: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM nowhere")

    monkeypatch.setattr(Suppression, "among", broken)
    with transaction.atomic():
        EmailLog.objects.create(subject="mine")
        with pytest.raises(DatabaseError):
            record([EmailMessage("s", "b", None, ["a@example.com"]), EmailMessage("s", "b", None, ["b@example.com"])])
    assert EmailLog.objects.get().subject == "mine"
