from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

SIZE = 20  # People in one transaction: what a page of the admin has to wait for at most, on SQLite.


class Batch(models.Model):
    """Something done to many people, one after the other, by a worker: what, how far, and whom it passed over.

    Its progress is written in the transactions that make it, so that a worker that dies loses nothing and does nothing
    twice.
    """

    class State(models.TextChoices):
        CHECKING = "checking", _("Being checked")
        READY = "ready", _("Waiting for you")
        RUNNING = "running", _("Running")
        FINISHED = "finished", _("Finished")
        FAILED = "failed", _("Failed")
        DISCARDED = "discarded", _("Discarded")

    what = models.CharField(_("what"), max_length=20)  # A verb of accounts/actions.py, or "import".
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.RUNNING)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    actor_label = models.CharField(_("by"), max_length=320)
    cause = models.TextField(blank=True)
    reason = models.TextField(_("reason"), blank=True)
    options = models.JSONField(default=dict)
    total = models.PositiveIntegerField(_("total"), default=0)
    done = models.PositiveIntegerField(_("done"), default=0)
    counts = models.JSONField(default=dict)
    problems = models.JSONField(default=list)  # [[which, why], …], the first of them.
    created_at = models.DateTimeField(_("begun"), default=timezone.now)
    moved_at = models.DateTimeField(default=timezone.now)  # When it last made progress.
    finished_at = models.DateTimeField(_("finished"), null=True)

    class Meta:
        verbose_name = _("batch")
        verbose_name_plural = _("batches")
        ordering = ["-id"]
        default_permissions = ()
        indexes = [
            models.Index(
                fields=["moved_at"],
                name="accounts_batch_going",
                condition=models.Q(state__in=["checking", "ready", "running"]),
            )
        ]

    def __str__(self) -> str:
        return f"{self.what} #{self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("admin:accounts_user_batch", args=[self.pk])

    @property
    def goes_on(self) -> bool:
        return self.state in {self.State.CHECKING, self.State.RUNNING}

    def move(self, number: int, **counts: int) -> None:
        """Note that `number` more are done, and what came of them."""
        self.done += number
        for name, more in counts.items():
            self.counts[name] = self.counts.get(name, 0) + more
        self.moved_at = timezone.now()

    def complain(self, which: Any, why: str) -> None:
        if len(self.problems) < 500:
            self.problems.append([str(which), why])

    def begin(self, items: Sequence[Any]) -> None:
        """Save it with what it is to be done to, cut into slices."""
        self.total = len(items)
        with transaction.atomic():
            self.save()
            starts = range(0, len(items), SIZE)
            BatchSlice.objects.bulk_create(
                [BatchSlice(batch=self, position=start, items=list(items[start : start + SIZE])) for start in starts]
            )

    @property
    def next_items(self) -> list[Any]:
        return self.slices.get(position=self.done).items if self.done < self.total else []

    @classmethod
    def hold_imports(cls) -> list["Batch"]:
        """Imports that are not over, held until the transaction ends; to be called before people are held."""
        going = [cls.State.CHECKING, cls.State.READY, cls.State.RUNNING]
        return list(cls.objects.select_for_update().filter(what="import", state__in=going).order_by("pk"))

    @classmethod
    def forget(cls, pk: Any, names: set[str], label: str) -> None:
        """A person is anonymised: `label` stands for them, and what holds one of `names` is not carried out."""
        cls.objects.filter(actor=pk).update(actor_label=label)
        names = {name.casefold() for name in names}
        for batch in cls.hold_imports():
            touched = False
            for part in batch.slices.all():
                kept = [{"#": row["#"], "!": label} if mentions(row, names) else row for row in part.items]
                if kept != part.items:
                    touched = bool(BatchSlice.objects.filter(pk=part.pk).update(items=kept)) or touched
            if touched:
                options = {name: value for name, value in batch.options.items() if name not in {"new", "changed"}}
                cls.objects.filter(pk=batch.pk).update(options=options)

    def finish(self, state: str) -> None:
        """Nothing more is done; what it was done to is not kept."""
        self.state, self.finished_at = state, timezone.now()
        self.slices.all().delete()


def mentions(row: dict[str, str], names: set[str]) -> bool:
    return any(value.casefold() in names for value in row.values())


class BatchSlice(models.Model):
    """What a worker does in one transaction: primary keys of people, or rows of a file."""

    batch = models.ForeignKey(Batch, models.CASCADE, related_name="slices")
    position = models.PositiveIntegerField()
    items = models.JSONField()

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["batch", "position"], name="accounts_batch_slice")]

    def __str__(self) -> str:
        return f"{self.batch_id}: {self.position}"
