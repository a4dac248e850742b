"""The one word that staff read of a message, as the database has it: its delivery where there is one, or its state."""

from django.db import models
from django.db.models.functions import Coalesce
from django.db.models.lookups import Exact

from emails.models.recipient import DELIVERY_TROUBLE
from emails.models.state import TROUBLE

NEEDS_ATTENTION = models.Q(state__in=TROUBLE) | models.Q(delivery__in=DELIVERY_TROUBLE)


class NullIfEmpty(models.Func):
    template = "NULLIF(%(expressions)s, '')"  # Nothing in it is a parameter: the index is found by its very words.
    output_field = models.CharField()


# EmailLog.status, as the database has it.
STATUS = Coalesce(NullIfEmpty("delivery"), "state", output_field=models.CharField())


def has_status(status: str) -> models.Q:
    return models.Q(Exact(STATUS, status))
