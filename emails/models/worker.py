import os
import socket
from datetime import timedelta

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

ALIVE = timedelta(seconds=30)  # Since its last sign of life.
FORGOTTEN = timedelta(days=1)


class Worker(models.Model):
    """A process that delivers or sweeps, and its last sign of life."""

    name = models.CharField(_("name"), max_length=255, unique=True)  # "host:pid"
    started_at = models.DateTimeField(_("started"), db_default=Now())
    seen_at = models.DateTimeField(_("last seen"), db_default=Now())

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def beat(cls) -> None:
        """This process lives."""
        name = own_name()
        if not cls.objects.filter(name=name).update(seen_at=Now()):
            Worker.objects.bulk_create([Worker(name=name)], ignore_conflicts=True)

    @classmethod
    def leave(cls) -> None:
        """This process ends, and is not missed."""
        cls.objects.filter(name=own_name()).delete()

    @classmethod
    def alive(cls) -> models.QuerySet["Worker"]:
        return cls.objects.filter(seen_at__gt=Now() - ALIVE)

    @classmethod
    def forget_dead(cls) -> None:
        cls.objects.filter(seen_at__lt=Now() - FORGOTTEN).delete()


def own_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"[-255:]
