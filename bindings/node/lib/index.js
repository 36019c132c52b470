'use strict';

const native = require('./native.js');
const { AbortError, StSecretsError } = require('./errors.js');
const { Cache } = require('./cache.js');
const { cached } = require('./cached.js');
const { Cipher } = require('./cipher.js');
const { Float, functionKey } = require('./function_key.js');
const { setLog } = require('./log.js');
const { observeMetrics, prometheusMetrics } = require('./metrics.js');
const { RedactingTransform, Redactor, redactOutput } = require('./redact.js');
const { Secret } = require('./secret.js');
const { Secrets, WELL_KNOWN } = require('./secrets.js');
const { Store } = require('./store.js');

const { version, versionNumber } = native;

module.exports = {
  AbortError,
  Cache,
  Cipher,
  Float,
  RedactingTransform,
  Redactor,
  Secret,
  Secrets,
  StSecretsError,
  Store,
  WELL_KNOWN,
  cached,
  functionKey,
  observeMetrics,
  prometheusMetrics,
  redactOutput,
  setLog,
  version,
  versionNumber,
};
