"""Labels of report and run sheets in both languages, and the markup that holds both at once."""

from markupsafe import Markup, escape

WORDS: dict[str, tuple[str, str]] = {
    "report": ("Simulation report", "シミュレーション報告"),
    "summary": ("Key figures", "主な指標"),
    "all_figures": ("All figures with unit, denominator and definition", "すべての指標（単位・分母・定義）"),
    "figure": ("Figure", "指標"), "value": ("Value", "値"), "unit": ("Unit", "単位"),
    "denominator": ("Denominator", "分母"), "definition": ("Definition", "定義"),
    "map": ("Map", "地図"),
    "map_help": ("Drag to move, wheel or + and - to zoom. Line width: how often vehicles drove there.",
                 "ドラッグで移動、ホイールか＋－で拡大縮小。線の太さは車両が通った回数。"),
    "layer_flow": ("Traffic of all vehicles", "全車両の走行"),
    "layer_stop": ("Public transport stops", "駅・バス停"),
    "layer_origin": ("Pickups", "乗車地点"), "layer_destination": ("Dropoffs", "降車地点"),
    "layer_unserved": ("Unserved requests", "断った依頼"), "layer_depot": ("Depots", "車庫"),
    "vehicle": ("Vehicle", "車両"), "all_vehicles": ("all vehicles", "全車両"),
    "routes_cut": ("Routes of the first {n} vehicles are drawn one by one; all are in plan.geojson.",
                   "個別の経路は最初の{n}台だけを描いています。全車両の経路は plan.geojson にあります。"),
    "requests_table": ("Requests: the map as a table", "依頼一覧（地図と同じ内容の表）"),
    "only_refused": ("refused only", "断った依頼のみ"),
    "request": ("Request", "依頼"), "wished": ("Wished time", "希望時刻"), "wait": ("Wait", "待ち時間"),
    "ride": ("Ride", "乗車時間"), "direct": ("Direct", "直行"), "outcome": ("Outcome", "結果"),
    "nearest": ("Nearest feasible", "最も近い可能時刻"), "served": ("served", "運んだ"),
    "arrive_by": ("arrive by", "到着"), "depart_at": ("depart", "出発"),
    "from_place": ("From (lon, lat)", "出発地（経度, 緯度）"), "to_place": ("To (lon, lat)", "目的地（経度, 緯度）"),
    "previous": ("previous", "前へ"), "next": ("next", "次へ"),
    "timeline": ("Vehicles through the day", "車両の一日"),
    "timeline_help": ("One row a vehicle. Height and colour of the bar: riders aboard. Point at a bar to read it.",
                      "1行が1台。帯の高さと色は乗車人数。帯を指すと内容を表示。"),
    "empty": ("empty", "空車"), "riders_aboard": ("riders aboard", "乗車人数"), "break": ("break", "休憩"),
    "boarding": ("boarding or alighting", "乗り降り"), "on_duty": ("on duty, standing", "勤務中（停車）"),
    "vehicles_table": ("Vehicles as a table", "車両の表"), "operators": ("Operators", "事業者"),
    "operator": ("Operator", "事業者"), "kind": ("Kind", "種別"), "shift": ("Shift", "勤務"),
    "vehicles": ("Vehicles", "車両数"), "requests": ("Requests", "依頼"), "riders": ("Riders", "人数"),
    "km": ("km", "km"), "empty_km": ("of them empty", "うち空車"), "drive_h": ("Driving h", "走行時間"),
    "shift_h": ("Shift h", "勤務時間"),
    "wait_chart": ("Waiting times", "待ち時間の分布"), "detour_chart": ("Detours", "迂回時間の分布"),
    "hour_chart": ("Requests by hour of the wished time", "希望時刻別の依頼数"),
    "minutes": ("minutes", "分"), "hour": ("hour", "時"), "number": ("requests", "件"),
    "from_minutes": ("from minute", "分から"), "as_table": ("as a table", "表で見る"),
    "cancelled": ("cancelled", "キャンセル"), "no_show": ("did not come", "現れなかった"),
    "dropped": ("no vehicle any more", "運べなくなった"),
    "refusals": ("Refused requests by reason", "断った理由"), "reason": ("Reason", "理由"),
    "share": ("Share of all requests", "全依頼に占める割合"), "none_refused": ("No request was refused.", "断った依頼はありません。"),
    "method": ("Method and limits", "方法と限界"), "sources": ("Sources and licences", "出典と利用条件"), "refused": ("refused", "断った"),
    "run_sheet": ("Run sheet", "運行表"), "time": ("Time", "時刻"), "what": ("What", "内容"),
    "where": ("Where", "場所"), "who": ("Who", "人・物"), "promise": ("Promised", "約束"),
    "pickup": ("Pick up", "乗車"), "dropoff": ("Set down", "降車"), "end": ("Back at the depot", "車庫に戻る"),
    "start": ("Start at the depot", "車庫を出る"), "notes": ("Notes", "メモ"),
    "seats": ("{n} on seats", "座席{n}"), "wheelchairs": ("{n} wheelchair", "車いす{n}"), "luggage": ("{n} luggage", "荷物{n}"),
    "aboard_after": ("Aboard after", "乗車中"), "nothing": ("No rides today.", "本日の予約はありません。"),
}  # fmt: skip


def both(english: str, japanese: str) -> Markup:
    """Both languages side by side; the page shows one of them."""
    return Markup('<span lang="en">{}</span><span lang="ja">{}</span>').format(english, japanese)


def word(key: str, **values: object) -> Markup:
    english, japanese = WORDS[key]
    return both(english.format(**values), japanese.format(**values))


def option(key: str) -> str:
    """For places that hold no markup (options, titles): both languages in one line."""
    english, japanese = WORDS[key]
    return str(escape(f"{english} / {japanese}"))
