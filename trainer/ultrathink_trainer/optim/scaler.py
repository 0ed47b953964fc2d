"""The factor that keeps fp16 gradients from vanishing: down after a step that overflowed, up after many that did not.

Ranks agree on which steps overflowed by the control word, so all of them have the same factor at all times.
"""

from typing import Any

FIRST_SCALE = 2.0**16
LAST_SCALE = 1.0
"""Below it nothing overflows because of the factor."""
CLEAN_STEPS = 2000
"""Steps without an overflow after which a larger factor is tried; torch's own choice."""


class Scaler:
    """For other precisions than fp16 the factor stays 1."""

    def __init__(self, precision: str) -> None:
        self.moves = precision == "fp16"
        self.scale = FIRST_SCALE if self.moves else 1.0
        self.clean = 0

    def overflowed(self) -> bool:
        """Go down; False where there is nothing to go down from, so that the scale was not to blame."""
        if not self.moves or self.scale <= LAST_SCALE:
            return False
        self.scale, self.clean = max(LAST_SCALE, self.scale / 2), 0
        return True

    def succeeded(self) -> None:
        if self.moves:
            self.clean += 1
            if self.clean == CLEAN_STEPS:
                self.scale, self.clean = self.scale * 2, 0

    def dump(self) -> dict[str, Any]:
        """For the manifest; empty where there is nothing to keep."""
        return {"scale": self.scale, "clean": self.clean} if self.moves else {}

    def load(self, state: dict[str, Any]) -> None:
        if self.moves and state:
            self.scale, self.clean = state["scale"], state["clean"]
