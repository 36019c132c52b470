"""The counters of a manager, for Prometheus and OpenTelemetry. Neither is needed unless it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from .reports import ProviderStats, Stats

if TYPE_CHECKING:
    from .secrets import SecretsManager

__all__ = ["PrometheusCollector", "ProviderStats", "Stats", "observe"]


# Member, unit of OpenTelemetry, what it is.
_TOTALS: Final = (
    ("gets", "{get}", "Gets of secrets."),
    ("not_found", "{get}", "Gets of secrets that no provider has."),
    ("failed", "{get}", "Gets that failed."),
)
_OF_PROVIDERS: Final = (
    ("found", "{get}", "Gets that the provider answered."),
    ("hits", "{get}", "Gets that the provider answered from memory."),
    ("stale", "{get}", "Gets that the provider answered with an expired value."),
    ("loads", "{load}", "Loads of the source."),
    ("load_failures", "{load}", "Loads of the source that failed."),
    ("shared_loads", "{load}", "Documents that another process on the host had loaded."),
    ("retries", "{request}", "Requests that were repeated."),
    ("load_seconds", "s", "Time of all loads in seconds."),
)
_GAUGES: Final = (
    ("last_load_seconds", "s", "Time of the last load in seconds."),
    ("longest_load_seconds", "s", "Time of the longest load in seconds."),
)


def _manager(manager: SecretsManager | None) -> SecretsManager:
    if manager is not None:
        return manager
    from .secrets import SecretsManager

    return SecretsManager()


class PrometheusCollector:
    """A collector for `prometheus_client`: `REGISTRY.register(PrometheusCollector())`. The names begin with
    `st_secrets_`; counters of providers have the label `provider`. Without a manager, it is that of the process.
    """

    def __init__(self, manager: SecretsManager | None = None) -> None:
        self._given = manager

    def describe(self) -> Iterable[Any]:
        """Returns nothing, so that registering does not collect."""
        return ()

    def collect(self) -> Iterator[Any]:
        """Yields the families of metrics."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        stats: Any = _manager(self._given).stats()
        for name, _, text in _TOTALS:
            yield CounterMetricFamily(f"st_secrets_{name}", text, value=stats[name])
        for kind, metrics in ((CounterMetricFamily, _OF_PROVIDERS), (GaugeMetricFamily, _GAUGES)):
            for name, _, text in metrics:
                family = kind(f"st_secrets_provider_{name}", text, labels=["provider"])
                for provider in stats["providers"]:
                    family.add_metric([provider["name"]], provider[name])
                yield family


def observe(meter: Any, manager: SecretsManager | None = None) -> None:
    """Creates observable instruments of an OpenTelemetry meter for the counters. The names begin with `st_secrets.`;
    those of providers have the attribute `provider`. Without a manager, it is that of the process.
    """
    from opentelemetry.metrics import Observation

    def total(name: str) -> Callable[[Any], Iterable[Any]]:
        def read(_: Any) -> Iterable[Any]:
            stats: Any = _manager(manager).stats()
            return [Observation(stats[name])]

        return read

    def of_providers(name: str) -> Callable[[Any], Iterable[Any]]:
        def read(_: Any) -> Iterable[Any]:
            providers: Any = _manager(manager).stats()["providers"]
            return [Observation(each[name], {"provider": each["name"]}) for each in providers]

        return read

    for name, unit, text in _TOTALS:
        meter.create_observable_counter(f"st_secrets.{name}", [total(name)], unit, text)
    for name, unit, text in _OF_PROVIDERS:
        meter.create_observable_counter(f"st_secrets.provider.{name}", [of_providers(name)], unit, text)
    for name, unit, text in _GAUGES:
        meter.create_observable_gauge(f"st_secrets.provider.{name}", [of_providers(name)], unit, text)
