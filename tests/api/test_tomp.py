"""TOMP-API 2.0 for apps: what goes out is what the official schemas say, and what comes of it are bookings like others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from serving import Serving, serving, some_settings
from tomp_schemas import FOLDER, problems

from noriai_api.bookings.schemas import QuoteIn
from noriai_api.standards import tomp

SEARCH = ("TOMP-API-2-OFFERS.yaml", "/components/requestBodies/searchOfferRequest/content/application~1json/schema")
OFFERS = ("TOMP-API-2-OFFERS.yaml", "/components/schemas/offerCollection")
BUY = ("TOMP-API-4-PURCHASE.yaml", "/components/requestBodies/purchaseOfferRequest/content/application~1json/schema")
PACKAGE = ("TOMP-API-1-CORE.yaml", "/components/schemas/package")
CANCEL = ("TOMP-API-1-CORE.yaml", "/components/requestBodies/packageRequest/content/application~1json/schema")


def fits(schema: tuple[str, str], document: Any) -> None:
    """Valid by the official schema, where it is at hand. An offer's `type` cannot be: the schema wants it to be both
    `Feature` (geojsonFeature) and `offer` (offerFeature); we say what GeoJSON says."""
    if FOLDER.is_dir():
        found = [p for p in problems(*schema, document) if "'Feature' does not match '^(offer)$'" not in p]
        assert found == []


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(some_settings(tmp_path_factory.mktemp("tomp"), moves_itself=False)) as running:
        yield running


def asking(town: Serving, number: int, minutes: int = 60, **more: Any) -> dict[str, Any]:
    """A search as an app of another hand writes it."""
    wish = town.wish(number, minutes=minutes)
    a, b = wish["origin"], wish["destination"]
    traveller = {"type": "traveller", "id": "T1", "groupSize": 2, **more}
    return {"inputs": {
        "type": "searchOffer", "travellers": [traveller],
        "specification": {"type": "travelSpecification", "from": f"GPS:{a['lon']}_{a['lat']}",
                          "to": f"gps:{b['lon']}_{b['lat']}", "startTime": wish["earliest_pickup"]},
    }}  # fmt: skip


def offered(town: Serving, **more: Any) -> dict[str, Any]:
    for number in range(50):
        asked = asking(town, number, **more)
        fits(SEARCH, asked)
        answer = town.ask("partner", "POST", "/tomp/processes/search-offers/execution", json=asked)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/geo+json"), answer.text
        fits(OFFERS, answer.json())
        if answer.json()["features"]:
            return dict(answer.json()["features"][0])
    raise AssertionError("nobody serves any of 50 wishes")


def test_search_purchase_look_cancel(town: Serving) -> None:
    offer = offered(town)
    wanted = {"inputs": {"offer": offer["id"]}}
    fits(BUY, wanted)
    bought = town.ask("partner", "POST", "/tomp/processes/purchase-offers/execution", json=wanted)
    assert bought.status_code == 200, bought.text
    fits(PACKAGE, bought.json())
    assert bought.json()["properties"]["status"] == "CONFIRMED"
    again = town.ask("partner", "POST", "/tomp/processes/purchase-offers/execution", json=wanted)
    assert again.json() == bought.json()
    name = bought.json()["properties"]["id"]
    booking = town.ask("partner", "GET", f"/v1/bookings/{name}").json()
    assert (booking["state"], booking["party"]["seats"]) == ("accepted", 2)
    price = offer["properties"]["price"]
    assert (price["amount"], price["currencyCode"]) == (booking["fare"]["total"], "JPY")
    shown = town.ask("partner", "GET", f"/tomp/collections/packages/items?packageId={name}")
    fits(PACKAGE, shown.json())
    giving_up = {"inputs": {"package": name}}
    fits(CANCEL, giving_up)
    for _ in range(2):
        gone = town.ask("partner", "POST", "/tomp/processes/cancel-package/execution", json=giving_up)
        fits(PACKAGE, gone.json())
        assert (gone.status_code, gone.json()["properties"]["status"]) == (200, "CANCELLED")


def test_needs_of_travellers_are_kept(town: Serving) -> None:
    """A wheelchair in a group of two is one seat and one wheelchair place."""
    offer = offered(town, minutes=120, requirements={"prmNeeds": [{"mobilityNeed": "assisted_wheelchair"}]})
    bought = town.ask(
        "partner", "POST", "/tomp/processes/purchase-offers/execution", json={"inputs": {"offer": offer["id"]}}
    )
    party = bought.json()["properties"]["customFields"]["noriaiBooking"]["party"]
    assert (party["seats"], party["wheelchairs"]) == (1, 1)


def test_what_cannot_be_read(town: Serving) -> None:
    search, buy = "/tomp/processes/search-offers/execution", "/tomp/processes/purchase-offers/execution"
    for path, body in (
        (search, {}), (search, {"inputs": []}), (search, {"inputs": {"specification": {"from": "GPS:1", "to": "GPS:2_3"}}}),
        (search, asking(town, 1) | {"inputs": {"specification": {"from": "P:home", "to": "P:clinic"}}}),
        (buy, {"inputs": {}}), (buy, {"inputs": {"offer": "without number"}}), (buy, {"inputs": {"offer": "a:-1"}}),
        ("/tomp/processes/cancel-package/execution", {"inputs": {"package": 7}}),
    ):  # fmt: skip
        answer = town.ask("partner", "POST", path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid"), (path, body, answer.text)
        assert answer.json()["errors"][0]["do"]
    assert town.ask("partner", "POST", buy, json={"inputs": {"offer": "none:0"}}).status_code == 404
    assert town.ask("partner", "GET", "/tomp/collections/packages/items?packageId=none").status_code == 404
    assert town.ask("planner", "POST", search, json=asking(town, 1)).status_code == 403
    assert {p["id"] for p in town.ask("planner", "GET", "/tomp/processes").json()["processes"]} == {
        "search-offers", "purchase-offers", "cancel-package",
    }  # fmt: skip


def test_what_nodes_say_to_each_other_is_valid_too(town: Serving) -> None:
    wish = QuoteIn.model_validate(town.wish(1, party={"seats": 2, "wheelchairs": 1}))
    fits(SEARCH, tomp.search(wish))
    fits(BUY, tomp.purchase("quote:0", "ride-1"))
    assert tomp.wish_of(tomp.search(wish)) == wish
    assert tomp.purchase_of(tomp.purchase("quote:0", "ride-1")) == ("quote", 0, "ride-1")
