from typing import Any

from django import template

from emails.admin import front

register = template.Library()


@register.simple_tag(takes_context=True)
def email_card(context: Any) -> dict[str, Any]:
    """What the card on the front page shows; nothing for those who may not see the log."""
    return front.card(context["request"])


@register.simple_tag(takes_context=True)
def email_banner(context: Any) -> list[str]:
    """What has to be known on every page, in words."""
    request = context.get("request")
    return front.banner(request) if hasattr(request, "user") else []
