'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const net = require('node:net');
const path = require('node:path');
const test = require('node:test');
const { Worker } = require('node:worker_threads');
const { inWorker, sleep, st, world } = require('./support.js');

const ANSWER = 'hf_xhf_x,mine,plain,true,from a worker';

test('worker threads use it, eight at once', async (t) => {
  const { write } = world(t);
  const file = write('s.json', '{"HF_TOKEN": "hf_x"}');
  const answers = await Promise.all(Array.from({ length: 8 }, () => inWorker('worker_uses.js', { file })));
  assert.deepEqual(new Set(answers), new Set([ANSWER]));
  assert.equal(st.Cache.providerConfig.get('provider:worker:config'), 'from a worker');
});

test('worker threads alone use it, fifty one after another', (t) => {
  const { write } = world(t);
  const file = write('s.json', '{"HF_TOKEN": "hf_x"}');
  const code = `
    const { Worker } = require('node:worker_threads');
    (async () => {
      for (let round = 0; round < 50; round++) {
        await new Promise((resolve, reject) => {
          const worker = new Worker('./worker_uses.js', { workerData: { file: ${JSON.stringify(file)} } });
          worker.on('message', (message) => message === ${JSON.stringify(ANSWER)} || reject(new Error(message)));
          worker.on('error', reject);
          worker.on('exit', (code) => (code === 0 ? resolve() : reject(new Error('code ' + code))));
        });
      }
      console.log('all ended well');
    })();`;
  const { stdout, stderr, signal } = spawnSync(process.execPath, ['-e', code], { cwd: __dirname, encoding: 'utf8' });
  assert.deepEqual([stdout, stderr, signal], ['all ended well\n', '', null]);
});

test('a worker thread can be terminated in the middle of its calls', async (t) => {
  world(t);
  const sockets = new Set();
  const server = net.createServer((socket) => sockets.add(socket.on('error', () => {})));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const vault_url = `http://127.0.0.1:${server.address().port}`;
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  for (let number = 0; number < 20; number++) {
    const worker = new Worker(path.join(__dirname, 'worker_waits.js'), { workerData: { vault_url, number, busy: number % 2 === 0 } });
    await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
    if (number % 3 === 0) await sleep(0.02);
    await worker.terminate();
  }
  // What the threads had begun ends after they are gone.
  await sleep(0.6);
  assert.equal(await new st.Secrets({ providers: [] }).get('A', { default: 'alive' }), 'alive');
});

test('a process that ends in the middle of calls ends as it should', (t) => {
  world(t);
  const code = `
    const { Cache, Secrets, Store, setLog } = require('st-secrets');
    setLog('trace', () => {});
    const secrets = new Secrets({ providers: ['env', 'file'] });
    for (let at = 0; at < 1000; at++) secrets.get('KEY_' + at).catch(() => {});
    const cache = new Cache();
    for (let at = 0; at < 1000; at++) cache.setObject('key ' + at, {});
    END`;
  for (const [end, expected] of [['process.exit(7)', 7], ["throw new Error('x')", 1], ['', 0]]) {
    const { status, signal } = spawnSync(process.execPath, ['-e', code.replace('END', end)], { cwd: __dirname });
    assert.deepEqual([status, signal], [expected, null]);
  }
});
