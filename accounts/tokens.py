"""What makes a link in mail good for one person, one purpose and a while."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.utils.crypto import constant_time_compare
from django.utils.http import base36_to_int

from accounts.models import User
from emails.minting import digest


class LinkToken(PasswordResetTokenGenerator):
    """Django's own signed token, with what else must kill it: another address, a disabled account, ended sessions.

    It depends on the second it is made for, so that the same row of the log gets the same token at every attempt.
    """

    def __init__(self, purpose: str, timeout: str) -> None:
        super().__init__()
        self.key_salt = f"accounts.tokens.{purpose}"
        self.timeout = timeout  # The setting that tells for how many seconds it is good.

    def _make_hash_value(self, user: Any, timestamp: int) -> str:
        signed_in = user.last_login.replace(microsecond=0, tzinfo=None) if user.last_login else ""
        facts = (user.pk, user.password, signed_in, user.email.strip().casefold(), user.is_active)
        epochs = (user.session_epoch, user.link_epoch)
        return "|".join(map(str, (*facts, *epochs, self.beside(user), timestamp)))

    def beside(self, user: User) -> str:
        """What else the token dies with."""
        return ""

    def _now(self) -> datetime:
        return datetime.now(UTC).replace(tzinfo=None)

    def made_at(self, user: User, when: datetime) -> list[str]:
        """The token made at `when`, by each of the keys in use, newest first."""
        seconds = self._num_seconds(when.astimezone(UTC).replace(tzinfo=None))
        return [self._make_token_with_timestamp(user, seconds, key) for key in (self.secret, *self.secret_fallbacks)]

    def has_expired(self, when: datetime) -> bool:
        return bool((datetime.now(UTC) - when).total_seconds() > getattr(settings, self.timeout))

    def kept(self, token: str) -> str:
        """What a session may keep of a token: when it was made, and a digest."""
        return f"{token.partition('-')[0]}-{digest(token)}"

    def again(self, user: Any, kept: str) -> str:
        """The token of which `kept` was kept, where it is still the user's; else ""."""
        made, _, known = kept.partition("-")
        try:
            seconds = base36_to_int(made)
        except ValueError:
            return ""
        keys = (self.secret, *self.secret_fallbacks)
        tokens = [self._make_token_with_timestamp(user, seconds, key) for key in keys]
        return next((token for token in tokens if constant_time_compare(digest(token), known)), "")

    def check_token(self, user: Any, token: str | None) -> bool:
        """Whether the token is this person's, for this purpose, and still good."""
        if not user or not token or not user.is_active:
            return False
        try:
            seconds = base36_to_int(token.partition("-")[0])
        except ValueError:
            return False
        keys = (self.secret, *self.secret_fallbacks)
        if not any(constant_time_compare(self._make_token_with_timestamp(user, seconds, key), token) for key in keys):
            return False
        age: int = self._num_seconds(self._now()) - seconds
        return bool(age <= getattr(settings, self.timeout))


class InvitationToken(LinkToken):
    """Dies with the invitation: when it is withdrawn, accepted, or made anew."""

    def beside(self, user: User) -> str:
        return str(user.invited_at and user.invited_at.timestamp())

    def check_token(self, user: Any, token: str | None) -> bool:
        return bool(user) and user.invited_at is not None and super().check_token(user, token)


password_reset_token = LinkToken("password_reset", "PASSWORD_RESET_TIMEOUT")
invitation_token = InvitationToken("invitation", "INVITATION_TIMEOUT")

TOKENS: dict[str, LinkToken] = {"password_reset": password_reset_token, "invitation": invitation_token}


def mint(rows: Sequence[Any]) -> dict[int, str]:
    """The tokens for rows of the log about to be sent; none where the person is gone, or the link's time is over."""
    people = User.objects.in_bulk({row.user_id for row in rows if row.user_id})
    minted = {}
    for row in rows:
        token, person = TOKENS[row.kind], people.get(row.user_id)
        if person is None or not person.is_active or token.has_expired(row.created_at):
            continue
        made = token.made_at(person, row.created_at)
        # By the key of then, where SECRET_KEY has changed in between: it opens the link as well.
        minted[row.pk] = next((one for one in made if digest(one) == row.secret), made[0])
    return minted
