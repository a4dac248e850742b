"""A message's state as a sentence, and what to do next: for whoever has a person on the telephone."""

from typing import NamedTuple

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emails.admin.display import absolute, provider_label, span
from emails.models import EmailEvent, EmailLog, Lane, State
from emails.providers import PROVIDERS

STUCK = 120.0  # Seconds that a message may wait before the page asks whether a worker runs.


class Sentence(NamedTuple):
    words: str
    advice: str = ""
    health: bool = False  # Whether the page of email health helps.


# What the provider reported: the sentence where nothing more is known, the one before the reason, what to do next.
DELIVERED = {
    "deferred": (
        gettext_lazy("%(provider)s could not deliver it yet, and goes on trying."),
        gettext_lazy("%(provider)s could not deliver it yet, and goes on trying: %(reason)s"),
        gettext_lazy("Nothing is to be done: it is delivered later, or bounces."),
    ),
    "delivered": (
        gettext_lazy("Delivered%(after)s: the recipient’s mail server has taken it."),
        gettext_lazy("Delivered%(after)s: the recipient’s mail server has taken it."),
        gettext_lazy("The person does not see it? Have them look among their spam, and for rules that move mail."),
    ),
    "bounced": (
        gettext_lazy("Bounced%(after)s: the recipient’s mail server did not take it."),
        gettext_lazy("Bounced%(after)s: %(reason)s"),
        gettext_lazy("Ask the person for the right address, correct it, and send it again."),
    ),
    "rejected": (
        gettext_lazy("Rejected%(after)s: %(provider)s does not send to this address."),
        gettext_lazy("Rejected%(after)s by %(provider)s: %(reason)s"),
        gettext_lazy("The address is on the provider’s own list, or can’t be one: correct it, or lift it there."),
    ),
    "failed": (
        gettext_lazy("%(provider)s could not send it."),
        gettext_lazy("%(provider)s could not send it: %(reason)s"),
        gettext_lazy("Look it up at %(provider)s; then send it again."),
    ),
    "complained": (
        gettext_lazy("Delivered, and reported as spam by its recipient%(after)s."),
        gettext_lazy("Delivered, and reported as spam by its recipient%(after)s."),
        gettext_lazy("Only mail that guards the account goes there now. Ask the person before you lift that."),
    ),
}


def in_words(email: EmailLog) -> Sentence:
    """The state as a sentence, and what to do next where there is something to do."""
    provider, reason = provider_label(email.provider, _("the provider")), _(email.error) if email.error else ""
    match email.state:
        case State.QUEUED | State.CLAIMED:
            waiting = (timezone.now() - email.run_at).total_seconds()
            advice = _("Nothing has picked it up: check that “manage.py worker” is running.") if waiting > STUCK else ""
            return Sentence(_("Waiting to be sent for %(time)s.") % {"time": span(waiting)}, advice, bool(advice))
        case State.SENDING:
            return Sentence(_("Being handed to %(provider)s right now.") % {"provider": provider})
        case State.SENT:
            return delivered(email, provider) if email.delivery else accepted(email, provider)
        case State.RETRYING:
            return retrying(email, provider, reason)
        case State.IN_DOUBT:
            words = _("It may or may not have been sent: the connection or the worker broke off while sending.")
            advice = _("Look it up at %(provider)s before sending anything again.") % {"provider": provider}
            return Sentence(words, advice)
        case State.FAILED:
            return Sentence(_("Not sent, and not tried any more."), reason)
        case State.SUPPRESSED:
            return Sentence(_("Not sent: the address is refused."), reason)
        case State.SKIPPED:
            return Sentence(_("Not sent on purpose."), reason)
        case State.CANCELLED:
            return Sentence(_("Cancelled before it left."), reason)
    return Sentence(_("Too old to be of use, so it was not sent."), reason)


def retrying(email: EmailLog, provider: str, reason: str) -> Sentence:
    """It has been tried. A provider that is gone, or that refuses our settings, costs no attempt."""
    said = {"n": email.attempts, "most": settings.EMAILS["MAX_ATTEMPTS"], "provider": provider}
    failed = (
        _("Not sent yet: attempt %(n)d of %(most)d failed.")
        if email.attempts
        else _("Not sent yet: %(provider)s takes nothing at the moment, which counts as no attempt.")
    )
    if email.run_at > timezone.now():
        due, late = _("The next one is due at %(time)s.") % {"time": absolute(email.run_at)}, False
    else:
        due, late = _("It is due, and leaves as soon as a worker and the provider’s lane are open for it."), True
    return Sentence(f"{failed % said} {due}", reason, health=late or not email.attempts)


def accepted(email: EmailLog, provider: str) -> Sentence:
    """The provider has it, and has said nothing since."""
    took = span(((email.sent_at or email.created_at) - email.created_at).total_seconds())
    words = _("Accepted by %(provider)s %(time)s after it was recorded.") % {"provider": provider, "time": took}
    if email.provider in PROVIDERS and not PROVIDERS[email.provider].reports:
        return Sentence(words, _("This provider reports no deliveries."))
    if not Lane.objects.filter(key=email.provider, last_webhook_at__isnull=False).exists():
        return Sentence(
            words, _("There is no delivery report: this provider’s webhook has reported nothing yet."), True
        )
    return Sentence(words, _("There is no delivery report yet."))


def delivered(email: EmailLog, provider: str) -> Sentence:
    event = told(email)
    words, because, advice = DELIVERED[email.delivery]
    reason = str(event.detail.get("error") or event.detail.get("reason") or "") if event else ""
    after = ""
    if event is not None and email.sent_at is not None and not event.detail.get("undated"):
        seconds = (event.occurred_at - email.sent_at).total_seconds()
        # A provider's clock may be slow, or its answer the report itself.
        after = _(" %(time)s after sending") % {"time": span(seconds)} if seconds >= 1 else _(" right after sending")
    values = {"provider": provider, "after": after, "reason": sentence_of(reason)}
    return Sentence((because if reason else words) % values, advice % values)


def sentence_of(reason: str) -> str:
    """A server's words, ended as a sentence is."""
    return reason if not reason or reason[-1] in ".!?)" else f"{reason}."


def told(email: EmailLog) -> EmailEvent | None:
    """The report that decided what became of it."""
    return next((one for one in reversed(email.events.all()) if one.reported and one.type == email.delivery), None)
