'use strict';

const native = require('./native.js');
const { AbortError, STATUS, failure } = require('./errors.js');
const { handleOf } = require('./handle.js');
const { optionsOf } = require('./options.js');

/** Throws a TypeError for an invalid signal, before the call begins. Returns whether the signal is aborted. */
function isAborted(signal) {
  if (signal === undefined || signal === null) return false;
  if (typeof signal !== 'object' || typeof signal.aborted !== 'boolean' || typeof signal.addEventListener !== 'function') {
    throw new TypeError('signal must be an AbortSignal');
  }
  return signal.aborted;
}

function throwIfAborted(signal) {
  if (isAborted(signal)) throw new AbortError(signal.reason);
}

/**
 * The callbacks of each signal. Each signal has a single listener of ours, because Node warns of a leak from eleven on.
 */
const listeners = new WeakMap();

/** Calls `abort` when the signal is aborted. Returns a function that cancels that. */
function onAbort(signal, abort) {
  let all = listeners.get(signal);
  if (all === undefined) {
    const each = new Set();
    all = { each, listener: () => each.forEach((one) => void one()) };
    signal.addEventListener('abort', all.listener, { once: true });
    listeners.set(signal, all);
  }
  all.each.add(abort);
  return () => {
    all.each.delete(abort);
    if (all.each.size > 0 || listeners.get(signal) !== all) return;
    listeners.delete(signal);
    signal.removeEventListener('abort', all.listener);
  };
}

/**
 * Makes a call on another thread. If the signal is aborted, the promise is rejected at once; a call that is being made
 * ends by its timeout.
 */
function start(signal, name, ...args) {
  throwIfAborted(signal);
  const promise = native[name](...args);
  if (!signal) return promise.catch(withStack);
  const id = native.lastCall();
  const settled = new Promise((resolve, reject) => {
    // Handles the result in any case, so that a rejection after an abort is not unhandled.
    promise.then(resolve, reject);
    const callOff = onAbort(signal, () => {
      native.abandon(id);
      reject(new AbortError(signal.reason));
    });
    promise.then(callOff, callOff);
  });
  return settled.catch(withStack);
}

/** Throws an error of another thread, which has no stack, with that of the callers that await the promise. */
function withStack(error) {
  Error.captureStackTrace(error, withStack);
  throw error;
}

/** Waits for a shared promise, up to `timeout` seconds and until the signal is aborted. */
function waitFor(promise, timeout, signal) {
  if (!(timeout < Infinity) && !signal) return promise;
  if (signal?.aborted) return Promise.reject(new AbortError(signal.reason));
  return new Promise((resolve, reject) => {
    // A timer is limited to 2^31 ms.
    const milliseconds = Math.min(timeout * 1000, 0x7fffffff);
    const timer =
      timeout < Infinity &&
      setTimeout(() => end(reject, failure(STATUS.TIMEOUT, `it took longer than ${timeout} s`)), milliseconds);
    const end = (settle, value) => {
      clearTimeout(timer);
      callOff?.();
      settle(value);
    };
    promise.then(
      (value) => end(resolve, value),
      (error) => end(reject, error),
    );
    const callOff = signal ? onAbort(signal, () => end(reject, new AbortError(signal.reason))) : undefined;
  });
}

/**
 * Adds the methods `name` and `nameSync` to a class, which call a function of the add-on. `parameters` is the number of
 * parameters before the options, or an array of it and the names of the options besides `signal`;
 * `prepare(handle, args, options)` returns the add-on's arguments, and `finish(result, options)` converts its result.
 */
function method(Class, name, nativeName, parameters, prepare, finish = (result) => result) {
  const [arity, ...own] = [parameters].flat();
  const names = [...own, 'signal'];
  const methods = {
    [name]: async function (...args) {
      const options = optionsOf(args[arity], name, names);
      return finish(await start(options.signal, nativeName, ...prepare(handleOf(this), args, options)), options);
    },
    [`${name}Sync`]: function (...args) {
      const options = optionsOf(args[arity], `${name}Sync`, names);
      return finish(native[`${nativeName}Sync`](...prepare(handleOf(this), args, options)), options);
    },
  };
  for (const each of Object.keys(methods)) {
    Object.defineProperty(Class.prototype, each, { value: methods[each], writable: true, configurable: true });
  }
}

module.exports = { method, start, throwIfAborted, waitFor };
