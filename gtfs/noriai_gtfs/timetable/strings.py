"""Many texts in two arrays, so that they memory-map."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class StringArray:
    """n texts: `bytes` holds their UTF-8 end to end, `offset` (n + 1,) where each begins."""

    offset: npt.NDArray[np.int64]
    bytes: npt.NDArray[np.uint8]

    @staticmethod
    def of(texts: Iterable[str]) -> "StringArray":
        encoded = [text.encode() for text in texts]
        offset = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum([len(data) for data in encoded], out=offset[1:])
        return StringArray(offset, np.frombuffer(b"".join(encoded), np.uint8))

    def __len__(self) -> int:
        return self.offset.size - 1

    def __getitem__(self, row: int) -> str:
        return self.bytes[self.offset[row] : self.offset[row + 1]].tobytes().decode()

    def all(self) -> list[str]:
        """Every text."""
        data = self.bytes.tobytes()
        return [data[a:b].decode() for a, b in pairwise(self.offset.tolist())]

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Row of a text (the first, where it comes twice)."""
        return {text: row for row, text in reversed(list(enumerate(self.all())))}
