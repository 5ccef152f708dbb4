"""The other side of the Dataspace Protocol, written from the specification alone: it shares no code with ours.

It speaks over real HTTP, signs its own proofs, checks every message it gets against the official schemas, and keeps its
own table of the states.
"""

from __future__ import annotations

import hashlib
import json
import queue
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import OKPKey
from jsonschema import Draft201909Validator
from referencing import Registry, Resource

CONTEXT = ["https://w3id.org/dspace/2025/1/context.jsonld"]
FAR = 4_000_000_000

STATES = {
    "ContractRequestMessage": "REQUESTED", "ContractOfferMessage": "OFFERED", "accepted": "ACCEPTED",
    "ContractAgreementMessage": "AGREED", "ContractAgreementVerificationMessage": "VERIFIED", "finalized": "FINALIZED",
    "ContractNegotiationTerminationMessage": "TERMINATED", "TransferRequestMessage": "REQUESTED",
    "TransferStartMessage": "STARTED", "TransferSuspensionMessage": "SUSPENDED",
    "TransferCompletionMessage": "COMPLETED", "TransferTerminationMessage": "TERMINATED",
}  # fmt: skip
PATHS = {
    "ContractRequestMessage": "request", "ContractOfferMessage": "offers", "accepted": "events", "finalized": "events",
    "ContractAgreementMessage": "agreement", "ContractAgreementVerificationMessage": "agreement/verification",
    "ContractNegotiationTerminationMessage": "termination", "TransferStartMessage": "start",
    "TransferSuspensionMessage": "suspension", "TransferCompletionMessage": "completion",
    "TransferTerminationMessage": "termination",
}  # fmt: skip
MOVES = {
    "ContractRequestMessage": "request", "ContractOfferMessage": "offer", "accepted": "accept", "finalized": "finalize",
    "ContractAgreementMessage": "agree", "ContractAgreementVerificationMessage": "verify",
    "ContractNegotiationTerminationMessage": "terminate", "TransferStartMessage": "start",
    "TransferSuspensionMessage": "suspend", "TransferCompletionMessage": "complete",
    "TransferTerminationMessage": "terminate",
}  # fmt: skip


def names_of(label: str) -> str:
    """Our name of a step's label."""
    label = {"ContractVerificationMessage": "ContractAgreementVerificationMessage"}.get(label, label)
    return label.split(":")[1] if ":" in label else label


class Schemas:
    """The official schemas, loaded from where the specification has them (three lack a slash in a reference)."""

    def __init__(self, folder: Path) -> None:
        self.by_name = {}
        found = []
        for path in folder.glob("*/*-schema.json"):
            body = json.loads(path.read_text().replace("json#definitions/", "json#/definitions/"))
            found.append((body["$id"], Resource.from_contents(body)))
            self.by_name[path.name.removesuffix("-schema.json").replace("-", "")] = body["$id"]
        self.registry = Registry().with_resources(found)
        self.checked = 0

    def check(self, message: dict[str, Any], name: str | None = None) -> None:
        key = (name or message["@type"]).lower()
        Draft201909Validator({"$ref": self.by_name[key]}, registry=self.registry).validate(message)
        self.checked += 1


class Key:
    """An Ed25519 key and what it signs."""

    def __init__(self) -> None:
        self.key = OKPKey.generate_key("Ed25519")
        self.kid = self.key.thumbprint()

    def public(self) -> dict[str, Any]:
        return {"jwk": {**self.key.as_dict(private=False), "kid": self.kid}, "nbf": 0, "exp": FAR}

    def sign(self, kind: str, claims: dict[str, Any]) -> str:
        header = {"alg": "Ed25519", "typ": kind, "kid": self.kid}
        return jwt.encode(header, claims, self.key, algorithms=["Ed25519"])


class Kit:
    """A participant that does as it is told."""

    def __init__(self, schemas: Schemas) -> None:
        self.schemas, self.id = schemas, "urn:kit"
        self.authority, self.key = Key(), Key()
        self.came: queue.Queue[tuple[str, str, dict[str, Any]]] = queue.Queue()
        self.http = httpx.Client(timeout=20)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.states: dict[str, dict[str, Any]] = {}
        self.peer = self.peer_address = ""
        self.peer_keys: dict[str, OKPKey] = {}
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.http.close()

    def membership(self) -> str:
        now = int(time.time())
        return self.authority.sign("noriai-membership+jwt", {
            "iss": "urn:kit:authority", "sub": self.id, "address": self.address, "iat": now, "exp": FAR,
            "keys": [self.key.public()],
        })  # fmt: skip

    def meet(self, about: dict[str, Any]) -> None:
        """Remember the node under test."""
        self.peer, self.peer_address = about["participant"], about["address"]
        self.peer_keys = {key["jwk"]["kid"]: OKPKey.import_key(key["jwk"]) for key in about["keys"]}

    def send(self, method: str, path: str, message: dict[str, Any] | None = None) -> httpx.Response:
        url, body = f"{self.peer_address}/{path}", b"" if message is None else json.dumps(message).encode()
        if message is not None:
            self.schemas.check(message)
        proof = self.key.sign("noriai-proof+jwt", {
            "iss": self.id, "aud": self.peer, "iat": int(time.time()), "jti": str(uuid.uuid4()), "htm": method,
            "htu": unquote(urlsplit(url).path), "bsh": hashlib.sha256(body).hexdigest(),
        })  # fmt: skip
        answer = self.http.request(method, url, content=body, headers={"Noriai-Proof": proof})
        if answer.content and answer.status_code < 500:
            self.schemas.check(answer.json())
        return answer

    def awaited(self, seconds: float = 20) -> tuple[str, str, dict[str, Any]]:
        """The next message that came: (method, path, body)."""
        return self.came.get(timeout=seconds)

    def _take(self, method: str, path: str, body: bytes, proof: str) -> dict[str, Any] | None:
        """Check a message of the node under test and answer it."""
        header = json.loads(_b64(proof.split(".")[0]))
        claims = jwt.decode(proof, self.peer_keys[header["kid"]], algorithms=["Ed25519"]).claims
        assert (claims["iss"], claims["aud"], claims["htm"]) == (self.peer, self.id, method)
        assert claims["bsh"] == hashlib.sha256(body).hexdigest()
        parts = path.strip("/").split("/")
        if method == "GET" and parts[1] == "catalog":
            offer = {"@id": "kit-offer", "@type": "Offer", "permission": [{"action": "use"}]}
            access = {"@id": "s", "@type": "DataService", "endpointURL": self.address}
            return {"@context": CONTEXT, "@id": parts[-1], "@type": "Dataset", "hasPolicy": [offer],
                    "distribution": [{"format": "HttpData-PULL", "accessService": access}]}  # fmt: skip
        message = json.loads(body)
        self.schemas.check(message)
        answer = self._answer(parts, message)
        self.came.put((method, path, message))
        return answer

    def _answer(self, parts: list[str], message: dict[str, Any]) -> dict[str, Any] | None:
        if parts[-1] == "request" and len(parts) == 3:
            answer = self.new_process(message)
            self.schemas.check(answer)
            return answer
        if parts[-1] == "request":
            return self._standing("ContractNegotiation", message["providerPid"], message["consumerPid"], "REQUESTED")
        return None

    def new_process(self, message: dict[str, Any]) -> dict[str, Any]:
        name = "ContractNegotiation" if message["@type"] == "ContractRequestMessage" else "TransferProcess"
        return self._standing(name, f"kit:{uuid.uuid4()}", message["consumerPid"], "REQUESTED")

    def _standing(self, name: str, provider: str, consumer: str, state: str) -> dict[str, Any]:
        said = {"@context": CONTEXT, "@type": name, "providerPid": provider, "consumerPid": consumer, "state": state}
        self.states[consumer] = said
        return said

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        kit = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                try:
                    said = kit._take(self.command, unquote(self.path), body, self.headers["Noriai-Proof"])
                    status = 200
                except Exception as error:
                    kit.came.put(("fault", self.path, {"@type": repr(error)}))
                    said, status = None, 500
                payload = b"" if said is None else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            do_GET = do_POST  # noqa: N815 - the name http.server looks for

            def log_message(self, *arguments: Any) -> None:
                return

        return Handler


def _b64(text: str) -> bytes:
    import base64

    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Run:
    """One sequence between the kit and a node under test. `manage(method, path, body)` is the node's own side."""

    def __init__(self, kit: Kit, manage: Any, kind: str, role: str, agreement: str = "") -> None:
        self.kit, self.manage, self.kind, self.kit_role, self.agreement = kit, manage, kind, role, agreement
        self.mine = self.theirs = ""
        self.state = ""
        self.answer: httpx.Response | None = None
        self.errors = 0

    @property
    def place(self) -> str:
        return "negotiations" if self.kind == "negotiation" else "transfers"

    def pids(self) -> dict[str, str]:
        kit_is_provider = self.kit_role == "provider"
        return {"providerPid": self.mine if kit_is_provider else self.theirs,
                "consumerPid": self.theirs if kit_is_provider else self.mine}  # fmt: skip

    def signal(self, dataset: str) -> None:
        """Let the node begin as a consumer; the kit answers its first message."""
        while not self.kit.came.empty():
            self.kit.came.get()
        if self.kind == "negotiation":
            body = {"participant": self.kit.id, "dataset": dataset, "manual": True}
            self.manage("POST", "negotiations", body)
        else:
            body = {"agreement": self.agreement, "way": "HttpData-PULL", "purpose": "research", "manual": True}
            self.manage("POST", "transfers", body)
        _, path, message = self.kit.awaited()
        assert path.endswith(f"/dsp/{self.place}/request"), (path, message)
        said = self.kit.states[message["consumerPid"]]
        self.theirs, self.mine, self.state = message["consumerPid"], said["providerPid"], "REQUESTED"
        for _ in range(200):  # until the node has read the answer
            if self.manage("GET", f"processes/{self.theirs}")["peer_process"] == self.mine:
                return
            time.sleep(0.02)
        raise AssertionError("the node does not take the kit's answer")

    def send(self, name: str, dataset: str) -> None:
        """The kit sends a message."""
        message: dict[str, Any] = {"@context": CONTEXT, "@type": name}
        if name in ("accepted", "finalized"):
            message["@type"], message["eventType"] = "ContractNegotiationEventMessage", name.upper()
        first = name in ("ContractRequestMessage", "TransferRequestMessage") and not self.mine
        if first:
            self.mine = f"kit:{uuid.uuid4()}"
            message |= {"consumerPid": self.mine, "callbackAddress": f"{self.kit.address}/dsp"}
        else:
            message |= self.pids()
        offer = {"@id": f"offer:{uuid.uuid4()}", "@type": "Offer", "target": dataset, "permission": [{"action": "use"}]}
        if name in ("ContractRequestMessage", "ContractOfferMessage"):
            message["offer"] = offer
        elif name == "ContractAgreementMessage":
            message["agreement"] = {
                "@id": f"urn:uuid:{uuid.uuid4()}", "@type": "Agreement", "target": dataset, "assigner": self.kit.id,
                "assignee": self.kit.peer, "timestamp": "2026-11-22T00:00:00Z", "permission": [{"action": "use"}],
            }  # fmt: skip
            self.agreement = message["agreement"]["@id"]
        elif name == "TransferRequestMessage":
            message |= {"agreementId": self.agreement, "format": "HttpData-PULL"}
        path = f"dsp/{self.place}/request" if first else f"dsp/{self.place}/{self.theirs}/{PATHS[name]}"
        self.answer = self.kit.send("POST", path, message)
        self.pending = STATES[name]
        if first and self.answer.is_success:
            said = self.answer.json()
            assert said["consumerPid"] == self.mine
            self.theirs = said["providerPid"]

    def expect(self, name: str) -> None:
        """The node makes its move, and the kit gets its message."""
        moved = self.manage("POST", f"processes/{self.theirs}/moves", {"move": MOVES[name]})
        assert moved["state"] == STATES[name]
        method, path, message = self.kit.awaited()
        wanted = f"/dsp/{self.place}/{self.mine}/{PATHS[name]}"
        assert (method, path) == ("POST", wanted), (method, path, message)
        assert {key: message[key] for key in ("providerPid", "consumerPid")} == self.pids()
        if name in ("accepted", "finalized"):
            assert message["eventType"] == name.upper()
        if name == "ContractAgreementMessage":
            self.agreement = message["agreement"]["@id"]
            assert message["agreement"]["assigner"] == self.kit.peer
            assert message["agreement"]["assignee"] == self.kit.id
        self.state = STATES[name]

    def answered(self, *, refused: bool) -> None:
        """How the node answered the last message: a refusal changes nothing."""
        assert self.answer is not None
        if refused:
            assert 400 <= self.answer.status_code < 500, self.answer.text
            self.errors += 1
        else:
            assert self.answer.is_success, self.answer.text
            self.state = self.pending
        self.confirm()

    def confirm(self) -> None:
        said = self.kit.send("GET", f"dsp/{self.place}/{self.theirs}")
        assert said.status_code == 200, said.text
        assert (said.json()["state"], {k: said.json()[k] for k in ("providerPid", "consumerPid")}) == (
            self.state, self.pids(),
        )  # fmt: skip
