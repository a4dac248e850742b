"""How many examples a property is tried with: some at every `make test`, many in CI (THOROUGH=1)."""

import os
from typing import TypeVar

T = TypeVar("T")


def examples(usual: T, thorough: T) -> T:
    return thorough if os.environ.get("THOROUGH") else usual
