"""What the day of the four towns came to: as numbers, as a page to look at, and as lines for the terminal."""

from collections import Counter
from importlib.resources import files
from typing import Any

from noriai_api.four_nodes import towns
from noriai_api.four_nodes.day import THEN, Served
from noriai_api.four_nodes.towns import TOWNS, Wish

Summary = dict[str, Any]

DEMAND_FIELDS = {"area", "from", "reason", "riders", "sequence", "time", "to", "what"}
"""What a record of demand may say: nothing of a person, a client or a booking."""


def summary_of(wishes: list[Wish], vehicles: int, alone: Served, together: Served) -> Summary:
    """Everything the page and the terminal say, from what the nodes themselves said."""
    title = {town.participant: town.title for town in TOWNS}
    rows = []
    for number, town in enumerate(TOWNS):
        mine = [n for n, wish in enumerate(wishes) if wish.town == number]
        before, after = ([served.outcomes[n] for n in mine] for served in (alone, together))
        elsewhere = [outcome for n, outcome in enumerate(together.outcomes) if n not in set(mine)]
        others = Counter(fleet for outcome in elsewhere for fleet in outcome.split(THEN))
        rows.append({
            "title": town.title, "title_ja": town.title_ja, "wishes": len(mine), "alone": before.count("unmet"),
            "together": after.count("unmet"), "alone_share": 100 * before.count("unmet") // max(1, len(mine)),
            "together_share": 100 * after.count("unmet") // max(1, len(mine)),
            "by_others": sum(outcome not in ("unmet", town.participant) for outcome in after),
            "for_others": others[town.participant],
        })  # fmt: skip
    by_name: dict[str, dict[str, dict[str, Any]]] = {}
    for agreement in together.agreements:
        by_name.setdefault(agreement["agreement"], {})[agreement["role"]] = agreement
    pairs = [sides for sides in by_name.values() if len(sides) == 2]
    shared = []
    for sides in pairs:
        given, taken = sides["provider"], sides["consumer"]
        what = given["dataset"].rsplit(":", 1)[1]
        records = together.received.get(taken["node"], Counter())[given["node"]] if what == "demand" else None
        shared.append({
            "owner": title[given["node"]], "peer": title[taken["node"]], "what": what,
            "agreement": given["agreement"], "uses": given["uses"], "records": "" if records is None else records,
        })  # fmt: skip
    return {
        "day": towns.DAY, "wishes": len(wishes), "vehicles": vehicles, "unmet_alone": alone.unmet,
        "unmet_together": together.unmet, "crossed": sum(row["by_others"] for row in rows), "towns": rows,
        "changed": sum(THEN in outcome for outcome in together.outcomes),
        "agreements": sorted(shared, key=lambda a: (a["what"], a["owner"], a["peer"])),
        "fields": ", ".join(sorted(together.fields)), "nobody": together.fields <= DEMAND_FIELDS,
        "settlements": _settlements(together, title),
        "logs": [{**log, "title": title[log["node"]]} for log in together.logs], "incidents": together.incidents,
        "same": sum(sides["provider"]["hash"] == sides["consumer"]["hash"] for sides in pairs), "pairs": len(pairs),
        "memory": together.memory_mb,
    }  # fmt: skip


def _settlements(together: Served, title: dict[str, str]) -> list[dict[str, Any]]:
    """Each agreement on rides, as both logs have it."""
    by_name: dict[str, dict[str, dict[str, Any]]] = {}
    for settled in together.settlements:
        by_name.setdefault(settled["agreement"], {})[settled["role"]] = settled
    found = [
        {"provider": title[sides["provider"]["node"]], "consumer": title[sides["consumer"]["node"]],
         "rides": sides["provider"]["rides"], "total": sides["provider"]["total"],
         "theirs": sides["consumer"]["total"], "equal": sides["provider"]["lines"] == sides["consumer"]["lines"]}
        for sides in by_name.values()
        if len(sides) == 2 and (sides["provider"]["rides"] or sides["consumer"]["rides"])
    ]  # fmt: skip
    return sorted(found, key=lambda s: (s["provider"], s["consumer"]))


def page(summary: Summary) -> str:
    """The summary as a page that needs nothing else."""
    from jinja2 import Environment, StrictUndefined

    text = files(__package__).joinpath("summary.html.j2").read_text(encoding="utf-8")
    made = Environment(autoescape=True, undefined=StrictUndefined).from_string(text)
    return made.render(**{"opportunities": []} | summary)


def lines(summary: Summary) -> list[str]:
    """The summary in a few lines."""
    shared = Counter((a["what"]) for a in summary["agreements"])
    owed = summary["settlements"]
    return [
        f"{summary['wishes']} wishes, {summary['vehicles']} vehicles in each town",
        f"  unmet, each town alone: {summary['unmet_alone']}",
        f"  unmet, together:        {summary['unmet_together']}  ({summary['crossed']} rides in a neighbour's vehicle, "
        f"{summary['changed']} of them with a change at the border)",
        f"agreements: {', '.join(f'{count} on {what}' for what, count in sorted(shared.items()))}; "
        f"{summary['same']} of {summary['pairs']} with the same hash on both sides",
        f"demand records received: {sum(a['records'] or 0 for a in summary['agreements']):,}; "
        f"fields: {summary['fields']}",
        f"rides settled: {sum(s['rides'] for s in owed)}, {sum(s['total'] for s in owed):,} yen; "
        f"both logs say the same in {sum(s['equal'] for s in owed)} of {len(owed)}",
        f"logs: {sum(log['entries'] for log in summary['logs']):,} entries, "
        f"{sum(log['whole'] for log in summary['logs'])} of {len(summary['logs'])} chains whole; "
        f"{summary['incidents']} incidents; {summary['memory']:,} MB in all",
    ]  # fmt: skip
