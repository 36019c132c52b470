'use strict';

const { isMainThread } = require('node:worker_threads');
const { isThenable } = require('./thenable.js');

/**
 * Returns the add-on for programs whose `process.env` may be a copy: Jest gives one to each file of tests, and
 * `process.env = { … }` makes one. The library reads the environment of the process, so the copy counts there for as
 * long as a call is in progress. Worker threads have copies too, but several at the same time.
 */
function withEnvironment(native) {
  const { processEnv } = native;
  if (!isMainThread || processEnv === undefined) return native;
  const environment = new Environment(processEnv);
  const wrapped = {};
  for (const name of Object.getOwnPropertyNames(native)) {
    const value = native[name];
    // The calls of caches do not read the environment.
    wrapped[name] = typeof value === 'function' && !name.startsWith('cache') ? environment.around(value) : value;
  }
  return wrapped;
}

/** The environment of the process, which a copy replaces during calls. */
class Environment {
  #real;
  #calls = 0;
  /** The values that the copy has replaced, by name. */
  #replaced = new Map();

  constructor(real) {
    this.#real = real;
  }

  /** Returns a function that replaces the environment if `process.env` is a copy, while a call is in progress. */
  around(call) {
    return (...args) => (process.env === this.#real ? call(...args) : this.#during(call, args));
  }

  #during(call, args) {
    this.#calls++;
    let result;
    try {
      this.#replace(process.env);
      result = call(...args);
    } finally {
      if (isThenable(result)) result.then(this.#end, this.#end);
      else this.#end();
    }
    return result;
  }

  #replace(copy) {
    for (const name of new Set([...Object.keys(this.#real), ...Object.keys(copy)])) {
      const value = copy[name] === undefined ? undefined : String(copy[name]);
      const before = this.#real[name];
      if (value === before) continue;
      if (!this.#replaced.has(name)) this.#replaced.set(name, before);
      this.#set(name, value);
    }
  }

  #end = () => {
    if (--this.#calls > 0) return;
    for (const [name, value] of this.#replaced) this.#set(name, value);
    this.#replaced.clear();
  };

  #set(name, value) {
    if (value === undefined) delete this.#real[name];
    else this.#real[name] = value;
  }
}

module.exports = { withEnvironment };
