"""The rows of the log's list, as Django writes them: a page of fifty costs little more than one of five."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from operator import attrgetter
from typing import Any, TypeVar

from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.urls import reverse
from django.utils.html import conditional_escape, format_html
from django.utils.translation import gettext

from emails.models import EmailLog, EmailRecipient

Cell = TypeVar("Cell", bound=Callable[..., str])


def alike(*, by: tuple[str, ...]) -> Callable[[Cell], Cell]:
    """A column that reads the same in all rows that have the same of these fields: once a page it is written."""

    def marked(cell: Cell) -> Cell:
        cell.alike_by = attrgetter(*by)  # type: ignore[attr-defined]
        return cell

    return marked


@lru_cache
def selecting(language: str) -> str:
    """What a row's checkbox is for, in the language that is active; to be filled with the row."""
    return gettext("Select this object for an action - {}")


def look_up(emails: Iterable[EmailLog]) -> None:
    """Set `to` and `sent_again` of each, by one query for either."""
    pks = [email.pk for email in emails]
    to = EmailRecipient.addresses_of(pks)
    again = set(EmailLog.objects.order_by().filter(resend_of__in=pks).values_list("resend_of", flat=True))
    for email in emails:
        email.to, email.sent_again = to[email.pk], email.pk in again


def in_html(cl: Any) -> list[str]:
    """The cells of each row of a change list, in one piece of HTML."""
    page = reverse(
        f"admin:{cl.opts.app_label}_{cl.opts.model_name}_change", args=[0], current_app=cl.model_admin.admin_site.name
    )
    page = add_preserved_filters({"preserved_filters": cl.preserved_filters, "opts": cl.opts}, page)
    columns = [Column(cl, name, page) for name in cl.list_display]
    return ["".join([column.cell(email) for column in columns]) for email in cl.result_list]


class Column:
    """What is the same in every row is put into HTML once, and not for every cell."""

    def __init__(self, cl: Any, name: str, page: str) -> None:
        self.value = getattr(cl.model_admin, name)
        self.links = name in cl.list_display_links
        self.key = None if self.links else getattr(self.value, "alike_by", None)
        self.known: dict[Any, str] = {}
        if self.links:
            before, after = page.split("/0/", 1)
            self.before = format_html('<th class="field-{}"><a href="{}/', name, before)
            self.between, self.after = format_html('/{}">', after), "</a></th>"
        else:
            kept = "action-checkbox" if name == "action_checkbox" else f"field-{name}"
            self.before = format_html('<td class="{}">', kept)
            self.after = "</td>"

    def cell(self, email: EmailLog) -> str:
        """The cell of one row, with its tags; to its page where the column is one that links."""
        if self.key is None:
            return self.write(email)
        key = self.key(email)
        if key not in self.known:
            self.known[key] = self.write(email)
        return self.known[key]

    def write(self, email: EmailLog) -> str:
        link = f"{email.pk:d}{self.between}" if self.links else ""
        return f"{self.before}{link}{conditional_escape(self.value(email))}{self.after}"
