'use strict';

// What closing frees, and when.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const http = require('node:http');
const test = require('node:test');
const { resident, sleep, st, turn, until, world } = require('./support.js');

const LEASED = { lease_id: 'database/creds/app/1', lease_duration: 3600, renewable: true, data: { username: 'ada' } };

/**
 * A Vault that issues one dynamic secret. As it runs in the event loop of this thread, it answers only while that is
 * not blocked, and a caller that does not wait is gone before the answer: no real server can show either.
 */
async function vault(t) {
  let revoked = 0;
  const server = http.createServer(async (request, response) => {
    const revokes = request.url === '/v1/sys/leases/revoke';
    let waits = true;
    request.socket.once('end', () => (waits = false));
    await once(request.resume(), 'end');
    if (revokes) await sleep(0.1);
    if (revokes && waits) revoked++;
    response.end(JSON.stringify(revokes ? {} : LEASED));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => server.close());
  const settings = {
    providers: [{ vault_dynamic: 'database/creds/app', as: { username: 'DB_USER' }, revoke: true }],
    vault_url: `http://127.0.0.1:${server.address().port}`,
    vault_token: 't',
  };
  return { settings, revocations: () => revoked };
}

test('closing a manager revokes its leases and does not block the event loop', async (t) => {
  world(t);
  const { settings, revocations } = await vault(t);
  const log = [];
  st.setLog('info', ({ message }) => log.push(message));
  t.after(() => st.setLog('warn', null));
  const secrets = new st.Secrets(settings);
  assert.equal((await secrets.get('DB_USER')).text(), 'ada');
  secrets.close();
  secrets.close();
  await until(() => log.some((message) => /lease/.test(message)));
  assert.ok(log.some((message) => /^revoked the lease/.test(message)), log.join('\n'));
  assert.equal(revocations(), 1);
});

test('a manager that is closed during a call is freed after it', async (t) => {
  world(t);
  const { settings, revocations } = await vault(t);
  const secrets = new st.Secrets(settings);
  const pending = secrets.get('DB_USER');
  secrets.close();
  assert.equal((await pending).text(), 'ada');
  await until(() => revocations() === 1);
});

for (const [when, end] of [
  ['a closed manager', 'secrets.close();'],
  ['a manager that was collected', 'secrets = null; setImmediate(gc);'],
  ['an open manager', ''],
]) {
  test(`a process ends after the leases of ${when} are revoked`, async (t) => {
    world(t);
    const { settings, revocations } = await vault(t);
    const code = `
      const { Secrets } = require('st-secrets');
      let secrets = new Secrets(${JSON.stringify(settings)});
      secrets.get('DB_USER').then((secret) => { console.log(secret.text()); ${end} });`;
    const child = spawn(process.execPath, ['--expose-gc', '-e', code], { cwd: __dirname, stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (data) => (output += data));
    assert.deepEqual(await once(child, 'close'), [0, null]);
    assert.equal(output, 'ada\n');
    assert.equal(revocations(), 1);
  });
}

test('closing frees the memory of a cache that is still referenced', async (t) => {
  world(t);
  const value = Buffer.alloc(1 << 20, 'x');
  const caches = [];
  const fill = () => {
    const cache = new st.Cache();
    for (let at = 0; at < 10; at++) cache.set(`key ${at}`, value);
    cache.close();
    caches.push(cache);
  };
  fill();
  await turn();
  const before = resident();
  for (let round = 0; round < 60; round++) fill();
  const grown = Math.round((resident() - before) / 1024);
  assert.ok(grown < 200, `${grown} MiB more after 60 caches of 10 MiB each`);
});
