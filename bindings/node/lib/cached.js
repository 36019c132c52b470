'use strict';

const { Cache, loadObject } = require('./cache.js');
const { functionKey } = require('./function_key.js');
const { optionsOf } = require('./options.js');

const OF_CACHED = ['ttl', 'keyPrefix', 'name', 'maxSize'];

/**
 * Caches the results of a function for `ttl` seconds, by its arguments: `mymodule:get_user:123`. Calls with the same
 * arguments share a pending promise. Results are stored by reference; failures are not stored.
 */
function cached(fn, options) {
  const { ttl = 300, keyPrefix = '', name = fn?.name, maxSize = 1000 } = optionsOf(options, 'cached', OF_CACHED);
  if (typeof fn !== 'function') throw new TypeError('fn must be a function');
  if (typeof name !== 'string' || name === '') throw new TypeError('a function without a name needs the option `name`');
  const cache = new Cache({ defaultTtl: ttl, maxSize });
  const key = (...args) => functionKey(keyPrefix, name, args);
  function call(...args) {
    return loadObject(cache, key(...args), () => fn.apply(this, args));
  }
  Object.defineProperty(call, 'name', { value: name, configurable: true });
  return Object.assign(call, { cache, key });
}

module.exports = { cached };
