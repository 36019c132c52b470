'use strict';

const native = require('./native.js');
const { method, start, throwIfAborted } = require('./call.js');
const { Handle, Opened, PROCESS, handleOf, jsonText, settingsText } = require('./handle.js');
const { optionsOf } = require('./options.js');
const { Secrets } = require('./secrets.js');
const { input, secretOf } = require('./secret.js');

const PLAIN = 1;
const REPLACE = 1;
const DATABASES = { main: 0, audit: 2, credentials: 4 };
const FORMATS = { jsonLines: 1, csv: 2 };
const SOURCES = { 1: 'user', 2: 'global' };
/** Stands for an unknown user, or all users. */
const NOBODY = -1;
const OF_RESOLVE = ['cipher', 'secrets', 'signal'];
const OF_SOURCE = ['secrets', 'signal'];
/** Of a credential; `globalKey` has no effect where no other secret may take its place. */
const OF_CREDENTIAL = ['userId', 'provider', 'name', 'globalKey'];
const OF_ENTRY = ['eventType', 'action', 'targetType', 'targetId', 'details'];

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
  as(actor) {
    const { userId = NOBODY, username = null, ip = null } = optionsOf(actor, 'as', ['userId', 'username', 'ip']);
    return new Store(new Opened(native.storeAs(handleOf(this), userId, username, ip)));
  }

  /** Returns the built-in default prices. */
  static defaultHardwareInfo() {
    return JSON.parse(native.hardwareDefaults());
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
  async resolveCredential(which, given) {
    const options = optionsOf(given, 'resolveCredential', OF_RESOLVE);
    const { cipher, signal } = options;
    throwIfAborted(signal);
    const query = queryArguments(which, options, await answersFor(which, options));
    return resolved(await start(signal, 'credentialResolve', handleOf(this), cipherOf(cipher), ...query));
  }

  resolveCredentialSync(which, given) {
    const options = optionsOf(given, 'resolveCredentialSync', OF_RESOLVE);
    const query = queryArguments(which, options, answersForSync(which, options));
    return resolved(native.credentialResolveSync(handleOf(this), cipherOf(options.cipher), ...query));
  }

  /** Returns where `resolveCredential` would find the credential, without using it; null if nowhere. */
  async getCredentialSource(which, given) {
    const options = optionsOf(given, 'getCredentialSource', OF_SOURCE);
    const { signal } = options;
    throwIfAborted(signal);
    const query = queryArguments(which, options, await answersFor(which, options));
    return sourceOf(await start(signal, 'credentialSource', handleOf(this), ...query));
  }

  getCredentialSourceSync(which, given) {
    const options = optionsOf(given, 'getCredentialSourceSync', OF_SOURCE);
    const query = queryArguments(which, options, answersForSync(which, options));
    return sourceOf(native.credentialSourceSync(handleOf(this), ...query));
  }
}

function queryArguments(which, { secrets }, answers) {
  const { userId, provider, name, globalKey } = optionsOf(which, 'a credential', OF_CREDENTIAL);
  const user = userId === null ? NOBODY : userId;
  return [secrets ? handleOf(secrets) : null, user, provider, name, globalKey ?? null, answers];
}

/** The answers of JavaScript providers about the shared secret, if there is one. */
async function answersFor({ globalKey }, { secrets, signal }) {
  return hasKey(globalKey) ? Secrets.answersFor(secrets ?? Secrets.default, globalKey, signal) : [];
}

function answersForSync({ globalKey }, { secrets }) {
  return hasKey(globalKey) ? Secrets.answersForSync(secrets ?? Secrets.default, globalKey) : [];
}

const hasKey = (key) => key !== undefined && key !== null;

/** Null for a credential that does not exist. */
function sourceOf(number) {
  return number === 0 ? null : (SOURCES[number] ?? `source ${number}`);
}

function resolved([source, external]) {
  return { source: sourceOf(source), secret: secretOf(external) };
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

/** Returns what names a credential. */
function nameOf(which) {
  const { userId, provider, name } = optionsOf(which, 'a credential', OF_CREDENTIAL);
  return [userId, provider, name];
}

const ofProvider = (store, [provider]) => [store, provider];
const itself = (store) => [store];
const withDocument = (store, [provider, document]) => [store, provider, json(document)];

method(Store, 'getProviderConfig', 'providerConfigGet', [1, 'text'], ofProvider, parse);
method(Store, 'saveProviderConfig', 'providerConfigSave', 2, withDocument);
method(Store, 'updateProviderConfig', 'providerConfigUpdate', 2, withDocument);
method(Store, 'deleteProviderConfig', 'providerConfigDelete', 1, ofProvider);
method(Store, 'listProviderConfigs', 'providerConfigList', 0, itself, parse);
method(Store, 'getProviderWebhook', 'providerWebhook', [1, 'text'], ofProvider, parse);
method(Store, 'getProviderCostLimit', 'providerCostLimit', [1, 'text'], ofProvider, parse);

method(Store, 'getHardwareInfo', 'hardwareInfo', [0, 'text'], itself, parse);
method(Store, 'setHardwareInfo', 'setHardwareInfo', 1, (store, [info]) => [store, json(info)]);
method(Store, 'clearHardwareInfo', 'clearHardwareInfo', 0, itself);
method(Store, 'hardwareCostPerHour', 'hardwareCostPerHour', 1, ofProvider);
method(Store, 'defaultHardwareCostPerHour', 'hardwareDefaultCostPerHour', 0, itself);

method(Store, 'setCredential', 'credentialSet', [2, 'cipher'], (store, [which, value], { cipher }) => [
  ...[store, cipherOf(cipher), ...nameOf(which)],
  input(value),
]);
method(
  ...[Store, 'getCredential', 'credentialGet', [1, 'cipher']],
  (store, [which], { cipher }) => [store, cipherOf(cipher), ...nameOf(which)],
  secretOf,
);
const withName = (store, [which]) => [store, ...nameOf(which)];
method(Store, 'deleteCredential', 'credentialDelete', 1, withName);
method(Store, 'deactivateCredential', 'credentialDeactivate', 1, withName);
method(Store, 'markCredentialUsed', 'credentialMarkUsed', 1, withName);
method(Store, 'hasCredential', 'credentialExists', 1, withName);
method(
  ...[Store, 'listCredentials', 'credentialList', 1],
  (store, [of]) => {
    const { userId = NOBODY, provider = null } = optionsOf(of, 'listCredentials', ['userId', 'provider']);
    return [store, userId, provider];
  },
  parse,
);
method(Store, 'rotateCredentials', 'credentialsRotate', [0, 'cipher'], (store, _, { cipher }) => [store, cipherOf(cipher)]);
method(
  ...[Store, 'reencryptCredentials', 'credentialsReencrypt', [0, 'cipher', 'plain']],
  (store, _, { cipher, plain }) => [store, cipherOf(cipher), plain ? PLAIN : 0],
  parse,
);

method(Store, 'logAudit', 'auditLog', 1, (store, [entry]) => {
  const { eventType, action, targetType = null, targetId = null, details } = optionsOf(entry, 'an audit entry', OF_ENTRY);
  return [store, eventType, action, targetType, targetId, json(details)];
});
method(Store, 'queryAudit', 'auditQuery', 1, (store, [filter]) => [store, json(filter)], parse);
method(
  ...[Store, 'verifyAudit', 'auditVerify', 1],
  (store, [range]) => {
    const { first = 0, last = 0 } = optionsOf(range, 'verifyAudit', ['first', 'last']);
    return [store, first, last];
  },
  parse,
);
method(Store, 'auditStats', 'auditStats', 0, itself, parse);
method(
  ...[Store, 'exportAudit', 'auditExport', [1, 'format']],
  (store, [filter], { format = 'jsonLines' }) => [store, json(filter), choice('format', FORMATS, format)],
  ([exported, lastId]) => ({ text: exported, lastId }),
);
method(Store, 'sendAudit', 'auditSend', 2, (store, [filter, webhook]) => [store, json(filter), json(webhook)]);
method(Store, 'retainAudit', 'auditRetain', 1, (store, [days = 0]) => [store, Math.max(-1, Math.min(days, 0x7fffffff))], parse);

method(Store, 'backup', 'storeBackup', [1, 'database', 'replace'], (store, [path], { database = 'main', replace = false }) => [
  ...[store, path],
  choice('database', DATABASES, database) | (replace ? REPLACE : 0),
]);

/** Returns the number of a choice. */
function choice(name, choices, value) {
  if (!Object.hasOwn(choices, value)) throw new TypeError(`${name} must be one of ${Object.keys(choices).join(', ')}`);
  return choices[value];
}

module.exports = { Store };
