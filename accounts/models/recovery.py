import secrets
from typing import Any

from django.db import models
from django.utils.crypto import constant_time_compare, salted_hmac
from django_otp.models import Device, ThrottlingMixin

ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # Without those that look alike.
NUMBER, LENGTH = 10, 10


class RecoveryDevice(ThrottlingMixin, Device):  # type: ignore[misc]
    """Ten codes for the day on which the phone is lost; each works once, and only their digests are kept."""

    digests = models.JSONField(default=list)

    class Meta:
        verbose_name = "recovery codes"
        verbose_name_plural = "recovery codes"
        default_permissions = ()

    def renew(self) -> list[str]:
        """Ten new codes, which can be shown now and never again; those before them are dead."""
        codes = ["".join(secrets.choice(ALPHABET) for _ in range(LENGTH)) for _ in range(NUMBER)]
        self.digests = [self.digest(code) for code in codes]
        self.save()
        return [f"{code[:5]}-{code[5:]}" for code in codes]

    def digest(self, code: str) -> str:
        # Fifty random bits need no slow hash: there is nothing to guess them from.
        return salted_hmac(f"accounts.recovery.{self.user_id}", code, algorithm="sha256").hexdigest()

    def verify_token(self, token: str) -> bool:
        """Whether `token` is one of the codes, which is used up by it. To be called with the row locked."""
        allowed, _ = self.verify_is_allowed()  # type: ignore[no-untyped-call]
        if not allowed:
            return False
        digest = self.digest("".join(token.split()).replace("-", "").lower())
        left = [known for known in self.digests if not constant_time_compare(known, digest)]
        found = len(left) < len(self.digests)
        if found:
            self.digests = left
            self.throttle_reset(commit=False)  # type: ignore[no-untyped-call]
            self.save()
        else:
            self.throttle_increment()  # type: ignore[no-untyped-call]
        return found

    def get_throttle_factor(self) -> Any:
        return 1
