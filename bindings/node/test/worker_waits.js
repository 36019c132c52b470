'use strict';

// A worker thread in the middle of long calls, loads and callbacks.
const { parentPort, workerData } = require('node:worker_threads');
const st = require('st-secrets');

const settings = { providers: ['vault'], vault_url: workerData.vault_url, vault_token: 't', vault_path: 'p', timeout: 0.3 };
const secrets = new st.Secrets(settings);
const mine = new st.Secrets({ providers: [] });
mine.addProvider('mine', () => new Promise(() => {}));
st.setLog('trace', () => {});
for (let at = 0; at < 20; at++) {
  secrets.get(`KEY_${at}`).catch(() => {});
  mine.get(`KEY_${at}`).catch(() => {});
}
st.Cache.providerConfig.getOrLoad(`provider:terminated:${workerData.number}`, () => new Promise(() => {}));
const cache = new st.Cache();
cache.setObject('object', {});
cache.getOrLoad('a', () => new Promise(() => {}));
parentPort.postMessage('waiting');
setInterval(() => {}, 1000);
if (workerData.busy) for (;;) secrets.describeSync();
