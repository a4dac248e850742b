from typing import Any

from django.core.management.commands import flush

from accounts.models import User, guard


class Command(flush.Command):
    """Django's own. It empties every table, that of people too, where otherwise the last superuser has to stay."""

    def handle(self, **options: Any) -> None:
        guard.lift(options["database"], User._meta.db_table)
        try:
            super().handle(**options)
        finally:
            guard.install(options["database"], User._meta.db_table)
