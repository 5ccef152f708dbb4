"""Watching a node: structured logs without personal data, metrics, health."""

from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import Scope

from noriai_api.node import Node

log = structlog.get_logger("noriai")

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Watch:
    """Counts and times of one node. Labels are routes as written, never ids."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "noriai_requests", "HTTP requests answered", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "noriai_request_seconds", "Time to answer", ["method", "route"], registry=self.registry, buckets=BUCKETS
        )
        self._waiting = Gauge("noriai_region_inbox", "Calls waiting for a region", ["region"], registry=self.registry)
        self._kept = Gauge("noriai_region_kept", "What a region holds", ["region", "what"], registry=self.registry)
        self._rebuilds = Gauge("noriai_region_rebuilds", "Rebuilds from the log", ["region"], registry=self.registry)
        self._held = Gauge(
            "noriai_region_held", "1 where this process dispatches the region", ["region"], registry=self.registry
        )
        self._hands = Gauge(
            "noriai_process_holdings", "Regions begun, given, lost, taken from the gone; requests passed on", ["what"],
            registry=self.registry,
        )  # fmt: skip
        self._refused = Gauge(
            "noriai_refused_credentials", "By the check they failed", ["check"], registry=self.registry
        )
        self._commits = Gauge("noriai_store_commits", "Commits of the writer", registry=self.registry)
        self._changes = Gauge("noriai_store_changes", "Changes written in them", registry=self.registry)

    def request(self, scope: Scope, status: int, seconds: float) -> None:
        """A request was answered."""
        route = getattr(scope.get("route"), "path", "other")
        self._requests.labels(scope["method"], route, str(status)).inc()
        self._seconds.labels(scope["method"], route).observe(seconds)
        log.debug("request", method=scope["method"], route=route, status=status, ms=round(1000 * seconds, 2))

    def fault(self, scope: Scope, error: Exception) -> None:
        """A fault of ours: where it was, for whoever looks after the node."""
        route = getattr(scope.get("route"), "path", "other")
        log.error("fault", method=scope["method"], route=route, error=type(error).__name__, exc_info=error)

    def gather(self) -> None:
        """Read the gauges off the node."""
        for (_, name), actor in self._node.actors.items():
            self._held.labels(name).set(actor.is_held)
            self._waiting.labels(name).set(actor.waiting)
            self._rebuilds.labels(name).set(actor.rebuilds)
            for what, count in actor.runtime.kept().items():
                self._kept.labels(name, what).set(count)
        for what, count in self._node.process.counts.items():
            self._hands.labels(what).set(count)
        for code, count in self._node.identity.refused.items():
            self._refused.labels(code).set(count)
        self._commits.set(self._node.writer.commits)
        self._changes.set(self._node.writer.changes)


def set_up_logs(level: str, form: str) -> None:
    """Log lines for people, or one JSON object a line."""
    levels = {"debug": 10, "info": 20, "warning": 30, "error": 40}
    last: Any = structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(levels[level]),
        cache_logger_on_first_use=True,
    )
