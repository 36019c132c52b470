'use strict';

const { types } = require('node:util');
const native = require('./native.js');
const { isThenable, start, throwIfAborted, waitFor } = require('./call.js');
const { STATUS, StSecretsError, failure } = require('./errors.js');
const { Handle, Opened, handleOf } = require('./handle.js');
const { input } = require('./secret.js');

const DEFAULT_TTL = -1;
/**
 * Seconds after which a load that a worker thread began passes to the next caller, because the thread may have ended.
 */
const LEASE_TTL = 60;
const HIT = 1;
const LEADER = 2;
const PROVIDER_CONFIG = 0;
const USER_PERMISSION = 1;

const { cacheGet, cacheGetBytes, cacheGetObject } = native;
const builtins = [];
let loadObject;

/** A cache whose entries expire. When it is full, it evicts the least recently used entry. */
class Cache extends Handle {
  #external;
  /** The loads that this thread runs or waits for, by key; null for one that cannot be awaited yet. */
  #loads = new Map();
  /** The pending promises of cached functions, by key. */
  #pending = new Map();
  /** The number of loads begun after a miss that is already counted. */
  #missedTwice = 0;

  constructor(options = {}) {
    const { defaultTtl = 300, maxSize = 1000, cleanupInterval = 60 } = options;
    super(options, () => native.cacheNew(defaultTtl, maxSize, cleanupInterval));
    this.#external = handleOf(this);
  }

  /** The built-in cache for provider configuration, shared by all threads. */
  static get providerConfig() {
    return builtin(PROVIDER_CONFIG);
  }

  /** The built-in cache for user permissions, shared by all threads. */
  static get userPermission() {
    return builtin(USER_PERMISSION);
  }

  static invalidateProvider(provider) {
    return native.cacheInvalidateProvider(provider);
  }

  static invalidateUser(userId) {
    return native.cacheInvalidateUser(userId);
  }

  /** Returns the value as a string, or undefined if there is none. */
  get(key) {
    return cacheGet(this.#external, key);
  }

  /** Returns the value as a new Buffer, or undefined if there is none. */
  getBytes(key) {
    return cacheGetBytes(this.#external, key);
  }

  /** Stores a copy of a string or bytes for `ttl` seconds. */
  set(key, value, ttl = DEFAULT_TTL) {
    native.cacheSet(this.#external, key, input(value), ttl);
  }

  /** Returns the JavaScript value that `setObject` stored, by reference. */
  getObject(key) {
    return cacheGetObject(this.#external, key)?.[0];
  }

  /** Stores any JavaScript value by reference. */
  setObject(key, value, ttl = DEFAULT_TTL) {
    native.cacheSetObject(this.#external, key, [value], ttl);
  }

  delete(key) {
    return native.cacheDelete(this.#external, key);
  }

  clear() {
    return native.cacheClear(this.#external);
  }

  invalidatePrefix(prefix) {
    return native.cacheInvalidatePrefix(this.#external, prefix);
  }

  stats() {
    const [size, maxSize, defaultTtl, expiredCount, hits, misses, ...rest] = native.cacheStats(this.#external);
    const [evictions, expirations, invalidations, loads, loadFailures] = rest;
    const counts = { hits, misses: misses - this.#missedTwice, evictions, expirations, invalidations, loads, loadFailures };
    return { size, maxSize, expiredCount, defaultTtl, ...counts };
  }

  /**
   * Returns the value as a string. If there is none, stores and returns the result of `load(key)`, which may be a
   * promise. It is called once for all callers, in all threads that share the cache.
   */
  async getOrLoad(key, load, options = {}) {
    const bytes = await this.#load(key, load, options);
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  }

  /** As `getOrLoad`, but returns the value as a new Buffer. */
  async getOrLoadBytes(key, load, options = {}) {
    return Buffer.from(await this.#load(key, load, options));
  }

  /** Returns the bytes, which several callers may receive. */
  async #load(key, load, { ttl = DEFAULT_TTL, timeout = Infinity, signal }) {
    throwIfAborted(signal);
    checkLoad(load, ttl, timeout);
    const name = nameOf(key);
    const lead = (lease) => this.#lead(lease, async () => load(key), ttl);
    const [outcome, lease, value] = native.cacheLoadBeginSync(this.#external, key, 0, LEASE_TTL);
    if (outcome === HIT) return value ?? this.getBytes(key);
    if (outcome === LEADER) {
      this.#loads.set(name, null);
      this.#remember(name, { promise: lead(lease), callers: 0, controller: null });
    } else if (!this.#loads.has(name)) {
      this.#remember(name, this.#waitForOther(key, lead));
    }
    return this.#join(name, timeout, signal);
  }

  /** Waits for the load of another thread; if that is abandoned, loads in this thread. */
  #waitForOther(key, lead) {
    const controller = new AbortController();
    const load = { promise: null, callers: 0, controller };
    load.promise = (async () => {
      const begun = start(controller.signal, 'cacheLoadBegin', this.#external, key, Infinity, LEASE_TTL);
      const [outcome, lease, value] = await begun;
      load.controller = null;
      return outcome === HIT ? (value ?? this.getBytes(key)) : lead(lease);
    })();
    return load;
  }

  async #join(name, timeout, signal) {
    const load = this.#loads.get(name);
    if (load === null) throw failure(STATUS.BUSY, 'the load requests the value that it loads');
    load.callers++;
    try {
      return await waitFor(load.promise, timeout, signal);
    } finally {
      load.callers--;
      if (load.callers === 0 && load.controller !== null) {
        // No caller waits for the other thread any more.
        this.#forget(name, load);
        load.controller.abort();
      }
    }
  }

  async #lead(lease, load, ttl) {
    try {
      const bytes = toBytes(await load());
      this.#finish(() => native.cacheLoadFinish(this.#external, lease, bytes, ttl));
      return bytes;
    } catch (error) {
      this.#abandon(lease, error);
      throw error;
    }
  }

  /** Registers the load for other callers in this thread. */
  #remember(name, load) {
    this.#loads.set(name, load);
    const end = () => this.#forget(name, load);
    load.promise.then(end, end);
  }

  #forget(name, load) {
    if (this.#loads.get(name) === load) this.#loads.delete(name);
  }

  #finish(call) {
    try {
      call();
    } catch (error) {
      // The load took too long or the cache was closed: the value is valid, but is not stored.
      if (error.status !== STATUS.ABANDONED && error.status !== STATUS.INVALID_ARGUMENT) throw error;
    }
  }

  #abandon(lease, error) {
    const status = error instanceof StSecretsError ? error.status : STATUS.CALLBACK;
    try {
      native.cacheLoadAbandon(this.#external, lease, status, null);
    } catch {
      // The lease has already ended.
    }
  }

  #loadObject(key, load) {
    const held = cacheGetObject(this.#external, key);
    if (held) return held[1] ? Promise.resolve(held[0]) : held[0];
    this.#missedTwice++;
    const [outcome, lease] = native.cacheLoadBeginSync(this.#external, key, 0, Infinity);
    if (outcome !== LEADER) {
      const pending = this.#pending.get(key);
      if (pending) return pending;
      throw failure(STATUS.BUSY, 'the function requests its own result');
    }
    const store = (value, isPromised) =>
      this.#finish(() => native.cacheLoadFinishObject(this.#external, lease, [value, isPromised], DEFAULT_TTL));
    const fail = (error) => {
      this.#abandon(lease, error);
      throw error;
    };
    let result;
    try {
      result = load();
      if (!isThenable(result)) {
        store(result, false);
        return result;
      }
    } catch (error) {
      fail(error);
    }
    return this.#await(key, Promise.resolve(result).then((value) => (store(value, true), value)).catch(fail));
  }

  /** Shares a promise with other callers while it is pending. */
  #await(key, promise) {
    this.#pending.set(key, promise);
    const end = () => {
      if (this.#pending.get(key) === promise) this.#pending.delete(key);
    };
    promise.then(end, end);
    return promise;
  }

  static {
    loadObject = (cache, key, load) => cache.#loadObject(key, load);
  }
}

function builtin(which) {
  builtins[which] ??= new Cache(new Opened(native.cacheBuiltin(which)));
  return builtins[which];
}

function checkLoad(load, ttl, timeout) {
  if (typeof load !== 'function') throw new TypeError('load must be a function');
  if (typeof ttl !== 'number') throw new TypeError('ttl must be a number');
  if (typeof timeout !== 'number') throw new TypeError('timeout must be a number');
  if (!(ttl >= 0 || ttl === DEFAULT_TTL)) throw failure(STATUS.INVALID_ARGUMENT, 'ttl must be 0 or more');
  if (!(timeout >= 0)) throw failure(STATUS.INVALID_ARGUMENT, 'timeout must be 0 or more');
}

/** Returns the same name for strings and bytes that are the same key. */
function nameOf(key) {
  return Buffer.from(key).toString('latin1');
}

function toBytes(value) {
  if (typeof value === 'string' || types.isUint8Array(value)) return Buffer.from(value);
  if (value === null || value === undefined) throw failure(STATUS.NOT_FOUND, 'the load brought no value');
  throw new TypeError('a load must return a string or a Uint8Array');
}

module.exports = { Cache, loadObject };
