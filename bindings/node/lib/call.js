'use strict';

const native = require('./native.js');
const { AbortError, STATUS, failure } = require('./errors.js');
const { handleOf } = require('./handle.js');

/** Refuses what is no signal, before anything is begun; true where nobody waits for anything any more. */
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

/** What to call for each signal. It has one listener of ours, as Node warns of a leak where there are more than ten. */
const listeners = new WeakMap();

/** Calls `abort` with the signal; what it gives back calls that off. */
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

/** Makes a call on another thread. With the signal the promise ends at once; a thread that is at it ends by its timeout. */
function start(signal, name, ...args) {
  throwIfAborted(signal);
  if (!signal) return native[name](...args);
  const promise = native[name](...args);
  const id = native.lastCall();
  return new Promise((resolve, reject) => {
    // Whatever the signal does, there is somebody who takes what the call ends with.
    promise.then(resolve, reject);
    const callOff = onAbort(signal, () => {
      native.abandon(id);
      reject(new AbortError(signal.reason));
    });
    promise.then(callOff, callOff);
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

/** Whether it is to be awaited: a promise of whichever library. */
function isThenable(value) {
  return (typeof value === 'object' || typeof value === 'function') && value !== null && typeof value.then === 'function';
}

module.exports = { isThenable, method, start, throwIfAborted, waitFor };
