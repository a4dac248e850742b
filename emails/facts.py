from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the log keeps about a message beside its text; set as `message.facts` by whoever writes one of our kinds."""

    kind: str = ""
    user_id: Any = None  # The person concerned; None once deleted.
    user_label: str = ""
    changes: Mapping[str, list[Any]] = field(default_factory=dict)  # {field: [old, new]}, secrets masked.
    language: str = ""
    template: str = ""  # Which version of its templates it was written with; set where it is rendered.
    # Of the secret that a send will mint for the placeholder, which depends on when the row was written.
    secret_digest: str = ""
    written_at: datetime | None = None
