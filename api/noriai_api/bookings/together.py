"""Several offers taken as one: there and back, or a group in more than one vehicle. All of them are booked, or none."""

from contextlib import ExitStack

from sqlalchemy import Connection

from noriai_api.bookings import service
from noriai_api.bookings.schemas import BookingOut, TogetherIn, TogetherOut
from noriai_api.delegates.limits import within_limits
from noriai_api.guard import Caller
from noriai_api.idempotency import Answer, Keep
from noriai_api.problems import Problem
from noriai_api.runtime.actor import Urgency, Writes
from noriai_api.runtime.region import RegionRuntime
from noriai_engine.model.errors import StaleOfferError


async def book_all(caller: Caller, wanted: TogetherIn, keep: Keep) -> Answer:
    """Take offers of several quotes of one region. Raises Problem (not_found, invalid, conflict, paused; offer_gone
    with the number of the first that cannot be kept beside those before it)."""
    node = caller.node
    taken = [await service.offer_taken(caller, taking) for taking in wanted.bookings]
    rows = [row for row, _ in taken]
    regions = {row["region"] for row in rows}
    if len({row["quote"] for row in rows}) < len(rows) or len(regions) > 1:
        raise Problem("invalid", "offers taken together are of different quotes and of one region", errors=[
            {"where": "body.bookings", "what": "a quote twice, or several regions", "do": "ask a quote for each ride"}
        ])  # fmt: skip
    (region,) = regions
    await node.open_for_rides(caller.tenant, region)
    for row in rows:
        if row["body"]["replaces"] is not None:
            raise Problem("conflict", f"quote {row['quote']} is for changing booking {row['body']['replaces']}")
    together = rows[0]["quote"]

    def act(runtime: RegionRuntime) -> tuple[TogetherOut, Writes]:
        runs = {row["day"]: runtime.open_day(row["day"]) for row in rows}
        with ExitStack() as trial:
            for run in runs.values():
                trial.enter_context(run.tried())
            for number, (row, offer) in enumerate(taken):
                book = runs[row["day"]].dispatcher.bookings
                if row["quote"] in book.booked:
                    raise Problem("conflict", f"an offer of {row['quote']} was taken already")
                try:
                    if row["expires"] <= runtime.now:
                        raise StaleOfferError(f"the offers of {row['quote']} have expired")
                    runs[row["day"]].dispatcher.accept(offer)
                except StaleOfferError as error:
                    raise Problem("offer_gone", str(error), number=number) from error
        said: list[BookingOut] = []
        writes: list[Writes] = []
        for row, offer in taken:
            run = runs[row["day"]]
            booking = run.dispatcher.accept(offer)
            run.look_again([run.dispatcher.index_of(booking.vehicle_id)])
            one, write = service.written(runtime, run, caller, row, offer, booking, _keeps_nothing, together)
            said.append(one)
            writes.append(write)
        answer = TogetherOut(bookings=said)

        def write_all(connection: Connection) -> None:
            for write in writes:
                write(connection)
            keep(connection, 201, answer.model_dump(mode="json"))

        return answer, write_all

    async with within_limits(caller, *rows):
        made = await node.actor(caller.tenant, region).ask(
            act, "book together", actor=caller.subject.client, urgency=Urgency.BOOKING
        )
    return Answer(201, made.model_dump(mode="json"))


def _keeps_nothing(connection: Connection, status: int, body: object) -> None:
    """The answer to all of them is kept as one."""
