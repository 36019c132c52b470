'use strict';

const { inspect, types } = require('node:util');
const native = require('./native.js');

const REDACTED = 'Secret(redacted)';
const FLAGS = { STALE: 1, CACHED: 2, DEGRADED: 4 };
const SOURCES = ['none', 'env', 'file', 'aws', 'vault', 'custom'];

/** For the constructor, which nobody else calls: any other `External` would be read as a value of ours. */
const OWN = Symbol('own');

let externalOf;

/**
 * A value that is shown to nobody who does not ask for it by `text()` or `bytes()`: those copy it into JavaScript's
 * memory, which cannot be wiped reliably; until then it is in the library's, which is wiped.
 */
class Secret {
  #external;
  #info;

  constructor(own, external) {
    if (own !== OWN) throw new TypeError('a Secret comes from the library alone');
    this.#external = external;
    // A function as a property of its own: a Secret cannot be cloned or posted, which would make an empty object of it.
    this.toJSON = Secret.prototype.toJSON;
  }

  static {
    externalOf = (secret) => secret.#external;
  }

  /** The value as a string. */
  text() {
    return native.secretText(this.#external);
  }

  /** The value as a new Buffer, which is yours to wipe (`fill(0)`). */
  bytes() {
    return native.secretBytes(this.#external);
  }

  /** How many bytes it has. Were it called `length`, `Buffer.from` would make as many zeros of a secret. */
  get byteLength() {
    return native.secretLength(this.#external);
  }

  /** Where it came from; null for what was decrypted. */
  get info() {
    if (this.#info === undefined) {
      const items = native.secretInfo(this.#external);
      this.#info = items ? Object.freeze(infoOf(...items)) : null;
    }
    return this.#info;
  }

  /** Wipes the value now, unless others hold it too. It cannot be read any more. */
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
    source: SOURCES[source] ?? `source ${source}`,
    stale: (flags & FLAGS.STALE) !== 0,
    cached: (flags & FLAGS.CACHED) !== 0,
    degraded: (flags & FLAGS.DEGRADED) !== 0,
    age,
    expiresIn,
  };
}

/** What the add-on takes as a value: of a secret, the library's own bytes. */
function input(value) {
  if (value instanceof Secret) return externalOf(value);
  if (types.isExternal(value)) throw new TypeError('value must be a string or a Uint8Array');
  return value;
}

/** A secret of what the add-on gave, which is nothing for a call that was aborted. */
function secretOf(external) {
  return external === undefined ? undefined : new Secret(OWN, external);
}

module.exports = { Secret, input, secretOf };
