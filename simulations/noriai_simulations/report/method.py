"""How the figures came about and where they end: what a careful reader asks first."""

from typing import TYPE_CHECKING

from markupsafe import Markup

from noriai_engine.world.life import Breakdown, LateDriver
from noriai_simulations.report.words import both

if TYPE_CHECKING:
    from noriai_simulations.scenario import Scenario
    from noriai_simulations.scenario_file import DispatchTable


def method_notes(scenario: "Scenario") -> list[Markup]:
    """Sentences on demand, travel times, dispatch, promises and proof, in both languages."""
    s, file = scenario.service, scenario.source

    def minutes(ms: int) -> str:
        return f"{ms / 60_000:g}"

    if file.demand.synthetic is not None:
        demand = both(
            f"Demand is made up, not observed: {len(scenario.requests):,} requests drawn from the population and the "
            f"places people go to (profile {file.demand.synthetic.profile}, typical trip "
            f"{file.demand.synthetic.typical_km:g} km, seed {file.seed}). Use it to compare services, not as a forecast.",
            f"需要は観測値ではなく、人口と目的地から乱数（シード{file.seed}）で作った{len(scenario.requests):,}件です。"
            "サービスの比較に使い、予測としては使わないでください。",
        )
    else:
        demand = both(
            f"Demand: {len(scenario.requests):,} trips read from {file.demand.file}; a refused rider does not ask again.",
            f"需要は {file.demand.file} から読んだ{len(scenario.requests):,}件です。断られた人の再依頼はありません。",
        )
    riders = {
        "door": "door to door",
        "stops": f"from stop to stop, up to {s.max_walk_m} m on foot",
        "meet": f"from door to door or, where that costs less driving, from and to stops up to {s.max_walk_m} m away "
        "along the streets",
    }[s.mode]
    return [
        demand,
        both(
            "Travel times are free-flow times by road class and signed speed, with delays at turns and, where the map has "
            "them, turn restrictions, signals and barriers, but without traffic; real rides take longer. Places are "
            f"moved to the nearest street, at most {s.max_snap_m} m; on busy streets to the side of the address.",
            f"所要時間は道路種別と規制速度による値に、右左折の時間と、地図にあれば右左折禁止・信号・遮断物を加えたものです。"
            f"渋滞は含まないため、実際はこれより長くかかります。地点は{s.max_snap_m}m以内の最寄りの道路に、"
            "交通量の多い道路では住所の側に移しています。",
        ),
        both(
            f"Service: {riders}; wait at most {minutes(s.max_wait_ms)} min, ride at most {minutes(s.max_ride_ms)} min and "
            f"{s.detour_factor_permille / 1000:g} x direct + {minutes(s.detour_extra_ms)} min, arrival at most "
            f"{minutes(s.arrival_margin_ms)} min early.",
            f"条件：待ち時間は{minutes(s.max_wait_ms)}分まで、乗車時間は{minutes(s.max_ride_ms)}分かつ"
            f"直行の{s.detour_factor_permille / 1000:g}倍＋{minutes(s.detour_extra_ms)}分まで、"
            f"早着は{minutes(s.arrival_margin_ms)}分まで。",
        ),
        both(
            "Dispatch: each request is answered when it is placed, by the insertion that adds the least driving time "
            "over all vehicles and all positions in their plans; every promise given before is kept. Accepted riders "
            "take the cheapest offer. Driving counts, waiting does not, so many waits come near the limit. "
            + _between_requests(file.dispatch)[0],
            "配車：依頼ごとに、すべての車両・すべての挿入位置の中から、走行時間の増加が最も小さいものを選びます。"
            "先に交わした約束はすべて守ります。走行時間だけを数えるので、待ち時間は上限に近いものが多くなります。"
            + _between_requests(file.dispatch)[1],
        ),
        _life(scenario),
        both(
            "A vehicle waits where it is and leaves just in time; breaks are taken at the depot with nobody aboard.",
            "車両はその場で待ち、間に合う時刻に出発します。休憩は車庫で、誰も乗せずに取ります。",
        ),
        both(
            "Proof: noriai check recomputes every travel time, promise, load, shift and figure from the files of this run "
            "with code of its own.",
            "検証：noriai check が、この結果のファイルだけから、所要時間・約束・定員・勤務・指標を別のプログラムで計算し直します。",
        ),
    ]


def _between_requests(table: "DispatchTable") -> tuple[str, str]:
    """Whether plans were searched anew, in both languages."""
    if table.improve_every_min == 0 and table.batch_every_s == 0:
        return (
            "Plans are not improved between requests, so a better plan may exist.",
            "依頼の合間の計画改善はしていないので、より良い計画があり得ます。",
        )
    return (
        "Between requests plans are searched anew, within every promise; a better plan may still exist.",
        "依頼の合間にも、約束を守る範囲で計画を改善しています。それでも、より良い計画があり得ます。",
    )


def _life(scenario: "Scenario") -> Markup:
    """What happened that nobody planned."""
    life, service = scenario.life, scenario.service
    failed = sum(isinstance(i, Breakdown) and i.cause != "driver_absent" for i in life.incidents)
    absent = sum(isinstance(i, Breakdown) and i.cause == "driver_absent" for i in life.incidents)
    late = sum(isinstance(i, LateDriver) for i in life.incidents)
    share, traffic = life.held_up.share_permille / 10, len(scenario.source.life.traffic)
    if not life.incidents and share == 0:
        return both(
            "Vehicles do exactly as planned: nobody is late, sick or absent.",
            "車両は計画どおりに動きます（遅れ・欠勤・不在はありません）。",
        )
    buffer_min, buffer_share = service.pickup_buffer_ms / 60_000, service.ride_buffer_permille / 10
    give_up_min = service.give_up_ms / 60_000
    return both(
        f"Not all goes as planned: drives take {share:g} % longer on average, in hold-ups drawn at random; vehicles that "
        f"fail: {failed}, drivers absent: {absent}, late: {late}; changes of traffic: {traffic}. Dispatch learns of each "
        "when it happens, and how long it lasts. Promises are made with a buffer of "
        f"{buffer_min:g} min at pickups and {buffer_share:g} % of the direct ride. For a rider whose vehicle can come no "
        f"longer another one is looked for until {give_up_min:g} min before the latest pickup promised.",
        f"計画どおりに進まないことも起こします。走行は平均{share:g}％長くかかります（足止めは乱数による）。"
        f"故障する車両{failed}台、来ない運転者{absent}人、遅れる運転者{late}人、交通の変化{traffic}件。"
        "配車は、起きた時にその長さとともに知るものとします。"
        f"約束には、乗車で{buffer_min:g}分、直行時間の{buffer_share:g}％の余裕を見ています。"
        f"車両が来られなくなった予約には、約束した乗車時刻の上限の{give_up_min:g}分前まで、代わりの車両を探し続けます。",
    )
