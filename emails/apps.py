from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class EmailsConfig(AppConfig):
    name = "emails"
    verbose_name = _("Emails")

    def ready(self) -> None:
        from emails import checks  # noqa: F401 - registers them; apps have to be loaded first
        from emails.models import EmailKindSwitch, EmailLog, guard

        def complete(using: str, **kwargs: Any) -> None:
            """What every migration leaves complete: a switch for each kind, and the guard over the states."""
            tables = connections[using].introspection.table_names()  # None of ours after `migrate emails zero`.
            if EmailKindSwitch._meta.db_table in tables:
                EmailKindSwitch.add_missing(using)
            if EmailLog._meta.db_table in tables:
                guard.install(using, EmailLog._meta.db_table)

        post_migrate.connect(complete, sender=self, weak=False, dispatch_uid="emails.complete")
