'use strict';

const { types } = require('node:util');
const native = require('./native.js');

/** In place of settings: the one of the process. */
const PROCESS = Symbol('process');

/** The `External` behind an object. */
let handleOf;

/** Something of the library that is opened and closed. */
class Handle {
  #external;

  constructor(settings, open) {
    if (settings === PROCESS) this.#external = null;
    else if (types.isExternal(settings)) this.#external = settings;
    else this.#external = open(settings);
  }

  static {
    handleOf = (object) => object.#external;
  }

  /** Calls under way end as if it were open; closing again does nothing. What belongs to the process stays open. */
  close() {
    if (this.#external !== null) native.close(this.#external);
  }
}

// Where the language has it (`using`), leaving the block closes it.
if (Symbol.dispose) {
  Object.defineProperty(Handle.prototype, Symbol.dispose, {
    value: function dispose() {
      this.close();
    },
  });
}

/** Settings as the library takes them. */
function settingsText(settings) {
  if (settings === undefined || settings === null) return null;
  if (typeof settings !== 'object') throw new TypeError('the settings must be an object');
  return JSON.stringify(settings, (name, value) => {
    if (typeof value === 'number' && !Number.isFinite(value)) throw new TypeError(`${name} must be a finite number`);
    return value;
  });
}

module.exports = { Handle, PROCESS, handleOf, settingsText };
