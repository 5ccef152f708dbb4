"""Prices of rides by line: Fares v2 (products, leg rules, areas, networks), else Fares v1 (attributes, rules, zones).

A ride is priced leg by leg, for the default rider, by the cheapest product that matches; transfers within one fare are
free as far as its `transfers` (v1) or a fare_transfer_rules row of type 0 (v2) allows. None: the feed does not say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from noriai_engine.model.errors import RowError
from noriai_gtfs.feeds import Feed

_NO_MINOR_UNIT = {"JPY", "KRW", "VND", "CLP", "ISK", "UGX", "XAF", "XOF", "XPF", "PYG", "RWF", "VUV"}


@dataclass(frozen=True, slots=True)
class Price:
    """Money in minor units of an ISO 4217 currency."""

    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class Ride:
    """A ride by line: ids of its route, of the stops at its ends, and of their zones."""

    route_id: str
    from_stop_id: str
    to_stop_id: str
    zones: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Fare:
    price: Price
    transfers: int  # -1: any number


class Fares:
    """Prices of one feed."""

    def __init__(self, feed: Feed) -> None:
        self._zone = _pairs(feed, "stops", "stop_id", "zone_id")
        self._v2 = len(feed.get("fare_leg_rules")) > 0 and len(feed.get("fare_products")) > 0
        if self._v2:
            self._read_v2(feed)
        else:
            self._read_v1(feed)

    def price(self, rides: Sequence[Ride]) -> Price | None:
        """What the rides of one journey cost together; None where the feed does not say, 0 rides cost nothing."""
        total, currency = 0, ""
        free = 0
        for ride in rides:
            if free:
                free -= 1 if free > 0 else 0
                continue
            fare = self._leg(ride)
            if fare is None or (currency and fare.price.currency != currency):
                return None
            total, currency, free = total + fare.price.amount, fare.price.currency, fare.transfers
        return Price(total, currency) if currency else None

    def _leg(self, ride: Ride) -> _Fare | None:
        return self._leg_v2(ride) if self._v2 else self._leg_v1(ride)

    # --- Fares v1: fare_attributes.txt, fare_rules.txt ------------------------------------------------------

    def _read_v1(self, feed: Feed) -> None:
        self._fares: dict[str, _Fare] = {}
        table = feed.get("fare_attributes")
        for row, record in enumerate(table.records()):
            price = _price(record.get("price", ""), record.get("currency_type", ""), table.name, table.line_of(row))
            text = record.get("transfers", "")
            self._fares[record["fare_id"]] = _Fare(price, int(text) if text.isdigit() else -1)
        self._rules: dict[tuple[str, str, str], list[str]] = {}
        self._contains: dict[str, set[str]] = {}
        ruled = set()
        for record in feed.get("fare_rules").records():
            fare = record.get("fare_id", "")
            ruled.add(fare)
            if record.get("contains_id"):
                self._contains.setdefault(fare, set()).add(record["contains_id"])
                if not any(record.get(key) for key in ("route_id", "origin_id", "destination_id")):
                    continue
            key = record.get("route_id", ""), record.get("origin_id", ""), record.get("destination_id", "")
            self._rules.setdefault(key, []).append(fare)
        self._everywhere = [fare for fare in self._fares if fare not in ruled]

    def _leg_v1(self, ride: Ride) -> _Fare | None:
        origin, destination = self._zone.get(ride.from_stop_id, ""), self._zone.get(ride.to_stop_id, "")
        names = list(self._everywhere)
        for route in (ride.route_id, ""):
            for start in (origin, ""):
                for end in (destination, ""):
                    names += self._rules.get((route, start, end), [])
        zones = set(ride.zones) or {origin, destination}
        names += [fare for fare, needed in self._contains.items() if needed == zones]
        found = [
            self._fares[name] for name in names
            if name in self._fares and self._contains.get(name, zones) == zones
        ]  # fmt: skip
        return min(found, key=lambda fare: (fare.price.amount, fare.price.currency), default=None)

    # --- Fares v2: fare_leg_rules.txt, fare_products.txt, areas and networks --------------------------------

    def _read_v2(self, feed: Feed) -> None:
        self._products: dict[str, list[Price]] = {}
        table = feed["fare_products"]
        default = {
            row.get("rider_category_id", "")
            for row in feed.get("rider_categories").records() if row.get("is_default_fare_category") == "1"
        } | {""}  # fmt: skip
        for row, record in enumerate(table.records()):
            if record.get("rider_category_id", "") in default:
                price = _price(record.get("amount", ""), record.get("currency", ""), table.name, table.line_of(row))
                self._products.setdefault(record["fare_product_id"], []).append(price)
        self._network = _pairs(feed, "routes", "route_id", "network_id") | _pairs(
            feed, "route_networks", "route_id", "network_id"
        )
        self._areas: dict[str, set[str]] = {}
        parents = _pairs(feed, "stops", "stop_id", "parent_station")
        for record in feed.get("stop_areas").records():
            self._areas.setdefault(record["stop_id"], set()).add(record["area_id"])
        for stop, parent in parents.items():
            self._areas.setdefault(stop, set()).update(self._areas.get(parent, ()))
        rules = feed["fare_leg_rules"]
        priority = rules.column_or_blank("rule_priority").integers(0).tolist()
        self._legs = list(zip(priority, rules.records(), strict=True))
        self._free = {
            (record.get("from_leg_group_id", ""), record.get("to_leg_group_id", ""))
            for record in feed.get("fare_transfer_rules").records()
            if record.get("fare_transfer_type") == "0" and not record.get("fare_product_id")
        }

    def _leg_v2(self, ride: Ride) -> _Fare | None:
        network = self._network.get(ride.route_id, "")
        here, there = (self._areas.get(stop, set()) for stop in (ride.from_stop_id, ride.to_stop_id))
        found = []
        for priority, rule in self._legs:
            if rule.get("network_id") and rule["network_id"] != network:
                continue
            if rule.get("from_area_id") and rule["from_area_id"] not in here:
                continue
            if rule.get("to_area_id") and rule["to_area_id"] not in there:
                continue
            group = rule.get("leg_group_id", "")
            free = -1 if (group, group) in self._free or ("", "") in self._free else 0
            strength = (
                priority,
                sum(bool(rule.get(key)) for key in ("network_id", "from_area_id", "to_area_id")),
            )
            prices = self._products.get(rule.get("fare_product_id", ""), ())
            found += [(strength, _Fare(price, free)) for price in prices]
        if not found:
            return None
        best = max(strength for strength, _ in found)
        return min((fare for strength, fare in found if strength == best), key=lambda fare: fare.price.amount)


def fares_of(feed: Feed) -> Fares:
    """Prices of a feed. Raises RowError for an amount that is none."""
    return Fares(feed)


def _pairs(feed: Feed, table: str, key: str, value: str) -> dict[str, str]:
    source = feed.get(table)
    cells = zip(source.column_or_blank(key).values, source.column_or_blank(value).values, strict=True)
    return {k: v for k, v in cells if v}


def _price(amount: str, currency: str, file: str, row: int) -> Price:
    try:
        number = Decimal(amount or "0")
        if not number.is_finite() or number < 0:
            raise InvalidOperation
    except InvalidOperation:
        raise RowError(
            f"{amount!r} is no amount of money", file=file, row=row, column="price, amount", remedy="write a number"
        ) from None
    minor = 0 if currency in _NO_MINOR_UNIT else 2
    return Price(int((number * 10**minor).to_integral_value()), currency)
