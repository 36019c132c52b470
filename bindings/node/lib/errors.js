'use strict';

const native = require('./native.js');

const SOURCES = ['none', 'env', 'file', 'aws', 'vault', 'custom', 'store', 'encryption', 'huggingface', 'exec'];
SOURCES[10] = 'google';
SOURCES[11] = 'azure';
SOURCES[12] = 'kubernetes';
SOURCES[13] = 'onepassword';
SOURCES[14] = 'infisical';
SOURCES[15] = 'aws_parameters';
SOURCES[16] = 'credentials';

/** Returns the name of a source; later versions of the library may have others. */
function sourceName(source) {
  return SOURCES[source] ?? `source ${source}`;
}

/** The library's statuses that the binding itself uses. */
const STATUS = {
  OK: 0,
  NOT_FOUND: -1,
  ACCESS_DENIED: -5,
  INVALID_ARGUMENT: -2,
  UNAVAILABLE: -6,
  TIMEOUT: -7,
  CALLBACK: -12,
  BUSY: -14,
  ABANDONED: -18,
};

/** A failure of the library. It never contains a value, key or token. */
class StSecretsError extends Error {
  constructor(status, code, message, source = 0, detail = 0, retryable = false) {
    super(message);
    this.status = status;
    this.code = code;
    this.source = sourceName(source);
    this.detail = detail;
    this.retryable = retryable;
  }
}
Object.defineProperty(StSecretsError.prototype, 'name', { value: 'StSecretsError', configurable: true, writable: true });

/** The error of a call whose `signal` was aborted, as in Node's own functions. */
class AbortError extends Error {
  constructor(reason) {
    super('The operation was aborted', { cause: reason });
    this.code = 'ABORT_ERR';
  }
}
Object.defineProperty(AbortError.prototype, 'name', { value: 'AbortError', configurable: true, writable: true });

native.setErrorClass(StSecretsError);

/** Returns an error of the binding itself. */
function failure(status, message) {
  const retryable = status === STATUS.TIMEOUT || status === STATUS.BUSY || status === STATUS.UNAVAILABLE;
  return new StSecretsError(status, native.statusName(status), message, 0, 0, retryable);
}

module.exports = { AbortError, STATUS, StSecretsError, failure, sourceName };
