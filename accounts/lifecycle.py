"""What can be done to a person besides editing: each leaves its trace, and one email tells the person where it should.

Whoever calls has asked accounts/policy.py. Each is one transaction.
"""

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_noop

from accounts import factors, links
from accounts.models import Batch, PersonEvent, User
from accounts.throttling import unlock as lift_lock
from emails.cause import suppress_emails
from emails.redaction import ANONYMISED, redact

Type = PersonEvent.Type
INVITED_INSTEAD = gettext_noop("The invitation says it.")  # Why the welcome of who is invited is not sent.


def disable(person: User, reason: str) -> None:
    """No way in any more, and every session ends at once. Raises LastSuperuser."""
    with transaction.atomic():
        person.is_active = False
        person.save(update_fields=["is_active"])
        PersonEvent.note(Type.DISABLED, person, reason=reason)


def enable(person: User, reason: str) -> None:
    with transaction.atomic():
        person.is_active = True
        person.save(update_fields=["is_active"])
        PersonEvent.note(Type.ENABLED, person, reason=reason)


def sign_out(person: User, reason: str) -> None:
    """End all of the person's sessions, and kill the links that were mailed."""
    with transaction.atomic():
        person.end_sessions()
        PersonEvent.note(Type.SIGNED_OUT_EVERYWHERE, person, reason=reason)


def unlock(person: User, reason: str) -> None:
    """Let the person try to sign in again at once."""
    with transaction.atomic():
        lift_lock([person], reason)


def invite(person: User, reason: str = "") -> None:
    """Mail a link with which the person sets a password; an earlier link is dead."""
    links.send("invitation", person, reason)


def withdraw(person: User, reason: str) -> None:
    """Kill the invitation's link. What was not sent yet will be cancelled instead."""
    with transaction.atomic():
        person.invited_at = None
        User._base_manager.filter(pk=person.pk).update(invited_at=None)
        PersonEvent.note(Type.INVITATION_WITHDRAWN, person, reason=reason)


def reset_password(person: User, reason: str = "") -> None:
    """Mail a link with which the person sets a new password, also to who never had one."""
    links.send("password_reset", person, reason)


def reset_factor(person: User, reason: str) -> None:
    factors.remove(person, reason)


def delete(person: User, reason: str) -> None:
    """Raises LastSuperuser."""
    with transaction.atomic():
        PersonEvent.note(Type.DELETED, person, reason=reason)
        person.delete()


def anonymise(person: User, reason: str) -> None:
    """Replace the person's data for good, in every table of ours; what was recorded stays, without them in it.

    No email tells of it: nothing is kept to write to. Raises LastSuperuser.
    """
    nobody, address, names = f"anonymised-{person.pk}", person.email, {person.username, person.email} - {""}
    known_as = {str(person), person.label}
    with transaction.atomic():
        Batch.forget(person.pk, names, nobody)
        factors.remove(person)
        with suppress_emails(ANONYMISED):
            person.groups.clear()
            person.user_permissions.clear()
            person.is_active = person.is_staff = person.is_superuser = False
            person.username, person.first_name, person.last_name, person.email = nobody, "", "", ""
            person.last_login = None
            person.set_unusable_password()
            person.save()
            person.anonymised_at = timezone.now()
            person.save(update_fields=["anonymised_at"])
        person.end_sessions()
        redact(person.pk, nobody, address, known_as)
        PersonEvent.objects.filter(person=person).update(person_label=nobody, detail={})
        PersonEvent.objects.filter(actor=person).update(actor_label=nobody)
        people = ContentType.objects.get_for_model(User)
        LogEntry.objects.filter(content_type=people, object_id=str(person.pk)).update(object_repr=nobody)
        PersonEvent.note(Type.ANONYMISED, person, reason=reason)
