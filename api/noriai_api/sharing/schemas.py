"""Documents of the exchange's own side."""

from typing import Annotated, Any, Literal

from pydantic import Field

from noriai_api.exchange.catalogue import Description, Way
from noriai_api.schemas import Said, Strict, Text

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._~:-]*$")]
Purpose = Literal["dispatch", "service-planning", "subsidy-evidence", "research", "open-data"]


class SelfOut(Said):
    """Who we are: an authority needs it to make a membership."""

    participant: str
    address: str
    keys: list[dict[str, Any]]


class MembershipIn(Strict):
    membership: Annotated[str, Field(max_length=20_000, pattern=r"^[A-Za-z0-9_.-]+$")]


class AllowedIn(Strict):
    allowed: bool


class ParticipantOut(Said):
    participant: str
    address: str
    name: str | None
    corporate_number: str | None
    authority: str | None
    allowed: bool
    valid_to: str


class ParticipantsOut(Said):
    participants: list[ParticipantOut]


class TermsIn(Strict):
    """Terms in short: everything stated must hold."""

    recipients: Annotated[list[Name] | None, Field(max_length=100)] = None
    purposes: Annotated[list[Purpose], Field(min_length=1, max_length=5)]
    areas: Annotated[list[Annotated[str, Field(max_length=40)]] | None, Field(max_length=1000)] = None
    until: Annotated[str | None, Field(max_length=40, description="RFC 3339 with offset")] = None
    lasts: Annotated[str | None, Field(max_length=20, description="ISO 8601 duration from the agreement on")] = None
    uses: Annotated[int | None, Field(ge=1, le=10**9)] = None
    smallest_group: Annotated[int | None, Field(ge=1, le=10**6)] = None
    epsilon: Annotated[str | None, Field(max_length=20, pattern=r"^\d+(\.\d{1,6})?$")] = None
    onward: Annotated[list[Name] | None, Field(max_length=100, description="whom recipients may pass it on to")] = None


class DatasetIn(Strict):
    """A dataset to offer. No viewers: whoever we know may see it."""

    about: Annotated[Description, Field(strict=False)]
    terms: TermsIn
    viewers: Annotated[list[Name] | None, Field(max_length=1000)] = None
    manual: Annotated[bool, Field(description="a person decides on each negotiation")] = False


class DatasetOut(Said):
    dataset: str
    about: dict[str, Any]
    offer: dict[str, Any]
    manual: bool


class DatasetsOut(Said):
    datasets: list[DatasetOut]


class CatalogueOut(Said):
    catalogue: dict[str, Any]


class NegotiationIn(Strict):
    """Ask for a dataset on the terms it is offered with."""

    participant: Name
    dataset: Name
    purpose: Purpose | None = None
    manual: bool = False


class ProposalIn(Strict):
    participant: Name
    dataset: Name


class TransferIn(Strict):
    agreement: Name
    way: Way
    purpose: Purpose
    manual: bool = False


class MoveIn(Strict):
    move: Literal[
        "request", "offer", "accept", "agree", "verify", "finalize", "start", "suspend", "complete", "terminate"
    ]
    reason: Text | None = None


class ProcessOut(Said):
    """A negotiation or transfer as we have it."""

    process: str
    kind: str
    role: str
    participant: str
    peer_process: str | None
    state: str
    subject: str
    manual: bool
    agreement: str | None
    ended: list[str]


class ProcessesOut(Said):
    processes: list[ProcessOut]


class AgreementOut(Said):
    agreement: str
    role: str
    participant: str
    dataset: str
    hash: str
    finalized: str
    revoked: str | None
    uses: int
    terms: dict[str, Any]


class AgreementsOut(Said):
    agreements: list[AgreementOut]


class RevocationIn(Strict):
    reason: Annotated[Text, Field(min_length=1)]


class ComparisonOut(Said):
    """Entries that one side has and the other has not, or has otherwise: none where the logs agree."""

    differences: list[dict[str, Any]]


class UsageOut(Said):
    """A page of the log; `whole`: each entry follows from the one before. `next`: give it as `after` for those that
    follow."""

    entries: list[dict[str, Any]]
    whole: bool
    next: int | None = None


class ReceivedOut(Said):
    records: list[dict[str, Any]]


class IncidentsOut(Said):
    incidents: list[dict[str, Any]]
