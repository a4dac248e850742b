from accounts.models.batch import Batch, BatchSlice
from accounts.models.event import PersonEvent
from accounts.models.recovery import RecoveryDevice
from accounts.models.user import NO_PASSWORD, LastSuperuser, PersonManager, PersonQuerySet, User, languages

__all__ = [
    "NO_PASSWORD",
    "Batch",
    "BatchSlice",
    "LastSuperuser",
    "PersonEvent",
    "PersonManager",
    "PersonQuerySet",
    "RecoveryDevice",
    "User",
    "languages",
]
