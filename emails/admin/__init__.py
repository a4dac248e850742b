from emails.admin.control import LaneAdmin
from emails.admin.kinds import EmailKindSwitchAdmin
from emails.admin.log import EmailLogAdmin

__all__ = ["EmailKindSwitchAdmin", "EmailLogAdmin", "LaneAdmin"]
