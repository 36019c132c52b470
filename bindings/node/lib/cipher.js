'use strict';

const native = require('./native.js');
const { method, start } = require('./call.js');
const { Handle, Opened, PROCESS, settingsText } = require('./handle.js');
const { optionsOf } = require('./options.js');
const { input, secretOf } = require('./secret.js');

let ofProcess;

/** Encrypts and decrypts credentials, in SimpleTuner's format. */
class Cipher extends Handle {
  /** Reads the keys, or creates a key if there is none. Blocks; `Cipher.open` does not. */
  constructor(settings) {
    super(settings, () => native.cipherOpenSync(settingsText(settings)));
  }

  static async open(settings, options) {
    const { signal } = optionsOf(options, 'open', ['signal']);
    return new Cipher(new Opened(await start(signal, 'cipherOpen', settingsText(settings))));
  }

  /** The cipher of the whole process, opened on first use. */
  static get default() {
    ofProcess ??= new Cipher(PROCESS);
    return ofProcess;
  }

  /** Replaces the cipher of the whole process. */
  static reset(settings) {
    native.cipherReset(settingsText(settings));
  }
}

method(Cipher, 'encrypt', 'encrypt', 1, (cipher, [plaintext]) => [cipher, input(plaintext)]);
method(Cipher, 'decrypt', 'decrypt', 1, (cipher, [token]) => [cipher, token], secretOf);
method(Cipher, 'reencrypt', 'reencrypt', 1, (cipher, [token]) => [cipher, token], ([token, changed]) => ({ token, changed }));
method(Cipher, 'rotateKey', 'rotateKey', 0, (cipher) => [cipher]);

module.exports = { Cipher };
