'use strict';

const native = require('./native.js');
const { Secret } = require('./secret.js');

/** Wraps a handle of the add-on. Users cannot create one: any other `External` would be misread as a handle. */
class Opened {
  constructor(external) {
    this.external = external;
  }
}

/** Passed instead of settings: the handle of the process. */
const PROCESS = new Opened(null);

/** Returns the `External` of an object. */
let handleOf;

/** A handle of the library that can be closed. */
class Handle {
  #external;

  constructor(settings, open) {
    this.#external = settings instanceof Opened ? settings.external : open(settings);
  }

  static {
    handleOf = (object) => object.#external;
  }

  /**
   * Frees the handle. Calls in progress finish normally; closing again has no effect. Handles of the process stay open.
   */
  close() {
    if (this.#external !== null) native.close(this.#external);
  }
}

// With `using`, leaving the block closes the handle.
if (Symbol.dispose) {
  Object.defineProperty(Handle.prototype, Symbol.dispose, {
    value: function dispose() {
      this.close();
    },
  });
}

/** Converts settings to the JSON text that the library reads. */
function settingsText(settings) {
  if (settings === undefined || settings === null) return null;
  if (typeof settings !== 'object') throw new TypeError('the settings must be an object');
  return jsonText(settings);
}

/** Converts a value to JSON. Throws for values that JSON cannot represent and would silently change. */
function jsonText(value) {
  return JSON.stringify(value, function check(name, written) {
    // `written` is already redacted; `this` has the secret itself.
    if (this[name] instanceof Secret) throw new TypeError(`${name || 'the value'} must not be a Secret: pass its text()`);
    if (typeof written === 'number' && !Number.isFinite(written)) throw new TypeError(`${name} must be a finite number`);
    return written;
  });
}

module.exports = { Handle, Opened, PROCESS, handleOf, jsonText, settingsText };
