'use strict';

// Jest gives each test file a copy of `process.env`, which the library does not read. While a call is made, the real
// environment has what the copy has. It is not written while another call reads it, unless the test itself changes
// variables meanwhile, as without Jest. Elsewhere there is nothing to do.

const { types } = require('node:util');
const vm = require('node:vm');

/** Shared by all copies of this module in the process, as each test file has its own. */
const STATE = Symbol.for('st-secrets.environment');
/** These read no variable, and are called often. */
const WITHOUT = /^(cache(?!Builtin|Open)|secret[A-Z]|lastCall|abandon|close)/;

function set(environment, name, value) {
  if (value === undefined) delete environment[name];
  else environment[name] = value;
}

/** Makes the real environment that of the test. `before` keeps the values that it had. */
function enter(environment, state) {
  state.running += 1;
  for (const name of new Set([...Object.keys(environment), ...Object.keys(process.env)])) {
    const [real, seen] = [environment[name], process.env[name]];
    if (real === seen) continue;
    if (!state.before.has(name)) state.before.set(name, real);
    set(environment, name, seen);
  }
}

function leave(environment, state) {
  state.running -= 1;
  if (state.running > 0) return;
  for (const [name, value] of state.before) set(environment, name, value);
  state.before.clear();
}

/** Returns the functions of the add-on, which see `process.env` as the caller does. */
function seenByTest(native) {
  const real = vm.runInThisContext('process');
  if (real.env === process.env) return native;
  real[STATE] ??= { running: 0, before: new Map() };
  const state = real[STATE];
  const wrapped = (call) => (...args) => {
    enter(real.env, state);
    let result;
    try {
      result = call(...args);
      return result;
    } finally {
      if (types.isPromise(result)) {
        const left = () => leave(real.env, state);
        result.then(left, left);
      } else {
        leave(real.env, state);
      }
    }
  };
  const isWrapped = (name) => typeof native[name] === 'function' && !WITHOUT.test(name);
  const names = Object.getOwnPropertyNames(native);
  return Object.fromEntries(names.map((name) => [name, isWrapped(name) ? wrapped(native[name]) : native[name]]));
}

module.exports = { seenByTest };
