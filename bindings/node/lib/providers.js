'use strict';

const { types } = require('node:util');
const { waitFor } = require('./call.js');
const { AbortError, STATUS, StSecretsError } = require('./errors.js');
const { Secret, input } = require('./secret.js');
const { isThenable } = require('./thenable.js');

const DEFAULT_TTL = -1;
/** The index of the exception in an answer; the add-on reads the elements before it. */
const THROWN = 5;

/**
 * The JavaScript providers of a manager. They are called before the library's call that uses their answers, once for
 * all concurrent callers. An answer is [provider, key, status, value or message, ttl, exception].
 */
class Providers {
  #all = [];

  get isEmpty() {
    return this.#all.length === 0;
  }

  add(get, timeout, register) {
    const id = this.#all.length;
    register(id);
    this.#all.push({ id, get, timeout, underWay: new Map() });
  }

  call(key, timeout, signal) {
    return Promise.all(this.#all.map((provider) => answerOf(provider, key, limit(provider, timeout), signal)));
  }

  callSync(key, timeout) {
    return this.#all.map((provider) => answerOfSync(provider, key, limit(provider, timeout)));
  }

  /** Sets the exception of a provider as the cause of an error. */
  explain(error, answers) {
    if (error instanceof StSecretsError && error.source === 'custom' && error.cause === undefined) {
      error.cause = answers?.map((answer) => answer[THROWN]).find((thrown) => thrown !== undefined);
    }
    return error;
  }
}

function limit(provider, timeout) {
  return timeout < 0 ? provider.timeout : timeout;
}

async function answerOf(provider, key, timeout, signal) {
  let load = provider.underWay.get(key);
  // Does not wait for a load that is over its time limit: it may never end.
  if (load === undefined || load.until <= performance.now()) load = begin(provider, key, timeout);
  try {
    return answer(provider, key, await waitFor(load.promise, timeout, signal));
  } catch (error) {
    if (error instanceof AbortError && signal?.aborted) throw error;
    return failed(provider, key, error);
  }
}

function begin(provider, key, timeout) {
  const promise = (async () => provider.get(key, request(timeout)))();
  const load = { promise, until: performance.now() + timeout * 1000 };
  provider.underWay.set(key, load);
  const end = () => {
    if (provider.underWay.get(key) === load) provider.underWay.delete(key);
  };
  promise.then(end, end);
  return load;
}

function answerOfSync(provider, key, timeout) {
  try {
    const value = provider.get(key, request(timeout));
    if (!isThenable(value)) return answer(provider, key, value);
    Promise.resolve(value).catch(() => {});
    return [provider.id, key, STATUS.UNAVAILABLE, 'it answers with a promise, for which this call cannot wait: use get', 0];
  } catch (error) {
    return failed(provider, key, error);
  }
}

function request(timeout) {
  const signal = timeout < Infinity ? AbortSignal.timeout(Math.min(Math.ceil(timeout * 1000), 0x7fffffff)) : undefined;
  return { timeout, signal };
}

function answer(provider, key, value) {
  if (value === null || value === undefined) return [provider.id, key, STATUS.NOT_FOUND, null, 0];
  const { value: found, ttl = DEFAULT_TTL } = isValue(value) ? { value } : value;
  if (isValue(found) && typeof ttl === 'number') return [provider.id, key, STATUS.OK, input(found), ttl];
  return [provider.id, key, STATUS.CALLBACK, 'its function answered with something else than a string or bytes', 0];
}

function isValue(value) {
  return typeof value === 'string' || types.isUint8Array(value) || value instanceof Secret;
}

function failed(provider, key, error) {
  if (error instanceof StSecretsError) {
    return [provider.id, key, error.status, error.message, 0, error];
  }
  if (error?.name === 'TimeoutError') return [provider.id, key, STATUS.TIMEOUT, 'its function timed out', 0, error];
  // The messages of other errors may contain secrets: they are only in the cause.
  return [provider.id, key, STATUS.CALLBACK, `its function threw ${error?.name ?? typeof error}: see the cause`, 0, error];
}

module.exports = { Providers };
