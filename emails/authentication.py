"""What Anymail does not check of a webhook's request: that it is not an old one, and that the topic is one of ours."""

import json
import re
import time
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from emails.providers import Provider

OLDEST, NEWEST = 55 * 60.0, 5 * 60.0  # Seconds that a signature's time may lie behind or ahead of ours.


class NotAllowed(Exception):
    """The request is authentic in form, but not one that we wait for."""


def check_freshness(request: HttpRequest, provider: Provider) -> None:
    """Refuse an old signature that covers no body, since who has seen one could put anything under it (Mailgun).

    Raises NotAllowed, or ValueError where there is no time.
    """
    if provider.webhook is None or provider.webhook.signs_body:
        return
    signed = signature(request)
    # Time and token are signed without anything between them: where one ends must not be the caller's choice.
    if not re.fullmatch(r"\d{10}", str(signed["timestamp"]), re.ASCII):
        raise NotAllowed
    if not -NEWEST <= time.time() - int(signed["timestamp"]) <= OLDEST:
        raise NotAllowed


def signature(request: HttpRequest) -> Mapping[str, Any]:
    """What is signed of a request whose body is not. Raises KeyError, TypeError or ValueError where nothing is."""
    if request.content_type == "application/json":
        said: Mapping[str, Any] = json.loads(request.body)["signature"]
        return said
    return request.POST


def check_topic(request: HttpRequest, provider: Provider) -> None:
    """Confirm subscriptions only for topics that are allowed, and hear those alone where any are (Amazon SNS).

    Anymail confirms any topic's; and SNS signs for whoever has a topic. Raises NotAllowed.
    """
    if provider.webhook is None or not provider.webhook.topics:
        return
    said = json.loads(request.body)
    listed = str(settings.ANYMAIL.get(provider.webhook.topics, ""))
    allowed = {topic.strip() for topic in listed.split(",") if topic.strip()}
    confirms = said.get("Type") == "SubscriptionConfirmation"
    if (allowed or confirms) and said.get("TopicArn") not in allowed:
        raise NotAllowed
