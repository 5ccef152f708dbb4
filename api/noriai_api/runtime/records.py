"""Values of the domain as JSON, for rows of the store."""

from pydantic import TypeAdapter

from noriai_engine.model import Offer, Request

OFFER: TypeAdapter[Offer] = TypeAdapter(Offer)
REQUEST: TypeAdapter[Request] = TypeAdapter(Request)
