"""A day of the four towns: starting their nodes, letting them agree, and asking for every wish of the day.

The day is served twice from the same wishes and vehicles: each town with its own fleet alone, and together.
"""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from noriai_api.borders.provider import dataset_of as rides_of
from noriai_api.exchange.keys import new_key, public_key
from noriai_api.exchange.participants import membership
from noriai_api.four_nodes import towns
from noriai_api.four_nodes.towns import TOWNS, Wish
from noriai_api.sharing.demand import dataset_of as demand_of
from noriai_engine.model import ServiceDay
from noriai_engine.model.errors import NoriaiError
from noriai_engine.regions import Region, open_region, write_region

AUTHORITY = "urn:noriai:authority:ibaraki-life-area"
STEP_S = 120
THEN = " then "
"""Between the fleets of a ride of two legs."""
YEAR_S = 365 * 86_400
TERMS = {
    "demand": {"purposes": ["service-planning"], "lasts": "P1D"}, "rides": {"purposes": ["dispatch"], "lasts": "P1D"}
}  # fmt: skip
TEXTS = {
    "demand": (
        {"ja": "移動の需要", "en": "Demand"},
        {"ja": "1 kmメッシュ・15分単位の需要", "en": "Wishes by 1 km mesh and quarter of an hour"},
    ),
    "rides": (
        {"ja": "相互乗入れ", "en": "Rides"},
        {"ja": "自町の車両による隣町の利用者の輸送", "en": "Our vehicles for your riders"},
    ),
}

Tell = Callable[[str], None]


class DemoError(NoriaiError, RuntimeError):
    """One of the four nodes did not do what it should: its name and what it said."""


@dataclass
class Child:
    """A node's process."""

    town: towns.Town
    process: "subprocess.Popen[str]"
    http: httpx.Client = field(default_factory=httpx.Client)
    address: str = ""
    keys: dict[str, str] = field(default_factory=dict)

    def ready(self) -> None:
        """Wait for its address. Raises DemoError."""
        said = json.loads(self._line())
        self.address, self.keys = said["address"], said["keys"]
        self.http = httpx.Client(base_url=self.address, timeout=60)

    def until(self, ms: int) -> None:
        """Let its clock reach an instant."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{ms}\n")
        self.process.stdin.flush()
        self._line()

    def ask(self, role: str, method: str, path: str, body: Any = None) -> Any:
        """Raises DemoError for an answer that is no."""
        answer = self.http.request(method, path, json=body, headers={"Authorization": f"Bearer {self.keys[role]}"})
        if not answer.is_success:
            raise DemoError(f"{self.town.name}: {method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json() if answer.content else None

    def manage(self, method: str, path: str, body: Any = None) -> Any:
        return self.ask("administrator", method, f"/v1/exchange/{path}", body)

    def close(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.http.close()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise DemoError(f"{self.town.name} has stopped")
        return line


@dataclass
class Served:
    """What came of a day's wishes."""

    outcomes: list[str]
    """Of each wish: the participant that served it, two where the rider changed between them, or "unmet"."""
    agreements: list[dict[str, Any]] = field(default_factory=list)
    logs: list[dict[str, Any]] = field(default_factory=list)
    received: dict[str, Counter[str]] = field(default_factory=dict)
    fields: set[str] = field(default_factory=set)
    """Names of all fields in what was received."""
    settlements: list[dict[str, Any]] = field(default_factory=list)
    incidents: int = 0
    memory_mb: int = 0

    @property
    def unmet(self) -> int:
        return self.outcomes.count("unmet")


def make_world(folder: Path, seed: int) -> Region:
    """The life area's network, in `folder`."""
    bundle = folder / "life-area"
    if not (bundle / "region.toml").is_file():
        write_region(towns.life_area(seed), bundle)
    return open_region(bundle)


def serve_day(
    folder: Path, region: Region, wishes: list[Wish], vehicles: int, seed: int, tell: Tell, *, together: bool
) -> Served:
    """Serve a day with four nodes. Raises DemoError."""
    day = ServiceDay.on(towns.DAY, region.timezone)
    start = int(day.start) + (towns.FIRST_HOUR - 1) * 3_600_000
    authority = new_key(bytes([seed % 256]) * 32, 0, start // 1000 + 10 * YEAR_S)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "authorities.json").write_text(json.dumps({AUTHORITY: [authority.public.as_json()]}), encoding="utf-8")
    with ExitStack() as stack:
        tell("starting four nodes, each with its own process, store and keys ...")
        children = [_start(folder, region, number, vehicles, seed, start) for number in range(len(TOWNS))]
        for child in children:
            stack.callback(child.close)
        pool = stack.enter_context(ThreadPoolExecutor(len(children)))
        list(pool.map(Child.ready, children))
        if together:
            tell("letting them meet and agree ...")
            _introduce(children, authority, start // 1000)
            _agree(children, region)
        outcomes = []
        step = start
        for number, wish in enumerate(wishes):
            due = int(day.start) + wish.asked_s * 1000
            while step + STEP_S * 1000 <= due:
                step += STEP_S * 1000
                list(pool.map(lambda child, ms=step: child.until(ms), children))
            outcomes.append(_asked(children[wish.town], region, wish, day, together=together))
            if number % 50 == 49:
                tell(f"  {number + 1} of {len(wishes)} wishes")
        list(pool.map(lambda child: child.until(int(day.start) + (towns.LAST_HOUR + 3) * 3_600_000), children))
        served = Served(outcomes, memory_mb=sum(_memory_mb(child) for child in children))
        if together:
            time.sleep(3)  # what was dropped off just now is on its way to the others
            _collect(children, served)
        return served


def _start(folder: Path, region: Region, number: int, vehicles: int, seed: int, start: int) -> Child:
    town = TOWNS[number]
    config = {
        "town": number, "data": str((folder / town.name).absolute()), "region": str(region.folder), "seed": seed,
        "authorities": str((folder / "authorities.json").absolute()), "start_ms": start, "vehicles": vehicles,
    }  # fmt: skip
    file = folder / f"{town.name}.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    program = [sys.executable, "-m", "noriai_api.four_nodes.node", str(file)]
    errors = (folder / f"{town.name}.log").open("w", encoding="utf-8")
    return Child(
        town, subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
    )


def _introduce(children: list[Child], authority: Any, now_s: int) -> None:
    """Memberships, signed by the life area's authority, for everybody."""
    for child in children:
        about = child.manage("GET", "self")
        keys = [public_key(key) for key in about["keys"]]
        text = membership(
            authority, AUTHORITY, about["participant"], about["address"], keys, now_s, now_s + YEAR_S,
            name=child.town.title, corporate_number=child.town.corporate_number,
        )  # fmt: skip
        for other in children:
            if other is not child:
                other.manage("POST", "participants", {"membership": text})


def _agree(children: list[Child], region: Region) -> None:
    """Each offers its demand and its vehicles; each asks all others for both, and listens to their demand. Riders may
    change at the borders."""
    for child in children:
        for name, (lon, lat) in towns.transfer_points(region).items():
            child.manage("PUT", f"transfer-points/{name}", {"place": {"lon": lon, "lat": lat, "name": name}})
        for kind, dataset in (("demand", demand_of(child.town.name)), ("rides", rides_of(child.town.name))):
            title, description = TEXTS[kind]
            about = {
                "title": title, "description": description, "owner": child.town.participant, "kind": "operations",
                "schema_id": f"urn:noriai:schema:{kind}", "schema_version": "1.0",
                "area": [f"jis:{child.town.code[:5]}"], "coverage": "every wish that reached this node",
                "formats": ["HttpData-PULL", "noriai:Stream-PULL"], "synthetic": True,
            }  # fmt: skip
            child.manage("PUT", f"datasets/{dataset}", {"about": about, "terms": TERMS[kind]})
    for child in children:
        for other in children:
            if other is not child:
                for dataset, purpose in (
                    (demand_of(other.town.name), "service-planning"), (rides_of(other.town.name), "dispatch"),
                ):  # fmt: skip
                    body = {"participant": other.town.participant, "dataset": dataset, "purpose": purpose}
                    child.manage("POST", "negotiations", body)
    for child in children:
        for agreement in _finalized(child, 2 * (len(children) - 1)):
            if agreement["dataset"].endswith(":demand"):
                body = {"agreement": agreement["agreement"], "way": "noriai:Stream-PULL", "purpose": "service-planning"}
                child.manage("POST", "transfers", body)


def _finalized(child: Child, count: int) -> list[dict[str, Any]]:
    """The agreements that a node asked for, once all are in force. Raises DemoError."""
    for _ in range(600):
        found = [a for a in child.manage("GET", "agreements")["agreements"] if a["role"] == "consumer"]
        if len(found) == count:
            return found
        time.sleep(0.05)
    raise DemoError(f"{child.town.name}: {len(found)} of {count} agreements came about")


def _asked(child: Child, region: Region, wish: Wish, day: ServiceDay, *, together: bool) -> str:
    """Ask a town's node for a ride, and take the first offer: who serves it, or "unmet"."""
    earliest = datetime.fromtimestamp((int(day.start) + wish.earliest_s * 1000) / 1000, UTC)
    places = [{"lon": lon, "lat": lat} for lon, lat in (wish.origin, wish.destination)]
    body = {"origin": places[0], "destination": places[1], "earliest_pickup": earliest.isoformat()}
    if not together:
        quote = child.ask("partner", "POST", f"/v1/regions/{region.name}/quotes", body)
        if not quote["offers"]:
            return "unmet"
        headers = {"Authorization": f"Bearer {child.keys['partner']}", "Idempotency-Key": quote["quote"]}
        taken = child.http.post("/v1/bookings", json={"quote": quote["quote"]}, headers=headers)
        return child.town.participant if taken.status_code == 201 else "unmet"
    ride = child.ask("partner", "POST", "/v1/exchange/rides", {"region": region.name, "wish": body})
    if not ride["offers"]:
        return "unmet"
    booked = child.ask("partner", "POST", f"/v1/exchange/rides/{ride['ride']}/acceptance", {"number": 0})
    if booked["state"] != "booked":
        return "unmet"
    return THEN.join(leg["participant"] for leg in booked["legs"])


def _collect(children: list[Child], served: Served) -> None:
    """What was agreed, shared, received and owed, from each node's own words."""
    for child in children:
        for agreement in child.manage("GET", "agreements")["agreements"]:
            named = {"node": child.town.participant, **{k: v for k, v in agreement.items() if k != "terms"}}
            served.agreements.append(named)
            if agreement["dataset"].endswith(":rides"):
                settled = child.manage("GET", f"agreements/{agreement['agreement']}/settlement")
                served.settlements.append({"node": child.town.participant, **settled})
        served.logs.append({"node": child.town.participant, **_log_of(child)})
        served.incidents += len(child.manage("GET", "incidents")["incidents"])
        for other in children:
            if other is not child:
                records = child.manage("GET", f"datasets/{demand_of(other.town.name)}/received")["records"]
                counted = served.received.setdefault(child.town.participant, Counter())
                counted[other.town.participant] += len(records)
                served.fields |= {name for record in records for name in record}


def _log_of(child: Child) -> dict[str, Any]:
    """How long a node's log is, and whether its chain is whole."""
    after: int | None = -1
    whole, entries = True, 0
    while after is not None:
        page = child.manage("GET", f"usage?after={after}")
        whole, entries, after = whole and page["whole"], entries + len(page["entries"]), page["next"]
    return {"whole": whole, "entries": entries}


def _memory_mb(child: Child) -> int:
    """Resident memory of a node's process; 0 where the system does not tell."""
    try:
        status = Path(f"/proc/{child.process.pid}/status").read_text(encoding="utf-8")
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) // 1024
    except (OSError, StopIteration, ValueError):
        return 0
