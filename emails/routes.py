"""Which way a message takes where there are two: while the first fails, the second has what has not left."""

from django.db.models import Q

from emails import providers
from emails.models import Lane
from emails.providers import Provider


def due_for(provider: Provider) -> Q:
    """Which of the due messages `provider` may have now.

    What may have left through one of the two never goes through the other, which could not know it again.
    """
    second = providers.fallback()
    if second is None:
        return Q()
    if provider.key != second.key:
        return ~Q(uncertain=True, provider=second.key)
    its_own = Q(uncertain=True, provider=second.key)
    return its_own | Q(uncertain=False) if stands_in() else its_own


def stands_in() -> bool:
    """Whether the first provider's lane is closed, for failures or refused settings: not for a wait it asked for."""
    return Lane.look(providers.active().key).on_trial
