'use strict';

const native = require('./native.js');
const { AbortError, STATUS, failure } = require('./errors.js');
const { handleOf } = require('./handle.js');

/** Makes a call on another thread. With the signal the promise ends at once; a thread that is at it ends by its timeout. */
function start(signal, name, ...args) {
  if (signal === undefined || signal === null) return native[name](...args);
  if (signal.aborted) return Promise.reject(new AbortError(signal.reason));
  const promise = native[name](...args);
  const id = native.lastCall();
  return new Promise((resolve, reject) => {
    const abort = () => {
      native.abandon(id);
      reject(new AbortError(signal.reason));
    };
    signal.addEventListener('abort', abort, { once: true });
    promise.finally(() => signal.removeEventListener('abort', abort)).then(resolve, reject);
  });
}

/** Waits for what others wait for too: not longer than `timeout` seconds, and not after the signal. */
function waitFor(promise, timeout, signal) {
  if (!(timeout < Infinity) && !signal) return promise;
  if (signal?.aborted) return Promise.reject(new AbortError(signal.reason));
  return new Promise((resolve, reject) => {
    // A timer holds 2^31 ms at most.
    const milliseconds = Math.min(timeout * 1000, 0x7fffffff);
    const timer =
      timeout < Infinity &&
      setTimeout(() => end(reject, failure(STATUS.TIMEOUT, `it took longer than ${timeout} s`)), milliseconds);
    const abort = () => end(reject, new AbortError(signal.reason));
    const end = (settle, value) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      settle(value);
    };
    signal?.addEventListener('abort', abort, { once: true });
    promise.then(
      (value) => end(resolve, value),
      (error) => end(reject, error),
    );
  });
}

/**
 * Gives a class the methods `name` and `nameSync` over a function of the add-on. `arity` is how many parameters they have
 * before the options; `prepare(handle, args, options)` makes the add-on's arguments of them, `finish(result, options)` the
 * result of its.
 */
function method(Class, name, nativeName, arity, prepare, finish = (result) => result) {
  const methods = {
    [name]: async function (...args) {
      const options = args[arity] ?? {};
      return finish(await start(options.signal, nativeName, ...prepare(handleOf(this), args, options)), options);
    },
    [`${name}Sync`]: function (...args) {
      const options = args[arity] ?? {};
      return finish(native[`${nativeName}Sync`](...prepare(handleOf(this), args, options)), options);
    },
  };
  for (const each of Object.keys(methods)) {
    Object.defineProperty(Class.prototype, each, { value: methods[each], writable: true, configurable: true });
  }
}

module.exports = { method, start, waitFor };
