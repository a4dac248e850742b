from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = _("People")

    def ready(self) -> None:
        from accounts import emails, signals  # models have to be loaded first

        emails.register_kinds()
        signals.connect()
        post_migrate.connect(complete, sender=self, weak=False, dispatch_uid="accounts.complete")


def complete(sender: AppConfig, using: str, **kwargs: Any) -> None:
    """What every migration leaves complete: the guard over the last superuser."""
    from accounts.models import User, guard

    if User._meta.db_table in connections[using].introspection.table_names():
        guard.install(using, User._meta.db_table)
