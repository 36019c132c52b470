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
      const near = nearest(name, names);
      const meant = near === undefined ? '' : `; did you mean ${JSON.stringify(near)}?`;
      const has = names.length > 0 ? `it has ${names.join(', ')}` : 'it has none';
      throw new TypeError(`${method} has no option ${JSON.stringify(name)}${meant || `; ${has}`}`);
    }
  }
  return given;
}

/** Returns the name that is written most alike, if one is close enough to be meant. */
function nearest(given, names) {
  const plain = (name) => name.toLowerCase().replace(/[_-]/g, '');
  const near = names
    .map((name) => ({ name, edits: distance(plain(given), plain(name)) }))
    .filter(({ name, edits }) => edits <= Math.max(1, Math.floor(name.length / 3)))
    .sort((one, other) => one.edits - other.edits);
  return near[0]?.name;
}

/** The Levenshtein distance: how many characters are inserted, removed or replaced. */
function distance(one, other) {
  let row = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (let at = 0; at < one.length; at++) {
    const next = [at + 1];
    for (let to = 0; to < other.length; to++) {
      next.push(Math.min(row[to + 1] + 1, next[to] + 1, row[to] + (one[at] === other[to] ? 0 : 1)));
    }
    row = next;
  }
  return row[other.length];
}

module.exports = { optionsOf };
