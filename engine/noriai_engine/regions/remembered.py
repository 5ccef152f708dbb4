"""Where on this machine a region was last seen, by its checksum: so that a run's checker finds the region again.

Only a convenience, kept in the user's cache; the checker verifies every file of what it finds.
"""

from pathlib import Path

from noriai_engine.regions.bundle import Region


def _note(checksum: str) -> Path:
    return Path.home() / ".cache" / "noriai" / "regions" / checksum[:32]


def remember(region: Region) -> None:
    """Note the region's folder. Silent where the cache cannot be written."""
    note = _note(region.checksum)
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(str(region.folder.resolve()), encoding="utf-8")
    except OSError:
        return


def recall(checksum: str) -> Path | None:
    """The folder noted for a checksum, if a bundle is still there."""
    try:
        folder = Path(_note(checksum).read_text(encoding="utf-8"))
    except OSError:
        return None
    return folder if (folder / "region.toml").is_file() else None
