'use strict';

const assert = require('node:assert/strict');
const { spawn, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const test = require('node:test');
const { inspect } = require('node:util');
const { st, status, until, world } = require('./support.js');

const { Secrets } = st;

test('the environment precedes the file, synchronously and asynchronously', async (t) => {
  const { write } = world(t, { HF_TOKEN: 'from the environment' });
  const file_path = write('s.json', '{"HF_TOKEN": "from the file", "OTHER": "other"}');
  const secrets = new Secrets({ providers: ['env', 'file'], file_path });

  assert.equal((await secrets.get('HF_TOKEN')).text(), 'from the environment');
  assert.equal(secrets.getSync('hf-token').text(), 'from the environment');
  const other = await secrets.get('OTHER');
  assert.deepEqual([other.text(), other.byteLength, other.info.provider, other.info.source], ['other', 5, 'file', 'file']);
  assert.deepEqual([other.info.degraded, other.info.shared], [false, false]);
});

test('a missing secret is an error that lists the providers, or the default', async (t) => {
  world(t);
  const secrets = new Secrets({ providers: ['env'] });
  await assert.rejects(secrets.get('NOTHING'), status('ST_NOT_FOUND', { status: -1, source: 'none', retryable: false }));
  await assert.rejects(secrets.get('NOTHING'), /tried: env \(variable NOTHING is not set\)/);
  assert.throws(() => secrets.getSync('NOTHING'), status('ST_NOT_FOUND'));
  assert.equal(await secrets.get('NOTHING', { default: null }), null);
  assert.equal(secrets.getSync('NOTHING', { default: 'none' }), 'none');
});

test('getMany returns a result for each key', async (t) => {
  world(t, { HF_TOKEN: 'hf', REPLICATE_API_TOKEN: 'r8' });
  const secrets = new Secrets({ providers: ['env'] });
  const keys = ['HF_TOKEN', 'NOTHING', 'REPLICATE_API_TOKEN'];
  for (const results of [await secrets.getMany(keys), secrets.getManySync(keys)]) {
    assert.deepEqual(results.map((result) => result.value?.text() ?? result.reason.code), ['hf', 'ST_NOT_FOUND', 'r8']);
  }
  assert.deepEqual(await secrets.getMany([]), []);
});

test('getMany returns an error message for each failed key', async (t) => {
  const { write } = world(t, { HF_TOKEN: 'hf' });
  const file_path = write('s.json', '{"A": ,}');
  const secrets = new Secrets({ providers: ['env', 'file'], file_path });
  const thrown = new Error('mine');
  const fails = () => { throw thrown; };
  const custom = new Secrets({ providers: ['env'] });
  custom.addProvider('mine', fails);
  const results = async (manager, keys) => [await manager.getMany(keys), manager.getManySync(keys)];
  for (const [found, broken] of await results(secrets, ['HF_TOKEN', 'Z'])) {
    assert.equal(found.value.text(), 'hf');
    assert.ok(status('ST_PROTOCOL', { source: 'file', retryable: false })(broken.reason));
    assert.match(broken.reason.message, /^secret "Z": .*s\.json.*line 1/);
  }
  for (const [found, failed] of await results(custom, ['HF_TOKEN', 'Z'])) {
    assert.equal(found.value.text(), 'hf');
    assert.ok(status('ST_CALLBACK', { source: 'custom' })(failed.reason));
    assert.match(failed.reason.message, /^secret "Z": the provider mine failed: its function threw Error/);
    assert.equal(failed.reason.cause, thrown);
  }
});

test('a secret can be written to the file and removed', async (t) => {
  const { directory } = world(t);
  const secrets = new Secrets({ providers: ['file'] });
  assert.equal(await secrets.filePath(), `${directory}/.simpletuner/secrets.json`);
  await secrets.set('MY_KEY', 'größe');
  await secrets.setReplicateToken(Buffer.from('r8_x'));
  assert.equal((await secrets.getReplicateToken()).text(), 'r8_x');
  assert.equal(fs.statSync(secrets.filePathSync()).mode & 0o777, 0o600);
  secrets.setSync('COPY', await secrets.get('MY_KEY'));
  assert.equal(secrets.getSync('COPY').text(), 'größe');
  assert.equal(await secrets.delete('MY_KEY'), true);
  assert.equal(secrets.deleteSync('MY_KEY'), false);
});

test('a broken file is an error of the file provider, not a missing secret', async (t) => {
  const { write } = world(t);
  const secrets = new Secrets({ providers: ['file'], file_path: write('s.json', '{"A": ,}') });
  await assert.rejects(secrets.get('A'), status('ST_PROTOCOL', { source: 'file' }));
  write('s.json', '{"A": "fixed"}');
  await secrets.refresh();
  assert.equal(secrets.getSync('A').text(), 'fixed');
});

test('the manager of the process is shared and can be replaced', async (t) => {
  const { write } = world(t, { HF_TOKEN: 'of the process' });
  t.after(() => Secrets.reset());
  Secrets.reset();
  assert.equal(Secrets.default, Secrets.default);
  assert.equal((await Secrets.default.getHfToken()).text(), 'of the process');
  Secrets.reset({ providers: ['file'], file_path: write('s.json', '{"HF_TOKEN": "of the file"}') });
  assert.equal((await Secrets.default.get(st.WELL_KNOWN.HF_TOKEN)).text(), 'of the file');
});

test('the error of an unknown setting suggests the nearest known one', () => {
  assert.throws(() => new Secrets({ filepath: 'x' }), status('ST_CONFIG'));
  assert.throws(() => new Secrets({ filepath: 'x' }), /`file_path`/);
  assert.throws(() => new Secrets({ timeout: Infinity }), TypeError);
});

test('describe and check report the providers without any value', async (t) => {
  world(t, { HF_TOKEN: 'CANARY' });
  const secrets = new Secrets({ providers: ['env'] });
  assert.deepEqual((await secrets.describe()).providers, [{ name: 'env', prefix: null }]);
  const check = secrets.checkSync();
  assert.equal(check.ok, true);
  assert.equal(JSON.stringify(check).includes('CANARY'), false);
});

test('a closed manager throws, and closing it again has no effect', async (t) => {
  world(t, { HF_TOKEN: 'hf' });
  const secrets = new Secrets({ providers: ['env'] });
  const underWay = secrets.get('HF_TOKEN');
  secrets.close();
  secrets.close();
  assert.equal((await underWay).text(), 'hf');
  await assert.rejects(secrets.get('HF_TOKEN'), status('ST_INVALID_ARGUMENT'));
  assert.throws(() => secrets.getSync('HF_TOKEN'), /closed/);
});

test('log messages are passed to a function, without any value', async (t) => {
  const { write } = world(t);
  const records = [];
  st.setLog('debug', (record) => records.push(record));
  t.after(() => st.setLog('off', null));
  const secrets = new Secrets({ providers: ['file'], file_path: write('s.json', '{"A": "CANARY"}', 0o644) });
  await secrets.get('A');
  await until(() => records.some(({ level, target }) => level === 'warn' && target.length > 0));
  await until(() => records.some(({ fields }) => fields.provider === 'file' && fields.key === 'A'));
  assert.equal(JSON.stringify(records).includes('CANARY'), false);
});

test('an exception of the log function is uncaught, and later messages are delivered', (t) => {
  world(t, { HF_TOKEN: 'hf' });
  const code = `
    const { Secrets, setLog } = require('st-secrets');
    let thrown = 0;
    process.on('uncaughtException', (error) => (thrown += error.message === 'no'));
    setLog('debug', () => { throw new Error('no'); });
    const secrets = new Secrets({ providers: ['env'] });
    for (let at = 0; at < 5; at++) secrets.getSync('HF_TOKEN');
    const all = setInterval(() => {
      if (thrown < 5) return;
      console.log(thrown);
      clearInterval(all);
    }, 1);`;
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', code], { cwd: __dirname, encoding: 'utf8', timeout: 120_000 });
  assert.deepEqual([stdout, stderr], ['5\n', '']);
});

test('a log function that causes messages does not block the event loop', (t) => {
  world(t, { HF_TOKEN: 'hf' });
  const code = `
    const { Secrets, setLog } = require('st-secrets');
    const secrets = new Secrets({ providers: ['env'] });
    setLog('debug', () => secrets.getSync('HF_TOKEN'));
    secrets.getSync('HF_TOKEN');
    setTimeout(() => (console.log('it continues'), process.exit()), 20);`;
  const { stdout } = spawnSync(process.execPath, ['-e', code], { cwd: __dirname, encoding: 'utf8', timeout: 120_000 });
  assert.equal(stdout, 'it continues\n');
});

test('the share is off unless it is set', async (t) => {
  world(t);
  const secrets = new Secrets({ providers: ['env'] });
  await secrets.prefetch();
  secrets.prefetchSync({ timeout: 60 });
  const nothing = { share: 'off', directory: null, owner: null, refused: null, documents: [], tier: null };
  assert.deepEqual(await secrets.share(), nothing);
  assert.deepEqual(secrets.shareSync(), nothing);
  assert.equal((await secrets.check()).share.state, 'absent');
  await assert.rejects(secrets.prefetch({ timeout: -2 }), status('ST_INVALID_ARGUMENT'));
  await assert.rejects(secrets.prefetch({ signal: AbortSignal.abort() }), { name: 'AbortError' });
});

test('listen returns the generation when a file has changed', async (t) => {
  const { directory } = world(t);
  const secrets = new Secrets({ file_path: `${directory}/listen.json` });
  const before = secrets.generation;
  assert.equal(await secrets.listen(before, { timeout: 0 }), before);
  await secrets.set('A', '1');
  assert.ok((await secrets.listen(before)) > before);
  const aborted = new AbortController();
  const listening = secrets.listen(secrets.generation, { signal: aborted.signal });
  aborted.abort();
  await assert.rejects(listening, { name: 'AbortError' });
  for (const timeout of [-1, Number.NaN]) {
    await assert.rejects(secrets.listen(secrets.generation, { timeout }), status('ST_INVALID_ARGUMENT'));
  }
  const closed = secrets.listen();
  secrets.close();
  await assert.rejects(closed);
  assert.throws(() => secrets.generation);
});

test('invalidate names the processes that have confirmed', async (t) => {
  const off = new Secrets({ providers: ['env'] });
  await assert.rejects(off.invalidate('A'), status('ST_CONFIG'));
  assert.throws(() => off.invalidateSync(), status('ST_CONFIG'));
  const directory = fs.mkdtempSync('/dev/shm/st-secrets-test-');
  t.after(() => fs.rmSync(directory, { recursive: true }));
  const secrets = new Secrets({ share: 'host', share_dir: directory });
  const report = { scope: 'host', confirmed: [process.pid], silent: [], complete: true };
  const before = secrets.generation;
  assert.deepEqual(await secrets.invalidate('A'), report);
  assert.deepEqual(secrets.invalidateSync(null, { timeout: 60 }), report);
  assert.ok((await secrets.listen(before)) > before);
});

test('invalidateCluster names the hosts that have confirmed', async (t) => {
  const off = new Secrets({ providers: ['env'] });
  await assert.rejects(off.invalidateCluster('A'), status('ST_CONFIG'));
  assert.throws(() => off.invalidateClusterSync(), status('ST_CONFIG'));
  const directory = fs.mkdtempSync('/dev/shm/st-secrets-test-');
  t.after(() => fs.rmSync(directory, { recursive: true }));
  const socket = `${directory}/redis.sock`;
  const options = ['--port', '0', '--unixsocket', socket, '--save', '', '--dir', directory];
  const server = spawn('redis-server', options, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => new Promise((ended) => server.on('exit', ended) && server.kill()));
  for await (const line of server.stdout) if (String(line).includes('eady to accept')) break;
  const host = (name) => new Secrets({
    share: 'host', share_dir: `${directory}/${name}`, share_url: `unix://${socket}`, share_key: Buffer.alloc(32).toString('base64'),
  });
  const [one, other] = [host('one'), host('other')];
  // The other host is known when it has looked at the tier. A busy machine may miss the time of an exchange.
  const invalidated = async (invalidate, hosts) => {
    for (;;) {
      const report = await Promise.resolve().then(invalidate).catch(() => null);
      if (report?.confirmed.length === hosts) return report;
    }
  };
  let isListening = true;
  const listening = (async () => {
    while (isListening) await other.listen(other.generation, { timeout: 1 });
  })();
  const report = await invalidated(() => one.invalidateCluster('A', { timeout: 60 }), 2);
  isListening = false;
  await listening;
  assert.deepEqual([report.scope, report.silent], ['cluster', []]);
  // It makes no call.
  const { confirmed, silent } = await invalidated(() => one.invalidateClusterSync(null, { timeout: 0.5 }), 1);
  assert.equal(silent.length, 1);
  assert.deepEqual([...confirmed, ...silent].sort(), report.confirmed);
});

test('a directory that cannot be shared is refused with the reason', async (t) => {
  const { directory } = world(t);
  fs.chmodSync(directory, 0o755);
  const secrets = new Secrets({ share: 'host', share_dir: directory });
  const { refused, ...share } = await secrets.share();
  assert.deepEqual(share, { share: 'host', directory, owner: process.geteuid(), documents: [], tier: null });
  assert.match(refused, /chmod 700/);
  assert.equal(secrets.checkSync().share.state, 'warning');
});

test('no error shows the key of the share', (t) => {
  world(t);
  const isSafe = (error) => error.code === 'ST_CONFIG' && /share_key/.test(error.message) && !/CANARY/.test(inspect(error));
  assert.throws(() => new Secrets({ share: 'host', share_key: 'CANARY' }), isSafe);
});
