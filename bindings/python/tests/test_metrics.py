"""The counters of a manager, read by the client libraries of Prometheus and OpenTelemetry."""

import unittest

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from st_secrets import SecretsManager, metrics
from support import Case


class Own:
    name = "own"

    def get_secret(self, key):
        return "CANARY" if key == "A" else None


class Metrics(Case):
    def setUp(self):
        super().setUp()
        self.manager = SecretsManager.open(config={"providers": ["env"]})
        self.addCleanup(self.manager.close)
        self.manager.add_provider(Own())
        for _ in range(3):
            self.assertEqual(self.manager.get("A"), "CANARY")
        self.assertIsNone(self.manager.get("NOT_THERE"))

    def test_stats_counts_gets_hits_and_loads(self):
        stats = self.manager.stats()
        self.assertEqual((stats["gets"], stats["not_found"], stats["failed"]), (4, 1, 0))
        env, own = stats["providers"]
        self.assertEqual(env, {**dict.fromkeys(own, 0), "name": "env"})
        self.assertEqual((own["name"], own["found"], own["hits"], own["loads"]), ("own", 3, 2, 2))
        self.assertEqual(set(own), set(metrics.ProviderStats.__annotations__))
        self.assertGreater(own["last_load_seconds"], 0.0)
        self.assertGreaterEqual(own["load_seconds"], own["longest_load_seconds"])
        self.assertNotIn("CANARY", repr(stats))

    def test_prometheus_collects_all_counters(self):
        registry = CollectorRegistry()
        registry.register(metrics.PrometheusCollector(self.manager))
        text = generate_latest(registry).decode()
        samples = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                samples[sample.name, sample.labels.get("provider")] = sample.value
        self.assertEqual(samples["st_secrets_gets_total", None], 4.0)
        self.assertEqual(samples["st_secrets_not_found_total", None], 1.0)
        self.assertEqual(samples["st_secrets_provider_hits_total", "own"], 2.0)
        self.assertEqual(samples["st_secrets_provider_loads_total", "env"], 0.0)
        self.assertGreater(samples["st_secrets_provider_last_load_seconds", "own"], 0.0)
        self.assertEqual(len(samples), 3 + 2 * 10)
        self.manager.get("A")
        self.assertEqual(registry.get_sample_value("st_secrets_gets_total"), 5.0)

    def test_opentelemetry_observes_all_counters(self):
        reader = InMemoryMetricReader()
        provider = MeterProvider([reader])
        self.addCleanup(provider.shutdown)
        metrics.observe(provider.get_meter("test"), self.manager)
        points = {}
        for metric in reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics:
            for point in metric.data.data_points:
                points[metric.name, point.attributes.get("provider")] = (point.value, metric.unit)
        self.assertEqual(points["st_secrets.gets", None], (4, "{get}"))
        self.assertEqual(points["st_secrets.provider.found", "own"], (3, "{get}"))
        self.assertEqual(points["st_secrets.provider.load_failures", "env"], (0, "{load}"))
        self.assertEqual(points["st_secrets.provider.load_seconds", "own"][1], "s")
        self.assertEqual(len(points), 3 + 2 * 10)


if __name__ == "__main__":
    unittest.main()
