'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const test = require('node:test');
const { Worker } = require('node:worker_threads');
const { inWorker, sleep, st, world } = require('./support.js');

const ANSWER = 'hf_xhf_x,mine,plain,true,from a worker';

test('eight concurrent worker threads', async (t) => {
  const { write } = world(t);
  const file = write('s.json', '{"HF_TOKEN": "hf_x"}');
  const answers = await Promise.all(Array.from({ length: 8 }, () => inWorker('worker_uses.js', { file })));
  assert.deepEqual(new Set(answers), new Set([ANSWER]));
  assert.equal(st.Cache.providerConfig.get('provider:worker:config'), 'from a worker');
});

test('fifty worker threads one after another, without the main thread', (t) => {
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

test('a worker thread can be terminated during its calls', async (t) => {
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
  // The calls that the threads began finish after they have ended.
  await sleep(0.6);
  assert.equal(await new st.Secrets({ providers: [] }).get('A', { default: 'alive' }), 'alive');
});

test('a process can end during calls', (t) => {
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

/** Starts a worker thread that loads these keys of a built-in cache and finishes on a message. */
async function loader(t, workerData) {
  const worker = new Worker(path.join(__dirname, 'worker_loads.js'), { workerData });
  t.after(() => worker.terminate());
  await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
  return worker;
}

const { providerConfig } = st.Cache;
const keysOf = (name, count) => Array.from({ length: count }, (_, at) => `provider:${name}:${at}`);

test('waiting for loads of another thread does not occupy its threads', async (t) => {
  world(t);
  const keys = keysOf('waited', 90);
  const worker = await loader(t, { keys });
  const load = () => assert.fail('it is loaded already');
  const calls = [...keys, ...keys].map((key) => providerConfig.getOrLoad(key, load, { timeout: 120 }));
  await sleep(0.1);
  worker.postMessage('go');
  assert.deepEqual(await Promise.all(calls), [...keys, ...keys].map((key) => `value of ${key}`));
});

test('an aborted wait for another thread does not affect other callers', async (t) => {
  world(t);
  const [key] = keysOf('left', 1);
  const worker = await loader(t, { keys: [key] });
  const load = () => assert.fail('it is loaded already');
  const controller = new AbortController();
  const first = providerConfig.getOrLoad(key, load, { signal: controller.signal });
  const other = providerConfig.getOrLoad(key, load);
  setTimeout(() => controller.abort(), 10);
  await assert.rejects(first, { name: 'AbortError' });
  await assert.rejects(providerConfig.getOrLoad(key, load, { timeout: 0.01 }), { code: 'ST_TIMEOUT' });
  worker.postMessage('go');
  assert.equal(await other, `value of ${key}`);
});

test('the last waiting caller may leave as another arrives', async (t) => {
  world(t);
  const [key] = keysOf('again', 1);
  const worker = await loader(t, { keys: [key] });
  const load = () => assert.fail('it is loaded already');
  const controller = new AbortController();
  const first = providerConfig.getOrLoad(key, load, { signal: controller.signal });
  const second = first.catch((error) => (assert.equal(error.name, 'AbortError'), providerConfig.getOrLoad(key, load)));
  controller.abort();
  const third = providerConfig.getOrLoad(key, load);
  await sleep(0.01);
  worker.postMessage('go');
  assert.deepEqual(await Promise.all([second, third]), [`value of ${key}`, `value of ${key}`]);
});

test('the failure of a load in another thread rejects waiting callers', async (t) => {
  world(t);
  let reported;
  // A call that came too late to wait for the other thread loads the value itself.
  for (let pause = 0.05; reported === undefined; pause *= 2) {
    assert.ok(pause < 60, 'it is not reported');
    const [key] = keysOf(`failed after ${pause}`, 1);
    const worker = await loader(t, { keys: [key], fails: true });
    const call = providerConfig.getOrLoad(key, () => 'another try', { timeout: 120 });
    await sleep(pause);
    worker.postMessage('go');
    reported = await call.then(() => undefined, (error) => error.code);
    assert.equal(await providerConfig.getOrLoad(key, () => 'another try'), 'another try');
  }
  assert.equal(reported, 'ST_CALLBACK');
});

test('a caller does not join a load of its thread that another thread has outdated', async (t) => {
  world(t);
  const [key] = keysOf('outdated', 1);
  let end;
  const first = providerConfig.getOrLoad(key, () => new Promise((resolve) => (end = resolve)));
  const worker = await loader(t, { keys: [key], deletes: true });
  const second = providerConfig.getOrLoad(key, () => assert.fail('it is loaded already'));
  end('from before the deletion');
  assert.equal(await first, 'from before the deletion');
  worker.postMessage('go');
  assert.equal(await second, `value of ${key}`);
});

test('calls that a terminated thread has not begun are cancelled', async (t) => {
  const { directory } = world(t);
  const file_path = path.join(directory, 's.json');
  const code = `
    const { parentPort, workerData } = require('node:worker_threads');
    const st = require(workerData.module);
    const secrets = new st.Secrets({ providers: ['file'], file_path: workerData.file_path });
    for (let at = 0; at < 3000; at++) secrets.set('KEY_' + at, 'value');
    parentPort.postMessage('queued');
    setInterval(() => {}, 1000);`;
  const workerData = { file_path, module: require.resolve('st-secrets') };
  const worker = new Worker(code, { eval: true, workerData });
  await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
  await worker.terminate();
  const count = () => (fs.existsSync(file_path) ? Object.keys(JSON.parse(fs.readFileSync(file_path, 'utf8'))).length : 0);
  // The calls in progress finish one after another.
  for (let before = -1; before !== count(); await sleep(0.5)) before = count();
  assert.ok(count() < 3000, String(count()));
});
