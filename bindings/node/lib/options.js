'use strict';

/** The options of a call without any. */
const NONE = Object.freeze({});

/**
 * Returns the options of a call of `method`. One that is not among `names` is refused: it would have no effect, and is
 * most likely misspelled.
 */
function optionsOf(given, method, names) {
  if (given === undefined || given === null) return NONE;
  if (typeof given !== 'object') throw new TypeError(`the options of ${method} must be an object`);
  for (const name of Object.keys(given)) {
    if (!names.includes(name)) {
      const has = names.length > 0 ? `it has ${names.join(', ')}` : 'it has none';
      throw new TypeError(`${method} has no option ${JSON.stringify(name)}; ${has}`);
    }
  }
  return given;
}

module.exports = { optionsOf };
