"""Online dispatch: quotes, promises and plans for a fleet on a road network.

`Dispatcher` is loaded when it is first asked for: its kernels bring numba, which building a region needs not.
"""

from typing import TYPE_CHECKING, Any

from noriai_engine.dispatch.params import DispatchParams

if TYPE_CHECKING:
    from noriai_engine.dispatch.dispatcher import Dispatcher

__all__ = ["DispatchParams", "Dispatcher"]


def __getattr__(name: str) -> Any:
    if name == "Dispatcher":
        from noriai_engine.dispatch.dispatcher import Dispatcher

        return Dispatcher
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
