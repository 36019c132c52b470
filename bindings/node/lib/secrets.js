'use strict';

const native = require('./native.js');
const { method, start, throwIfAborted } = require('./call.js');
const { STATUS, StSecretsError } = require('./errors.js');
const { Handle, PROCESS, handleOf, settingsText } = require('./handle.js');
const { Providers } = require('./providers.js');
const { input, secretOf } = require('./secret.js');

const REFRESH = 1;
const CACHED_ONLY = 2;
const DEFAULT_TIMEOUT = -1;

/** Names of the secrets that SimpleTuner itself uses. */
const WELL_KNOWN = Object.freeze({
  REPLICATE_API_TOKEN: 'REPLICATE_API_TOKEN',
  HF_TOKEN: 'HF_TOKEN',
  CLOUD_WEBHOOK_SECRET: 'CLOUD_WEBHOOK_SECRET',
});

let ofProcess;

/** A chain of providers in which secrets are found. */
class Secrets extends Handle {
  #providers = new Providers();

  constructor(settings) {
    super(settings, () => native.secretsOpen(settingsText(settings)));
  }

  /** The manager of the whole process, made from the environment on first use. */
  static get default() {
    ofProcess ??= new Secrets(PROCESS);
    return ofProcess;
  }

  /** Replaces the manager of the whole process. */
  static reset(settings) {
    native.secretsReset(settingsText(settings));
  }

  /** Finds a secret in the first provider that has it. */
  async get(key, options = {}) {
    const { signal, timeout = DEFAULT_TIMEOUT } = options;
    throwIfAborted(signal);
    try {
      let answers = null;
      if (!this.#providers.isEmpty && !options.cachedOnly) {
        const atHand = options.refresh ? undefined : await this.#atHand(key, options);
        if (atHand) return atHand;
        answers = await this.#providers.ask(key, timeout, signal);
      }
      const call = start(signal, 'secretsGet', handleOf(this), key, timeout, flagsOf(options), answers);
      return secretOf(await call.catch((error) => Promise.reject(this.#providers.explain(error, answers))));
    } catch (error) {
      return orDefault(error, options);
    }
  }

  /** As `get`, on this thread. A provider in JavaScript that answers with a promise counts as failed. */
  getSync(key, options = {}) {
    const { timeout = DEFAULT_TIMEOUT } = options;
    const handle = handleOf(this);
    let answers = null;
    try {
      if (!this.#providers.isEmpty && !options.cachedOnly) {
        const atHand = options.refresh ? undefined : this.#atHandSync(key, timeout);
        if (atHand) return atHand;
        answers = this.#providers.askSync(key, timeout);
      }
      return secretOf(native.secretsGetSync(handle, key, timeout, flagsOf(options), answers));
    } catch (error) {
      return orDefault(this.#providers.explain(error, answers), options);
    }
  }

  /** Finds several secrets; the results are those of `Promise.allSettled`, in the order of the keys. */
  async getMany(keys, { signal } = {}) {
    throwIfAborted(signal);
    const text = keysText(keys);
    const asked = await Promise.all(keys.map((key) => Secrets.answersFor(this, key, signal)));
    const items = await start(signal, 'secretsGetMany', handleOf(this), text, keys.length, asked.flat());
    return this.#settled(items, asked);
  }

  getManySync(keys) {
    const text = keysText(keys);
    const asked = keys.map((key) => Secrets.answersForSync(this, key));
    return this.#settled(native.secretsGetManySync(handleOf(this), text, keys.length, asked.flat()), asked);
  }

  getReplicateToken(options) {
    return this.get(WELL_KNOWN.REPLICATE_API_TOKEN, options);
  }

  getHfToken(options) {
    return this.get(WELL_KNOWN.HF_TOKEN, options);
  }

  getWebhookSecret(options) {
    return this.get(WELL_KNOWN.CLOUD_WEBHOOK_SECRET, options);
  }

  setReplicateToken(value, options) {
    return this.set(WELL_KNOWN.REPLICATE_API_TOKEN, value, options);
  }

  /**
   * Adds a provider of the program's own: `get(key, {timeout, signal})` answers with a string, bytes, a `Secret`, `{value, ttl}`,
   * null for "I have none", or a promise of one of these. Its answers are remembered for `cache_ttl`.
   */
  addProvider(name, get, { position = -1 } = {}) {
    if (typeof get !== 'function') throw new TypeError('get must be a function');
    if (handleOf(this) === null) {
      throw new TypeError('a provider is added to a manager of your own: all threads share that of the process');
    }
    const { timeout } = this.describeSync();
    this.#providers.add(get, timeout, (id) => native.secretsAddProvider(handleOf(this), name, position, id));
  }

  /** Forgets every value that the manager remembers. */
  clearCache() {
    native.secretsClearCache(handleOf(this));
  }

  /** What providers in JavaScript have to say to a key that the library is about to look for. */
  static async answersFor(secrets, key, signal) {
    const atHand = secrets.#providers.isEmpty || (await secrets.#atHand(key, { signal }).then(isFinal, () => true));
    return atHand ? [] : secrets.#providers.ask(key, DEFAULT_TIMEOUT, signal);
  }

  static answersForSync(secrets, key) {
    try {
      if (secrets.#providers.isEmpty || isFinal(secrets.#atHandSync(key, DEFAULT_TIMEOUT))) return [];
    } catch {
      // The library will say so itself.
      return [];
    }
    return secrets.#providers.askSync(key, DEFAULT_TIMEOUT);
  }

  /** Results of several keys, each a secret or an error, with what providers in JavaScript answered to each. */
  #settled(items, asked) {
    return items.map((item, at) => {
      if (item instanceof StSecretsError) return { status: 'rejected', reason: this.#providers.explain(item, asked[at]) };
      return { status: 'fulfilled', value: secretOf(item) };
    });
  }

  /** The secret, if it is found without asking a provider in JavaScript. */
  async #atHand(key, { timeout = DEFAULT_TIMEOUT, signal }) {
    try {
      return certain(await start(signal, 'secretsGet', handleOf(this), key, timeout, CACHED_ONLY, null));
    } catch (error) {
      return uncertain(error);
    }
  }

  #atHandSync(key, timeout) {
    try {
      return certain(native.secretsGetSync(handleOf(this), key, timeout, CACHED_ONLY, null));
    } catch (error) {
      return uncertain(error);
    }
  }
}

const parse = (text) => JSON.parse(text);
method(Secrets, 'set', 'secretsSet', 2, (secrets, [key, value]) => [secrets, key, input(value)]);
method(Secrets, 'delete', 'secretsDelete', 1, (secrets, [key]) => [secrets, key]);
method(Secrets, 'refresh', 'secretsRefresh', 0, (secrets, _, { timeout = DEFAULT_TIMEOUT }) => [secrets, timeout]);
method(Secrets, 'describe', 'secretsDescribe', 0, (secrets) => [secrets], parse);
method(Secrets, 'check', 'secretsCheck', 0, (secrets) => [secrets], parse);
method(Secrets, 'filePath', 'secretsFilePath', 0, (secrets) => [secrets]);

function flagsOf({ refresh, cachedOnly }) {
  return (refresh ? REFRESH : 0) | (cachedOnly ? CACHED_ONLY : 0);
}

/** A value that no provider which was not asked could have a better one for. */
function certain(external) {
  const secret = secretOf(external);
  return secret.info.degraded ? undefined : secret;
}

function uncertain(error) {
  if (error.status === STATUS.NOT_FOUND || error.status === STATUS.INVALID_ARGUMENT || error.status === undefined) throw error;
  return undefined;
}

function isFinal(atHand) {
  return atHand !== undefined;
}

function orDefault(error, options) {
  if (error.status === STATUS.NOT_FOUND && 'default' in options) return options.default;
  throw error;
}

function keysText(keys) {
  if (!Array.isArray(keys)) throw new TypeError('keys must be an array');
  for (const key of keys) {
    if (typeof key !== 'string' || key.includes('\0')) throw new TypeError('keys must be strings without a NUL');
  }
  return keys.map((key) => `${key}\0`).join('');
}

module.exports = { Secrets, WELL_KNOWN };
