from typing import Any

from django.core.paginator import Paginator
from django.utils.functional import cached_property

MOST = 10_000


class AtLeast(int):
    """A count that ended at MOST: it reads "10000+", wherever Django's admin shows it."""

    def __str__(self) -> str:
        return f"{MOST}+"


class CappedPaginator(Paginator[Any]):
    """Counts no further than anybody pages: a count reads the whole table. One more than MOST means "or more"."""

    @cached_property
    def count(self) -> int:  # type: ignore[override]
        rows: Any = self.object_list
        found = int(rows.order_by()[: MOST + 1].count())
        return AtLeast(found) if found > MOST else found
