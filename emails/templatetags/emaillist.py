"""The rows of the log's list, as Django writes them, without the look-ups that none of its columns needs."""

from functools import reduce
from operator import add
from typing import Any

from django import template
from django.contrib.admin.templatetags.admin_list import result_headers, result_list
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.urls import reverse
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString

from emails.models import EmailLog

register = template.Library()


@register.inclusion_tag("admin/change_list_results.html")
def log_rows(cl: Any) -> dict[str, Any]:
    """The context of Django's own template; where a column is no method of the list's admin, Django's own rows too."""
    if not all(callable(getattr(cl.model_admin, name, None)) for name in cl.list_display):
        return dict(result_list(cl))
    headers = list(result_headers(cl))
    return {
        "cl": cl,
        "result_hidden_fields": [],
        "result_headers": headers,
        "num_sorted_fields": sum(bool(header["sortable"] and header["sorted"]) for header in headers),
        "results": rows(cl),
    }


def rows(cl: Any) -> list[list[SafeString]]:
    """Each row as Django writes it, as one piece: its template puts the pieces of a row together."""
    page = reverse(
        f"admin:{cl.opts.app_label}_{cl.opts.model_name}_change", args=[0], current_app=cl.model_admin.admin_site.name
    )
    page = add_preserved_filters({"preserved_filters": cl.preserved_filters, "opts": cl.opts}, page)
    columns = [Column(cl, name, page) for name in cl.list_display]
    return [[reduce(add, (column.cell(email) for column in columns))] for email in cl.result_list]


class Column:
    """What is the same in every row is put into HTML once, and not for every cell."""

    def __init__(self, cl: Any, name: str, page: str) -> None:
        self.value = getattr(cl.model_admin, name)
        self.links = name in cl.list_display_links
        if self.links:
            before, after = page.split("/0/", 1)
            self.before = format_html('<th class="field-{}"><a href="{}/', name, before)
            self.between, self.after = format_html('/{}">', after), SafeString("</a></th>")
        else:
            kept = "action-checkbox" if name == "action_checkbox" else f"field-{name}"
            self.before = format_html('<td class="{}">', kept)
            self.after = SafeString("</td>")

    def cell(self, email: EmailLog) -> SafeString:
        value = conditional_escape(self.value(email))
        if self.links:
            return self.before + conditional_escape(str(email.pk)) + self.between + value + self.after
        return self.before + value + self.after
