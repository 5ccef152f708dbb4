"""The sequences of the official conformance kit, in both roles, between two processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from dsp_kit import Kit, Run, Schemas, names_of

STANDARD = Path(__file__).parents[3] / "shared" / "standards" / "dataspace-protocol"
DATASET = "urn:noriai:dataset:kit"

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not STANDARD.is_dir(), reason="needs the Dataspace Protocol files of ../shared/standards"),
]

SEQUENCES: list[dict[str, Any]] = json.loads((STANDARD / "tck-sequences.json").read_text()) if STANDARD.is_dir() else []


class Node:
    """A node in a process of its own, with the kit as a participant it knows."""

    def __init__(self, folder: Path, kit: Kit) -> None:
        authorities = folder / "authorities.json"
        authorities.write_text(json.dumps({"urn:kit:authority": [kit.authority.public()]}))
        environment = os.environ | {"NORIAI_AUTHORITIES": str(authorities), "NORIAI_FLEET": "0",
                                    "NORIAI_REQUESTS_PER_MINUTE": "1000000"}  # fmt: skip
        self.process = subprocess.Popen(
            [Path(sys.executable).parent / "noriai", "serve", "--port", "0", "--data", str(folder / "data"), "--json"],
            stdout=subprocess.PIPE, env=environment, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        said = json.loads(self.process.stdout.readline())
        headers = {"Authorization": f"Bearer {said['keys']['administrator']}"}
        transport = httpx.HTTPTransport(retries=50)
        self.http = httpx.Client(base_url=said["address"], headers=headers, timeout=60, transport=transport)
        kit.meet(self.manage("GET", "self"))
        self.manage("POST", "participants", {"membership": kit.membership()})
        about = {
            "title": {"ja": "試験", "en": "Test"}, "description": {"ja": "試験", "en": "Test"}, "owner": "urn:kit",
            "kind": "operations", "schema_id": "urn:s", "schema_version": "1.0", "area": ["jis:08220"],
            "coverage": "all", "formats": ["HttpData-PULL"],
        }  # fmt: skip
        self.manage("PUT", f"datasets/{DATASET}", {"about": about, "terms": {"purposes": ["research"]}, "manual": True})

    def manage(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = self.http.request(method, f"/v1/exchange/{path}", json=body)
        assert answer.is_success, (method, path, answer.text)
        return answer.json()

    def close(self) -> None:
        self.http.close()
        self.process.terminate()
        assert self.process.wait(60) == 0


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Kit]]:
    kit = Kit(Schemas(STANDARD))
    node = Node(tmp_path_factory.mktemp("node"), kit)
    yield node, kit
    node.close()
    kit.close()


@pytest.fixture(scope="module")
def agreements(pair: tuple[Node, Kit]) -> dict[str, str]:
    """An agreement with the node as provider, and one with it as consumer, made by the sequences themselves."""
    return {
        role: play(pair, sequence(name)).agreement
        for role, name in (("provider", "CN_C:01-04"), ("consumer", "CN:01-04"))
    }


def sequence(name: str) -> dict[str, Any]:
    return next(one for one in SEQUENCES if one["id"] == name)


def play(pair: tuple[Node, Kit], case: dict[str, Any], agreements: dict[str, str] | None = None) -> Run:
    """Go through a case step by step."""
    node, kit = pair
    kind = "negotiation" if case["id"].startswith("CN") else "transfer"
    role = "provider" if "_C:" in case["id"] else "consumer"
    run = Run(kit, node.manage, kind, role, (agreements or {}).get(role, ""))
    begun = False
    for sender, _, label in case["steps"]:
        name = names_of(label)
        if sender == "TCK" and name.startswith("Signal"):
            run.signal(DATASET)
            begun = True
        elif sender == "TCK" and name not in ("200 OK", "ContractNegotiation", "TransferProcess", "TransferRequest"):
            run.send(name, DATASET)
        elif sender == "CUT" and name in ("200 OK", "ContractNegotiation", "TransferProcess"):
            run.answered(refused=False)
            if name != "200 OK":
                assert run.answer is not None
                assert run.answer.json()["@type"] == name
        elif sender == "CUT" and name == "4xx ERROR":
            run.answered(refused=True)
        elif sender == "CUT" and begun and name in ("ContractRequestMessage", "TransferRequestMessage"):
            begun = False  # it came with the signal
        elif sender == "CUT" and run.state == "FINALIZED":
            # CN:01-03 lists a termination here where its title ends with "provider finalized": it must be refused
            answer = node.http.post(f"/v1/exchange/processes/{run.theirs}/moves", json={"move": "terminate"})
            assert answer.status_code == 409
        elif sender == "CUT":
            run.expect(name)
    run.confirm()
    return run


@pytest.mark.parametrize("case", [c for c in SEQUENCES if c["id"].startswith("CN")], ids=lambda c: c["id"])
def test_negotiations(pair: tuple[Node, Kit], case: dict[str, Any]) -> None:
    run = play(pair, case)
    assert run.errors == sum(label == "4xx ERROR" for *_, label in case["steps"])


@pytest.mark.parametrize("case", [c for c in SEQUENCES if c["id"].startswith("TP")], ids=lambda c: c["id"])
def test_transfers(pair: tuple[Node, Kit], agreements: dict[str, str], case: dict[str, Any]) -> None:
    run = play(pair, case, agreements)
    assert run.errors == sum(label == "4xx ERROR" for *_, label in case["steps"])


def test_catalogue_and_metadata(pair: tuple[Node, Kit]) -> None:
    """CAT:01-01, CAT:01-02, CAT:01-03 and MET:01-01."""
    _, kit = pair
    ask = {
        "@context": ["https://w3id.org/dspace/2025/1/context.jsonld"],
        "@type": "CatalogRequestMessage",
        "filter": [],
    }
    found = kit.send("POST", "dsp/catalog/request", ask)
    assert (found.status_code, found.json()["@type"]) == (200, "Catalog")
    assert [dataset["@id"] for dataset in found.json()["dataset"]] == [DATASET]
    one = kit.send("GET", f"dsp/catalog/datasets/{DATASET}")
    assert (one.status_code, one.json()["@id"]) == (200, DATASET)
    none = kit.send("GET", "dsp/catalog/datasets/urn:noriai:dataset:none")
    assert (none.status_code, none.json()["@type"]) == (404, "CatalogError")
    said = kit.http.get(f"{kit.peer_address}/.well-known/dspace-version")
    kit.schemas.check(said.json(), "protocolversion")
    assert kit.peer_address.endswith(said.json()["protocolVersions"][0]["path"].removesuffix("/dsp"))


def test_all_cases_are_there() -> None:
    played = [c for c in SEQUENCES if c["id"][:2] in ("CN", "TP")]
    assert (len(SEQUENCES), len(played)) == (67, 63)


def test_69_illegal_messages_change_nothing(pair: tuple[Node, Kit], agreements: dict[str, str]) -> None:
    """Every (state, sender, message) that the tables do not have, sent by whichever side may send at all: those of the
    node's own are refused by its management, those of the kit by its door."""
    legal = {
        "negotiation": {
            ("REQUESTED", "provider"): {"ContractOfferMessage", "ContractAgreementMessage", "T"},
            ("REQUESTED", "consumer"): {"T"},
            ("OFFERED", "consumer"): {"ContractRequestMessage", "accepted", "T"}, ("OFFERED", "provider"): {"T"},
            ("ACCEPTED", "provider"): {"ContractAgreementMessage", "T"},
            ("AGREED", "consumer"): {"ContractAgreementVerificationMessage", "T"},
            ("VERIFIED", "provider"): {"finalized", "T"},
        },
        "transfer": {
            ("REQUESTED", "provider"): {"TransferStartMessage", "T"}, ("REQUESTED", "consumer"): {"T"},
            **{("STARTED", r): {"TransferSuspensionMessage", "TransferCompletionMessage", "T"} for r in ("provider", "consumer")},
            **{("SUSPENDED", r): {"TransferStartMessage", "T"} for r in ("provider", "consumer")},
        },
    }  # fmt: skip
    sends = {
        ("negotiation", "consumer"): ["ContractRequestMessage", "accepted", "ContractAgreementVerificationMessage", "T"],
        ("negotiation", "provider"): ["ContractOfferMessage", "ContractAgreementMessage", "finalized", "T"],
        **{("transfer", r): ["TransferStartMessage", "TransferSuspensionMessage", "TransferCompletionMessage", "T"]
           for r in ("provider", "consumer")},
    }  # fmt: skip
    reached = {
        ("negotiation", "consumer"): ["CN:02-01", "CN:01-01", "CN:02-06", "CN:02-03", "CN:02-07", "CN:01-04"],
        ("negotiation", "provider"): ["CN_C:02-01", "CN_C:01-03", "CN_C:02-05", "CN_C:02-03", "CN_C:02-06", "CN_C:01-04"],
        ("transfer", "consumer"): ["TP:01-05", "TP:01-02", "TP:01-03"],
        ("transfer", "provider"): ["TP_C:01-05", "TP_C:01-02", "TP_C:01-03"],
    }  # fmt: skip
    ends = {"negotiation": "ContractNegotiationTerminationMessage", "transfer": "TransferTerminationMessage"}
    tried: set[tuple[str, str, str, str]] = set()
    node, _ = pair
    for (kind, kit_role), cases in reached.items():
        for name in cases:
            case = sequence(name)
            for length in range(1, len(case["steps"]) + 1):
                run = (
                    play(pair, {**case, "steps": case["steps"][:length]}, agreements)
                    if _is_whole(case, length)
                    else None
                )
                if run is None or not run.state:
                    continue
                for sender in ("consumer", "provider"):
                    for message in sends[kind, sender]:
                        key = (kind, run.state, sender, message)
                        allowed = message in legal[kind].get((run.state, sender), set())
                        if allowed or (key in tried and sender != kit_role):
                            continue
                        full = ends[kind] if message == "T" else message
                        if sender == kit_role:
                            run.send(full, DATASET)
                            run.answered(refused=True)
                            tried.add(key)
                        else:
                            from dsp_kit import MOVES

                            answer = node.http.post(
                                f"/v1/exchange/processes/{run.theirs}/moves", json={"move": MOVES[full]}
                            )  # fmt: skip
                            assert answer.status_code == 409, (key, answer.text)
                            run.confirm()
    assert len(tried) == 69, sorted(tried)


def _is_whole(case: dict[str, Any], length: int) -> bool:
    """Does a prefix end with the answer to its last message?"""
    return str(case["steps"][length - 1][2]) in ("200 OK", "ContractNegotiation", "TransferProcess", "TransferRequest")
