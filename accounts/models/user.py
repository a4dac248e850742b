import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from django.conf import settings
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.models import AbstractUser, UserManager
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, router, transaction
from django.db.models.functions import Lower
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from accounts.models import guard

LINKED = {"email", "password", "is_active"}  # A change of these kills links that were mailed, for good.
# People who can't sign in with a password, as a query's condition.
NO_PASSWORD = models.Q(password__startswith=UNUSABLE_PASSWORD_PREFIX) | models.Q(password__exact="")


class LastSuperuser(ValidationError):
    """The last active superuser would be gone, and nobody could ever make another one."""

    def __init__(self) -> None:
        super().__init__(_("This is the last active superuser: make another one first."), code="last_superuser")


@contextmanager
def keeping_a_superuser() -> Iterator[None]:
    """Turn the word of the database's own guard into LastSuperuser."""
    try:
        yield
    except IntegrityError as error:
        if guard.WORDS in str(error):
            raise LastSuperuser from error
        raise


class PersonQuerySet(models.QuerySet["User"]):
    def active_superusers(self) -> Self:
        return self.filter(is_superuser=True, is_active=True)

    def addressed(self, address: str) -> Self:
        """People with this address, whatever its case, by the index that keeps addresses unique."""
        return self.alias(lower_email=Lower("email")).filter(lower_email=address.strip().lower())

    def update(self, **values: Any) -> int:
        if values.keys() & LINKED:
            values = {"invited_at": None, **values, "link_epoch": models.F("link_epoch") + 1}
        if "is_active" in values:
            values = {"session_epoch": models.F("session_epoch") + 1, **values}
        with keeping_a_superuser():
            return super().update(**values)

    def delete(self) -> tuple[int, dict[str, int]]:
        with keeping_a_superuser():
            return super().delete()


class PersonManager(UserManager["User"]):
    def get_queryset(self) -> PersonQuerySet:
        return PersonQuerySet(self.model, using=self._db)

    def active_superusers(self) -> PersonQuerySet:
        return self.get_queryset().active_superusers()

    def addressed(self, address: str) -> PersonQuerySet:
        return self.get_queryset().addressed(address)

    @classmethod
    def normalize_email(cls, email: str | None) -> str:
        """The address without blanks around it, its domain in lower case."""
        return str(super().normalize_email((email or "").strip()))


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
    # When the invitation that counts was made; None where there is none, or none any more.
    invited_at = models.DateTimeField(_("invited"), null=True, editable=False)
    session_epoch = models.PositiveIntegerField(default=0, editable=False)  # Part of every session: a new one ends all.
    link_epoch = models.PositiveIntegerField(default=0, editable=False)  # Part of every mailed link.
    anonymised_at = models.DateTimeField(null=True, editable=False)

    objects = PersonManager()  # type: ignore[misc]
    REQUIRED_FIELDS = ["email"]

    class Meta(AbstractUser.Meta):
        verbose_name = _("person")  # type: ignore[assignment]
        verbose_name_plural = _("people")  # type: ignore[assignment]
        permissions = [
            ("invite_user", "Can invite people and send password resets"),
            ("export_user", "Can export people"),
            ("anonymise_user", "Can anonymise people"),
            ("reset_second_factor", "Can remove the second factor of other people"),
        ]
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                name="accounts_user_email_any_case",
                condition=~models.Q(email=""),
                violation_error_message=_("Another person already has this email address."),
            )
        ]
        indexes = [  # What the list is filtered by, and few people are.
            models.Index(fields=["id"], name=f"accounts_user_{name}", condition=condition)
            for name, condition in {
                "invited": models.Q(invited_at__isnull=False),
                "anonymised": models.Q(anonymised_at__isnull=False),
                "disabled": models.Q(is_active=False),
                "staff": models.Q(is_staff=True),
                "superusers": models.Q(is_superuser=True),
                "no_address": models.Q(email=""),
            }.items()
        ]

    def clean(self) -> None:
        super().clean()
        self.email = type(self).objects.normalize_email(self.email)
        for name in ("first_name", "last_name"):
            # Of the control characters; no name has one, no spreadsheet takes one, and none shows.
            if any(unicodedata.category(sign) == "Cc" for sign in getattr(self, name)):
                raise ValidationError({name: _("A name has no control characters.")})

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the person and record the emails about it, both or neither.

        Django sends pre_save before and post_save after its own transaction, which would let a crash part them. Where
        a transaction is open already, a save that fails dooms it, as in Django itself.
        """
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        with keeping_a_superuser(), transaction.atomic(using=using, savepoint=False):
            super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        with keeping_a_superuser():
            return super().delete(*args, **kwargs)

    def end_sessions(self) -> None:
        """Sign the person out of every browser, and kill the links that were mailed."""
        people = type(self)._base_manager.filter(pk=self.pk)
        people.update(session_epoch=models.F("session_epoch") + 1, invited_at=None)
        self.invited_at = None
        self.session_epoch = people.values_list("session_epoch", flat=True).get()

    def kill_links(self) -> None:
        """No link mailed before opens anything again, even once what it hung on is as it was."""
        people = type(self)._base_manager.filter(pk=self.pk)
        people.update(link_epoch=models.F("link_epoch") + 1, invited_at=None)
        self.invited_at = None
        self.link_epoch = people.values_list("link_epoch", flat=True).get()

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """Django's own, with the epoch in it: a new epoch ends every session, as a new password does."""
        salt = "accounts.models.User.session_auth_hash"
        value = f"{self.password}{self.session_epoch}"
        return salted_hmac(salt, value, secret=secret, algorithm="sha256").hexdigest()

    @property
    def label(self) -> str:
        """How logs name a person that may be gone tomorrow."""
        name = self.get_full_name()
        return f"{name} ({self.username})" if name else self.username

    # The values that a save under way leads to, from pre_save to post_save. (accounts/changes.py)
    becoming: dict[str, Any] | None = None
    changing: frozenset[str] = frozenset()  # What this save itself changes.

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
