'use strict';

const native = require('./native.js');
const { AbortError, StSecretsError } = require('./errors.js');
const { Cache } = require('./cache.js');
const { cached } = require('./cached.js');
const { Cipher } = require('./cipher.js');
const { Float, functionKey } = require('./function_key.js');
const { setLog } = require('./log.js');
const { Secret } = require('./secret.js');
const { Secrets, WELL_KNOWN } = require('./secrets.js');
const { Store } = require('./store.js');

const { version, versionNumber } = native;

module.exports = {
  AbortError,
  Cache,
  Cipher,
  Float,
  Secret,
  Secrets,
  StSecretsError,
  Store,
  WELL_KNOWN,
  cached,
  functionKey,
  setLog,
  version,
  versionNumber,
};
