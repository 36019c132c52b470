'use strict';

/** Member of the counters, unit of OpenTelemetry, what it is. */
const TOTALS = [
  ['gets', '{get}', 'Gets of secrets.'],
  ['not_found', '{get}', 'Gets of secrets that no provider has.'],
  ['failed', '{get}', 'Gets that failed.'],
];
const OF_PROVIDERS = [
  ['found', '{get}', 'Gets that the provider answered.'],
  ['hits', '{get}', 'Gets that the provider answered from memory.'],
  ['stale', '{get}', 'Gets that the provider answered with an expired value.'],
  ['loads', '{load}', 'Loads of the source.'],
  ['load_failures', '{load}', 'Loads of the source that failed.'],
  ['shared_loads', '{load}', 'Documents that another process on the host had loaded.'],
  ['retries', '{request}', 'Requests that were repeated.'],
  ['load_seconds', 's', 'Time of all loads in seconds.'],
];
const GAUGES = [
  ['last_load_seconds', 's', 'Time of the last load in seconds.'],
  ['longest_load_seconds', 's', 'Time of the longest load in seconds.'],
];

/** Creates metrics of `prom-client` for the counters of a manager. */
function prometheusMetrics(client, secrets, register = client.register) {
  const registers = [register];
  for (const [name, , help] of TOTALS) {
    const collect = function () {
      this.reset();
      this.inc(secrets.statsSync()[name]);
    };
    new client.Counter({ name: `st_secrets_${name}_total`, help, registers, collect });
  }
  for (const [name, , help] of OF_PROVIDERS) {
    const collect = function () {
      this.reset();
      for (const provider of secrets.statsSync().providers) this.inc({ provider: provider.name }, provider[name]);
    };
    new client.Counter({ name: `st_secrets_provider_${name}_total`, help, labelNames: ['provider'], registers, collect });
  }
  for (const [name, , help] of GAUGES) {
    const collect = function () {
      for (const provider of secrets.statsSync().providers) this.set({ provider: provider.name }, provider[name]);
    };
    new client.Gauge({ name: `st_secrets_provider_${name}`, help, labelNames: ['provider'], registers, collect });
  }
}

/** Creates observable instruments of an OpenTelemetry meter for the counters of a manager. */
function observeMetrics(meter, secrets) {
  const ofProviders = (name) => (result) => {
    for (const provider of secrets.statsSync().providers) result.observe(provider[name], { provider: provider.name });
  };
  for (const [name, unit, description] of TOTALS) {
    const counter = meter.createObservableCounter(`st_secrets.${name}`, { unit, description });
    counter.addCallback((result) => result.observe(secrets.statsSync()[name]));
  }
  for (const [name, unit, description] of OF_PROVIDERS) {
    meter.createObservableCounter(`st_secrets.provider.${name}`, { unit, description }).addCallback(ofProviders(name));
  }
  for (const [name, unit, description] of GAUGES) {
    meter.createObservableGauge(`st_secrets.provider.${name}`, { unit, description }).addCallback(ofProviders(name));
  }
}

module.exports = { observeMetrics, prometheusMetrics };
