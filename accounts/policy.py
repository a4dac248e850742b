"""Who may do what to whom: the one place that forms, actions, imports, exports and views ask.

Nobody touches a person who has permissions that they lack themselves, nobody grants what they lack, only a superuser
touches or makes a superuser, and nobody changes their own access. A verb needs a Django permission besides.
"""

import logging
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from accounts.models import PersonEvent, User
from emails.models import LegalHold

logger = logging.getLogger(__name__)

# What each verb needs beside the right to touch the person at all.
NEEDS = {
    "change": "accounts.change_user",
    "disable": "accounts.change_user",
    "enable": "accounts.change_user",
    "unlock": "accounts.change_user",
    "sign_out": "accounts.change_user",
    "invite": "accounts.invite_user",
    "withdraw": "accounts.invite_user",
    "reset_password": "accounts.invite_user",
    "reset_factor": "accounts.reset_second_factor",
    "delete": "accounts.delete_user",
    "anonymise": "accounts.anonymise_user",
    "export": "accounts.export_user",
    "write_again": "emails.resend_emaillog",
}
# What nobody does to themselves, so that a superuser who acts is always left. One's own second factor is taken away
# where it is proved first: /accounts/second-factor/setup/.
NOT_ONESELF = ("disable", "delete", "anonymise", "reset_factor")
HELD_FROM = ("anonymise", "delete")  # What nobody does to who is under a legal hold.
ACCESS = ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")
# Kept in English in the trail, and translated where it is read.
LACKS_PERMISSION = gettext_noop("You do not have the permission for this.")
SUPERUSER = gettext_noop("Only a superuser may do this to a superuser.")
STRONGER = gettext_noop("This person has permissions that you lack.")
ONESELF = gettext_noop("Nobody does this to their own account: ask another member of staff.")
HELD = gettext_noop("What is kept about this person is under a legal hold.")
GONE = gettext_noop("This person is anonymised, which can't be undone.")


def powers(actor: Any) -> QuerySet[Permission]:
    """What the actor may do, and so may grant. Nothing where the account is disabled."""
    if not actor.is_active:
        return Permission.objects.none()
    if actor.is_superuser:
        return Permission.objects.all()
    return Permission.objects.filter(Q(user=actor) | Q(group__user=actor)).distinct()


def touchable(actor: Any, people: QuerySet[User]) -> QuerySet[User]:
    """Those of `people` who have no permission that the actor lacks, whether or not their account is active."""
    if not actor.is_active:
        return people.none()
    if actor.is_superuser:
        return people
    lacking = Permission.objects.exclude(pk__in=powers(actor))
    direct = User.user_permissions.through.objects.filter(user=OuterRef("pk"), permission__in=lacking)
    grouped = User.groups.through.objects.filter(user=OuterRef("pk"), group__permissions__in=lacking)
    return people.exclude(is_superuser=True).exclude(Exists(direct)).exclude(Exists(grouped))


def refusal(actor: Any, verb: str, person: User) -> str:
    """Why the actor may not do this to the person, in English, to be translated; "" where it is allowed."""
    if not actor.has_perm(NEEDS[verb]):
        return LACKS_PERMISSION
    if verb in NOT_ONESELF and actor.pk == person.pk:
        return ONESELF
    if not actor.is_superuser and person.is_superuser:
        return SUPERUSER
    if not touchable(actor, User.objects.filter(pk=person.pk)).exists():
        return STRONGER
    if person.anonymised_at is not None and verb not in {"delete", "export"}:
        return GONE
    if verb in HELD_FROM and LegalHold.objects.filter(user=person.pk, ended_at=None).exists():
        return HELD
    return ""


def permitted(actor: Any, verb: str, people: QuerySet[User]) -> QuerySet[User]:
    """Those of `people` to whom the actor may do this."""
    if not actor.has_perm(NEEDS[verb]):
        return people.none()
    allowed = touchable(actor, people)
    if verb in NOT_ONESELF:
        allowed = allowed.exclude(pk=actor.pk)
    if verb in HELD_FROM:
        allowed = allowed.exclude(pk__in=LegalHold.people())
    return allowed if verb in {"delete", "export"} else allowed.filter(anonymised_at=None)


def locked_fields(actor: Any, person: User | None) -> dict[str, str]:
    """The fields of a person's form that this actor can't change, each with why; of a new person where None."""
    locked = {}
    if not actor.is_superuser:
        locked["is_superuser"] = _("Only a superuser makes a superuser.")
    if person is not None and person.pk == actor.pk:
        locked |= dict.fromkeys(ACCESS, _("Nobody changes their own access: ask another member of staff."))
    return locked


def grantable_groups(actor: Any) -> QuerySet[Group]:
    """Groups all of whose permissions the actor has."""
    if actor.is_superuser and actor.is_active:
        return Group.objects.all()
    lacking = Permission.objects.exclude(pk__in=powers(actor))
    beyond = Group.permissions.through.objects.filter(group=OuterRef("pk"), permission__in=lacking)
    return Group.objects.exclude(Exists(beyond)) if actor.is_active else Group.objects.none()


def editable_groups(actor: Any) -> QuerySet[Group]:
    """Groups whose change takes nothing from, and gives nothing to, anybody whom the actor may not touch."""
    if actor.is_superuser and actor.is_active:
        return Group.objects.all()
    within = User.groups.through.objects.filter(group=OuterRef("pk"))
    out_of_reach = User.objects.exclude(pk__in=touchable(actor, User.objects.all()).values("pk"))
    return grantable_groups(actor).exclude(
        Exists(within.filter(Q(user=actor.pk) | Q(user__in=out_of_reach.values("pk"))))
    )


def deny(actor: Any, verb: str, person: User | None, why: str, **detail: Any) -> None:
    """Leave a trace of what was refused: beside the person, and a line for whoever watches the logs."""
    logger.warning("policy.denied verb=%s actor=%s person=%s", verb, actor.pk, person and person.pk)
    PersonEvent.note(PersonEvent.Type.DENIED, person, reason=why, verb=verb, **detail)
