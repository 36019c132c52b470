'use strict';

const { types } = require('node:util');

/** A whole number that other languages represent as floating-point: the key of 1.0 differs from that of 1. */
class Float {
  constructor(value) {
    if (typeof value !== 'number') throw new TypeError('a Float must be a number');
    this.value = value;
  }
}

/**
 * Returns the key under which the result of a function call is cached: `prefix:function:argument:argument`, the same in
 * every language. Whole numbers up to 2^53 and bigints are integers; `undefined` is `null`.
 */
function functionKey(prefix, name, args = [], named = {}) {
  let key = prefix === '' ? name : `${prefix}:${name}`;
  for (const arg of args) key += `:${written(arg, false)}`;
  for (const [each, arg] of sorted(named)) key += `:${text(each, needsQuotes(each))}=${written(arg, false)}`;
  return key;
}

function written(arg, within) {
  switch (typeof arg) {
    case 'undefined':
      return 'null';
    case 'boolean':
    case 'bigint':
      return String(arg);
    case 'string':
      return text(arg, within || needsQuotes(arg));
    case 'number':
      return Number.isSafeInteger(arg) && !Object.is(arg, -0) ? String(arg) : float(arg);
    case 'object':
      return object(arg);
    default:
      throw new TypeError(`a ${typeof arg} cannot be part of a cache key`);
  }
}

function object(arg) {
  if (arg === null) return 'null';
  if (arg instanceof Float) return float(arg.value);
  if (types.isUint8Array(arg)) return `x"${Buffer.from(arg.buffer, arg.byteOffset, arg.length).toString('hex')}"`;
  if (Array.isArray(arg)) return `[${Array.from(arg, (item) => written(item, true)).join(',')}]`;
  const prototype = Object.getPrototypeOf(arg);
  if (!types.isMap(arg) && prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    throw new TypeError(`an object of class ${arg.constructor?.name} cannot be part of a cache key`);
  }
  const members = sorted(arg).map(([name, value]) => `${text(name, true)}=${written(value, true)}`);
  return `{${members.join(',')}}`;
}

/** Sorts members by the UTF-8 bytes of their names. */
function sorted(members) {
  const entries = types.isMap(members) ? [...members] : Object.entries(members);
  for (const [name] of entries) {
    if (typeof name !== 'string') throw new TypeError('names of values in a cache key must be strings');
  }
  return entries.sort(([one], [other]) => Buffer.compare(Buffer.from(one), Buffer.from(other)));
}

function float(value) {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  const digits = value.toExponential().replace('e+', 'e');
  return Object.is(value, -0) ? `-${digits}` : digits;
}

function text(value, quotes) {
  if (!value.isWellFormed()) throw new TypeError('text in a cache key must be well-formed Unicode');
  return quotes ? `"${value.replace(/[\\"]/g, '\\$&')}"` : value;
}

function needsQuotes(value) {
  return value === '' || /^[0-9+\-.[{]|[:=\\"]|^(?:true|false|null|nan|inf)$/i.test(value);
}

module.exports = { Float, functionKey };
