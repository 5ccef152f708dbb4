"""The plain judge of rule packs: written from their documents alone, sharing no code with what it judges.

A pack is the dictionary that tomllib gives; a case is a dictionary of what is known. It looks at every condition and
lists all that fall, each as (text key, whether the source is silent there).
"""

from collections.abc import Iterator, Mapping
from typing import Any

NAMES = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Case = Mapping[str, Any]


def verdict(pack: Mapping[str, Any], case: Case) -> tuple[str, set[str]]:
    """("permit" | "refuse" | "needs_confirmation", keys of all that fell)."""
    fallen = list(conditions(pack, case))
    if not fallen:
        return "permit", set()
    firm = {key for key, silent in fallen if not silent}
    return ("refuse", firm) if firm else ("needs_confirmation", {key for key, _ in fallen})


def minutes(clock: str) -> int:
    hour, minute = clock.split(":")[:2]
    return int(hour) * 60 + int(minute)


def conditions(pack: Mapping[str, Any], case: Case) -> Iterator[tuple[str, bool]]:
    day = case["day"]
    if day < pack["pack"]["valid_from"] or day > pack["pack"]["valid_to"]:
        yield "pack.expired", False
    if (
        pack.get("declared_event")
        and case.get("event_declared") is not True
        and not (case.get("boarded") and case.get("event_declared") is False)
    ):
        yield "disaster.not_declared", False
    if "when" in pack:
        yield from times(pack, case)
    if "booking" in pack:
        yield from booking(pack["booking"], case)
    if "where" in pack:
        yield from places(pack, case)
    if "rider" in pack:
        yield from riders(pack["rider"], case)
    yield from trips(pack.get("trip", {}), case)
    fares = pack.get("fare", {})
    if "percent_of_taxi" in fares:
        paid, taxi = case.get("fare"), case.get("taxi_fare")
        if paid is None or taxi is None or paid > taxi * fares["percent_of_taxi"] / 100:
            yield "fare.over_cap", False
    if fares.get("posted") and not case.get("fare_posted"):
        yield "fare.not_posted", False
    if "driver" in pack:
        yield from drivers(pack["driver"], case)
    if "inspection_months" in pack:
        last = case.get("inspected")
        if last is None or later_than(day, last, pack["inspection_months"]):
            yield "vehicle.inspection", False
    if "quota" in pack:
        allowed = case.get("declared_number")
        if allowed is None and case.get("taxis_of_area") is not None:
            allowed = int(case["taxis_of_area"] * pack["quota"]["permille_of_taxis"]) // 1000
        if allowed is None or case.get("on_duty") is None or case["on_duty"] + 1 > allowed:
            yield "shortage.quota", False
    if "odd" in pack:
        yield from automated(pack["odd"], case)


def times(pack: Mapping[str, Any], case: Case) -> Iterator[tuple[str, bool]]:
    """Each minute of the week, and of the night before that reaches into it."""
    rule = pack["when"]
    key = "shortage.window" if pack["pack"]["article"] == "78-3" else "service.closed"
    silent = False
    for back in (0, 1):
        day, minute = case["days"][back], case["minute"] + 1440 * back
        if day["date"][5:] in rule.get("closed_dates", []) or (rule.get("closed_on_holidays") and day["holiday"]):
            continue
        for window in rule["windows"]:
            if day["weekday"] in window["days"]:
                if minutes(window["start"]) <= minute < minutes(window["end"]):
                    return
                on_the_minute = minute == minutes(window["end"]) and case["second"] == 0
                silent = silent or (on_the_minute and window["end"] in rule.get("confirm_at", []))
    yield key, silent


def booking(rule: Mapping[str, Any], case: Case) -> Iterator[tuple[str, bool]]:
    if case.get("booked_minute") is None:
        yield ("booking.cutoff" if "days_before" in rule else "booking.desk"), False
        return
    # minutes from midnight of the day of departure; a booking of the day before is negative
    if "days_before" in rule and case["booked_minute"] > minutes(rule["until"]) - 1440 * rule["days_before"]:
        yield "booking.cutoff", False
    if "desk" in rule:
        opens, closes = map(minutes, rule["desk"])
        minute = case["booked_minute"] % 1440
        if not opens <= minute < closes:
            on_the_minute = minute == closes and case.get("booked_second", 0) == 0
            yield "booking.desk", on_the_minute and rule["desk"][1] in rule.get("confirm_at", [])


def places(pack: Mapping[str, Any], case: Case) -> Iterator[tuple[str, bool]]:
    rule = pack["where"]
    key = "taxi.area" if pack["pack"]["article"] == "20" else "area.outside"
    ends = case.get("origin_inside"), case.get("destination_inside")
    wanted = {"both": ends == (True, True), "either": True in ends, "pickup": ends[0] is True}
    if None in ends or not wanted[rule["ends"]]:
        yield key, False
    if "home_zone" in rule and not case.get("home_end"):
        yield "area.home", False


def riders(rule: Mapping[str, Any], case: Case) -> Iterator[tuple[str, bool]]:
    if case.get("visitor"):
        if not rule.get("visitors", True):
            yield "rider.not_eligible", False
        return
    if rule.get("registered") and not case.get("registered"):
        yield "rider.not_registered", False
    if rule.get("groups") and not any(group in (case.get("groups") or ()) for group in rule["groups"]):
        yield "rider.not_eligible", False


def trips(rule: Mapping[str, Any], case: Case) -> Iterator[tuple[str, bool]]:
    if rule.get("fixed_before") and not case.get("fixed_before"):
        yield "trip.not_fixed", False
    if rule.get("street_hail") is False and case.get("street_hail") is not False:
        yield "trip.street_hail", False
    if rule.get("cash") is False and case.get("cash") is not False:
        yield "pay.cash", False


def drivers(rule: Mapping[str, Any], case: Case) -> Iterator[tuple[str, bool]]:
    held, born, applied = case.get("licensed"), case.get("born"), case.get("applied")
    if rule.get("licence_days") and (held is None or (case["day"] - held).days < rule["licence_days"]):
        yield "driver.requirement", False
    if rule.get("licence_years") and (held is None or full_years(held, applied or case["day"]) < rule["licence_years"]):
        yield "driver.requirement", False
    if rule.get("course"):
        if case.get("course_until") is None:
            yield "driver.requirement", False
        elif case["course_until"] < case["day"]:
            yield "driver.expired", False
    if "age_from" in rule or "age_below" in rule:
        if born is None or applied is None:
            yield "driver.requirement", False
        else:
            age = full_years(born, applied)
            if not rule.get("age_from", 0) <= age < rule.get("age_below", 1000):
                yield "driver.requirement", False
    if rule.get("rollcall") and not case.get("rollcall"):
        yield "driver.no_rollcall", False


def full_years(since: Any, until: Any) -> int:
    years: int = until.year - since.year
    if (until.month, until.day) < (since.month, since.day):
        years -= 1
    return years


def later_than(day: Any, last: Any, months: int) -> bool:
    """Is `day` after the day `months` after `last`? A day the month has not becomes the month's last."""
    whole: int = (day.year - last.year) * 12 + day.month - last.month
    if whole != months:
        return whole > months
    return bool(day.day > min(last.day, length(day.year, day.month)))


def length(year: int, month: int) -> int:
    if month == 2:
        return 29 if (year % 4 == 0 and year % 100 != 0) or year % 400 == 0 else 28
    return 30 if month in (4, 6, 9, 11) else 31


def automated(rule: Mapping[str, Any], case: Case) -> Iterator[tuple[str, bool]]:
    weather = case.get("weather", {})
    if any(name not in weather or weather[name] > limit for name, limit in rule.get("most", {}).items()):
        yield "odd.weather", False
    if rule.get("roads") and (case.get("roads") is None or any(road not in rule["roads"] for road in case["roads"])):
        yield "odd.road", False
    if "hours" in rule and not minutes(rule["hours"][0]) <= case["minute"] < minutes(rule["hours"][1]):
        yield "odd.hours", False
    if "per_supervisor" in rule:
        if case.get("supervised") is None or case["supervised"] >= rule["per_supervisor"]:
            yield "av.supervisor", False
        if rule.get("on_site") and not case.get("on_site"):
            yield "av.on_site", False
