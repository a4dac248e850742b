"""The rows of the log's list, as Django writes them, without the look-ups that none of its columns needs."""

from typing import Any

from django import template
from django.contrib.admin.templatetags.admin_list import result_headers, result_list
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.urls import reverse
from django.utils.html import format_html

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


def rows(cl: Any) -> list[list[str]]:
    """Each cell as Django writes it, but for the look-ups that none of our columns needs."""
    page = reverse(
        f"admin:{cl.opts.app_label}_{cl.opts.model_name}_change", args=[0], current_app=cl.model_admin.admin_site.name
    )
    page = add_preserved_filters({"preserved_filters": cl.preserved_filters, "opts": cl.opts}, page)
    before, after = page.split("/0/", 1)
    return [
        [cell(cl, name, email, f"{before}/{email.pk}/{after}") for name in cl.list_display] for email in cl.result_list
    ]


def cell(cl: Any, name: str, email: EmailLog, page: str) -> str:
    value = getattr(cl.model_admin, name)(email)
    if name == "action_checkbox":
        return format_html('<td class="action-checkbox">{}</td>', value)
    if name in cl.list_display_links:
        return format_html('<th class="field-{}"><a href="{}">{}</a></th>', name, page, value)
    return format_html('<td class="field-{}">{}</td>', name, value)
