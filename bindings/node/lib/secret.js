'use strict';

const { inspect, types } = require('node:util');
const native = require('./native.js');
const { sourceName } = require('./errors.js');

const REDACTED = 'Secret(redacted)';
const FLAGS = { STALE: 1, CACHED: 2, DEGRADED: 4, SHARED: 8, LEASED: 16 };

/** Required by the constructor, so that users cannot call it: any other `External` would be misread as a value. */
const OWN = Symbol('own');

let externalOf;

/**
 * A value that only `text()` and `bytes()` reveal. These copy it to JavaScript's memory, which cannot be wiped
 * reliably; the library's own memory is wiped.
 */
class Secret {
  #external;
  #info;

  constructor(own, external) {
    if (own !== OWN) throw new TypeError('a Secret cannot be constructed');
    this.#external = external;
    // A function as an own property prevents cloning and posting, which would create an empty object.
    this.toJSON = Secret.prototype.toJSON;
  }

  static {
    externalOf = (secret) => secret.#external;
  }

  /** Returns the value as a string. */
  text() {
    return native.secretText(this.#external);
  }

  /** Returns the value as a new Buffer, which the caller wipes (`fill(0)`). */
  bytes() {
    return native.secretBytes(this.#external);
  }

  /** The length in bytes. Not named `length`, because `Buffer.from` would then create a Buffer of zeros. */
  get byteLength() {
    return native.secretLength(this.#external);
  }

  /** The origin of the value; null for a decrypted value. */
  get info() {
    if (this.#info === undefined) {
      const items = native.secretInfo(this.#external);
      this.#info = items ? Object.freeze(infoOf(...items)) : null;
    }
    return this.#info;
  }

  /** Releases the value, which is wiped with its last reference. It can no longer be read. */
  dispose() {
    native.close(this.#external);
  }

  toString() {
    return REDACTED;
  }

  toJSON() {
    return REDACTED;
  }

  [inspect.custom]() {
    return REDACTED;
  }
}

if (Symbol.dispose) {
  Object.defineProperty(Secret.prototype, Symbol.dispose, { value: Secret.prototype.dispose });
}

function infoOf(provider, version, source, flags, age, expiresIn) {
  return {
    provider,
    version: version === '' ? null : version,
    source: sourceName(source),
    stale: (flags & FLAGS.STALE) !== 0,
    cached: (flags & FLAGS.CACHED) !== 0,
    degraded: (flags & FLAGS.DEGRADED) !== 0,
    shared: (flags & FLAGS.SHARED) !== 0,
    leased: (flags & FLAGS.LEASED) !== 0,
    age,
    expiresIn,
  };
}

/** Converts a value for the add-on; a Secret passes the library's own bytes. */
function input(value) {
  if (value instanceof Secret) return externalOf(value);
  if (types.isExternal(value)) throw new TypeError('value must be a string or a Uint8Array');
  return value;
}

/** Returns a Secret for a result of the add-on, which is undefined after an abort. */
function secretOf(external) {
  return external === undefined ? undefined : new Secret(OWN, external);
}

module.exports = { Secret, input, secretOf };
