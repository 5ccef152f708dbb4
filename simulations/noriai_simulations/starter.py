"""The scenario that `noriai scenario init` writes: small, commented, ready to run."""

from pathlib import Path
from string import Template

from noriai_engine.model.errors import InputError
from noriai_simulations.scenario import find_region

_STARTER = Template("""\
# A scenario for noriai. Every field with its unit and range: docs/scenario.md.
format = 1
name = "$name"
title = "$title"
seed = 1                        # the same seed gives the same day to the byte
region = "$region"
service_date = $date

[service]
name = "Shared rides"
hours = ["07:00", "19:00"]      # local time; past midnight write e.g. 26:00
max_wait_min = 20               # from the wished departure to the pickup
max_ride_min = 60               # longest ride in any case
detour_factor = 1.6             # and at most this many times the direct ride,
detour_extra_min = 8            # plus this
# min_lead_min = 30             # book at least so long before
# mode = "meet"                 # door to door if left out; "stops", or "meet": on foot where that saves driving
# stops = "virtual"             # spread over the junctions; or a file of lon,lat,name; or "gtfs"
# area = "area.geojson"         # serve only inside these polygons

[demand.synthetic]              # or: [demand] file = "trips.csv"
requests = 200
profile = "everyday"            # everyday, commuter or flat
prebooked = 0.5
wished_arrival = 0.3
wheelchair = 0.05

[[operators]]
id = "taxi"
name = "Town Taxi"
kind = "taxi"

[[operators]]
id = "neighbours"
name = "Neighbours' cars"
kind = "volunteer"

[[fleet]]
operator = "taxi"
kind = "taxi"
count = 4
layouts = [{ seats = 4, luggage = 2 }, { seats = 2, wheelchairs = 1, luggage = 2 }]
shift = ["07:00", "19:00"]
breaks = [{ between = ["11:00", "14:00"], minutes = 45 }]

[[fleet]]
operator = "neighbours"
kind = "volunteer"
count = 3
layouts = [{ seats = 3, luggage = 1 }]
shift = ["08:30", "16:30"]
breaks = [{ between = ["11:30", "13:30"], minutes = 30 }]
""")


def write_starter(path: Path, region: str) -> None:
    """Write the starter scenario. Raises InputError where the file exists or the region does not."""
    if path.exists():
        raise InputError("exists already", where=path, remedy="name another file; nothing was changed")
    opened = find_region(region, path.parent)
    date = next((feed.valid_to for feed in opened.feeds if feed.valid_to), "2026-11-24")
    text = _STARTER.substitute(name=path.stem, title=opened.title.replace('"', "'"), region=region, date=date)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror}", where=path, remedy="name a folder that exists"
        ) from error
