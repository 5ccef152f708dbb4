"""A binary heap in two arrays, least key first: the numbers of things, and their keys."""

from typing import Any

from noriai_engine.kernels import inlined_kernel
from noriai_engine.model.units import IntArray


@inlined_kernel
def push(heap: IntArray, keys: Any, used: int, number: int, key: int) -> int:
    """Put one in; returns how many there are."""
    k = used
    while k > 0 and keys[(k - 1) >> 1] > key:
        heap[k], keys[k] = heap[(k - 1) >> 1], keys[(k - 1) >> 1]
        k = (k - 1) >> 1
    heap[k], keys[k] = number, key
    return used + 1


@inlined_kernel
def drop_first(heap: IntArray, keys: Any, used: int) -> int:
    """Take the first out; returns how many are left."""
    used -= 1
    number, key, k = heap[used], keys[used], 0
    while 2 * k + 1 < used:
        child = 2 * k + 1
        if child + 1 < used and keys[child + 1] < keys[child]:
            child += 1
        if keys[child] >= key:
            break
        heap[k], keys[k] = heap[child], keys[child]
        k = child
    heap[k], keys[k] = number, key
    return used
