"""Places and operators in the core data model of Japan's Government Interoperability Framework (GIF, Digital Agency,
2025-03-25): `Facility` and `LegalEntity`, as they stand in its XSD.

The XSD has no element for a list, so that they stand side by side in one of ours. What the model asks for and we do not
know (kana, street addresses) is empty or nil, never made up. Coordinates have no place in a Facility: its description
holds them as a geo URI (RFC 5870).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

from noriai_engine.regions import PlaceOfInterest

GIF = "http://xxx/xxx/gif/xxx"
"""The namespace as published: provisional, says the XSD."""
OURS = "urn:noriai:gif"
NIL = {"{http://www.w3.org/2001/XMLSchema-instance}nil": "true"}
KINDS = {"clinic": "診療所・病院", "shop": "商店", "school": "学校", "station": "駅", "civic": "公共施設"}


def document(places: Sequence[PlaceOfInterest], operators: Mapping[str, Mapping[str, Any]], municipality: str) -> bytes:
    """An XML document: a Facility for each place, a LegalEntity for each operator. `municipality`: code of five digits,
    empty where it is not known."""
    ET.register_namespace("pd", GIF)
    root = ET.Element(f"{{{OURS}}}records")
    root.extend(_facility(number, place, municipality) for number, place in enumerate(places))
    root.extend(_legal_entity(name, body) for name, body in sorted(operators.items()))
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _facility(number: int, place: PlaceOfInterest, municipality: str) -> ET.Element:
    facility = ET.Element(_pd("Facility"))
    _add(facility, [
        ("id", f"{municipality or 'place'}-{place.kind}-{number}"),
        ("typeInformation", [("codeType", "noriai place kind"), ("code", place.kind)]),
        ("name", place.name or KINDS.get(place.kind, place.kind)), ("nameKana", ""),
        ("description", f"{KINDS.get(place.kind, place.kind)} geo:{place.lat:.6f},{place.lon:.6f}"),
        ("facilityAddress_MP07", None),
    ])  # fmt: skip
    return facility


def _legal_entity(name: str, body: Mapping[str, Any]) -> ET.Element:
    entity, phone = ET.Element(_pd("LegalEntity_MP03")), body.get("phone")
    _add(entity, [
        ("idGroup", [("idType", "noriai operator"), ("id", name)]),
        ("tradeName", body.get("name_ja") or body["name"]), ("tradeNameKana", ""), ("tradeNameEn", body["name"]),
        ("categoryOfOrganization", None),
        ("contactPointInformation", [("contactPointPhoneNumber", phone)] if phone else None),
    ])  # fmt: skip
    return entity


def _add(parent: ET.Element, parts: Iterable[tuple[str, Any]]) -> None:
    """Children by name: a text, parts of their own, or nil where it is None."""
    for name, value in parts:
        child = ET.SubElement(parent, _pd(name), NIL if value is None else {})
        if isinstance(value, str):
            child.text = value
        elif value is not None:
            _add(child, value)


def _pd(name: str) -> str:
    return f"{{{GIF}}}{name}"
