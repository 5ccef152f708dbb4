"""What the checker found."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Breach:
    """A broken rule: its name, whom it concerns, and the figures that show it."""

    rule: str
    who: str
    what: str

    def __str__(self) -> str:
        return f"[{self.rule}] {self.who}: {self.what}"


@dataclass
class CheckReport:
    """All breaches, and how much was judged: a check that looked at nothing proves nothing."""

    breaches: list[Breach] = field(default_factory=list)
    judged: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.breaches

    def expect(self, condition: bool, rule: str, who: object, what: str) -> bool:
        """Count one judgement of `rule`; note a breach where `condition` fails."""
        self.judged[rule] = self.judged.get(rule, 0) + 1
        if not condition:
            self.breaches.append(Breach(rule, str(who), what))
        return condition
