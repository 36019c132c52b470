'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const test = require('node:test');
const { st, status, world } = require('./support.js');

const { Cache, Cipher, Secret, Secrets, Store, StSecretsError } = st;

test('arguments of the wrong type throw a TypeError that names them', async () => {
  const secrets = new Secrets({ providers: ['env'] });
  for (const key of [undefined, null, 1, {}, [], Symbol('x'), Buffer.from('x')]) {
    await assert.rejects(secrets.get(key), { name: 'TypeError', message: 'key must be a string' });
    assert.throws(() => secrets.getSync(key), TypeError);
  }
  assert.throws(() => secrets.setSync('A', 1), { message: 'value must be a string or a Uint8Array' });
  assert.throws(() => secrets.setSync('A', new Uint16Array(4)), TypeError);
  await assert.rejects(secrets.get('A', { timeout: '1' }), { message: 'timeout must be a number' });
  await assert.rejects(secrets.getMany('A'), TypeError);
  await assert.rejects(secrets.getMany(['A\0B']), TypeError);
  assert.throws(() => new Secrets('x'), TypeError);
  assert.throws(() => secrets.addProvider('x'), TypeError);
  const cache = new Cache();
  for (const key of [undefined, null, 1, {}, new Float64Array(1)]) {
    assert.throws(() => cache.get(key), TypeError);
    assert.throws(() => cache.set(key, 'x'), TypeError);
    assert.throws(() => cache.getObject(key), TypeError);
  }
  assert.throws(() => cache.set('a', 1), TypeError);
  assert.throws(() => cache.set('a', 'x', '1'), TypeError);
  assert.throws(() => Cache.invalidateUser(1.5), { message: 'userId must be an integer' });
  assert.throws(() => Cache.invalidateUser(2n ** 64n), TypeError);
  assert.throws(() => st.setLog('loud', () => {}), TypeError);
});

test('an unknown option is refused, with the names of those that exist', async (t) => {
  const { directory } = world(t);
  const secrets = new Secrets({ providers: ['env'] });
  const store = new Store({ database: `${directory}/jobs.db` });
  const cache = new Cache();
  const wrong = { timout: 1 };
  const which = { userId: 1, provider: 'p', name: 'n' };
  await assert.rejects(secrets.get('A', wrong), {
    name: 'TypeError',
    message: 'get has no option "timout"; did you mean "timeout"?',
  });
  assert.throws(() => store.deleteCredentialSync(which, wrong), {
    message: 'deleteCredentialSync has no option "timout"; it has signal',
  });
  await assert.rejects(secrets.get('A', { cached_only: true }), { message: /did you mean "cachedOnly"\?$/ });
  await assert.rejects(secrets.get('A', 5), { message: 'the options of get must be an object' });
  const calls = [
    () => secrets.getSync('A', wrong),
    () => secrets.getMany(['A'], wrong),
    () => secrets.getHfToken(wrong),
    () => secrets.set('A', 'x', wrong),
    () => secrets.refreshSync(wrong),
    () => secrets.listen(0, wrong),
    () => secrets.addProvider('x', () => null, wrong),
    () => new Cache({ ttl: 1 }),
    () => cache.getOrLoad('a', () => 'x', wrong),
    () => cache.getOrLoadBytes('a', () => 'x', wrong),
    () => st.cached(() => 1, { name: 'f', prefix: 'x' }),
    () => Cipher.open({ key: 'k' }, wrong),
    () => store.as({ user: 1 }),
    () => store.listCredentials({ userid: 1 }),
    () => store.getCredential({ ...which, user: 1 }),
    () => store.setCredentialSync({ ...which, user: 1 }, 'x'),
    () => store.hasCredential({ ...which, global: 'K' }),
    () => store.resolveCredential({ ...which, key: 'K' }),
    () => store.verifyAudit({ begin: 1 }),
    () => store.logAudit({ eventType: 'a', action: 'b', target: 'c' }),
    () => store.resolveCredential(which, wrong),
    () => store.resolveCredentialSync(which, wrong),
    () => store.getCredentialSource(which, wrong),
    () => store.getCredentialSourceSync(which, wrong),
    () => store.backup(directory, { overwrite: true }),
    () => st.redactOutput({ stream: process.stdout }),
    () => new st.Redactor().add('x'.repeat(20), { names: 'x' }),
  ];
  for (const call of calls) {
    await assert.rejects(async () => call(), { name: 'TypeError', message: /has no option/ }, String(call));
  }
  for (const none of [undefined, null, {}]) await assert.rejects(secrets.get('NO_SUCH', none), status('ST_NOT_FOUND'));
});

test('a rejected promise has the stack of its callers', async (t) => {
  world(t);
  const secrets = new Secrets({ providers: ['env'] });
  const cipher = new Cipher({ key: 'k' });
  const { signal } = new AbortController();
  const calls = {
    get: async function callerOfGet() {
      await secrets.get('NO_SUCH');
    },
    get2: async function callerWithSignal() {
      await secrets.get('NO_SUCH', { signal });
    },
    set: async function callerOfSet() {
      await secrets.set('A', 'x');
    },
    decrypt: async function callerOfDecrypt() {
      await Promise.all([cipher.decrypt('not a token')]);
    },
  };
  calls.many = async function callerOfGetMany() {
    const [{ reason }] = await secrets.getMany(['NO_SUCH']);
    throw reason;
  };
  for (const call of Object.values(calls)) {
    const error = await call().catch((error) => error);
    assert.ok(error instanceof StSecretsError, error);
    assert.match(error.stack, new RegExp(`^StSecretsError: .*\\n(    at .*\\n)*    at async (Object\\.)?${call.name} `), error.stack);
    assert.match(error.stack, /misuse\.test\.js/);
    assert.doesNotMatch(error.stack, /withStack/);
  }
});

test('values out of range are an error of the library', async () => {
  const secrets = new Secrets({ providers: ['env'] });
  for (const key of ['', 'a\0b', 'k'.repeat(3000)]) await assert.rejects(secrets.get(key), status('ST_INVALID_ARGUMENT'));
  await assert.rejects(secrets.get('A', { timeout: NaN }), status('ST_INVALID_ARGUMENT'));
  await assert.rejects(secrets.get('A', { timeout: -2 }), status('ST_INVALID_ARGUMENT'));
  for (const options of [{ defaultTtl: NaN }, { defaultTtl: -3 }, { maxSize: -1 }, { maxSize: NaN }, { cleanupInterval: -1 }]) {
    assert.throws(() => new Cache(options), status('ST_INVALID_ARGUMENT'));
  }
});

test('an unpaired surrogate is rejected: it would become another key', () => {
  const cache = new Cache();
  cache.set('a\uFFFD', 'a replacement character is a character');
  assert.equal(cache.get('a\uFFFD'), 'a replacement character is a character');
  for (const key of ['a\uD800', '\uDC00a', 'x'.repeat(1000) + '\uD83D']) {
    assert.throws(() => cache.get(key), { message: 'key must be well-formed Unicode' });
    assert.throws(() => cache.set('a', key), TypeError);
  }
});

test('a value that is not UTF-8 has bytes but no text', async (t) => {
  world(t);
  const cipher = new Cipher({ key: 'k' });
  for (const bytes of [[0xff], [0xc3], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82]]) {
    const secret = cipher.decryptSync(cipher.encryptSync(Buffer.from(bytes)));
    assert.throws(() => secret.text(), { name: 'TypeError', code: 'ERR_ENCODING_INVALID_ENCODED_DATA' });
    assert.deepEqual([...secret.bytes()], bytes);
  }
  for (const text of ['\u{10FFFF}', '\uD7FF', '\uE000', 'é', '\0', '']) {
    assert.equal(cipher.decryptSync(cipher.encryptSync(text)).text(), text);
  }
});

test('huge values are accepted or rejected', async (t) => {
  const { directory } = world(t);
  const secrets = new Secrets({ providers: ['file'], file_path: `${directory}/s.json` });
  await assert.rejects(secrets.set('A', 'v'.repeat((1 << 20) + 1)), status('ST_INVALID_ARGUMENT'));
  await assert.rejects(new Cipher({ key: 'k' }).encrypt(Buffer.alloc((16 << 20) + 1)), status('ST_INVALID_ARGUMENT'));
  const cache = new Cache();
  cache.set('large', Buffer.alloc(64 << 20, 'v'));
  assert.equal(cache.get('large').length, 64 << 20);
});

test('methods called on other objects throw a TypeError', async () => {
  assert.throws(() => Secrets.prototype.getSync.call({}, 'A'), TypeError);
  await assert.rejects(Secrets.prototype.get.call({}, 'A'), TypeError);
  assert.throws(() => Cache.prototype.get.call(new Secrets(), 'A'), TypeError);
  assert.throws(() => Secret.prototype.text.call({}), TypeError);
  await assert.rejects(Secrets.prototype.set.call(new Cache(), 'A', 'x'), /must be a handle/);
  assert.throws(() => new Secret().text(), TypeError);
});

test('closed objects throw, and may be closed again', async (t) => {
  const { directory } = world(t);
  const handles = [new Secrets(), new Cipher({ key: 'k' }), new Store({ state_dir: directory }), new Cache()];
  for (const handle of handles) {
    handle.close();
    handle.close();
  }
  const [secrets, cipher, store, cache] = handles;
  await assert.rejects(secrets.describe(), status('ST_INVALID_ARGUMENT'));
  await assert.rejects(cipher.encrypt('x'), status('ST_INVALID_ARGUMENT'));
  await assert.rejects(store.getHardwareInfo(), status('ST_INVALID_ARGUMENT'));
  assert.throws(() => cache.get('x'), status('ST_INVALID_ARGUMENT'));
  assert.throws(() => cache.setObject('x', {}), status('ST_INVALID_ARGUMENT'));
  await assert.rejects(cache.getOrLoad('x', () => 'y'), status('ST_INVALID_ARGUMENT'));
});

test('a cache closed during a load still returns the value to its caller', async () => {
  const cache = new Cache();
  const loading = cache.getOrLoad('a', async () => (await new Promise((resolve) => setTimeout(resolve, 10)), 'value'));
  cache.close();
  assert.equal(await loading, 'value');
});

test('an `External` of another add-on is rejected', () => {
  const code = `
    const assert = require('node:assert/strict');
    const { types } = require('node:util');
    const { Cache, Cipher, Secret, Secrets, Store } = require('st-secrets');
    const foreign = process.stdout._handle._externalStream;
    assert.ok(types.isExternal(foreign));
    const cipher = new Cipher({ key: 'k' });
    const cache = new Cache();
    for (const use of [
      () => new Secret(foreign).info, () => new Secret(foreign).dispose(), () => cache.get(foreign), () => cache.set('a', foreign),
      () => cache.set(foreign, 'a'), () => cache.delete(foreign), () => cache.setObject(foreign, 1), () => cipher.encryptSync(foreign),
      () => cipher.decryptSync(foreign), () => new Secrets({ providers: [] }).setSync('A', foreign), () => Cache.invalidateProvider(foreign),
    ]) assert.throws(use, TypeError, String(use));
    for (const Class of [Cache, Cipher, Secrets, Store]) {
      try {
        new Class(foreign).close();
      } catch {
        // It takes no settings.
      }
    }
    console.log('alive');`;
  const { stdout, stderr, signal } = spawnSync(process.execPath, ['-e', code], { cwd: __dirname, encoding: 'utf8' });
  assert.deepEqual([stdout, stderr, signal], ['alive\n', '', null]);
});

test('a secret instead of text is rejected: its redacted form would be used as the value', async (t) => {
  const { directory } = world(t, { A: 'the key' });
  const secret = new Secrets({ providers: ['env'] }).getSync('A');
  const message = 'key must not be a Secret: pass its text()';
  assert.throws(() => new Cipher({ key: secret }), { name: 'TypeError', message });
  await assert.rejects(Cipher.open({ key: secret }), { name: 'TypeError', message });
  assert.throws(() => new Secrets({ vault_token: secret }), /vault_token must not be a Secret/);
  const store = new Store({ state_dir: directory });
  await assert.rejects(store.saveProviderConfig('p', { nested: [{ token: secret }] }), /token must not be a Secret/);
  assert.throws(() => store.saveProviderConfigSync('p', secret), TypeError);
  assert.throws(() => store.setHardwareInfoSync({ gpu: { name: secret } }), TypeError);
  // Must not return as many zeros as the secret has bytes.
  assert.throws(() => Buffer.from(secret), TypeError);
});

test('a document that JSON cannot represent is rejected, not changed', async (t) => {
  const { directory } = world(t);
  const store = new Store({ state_dir: directory });
  assert.throws(() => store.saveProviderConfigSync('p', { limit: NaN }), { message: 'limit must be a finite number' });
  for (const wrong of [() => {}, 5, true, Symbol('x'), 5n]) {
    assert.throws(() => store.saveProviderConfigSync('p', wrong), TypeError);
    assert.throws(() => store.queryAuditSync(wrong), TypeError);
  }
  for (const wrong of ['1', 1n, undefined, null, {}]) assert.throws(() => new st.Float(wrong), TypeError);
});
