"""The log's tables: one EmailLog a message, with its recipients, attachments and timeline; and what lets it leave."""

from emails.models.attachment import EmailAttachment
from emails.models.daycount import DayCount, EmailReport
from emails.models.event import EmailEvent
from emails.models.lane import Health, Lane
from emails.models.log import EmailLog
from emails.models.pause import Pause
from emails.models.permit import Permit
from emails.models.recipient import Delivery, EmailRecipient
from emails.models.retention import LegalHold, Tombstone
from emails.models.state import State
from emails.models.status import NEEDS_ATTENTION
from emails.models.suppression import Suppression
from emails.models.switch import EmailKindSwitch
from emails.models.worker import Worker

__all__ = [
    "NEEDS_ATTENTION",
    "DayCount",
    "Delivery",
    "EmailAttachment",
    "EmailEvent",
    "EmailKindSwitch",
    "EmailLog",
    "EmailRecipient",
    "EmailReport",
    "Health",
    "Lane",
    "LegalHold",
    "Pause",
    "Permit",
    "State",
    "Suppression",
    "Tombstone",
    "Worker",
]
