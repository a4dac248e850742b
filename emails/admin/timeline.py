"""Everything that happened to a message, ours and the provider's merged, oldest first."""

from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emails.admin.display import absolute, span
from emails.models import EmailEvent, EmailLog, State

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
TECHNICAL = {  # Of an event's detail, what is folded away; in their order.
    "attempt": gettext_lazy("Attempt"),
    "reason": gettext_lazy("Reason"),
    "agent": gettext_lazy("Mail program"),
    "address": gettext_lazy("Network address"),
    "digest": gettext_lazy("Digest of what was handed over"),
}
LATE = 2.0  # Seconds after which it is told that a report came later than what it tells of.


def timeline(email: EmailLog) -> list[dict[str, Any]]:
    """The entries, each with the time since the one before it and with what only engineers want to know."""
    events = [event for event in email.events.all() if event.type != "read"]  # Who has read it stands by itself.
    to = {recipient.pk: recipient.address for recipient in email.recipients.all()}
    first = {"label": _("Recorded"), "note": email.cause, "details": [], "times": 1}
    entries: list[tuple[datetime, dict[str, Any]]] = [(email.created_at, first)]
    for event in events:
        entries.append((event.occurred_at, entry(event, to)))
    entries.sort(key=lambda pair: pair[0])
    previous: datetime | None = None
    shown: list[dict[str, Any]] = []
    for when, found in entries:
        if shown and same(shown[-1], found):
            shown[-1]["times"] += 1
            shown[-1]["details"] += found["details"]
            continue
        since = f"+ {span((when - previous).total_seconds())}" if previous else ""
        shown.append({**found, "when": when, "absolute": absolute(when), "since": since})
        previous = when
    return shown


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether a report only says again what the one before it said: a provider that tries for hours says it often."""
    return bool(one.get("reported") and all(one.get(name) == other.get(name) for name in ("reported", "label", "note")))


def entry(event: EmailEvent, to: dict[int, str]) -> dict[str, Any]:
    return {
        "label": event_label(event),
        "note": note_of(event, to),
        "details": details(event),
        "times": 1,
        "reported": event.reported,
    }


def details(event: EmailEvent) -> list[tuple[str, str]]:
    """What is folded away, as (name, value)."""
    found = [(str(label), str(event.detail[name])) for name, label in TECHNICAL.items() if event.detail.get(name)]
    message_id = event.message_id or str(event.detail.get("message_id") or "")
    found += [(_("Message id"), message_id)] if message_id else []
    if event.event_id:
        found.append((_("The provider’s id of the report"), event.event_id))
    late = (event.recorded_at - event.occurred_at).total_seconds()
    if event.reported and event.detail.get("undated"):
        found.append((_("Time"), _("The report does not say when: it is the time at which it came.")))
    elif event.reported and late > LATE:
        found.append((_("Heard of"), _("%(time)s later") % {"time": span(late)}))
    return found


def note_of(event: EmailEvent, to: dict[int, str]) -> str:
    """What an entry says beside its name: who did it and why, or which recipient it is about."""
    detail = event.detail
    words = [detail.get("by", ""), _(detail["error"]) if detail.get("error") else "", detail.get("link", "")]
    if detail.get("redirected"):
        words.append(_("redirected to %s") % detail["redirected"])
    if detail.get("to") or (len(to) > 1 and event.recipient_id in to):
        words.insert(0, detail.get("to") or to[event.recipient_id or 0])
    return ": ".join(word for word in words if word)


def event_label(event: EmailEvent) -> str:
    if event.reported:
        return str(REPORTED.get(event.type, event.type.replace("_", " ").capitalize()))
    known = {
        "rescued": _("Rescued from a stopped worker"),
        "hurried": _("To be tried at once"),
        "sent_again": _("Sent again"),
        "in_place": str(_("In place of #%s") % event.detail.get("of", "")),
    }
    if event.type in known:
        return known[event.type]
    return str(State(event.type).label) if event.type in State.values else event.type.replace("_", " ").capitalize()
