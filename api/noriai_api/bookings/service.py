"""Quotes and bookings in the domain's terms: what a caller's wish becomes in a region, and what is kept of it."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from sqlalchemy import Connection, select

from noriai_api.access.decision import Grant, Resource
from noriai_api.bookings import repository
from noriai_api.bookings.schemas import (
    BookingIn,
    BookingOut,
    BookingsOut,
    EndOut,
    FareLine,
    FareOut,
    OfferOut,
    PartyIn,
    QuoteIn,
    QuoteOut,
    RefusalOut,
    RuleOut,
)
from noriai_api.delegates.limits import within_limits
from noriai_api.guard import Caller
from noriai_api.idempotency import Answer, Keep
from noriai_api.problems import Problem
from noriai_api.runtime.actor import Urgency, Writes
from noriai_api.runtime.day import DayRun
from noriai_api.runtime.legality import RULE, Legality
from noriai_api.runtime.made import compact, known_of, place_at, row_of
from noriai_api.runtime.records import OFFER, REQUEST
from noriai_api.runtime.region import RegionRuntime
from noriai_api.schemas import PlaceOut, in_zone, utc_ms, words
from noriai_api.store.tables import riders
from noriai_engine.model import (
    Booking,
    BookingState,
    Offer,
    Quote,
    Request,
    Resources,
    RiderNeeds,
    ServiceDay,
    TimeWindow,
    UtcMs,
)
from noriai_engine.model.errors import InputError, StaleOfferError
from noriai_engine.model.places import Place
from noriai_engine.model.units import OperatorId, RequestId
from noriai_engine.rules.judge import Decision as RuleDecision
from noriai_engine.rules.judge import Facts, Verdict
from noriai_engine.rules.tariff import Fare, Heads, Tariff

Later = Literal["batch", "plan"]
"""What books a wish later, without asking again."""


async def quote(caller: Caller, region: str, wish: QuoteIn, keep: Keep, *, is_leg: bool = False) -> Answer:
    """Ask the region what it could do. `is_leg`: for a part of a longer ride, which is nobody's wish by itself. Raises
    Problem."""
    node, actor = caller.node, caller.node.actor(caller.tenant, region)
    await node.open_for_rides(caller.tenant, region)
    rider, profile = await _rider(caller, wish.rider)
    names = await node.operators(caller.grant)
    request_id = RequestId(node.ids.new_id())

    def act(runtime: RegionRuntime) -> tuple[QuoteOut, Writes]:
        request, heads = _request(wish, profile, request_id, runtime.now), _heads(wish, profile)
        asked = Asked(request, rider, heads, profile, wish, is_leg)
        return _ask(runtime, caller, asked, names, keep)

    said = await actor.ask(act, "quote", actor=caller.subject.client, urgency=Urgency.QUOTE)
    return Answer(201, said.model_dump(mode="json"))


async def stand_by(
    caller: Caller, row: dict[str, Any], until: Later, also: Callable[[Connection, QuoteOut], None]
) -> None:  # fmt: skip
    """Ask the wish of a quote's row anew, to be booked by the next batch that has a vehicle for it, or by the plan of
    the day. An answer without offers or a refusal waits. `also` is written with it. Raises Problem (conflict, paused).
    """
    node, actor = caller.node, caller.node.actor(caller.tenant, row["region"])
    await node.open_for_rides(caller.tenant, row["region"])
    wish, profile = QuoteIn.model_validate(row["body"]["wish"]), await _profile(caller, row["rider"])
    names = await node.operators(caller.grant)
    request_id = RequestId(node.ids.new_id())

    def act(runtime: RegionRuntime) -> tuple[None, Writes]:
        request = _request(wish, profile, request_id, runtime.now)
        _there_is(runtime, until, request)
        _let_go(runtime, row)
        asked = Asked(request, row["rider"], _heads(wish, profile), profile, wish, until=until)
        said, writes = _ask(runtime, caller, asked, names, None)

        def both(connection: Connection) -> None:
            writes(connection)
            also(connection, said)

        return None, both

    await actor.ask(act, "wait", actor=caller.subject.client, urgency=Urgency.BOOKING)


def _there_is(runtime: RegionRuntime, until: Later, request: Request) -> None:
    """Raises Problem (conflict) where there is no batch or plan to wait for."""
    if until == "batch" and not runtime.rules.match_every_ms:
        raise Problem("conflict", "riders are not matched in batches here; wait until there are offers")
    day = runtime.service_day(request.wished)
    at = runtime.planned_at(day)
    if until == "plan" and at is None:
        raise Problem("conflict", "days are not planned ahead here; take an offer, or wait until there are some")
    if until == "plan" and at is not None and (at <= runtime.now or runtime.is_planned(day)):
        raise Problem("conflict", f"the plan of {day.date} was made at {in_zone(at, day)}: take an offer, or wait")


def _let_go(runtime: RegionRuntime, row: dict[str, Any]) -> None:
    """Offers of a quote that waits instead. Raises Problem (conflict) where one was taken."""
    run = runtime.days.get(row["day"])
    state = None if run is None else run.dispatcher.bookings.states.get(row["quote"])
    if run is not None and state == BookingState.WAITING_FOR_ANSWER:
        run.dispatcher.lapse(row["quote"])
    elif state not in (None, BookingState.REFUSED, BookingState.LAPSED):
        raise Problem("conflict", f"an offer of {row['quote']} was taken already")


async def withdraw(caller: Caller, region: str, day: str, request: str, also: Writes) -> None:
    """Who waits for a batch or a plan does so no longer. Raises Problem (conflict) where it is answered already."""

    def act(runtime: RegionRuntime) -> tuple[None, Writes]:
        run = runtime.days.get(day)
        if run is not None and request in run.dispatcher.bookings.row_of:
            run.dispatcher.batching.withdraw(RequestId(request))
        else:  # the plan it waits for is still to be made
            runtime.withdrawn.add(request)
        return None, also

    try:
        await caller.node.actor(caller.tenant, region).ask(act, "withdraw", actor=caller.subject.client)
    except InputError as error:
        raise Problem("conflict", "it has just been answered: look at the waiting list") from error


async def quoted(caller: Caller, name: str) -> QuoteOut:
    """A quote that was given."""
    row = await caller.read(lambda connection: repository.quote(connection, caller.grant, name))
    if row is None:
        raise Problem("not_found")
    return QuoteOut.model_validate(row["body"]["said"])


async def book(caller: Caller, taking: BookingIn, keep: Keep) -> Answer:
    """Turn an offer into a booking, or into a fresh quote where it can be kept no longer. Raises Problem."""
    node = caller.node
    row, offer = await offer_taken(caller, taking)
    await node.open_for_rides(caller.tenant, row["region"])
    if row["body"]["replaces"] is not None:
        raise Problem("conflict", f"quote {taking.quote} is for changing booking {row['body']['replaces']}")
    names = await node.operators(caller.grant)
    fresh_id = RequestId(node.ids.new_id())

    def act(runtime: RegionRuntime) -> tuple[BookingOut | QuoteOut, Writes]:
        try:
            if row["expires"] <= runtime.now:
                raise StaleOfferError(f"the offers of {taking.quote} have expired")
            run = runtime.open_day(row["day"])
            if taking.quote in run.dispatcher.bookings.booked:
                raise Problem("conflict", f"an offer of {taking.quote} was taken already")
            booking = run.dispatcher.accept(offer)
        except StaleOfferError:
            return _afresh(runtime, caller, row, fresh_id, names)
        run.look_again([run.dispatcher.index_of(booking.vehicle_id)])
        return written(runtime, run, caller, row, offer, booking, keep)

    async with within_limits(caller, row):
        said = await node.actor(caller.tenant, row["region"]).ask(
            act, "book", actor=caller.subject.client, urgency=Urgency.BOOKING
        )
    if isinstance(said, QuoteOut):
        raise Problem("offer_gone", fresh_quote=said.model_dump(mode="json"))
    return Answer(201, said.model_dump(mode="json"))


async def quote_change(caller: Caller, name: str, wish: QuoteIn, keep: Keep) -> Answer:
    """Offers that would replace a booking. Raises Problem (not_found, conflict)."""
    node = caller.node
    old = await _booking_row(caller, name)
    names = await node.operators(caller.grant)
    profile = await _profile(caller, old["rider"])
    request_id = RequestId(node.ids.new_id())

    def act(runtime: RegionRuntime) -> tuple[QuoteOut, Writes]:
        request = _request(wish, profile, request_id, runtime.now)
        asked = Asked(request, old["rider"], _heads(wish, profile), profile, wish)
        return _ask(runtime, caller, asked, names, keep, old)

    try:
        said = await node.actor(caller.tenant, old["region"]).ask(
            act, "quote change", actor=caller.subject.client, urgency=Urgency.BOOKING
        )
    except InputError as error:
        raise Problem("conflict", error.what) from error
    return Answer(201, said.model_dump(mode="json"))


async def change(caller: Caller, name: str, taking: BookingIn, keep: Keep) -> Answer:
    """Take an offer instead of a booking. Raises Problem (not_found, conflict, offer_gone)."""
    node = caller.node
    old = await _booking_row(caller, name)
    row, offer = await offer_taken(caller, taking)
    if row["body"]["replaces"] != name:
        raise Problem("conflict", f"quote {taking.quote} is not for changing booking {name}")

    def act(runtime: RegionRuntime) -> tuple[BookingOut, Writes]:
        if row["expires"] <= runtime.now:
            raise StaleOfferError(f"the offers of {taking.quote} have expired")
        before, run = runtime.open_day(old["day"]), runtime.open_day(row["day"])
        if before is run:
            booking, changed = run.dispatcher.overrides.change(old["quote"], offer)
        else:
            run.dispatcher.bookings.row_in(offer.request_id, BookingState.WAITING_FOR_ANSWER)
            before.dispatcher.bookings.row_in(old["quote"], BookingState.ACCEPTED, BookingState.UNASSIGNED)
            booking = run.dispatcher.accept(offer)
            changed = [run.dispatcher.index_of(booking.vehicle_id)]
            before.look_again(before.dispatcher.incidents.cancel(old["quote"], "change"))
        run.look_again(changed)
        said, writes = written(runtime, run, caller, row, offer, booking, keep)
        now = runtime.now

        def both(connection: Connection) -> None:
            writes(connection)
            caller.note(connection, now, f"booking/{name}", {"replaced_by": booking.id})

        return said, both

    try:
        async with within_limits(caller, row, but=name):
            said = await node.actor(caller.tenant, old["region"]).ask(
                act, "change", actor=caller.subject.client, urgency=Urgency.BOOKING
            )
    except InputError as error:
        raise Problem("conflict", error.what) from error
    return Answer(201, said.model_dump(mode="json"))


async def _booking_row(caller: Caller, name: str) -> dict[str, Any]:
    row = await caller.read(lambda connection: repository.booking(connection, caller.grant, name))
    if row is None:
        raise Problem("not_found", f"no booking {name}")
    return row


async def offer_taken(caller: Caller, taking: BookingIn) -> tuple[dict[str, Any], Offer]:
    """The quote's row and the offer of it. Raises Problem (not_found, invalid)."""
    row = await caller.read(lambda connection: repository.quote(connection, caller.grant, taking.quote))
    if row is None:
        raise Problem("not_found", f"no quote {taking.quote}")
    offers = row["body"]["offers"]
    if taking.offer >= len(offers):
        raise Problem("invalid", f"quote {taking.quote} has {len(offers)} offers", errors=[
            {"where": "body.offer", "what": f"{taking.offer} is none of them", "do": "count offers from 0"}
        ])  # fmt: skip
    return row, OFFER.validate_python(offers[taking.offer])


async def booked(caller: Caller, name: str) -> BookingOut:
    """A booking as it stands. Raises Problem (not_found)."""
    return _out(caller, await _booking_row(caller, name))


async def listed(
    caller: Caller, region: str | None, day: str | None, rider: str | None, after: str | None
) -> BookingsOut:
    """Bookings within reach, by pickup time."""
    mark = _mark(after)
    rows = await caller.read(
        lambda c: repository.page(c, caller.grant, region=region, day=day, rider=rider, after=mark)
    )
    last = f"{rows[-1]['pickup']}.{rows[-1]['booking']}" if len(rows) == repository.PAGE else None
    return BookingsOut(bookings=[_out(caller, row) for row in rows], next=last)


async def cancel(caller: Caller, name: str) -> BookingOut:
    """Give a booking up; one that is cancelled already stays so. Raises Problem (not_found, conflict)."""
    node, row = caller.node, await _booking_row(caller, name)
    by = "rider" if caller.subject.role in ("resident", "proxy") else caller.subject.role

    def act(runtime: RegionRuntime) -> tuple[None, Writes | None]:
        run, now = runtime.open_day(row["day"]), runtime.now
        if run.dispatcher.bookings.states.get(row["quote"]) == "cancelled":
            return None, None
        run.look_again(run.dispatcher.incidents.cancel(row["quote"], by))
        return None, lambda connection: caller.note(connection, now, f"booking/{name}", {"by": by})

    try:
        await node.actor(caller.tenant, row["region"]).ask(act, "cancel", actor=caller.subject.client)
    except InputError as error:
        raise Problem("conflict", error.what) from error
    return await booked(caller, name)


def riders_grant(grant: Grant) -> Grant:
    """Riders belong to no operator: whoever works for one reaches the tenant's."""
    return replace(grant, only={column: value for column, value in grant.only.items() if column != "operator"})


def is_served(runtime: RegionRuntime, wish: QuoteIn) -> bool:
    """Could anybody serve this wish now? It leaves no trace; what the rider's profile adds is asked with the quote."""
    request = _request(wish, {}, RequestId("trial"), runtime.now)
    day = runtime.service_day(request.wished)
    if day.date.isoformat() not in runtime.days:
        return True
    law = runtime.rules.legality
    if law is not None:
        request = replace(request, needs=replace(request.needs, skills=(*request.needs.skills, *law.needs({}))))
    return not isinstance(runtime.open_day(day.date.isoformat()).dispatcher.trial().offers(request), str)


# --- in the region's thread ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """A wish as the region gets it: the request, whose it is, who rides, what the rider is entitled to."""

    request: Request
    rider: str | None
    heads: Heads
    profile: dict[str, Any]
    wish: QuoteIn | None
    is_leg: bool = False
    until: Later | None = None
    """What books it without asking again; None: it is offered."""


def _ask(
    runtime: RegionRuntime, caller: Caller, asked: Asked, names: dict[str, Any], keep: Keep | None,
    instead_of: dict[str, Any] | None = None,
) -> tuple[QuoteOut, Writes]:  # fmt: skip
    request = asked.request
    day = runtime.service_day(request.wished)
    try:
        run = runtime.on(day)
    except InputError:  # no such day any more, or not yet
        return _no_day(runtime, caller, request, day, keep)
    law, barred, facts = runtime.rules.legality, {}, None
    if law is not None:
        facts = _facts(runtime, run, asked, law)
        barred = law.barred(facts)
        own = tuple(skill for skill in request.needs.skills if not skill.startswith(RULE))
        request = replace(request, needs=replace(request.needs, skills=(*own, *law.needs(barred))))
        asked = replace(asked, request=request)
    answer: Quote | None
    if instead_of is not None and instead_of["day"] == run.name:
        answer = run.dispatcher.overrides.quote_instead(request, instead_of["quote"])
    elif law is not None and len(barred) == len(law.licences):
        answer = run.dispatcher.turn_away(request, next(iter(barred.values())).key)
    elif asked.until == "batch":
        answer = run.dispatcher.batching.ask(request)
    elif asked.until == "plan" and run.dispatcher.trial().rules_out(request) is None:
        answer = None
    else:
        answer = run.dispatcher.quote(request)
    expires = UtcMs(runtime.now + runtime.rules.quote_lifetime_ms)
    offers = () if answer is None else answer.offers
    fares = _fares(runtime, run, asked) if answer is None or offers else (None, None)
    said = _quote_out(run, runtime.rules.region, request, answer, expires, names, fares)
    if said.refusal is not None and law is not None and facts is not None and barred:
        said = said.model_copy(update={"refusal": _by_rule(said.refusal, run, law, facts, barred)})
    row = {
        "quote": request.id, "region": runtime.rules.region, "day": run.name, "client": caller.subject.client,
        "rider": asked.rider, "expires": expires,
        "body": compact({
            "said": said.model_dump(mode="json"), "offers": [OFFER.dump_python(o, mode="json") for o in offers],
            "request": REQUEST.dump_python(request, mode="json"), "heads": asdict(asked.heads),
            "entitlements": asked.profile.get("entitlements", {}),
            "fares": [None if fare is None else fare.model_dump() for fare in fares],
            "on_behalf_of": None if asked.wish is None else asked.wish.on_behalf_of,
            "wish": None if asked.wish is None else asked.wish.model_dump(mode="json"),
            "replaces": None if instead_of is None else instead_of["booking"], "is_leg": asked.is_leg,
        }),
    }  # fmt: skip

    return said, _keeping(caller, row, said, keep)


def _keeping(caller: Caller, row: dict[str, Any], said: QuoteOut, keep: Keep | None) -> Writes:
    """Writes a quote, and the answer to its key where there is one."""

    def writes(connection: Connection) -> None:
        repository.add_quote(connection, caller.grant, row)
        if keep is not None:
            keep(connection, 201, said.model_dump(mode="json"))

    return writes


def _facts(runtime: RegionRuntime, run: DayRun, asked: Asked, law: Legality) -> Facts:
    """What the rules are judged by."""
    request = asked.request
    ends = run.dispatcher.finder.area.ends_of(request)
    fare = taxi = None
    if not isinstance(ends, str):
        metres = run.dispatcher.travel_times.drive(ends.origin, ends.destination).mm // 1000
        fare = _total(runtime.rules.tariff, asked, metres)
        taxi = _total(law.taxi_fare, asked, metres)
    return law.facts(request, run.day, asked.rider, asked.profile, fare, taxi)


def _total(tariff: Tariff | None, asked: Asked, metres: int) -> int | None:
    """What a ride costs by a tariff, None where it has no fare for it."""
    if tariff is None:
        return None
    fare = tariff.fare(asked.heads, asked.request.origin, asked.request.destination, metres)
    return None if fare is None else fare.total


def _by_rule(
    refusal: RefusalOut, run: DayRun, law: Legality, facts: Facts, barred: dict[str, RuleDecision]
) -> RefusalOut:
    """A refusal with the rules that had their part in it."""
    silent = {name for name, d in barred.items() if d.verdict == Verdict.NEEDS_CONFIRMATION}
    rules = [
        RuleOut(licence=name, pack=d.pack, version=d.version, article=d.article,
                verdict="needs_confirmation" if name in silent else "refuse",
                text=words(d.key, **{"n": 0, "what": "", "value": 0, "limit": 0, **d.facts}))
        for name, d in barred.items()
    ]  # fmt: skip
    moment = law.permitted_from(facts, barred)
    return refusal.model_copy(update={
        "rules": tuple(rules),
        "permitted_from": None if moment is None else moment.replace(tzinfo=run.day.zone).isoformat(),
    })  # fmt: skip


def _fares(runtime: RegionRuntime, run: DayRun, asked: Asked) -> tuple[FareOut | None, FareOut | None]:
    """What the rider would pay alone, and sharing; none where the service has no fares."""
    tariff, request = runtime.rules.tariff, asked.request
    if tariff is None:
        return None, None
    known = request.id in run.dispatcher.bookings.row_of
    ends = run.dispatcher.ends_of(request.id) if known else run.dispatcher.finder.area.ends_of(request)
    assert not isinstance(ends, str)
    metres = run.dispatcher.travel_times.drive(ends.origin, ends.destination).mm // 1000
    today = run.day.date.isoformat()
    valid = {name: until for name, until in asked.profile.get("entitlements", {}).items() if until >= today}
    alone, shared = (
        tariff.fare(asked.heads, request.origin, request.destination, metres, valid, shared=together)
        for together in (False, True)
    )
    return _fare_out(alone), _fare_out(shared)


def _fare_out(fare: Fare | None) -> FareOut | None:
    if fare is None:
        return None
    lines = [FareLine(who=who, count=count, each=each) for who, count, each in fare.lines]
    return FareOut(currency=fare.currency, total=fare.total, rider_pays=fare.rider_pays, subsidy=fare.subsidy,
                   payer=fare.payer, lines=lines)  # fmt: skip


def _no_day(
    runtime: RegionRuntime, caller: Caller, request: Request, day: ServiceDay, keep: Keep | None
) -> tuple[QuoteOut, Writes]:
    """A refusal for a day that is over, or further ahead than bookings are taken."""
    reason = "time.past" if request.wished < runtime.now else "booking.too_early"
    said = QuoteOut(
        quote=request.id, region=runtime.rules.region, day=day.date.isoformat(), expires=in_zone(runtime.now, day),
        offers=[], refusal=RefusalOut(reason=reason, text=words(reason), nearest=None),
    )  # fmt: skip
    row = {
        "quote": request.id, "region": said.region, "day": said.day, "client": caller.subject.client, "rider": None,
        "expires": runtime.now, "body": compact({"said": said.model_dump(mode="json"), "offers": [], "request": None,
                                                  "on_behalf_of": None, "replaces": None, "wish": None}),
    }  # fmt: skip

    return said, _keeping(caller, row, said, keep)


def _afresh(
    runtime: RegionRuntime, caller: Caller, row: dict[str, Any], fresh_id: RequestId, names: dict[str, Any]
) -> tuple[QuoteOut, Writes]:
    """The same wish asked again, now."""
    before = row["body"]["request"]
    request = REQUEST.validate_python({**before, "id": fresh_id, "placed_at": runtime.now})
    profile = {"entitlements": row["body"]["entitlements"]}
    asked = Asked(request, row["rider"], Heads(**row["body"]["heads"]), profile, None)
    return _ask(runtime, caller, asked, names, None)


def written(
    runtime: RegionRuntime, run: DayRun, caller: Caller, quote_row: dict[str, Any], offer: Offer, booking: Booking,
    keep: Keep, together: str | None = None,
) -> tuple[BookingOut, Writes]:  # fmt: skip
    """A booking just made: what its rider is told, and its rows. `together`: what those made with it have in common."""
    known = known_of(run, runtime.rules.region, booking)
    row, promise, now = row_of(known, quote_row, together), known["promise"], runtime.now
    planned = {"pickup": offer.planned_pickup, "dropoff": offer.planned_dropoff}
    said = _out(caller, {**row, "body": json.loads(row["body"]), "promise": promise, "planned": planned})

    def writes(connection: Connection) -> None:
        repository.add_booking(connection, caller.grant, row)
        caller.note(connection, now, f"booking/{booking.id}", promise)
        keep(connection, 201, said.model_dump(mode="json"))

    return said, writes


# --- documents ----------------------------------------------------------------------------------------------


def _request(wish: QuoteIn, profile: dict[str, Any], name: RequestId, now: UtcMs) -> Request:
    """The wish with what the rider's profile says of their needs."""
    party, needs = _party(wish, profile), wish.needs
    by = None
    if wish.earliest_pickup is not None and wish.arrive_by is not None:
        by = TimeWindow(utc_ms(wish.earliest_pickup), utc_ms(wish.arrive_by))
    extra = (max(needs.extra_boarding_s, profile.get("extra_boarding_s", 0)),
             max(needs.extra_alighting_s, profile.get("extra_alighting_s", 0)))  # fmt: skip
    skills = tuple(dict.fromkeys((*needs.skills, *profile.get("skills", ()))))
    return Request(
        name, now, wish.origin.place(), wish.destination.place(),
        None if wish.earliest_pickup is None else utc_ms(wish.earliest_pickup),
        None if wish.latest_arrival is None else utc_ms(wish.latest_arrival),
        Resources(party.seats, party.wheelchairs, party.luggage),
        RiderNeeds(extra[0] * 1000, extra[1] * 1000, skills, needs.longest_walk_m, needs.step_free),
        dropoff=by, operator_id=None if wish.operator is None else OperatorId(wish.operator),
    )  # fmt: skip


def _party(wish: QuoteIn, profile: dict[str, Any]) -> PartyIn:
    """Who rides: as said, else the rider as the profile has them, companions and all."""
    if wish.party is not None:
        return wish.party
    chairs = profile.get("wheelchairs", 0)
    return PartyIn(seats=(0 if chairs else 1) + profile.get("companions", 0), wheelchairs=chairs)


def _heads(wish: QuoteIn, profile: dict[str, Any]) -> Heads:
    party = _party(wish, profile)
    adults = party.seats - party.children - party.infants
    return Heads(adults, party.children, party.infants, party.wheelchairs)


def _quote_out(
    run: DayRun, region: str, request: Request, answer: Quote | None, expires: UtcMs, names: dict[str, Any],
    fares: tuple[FareOut | None, FareOut | None],
) -> QuoteOut:  # fmt: skip
    refusal, found = None, () if answer is None else answer.offers
    if answer is not None and answer.refusal is not None:
        nearest = answer.refusal.nearest
        reason = answer.refusal.reason
        refusal = RefusalOut(
            reason=reason, text=words(reason), nearest=None if nearest is None else in_zone(nearest, run.day)
        )  # fmt: skip
    offers = [_offer_out(run, request, number, offer, names, fares) for number, offer in enumerate(found)]
    return QuoteOut(
        quote=request.id, region=region, day=run.name, expires=in_zone(expires, run.day), offers=offers, refusal=refusal
    )  # fmt: skip


def _offer_out(
    run: DayRun, request: Request, number: int, offer: Offer, names: dict[str, Any],
    fares: tuple[FareOut | None, FareOut | None],
) -> OfferOut:  # fmt: skip
    ends, day = run.dispatcher.ends_of(request.id), run.day

    def end(spot: Any, asked: Place, window: Any, planned: int, walk_ms: int) -> EndOut:
        place, earliest = PlaceOut(**place_at(run, spot, asked, walk_ms)), max(window.earliest, offer.pickup.earliest)
        return EndOut(
            place=place, earliest=in_zone(earliest, day), latest=in_zone(window.latest, day),
            planned=in_zone(planned, day), walk_s=walk_ms // 1000,
        )  # fmt: skip

    return OfferOut(
        offer=number, operator=offer.operator_id, operator_name=names.get(offer.operator_id, {}).get("name", ""),
        vehicle_kind=run.dispatcher.vehicles[run.dispatcher.index_of(offer.vehicle_id)].kind,
        pickup=end(ends.origin, request.origin, offer.pickup, offer.planned_pickup, ends.walk_to_ms),
        dropoff=end(ends.destination, request.destination, offer.dropoff, offer.planned_dropoff, ends.walk_from_ms),
        max_ride_s=offer.max_ride_ms // 1000, direct_s=offer.direct_ms // 1000, transfers=0,
        fare=fares[0], fare_if_shared=fares[1],
    )  # fmt: skip


def _out(caller: Caller, row: dict[str, Any]) -> BookingOut:
    body, promise, planned = row["body"], row["promise"], row["planned"]
    day = ServiceDay.on(row["day"], body["timezone"])

    def end(which: int, kind: str) -> EndOut:
        low, high = max(promise[kind][0], promise["pickup"][0]), promise[kind][1]
        begin = planned.get(kind)
        return EndOut(
            place=PlaceOut(**body["places"][which]), earliest=in_zone(low, day), latest=in_zone(high, day),
            planned=None if begin is None else in_zone(begin, day), walk_s=body["walks_s"][which],
        )  # fmt: skip

    seats, wheelchairs, luggage = body["party"]
    return BookingOut(
        booking=row["booking"], quote=row["quote"], region=row["region"], day=row["day"], state=row["state"],
        rider=row["rider"], operator=row["operator"], vehicle=row["vehicle"], pickup=end(0, "pickup"),
        dropoff=end(1, "dropoff"), fare=_fare_of(row),
        party=PartyIn(seats=seats, wheelchairs=wheelchairs, luggage=luggage, children=body["heads"]["children"],
                      infants=body["heads"]["infants"]),
        version=row["version"], together=body.get("together"),
    )  # fmt: skip


def _fare_of(row: dict[str, Any]) -> FareOut | None:
    """What a booking costs as things stand: less once somebody has shared the ride."""
    alone, shared = row["body"]["fares"]
    fare = shared if row["shared"] else alone
    return None if fare is None else FareOut.model_validate(fare)


async def _rider(caller: Caller, named: str | None) -> tuple[str | None, dict[str, Any]]:
    """The rider of a request, one the caller may book for, with their profile. Raises Problem (not_found)."""
    own = caller.grant.narrows("rider")
    if named is None or named == own:
        return own, await _profile(caller, own)
    if own is not None:
        raise Problem("not_found", f"no rider {named}")
    query = select(riders.c.client, riders.c.body).where(riders.c.tenant == caller.tenant, riders.c.rider == named)
    row = await caller.read(lambda connection: connection.execute(query).first())
    if row is None:
        raise Problem("not_found", f"no rider {named}")
    if caller.grant.narrows("client") is not None:
        caller.may(Resource("rider", named, caller.tenant, client=row.client or ""))
    return named, json.loads(row.body)


async def _profile(caller: Caller, rider: str | None) -> dict[str, Any]:
    """What a rider's rides need; nothing of one who is forgotten."""
    if rider is None:
        return {}
    query = select(riders.c.body).where(riders.c.tenant == caller.tenant, riders.c.rider == rider)
    found = await caller.read(lambda connection: connection.execute(query).scalar())
    return {} if found is None else dict(json.loads(found))


def _mark(after: str | None) -> tuple[int, str] | None:
    if after is None:
        return None
    instant, _, name = after.partition(".")
    return int(instant), name
