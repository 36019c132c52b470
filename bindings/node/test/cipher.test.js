'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const test = require('node:test');
const { st, status, world } = require('./support.js');

const { Cipher } = st;

test('encrypted values can be decrypted, and are redacted', async (t) => {
  const { directory } = world(t);
  Cipher.reset();
  t.after(() => Cipher.reset());
  const token = await Cipher.default.encrypt('r8_my_api_token');
  assert.equal(fs.statSync(`${directory}/.simpletuner/credential.key`).mode & 0o777, 0o600);
  const plaintext = Cipher.default.decryptSync(token);
  assert.deepEqual([plaintext.text(), String(plaintext), plaintext.info], ['r8_my_api_token', 'Secret(redacted)', null]);
  assert.deepEqual((await Cipher.default.decrypt(Cipher.default.encryptSync(plaintext))).bytes(), Buffer.from('r8_my_api_token'));
});

test('a damaged token and a missing key are different errors', async (t) => {
  const { write } = world(t);
  await assert.rejects((await Cipher.open({ key: 'k' })).decrypt('not a token'), status('ST_BAD_TOKEN'));
  await assert.rejects(Cipher.open({ key_file: write('credential.key', '') }), status('ST_BAD_KEY', { source: 'encryption' }));
  assert.throws(() => new Cipher({ key_file: write('credential.key', '') }), status('ST_BAD_KEY'));
});

test('after a rotation old tokens can be decrypted and re-encrypted', async (t) => {
  const { write } = world(t);
  const cipher = new Cipher({ key_file: write('credential.key', 'a secret') });
  const old = await cipher.encrypt('value');
  await cipher.rotateKey();
  const { token, changed } = await cipher.reencrypt(old);
  assert.equal(changed, true);
  assert.equal((await cipher.decrypt(old)).text(), 'value');
  assert.deepEqual(cipher.reencryptSync(token), { token, changed: false });
  await assert.rejects((await Cipher.open({ key: 'k' })).rotateKey(), status('ST_READ_ONLY'));
});
