'use strict';

const { types } = require('node:util');
const native = require('./native.js');
const { start, throwIfAborted, waitFor } = require('./call.js');
const { STATUS, StSecretsError, failure } = require('./errors.js');
const { Handle, Opened, handleOf, jsonText } = require('./handle.js');
const { optionsOf } = require('./options.js');
const { input } = require('./secret.js');
const { isThenable } = require('./thenable.js');

const DEFAULT_TTL = -1;
/**
 * Seconds after which a load that a worker thread began passes to the next caller, because the thread may have ended.
 */
const LEASE_TTL = 60;
const HIT = 1;
const LEADER = 2;
const BUSY = 3;
const PROVIDER_CONFIG = 0;
const USER_PERMISSION = 1;

/** Settings without a shorter way to open a cache, and their names in a configuration. */
const OF_CONFIGURATION = {
  softTtl: 'soft_ttl',
  ttlJitter: 'ttl_jitter',
  absentTtl: 'absent_ttl',
  tier: 'tier',
  tierName: 'tier_name',
  tierInterval: 'tier_interval',
  shareKey: 'share_key',
  shareCaCert: 'share_ca_cert',
  shareClientCert: 'share_client_cert',
  shareClientKey: 'share_client_key',
};
const OF_CACHE = ['defaultTtl', 'maxSize', 'cleanupInterval', ...Object.keys(OF_CONFIGURATION)];
const OF_LOAD = ['ttl', 'timeout', 'signal'];

const { cacheGet, cacheGetBytes, cacheGetObject } = native;
const builtins = [];
let loadObject;

/** A cache whose entries expire. When it is full, it evicts the least recently used entry. */
class Cache extends Handle {
  #external;
  /** The loads that this thread runs, by key: the lease, and the promise, which is null while `load` is called. */
  #loads = new Map();
  /** The pending promises of cached functions, by key. */
  #pending = new Map();
  /** The number of loads begun after a miss that is already counted. */
  #missedTwice = 0;

  constructor(options) {
    super(options, () => open(optionsOf(options, 'Cache', OF_CACHE)));
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
  async getOrLoad(key, load, options) {
    const bytes = await this.#load(key, load, optionsOf(options, 'getOrLoad', OF_LOAD));
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  }

  /** As `getOrLoad`, but returns the value as a new Buffer. */
  async getOrLoadBytes(key, load, options) {
    return Buffer.from(await this.#load(key, load, optionsOf(options, 'getOrLoadBytes', OF_LOAD)));
  }

  /** Returns the bytes, which several callers may receive. */
  async #load(key, load, { ttl = DEFAULT_TTL, timeout = Infinity, signal }) {
    throwIfAborted(signal);
    checkLoad(load, ttl, timeout);
    const name = nameOf(key);
    const begunAt = performance.now();
    for (let left = timeout; ; left = Math.max(timeout - (performance.now() - begunAt) / 1000, 0)) {
      let [outcome, lease, value] = native.cacheLoadBegin(this.#external, key, LEASE_TTL);
      if (outcome === BUSY) {
        const own = this.#loads.get(name);
        // If it was outdated meanwhile, another thread has the lease.
        if (own?.lease === lease) {
          if (own.promise === null) throw failure(STATUS.BUSY, 'the load requests the value that it loads');
          return waitFor(own.promise, left, signal);
        }
        [outcome, lease, value] = await this.#waitForOther(key, left, signal);
      }
      if (outcome === HIT) return value ?? this.getBytes(key);
      if (outcome === LEADER) return waitFor(this.#lead(name, lease, async () => load(key), ttl, value), left, signal);
    }
  }

  /** Waits for the load of another thread. Returns an empty array if that is abandoned, or its lease expires. */
  async #waitForOther(key, timeout, signal) {
    const controller = new AbortController();
    const expiry = setTimeout(() => controller.abort(), LEASE_TTL * 1000);
    const wait = start(controller.signal, 'cacheLoadWait', this.#external, key, LEASE_TTL).catch((error) => {
      if (controller.signal.aborted || error.status === STATUS.ABANDONED) return [];
      throw error;
    });
    try {
      return await waitFor(wait, timeout, signal);
    } finally {
      clearTimeout(expiry);
      controller.abort();
    }
  }

  /** Loads the value, and shares the promise with other callers in this thread. */
  #lead(name, lease, load, ttl, old) {
    const own = { lease, promise: null };
    this.#loads.set(name, own);
    own.promise = this.#loadBytes(lease, load, ttl, old);
    return removeWhenSettled(this.#loads, name, own, own.promise);
  }

  async #loadBytes(lease, load, ttl, old) {
    try {
      const bytes = toBytes(await load());
      this.#finish(() => native.cacheLoadFinish(this.#external, lease, bytes, ttl));
      return bytes;
    } catch (error) {
      this.#abandon(lease, error);
      const isGone = error?.status === STATUS.NOT_FOUND || error?.status === STATUS.ACCESS_DENIED;
      if (old === undefined || isGone) throw error;
      return old;
    }
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
    const [outcome, lease] = native.cacheLoadBegin(this.#external, key, Infinity);
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
    const pending = Promise.resolve(result).then((value) => (store(value, true), value)).catch(fail);
    this.#pending.set(key, pending);
    return removeWhenSettled(this.#pending, key, pending, pending);
  }

  static {
    loadObject = (cache, key, load) => cache.#loadObject(key, load);
  }
}

/** Opens a cache. Only those with settings that `cacheNew` lacks are opened from a configuration. */
function open({ defaultTtl = 300, maxSize = 1000, cleanupInterval = 60, ...others }) {
  const given = Object.entries(others).filter(([, value]) => value !== undefined);
  if (given.length === 0) {
    return native.cacheNew(defaultTtl, maxSize, cleanupInterval);
  }
  // JSON has no Infinity. Longer than the library can represent is forever.
  const time = (seconds) => (seconds === Infinity ? Number.MAX_VALUE : seconds);
  const settings = { default_ttl: time(defaultTtl), max_size: maxSize, cleanup_interval: time(cleanupInterval) };
  for (const [name, value] of given) settings[OF_CONFIGURATION[name]] = time(value);
  return native.cacheOpen(jsonText(settings));
}

/** Removes an entry when its promise is settled, unless another one has replaced it. Returns the promise. */
function removeWhenSettled(map, key, entry, promise) {
  const end = () => {
    if (map.get(key) === entry) map.delete(key);
  };
  promise.then(end, end);
  return promise;
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
