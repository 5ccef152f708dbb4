"""Tables of a town's own making: all rows or none, every mistake with its row and column."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import openpyxl
import pytest
from serving import Serving, serving, some_settings

CSV = {"Content-Type": "text/csv"}
XLSX = {"Content-Type": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(some_settings(tmp_path_factory.mktemp("town"), moves_itself=False)) as running:
        yield running


def send(town: Serving, what: str, rows: list[list[str]], role: str = "administrator", *, excel: bool = False,
         query: str = "") -> dict[str, Any]:  # fmt: skip
    """The answer to a table."""
    if excel:
        book, out = openpyxl.Workbook(), io.BytesIO()
        for row in rows:
            book.active.append(row)
        book.save(out)
        content, kind = out.getvalue(), XLSX
    else:
        content, kind = "".join(",".join(row) + "\n" for row in rows).encode(), CSV
    headers = {"Authorization": f"Bearer {town.keys[role]}", **kind}
    answer = town.http.post(f"/v1/imports/{what}{query}", content=content, headers=headers)
    assert answer.status_code in (200, 403, 422), answer.text
    return dict(answer.json()) | {"status": answer.status_code}


RIDERS = [
    ["rider", "wheelchairs", "language", "skills", "entitlements.over65", "personal.name", "personal.phone",
     "personal.purpose", "personal.days"],
    ["r-1", "1", "ja", "", "2030-03-31", "鈴木花子", "0765-12-3456", "booking_by_phone", "400"],
    ["r-2", "", "en", "step-free slow", "", "Smith", "0901234567", "notices", "30"],
    ["r-3", "", "", "", "", "", "", "", ""],
]  # fmt: skip


@pytest.mark.parametrize("excel", [False, True])
def test_riders(town: Serving, excel: bool) -> None:
    """Twice the same table is the same town."""
    assert send(town, "riders", RIDERS, query="?dry_run=true", excel=excel)["written"] == 0
    for _ in range(2):
        answer = send(town, "riders", RIDERS, excel=excel)
        assert (answer["rows"], answer["written"], answer["problems"]) == (3, 3, [])
    first = town.ask("administrator", "GET", "/v1/riders/r-1").json()
    assert (first["wheelchairs"], first["entitlements"]) == (1, {"over65": "2030-03-31"})
    assert town.ask("administrator", "GET", "/v1/riders/r-2").json()["skills"] == ["step-free", "slow"]
    assert town.ask("desk", "GET", "/v1/riders?phone=0765123456").json()["riders"][0]["rider"] == "r-1"
    assert town.ask("desk", "GET", "/v1/riders/r-2/personal").json()["name"] == "Smith"
    assert town.ask("desk", "GET", "/v1/riders/r-3/personal").status_code == 404


def test_one_mistake_and_nothing_is_written(town: Serving) -> None:
    rows = [["rider", "wheelchairs", "personal.name", "personal.purpose"], ["new-1", "1", "A", "notices"],
            ["new-2", "many", "B", "curiosity"], ["", "1", "", ""], ["new-1", "", "", ""]]  # fmt: skip
    answer = send(town, "riders", rows)
    assert answer["written"] == 0
    assert {(p["row"], p["column"]) for p in answer["problems"]} == {
        (3, "wheelchairs"), (3, "personal.purpose"), (4, "rider"), (5, "rider"),
    }  # fmt: skip
    assert all(p["do"] for p in answer["problems"])
    assert town.ask("administrator", "GET", "/v1/riders/new-1").status_code == 404
    assert send(town, "riders", [["name"], ["x"]])["status"] == 422
    for role in ("partner", "planner", "resident"):
        assert send(town, "riders", RIDERS, role)["status"] == 403


def test_standing_orders(town: Serving) -> None:
    send(town, "riders", RIDERS)
    a, b = (town.somewhere(np.random.default_rng(k)) for k in (1, 2))
    head = ["order", "region", "rider", "origin.lon", "origin.lat", "destination.lon", "destination.lat", "weekdays",
            "depart", "valid_from", "valid_to"]  # fmt: skip
    ends = [str(a["lon"]), str(a["lat"]), str(b["lon"]), str(b["lat"])]
    right = ["dialysis-1", town.region, "r-1", *ends, "mon wed fri", "09:00", "2026-05-01", "2026-12-31"]
    wrong = ["dialysis-2", "nowhere", "r-99", *ends, "mon", "09:00", "2026-05-01", "2026-12-31"]
    answer = send(town, "standing-orders", [head, right, wrong])
    assert (answer["written"], {(p["row"], p["column"]) for p in answer["problems"]}) == (
        0, {(3, "region"), (3, "rider")},
    )  # fmt: skip
    for _ in range(2):
        assert send(town, "standing-orders", [head, right])["written"] == 1
    (order,) = town.ask("administrator", "GET", "/v1/standing-orders").json()["orders"]
    assert (order["order"], order["weekdays"], order["depart"]) == ("dialysis-1", ["mon", "wed", "fri"], "09:00")
    assert send(town, "standing-orders", [head, right], "partner")["status"] == 403


def test_vehicles_join_the_day(town: Serving) -> None:
    """A vehicle that is imported at nine drives at ten."""
    place = town.somewhere(np.random.default_rng(3))
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    rows = [["vehicle", "region", "operator", "layouts.0.seats", "depot.lon", "depot.lat", "licence",
             *(f"shifts.{day}" for day in days)],
            ["van-1", town.region, "taxi", "6", str(place["lon"]), str(place["lat"]), "taxi", *["07:00 19:00"] * 7]]  # fmt: skip
    answer = send(town, "vehicles", rows)
    assert (answer["written"], answer["problems"]) == (1, [])
    actor = next(iter(town.node.actors.values()))
    fleet = {str(v.id): v for v in actor.runtime.today().dispatcher.vehicles}
    assert fleet["van-1"].layouts[0].riders == 6
    rows[1][7] = "19:00 07:00"
    (problem,) = send(town, "vehicles", rows)["problems"]
    assert (problem["row"], "shifts.mon" in problem["what"]) == (2, True)
