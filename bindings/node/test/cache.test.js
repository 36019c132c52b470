'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');
const net = require('node:net');
const os = require('node:os');
const vm = require('node:vm');
const { spawn } = require('node:child_process');
const { sleep, st, status, until } = require('./support.js');

const { Cache, cached } = st;

test('a cache stores strings and bytes until they expire', async () => {
  const cache = new Cache({ defaultTtl: 300, maxSize: 10 });
  cache.set('text', 'größe ✓');
  cache.set(Buffer.from([0, 255]), Buffer.from([1, 2]));
  cache.set('short', 'x', 0.03);
  assert.equal(cache.get('text'), 'größe ✓');
  assert.deepEqual(cache.getBytes(new Uint8Array([0, 255])), Buffer.from([1, 2]));
  assert.equal(cache.get('nothing'), undefined);
  await sleep(0.06);
  assert.equal(cache.get('short'), undefined);
  assert.equal(cache.delete('text'), true);
  assert.equal(cache.delete('text'), false);
  const { maxSize, defaultTtl, hits, misses } = cache.stats();
  assert.deepEqual({ maxSize, defaultTtl, hits, misses }, { maxSize: 10, defaultTtl: 300, hits: 2, misses: 2 });
});

/** Starts a Redis server, and returns its address when it listens. */
async function redis(t) {
  const port = await new Promise((resolve) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
  const options = ['--bind', '127.0.0.1', '--port', String(port), '--save', '', '--dir', os.tmpdir()];
  const server = spawn('redis-server', options, { stdio: 'ignore' });
  t.after(() => server.kill('SIGKILL'));
  let listens = false;
  await until(() => {
    const socket = net.connect(port, '127.0.0.1', () => {
      listens = true;
      socket.destroy();
    });
    socket.on('error', () => {});
    return listens;
  });
  return `127.0.0.1:${port}`;
}

test('caches with a tier share strings, bytes and invalidations', async (t) => {
  const address = await redis(t);
  const shareKey = Buffer.alloc(32, 'k').toString('base64');
  const open = () => new Cache({ tier: `redis://${address}`, shareKey, tierInterval: 0.01, tierName: 'test' });
  const [one, other] = [open(), open()];
  one.set('user:1', 'größe ✓');
  one.set('bytes', Buffer.from([0, 255]));
  assert.equal(other.get('user:1'), 'größe ✓');
  assert.deepEqual(other.getBytes('bytes'), Buffer.from([0, 255]));
  assert.equal(await one.getOrLoad('loaded', () => 'once'), 'once');
  assert.equal(await other.getOrLoad('loaded', () => 'twice'), 'once');
  one.invalidatePrefix('user:');
  await until(() => other.get('user:1') === undefined);
  assert.equal(other.get('loaded'), 'once');
  assert.throws(() => new Cache({ tier: 'redis://x', shareKey: 'CANARY' }), (error) => {
    return error.code === 'ST_CONFIG' && !error.message.includes('CANARY');
  });
  one.close();
  other.close();
});

test('text and bytes give the same key, short or long, ASCII or not', () => {
  const cache = new Cache();
  for (const key of ['a', 'ä', '鍵'.repeat(100), 'k'.repeat(253), 'k'.repeat(256), 'k'.repeat(5000), 'a\0b', '\u{1F511}']) {
    cache.set(key, `value of ${key}`);
    assert.equal(cache.get(Buffer.from(key)), `value of ${key}`);
    assert.equal(cache.get(key), `value of ${key}`);
  }
  for (const size of [0, 1, 1023, 1024, 1025, 1 << 20]) {
    cache.set('large', 'v'.repeat(size));
    assert.equal(cache.get('large').length, size);
    assert.equal(cache.getBytes('large').length, size);
  }
});

test('the least recently used entry is evicted', () => {
  const cache = new Cache({ maxSize: 2 });
  cache.set('a', '1');
  cache.set('b', '2');
  cache.get('a');
  cache.set('c', '3');
  assert.deepEqual(['a', 'b', 'c'].map((key) => cache.get(key)), ['1', undefined, '3']);
  assert.equal(cache.invalidatePrefix(''), 2);
  assert.equal(cache.clear(), 0);
});

test('any value is stored by reference', () => {
  const cache = new Cache();
  const value = { list: [1, 2] };
  cache.setObject('object', value);
  cache.setObject('undefined', undefined);
  assert.equal(cache.getObject('object'), value);
  assert.equal(cache.getObject('nothing'), undefined);
  assert.throws(() => cache.get('object'), status('ST_WRONG_TYPE'));
  cache.set('text', 'x');
  assert.throws(() => cache.getObject('text'), status('ST_WRONG_TYPE'));
});

test('a missing value is loaded once for all callers', async () => {
  const cache = new Cache();
  let loads = 0;
  const load = async (key) => {
    loads++;
    await sleep(0.02);
    return `value of ${key}`;
  };
  const values = await Promise.all(Array.from({ length: 200 }, () => cache.getOrLoad('a', load)));
  assert.deepEqual([...new Set(values)], ['value of a']);
  assert.equal(cache.get('a'), 'value of a');
  assert.deepEqual(await cache.getOrLoadBytes('a', load), Buffer.from('value of a'));
  assert.deepEqual([loads, cache.stats().loads], [1, 1]);
});

test('a failed load rejects all waiting callers and is not stored', async () => {
  const cache = new Cache();
  const fail = async () => {
    await sleep(0.01);
    throw new RangeError('no');
  };
  const results = await Promise.allSettled([cache.getOrLoad('a', fail), cache.getOrLoad('a', fail)]);
  assert.deepEqual(results.map(({ reason }) => reason.message), ['no', 'no']);
  await assert.rejects(cache.getOrLoad('a', () => null), status('ST_NOT_FOUND'));
  await assert.rejects(cache.getOrLoad('a', () => 17), TypeError);
  assert.equal(await cache.getOrLoad('a', () => 'now'), 'now');
});

test('a value invalidated during its load is not stored', async () => {
  const cache = new Cache();
  const loading = cache.getOrLoad('a', async () => (await sleep(0.02), 'old'));
  cache.invalidatePrefix('a');
  assert.equal(await loading, 'old');
  assert.equal(cache.get('a'), undefined);
});

test('an aborted wait does not affect the other callers', async () => {
  const cache = new Cache();
  let resolve;
  const promise = new Promise((settle) => (resolve = settle));
  const load = () => promise;
  const first = cache.getOrLoad('a', load);
  await assert.rejects(cache.getOrLoad('a', load, { timeout: 0.01 }), status('ST_TIMEOUT'));
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 5);
  await assert.rejects(cache.getOrLoad('a', load, { signal: controller.signal }), { name: 'AbortError' });
  resolve('value');
  assert.equal(await first, 'value');
});

test('the built-in caches can be invalidated by provider and user', () => {
  const { providerConfig, userPermission } = Cache;
  assert.equal(providerConfig, Cache.providerConfig);
  providerConfig.set('provider:replicate:config', '{}');
  userPermission.set('user:12:permissions', 'a');
  userPermission.set('user:123:permissions', 'b');
  assert.equal(Cache.invalidateProvider('replicate'), 1);
  assert.equal(Cache.invalidateUser(12), 1);
  assert.equal(userPermission.get('user:123:permissions'), 'b');
  assert.equal(userPermission.stats().maxSize, 500);
  assert.throws(() => providerConfig.setObject('a', {}), TypeError);
  providerConfig.close();
  assert.throws(() => providerConfig.get('a'), status('ST_INVALID_ARGUMENT'));
});

test('the results of a function are cached by its arguments', async () => {
  let calls = 0;
  const get_user = cached(
    function get_user(id) {
      calls++;
      return { id, seen: this?.name };
    },
    { ttl: 120, keyPrefix: 'mymodule' },
  );
  assert.equal(get_user.key(123), 'mymodule:get_user:123');
  const user = get_user.call({ name: 'this' }, 123);
  assert.deepEqual(user, { id: 123, seen: 'this' });
  assert.equal(get_user(123), user);
  assert.notEqual(get_user('123'), user);
  assert.equal(calls, 2);
  assert.equal(get_user.cache.delete(get_user.key(123)), true);
  get_user(123);
  get_user.cache.clear();
  get_user(123);
  assert.equal(calls, 4);
  const { hits, misses, loads } = get_user.cache.stats();
  assert.deepEqual({ hits, misses, loads }, { hits: 1, misses: 4, loads: 4 });
  assert.equal(get_user.name, 'get_user');
});

test('an async function is called once while a promise is pending, and its failures are not stored', async () => {
  let calls = 0;
  const fetchData = cached(async (fail) => {
    calls++;
    await sleep(0.01);
    if (fail) throw new Error('no');
    return { calls };
  }, { name: 'fetchData' });
  const [one, other] = await Promise.all([fetchData(false), fetchData(false)]);
  assert.equal(one, other);
  assert.equal(await fetchData(false), one);
  assert.equal(calls, 1);
  const failures = await Promise.allSettled([fetchData(true), fetchData(true)]);
  assert.deepEqual(failures.map(({ status }) => status), ['rejected', 'rejected']);
  await assert.rejects(fetchData(true), /no/);
  assert.equal(calls, 3);
});

test('results of every type are cached, including undefined', () => {
  for (const value of [undefined, null, 0, '', false, NaN, Symbol('x'), () => {}, 10n]) {
    let calls = 0;
    const fn = cached(() => (calls++, value), { name: 'fn' });
    assert.ok(Object.is(fn(), value) && Object.is(fn(), value));
    assert.equal(calls, 1);
  }
});

test('a function that needs its own result throws', () => {
  const own = cached(() => own(), { name: 'own' });
  assert.throws(own, status('ST_BUSY'));
  const thrown = cached((id) => { throw new RangeError(`no ${id}`); }, { name: 'thrown' });
  assert.throws(() => thrown(1), RangeError);
  assert.throws(() => thrown(1), RangeError);
});

test('functions without a name and arguments without a key throw', () => {
  assert.throws(() => cached(() => 1), TypeError);
  assert.throws(() => cached('x'), TypeError);
  const fn = cached((x) => x, { name: 'fn' });
  for (const arg of [() => 1, Symbol('x'), new Date(), '\uD800', new Map([[1, 2]])]) assert.throws(() => fn(arg), TypeError);
});

test('a load with an invalid time or function throws and blocks no other caller', async () => {
  const cache = new Cache();
  const load = () => 'value';
  for (const [options, refused] of [
    [{ ttl: NaN }, status('ST_INVALID_ARGUMENT')],
    [{ ttl: -5 }, status('ST_INVALID_ARGUMENT')],
    [{ ttl: '1' }, { name: 'TypeError', message: 'ttl must be a number' }],
    [{ timeout: NaN }, status('ST_INVALID_ARGUMENT')],
    [{ timeout: -1 }, status('ST_INVALID_ARGUMENT')],
    [{ timeout: 1n }, { name: 'TypeError', message: 'timeout must be a number' }],
  ]) {
    await assert.rejects(cache.getOrLoad('a', load, options), refused);
  }
  await assert.rejects(cache.getOrLoad('a', 'value'), { name: 'TypeError', message: 'load must be a function' });
  assert.equal(await cache.getOrLoad('a', load, { timeout: 60 }), 'value');
  assert.equal(await cache.getOrLoad('b', load, { ttl: Infinity, timeout: 60.5 }), 'value');
});

test('a load that synchronously requests its own value is rejected', async () => {
  const cache = new Cache();
  await assert.rejects(cache.getOrLoad('a', (key) => cache.getOrLoad(key, () => 'x')), status('ST_BUSY'));
  assert.equal(await cache.getOrLoad('a', () => 'value'), 'value');
});

test('any object with a `then` method is a promise', async () => {
  let calls = 0;
  const then = (resolve, reject) => (calls === 1 ? reject(new Error('no')) : resolve('value'));
  const fn = cached(() => (calls++, { then }), { name: 'fn' });
  await assert.rejects(fn(), /no/);
  assert.deepEqual([await fn(), await fn(), calls], ['value', 'value', 2]);
});

test('bytes and maps of another realm are accepted', async () => {
  const { bytes, map } = vm.runInNewContext('({ bytes: new Uint8Array([65, 66]), map: new Map([["a", 1]]) })');
  const cache = new Cache();
  assert.equal(await cache.getOrLoad('a', () => bytes), 'AB');
  assert.equal(st.functionKey('', 'f', [bytes, map]), 'f:x"4142":{"a"=1}');
  const secrets = new st.Secrets({ providers: [] });
  secrets.addProvider('mine', () => bytes);
  assert.equal(secrets.getSync('A').text(), 'AB');
});

test('the lease of an abandoned load is released', () => {
  const native = require('../lib/native.js');
  const external = native.cacheNew(300, 10, 60);
  const outcome = (key) => native.cacheLoadBegin(external, key, 600)[0];
  const [LEADER, BUSY] = [2, 3];
  // A caller gets the lease and gives up before it receives it.
  void native.cacheLoadWait(external, 'a', 600);
  native.abandon(native.lastCall());
  return until(() => outcome('a') === LEADER).then(() => assert.equal(outcome('a'), BUSY));
});

test('a wait for a load ends once, or is abandoned', async () => {
  const native = require('../lib/native.js');
  const external = native.cacheNew(300, 10, 60);
  const lease = native.cacheLoadBegin(external, 'a', 600)[1];
  const waits = Array.from({ length: 50 }, () => native.cacheLoadWait(external, 'a', 600));
  const gone = native.cacheLoadWait(external, 'a', 600);
  native.abandon(native.lastCall());
  native.cacheLoadFinish(external, lease, Buffer.from('value'), 60);
  assert.equal(await gone, undefined);
  for (const [outcome, , value] of await Promise.all(waits)) assert.deepEqual([outcome, String(value)], [1, 'value']);
  assert.deepEqual((await native.cacheLoadWait(external, 'a', 600))[0], 1);
  const [, failing] = native.cacheLoadBegin(external, 'b', 600);
  const failure = native.cacheLoadWait(external, 'b', 600);
  native.cacheLoadAbandon(external, failing, -6, 'down');
  await assert.rejects(failure, { code: 'ST_UNAVAILABLE', message: 'down' });
});

test('a value is reloaded after softTtl, and an old one replaces a failed load', async () => {
  const cache = new Cache({ softTtl: 0, defaultTtl: Infinity, maxSize: 5 });
  assert.deepEqual([cache.stats().defaultTtl, cache.stats().maxSize], [Infinity, 5]);
  let calls = 0;
  const load = () => String(++calls);
  assert.deepEqual([await cache.getOrLoad('a', load), await cache.getOrLoad('a', load)], ['1', '2']);
  const slow = cache.getOrLoad('a', async () => (await sleep(0.02), 'new'));
  assert.equal(await cache.getOrLoad('a', load), '2');
  assert.equal(await slow, 'new');
  assert.equal(await cache.getOrLoad('a', async () => assert.fail('no')), 'new');
  await assert.rejects(cache.getOrLoad('b', async () => assert.fail('no')), /no/);
  const gone = new Cache({ softTtl: 0 });
  gone.set('a', 'old');
  await assert.rejects(gone.getOrLoad('a', () => null), status('ST_NOT_FOUND'));
  assert.equal(gone.get('a'), undefined);
});

test('absence is cached for absentTtl', async () => {
  const cache = new Cache({ absentTtl: 3600, ttlJitter: 0.5 });
  let calls = 0;
  const load = () => (calls++, null);
  for (let at = 0; at < 3; at++) await assert.rejects(cache.getOrLoad('a', load), status('ST_NOT_FOUND'));
  assert.deepEqual([calls, cache.get('a')], [1, undefined]);
  for (const [name, wrong] of [['ttlJitter', 2], ['absentTtl', -1], ['softTtl', 'x']]) {
    assert.throws(() => new Cache({ [name]: wrong }), status('ST_CONFIG'));
  }
});
