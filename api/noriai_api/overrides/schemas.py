"""Documents of overrides and alerts."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from noriai_api.schemas import Id, Instant, Said, Strict, Words

Action = Literal[
    "assign", "swap", "pin", "unpin", "block", "unblock", "break_down", "resume", "delay", "end_shift", "charge"
]  # fmt: skip

NEEDS: dict[str, tuple[str, ...]] = {
    "assign": ("booking", "vehicle"), "swap": ("booking", "other"), "pin": ("booking",), "unpin": ("booking",),
    "block": ("vehicle",), "unblock": ("vehicle",), "break_down": ("vehicle",), "resume": ("vehicle",),
    "delay": ("vehicle", "until"), "end_shift": ("vehicle", "until"), "charge": ("vehicle", "left_m"),
}  # fmt: skip


def _shape(action: str) -> Any:
    """What an action needs, as JSON Schema has it."""
    needs = NEEDS[action]
    fields = {"action": {"const": action}} | {
        name: {"type": "integer" if name == "left_m" else "string"} for name in needs
    }
    return {"required": list(needs), "properties": fields}


class OverrideIn(Strict):
    """What to do. Without `commit` it is only tried: the answer says whom it touches, and nothing changes."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [_shape(action) for action in NEEDS]})

    action: Action
    vehicle: Id | None = None
    booking: Id | None = None
    other: Id | None = Field(None, description="the other booking of a swap")
    until: Instant | None = Field(None, description="delay: free no earlier; end_shift: the shift's new end")
    left_m: Annotated[int, Field(ge=0, le=10_000_000)] | None = Field(
        None, description="charge: m of road left in the vehicle's battery"
    )
    may_be_late: bool = Field(False, description="assign: widen the promise to this rider if it must be")
    commit: bool = False
    expect: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="digest of the trial: where the outcome is another by now, nothing is done"
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for name in NEEDS[self.action]:
            if getattr(self, name) is None:
                raise ValueError(f"{self.action} needs {name}")
        return self


class EffectOut(Said):
    """What it means for a booking: its vehicle and planned times before and after."""

    booking: str
    vehicle: tuple[str, str | None]
    pickup: tuple[str | None, str | None]
    dropoff: tuple[str | None, str | None]
    promise_kept: bool
    state: str


class OverrideOut(Said):
    """An override, tried or done. `override` is its id once done, for undoing it."""

    override: str | None
    action: Action
    committed: bool
    digest: str
    effects: list[EffectOut]


class UndoneOut(Said):
    """What could be put back, and what could not."""

    override: str
    restored: list[str]
    not_restored: list[str]


class AlertOut(Said):
    """Something a person should look at. `suggested` names an override that may help."""

    kind: Literal["late", "stale_position", "not_reported", "unassigned", "dropped", "no_show"]
    vehicle: str | None
    booking: str | None
    text: Words
    minutes: int | None
    suggested: str | None


class AlertsOut(Said):
    alerts: list[AlertOut]
