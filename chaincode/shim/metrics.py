"""What the server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25)


class Metrics:
    """One server's metrics, in a registry of their own; ``in_flight`` counts the calls being served."""

    def __init__(self, in_flight: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._calls = Counter(
            "chaincode_calls", "Calls answered.", ["transaction", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "chaincode_call_seconds",
            "Time from a call to its answer.",
            ["transaction"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        gauge = Gauge("chaincode_calls_in_flight", "Calls being served.", registry=self.registry)
        gauge.set_function(in_flight)
        self._of = lru_cache(maxsize=1024)(
            self._counting
        )  # finding a label's series costs more than counting
        self.peers = Gauge("chaincode_peers_connected", "Registered streams.", registry=self.registry)

    def called(self, transaction: str, status: int, seconds: float) -> None:
        """Count an answered call."""
        calls, times = self._of(transaction, status)
        calls.inc()
        times.observe(seconds)

    def _counting(self, transaction: str, status: int) -> tuple[Counter, Histogram]:
        return self._calls.labels(transaction, str(status)), self._seconds.labels(transaction)

    def text(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)
