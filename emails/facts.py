from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the log keeps about a message beside its text; set as `message.facts` by whoever writes one of our kinds."""

    kind: str = ""
    user_id: Any = None  # The person concerned; None once deleted.
    user_label: str = ""
    changes: Mapping[str, list[Any]] = field(default_factory=dict)  # {field: [old, new]}, secrets masked.
    language: str = ""
