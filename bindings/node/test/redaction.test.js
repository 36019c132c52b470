'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');
const util = require('node:util');
const v8 = require('node:v8');
const { st, status, world } = require('./support.js');

const CANARY = 'CANARY-7f3a';

test('a secret does not appear in printed, logged, inspected or serialized form', async (t) => {
  world(t, { HF_TOKEN: CANARY });
  const secret = await new st.Secrets({ providers: ['env'] }).get('HF_TOKEN');
  const inside = { secret, list: [secret], map: new Map([['key', secret]]), error: new Error('x', { cause: secret }) };
  const forms = [
    String(secret),
    `${secret}`,
    secret + '',
    JSON.stringify(inside),
    util.inspect(secret),
    util.inspect(inside, { showHidden: true, getters: true, depth: null, customInspect: true }),
    util.inspect(secret, { customInspect: false, showHidden: true, getters: false }),
    util.format('%s %o %O %j', secret, secret, secret, secret),
    JSON.stringify(Object.assign({}, secret)),
    JSON.stringify(Object.getOwnPropertyDescriptors(secret)),
    Reflect.ownKeys(secret).join(),
  ];
  for (const form of forms) assert.equal(form.includes(CANARY), false, form);
  assert.equal(String(secret), 'Secret(redacted)');
  assert.equal(JSON.stringify({ secret }), '{"secret":"Secret(redacted)"}');
  assert.equal(secret.text(), CANARY);
});

test('a secret cannot be cloned or posted to another thread', (t) => {
  world(t, { HF_TOKEN: CANARY });
  const secret = new st.Secrets({ providers: ['env'] }).getSync('HF_TOKEN');
  const { port1, port2 } = new MessageChannel();
  t.after(() => port1.close());
  port2.unref();
  for (const clone of [structuredClone, v8.serialize, (value) => port1.postMessage(value)]) {
    for (const value of [secret, { secret }, [secret], { ...secret }]) {
      assert.throws(() => clone(value), (error) => /could not be cloned/.test(error.message) && !error.message.includes(CANARY));
    }
  }
  assert.equal(JSON.stringify({ ...secret }), '"Secret(redacted)"');
});

test('a failed assertion about a secret does not show it', async (t) => {
  world(t, { HF_TOKEN: CANARY });
  const secret = new st.Secrets({ providers: ['env'] }).getSync('HF_TOKEN');
  try {
    assert.deepStrictEqual({ secret }, { secret: 'something else' });
    assert.fail('they differ');
  } catch (error) {
    assert.equal(util.inspect(error).includes(CANARY), false);
  }
});

test('a disposed secret cannot be read', async (t) => {
  world(t, { HF_TOKEN: CANARY });
  const secret = new st.Secrets({ providers: ['env'] }).getSync('HF_TOKEN');
  secret.dispose();
  secret.dispose();
  for (const read of [() => secret.text(), () => secret.bytes(), () => secret.byteLength]) {
    assert.throws(read, status('ST_INVALID_ARGUMENT'));
  }
  assert.equal(secret.info.provider, 'env');
  assert.equal(String(secret), 'Secret(redacted)');
});

test('errors do not contain values', async (t) => {
  const { write } = world(t);
  const secrets = new st.Secrets({ providers: ['file'], file_path: write('s.json', `{"A": "${CANARY}" "B"}`) });
  const error = await secrets.get('A').catch((error) => error);
  assert.equal(util.inspect(error, { showHidden: true }).includes(CANARY), false);
  assert.equal(JSON.stringify(error).includes(CANARY), false);
});
