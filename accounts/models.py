from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractUser, UserManager
from django.db import models, router, transaction
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _


class PersonManager(UserManager["User"]):
    @classmethod
    def normalize_email(cls, email: str | None) -> str:
        """The address without blanks around it, its domain in lower case."""
        return super().normalize_email((email or "").strip())


def languages() -> list[tuple[str, str]]:
    """The languages that LANGUAGES offers; a function, so that a change needs no migration."""
    return [(code, str(name)) for code, name in settings.LANGUAGES]


class User(AbstractUser):
    """A person. Every change of one is heard by accounts/signals.py and told to the person by email."""

    # Required in every form; code may create a person first and add the address later.
    email = models.EmailField(
        _("email address"),
        max_length=254,
        help_text=_("Where the person is told about changes of the account."),
        error_messages={"unique": _("Another person already has this email address.")},
    )
    language = models.CharField(
        _("language"),
        max_length=15,
        choices=languages,
        default="en",
        help_text=_("The language of this person's emails."),
    )
    welcomed_at = models.DateTimeField(null=True, editable=False)  # When the welcome was recorded; there is only one.

    objects = PersonManager()  # type: ignore[misc]
    REQUIRED_FIELDS = ["email"]

    class Meta(AbstractUser.Meta):
        verbose_name = _("person")  # type: ignore[assignment]
        verbose_name_plural = _("people")  # type: ignore[assignment]
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                name="accounts_user_email_any_case",
                condition=~models.Q(email=""),
                violation_error_message=_("Another person already has this email address."),
            )
        ]

    def clean(self) -> None:
        super().clean()
        self.email = type(self).objects.normalize_email(self.email)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the person and record the emails about it, both or neither.

        Django sends pre_save before and post_save after its own transaction, which would let a crash part them. Where
        a transaction is open already, a save that fails dooms it, as in Django itself.
        """
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        with transaction.atomic(using=using, savepoint=False):
            super().save(*args, **kwargs)

    # The values that a save under way leads to, from pre_save to post_save. (accounts/changes.py)
    becoming: dict[str, Any] | None = None

    # A login may replace the password's hash by a stronger one of the same password: not a change to tell anybody.
    rehashing = False

    def check_password(self, raw_password: str | None) -> bool:
        self.rehashing = True
        try:
            return super().check_password(raw_password)
        finally:
            self.rehashing = False

    async def acheck_password(self, raw_password: str | None) -> bool:
        self.rehashing = True
        try:
            return await super().acheck_password(raw_password)
        finally:
            self.rehashing = False
