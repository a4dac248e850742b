from typing import Any

from django.contrib.auth.management.commands import createsuperuser
from django.core.management import CommandError
from django.db import IntegrityError


class Command(createsuperuser.Command):
    """Django's own, which looks for the very username alone: a name or address that differs in case is taken too."""

    def handle(self, *args: Any, **options: Any) -> Any:
        try:
            return super().handle(*args, **options)
        except IntegrityError as error:
            raise CommandError(
                "Somebody has this username or email address already, perhaps in another case. Choose another, "
                "or give that account a new password: manage.py changepassword USERNAME"
            ) from error
