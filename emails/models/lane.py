from datetime import datetime, timedelta

from django.db import models
from django.db.models.functions import Coalesce, Greatest, Now
from django.utils.translation import gettext_lazy as _

from emails.models.pause import Pause

FAILURES = 5  # In a row; then the lane is closed.
PROBE = timedelta(seconds=30)  # Between two tries of a closed lane.
PROBE_MOST = timedelta(minutes=16)


class Lane(models.Model):
    """The way to one provider, shared by all workers: open, closed for a while, or tried with one message."""

    class Reason(models.TextChoices):
        NONE = "", _("Open")
        FAILING = "failing", _("The provider does not answer as it should")
        CONFIGURATION = "configuration", _("The provider refuses our settings")
        THROTTLED = "throttled", _("The provider asks to wait")

    key = models.CharField(_("provider"), max_length=20, unique=True)
    reason = models.CharField(_("state"), max_length=15, choices=Reason, blank=True, default=Reason.NONE)
    error = models.TextField(_("reason"), blank=True)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0)
    closed_until = models.DateTimeField(_("closed until"), null=True)
    closed_at = models.DateTimeField(_("closed since"), null=True)
    probe_seconds = models.PositiveIntegerField(default=30)  # Until the next try after one that ended in doubt.
    last_success_at = models.DateTimeField(_("last success"), null=True)
    last_webhook_at = models.DateTimeField(_("last report"), null=True)
    last_error_at = models.DateTimeField(_("last error"), null=True)

    now: datetime  # By the database's clock, where the lane was looked at by `look`.
    paused: bool

    class Meta:
        verbose_name = _("delivery lane")
        verbose_name_plural = _("delivery lanes")
        ordering = ["key"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(reason__in=["", "failing", "configuration", "throttled"]), name="emails_lane_reason"
            )
        ]

    def __str__(self) -> str:
        return self.key

    @classmethod
    def look(cls, key: str) -> "Lane":
        """The lane as it is now, with the database's time and whether staff have paused all sending; one query."""
        lanes = cls.objects.annotate(now=Now(output_field=models.DateTimeField()), paused=Pause.exists())
        return lanes.filter(key=key).first() or (cls.objects.get_or_create(key=key) and lanes.get(key=key))

    @property
    def closed(self) -> bool:
        """Whether nothing may leave now, not even a try."""
        return self.paused or (self.closed_until is not None and self.closed_until > self.now)

    @property
    def on_trial(self) -> bool:
        """Whether one message at a time shows if the provider is back."""
        return self.reason in {self.Reason.FAILING, self.Reason.CONFIGURATION}

    def take_trial(self) -> bool:
        """Take the right to try the closed lane with one message; one worker has it, until the next try is due."""
        mine = type(self).objects.filter(pk=self.pk, closed_until__lte=Now())
        return bool(mine.update(closed_until=Now() + PROBE))

    def put_off_trial(self) -> None:
        """Give the right back, where the try told nothing."""
        type(self).objects.filter(pk=self.pk, reason__in=[self.Reason.FAILING, self.Reason.CONFIGURATION]).update(
            closed_until=Now()
        )

    def succeed(self) -> None:
        """The provider has accepted something: the lane is open, but for a wait that the provider asked for."""
        lanes = type(self).objects.filter(pk=self.pk)
        lanes.update(failures=0, last_success_at=Now(), probe_seconds=PROBE.seconds)
        waiting = models.Q(reason=self.Reason.THROTTLED, closed_until__gt=Now())
        lanes.exclude(waiting).update(reason="", error="", closed_until=None, closed_at=None)

    def fail(self, count: int, error: str, *, anew: bool, in_doubt: bool) -> bool:
        """Count failures, `anew` where a success stood before them; True where that closes an open lane."""
        lane = type(self).objects.select_for_update(no_key=True).get(pk=self.pk)
        lane.failures = count if anew else lane.failures + count
        lane.last_error_at, lane.error = Now(), error  # type: ignore[assignment]
        closes = False
        if lane.failures >= FAILURES or lane.on_trial:
            if lane.on_trial and in_doubt:  # Every such try costs a doubt: the next one can wait longer.
                lane.probe_seconds = min(lane.probe_seconds * 2, PROBE_MOST.seconds)
            closes = lane.close(self.Reason.FAILING, timedelta(seconds=lane.probe_seconds))
        lane.save()
        return closes

    def refuse(self, error: str) -> bool:
        """Our settings are refused: close at once. True where the lane was open, so that one alert is given."""
        lane = type(self).objects.select_for_update(no_key=True).get(pk=self.pk)
        lane.last_error_at, lane.error = Now(), error  # type: ignore[assignment]
        closes = lane.close(self.Reason.CONFIGURATION, PROBE)
        lane.save()
        return closes

    def close(self, reason: "Lane.Reason", wait: timedelta) -> bool:
        """Close for `wait`; True where the lane was open before."""
        was_open = not self.on_trial
        self.reason = reason
        # A wait that the provider has asked for may be longer.
        asked = Coalesce("closed_until", Now(output_field=models.DateTimeField()))
        self.closed_until = Greatest(asked, Now() + wait)  # type: ignore[assignment]
        self.closed_at = Now() if was_open else self.closed_at  # type: ignore[assignment]
        return was_open

    def throttle(self, seconds: float, error: str) -> None:
        """The provider asks to wait; a lane that is closed for longer stays so."""
        until = Now() + timedelta(seconds=seconds)
        lanes = type(self).objects.filter(pk=self.pk)
        lanes.filter(models.Q(closed_until=None) | models.Q(closed_until__lt=until)).update(closed_until=until)
        lanes.filter(reason="").update(reason=self.Reason.THROTTLED, error=error, closed_at=Now())


class Health(Lane):
    """The lanes once more, under the name by which the admin lists the page that tells how all of it does."""

    class Meta:
        proxy = True
        verbose_name = _("email health")
        verbose_name_plural = _("email health")
