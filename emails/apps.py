from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class EmailsConfig(AppConfig):
    name = "emails"
    verbose_name = _("Emails")

    def ready(self) -> None:
        post_migrate.connect(add_switches, sender=self, dispatch_uid="emails.add_switches")


def add_switches(sender: EmailsConfig, using: str, **kwargs: Any) -> None:
    switch: Any = sender.get_model("EmailKindSwitch")
    if switch._meta.db_table in connections[using].introspection.table_names():  # Not after `migrate emails zero`.
        switch.add_missing(using)
