'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');
const native = require('../lib/native.js');
const { sleep, st, status, world } = require('./support.js');

/** Returns a manager with the environment followed by these providers. */
function manager(providers, settings = {}) {
  const secrets = new st.Secrets({ providers: ['env'], timeout: 60, ...settings });
  for (const [name, get] of Object.entries(providers)) secrets.addProvider(name, get);
  return secrets;
}

test('an async provider is called once for all callers, and its answer is cached', async (t) => {
  world(t);
  let calls = 0;
  const secrets = manager({
    remote: async (key) => {
      calls++;
      await sleep(0.05);
      return key === 'A' ? 'value of A' : null;
    },
  });
  const values = await Promise.all(Array.from({ length: 100 }, () => secrets.get('A')));
  assert.deepEqual(new Set(values.map((value) => value.text())), new Set(['value of A']));
  assert.deepEqual([values[0].info.provider, values[0].info.source], ['remote', 'custom']);
  assert.equal(secrets.getSync('A').text(), 'value of A');
  assert.equal((await secrets.get('A', { cachedOnly: true })).text(), 'value of A');
  assert.equal(calls, 1);
  await assert.rejects(secrets.get('B'), status('ST_NOT_FOUND'));
  assert.equal((await secrets.get('A', { refresh: true })).text(), 'value of A');
  assert.equal(calls, 3);
});

test('a provider is not called if an earlier one has the key', async (t) => {
  world(t, { A: 'from the environment' });
  const secrets = manager({ mine: () => assert.fail('it was called') });
  assert.equal((await secrets.get('A')).text(), 'from the environment');
  assert.equal(secrets.getSync('A').text(), 'from the environment');
});

test('a provider can be the first', async (t) => {
  world(t, { A: 'from the environment' });
  const secrets = new st.Secrets({ providers: ['env'] });
  secrets.addProvider('first', (key) => (key === 'A' ? 'mine' : undefined), { position: 0 });
  assert.deepEqual(secrets.describeSync().providers.map(({ name }) => name), ['first', 'env']);
  await assert.rejects(async () => secrets.addProvider('first', () => null), status('ST_INVALID_ARGUMENT'));
  assert.equal((await secrets.get('A', { refresh: true })).text(), 'mine');
});

test('answers are strings, bytes, secrets, or values with a TTL', async (t) => {
  world(t, { A: 'a' });
  const answers = { TEXT: 'text', BYTES: Buffer.from([1, 0, 255]), TIMED: { value: 'timed', ttl: 0.05 } };
  const secrets = manager({ mine: (key) => (key === 'SECRET' ? secrets.getSync('A') : answers[key]) });
  assert.equal(secrets.getSync('TEXT').text(), 'text');
  assert.deepEqual((await secrets.get('BYTES')).bytes(), answers.BYTES);
  assert.equal((await secrets.get('SECRET')).text(), 'a');
  assert.equal((await secrets.get('TIMED')).text(), 'timed');
  answers.TIMED = 'later';
  await sleep(0.1);
  assert.equal((await secrets.get('TIMED')).text(), 'later');
});

test('an async provider counts as failed in a synchronous call', (t) => {
  world(t);
  const secrets = manager({ remote: async () => 'value', local: (key) => (key === 'A' ? 'found after it' : null) });
  assert.throws(() => secrets.getSync('B'), status('ST_UNAVAILABLE', { source: 'custom', retryable: true }));
  const secret = secrets.getSync('A');
  assert.deepEqual([secret.text(), secret.info.degraded], ['found after it', true]);
});

test('an exception of a provider is the cause of the error, but not in its message', async (t) => {
  world(t);
  const secrets = manager({
    mine: async () => {
      throw new RangeError('CANARY');
    },
  });
  const error = await secrets.get('A').catch((error) => error);
  assert.ok(status('ST_CALLBACK', { source: 'custom' })(error), error);
  assert.equal(error.message.includes('CANARY'), false);
  assert.equal(error.cause.message, 'CANARY');
  await assert.rejects(manager({ odd: () => 17 }).get('A'), status('ST_CALLBACK'));
});

test('a provider that takes too long times out', async (t) => {
  world(t);
  let signal;
  const secrets = manager({
    slow: (_key, request) => {
      signal = request.signal;
      return new Promise(() => {});
    },
  });
  await assert.rejects(secrets.get('A', { timeout: 0.05 }), status('ST_TIMEOUT', { source: 'custom' }));
  await sleep(0.02);
  assert.equal(signal.aborted, true);
});

test('concurrent synchronous and asynchronous calls do not block each other', async (t) => {
  world(t);
  const secrets = manager({ remote: async (key) => (await sleep(0.001), `value of ${key}`) });
  const pending = [];
  for (let round = 0; round < 50; round++) {
    for (let call = 0; call < 20; call++) pending.push(secrets.get(`KEY_${round}`));
    try {
      secrets.getSync(`KEY_${round}`);
    } catch (error) {
      assert.ok(status('ST_UNAVAILABLE')(error), error);
    }
    if (round % 10 === 0) await sleep(0.002);
  }
  const values = await Promise.all(pending);
  assert.deepEqual(values.map((value) => value.text()), values.map((_, at) => `value of KEY_${Math.floor(at / 20)}`));
});

test('getMany and resolveCredential call JavaScript providers', async (t) => {
  const { directory } = world(t, { E: 'env' });
  const secrets = manager({ mine: async (key) => (key === 'A' ? 'mine' : null) });
  const results = await secrets.getMany(['E', 'A', 'B']);
  assert.deepEqual(results.map(({ value, reason }) => value?.text() ?? reason.code), ['env', 'mine', 'ST_NOT_FOUND']);
  const store = new st.Store({ state_dir: directory });
  const cipher = new st.Cipher({ key: 'k' });
  const which = { userId: 1, provider: 'replicate', name: 'api_token', globalKey: 'A' };
  const { source, secret } = await store.resolveCredential(which, { secrets: manager({ mine: async () => 'mine' }), cipher });
  assert.deepEqual([source, secret.text()], ['global', 'mine']);
});

test('the manager of the process rejects JavaScript providers', () => {
  assert.throws(() => st.Secrets.default.addProvider('mine', () => null), TypeError);
});

test('one timeout covers the providers and the lookup after them', async (t) => {
  world(t);
  const given = [];
  for (const name of ['secretsGet', 'secretsGetSync']) {
    const original = native[name];
    native[name] = (secrets, key, timeout, ...more) => (given.push(timeout), original(secrets, key, timeout, ...more));
    t.after(() => (native[name] = original));
  }
  const slow = async (key) => {
    await sleep(0.02);
    return `value of ${key}`;
  };
  const secrets = manager({ slow });
  assert.equal((await secrets.get('A', { timeout: 60, refresh: true })).text(), 'value of A');
  assert.ok(given.length === 1 && given[0] < 60, `${given}`);
  await secrets.get('B');
  assert.equal(given.at(-1), -1);
  await assert.rejects(secrets.get('C', { timeout: 'soon' }), TypeError);

  // The lookup has some time even if the providers took all of it.
  const late = (key) => {
    for (const end = performance.now() + 300; performance.now() < end; );
    return `value of ${key}`;
  };
  for (const [timeout, least] of [
    [0.001, 0.001],
    [0.2, 0.1],
  ]) {
    try {
      manager({ late }).getSync('D', { timeout });
    } catch (error) {
      assert.equal(error.source, 'custom');
    }
    assert.equal(given.at(-1), least);
  }
});

test('a timeout may be a fraction of a second', async (t) => {
  world(t);
  const secrets = manager({ mine: (key, { signal }) => (signal.aborted ? null : `value of ${key}`) }, { timeout: 62.0005 });
  assert.equal((await secrets.get('A', { timeout: 61.2345 })).text(), 'value of A');
  assert.equal(secrets.getSync('B', { timeout: 61.00001 }).text(), 'value of B');
  assert.equal((await secrets.get('C')).text(), 'value of C');
});

test('a provider that never answered is called again after its timeout', async (t) => {
  world(t);
  let calls = 0;
  const secrets = manager({ mine: () => (calls++ === 0 ? new Promise(() => {}) : 'value') });
  await assert.rejects(secrets.get('A', { timeout: 0.02 }), status('ST_TIMEOUT'));
  assert.equal(calls, 1);
  await sleep(0.02);
  assert.equal((await secrets.get('A', { refresh: true })).text(), 'value');
});
