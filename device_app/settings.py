"""What the user set that shapes the lists; kept in the database, beside the events."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Settings:
    """How the lists are made.

    Attributes:
        paused_after: id of the last event that the lists rest on while learning is paused; None
            while they rest on all.
        diversity: 0 is the plain ranking, 1 the most different items; see `device_app.diversity`.
    """

    paused_after: int | None = None
    diversity: float = 0.0

    @property
    def is_paused(self) -> bool:
        return self.paused_after is not None

    @classmethod
    def parse(cls, stored: Mapping[str, str]) -> Self:
        """From JSON by name; what is missing or makes no sense has its default."""
        after, diversity = (_value(stored.get(name)) for name in ("paused_after", "diversity"))
        is_id = type(after) is int and after >= 0
        is_share = type(diversity) in (int, float) and 0 <= diversity <= 1
        return cls(after if is_id else None, float(diversity) if is_share else 0.0)

    def dump(self) -> dict[str, str]:
        """As `parse` takes them."""
        return {name: json.dumps(value) for name, value in asdict(self).items()}


def _value(text: str | None) -> Any:
    try:
        return json.loads(text or "null")
    except ValueError:
        return None
