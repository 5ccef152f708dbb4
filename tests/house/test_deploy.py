"""What stands in deploy/ works: the unit is valid, the image's steps run in a clean environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "unit"), [("noriai.service", "noriai.service"), ("noriai@.service", "noriai@8601.service")]
)
def test_the_unit_is_valid(tmp_path: Path, name: str, unit: str) -> None:
    """systemd's own judge, with the command that is here in place of the one to be."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here")
    text = (ROOT / "deploy" / name).read_text().replace("/opt/noriai/bin", str(Path(sys.executable).parent))
    (tmp_path / unit).write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", tmp_path / unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def steps() -> list[str]:
    """The shell commands of the Containerfile, in order."""
    text = (ROOT / "deploy/Containerfile").read_text().replace("\\\n", " ")
    return re.findall(r"^RUN (.+)$", text, re.M)


def test_the_image_starts_what_is_there() -> None:
    text = (ROOT / "deploy/Containerfile").read_text()
    assert '["/opt/noriai/bin/noriai", "serve"' in text
    assert len(steps()) == 3
    assert "USER noriai" in text


@pytest.mark.long
def test_the_image_can_be_made(tmp_path: Path) -> None:
    """Its steps in a folder of their own, without what is installed here: the command starts and explains itself."""
    where = re.compile(r"(PIP|UV|SSL|REQUESTS|CURL)_(?!CACHE)|.*_proxy$", re.I)  # packages come from, and through what
    clean = {name: value for name, value in os.environ.items() if where.match(name)}
    clean |= {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    source = tmp_path / "src"
    subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{ROOT}", source], check=True)
    for step in (steps()[0], steps()[2]):
        command = step.replace("/opt/noriai", str(tmp_path / "noriai")).replace("/src", str(source))
        subprocess.run(["bash", "-euc", command], check=True, env=clean, cwd=tmp_path)
    said = subprocess.run(
        [tmp_path / "noriai/bin/noriai", "serve", "--check", "--json"], capture_output=True, text=True, check=True,
        env=clean, cwd=tmp_path,
    )  # fmt: skip
    assert '"port"' in said.stdout
