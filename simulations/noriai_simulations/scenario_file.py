"""scenario.toml as a typed model: every field checked, every error with its place. Minutes and clock times here,
milliseconds in the engine."""

import tomllib
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from noriai_engine.model.clock import parse_time_of_day
from noriai_engine.model.errors import InputError, MissingDataError
from noriai_engine.model.units import DAY_MS
from noriai_engine.rules.service_file import FileTable, LonLat, Minutes, ServiceTable, ServiceTime, Share

if TYPE_CHECKING:
    from noriai_engine.plans.aims import Aims


def day_plan_ms(text: str) -> int:
    """Day ms of `HH:MM`, or of `eve HH:MM` on the day before. Raises InputError."""
    before = text.strip().startswith("eve ")
    return parse_time_of_day(text.strip().removeprefix("eve ")) - (DAY_MS if before else 0)


def _plan_time(text: str) -> str:
    try:
        day_plan_ms(text)
    except InputError as error:
        raise ValueError(f"{error}; the evening before is eve HH:MM") from error
    return text


class SyntheticTable(FileTable):
    """Demand made up from where people live and where they go; deterministic for the scenario's seed."""

    requests: Annotated[int, Field(ge=1, le=1_000_000)]
    profile: Literal["everyday", "commuter", "flat"] = "everyday"
    typical_km: Annotated[float, Field(gt=0, le=200)] = 3.0
    shortest_km: Annotated[float, Field(ge=0, le=50)] = 0.8
    prebooked: Share = 0.35
    wished_arrival: Share = 0.3
    wheelchair: Share = 0.03
    door_only: Share = 0.0
    companion: Share = 0.15
    luggage: Share = 0.1


class DemandTable(FileTable):
    """Either a file of trips or synthetic demand."""

    file: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    times: Literal["clock", "seconds"] = "clock"
    limit: Annotated[int, Field(ge=1)] | None = None
    cancelled: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    no_show: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    synthetic: SyntheticTable | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.file is None) == (self.synthetic is None):
            raise ValueError("give either file = ... or a table [demand.synthetic]")
        return self


class OperatorTable(FileTable):
    id: str
    name: str
    kind: str = "taxi"


class LayoutTable(FileTable):
    seats: Annotated[int, Field(ge=0, le=200)] = 0
    wheelchairs: Annotated[int, Field(ge=0, le=50)] = 0
    luggage: Annotated[int, Field(ge=0, le=200)] = 0


class BreakTable(FileTable):
    between: tuple[ServiceTime, ServiceTime]
    minutes: Annotated[float, Field(gt=0, le=600)]


class BatteryTable(FileTable):
    range_km: Annotated[float, Field(gt=0, le=10_000)]
    reserve_km: Annotated[float, Field(ge=0, le=10_000)] = 0
    charge_km_per_min: Annotated[float, Field(ge=0, le=100)] = 0
    start: Share = 1.0


class FleetTable(FileTable):
    """A group of like vehicles of one operator, or a file of vehicles."""

    file: str | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    operator: str
    kind: str = "taxi"
    count: Annotated[int, Field(ge=1, le=100_000)] = 1
    layouts: Annotated[tuple[LayoutTable, ...], Field(min_length=1)] = (LayoutTable(seats=4, luggage=2),)
    shift: tuple[ServiceTime, ServiceTime] = ("06:00", "22:00")
    stagger_min: Minutes = 0
    breaks: tuple[BreakTable, ...] = ()
    depot: LonLat | Literal["spread"] = "spread"
    autonomous: bool = False
    battery: BatteryTable | None = None


class DispatchTable(FileTable):
    max_offers: Annotated[int, Field(ge=1, le=10)] = 3
    nearest_step_min: Annotated[float, Field(gt=0, le=120)] = 5
    nearest_reach_min: Minutes = 720
    improve_every_min: Minutes = 0
    improve_iterations: Annotated[int, Field(ge=1, le=10_000_000)] = 500
    batch_every_s: Annotated[float, Field(ge=0, le=3600)] = 0
    answer: Literal["at_once", "in_batch"] = "at_once"
    freeze_min: Minutes = 0
    rider_weight: Annotated[float, Field(ge=0, le=10)] = 0
    rebalance_every_s: Annotated[float, Field(ge=0, le=3600)] = 0
    rebalance_drive_min: Minutes = 10

    @model_validator(mode="after")
    def _batches_where_needed(self) -> Self:
        needs = {"rebalance_every_s": self.rebalance_every_s > 0, "answer": self.answer == "in_batch"}
        for name, given in needs.items():
            if given and self.batch_every_s == 0:
                raise ValueError(f"{name} = {getattr(self, name)} works in batches: give batch_every_s as well")
        return self


class DayPlanTable(FileTable):
    """Requests placed by `at` are planned as a whole then: a service time, or `eve HH:MM` for the evening before.
    `aims`: what the plan is for, in order; or `rider_weight`: what a minute that a rider gives up weighs in driving."""

    at: Annotated[str, AfterValidator(_plan_time)] = "eve 20:00"
    iterations: Annotated[int, Field(ge=1, le=100_000_000)] = 10_000
    aims: tuple[Literal["unserved", "inconvenience", "cost"], ...] = ("unserved", "cost")
    rider_weight: float | None = None

    @model_validator(mode="after")
    def _aims_fit(self) -> Self:
        try:
            self.what_for()
        except InputError as error:
            raise ValueError(str(error)) from error
        return self

    def what_for(self) -> "Aims":
        """As the optimiser has it. Raises InputError."""
        from noriai_engine.plans.aims import Aims

        return Aims(self.aims, self.rider_weight)


class TrafficTable(FileTable):
    """Other travel times from one time to another, everywhere or in an area: a rush hour, snow, a flood."""

    between: tuple[ServiceTime, ServiceTime]
    slower: Annotated[float, Field(ge=0.1, le=20)] = 1.0
    closed: bool = False
    area: str | None = None
    cause: Annotated[str, Field(pattern=r"^[a-z][a-z_]*$", max_length=40)] = "traffic"

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.closed and self.area is None:
            raise ValueError("closed = true closes the streets of an area: name its GeoJSON file")
        if not self.closed and self.slower == 1.0:
            raise ValueError("give slower = ... (1.5: half as long again) or closed = true")
        if parse_time_of_day(self.between[0]) >= parse_time_of_day(self.between[1]):
            raise ValueError("between ends before it begins; past midnight write e.g. 25:00")
        return self


class LifeTable(FileTable):
    """What happens that nobody planned."""

    held_up: Annotated[float, Field(ge=0, le=5)] = 0.0
    held_up_every_min: Annotated[float, Field(gt=0, le=120)] = 4
    fail: Share = 0.0
    driver_absent: Share = 0.0
    driver_late: Share = 0.0
    driver_late_min: Minutes = 30
    traffic: tuple[TrafficTable, ...] = ()

    @model_validator(mode="after")
    def _one_mishap_a_vehicle(self) -> Self:
        if self.fail + self.driver_absent + self.driver_late > 1:
            raise ValueError("fail, driver_absent and driver_late are shares of all vehicles: together 1 at most")
        return self


class ScenarioFile(FileTable):
    """A whole scenario.toml."""

    format: Literal[1] = 1
    name: str
    title: str = ""
    seed: Annotated[int, Field(ge=0)] = 1
    region: str
    service_date: date
    service: ServiceTable = ServiceTable()
    demand: DemandTable
    operators: Annotated[tuple[OperatorTable, ...], Field(min_length=1)]
    fleet: Annotated[tuple[FleetTable, ...], Field(min_length=1)]
    dispatch: DispatchTable = DispatchTable()
    day_plan: DayPlanTable | None = None
    life: LifeTable = LifeTable()

    @model_validator(mode="after")
    def _operators_known(self) -> Self:
        known = [operator.id for operator in self.operators]
        if len(set(known)) != len(known):
            raise ValueError("two operators have the same id")
        for number, group in enumerate(self.fleet, start=1):
            if group.operator not in known:
                raise ValueError(f"fleet {number}: operator {group.operator!r} is not among {', '.join(known)}")
        return self


def load_scenario_file(path: Path) -> ScenarioFile:
    """Read and check a scenario. Raises InputError with every fault, each with its field and a remedy."""
    if not path.is_file():
        raise MissingDataError("there is no such scenario", where=path, remedy="noriai scenario init writes one")
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"is not well-formed TOML: {error}", where=path, remedy="correct that line") from error
    try:
        return ScenarioFile.model_validate(data)
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(part) for part in fault['loc']) or 'scenario'}: {fault['msg']}" for fault in error.errors()
        ]
        raise InputError(
            "\n  ".join(["is not a valid scenario:", *faults]),
            where=path,
            remedy="docs/scenario.md lists every field with its unit and range",
        ) from error
