"""Short ways to read the log in tests."""

from typing import Any

from django.db import connection

from emails.models import EmailLog, guard


def kinds() -> list[str]:
    """The kinds recorded, oldest first."""
    return list(EmailLog.objects.order_by("id").values_list("kind", flat=True))


def newest() -> EmailLog:
    email = EmailLog.objects.order_by("-id").first()
    assert email is not None
    return email


def sent_to(email: EmailLog) -> list[str]:
    return [recipient.address for recipient in email.recipients.all()]


def force(email: EmailLog, **columns: Any) -> None:
    """Write columns that no path leads to, past the guard over the states; for tests of how they look."""
    with connection.cursor() as cursor:
        on = f" ON {EmailLog._meta.db_table}" if connection.vendor == "postgresql" else ""
        cursor.execute(f"DROP TRIGGER {guard.NAME}{on}")
    EmailLog.objects.filter(pk=email.pk).update(**columns)
    guard.install("default", EmailLog._meta.db_table)
