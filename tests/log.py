"""Short ways to read the log in tests."""

from emails.models import EmailLog


def kinds() -> list[str]:
    """The kinds recorded, oldest first."""
    return list(EmailLog.objects.order_by("id").values_list("kind", flat=True))


def newest() -> EmailLog:
    email = EmailLog.objects.order_by("-id").first()
    assert email is not None
    return email


def sent_to(email: EmailLog) -> list[str]:
    return [recipient.address for recipient in email.recipients.all()]
