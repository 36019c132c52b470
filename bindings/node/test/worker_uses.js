'use strict';

// A worker thread that uses every part. The add-on may be loaded in worker threads only.
const { parentPort, workerData } = require('node:worker_threads');
const st = require('st-secrets');

async function main() {
  const secrets = new st.Secrets({ providers: ['file'], file_path: workerData.file });
  const value = (await secrets.get('HF_TOKEN')).text() + secrets.getSync('HF_TOKEN').text();
  secrets.addProvider('mine', async (key) => (key === 'MINE' ? 'mine' : null));
  const mine = (await secrets.get('MINE')).text();
  const cipher = new st.Cipher({ key: 'k' });
  const plaintext = (await cipher.decrypt(await cipher.encrypt('plain'))).text();
  const cached = st.cached(async (id) => ({ id }), { name: 'cached' });
  const first = await cached(1);
  const same = first === (await cached(1));
  st.Cache.providerConfig.set('provider:worker:config', 'from a worker');
  st.setLog('debug', () => {});
  // Left as they are: values, objects, and a call in progress.
  const cache = new st.Cache();
  for (let at = 0; at < 100; at++) cache.setObject(`key ${at}`, { at });
  void secrets.describe();
  parentPort.postMessage([value, mine, plaintext, same, st.Cache.providerConfig.get('provider:worker:config')].join());
}

main();
