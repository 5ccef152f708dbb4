"""Online dispatch: quotes, promises and plans for a fleet on a road network."""

from noriai_engine.dispatch.dispatcher import Dispatcher
from noriai_engine.dispatch.params import DispatchParams

__all__ = ["DispatchParams", "Dispatcher"]
