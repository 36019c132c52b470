'use strict';

const native = require('./native.js');
const { Secret } = require('./secret.js');

/** What the add-on opened. Users have no such thing: any other `External` in its place would be read as a handle of ours. */
class Opened {
  constructor(external) {
    this.external = external;
  }
}

/** In place of settings: the one of the process. */
const PROCESS = new Opened(null);

/** The `External` behind an object. */
let handleOf;

/** Something of the library that is opened and closed. */
class Handle {
  #external;

  constructor(settings, open) {
    this.#external = settings instanceof Opened ? settings.external : open(settings);
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
  return jsonText(settings);
}

/** A value as JSON. What JSON has no form for, and would become something else without a word, is refused. */
function jsonText(value) {
  return JSON.stringify(value, function check(name, written) {
    // A secret is redacted by now: behind `this` it is itself.
    if (this[name] instanceof Secret) throw new TypeError(`${name || 'the value'} must not be a Secret: give its text()`);
    if (typeof written === 'number' && !Number.isFinite(written)) throw new TypeError(`${name} must be a finite number`);
    return written;
  });
}

module.exports = { Handle, Opened, PROCESS, handleOf, jsonText, settingsText };
