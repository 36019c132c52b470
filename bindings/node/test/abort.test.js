'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const { getEventListeners } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const test = require('node:test');
const { sleep, st, world } = require('./support.js');

/** Returns a manager whose Vault accepts connections and never answers. */
async function silentVault(t, settings = {}) {
  const sockets = new Set();
  const server = net.createServer((socket) => sockets.add(socket.on('error', () => {})));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const vault_url = `http://127.0.0.1:${server.address().port}`;
  return new st.Secrets({ providers: ['vault'], vault_url, vault_token: 't', vault_path: 'p', ...settings });
}

test('an aborted call is rejected at once', async (t) => {
  world(t);
  const secrets = await silentVault(t, { timeout: 120 });
  const reason = new Error('enough');
  const controller = new AbortController();
  const pending = secrets.get('A', { signal: controller.signal });
  const begun = performance.now();
  setTimeout(() => controller.abort(reason), 20);
  const error = await pending.catch((error) => error);
  assert.deepEqual([error.name, error.code, error.cause], ['AbortError', 'ABORT_ERR', reason]);
  assert.ok(error instanceof st.AbortError);
  assert.ok(performance.now() - begun < 60_000);
  await assert.rejects(secrets.get('A', { signal: AbortSignal.abort() }), { name: 'AbortError' });
  await assert.rejects(secrets.refresh({ signal: AbortSignal.timeout(10) }), { name: 'AbortError' });
});

test('a timeout includes the wait for a thread', async (t) => {
  world(t);
  const secrets = await silentVault(t);
  const begun = performance.now();
  // 64 at a time: if the timeout did not include the wait for a thread, this would take 80 s.
  const calls = Array.from({ length: 80 * 64 }, (_, at) => secrets.get(`KEY_${at}`, { timeout: 1 }));
  for (const { reason } of await Promise.allSettled(calls)) {
    assert.equal(reason.code, 'ST_TIMEOUT', reason);
  }
  assert.ok(performance.now() - begun < 60_000);
});

test('a hundred waiting calls do not block the files and timers of Node', async (t) => {
  world(t);
  const secrets = await silentVault(t);
  const controller = new AbortController();
  const { signal } = controller;
  const calls = Array.from({ length: 100 }, (_, at) => secrets.get(`KEY_${at}`, { timeout: 120, signal }));
  const begun = performance.now();
  await fs.promises.readFile(__filename);
  await sleep(0.01);
  assert.ok(performance.now() - begun < 60_000);
  controller.abort();
  for (const { reason } of await Promise.allSettled(calls)) assert.equal(reason.name, 'AbortError');
});

test('a process exits despite aborted calls, but waits for others', (t) => {
  world(t);
  const code = (options) => `
    const net = require('node:net');
    const server = net.createServer(() => {}).listen(0, '127.0.0.1', () => {
      server.unref();
      const { Secrets } = require('st-secrets');
      const vault_url = 'http://127.0.0.1:' + server.address().port;
      const secrets = new Secrets({ providers: ['vault'], vault_url, vault_token: 't', vault_path: 'p' });
      const begun = performance.now();
      secrets.get('A', ${options}).catch((error) => console.log(error.name));
      process.on('exit', () => console.log(performance.now() - begun));
    });
    server.on('connection', (socket) => socket.unref());`;
  const run = (options) => {
    const { stdout } = spawnSync(process.execPath, ['-e', code(options)], { cwd: __dirname, encoding: 'utf8' });
    const [name, milliseconds] = stdout.split('\n');
    return [name, Number(milliseconds)];
  };
  const [aborted, atOnce] = run('{ timeout: 120, signal: AbortSignal.timeout(100) }');
  assert.ok(aborted === 'AbortError' && atOnce < 60_000, `${aborted} after ${atOnce} ms`);
  const [failed, later] = run('{ timeout: 1.2 }');
  assert.ok(failed === 'StSecretsError' && later > 1000, `${failed} after ${later} ms`);
});

test('a call with an aborted or invalid signal does not begin', async (t) => {
  world(t);
  const begun = [];
  const load = (key) => (begun.push(key), 'value');
  const secrets = new st.Secrets({ providers: [] });
  secrets.addProvider('mine', load);
  const store = new st.Store({ state_dir: '/nonexistent' });
  const calls = [
    (signal) => secrets.get('A', { signal, refresh: true }),
    (signal) => secrets.get('A', { signal }),
    (signal) => secrets.getMany(['A'], { signal }),
    (signal) => store.resolveCredential({ userId: 1, provider: 'p', name: 'n', globalKey: 'A' }, { secrets, signal }),
    (signal) => new st.Cache().getOrLoad('A', load, { signal }),
    (signal) => secrets.describe({ signal }),
  ];
  for (const call of calls) {
    await assert.rejects(call(AbortSignal.abort()), { name: 'AbortError' });
    // The result of the call itself would be unhandled.
    for (const wrong of [{}, 5, 'x', true, { aborted: false }, new Proxy({}, {})]) {
      await assert.rejects(call(wrong), { name: 'TypeError', message: 'signal must be an AbortSignal' });
    }
  }
  assert.deepEqual(begun, []);
});

test('a signal may be used for any number of calls, and does not retain them', async (t) => {
  world(t, { A: 'a' });
  const warnings = [];
  const warned = (warning) => warnings.push(warning.message);
  process.on('warning', warned);
  t.after(() => process.off('warning', warned));
  const secrets = new st.Secrets({ providers: ['env'] });
  const cache = new st.Cache();
  const { signal } = new AbortController();
  const calls = Array.from({ length: 100 }, (_, at) => [
    secrets.get('A', { signal }),
    cache.getOrLoad('a', async () => (await sleep(0.01), 'value'), { signal, timeout: 60 }),
    cache.getOrLoad(`fails ${at}`, async () => assert.fail(), { signal }).catch(() => {}),
  ]);
  await Promise.all(calls.flat());
  await sleep(0.01);
  assert.deepEqual([warnings, getEventListeners(signal, 'abort').length], [[], 0]);
});

test('calls that wait for servers do not delay local ones', async (t) => {
  const { directory } = world(t);
  const secrets = await silentVault(t, { timeout: 60 });
  const controller = new AbortController();
  const { signal } = controller;
  const ended = [];
  const calls = Array.from({ length: 100 }, (_, at) => secrets.get(`KEY_${at}`, { signal }).catch(({ name }) => ended.push(name)));
  const cipher = await st.Cipher.open({ key: 'k' });
  await new st.Store({ state_dir: directory }).setHardwareInfo({});
  assert.equal((await cipher.decrypt(await cipher.encrypt('x'))).text(), 'x');
  assert.deepEqual(ended, []);
  controller.abort();
  await Promise.all(calls);
  assert.deepEqual(ended, Array(100).fill('AbortError'));
});
