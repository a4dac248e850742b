"""What is known of one email service provider, and what the environment says for it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings

KEY_MARGIN = 0.6  # Of a key's life: after that nobody relies on it.


class Variable(NamedTuple):
    """One of a provider's variables; `where` tells where in its console the value stands."""

    name: str
    where: str
    required: bool = True
    example: str = ""


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """How a provider reports what became of a message."""

    view: str
    where: str  # Where in its console our URL is to be pasted.
    # Variables of which one makes it sign what it posts; where none is set, ANYMAIL_WEBHOOK_SECRET authenticates it.
    signed_by: tuple[str, ...] = ()
    signs_body: bool = True  # Else its signature, once seen, could be put under any body.
    basic: bool = True  # Takes a user and a password in our URL.
    # A bounce that will happen again: where its report says so (a path of keys), and in which words.
    hard_at: str = ""
    hard_is: frozenset[str] = frozenset()
    # A message that it did not even try, since the address stands on its own list: where and how its report says so.
    listed_at: str = ""
    listed_is: frozenset[str] = frozenset()
    topics: str = ""  # The variable with the topics that may be subscribed to (Amazon SNS).
    more_types: tuple[tuple[str, str], ...] = ()  # Its words that Anymail does not know yet, and what they mean.
    names_recipient: bool = True  # Else it reports the first recipient, whoever is meant.
    events: frozenset[str] = frozenset({"delivered", "bounced", "complained", "opened", "clicked"})


@dataclass(frozen=True, kw_only=True)
class Provider:
    """What sets one provider apart from the others, all of it data."""

    key: str  # The value of EMAIL_PROVIDER.
    label: str
    backend: str
    variables: tuple[Variable, ...] = ()
    prefix: str = ""  # Variables that start so are Anymail's settings of this provider.
    extra: str = ""  # Anymail's extra that installs what it needs beside Anymail, …
    modules: tuple[str, ...] = ()  # … which are these,
    extra_for: str = ""  # … for "sending", or for "webhooks" alone.
    metadata: bool = True
    tags: int = 1000  # How many it takes with a message.
    tracking_options: bool = True  # Whether a message can switch the tracking of opens and clicks.
    key_in: str = ""  # Where our key travels, by which it does so: "http" or "message" (a header of either), or "".
    key_hours: float = 0.0  # How long it knows a message again by our key, and sends no second copy of it.
    webhook: Webhook | None = None

    @property
    def required(self) -> tuple[str, ...]:
        """The variables without which it can't send."""
        return tuple(variable.name for variable in self.variables if variable.required)

    @property
    def reports(self) -> bool:
        """Whether it tells by webhook what became of a message."""
        return self.webhook is not None

    @property
    def ref_in(self) -> str:
        """Where our opaque reference travels: "metadata", "tags" or "" (the Message-ID)."""
        if not self.prefix:
            return ""
        return "metadata" if self.metadata else "tags"

    @property
    def by_session(self) -> bool:
        """Whether it is reached through our own Session, which knows when it waits."""
        return bool(self.prefix) and self.key != "amazon_ses"

    def remembers(self, first_tried_at: datetime | None, now: datetime) -> bool:
        """Whether another attempt is safe, since the key of the first is still known (with a margin for the way)."""
        lives = timedelta(hours=self.key_hours * KEY_MARGIN)
        return bool(self.key_hours and first_tried_at and now - first_tried_at < lives)

    def value(self, name: str) -> Any:
        """What the environment says for one of its variables, or None."""
        return settings.EMAILS["OPTIONS"].get("host") if name == "EMAIL_HOST" else settings.ANYMAIL.get(name)

    @property
    def missing(self) -> list[Variable]:
        """Required variables that are not set."""
        return [variable for variable in self.variables if variable.required and not self.value(variable.name)]

    @property
    def is_signed(self) -> bool:
        """Whether its reports carry a signature that we can verify."""
        return self.webhook is not None and any(self.value(name) for name in self.webhook.signed_by)

    @property
    def receives(self) -> bool:
        """Whether its reports are authenticated, so that they are taken."""
        if self.webhook is None:
            return False
        return self.is_signed or (self.webhook.basic and bool(settings.ANYMAIL.get("WEBHOOK_SECRET")))


def anymail(
    key: str, label: str, *variables: Variable, webhook: dict[str, Any] | None = None, **facts: Any
) -> Provider:
    """A provider that Anymail reaches; variables' names without its prefix."""
    prefix = f"{key.upper()}_"

    def named(variable: Variable) -> Variable:
        return variable._replace(name=prefix + variable.name)

    reports = webhook and Webhook(
        view=f"anymail.webhooks.{key}.{label.replace(' ', '')}TrackingWebhookView",
        **{**webhook, "signed_by": tuple(prefix + name for name in webhook.get("signed_by", ()))},
    )
    return Provider(
        key=key,
        label=label,
        backend=f"anymail.backends.{key}.EmailBackend",
        variables=tuple(map(named, variables)),
        prefix=prefix,
        webhook=reports or None,
        **facts,
    )


def optional(name: str, where: str, example: str = "") -> Variable:
    return Variable(name, where, required=False, example=example)
