'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const test = require('node:test');
const { st, world } = require('./support.js');

/** A manager of a Vault that takes connections and never answers. */
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

test('an aborted call ends at once', async (t) => {
  world(t);
  const secrets = await silentVault(t, { timeout: 2 });
  const reason = new Error('enough');
  const controller = new AbortController();
  const pending = secrets.get('A', { signal: controller.signal });
  const begun = performance.now();
  setTimeout(() => controller.abort(reason), 20);
  const error = await pending.catch((error) => error);
  assert.deepEqual([error.name, error.code, error.cause], ['AbortError', 'ABORT_ERR', reason]);
  assert.ok(error instanceof st.AbortError);
  assert.ok(performance.now() - begun < 1000);
  await assert.rejects(secrets.get('A', { signal: AbortSignal.abort() }), { name: 'AbortError' });
  await assert.rejects(secrets.refresh({ signal: AbortSignal.timeout(10) }), { name: 'AbortError' });
});

test('a timeout is over everything, the wait for a thread too', async (t) => {
  world(t);
  const secrets = await silentVault(t);
  const begun = performance.now();
  const calls = Array.from({ length: 200 }, (_, at) => secrets.get(`KEY_${at}`, { timeout: 0.5 }));
  for (const { reason } of await Promise.allSettled(calls)) {
    // ST_BUSY: another call was asking the server when the time was over.
    assert.ok(['ST_TIMEOUT', 'ST_BUSY'].includes(reason.code), reason);
  }
  assert.ok(performance.now() - begun < 5000);
});

test('a hundred calls that wait do not stop the files and timers of Node', async (t) => {
  world(t);
  const secrets = await silentVault(t);
  const controller = new AbortController();
  const { signal } = controller;
  const calls = Array.from({ length: 100 }, (_, at) => secrets.get(`KEY_${at}`, { timeout: 2, signal }));
  const begun = performance.now();
  await fs.promises.readFile(__filename);
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.ok(performance.now() - begun < 1000);
  controller.abort();
  for (const { reason } of await Promise.allSettled(calls)) assert.equal(reason.name, 'AbortError');
});

test('a process does not stay for calls that were aborted, and does for others', (t) => {
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
      process.on('exit', () => console.log(performance.now() - begun < 1000));
    });
    server.on('connection', (socket) => socket.unref());`;
  const run = (options) => spawnSync(process.execPath, ['-e', code(options)], { cwd: __dirname, encoding: 'utf8' });
  assert.deepEqual(run('{ timeout: 20, signal: AbortSignal.timeout(100) }').stdout.split('\n').slice(0, 2), ['AbortError', 'true']);
  assert.deepEqual(run('{ timeout: 1.2 }').stdout.split('\n').slice(0, 2), ['StSecretsError', 'false']);
});
