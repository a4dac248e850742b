"""What all reports about one recipient come to: a pure function, the same for any order and any repetition of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from emails.models import Delivery

LONG_AGO = datetime.min.replace(tzinfo=UTC)  # Where the provider told no time.
UNTOLD = datetime(1970, 1, 1, tzinfo=UTC)  # When somebody unsubscribed, where the provider does not say.
# The latest of these stands; of several at once, the worst. A bounce may well follow "delivered" (RFC 3464).
TERMINAL = {"delivered": 0, "failed": 1, "rejected": 2, "bounced": 3}
# Only a message that the provider has taken can be reported so.
ACCEPTANCE = {
    *("queued", "sent", "deferred", "delivered", "bounced", "opened", "clicked", "complained", "unsubscribed"),
    "autoresponded",
}
REFUSAL = {"rejected", "failed"}
# Of several recipients, the worst fate is the message's; one without a report is not delivered yet.
WORST = (
    *(Delivery.COMPLAINED, Delivery.BOUNCED, Delivery.REJECTED, Delivery.FAILED, Delivery.DEFERRED),
    *(Delivery.NONE, Delivery.DELIVERED),
)


class Told(NamedTuple):
    """One report: its type as Anymail names it, when it happened (None: untold), and what makes it the one it is."""

    type: str
    at: datetime | None
    key: str


@dataclass(frozen=True)
class Fate:
    delivery: str = Delivery.NONE
    delivery_at: datetime | None = None
    first_opened_at: datetime | None = None
    last_opened_at: datetime | None = None
    open_count: int = 0
    first_clicked_at: datetime | None = None
    last_clicked_at: datetime | None = None
    click_count: int = 0
    unsubscribed_at: datetime | None = None


def fold(reports: Iterable[Told]) -> Fate:
    told = {report.key: report for report in reports}.values()
    delivery, at = outcome(list(told))
    opened = [report.at for report in told if report.type == "opened"]
    clicked = [report.at for report in told if report.type == "clicked"]
    return Fate(
        delivery,
        at,
        *span(opened),
        len(opened),
        *span(clicked),
        len(clicked),
        span(report.at or UNTOLD for report in told if report.type == "unsubscribed")[0],
    )


def outcome(told: list[Told]) -> tuple[str, datetime | None]:
    """The delivery, and when it came about. A complaint sticks, whatever is reported beside it."""
    complaints = [report for report in told if report.type == "complained"]
    if complaints:
        return Delivery.COMPLAINED, span(report.at for report in complaints)[0]
    terminal = [report for report in told if report.type in TERMINAL]
    if terminal:
        last = max(terminal, key=lambda report: (report.at or LONG_AGO, TERMINAL[report.type]))
        return last.type, last.at
    deferred = [report.at for report in told if report.type == "deferred"]
    return (Delivery.DEFERRED, span(deferred)[1]) if deferred else (Delivery.NONE, None)


def span(times: Iterable[datetime | None]) -> tuple[datetime | None, datetime | None]:
    """The first and the last of those that are known."""
    known = [time for time in times if time is not None]
    return min(known, default=None), max(known, default=None)


def overall(deliveries: Iterable[str], *, each_reported: bool = True) -> str:
    """A message's delivery by those of its recipients, where the provider reports each of them or only some."""
    told = {Delivery(delivery) for delivery in deliveries}
    if not each_reported and len(told) > 1:
        told.discard(Delivery.NONE)
    return next((delivery for delivery in WORST if delivery in told), Delivery.NONE)


def proves_acceptance(types: Iterable[str]) -> bool:
    return not ACCEPTANCE.isdisjoint(types)


def proves_refusal(types: Iterable[str]) -> bool:
    """Whether the provider has had the message, and has not let it go out."""
    told = set(types)
    return ACCEPTANCE.isdisjoint(told) and not REFUSAL.isdisjoint(told)
