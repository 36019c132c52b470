'use strict';

// Measures single calls of the Node binding, next to empty Node-API calls and lru-cache; the minimum of many rounds.
//
// usage: bench.js EMPTY.node SECRETS.json

const { createRequire } = require('node:module');
const path = require('node:path');

const [empty, file] = process.argv.slice(2);
const fromTests = createRequire(path.join(__dirname, '../../bindings/node/test/package.json'));
const { Cache, Cipher, Secrets, cached } = fromTests('st-secrets');
const { LRUCache } = fromTests('lru-cache');
const { bare, passing, handle } = require(path.resolve(empty));

const ROUNDS = 60;
const ENTRIES = 500;
const keys = Array.from({ length: ENTRIES }, (_, at) => `user:${at}:`.padEnd(32, 'k'));
const value = '0123456789abcdef'.repeat(4);

/**
 * Returns the nanoseconds of one call. Each body is compiled separately, so that the types of others do not affect it.
 */
function measure(body, calls, ...given) {
  const names = ['a', 'keys', 'b'];
  const loop = new Function(...names, `for (let i = 0, k = 0; i < ${calls}; i++) { ${body}; if (++k === ${ENTRIES}) k = 0; }`);
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const begun = process.hrtime.bigint();
    loop(...given);
    best = Math.min(best, Number(process.hrtime.bigint() - begun) / calls);
  }
  return best;
}

const times = {};
function line(name, time, peer) {
  times[name] = time;
  const ratio = peer ? `   ${(time / times[peer]).toFixed(2)} x ${peer}` : '';
  console.log(`${name.padEnd(52)} ${time.toFixed(0).padStart(7)} ns${ratio}`);
}

async function promised(call, count) {
  let best = Infinity;
  for (let round = 0; round < 20; round++) {
    const begun = process.hrtime.bigint();
    for (let at = 0; at < count; at++) await call();
    best = Math.min(best, Number(process.hrtime.bigint() - begun) / count);
  }
  return best;
}

async function main() {
  const cache = new Cache({ maxSize: ENTRIES });
  const objects = new Cache({ maxSize: ENTRIES });
  const lru = new LRUCache({ max: ENTRIES, ttl: 300_000 });
  for (const key of keys) {
    cache.set(key, value);
    objects.setObject(key, { value });
    lru.set(key, value);
  }
  const secrets = new Secrets({ providers: ['env', 'file'], file_path: file });
  const cipher = new Cipher({ key: 'a secret' });
  const token = cipher.encryptSync(value);
  const own = cached((id) => id, { name: 'own', keyPrefix: 'bench' });

  line('an empty call of Node-API, bare', measure('a()', 100_000, bare));
  const call = 'an empty call of Node-API, key in, string out';
  line(call, measure('b(a, keys[k])', 100_000, handle, keys, passing));
  line('cache hit as a string', measure('a.get(keys[k])', 100_000, cache, keys), call);
  line('cache hit as a Buffer', measure('a.getBytes(keys[k])', 20_000, cache, keys), call);
  line('cache hit as an object', measure('a.getObject(keys[k])', 100_000, objects, keys), call);
  line('cache miss', measure("a.get('nothing')", 100_000, cache, keys), call);
  line('cache set', measure('a.set(keys[k], b)', 20_000, cache, keys, value), call);
  line('lru-cache hit, with a ttl', measure('a.get(keys[k])', 100_000, lru, keys), call);
  line('cached function, hit', measure('a(k)', 20_000, own, keys), call);
  line('cached secret, at once', measure("a.getSync('HF_TOKEN').dispose()", 2_000, secrets, keys), call);
  line('cached secret, with a promise', await promised(() => secrets.get('HF_TOKEN'), 1_000));
  line('decryption, at once', measure('a.decryptSync(b).dispose()', 1_000, cipher, keys, token));
}

main();
