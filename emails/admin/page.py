"""What the page of one message shows: its state in plain words, why it was sent, the timeline, and its content."""

from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Prefetch
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _

from emails import digests, providers
from emails.admin.body import body
from emails.admin.display import absolute, badge, moment, provider_label
from emails.admin.sentence import in_words
from emails.admin.timeline import timeline
from emails.kinds import KINDS
from emails.models import EmailEvent, EmailLog, EmailRecipient, Suppression
from emails.payload import has_attachments

LINKS = 50  # Of a chain, in each direction.
STORY = (
    Prefetch("events", EmailEvent.objects.order_by("occurred_at", "pk")),
    Prefetch("resends", EmailLog.objects.without_bodies()),
    "recipients",
)


def page(email: EmailLog, request: HttpRequest, *, bodies: bool) -> dict[str, Any]:
    """The template's context; without `bodies`, neither text nor HTML nor headers are in it."""
    return {
        "email": email,
        "badge": badge(email.status, email.status_label),
        "sentence": in_words(email),
        "recipients": [with_words(recipient) for recipient in email.recipients.all()],
        "suppressed": list(Suppression.objects.filter(address__in=addresses(email), lifted_at=None)),
        "redirected": redirected(email),
        "provider": went_through(email),
        "person_url": person_url(email.user_id),
        "actor_url": person_url(email.actor_id),
        "occasion": KINDS[email.kind].when if email.kind in KINDS else "",
        "recorded": moment(email.created_at),
        "changes": [
            {"field": field_label(name), "old": shown(old), "new": shown(new)}
            for name, (old, new) in email.changes.items()
        ],
        "template": template(email),
        "proof": proof(email) if bodies else None,
        "readers": readers(email),
        "timeline": timeline(email),
        "attachments": list(email.attachments.defer("content")) if not bodies or has_attachments(email.payload) else [],
        "bodies": bodies,
        "body": body(email, request) if bodies and email.purged_at is None else None,
        "purged": email.purged_at and absolute(email.purged_at),
        "chain": chain(email),
    }


def addresses(email: EmailLog) -> list[str]:
    return [recipient.address for recipient in email.recipients.all()]


def with_words(recipient: EmailRecipient) -> EmailRecipient:
    """The recipient, with when its fate was decided as all times on the page are written."""
    recipient.decided = absolute(recipient.delivery_at) if recipient.delivery_at else ""  # type: ignore[attr-defined]
    return recipient


def redirected(email: EmailLog) -> str:
    """The address that it went to instead, on a staging site."""
    known = (event.detail.get("redirected") for event in email.events.all())
    return next((address for address in known if address), "")


def went_through(email: EmailLog) -> str:
    """The provider that has it, and whether that is the one that stands in for the first."""
    name = provider_label(email.provider, _("the provider"))
    second = providers.fallback()
    return _("%s (fallback)") % name if second is not None and second.key == email.provider else name


def template(email: EmailLog) -> dict[str, Any]:
    """The version it was written with, and whether the templates have changed since."""
    kind = KINDS.get(email.kind)
    if not email.template or kind is None:
        return {}
    return {"version": email.template, "current": digests.version(kind) == email.template}


def proof(email: EmailLog) -> dict[str, Any]:
    """The digest of what was handed over last, and whether the content shown here is still the same."""
    handed = [event.detail["digest"] for event in email.events.all() if event.detail.get("digest")]
    if not handed:
        return {}
    attachments = list(email.attachments.all()) if has_attachments(email.payload) else []
    same = None if email.purged_at else digests.is_of(handed[-1], email, attachments)
    return {"digest": handed[-1], "same": same}


def readers(email: EmailLog) -> list[dict[str, str]]:
    """Who has read its content, the last ones first."""
    events = [event for event in email.events.all() if event.type == "read"]
    return [{"who": str(event.detail.get("by", "")), "when": moment(event.occurred_at)} for event in events[:-21:-1]]


def chain(email: EmailLog) -> list[EmailLog]:
    """The message with those it was sent in place of, and those sent in place of it, oldest first; [] for one alone."""
    few = EmailLog.objects.only("pk", "state", "delivery", "created_at", "resend_of")
    before: list[EmailLog] = []
    after: list[EmailLog] = []
    known, older = {email.pk}, email.resend_of_id
    while older and older not in known and len(before) < LINKS:
        known.add(older)
        one = few.filter(pk=older).first()
        if one is None:
            break
        before.insert(0, one)
        older = one.resend_of_id
    newer = sorted(email.resends.all(), key=lambda one: one.pk)
    while newer and len(after) < LINKS:
        after += newer
        newer = list(few.filter(resend_of__in=[one.pk for one in newer]).order_by("pk")[:LINKS])
    return [*before, email, *after] if before or after else []


def person_url(pk: Any) -> str:
    """The admin page of a person, whatever model people are; "" where there is none."""
    options = get_user_model()._meta
    try:
        name = f"admin:{options.app_label}_{options.model_name}_change"
        return reverse(name, args=[pk]) if pk else ""
    except NoReverseMatch:
        return ""


def field_label(name: str) -> str:
    """A changed field's name as forms show it."""
    try:
        text = str(getattr(get_user_model()._meta.get_field(name), "verbose_name", name))
    except FieldDoesNotExist:
        text = name.replace("_", " ")
    return text[:1].upper() + text[1:]


def shown(value: Any) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "–"
    return str(value) if value not in ("", None) else "–"
