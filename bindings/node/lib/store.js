'use strict';

const native = require('./native.js');
const { method, start, throwIfAborted } = require('./call.js');
const { Handle, Opened, PROCESS, handleOf, jsonText, settingsText } = require('./handle.js');
const { Secrets } = require('./secrets.js');
const { input, secretOf } = require('./secret.js');

const PLAIN = 1;
const REPLACE = 1;
const DATABASES = { main: 0, audit: 2, credentials: 4 };
const FORMATS = { jsonLines: 1, csv: 2 };
const SOURCES = { 1: 'user', 2: 'global' };
/** Stands for an unknown user, or all users. */
const NOBODY = -1;

let ofProcess;

/** SimpleTuner's databases: provider configuration, hardware prices, stored credentials and the audit trail. */
class Store extends Handle {
  constructor(settings) {
    super(settings, () => native.storeOpen(settingsText(settings)));
  }

  /** The store of the whole process, opened on first use. */
  static get default() {
    ofProcess ??= new Store(PROCESS);
    return ofProcess;
  }

  /** Replaces the store of the whole process. */
  static reset(settings) {
    native.storeReset(settingsText(settings));
  }

  /** Returns the same store; its changes are recorded under this actor. */
  as({ userId = NOBODY, username = null, ip = null } = {}) {
    return new Store(new Opened(native.storeAs(handleOf(this), userId, username, ip)));
  }

  /** The event types of SimpleTuner. An entry may have any other type. */
  static auditEventTypes() {
    return JSON.parse(native.auditEventTypes());
  }

  /** Returns which databases the store uses, and why. */
  describe() {
    return JSON.parse(native.storeDescribe(handleOf(this)));
  }

  /** Returns the user's own credential, or else the secret `globalKey` of a manager. */
  async resolveCredential(which, options = {}) {
    const { signal } = options;
    throwIfAborted(signal);
    const answers = await Secrets.answersFor(options.secrets ?? Secrets.default, which.globalKey, signal);
    return resolved(await start(signal, 'credentialResolve', ...resolveArguments(this, which, options, answers)));
  }

  resolveCredentialSync(which, options = {}) {
    const answers = Secrets.answersForSync(options.secrets ?? Secrets.default, which.globalKey);
    return resolved(native.credentialResolveSync(...resolveArguments(this, which, options, answers)));
  }
}

function resolveArguments(store, { userId, provider, name, globalKey }, { cipher, secrets }, answers) {
  return [handleOf(store), cipherOf(cipher), secrets ? handleOf(secrets) : null, userId, provider, name, globalKey, answers];
}

function resolved([source, external]) {
  return { source: SOURCES[source] ?? `source ${source}`, secret: secretOf(external) };
}

function cipherOf(cipher) {
  return cipher ? handleOf(cipher) : null;
}

/** Returns a document as a value or, with `text`, as it was written. Accepts NaN and Infinity, which Python writes. */
function parse(text, options) {
  if (options.text) return text;
  try {
    return JSON.parse(text);
  } catch {
    const marked = text.replace(/"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g, (token) =>
      token[0] === '"' ? token : `{"$st-number":"${token}"}`,
    );
    const isMarked = (value) => typeof value === 'object' && value !== null && '$st-number' in value;
    return JSON.parse(marked, (_, value) => (isMarked(value) ? Number(value['$st-number']) : value));
  }
}

/** Returns a document as text. A string is used as it is; undefined gives null. */
function json(value) {
  if (value === undefined || value === null || typeof value === 'string') return value ?? null;
  if (typeof value !== 'object') throw new TypeError('a document must be an object or JSON text');
  return jsonText(value);
}

const ofProvider = (store, [provider]) => [store, provider];
const itself = (store) => [store];
const withDocument = (store, [provider, document]) => [store, provider, json(document)];

method(Store, 'getProviderConfig', 'providerConfigGet', 1, ofProvider, parse);
method(Store, 'saveProviderConfig', 'providerConfigSave', 2, withDocument);
method(Store, 'updateProviderConfig', 'providerConfigUpdate', 2, withDocument);
method(Store, 'deleteProviderConfig', 'providerConfigDelete', 1, ofProvider);
method(Store, 'listProviderConfigs', 'providerConfigList', 0, itself, parse);
method(Store, 'getProviderWebhook', 'providerWebhook', 1, ofProvider, parse);
method(Store, 'getProviderCostLimit', 'providerCostLimit', 1, ofProvider, parse);

method(Store, 'getHardwareInfo', 'hardwareInfo', 0, itself, parse);
method(Store, 'setHardwareInfo', 'setHardwareInfo', 1, (store, [info]) => [store, json(info)]);
method(Store, 'clearHardwareInfo', 'clearHardwareInfo', 0, itself);
method(Store, 'hardwareCostPerHour', 'hardwareCostPerHour', 1, ofProvider);

method(Store, 'setCredential', 'credentialSet', 2, (store, [which, value], { cipher }) => [
  ...[store, cipherOf(cipher), which.userId, which.provider, which.name],
  input(value),
]);
method(
  ...[Store, 'getCredential', 'credentialGet', 1],
  (store, [which], { cipher }) => [store, cipherOf(cipher), which.userId, which.provider, which.name],
  secretOf,
);
method(Store, 'deleteCredential', 'credentialDelete', 1, (store, [which]) => [store, which.userId, which.provider, which.name]);
method(
  ...[Store, 'listCredentials', 'credentialList', 1],
  (store, [{ userId = NOBODY, provider = null } = {}]) => [store, userId, provider],
  parse,
);
method(Store, 'rotateCredentials', 'credentialsRotate', 0, (store, _, { cipher }) => [store, cipherOf(cipher)]);
method(
  ...[Store, 'reencryptCredentials', 'credentialsReencrypt', 0],
  (store, _, { cipher, plain }) => [store, cipherOf(cipher), plain ? PLAIN : 0],
  parse,
);

method(Store, 'logAudit', 'auditLog', 1, (store, [entry]) => [
  ...[store, entry.eventType, entry.action],
  ...[entry.targetType ?? null, entry.targetId ?? null, json(entry.details)],
]);
method(Store, 'queryAudit', 'auditQuery', 1, (store, [filter]) => [store, json(filter)], parse);
method(Store, 'verifyAudit', 'auditVerify', 1, (store, [{ first = 0, last = 0 } = {}]) => [store, first, last], parse);
method(Store, 'auditStats', 'auditStats', 0, itself, parse);
method(
  ...[Store, 'exportAudit', 'auditExport', 1],
  (store, [filter], { format = 'jsonLines' }) => [store, json(filter), choice('format', FORMATS, format)],
  ([exported, lastId]) => ({ text: exported, lastId }),
);
method(Store, 'sendAudit', 'auditSend', 2, (store, [filter, webhook]) => [store, json(filter), json(webhook)]);
method(Store, 'retainAudit', 'auditRetain', 1, (store, [days = 0]) => [store, Math.max(-1, Math.min(days, 0x7fffffff))], parse);

method(Store, 'backup', 'storeBackup', 1, (store, [path], { database = 'main', replace = false }) => [
  ...[store, path],
  choice('database', DATABASES, database) | (replace ? REPLACE : 0),
]);

/** Returns the number of a choice. */
function choice(name, choices, value) {
  if (!Object.hasOwn(choices, value)) throw new TypeError(`${name} must be one of ${Object.keys(choices).join(', ')}`);
  return choices[value];
}

module.exports = { Store };
