'use strict';

const native = require('./native.js');

const LEVELS = ['off', 'error', 'warn', 'info', 'debug', 'trace'];

/**
 * Sends the log messages of the whole process up to this level to a function, which replaces the previous one; null
 * stops the log. The event loop delivers messages after the calls that caused them.
 */
function setLog(level, log) {
  const number = LEVELS.indexOf(level);
  if (number < 0) throw new TypeError(`level must be one of ${LEVELS.join(', ')}`);
  if (log !== null && typeof log !== 'function') throw new TypeError('log must be a function or null');
  native.setLog(number, log && ((...record) => deliver(log, ...record)));
}

function fieldsOf(text) {
  const parts = text.split('\0');
  const fields = {};
  for (let at = 0; at + 2 < parts.length; at += 3) {
    fields[parts[at]] = parts[at + 1] === 'n' ? Number(parts[at + 2]) : parts[at + 2];
  }
  return fields;
}

function deliver(log, level, target, message, lost, fields) {
  if (lost > 0) log({ level: 'warn', target: 'log', message: `${lost} messages were lost: they came too fast`, fields: {} });
  log({ level: LEVELS[level] ?? `level ${level}`, target, message, fields: fieldsOf(fields) });
}

module.exports = { setLog };
