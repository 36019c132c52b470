'use strict';

// The memory of the process stays constant over 100 000 calls of each kind, after as many to warm up. (Node only frees
// the memory of a loop without a pause after the loop, because it calls finalizers from its event loop.)

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const test = require('node:test');
const { world } = require('./support.js');

const CALLS = 100_000;
/**
 * In KiB, for one of a few rounds: V8's heap settles in steps, but a leak grows in every round. This is 40 bytes a
 * call.
 */
const SLACK = 4 * 1024;
const ROUNDS = 5;

/** Each is a body that is run for every `at`; it may use `await`. */
const KINDS = {
  'a secret at once': "secrets.getSync('HF_TOKEN').dispose()",
  'a secret at once, left to the collector': "secrets.getSync('HF_TOKEN').text(); if (at % 1000 === 0) await turn()",
  'a secret with a promise': "(await secrets.get('HF_TOKEN')).bytes()",
  'a secret with a signal': "await secrets.get('HF_TOKEN', { signal })",
  'an aborted call': "const c = new AbortController(); const p = secrets.get('HF_TOKEN', { signal: c.signal }).catch(() => {}); c.abort(); await p; if (at % 100 === 0) await turn()",
  'a secret that is not there': "try { secrets.getSync('NOTHING') } catch {}",
  'several secrets': "secrets.getManySync(['HF_TOKEN', 'NOTHING']); if (at % 1000 === 0) await turn()",
  'a provider in JavaScript': "await layered.get('KEY_' + (at % 3000))",
  'a cache': "cache.set('key ' + (at % 2000), 'value'); cache.get('key ' + at); cache.getBytes('key ' + (at % 2000)); cache.delete('key 7')",
  'a long key and value': "cache.set('k'.repeat(2000), 'v'.repeat(5000)); cache.get('k'.repeat(2000))",
  'objects in a cache': "cache.setObject('object ' + at, { at }); cache.getObject('object ' + at); if (at % 1000 === 0) await turn()",
  'objects in a cache, without a pause': "cache.setObject('object ' + at, { at })",
  'a load': "await cache.getOrLoad('load ' + at, async () => 'value')",
  'a failed load': "await cache.getOrLoad('failed ' + at, async () => { throw failure }).catch(() => {})",
  'a cached function': 'cachedFunction(at); cachedFunction(at)',
  'a cached function with promises': 'await cachedPromise(at); await cachedPromise(at)',
  'encryption at once': 'cipher.decryptSync(cipher.encryptSync(plaintext)).dispose()',
  'encryption with promises': '(await cipher.decrypt(await cipher.encrypt(plaintext))).dispose()',
  'a mistake': 'try { cache.get(at) } catch {} try { secrets.getSync(at) } catch {}',
  'opening and closing': "new st.Cache().close(); new st.Secrets({ providers: ['env'] }).close(); if (at % 100 === 0) await turn()",
  'opening without closing': 'new st.Cache({ maxSize: 10 }); if (at % 100 === 0) await turn()',
  'a log message': "noisy.getSync('HF_TOKEN', { default: null }); if (at % 100 === 0) await turn()",
};

const program = (body) => `
  const { st, resident, turn } = require('./support.js');
  process.env.HF_TOKEN = 'hf_0123456789abcdef';
  const secrets = new st.Secrets({ providers: ['env'] });
  const noisy = new st.Secrets({ providers: ['env'] });
  if (${/noisy/.test(body)}) st.setLog('trace', () => {});
  const layered = new st.Secrets({ providers: ['env'] });
  layered.addProvider('mine', async (key) => key);
  const cache = new st.Cache();
  const cipher = new st.Cipher({ key: 'k' });
  const plaintext = 'r8_0123456789abcdef';
  const { signal } = new AbortController();
  const failure = new Error('no');
  const cachedFunction = st.cached((id) => ({ id }), { name: 'f' });
  const cachedPromise = st.cached(async (id) => ({ id }), { name: 'p' });
  async function rounds(count) { for (let at = 0; at < count; at++) { ${body} } await turn(); global.gc(); await turn(); global.gc(); return resident(); }
  (async () => {
    let grown = Infinity;
    let before = await rounds(${CALLS});
    for (let round = 1; round < ${ROUNDS} && grown >= ${SLACK}; round++) {
      const now = await rounds(${CALLS});
      grown = Math.min(grown, now - before);
      before = now;
    }
    console.log(grown);
    process.exit(0);
  })();`;

for (const [kind, body] of Object.entries(KINDS)) {
  test(`memory is constant: ${kind}`, (t) => {
    world(t);
    const options = { cwd: __dirname, encoding: 'utf8' };
    const { stdout, stderr } = spawnSync(process.execPath, ['--expose-gc', '--max-semi-space-size=1', '-e', program(body)], options);
    assert.match(stdout, /^-?\d+\n$/, stderr);
    t.diagnostic(`${stdout.trim()} KiB more after ${CALLS} calls`);
    assert.ok(Number(stdout) < SLACK, `${stdout.trim()} KiB more`);
  });
}
