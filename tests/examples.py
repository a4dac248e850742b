"""How many examples a property is tried with: some at every `make test`, many in CI (THOROUGH=1)."""

import os


def examples(usual: int, thorough: int) -> int:
    return thorough if os.environ.get("THOROUGH") else usual
