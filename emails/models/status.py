"""The one word that staff read of a message, as the database has it: its delivery where there is one, or its state."""

from collections.abc import Iterable
from typing import Any

from django.db import models
from django.db.models.functions import Coalesce
from django.db.models.lookups import Exact, In

from emails.models.recipient import DELIVERY_TROUBLE
from emails.models.state import TROUBLE


class Constants(In):
    """IN, with what is looked for among the SQL's own words.

    SQLite uses a partial index where the condition stands in the query as it does in the index, and of a list it
    compares no parameters (sqlite.org/partialindex.html, section 3.1): it would read the whole table instead.
    """

    def process_rhs(self, compiler: Any, connection: Any) -> tuple[str, tuple[()]]:
        words = [str(value).replace("'", "''") for value in self.rhs]
        return "({})".format(", ".join(f"'{word}'" for word in words)), ()


def among(field: str, words: Iterable[str]) -> models.Q:
    """Whether a field is one of these words of ours: as `field__in`, but found by a partial index everywhere."""
    return models.Q(Constants(models.F(field), list(words)))


# As a query has it, and as the condition of its index.
NEEDS_ATTENTION = among("state", TROUBLE) | among("delivery", DELIVERY_TROUBLE)
ATTENTION = models.Q(state__in=TROUBLE) | models.Q(delivery__in=DELIVERY_TROUBLE)


class NullIfEmpty(models.Func):
    template = "NULLIF(%(expressions)s, '')"  # Nothing in it is a parameter: the index is found by its very words.
    output_field = models.CharField()


# EmailLog.status, as the database has it.
STATUS = Coalesce(NullIfEmpty("delivery"), "state", output_field=models.CharField())


def has_status(status: str) -> models.Q:
    return models.Q(Exact(STATUS, status))
