from emails.admin.control import LaneAdmin
from emails.admin.health import HealthAdmin
from emails.admin.holds import LegalHoldAdmin
from emails.admin.kinds import EmailKindSwitchAdmin
from emails.admin.log import EmailLogAdmin
from emails.admin.report import EmailReportAdmin
from emails.admin.suppression import SuppressionAdmin

__all__ = [
    "EmailKindSwitchAdmin",
    "EmailLogAdmin",
    "EmailReportAdmin",
    "HealthAdmin",
    "LaneAdmin",
    "LegalHoldAdmin",
    "SuppressionAdmin",
]
