from django.db import connections, models, router
from django.utils.translation import gettext_lazy as _

from emails.kinds import KINDS, EmailKind


class EmailKindSwitch(models.Model):
    """Whether a kind of email is sent. A kind without a row here is as its code says."""

    key = models.CharField(_("kind"), max_length=40, unique=True)
    enabled = models.BooleanField(_("on"), default=True)

    class Meta:
        verbose_name = _("email kind")
        verbose_name_plural = _("email kinds")
        ordering = ["id"]

    def __str__(self) -> str:
        return self.key

    @property
    def kind(self) -> EmailKind | None:
        """The kind in the code, or None where an older version's kind is gone."""
        return KINDS.get(self.key)

    @classmethod
    def enabled_keys(cls) -> set[str]:
        """The keys of all kinds that are sent now."""
        connection = connections[router.db_for_read(cls)]
        with connection.cursor() as cursor:  # By hand: every save reads them, and the ORM takes thrice as long.
            cursor.execute(f"SELECT key, enabled FROM {cls._meta.db_table}")  # noqa: S608 - our own table's name
            switches = dict(cursor.fetchall())
        return {kind.key for kind in KINDS.values() if kind.required or switches.get(kind.key, kind.on)}

    @classmethod
    def add_missing(cls, using: str) -> None:
        """A row for every kind of the code, so that staff find them all in the admin."""
        known = set(cls.objects.using(using).values_list("key", flat=True))
        EmailKindSwitch.objects.using(using).bulk_create(
            [EmailKindSwitch(key=kind.key, enabled=kind.on) for kind in KINDS.values() if kind.key not in known],
            ignore_conflicts=True,
        )
