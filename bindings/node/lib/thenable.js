'use strict';

/** Whether a value is a promise, of any library. */
function isThenable(value) {
  return (typeof value === 'object' || typeof value === 'function') && value !== null && typeof value.then === 'function';
}

module.exports = { isThenable };
