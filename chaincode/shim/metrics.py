"""What the server counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25)


class Metrics:
    """One server's metrics, in a registry of their own."""

    def __init__(self) -> None:
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
        self.in_flight = Gauge("chaincode_calls_in_flight", "Calls being served.", registry=self.registry)
        self.peers = Gauge("chaincode_peers_connected", "Registered streams.", registry=self.registry)

    def called(self, transaction: str, status: int, seconds: float) -> None:
        """Count an answered call."""
        self._calls.labels(transaction, str(status)).inc()
        self._seconds.labels(transaction).observe(seconds)

    def text(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)
