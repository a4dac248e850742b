from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class BackofficeConfig(AppConfig):
    """The project itself, as an app for its commands and templates."""

    name = "backoffice"

    def ready(self) -> None:
        from backoffice import tasks  # models have to be loaded first

        tasks.connect()


class BackofficeAdminConfig(AdminConfig):
    default_site = "backoffice.admin.BackofficeAdminSite"
