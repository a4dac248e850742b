"""The table of the log's list, without the look-ups that none of its columns needs."""

from typing import Any

from django import template
from django.contrib.admin.templatetags.admin_list import result_headers, result_list
from django.utils.safestring import SafeString

from emails.admin.cells import in_html, look_up

register = template.Library()


@register.inclusion_tag("admin/change_list_results.html")
def log_rows(cl: Any) -> dict[str, Any]:
    """The context of Django's own template; where a column is no method of the list's admin, Django's own rows too."""
    look_up(cl.result_list)
    if not all(callable(getattr(cl.model_admin, name, None)) for name in cl.list_display):
        return dict(result_list(cl))
    headers = list(result_headers(cl))
    # One row for all: Django's template asks each, at some cost, for a form that none has here.
    rows = SafeString("</tr>\n<tr>".join(in_html(cl)))
    return {
        "cl": cl,
        "result_hidden_fields": [],
        "result_headers": headers,
        "num_sorted_fields": sum(bool(header["sortable"] and header["sorted"]) for header in headers),
        "results": [[rows]] if rows else [],
    }
