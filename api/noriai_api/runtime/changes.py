"""What a step of a region changed, as the log has it: events, and the records they left behind.

State is the fold of these bodies: the last record of each vehicle and request counts. So a rebuild needs no decision
to come out again as it did.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from noriai_engine.model.events import Event
from noriai_engine.model.plan import Leg
from noriai_engine.model.requests import Booking, Refusal

FIRST_HASH = bytes(32)


@dataclass(frozen=True, slots=True)
class DayChange:
    """One row of the log before it has its number: what changed on one service day."""

    day: str
    time: int
    events: tuple[Event, ...] = ()
    vehicles: dict[str, Any] = field(default_factory=dict)
    """Vehicle id -> {"plan": record, "motion": record}, and "vehicle" for one that joins."""
    requests: dict[str, Any] = field(default_factory=dict)
    legs: tuple[Leg, ...] = ()
    opened: dict[str, Any] | None = None
    """Fleet and network with which the day was opened."""
    answered: tuple[Booking | Refusal, ...] = ()
    """What became of those who waited for a batch. Records and events say it too: it is not in the log by itself."""

    def body(self) -> str:
        """Canonical JSON."""
        out: dict[str, Any] = {
            "events": [[getattr(e, name) for name in EVENT_FIELDS] for e in self.events],
            "vehicles": self.vehicles, "requests": self.requests,
            "legs": [asdict(leg) | {"states": len(leg.states)} for leg in self.legs],
        }  # fmt: skip
        if self.opened is not None:
            out["opened"] = self.opened
        return json.dumps(out, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


EVENT_FIELDS = ("sequence", "time", "kind", "request_id", "vehicle_id", "operator_id", "state", "offset_ms", "reason",
                "details")  # fmt: skip


def chained(previous: bytes, body: str) -> bytes:
    """Hash of a log row: of the row before it and its own body."""
    return hashlib.sha256(previous + body.encode()).digest()


def events_of(bodies: Iterable[dict[str, Any]]) -> list[Event]:
    """The events of log rows, in order."""
    return [Event(*row) for body in bodies for row in body["events"]]


@dataclass
class DayState:
    """A service day folded from its log rows."""

    opened: dict[str, Any] = field(default_factory=dict)
    joined: list[dict[str, Any]] = field(default_factory=list)
    vehicles: dict[str, Any] = field(default_factory=dict)
    requests: dict[str, Any] = field(default_factory=dict)
    events: int = 0
    last_time: int = 0

    def fold(self, body: dict[str, Any], time: int) -> None:
        """Take a row in."""
        self.opened = body.get("opened", self.opened)
        for name, record in body["vehicles"].items():
            if "vehicle" in record:
                self.joined.append(record["vehicle"])
            self.vehicles[name] = {"plan": record["plan"], "motion": record["motion"]}
        self.requests.update(sorted(body["requests"].items(), key=lambda item: item[1]["row"]))
        self.events += len(body["events"])
        self.last_time = max(self.last_time, time)


def state_hash(days: dict[str, dict[str, Any]]) -> str:
    """SHA-256 over the records of all open days."""
    text = json.dumps(days, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
