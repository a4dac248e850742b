"""The second factor: who has to prove one, what proves it, and how it comes and goes."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import django_otp
import segno
from django.conf import settings
from django.contrib.auth import update_session_auth_hash
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.models import PersonEvent, RecoveryDevice, User
from accounts.values import read
from accounts.writing import tell
from emails.kinds import KINDS
from emails.models import EmailKindSwitch

DUE = "second_factor_due"  # In the session of who has a factor and has not proved it yet.
PENDING = "second_factor_pending"  # In the session in which one is being set up: the device's primary key.
DIGITS = 6


def has_factor(person: Any) -> bool:
    return bool(TOTPDevice.objects.filter(user_id=person.pk, confirmed=True).exists())


def is_due(request: HttpRequest) -> bool:
    """Whether this session is half signed in: the password was right, and the second factor is to come."""
    if settings.STAFF_2FA == "off":
        return False
    user: Any = request.user
    if not user.is_authenticated or user.is_verified():
        return False
    return bool(request.session.get(DUE)) or (settings.STAFF_2FA == "required" and user.is_staff)


def way_in(request: HttpRequest) -> str:
    """Where the second factor is proved, or set up where there is none, and back from there."""
    name = "second_factor" if has_factor(request.user) else "second_factor_setup"
    there = request.get_full_path() if request.method == "GET" else ""
    return f"{reverse(name)}?{urlencode({'next': there})}" if there else reverse(name)


def prove(person: User, token: str) -> Any:
    """The device that this code belongs to, or None. The code is used up: nobody can use it a second time."""
    token = "".join(token.split())
    model = TOTPDevice if token.isdigit() and len(token) == DIGITS else RecoveryDevice
    with transaction.atomic():
        for device in model.objects.select_for_update().filter(user=person, confirmed=True):
            if device.verify_token(token):
                return device
    return None


def pass_gate(request: HttpRequest, device: Any) -> None:
    """The rest of the session counts as verified; its key is a new one, as after any sign-in."""
    request.session.pop(DUE, None)
    request.session.cycle_key()
    django_otp.login(request, device)


def begin(request: HttpRequest) -> TOTPDevice:
    """The device that is being set up in this session: its key is shown until it is confirmed, and never afterwards.

    Another session gets another key. Who saw one before, signed in with a stolen password, must not know the next.
    """
    pending = TOTPDevice.objects.filter(user=request.user, confirmed=False)
    device: TOTPDevice | None = pending.filter(pk=request.session.get(PENDING, 0)).first()
    if device is None:
        pending.delete()
        device = TOTPDevice.objects.create(user=request.user, name="Authenticator", confirmed=False)
        request.session[PENDING] = device.pk
    return device


def confirm(request: HttpRequest, device: TOTPDevice, token: str) -> list[str]:
    """Take the device into use where `token` proves it, ending all other sessions; returns recovery codes, or []."""
    person: Any = request.user
    with transaction.atomic():
        held = TOTPDevice.objects.select_for_update().filter(pk=device.pk, confirmed=False).first()
        if held is None or has_factor(person):  # Another browser was quicker.
            return []
        held.throttle_reset(commit=False)  # Whoever is here sees the key: there is nothing to guess.
        if not (token.isdigit() and held.verify_token(token)):
            return []
        held.confirmed = True
        held.save()
        codes = renew_recovery(person)
        PersonEvent.note(PersonEvent.Type.FACTOR_ADDED, person)
        tell_person(person, "added")
        person.end_sessions()
    update_session_auth_hash(request, person)
    pass_gate(request, held)
    return codes


def replace_recovery(person: User) -> list[str]:
    """New recovery codes at the person's own wish, which others may have had: it is noted, and told by email."""
    with transaction.atomic():
        PersonEvent.note(PersonEvent.Type.RECOVERY_RENEWED, person)
        tell_person(person, "codes")
        return renew_recovery(person)


def renew_recovery(person: User) -> list[str]:
    """Ten new recovery codes in place of those before."""
    RecoveryDevice.objects.filter(user=person).delete()
    return RecoveryDevice(user=person, name="Recovery codes").renew()


def remove(person: User, reason: str = "") -> bool:
    """Take the second factor from a person, and end the sessions that it opened; False where there was none."""
    with transaction.atomic():
        confirmed = TOTPDevice.objects.filter(user=person, confirmed=True).exists()
        TOTPDevice.objects.filter(user=person).delete()
        RecoveryDevice.objects.filter(user=person).delete()
        if confirmed:
            PersonEvent.note(PersonEvent.Type.FACTOR_REMOVED, person, reason=reason)
            tell_person(person, "removed")
            person.end_sessions()
    return confirmed


def tell_person(person: User, what: str) -> None:
    """Who did not do this has to know that somebody did. `what` is "added", "removed" or "codes"."""
    values = read("default", person.pk) or {}
    tell(KINDS["second_factor_changed"], values, enabled=EmailKindSwitch.enabled_keys(), extra={"what": what})


def shown(device: TOTPDevice) -> dict[str, str]:
    """The device's key as a picture to scan, and as text for who can't; for its owner alone."""
    code = segno.make(device.config_url, error="m")
    key = parse_qs(urlsplit(device.config_url).query)["secret"][0]
    spaced = " ".join(key[start : start + 4] for start in range(0, len(key), 4))
    picture = code.svg_inline(scale=5, border=3, dark="#000", light="#fff", svgclass="qr", lineclass=None)
    return {"picture": picture, "key": spaced}


def is_here(request: HttpRequest, url: str) -> bool:
    return bool(url_has_allowed_host_and_scheme(url, {request.get_host()}, require_https=request.is_secure()))
