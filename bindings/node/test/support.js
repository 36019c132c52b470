'use strict';

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { Worker } = require('node:worker_threads');

// The package under its own name, as users import it.
const st = require('st-secrets');

/** Creates a directory for a test, which is also its home, and removes all secrets from the environment. */
function world(t, env = {}) {
  const before = { ...process.env };
  const directory = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'st-secrets-')));
  t.after(() => {
    for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name];
    Object.assign(process.env, before);
    fs.rmSync(directory, { recursive: true, force: true });
  });
  for (const name of Object.keys(process.env)) {
    if (/^(HF_|REPLICATE_|CLOUD_|SIMPLETUNER_|AWS_|VAULT_)/.test(name)) delete process.env[name];
  }
  Object.assign(process.env, { HOME: directory, ...env });
  return {
    directory,
    write(name, text, mode = 0o600) {
      const file = path.join(directory, name);
      fs.mkdirSync(path.dirname(file), { recursive: true });
      fs.writeFileSync(file, text, { mode });
      fs.chmodSync(file, mode);
      return file;
    },
  };
}

/** Returns a check that an error is the library's, with this status. */
function status(code, more = {}) {
  return (error) => {
    if (!(error instanceof st.StSecretsError)) return false;
    return error.code === code && Object.entries(more).every(([name, value]) => error[name] === value);
  };
}

/** Runs a module of this directory in a worker thread and returns its last message. */
function inWorker(file, workerData) {
  return new Promise((resolve, reject) => {
    let answer;
    const worker = new Worker(path.join(__dirname, file), { workerData });
    worker.on('message', (message) => (answer = message));
    worker.on('error', reject);
    worker.on('exit', (code) => (code === 0 ? resolve(answer) : reject(new Error(`the worker ended with ${code}`))));
  });
}

const turn = () => new Promise((resolve) => setImmediate(resolve));
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** Waits until a condition holds. */
async function until(so, seconds = 60) {
  for (const end = performance.now() + seconds * 1000; !so(); await sleep(0.001)) {
    if (performance.now() > end) throw new Error('it does not come to be');
  }
}

/** The resident memory of the process, in KiB. */
function resident() {
  return Number(/^VmRSS:\s+(\d+)/m.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1]);
}

module.exports = { inWorker, resident, sleep, st, status, turn, until, world };
