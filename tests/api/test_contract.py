"""What the OpenAPI document says and what the service does are one: schemathesis tries everything the document allows,
and much that it does not, as two kinds of caller."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Serving, serving, some_settings


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(some_settings(tmp_path_factory.mktemp("contract"))) as running:
        yield running


def schemathesis(real: Serving, tmp_path: Path, role: str, *arguments: str) -> int:
    """Run it; returns how many cases it generated."""
    names = {"region": real.region, "vehicle": "taxi-1", "operator": "taxi", "rider": "rider-demo"}
    known = "".join(f'"path.{name}" = "{value}"\n' for name, value in names.items())
    (tmp_path / "schemathesis.toml").write_text(f"[parameters]\n{known}")
    command = [Path(sys.executable).parent / "schemathesis", "run", f"{real.address}/openapi.json", "--seed", "1",
               "--header", f"Authorization: Bearer {real.keys[role]}", "--checks", "all", "--no-color",
               "--exclude-path-regex", "stream$|^/v1/events$", *arguments]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-60_000:] + done.stderr[-2_000:]
    counted = re.search(r"([\d,]+) generated", done.stdout)
    assert counted, done.stdout
    return int(counted[1].replace(",", ""))


def as_role(real: Serving, tmp_path: Path, role: str, examples: int, *arguments: str) -> int:
    """All operations as the administrator, or those a partner app uses as a partner.

    Whether what fits the schema is accepted is not asked: no schema says that a rider exists, or that a shift ends
    after it begins. Nor is it how many values its makers must throw away to find one that fits.
    """
    much = ["--max-examples", str(examples), "--exclude-checks", "positive_data_acceptance",
            "--suppress-health-check", "filter_too_much", *arguments]  # fmt: skip
    if role == "partner":
        much += ["--include-path-regex", "bookings|quotes"]
    return schemathesis(real, tmp_path, role, *much)


@pytest.mark.compiled
@pytest.mark.parametrize(("role", "least"), [("administrator", 150), ("partner", 20)])
def test_the_document_and_the_service_agree(real: Serving, tmp_path: Path, role: str, least: int) -> None:
    assert as_role(real, tmp_path, role, 3, "--phases", "examples,fuzzing") > least


@pytest.mark.long
@pytest.mark.compiled
@pytest.mark.parametrize(("role", "least"), [("administrator", 10_000), ("partner", 2_000)])
def test_ten_thousand_cases(real: Serving, tmp_path: Path, role: str, least: int) -> None:
    cases = as_role(real, tmp_path, role, 120)
    sys.stdout.write(f"{role}: {cases} cases\n")
    assert cases >= least
