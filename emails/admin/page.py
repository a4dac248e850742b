"""What the page of one message shows: its state in plain words, the facts, the timeline, text, HTML and headers."""

import json
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emails import providers
from emails.admin.display import absolute, badge, provider_label, span
from emails.models import EmailEvent, EmailLog, EmailRecipient, State, Suppression
from emails.providers import PROVIDERS

# What the provider reported, as entries of the timeline.
REPORTED = {
    "queued": gettext_lazy("Taken by the provider"),
    "sent": gettext_lazy("On its way"),
    "deferred": gettext_lazy("Deferred"),
    "delivered": gettext_lazy("Delivered"),
    "bounced": gettext_lazy("Bounced"),
    "rejected": gettext_lazy("Rejected"),
    "failed": gettext_lazy("Failed at the provider"),
    "opened": gettext_lazy("Opened"),
    "clicked": gettext_lazy("Link clicked"),
    "complained": gettext_lazy("Reported as spam"),
    "unsubscribed": gettext_lazy("Unsubscribed"),
    "subscribed": gettext_lazy("Subscribed"),
    "autoresponded": gettext_lazy("Answered automatically"),
}
DELIVERED = {
    "deferred": gettext_lazy("%(provider)s could not deliver it yet, and goes on trying."),
    "delivered": gettext_lazy("Delivered: the recipient's mail server has taken it."),
    "bounced": gettext_lazy("Bounced: the recipient's mail server did not take it."),
    "rejected": gettext_lazy("Rejected: %(provider)s does not send to this address."),
    "failed": gettext_lazy("%(provider)s could not send it."),
    "complained": gettext_lazy("Delivered, and reported as spam by its recipient."),
}
STUCK = 120.0  # Seconds that a message may wait before the page asks whether a worker runs.


def page(email: EmailLog, *, bodies: bool) -> dict[str, Any]:
    """The template's context; without `bodies`, neither text nor HTML nor headers are in it."""
    state, advice = in_words(email)
    return {
        "email": email,
        "badge": badge(email.status, email.status_label),
        "state_line": state,
        "advice": advice,
        "recipients": [with_words(recipient) for recipient in email.recipients.all()],
        "suppressed": list(Suppression.objects.filter(address__in=addresses(email), lifted_at=None)),
        "redirected": redirected(email),
        "provider": went_through(email),
        "person_url": person_url(email),
        "changes": [
            {"field": field_label(name), "old": shown(old), "new": shown(new)}
            for name, (old, new) in email.changes.items()
        ],
        "timeline": timeline(email),
        "attachments": list(email.attachments.defer("content")),
        "bodies": bodies,
        "headers": headers(email) if bodies else [],
        "purged": email.purged_at and absolute(email.purged_at),
        "resends": list(email.resends.only("pk")),
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


def in_words(email: EmailLog) -> tuple[str, str]:
    """The state as a sentence, and what to do next where there is something to do."""
    provider, reason = provider_label(email.provider, _("the provider")), _(email.error) if email.error else ""
    match email.state:
        case State.QUEUED | State.CLAIMED:
            waiting = (timezone.now() - email.run_at).total_seconds()
            advice = _("Nothing has picked it up: check that “manage.py worker” is running.") if waiting > STUCK else ""
            return _("Waiting to be sent for %(time)s.") % {"time": span(waiting)}, advice
        case State.SENDING:
            return _("Being handed to %(provider)s right now.") % {"provider": provider}, ""
        case State.SENT:
            took = span(((email.sent_at or email.created_at) - email.created_at).total_seconds())
            words = _("Accepted by %(provider)s %(time)s after it was recorded.") % {"provider": provider, "time": took}
            reports = email.provider not in PROVIDERS or PROVIDERS[email.provider].reports
            if email.delivery:
                return DELIVERED[email.delivery] % {"provider": provider}, told(email)
            silent = _("There is no delivery report yet.") if reports else _("This provider reports no deliveries.")
            return words, silent
        case State.RETRYING:
            words = _("Not sent yet: attempt %(n)d of %(most)d failed. The next one is due at %(time)s.") % {
                "n": email.attempts,
                "most": settings.EMAILS["MAX_ATTEMPTS"],
                "time": absolute(email.run_at),
            }
            return words, reason
        case State.IN_DOUBT:
            words = _("It may or may not have been sent: the connection or the worker broke off while sending.")
            return words, _("Look it up at %(provider)s before sending anything again.") % {"provider": provider}
        case State.FAILED:
            return _("Not sent, and not tried any more."), reason
        case State.SUPPRESSED:
            return _("Not sent: the address is refused."), reason
        case State.SKIPPED:
            return _("Not sent on purpose."), reason
        case State.CANCELLED:
            return _("Cancelled before it left."), reason
    return _("Too old to be of use, so it was not sent."), reason


def timeline(email: EmailLog) -> list[dict[str, Any]]:
    """Everything that happened, oldest first, each entry with the time since the one before it."""
    entries: list[tuple[datetime, str, str]] = [(email.created_at, _("Recorded"), email.cause)]
    events = email.events.select_related("recipient")
    several = email.recipients.count() > 1
    entries += [(event.occurred_at, event_label(event), note_of(event, several)) for event in events]
    entries.sort(key=lambda entry: entry[0])
    previous: datetime | None = None
    shown = []
    for when, label, note in entries:
        since = f"+ {span((when - previous).total_seconds())}" if previous else ""
        shown.append({"when": when, "absolute": absolute(when), "label": label, "note": note, "since": since})
        previous = when
    return shown


def note_of(event: EmailEvent, several: bool) -> str:
    """What an entry says beside its name: who did it and why, or which recipient it is about."""
    detail = event.detail
    words = [detail.get("by", ""), _(detail["error"]) if detail.get("error") else "", detail.get("link", "")]
    if detail.get("redirected"):
        words.append(_("redirected to %s") % detail["redirected"])
    if detail.get("to") or (several and event.recipient is not None):
        words.insert(0, detail.get("to") or event.recipient.address)  # type: ignore[union-attr]
    return ": ".join(word for word in words if word)


def told(email: EmailLog) -> str:
    """The words of the report that decided what became of it."""
    event = email.events.filter(type=email.delivery, reported=True).last()
    return str(event.detail.get("error", "")) if event else ""


def event_label(event: EmailEvent) -> str:
    if event.reported:
        return str(REPORTED.get(event.type, event.type.replace("_", " ").capitalize()))
    known = {
        "rescued": _("Rescued from a stopped worker"),
        "hurried": _("To be tried at once"),
        "sent_again": _("Sent again"),
        "read": _("Read"),
    }
    if event.type in known:
        return known[event.type]
    return str(State(event.type).label) if event.type in State.values else event.type.replace("_", " ").capitalize()


def headers(email: EmailLog) -> list[tuple[str, str]]:
    """The message's headers as they were given to send(); the provider adds its own."""
    if not email.payload:
        return []
    data = json.loads(email.payload)
    lists = [(name.title(), ", ".join(data[key])) for name, key in (("to", "to"), ("cc", "cc"), ("bcc", "bcc"))]
    named = [("Subject", data["subject"]), ("From", data["from_email"]), *lists]
    named += [("Reply-To", ", ".join(data["reply_to"])), *((name, value) for name, value in data["headers"])]
    named += [(f"Anymail {name}", json.dumps(value, ensure_ascii=False)) for name, value in data["anymail"].items()]
    return [(name, value) for name, value in named if value]


def person_url(email: EmailLog) -> str:
    """The admin page of the person concerned, whatever model people are; "" where there is none."""
    options = get_user_model()._meta
    try:
        name = f"admin:{options.app_label}_{options.model_name}_change"
        return reverse(name, args=[email.user_id]) if email.user_id else ""
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
