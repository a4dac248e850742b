"""Everything that is known of a person, newest first: what changed and by whom, every email and its fate, sign-ins."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from accounts.models import PersonEvent, User
from accounts.values import display, label
from emails.admin.display import badge
from emails.models import EmailLog

FEW, MANY = 12, 200


@dataclass(frozen=True)
class Entry:
    at: datetime
    what: str
    by: str = ""
    why: str = ""
    changes: tuple[tuple[str, str, str], ...] = ()
    email: EmailLog | None = None
    badge: str = ""


def timeline(person: User, limit: int, *, emails: bool = True, before: datetime | None = None) -> list[Entry]:
    """The last `limit` entries, or those `before` a time. Without `emails`, for those who may not see the log."""
    events = person.events.filter(at__lt=before) if before else person.events.all()
    entries = [of_event(event) for event in events.order_by("-id")[:limit]]
    if emails:
        entries += [of_email(email) for email in last_emails(person, limit, before)]
    if before is None or person.date_joined < before:
        entries.append(Entry(person.date_joined, _("Created")))
    return sorted(entries, key=lambda entry: entry.at, reverse=True)[:limit]


def last_emails(person: User, limit: int, before: datetime | None = None) -> list[EmailLog]:
    """The newest emails about the person, without their bodies."""
    about = EmailLog.objects.filter(user=person.pk)
    about = about.filter(created_at__lt=before) if before else about
    return list(about.without_bodies().order_by("-id")[:limit])


def of_event(event: PersonEvent) -> Entry:
    detail = event.detail
    about = ", ".join(str(detail[name]) for name in ("verb", "fields", "address", "count", "left") if detail.get(name))
    why = " · ".join(part for part in (_(event.reason) if event.reason else "", about) if part)
    return Entry(event.at, str(event.get_type_display()), event.actor_label, why)


def of_email(email: EmailLog) -> Entry:
    """An email tells of the change that led to it, also where it was not sent."""
    changes = tuple((field(name), shown(name, old), shown(name, new)) for name, (old, new) in email.changes.items())
    why = _(email.error) if email.error else ""
    return Entry(
        email.created_at,
        email.kind_label,
        email.actor_label,
        why,
        changes,
        email,
        badge(email.status, email.status_label),
    )


def field(name: str) -> str:
    return label(name) if name in {known.name for known in User._meta.get_fields()} else name


def shown(name: str, value: Any) -> str:
    return display(name, value)
