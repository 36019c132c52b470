'use strict';

// A worker thread that loads values for another thread, after removing them if it is to. Its loads make calls
// themselves.
const { parentPort, workerData } = require('node:worker_threads');
const st = require('st-secrets');

const secrets = new st.Secrets({ providers: ['env'] });
const go = new Promise((resolve) => parentPort.once('message', resolve));
const load = async (key) => {
  await go;
  if (workerData.fails) throw new Error('no');
  return (await secrets.get('NOTHING', { default: null })) ?? `value of ${key}`;
};
for (const key of workerData.keys) if (workerData.deletes) st.Cache.providerConfig.delete(key);
Promise.allSettled(workerData.keys.map((key) => st.Cache.providerConfig.getOrLoad(key, load)));
parentPort.postMessage('loading');
