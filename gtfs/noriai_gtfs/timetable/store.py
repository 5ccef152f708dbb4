"""A timetable in a folder: arrays as .npy, opened by memory map in milliseconds."""

import hashlib
import json
from pathlib import Path

import numpy as np

from noriai_engine.model.errors import InputError
from noriai_engine.tables import replace_folder
from noriai_gtfs.timetable.strings import StringArray
from noriai_gtfs.timetable.timetable import ARRAYS, TEXTS, Timetable

FORMAT = "noriai-timetable/2"
MARKER = "timetable.json"


class TimetableError(InputError):
    """A stored timetable is absent, damaged or of a version this noriai cannot read."""


def save_timetable(timetable: Timetable, folder: Path, sources: dict[str, str]) -> None:
    """Write it; `sources` names the feeds and their SHA-256. An earlier timetable there is replaced at once."""
    with replace_folder(folder, marker=MARKER) as target:
        digests = {}
        for name in ARRAYS:
            np.save(target / f"{name}.npy", np.ascontiguousarray(getattr(timetable, name)))
        for name in TEXTS:
            texts: StringArray = getattr(timetable, name)
            np.save(target / f"{name}.offset.npy", texts.offset)
            np.save(target / f"{name}.bytes.npy", texts.bytes)
        for file in sorted(target.iterdir()):
            digests[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
        document = {"format": FORMAT, "sources": sources, "files": digests}
        (target / MARKER).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def open_timetable(folder: Path, *, verify: bool = False) -> Timetable:
    """Open a stored timetable without reading its arrays. Raises TimetableError; `verify` compares checksums."""
    file = folder / MARKER
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        if document["format"].split("/")[0] != FORMAT.split("/")[0]:
            raise KeyError("format")
        if document["format"] != FORMAT:
            raise TimetableError(
                f"has format {document['format']}, this noriai reads {FORMAT}", where=file,
                remedy="build it again from its feeds with noriai gtfs build",
            )  # fmt: skip
        if verify:
            for name, digest in document["files"].items():
                if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
                    raise TimetableError("differs from its checksum", where=folder / name, remedy="build it again")
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ARRAYS}
        texts = {
            name: StringArray(
                np.load(folder / f"{name}.offset.npy", mmap_mode="r"),
                np.load(folder / f"{name}.bytes.npy", mmap_mode="r"),
            )
            for name in TEXTS
        }
    except TimetableError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TimetableError(
            f"is no stored timetable: {error}", where=folder, remedy="run noriai gtfs build"
        ) from error
    return Timetable(**arrays, **texts)  # type: ignore[arg-type]
