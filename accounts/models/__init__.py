from accounts.models.batch import Batch
from accounts.models.event import PersonEvent
from accounts.models.recovery import RecoveryDevice
from accounts.models.user import NO_PASSWORD, LastSuperuser, PersonManager, PersonQuerySet, User, languages

__all__ = [
    "NO_PASSWORD",
    "Batch",
    "LastSuperuser",
    "PersonEvent",
    "PersonManager",
    "PersonQuerySet",
    "RecoveryDevice",
    "User",
    "languages",
]
