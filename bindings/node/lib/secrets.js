'use strict';

const native = require('./native.js');
const { method, start, throwIfAborted } = require('./call.js');
const { STATUS, StSecretsError } = require('./errors.js');
const { Handle, PROCESS, handleOf, settingsText } = require('./handle.js');
const { Providers } = require('./providers.js');
const { optionsOf } = require('./options.js');
const { input, secretOf } = require('./secret.js');

const REFRESH = 1;
const CACHED_ONLY = 2;
/** Of an invalidation. */
const SCOPE_HOST = 1;
const SCOPE_CLUSTER = 2;
const DEFAULT_TIMEOUT = -1;
/** The seconds of a lookup after JavaScript providers took all its time: without any, their answers would be lost. */
const LEAST = 0.1;
const OF_GET = ['timeout', 'signal', 'refresh', 'cachedOnly', 'default'];
/** How long a thread listens at a time, in seconds, so that it is free soon after a signal. */
const LISTEN_SLICE = 1;

/** The names of the secrets that SimpleTuner itself uses. */
const WELL_KNOWN = Object.freeze({
  REPLICATE_API_TOKEN: 'REPLICATE_API_TOKEN',
  HF_TOKEN: 'HF_TOKEN',
  CLOUD_WEBHOOK_SECRET: 'CLOUD_WEBHOOK_SECRET',
});

let ofProcess;

/** A chain of providers. */
class Secrets extends Handle {
  #providers = new Providers();

  constructor(settings) {
    super(settings, () => native.secretsOpen(settingsText(settings)));
  }

  /** The manager of the whole process, configured from the environment on first use. */
  static get default() {
    ofProcess ??= new Secrets(PROCESS);
    return ofProcess;
  }

  /** Replaces the manager of the whole process. */
  static reset(settings) {
    native.secretsReset(settingsText(settings));
  }

  /** Returns a secret from the first provider that has it. */
  async get(key, given) {
    const options = optionsOf(given, 'get', OF_GET);
    const { signal, timeout = DEFAULT_TIMEOUT } = options;
    throwIfAborted(signal);
    try {
      let answers = null;
      let left = timeout;
      if (!this.#providers.isEmpty && !options.cachedOnly) {
        const remaining = countdown(timeout);
        const available = options.refresh ? undefined : await this.#lookUpWithoutProviders(key, options);
        if (available) return available;
        answers = await this.#providers.call(key, remaining(), signal);
        left = remaining(LEAST);
      }
      const call = start(signal, 'secretsGet', handleOf(this), key, left, flagsOf(options), answers);
      return secretOf(await call.catch((error) => Promise.reject(this.#providers.explain(error, answers))));
    } catch (error) {
      return orDefault(error, options);
    }
  }

  /** As `get`, on this thread. A JavaScript provider that returns a promise counts as failed. */
  getSync(key, given) {
    const options = optionsOf(given, 'getSync', OF_GET);
    const { timeout = DEFAULT_TIMEOUT } = options;
    const handle = handleOf(this);
    let answers = null;
    let left = timeout;
    try {
      if (!this.#providers.isEmpty && !options.cachedOnly) {
        const remaining = countdown(timeout);
        const available = options.refresh ? undefined : this.#lookUpWithoutProvidersSync(key, timeout);
        if (available) return available;
        answers = this.#providers.callSync(key, remaining());
        left = remaining(LEAST);
      }
      return secretOf(native.secretsGetSync(handle, key, left, flagsOf(options), answers));
    } catch (error) {
      return orDefault(this.#providers.explain(error, answers), options);
    }
  }

  /** Returns several secrets; the results are those of `Promise.allSettled`, in the order of the keys. */
  async getMany(keys, options) {
    const { signal } = optionsOf(options, 'getMany', ['signal']);
    throwIfAborted(signal);
    const text = keysText(keys);
    const answers = await Promise.all(keys.map((key) => Secrets.answersFor(this, key, signal)));
    const items = await start(signal, 'secretsGetMany', handleOf(this), text, keys.length, answers.flat());
    return this.#settled(items, answers);
  }

  getManySync(keys) {
    const text = keysText(keys);
    const answers = keys.map((key) => Secrets.answersForSync(this, key));
    return this.#settled(native.secretsGetManySync(handleOf(this), text, keys.length, answers.flat()), answers);
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
   * Adds a custom provider: `get(key, {timeout, signal})` returns a string, bytes, a `Secret`, `{value, ttl}`, null if
   * it does not have the key, or a promise of one of these. Its answers are cached for `cache_ttl`.
   */
  addProvider(name, get, options) {
    const { position = -1 } = optionsOf(options, 'addProvider', ['position']);
    if (typeof get !== 'function') throw new TypeError('get must be a function');
    if (handleOf(this) === null) {
      throw new TypeError('cannot add a provider to the manager of the process, which all threads share: create a manager');
    }
    const { timeout } = this.describeSync();
    this.#providers.add(get, timeout, (id) => native.secretsAddProvider(handleOf(this), name, position, id));
  }

  /**
   * Returns a number that increases when anything that the manager serves changes: a document, a file, or what another
   * process of this host published or invalidated.
   */
  get generation() {
    return native.secretsGeneration(handleOf(this));
  }

  /**
   * Waits until the generation differs from `since`, at most for `timeout` seconds, and returns it. While it
   * waits, a thread looks for changes.
   */
  async listen(since = this.generation, options) {
    const { timeout = Number.POSITIVE_INFINITY, signal } = optionsOf(options, 'listen', ['timeout', 'signal']);
    const end = performance.now() + timeout * 1000;
    for (let left = timeout; ; left = Math.max((end - performance.now()) / 1000, 0)) {
      const generation = await start(signal, 'secretsListen', handleOf(this), since, Math.min(left, LISTEN_SLICE));
      if (generation !== since || !(left > LISTEN_SLICE)) return generation;
    }
  }

  /** Removes all cached values of the manager. */
  clearCache() {
    native.secretsClearCache(handleOf(this));
  }

  /** Returns the answers of JavaScript providers for a key that the library is about to look up. */
  static async answersFor(secrets, key, signal) {
    const available = secrets.#providers.isEmpty || (await secrets.#lookUpWithoutProviders(key, { signal }).then(isFinal, () => true));
    return available ? [] : secrets.#providers.call(key, DEFAULT_TIMEOUT, signal);
  }

  static answersForSync(secrets, key) {
    try {
      if (secrets.#providers.isEmpty || isFinal(secrets.#lookUpWithoutProvidersSync(key, DEFAULT_TIMEOUT))) return [];
    } catch {
      // The library reports the failure itself.
      return [];
    }
    return secrets.#providers.callSync(key, DEFAULT_TIMEOUT);
  }

  /** Returns the results of several keys, each a secret or an error, with the answers of JavaScript providers. */
  #settled(items, answers) {
    return items.map((item, at) => {
      if (!(item instanceof StSecretsError)) return { status: 'fulfilled', value: secretOf(item) };
      Error.captureStackTrace(item);
      return { status: 'rejected', reason: this.#providers.explain(item, answers[at]) };
    });
  }

  /** Returns the secret if it can be found without calling a JavaScript provider. */
  async #lookUpWithoutProviders(key, { timeout = DEFAULT_TIMEOUT, signal }) {
    try {
      return certain(await start(signal, 'secretsGet', handleOf(this), key, timeout, CACHED_ONLY, null));
    } catch (error) {
      return uncertain(error);
    }
  }

  #lookUpWithoutProvidersSync(key, timeout) {
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
method(Secrets, 'refresh', 'secretsRefresh', [0, 'timeout'], (secrets, _, { timeout = DEFAULT_TIMEOUT }) => [secrets, timeout]);
method(Secrets, 'prefetch', 'secretsPrefetch', [0, 'timeout'], (secrets, _, { timeout = DEFAULT_TIMEOUT }) => [secrets, timeout]);
method(Secrets, 'describe', 'secretsDescribe', 0, (secrets) => [secrets], parse);
method(Secrets, 'stats', 'secretsStats', 0, (secrets) => [secrets], parse);
method(Secrets, 'check', 'secretsCheck', 0, (secrets) => [secrets], parse);
method(Secrets, 'share', 'secretsShare', 0, (secrets) => [secrets], parse);
for (const [name, scope] of [['invalidate', SCOPE_HOST], ['invalidateCluster', SCOPE_CLUSTER]]) {
  method(
    Secrets,
    name,
    'secretsInvalidate',
    [1, 'timeout'],
    (secrets, [key], { timeout = 10 }) => [secrets, key, timeout, scope],
    parse,
  );
}
method(Secrets, 'filePath', 'secretsFilePath', 0, (secrets) => [secrets]);

/**
 * Returns a function that returns what is left of a timeout, and at least `least` if it was that long. The default and
 * what is not a timeout stay as they are.
 */
function countdown(timeout) {
  if (typeof timeout !== 'number' || !(timeout >= 0)) return () => timeout;
  const end = performance.now() + timeout * 1000;
  return (least = 0) => Math.max((end - performance.now()) / 1000, Math.min(least, timeout));
}

function flagsOf({ refresh, cachedOnly }) {
  return (refresh ? REFRESH : 0) | (cachedOnly ? CACHED_ONLY : 0);
}

/** Whether no provider that was skipped could have a value of higher precedence. */
function certain(external) {
  const secret = secretOf(external);
  return secret.info.degraded ? undefined : secret;
}

function uncertain(error) {
  if (error.status === STATUS.NOT_FOUND || error.status === STATUS.INVALID_ARGUMENT || error.status === undefined) throw error;
  return undefined;
}

function isFinal(available) {
  return available !== undefined;
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
