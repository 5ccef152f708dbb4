"""A validation report for people: lines for the terminal, and a page."""

from importlib.resources import files
from pathlib import Path

from noriai_engine.texts import text
from noriai_gtfs.feeds.repairs import CODES
from noriai_gtfs.validation.notices import own_codes, sentence
from noriai_gtfs.validation.validate import Report

_WORDS = (
    "title", "as_of", "findings", "severity", "finding", "number", "where", "file", "row", "field", "value", "nothing",
    "repairs", "tables", "rows",
)  # fmt: skip


def summary(report: Report, language: str) -> str:
    """One sentence: tables, rows, errors, warnings, repairs."""
    return text(
        "feed.summary", language, tables=len(report.rows), rows=f"{sum(report.rows.values()):,}",
        errors=f"{report.errors:,}", warnings=f"{report.warnings:,}",
        repairs=f"{sum(report.repair_totals.values()):,}",
    )  # fmt: skip


def lines(report: Report, language: str) -> list[str]:
    """The report as lines of text, worst first, each code with the first place where it was found."""
    out = [summary(report, language)]
    for severity, code, total in report.codes():
        samples = report.samples_of(code)
        out.append(f"{text(f'feed.{severity.lower()}', language):<8} {total:>9,}  {code}: {sentence(code, language)}")
        if samples:
            s = samples[0]
            place = ", ".join(
                part for part in (s.file, f"{text('feed.row', language)} {s.row}" if s.row else "", s.field) if part
            )
            out.append(f"{'':>18}  {place}: {s.value}"[:160])
    for code, total in report.repair_totals.items():
        out.append(f"{text('feed.repaired', language):<8} {total:>9,}  {code}: {CODES[code][language]}")
    for file, why in report.unread.items():
        out.append(f"{text('feed.unread', language):<8} {file}: {why}")
    return out


def write_page(report: Report, path: Path, language: str) -> None:
    """Write the report as one HTML file without outside parts."""
    from jinja2 import Environment

    template = Environment(autoescape=True).from_string(
        files(__package__).joinpath("report.html.j2").read_text(encoding="utf-8")
    )
    codes = [
        {
            "severity": severity, "severity_text": text(f"feed.{severity.lower()}", language), "code": code,
            "total": total, "text": sentence(code, language), "own": code in own_codes(),
            "samples": report.samples_of(code),
        }
        for severity, code, total in report.codes()
    ]  # fmt: skip
    page = template.render(
        language=language, name=Path(report.feed).name, report=report, codes=codes, repairs=CODES,
        summary=summary(report, language), t={word: text(f"feed.{word}", language) for word in _WORDS},
    )  # fmt: skip
    from noriai_engine.tables.files import replace_file

    with replace_file(path) as target:
        target.write(page)
