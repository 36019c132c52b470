'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');
const client = require('prom-client');
const { AggregationTemporality, InMemoryMetricExporter, MeterProvider, PeriodicExportingMetricReader } = require('@opentelemetry/sdk-metrics');
const { st, status, world } = require('./support.js');

async function used(t) {
  world(t, { A: 'CANARY' });
  const secrets = new st.Secrets({ providers: ['env', 'file'] });
  for (let i = 0; i < 3; i++) assert.equal((await secrets.get('A')).text(), 'CANARY');
  await assert.rejects(secrets.get('NOT_THERE'), status('ST_NOT_FOUND'));
  return secrets;
}

test('stats counts gets, hits and loads', async (t) => {
  const secrets = await used(t);
  const stats = await secrets.stats();
  assert.deepEqual(stats, secrets.statsSync());
  assert.deepEqual([stats.gets, stats.not_found, stats.failed], [4, 1, 0]);
  const [env, file] = stats.providers;
  assert.deepEqual([env.name, env.found, env.hits, env.stale, env.loads], ['env', 3, 3, 0, 0]);
  assert.deepEqual([file.name, file.found, file.load_failures, file.shared_loads, file.retries], ['file', 0, 0, 0, 0]);
  assert.ok(!JSON.stringify(stats).includes('CANARY'));
});

test('prom-client collects all counters', async (t) => {
  const secrets = await used(t);
  const register = new client.Registry();
  st.prometheusMetrics(client, secrets, register);
  for (const gets of [4, 5]) {
    const text = await register.metrics();
    for (const line of [`st_secrets_gets_total ${gets}`, 'st_secrets_not_found_total 1', 'st_secrets_provider_loads_total{provider="file"} 0']) {
      assert.ok(text.includes(`${line}\n`), text);
    }
    assert.match(text, /# TYPE st_secrets_provider_last_load_seconds gauge/);
    await secrets.get('A');
  }
});

test('OpenTelemetry observes all counters', async (t) => {
  const secrets = await used(t);
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
  const provider = new MeterProvider({ readers: [reader] });
  st.observeMetrics(provider.getMeter('test'), secrets);
  await provider.forceFlush();
  const points = new Map();
  for (const metric of exporter.getMetrics()[0].scopeMetrics[0].metrics) {
    for (const point of metric.dataPoints) points.set(`${metric.descriptor.name} ${point.attributes.provider ?? ''}`.trim(), point.value);
  }
  await provider.shutdown();
  assert.equal(points.get('st_secrets.gets'), 4);
  assert.equal(points.get('st_secrets.provider.found env'), 3);
  assert.equal(points.get('st_secrets.provider.retries file'), 0);
  assert.equal(points.size, 3 + 2 * 10);
});
