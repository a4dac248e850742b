"""What an action will do, told before it is done: to how many people, whom it passes over, and which emails go out."""

from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Lower
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import policy
from accounts.actions import Action
from accounts.models import User
from emails.kinds import KINDS, label
from emails.models import EmailKindSwitch, Suppression

NAMED = 5  # People passed over, by name.
SOME = 20  # People named on the page; the rest are counted.


@dataclass(frozen=True)
class Mails:
    """One kind of email that goes out, to how many."""

    key: str
    label: str
    count: int
    required: bool
    off: bool


@dataclass(frozen=True)
class Forecast:
    people: QuerySet[User]  # Those it will be done to.
    count: int
    some: list[User]
    skipped: list[tuple[str, int, str]] = field(default_factory=list)  # Why, how many, and the first of them by name.
    mails: list[Mails] = field(default_factory=list)
    unreachable: list[str] = field(default_factory=list)  # In words.

    @property
    def emailed(self) -> int:
        """How many emails leave in all."""
        return sum(mails.count for mails in self.mails if not mails.off)


def forecast(actor: Any, action: Action, chosen: QuerySet[User]) -> Forecast:
    """Look ahead, in some ten queries however many people are chosen."""
    chosen = User.objects.filter(pk__in=chosen.order_by().values("pk"))
    allowed = policy.permitted(actor, action.verb, chosen)
    people = allowed.filter(action.fits())
    total, permitted, count = chosen.count(), allowed.count(), people.count()
    out_of_reach = chosen.exclude(pk__in=allowed.values("pk"))
    unfit = allowed.exclude(pk__in=people.values("pk"))
    skipped = [
        (_("You may not do this to them."), total - permitted, names(out_of_reach) if total > permitted else ""),
        (_("They are not in a state for it."), permitted - count, names(unfit) if permitted > count else ""),
    ]
    unreachable, reached = [], count
    if action.kinds:
        barred = Suppression.objects.filter(lifted_at=None)
        if all(KINDS[key].security for key in action.kinds):
            barred = barred.exclude(reason=Suppression.Reason.COMPLAINED)
        lower = people.alias(lower_email=Lower("email"))
        without = people.filter(email="").count()
        suppressed = lower.filter(lower_email__in=barred.values("address")).count()
        unreachable = [
            ngettext("%d has no address.", "%d have no address.", without) % without if without else "",
            ngettext("%d is suppressed.", "%d are suppressed.", suppressed) % suppressed if suppressed else "",
        ]
        reached = count - without - suppressed
    enabled = EmailKindSwitch.enabled_keys()
    mails = [Mails(key, label(key), reached, KINDS[key].required, key not in enabled) for key in action.kinds]
    return Forecast(
        people,
        count,
        list(people.order_by("username")[:SOME]),
        [one for one in skipped if one[1]],
        mails,
        [words for words in unreachable if words],
    )


def names(people: QuerySet[User]) -> str:
    """The first of them."""
    found = [person.username for person in people.order_by("username")[: NAMED + 1]]
    return ", ".join(found[:NAMED]) + (" …" if len(found) > NAMED else "")
