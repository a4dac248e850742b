from django.db import models
from django.utils.translation import gettext_lazy as _


class State(models.TextChoices):
    """What we did with a message; what the provider reports afterwards is `Delivery`."""

    QUEUED = "queued", _("Queued")  # Recorded, waiting for a worker.
    CLAIMED = "claimed", _("Claimed")  # A worker holds it under a lease; nothing has left.
    SENDING = "sending", _("Sending")  # Committed before the request: from here on it may have left.
    SENT = "sent", _("Sent")  # The provider accepted it.
    RETRYING = "retrying", _("Retrying")  # To be tried again at `run_at`.
    IN_DOUBT = "in_doubt", _("In doubt")  # A crash or a broken connection hides whether it left.
    FAILED = "failed", _("Failed")  # Given up, for the reason in `error`.
    SUPPRESSED = "suppressed", _("Suppressed")  # The address or the provider's list forbids it.
    SKIPPED = "skipped", _("Skipped")  # Switched off, or nobody to send it to.
    CANCELLED = "cancelled", _("Cancelled")  # Stopped before it left.
    EXPIRED = "expired", _("Expired")  # Too old to be of use.


DUE = (State.QUEUED, State.RETRYING)
LEASED = (State.CLAIMED, State.SENDING)
UNSETTLED = (*DUE, *LEASED)
TROUBLE = (State.IN_DOUBT, State.FAILED, State.SUPPRESSED, State.EXPIRED)

# Where a message may go from each state; a trigger in the database holds everybody to it. What is not named is final.
TRANSITIONS: dict[State, set[State]] = {
    State.QUEUED: {State.CLAIMED, State.CANCELLED, State.EXPIRED, State.SUPPRESSED},
    State.RETRYING: {State.CLAIMED, State.CANCELLED, State.EXPIRED, State.SUPPRESSED, State.SENT},
    State.CLAIMED: {
        *(State.SENDING, State.QUEUED, State.RETRYING, State.CANCELLED, State.EXPIRED, State.SUPPRESSED),
        *(State.FAILED, State.IN_DOUBT),  # The one that kills its workers; the one whose key has died.
        State.SENT,  # Proved while it waits for another attempt.
    },
    State.SENDING: {State.SENT, State.RETRYING, State.FAILED, State.SUPPRESSED, State.CANCELLED, State.IN_DOUBT},
    # Resolved by a late answer of the same attempt, by the provider's report, or by staff.
    State.IN_DOUBT: {State.SENT, State.RETRYING, State.FAILED, State.SUPPRESSED, State.CANCELLED},
    State.FAILED: {State.SENT},  # The provider's report proves that its error was none.
}
