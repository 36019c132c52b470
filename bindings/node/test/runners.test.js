'use strict';

// The package in test runners and a bundler, which change how modules and `process.env` are found.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const path = require('node:path');
const test = require('node:test');
const { world } = require('./support.js');

const RUNNERS = path.join(__dirname, 'runners');
const NODE_MODULES = path.join(__dirname, 'node_modules');

/** Runs a program of the packages in `runners`, and returns its exit status and what it prints. */
function run(cwd, program, ...args) {
  const env = { ...process.env, NODE_PATH: NODE_MODULES, CI: 'true' };
  const found = program === 'node' ? process.execPath : path.join(RUNNERS, 'node_modules/.bin', program);
  const { status, stdout, stderr } = spawnSync(found, args, { cwd, env, encoding: 'utf8' });
  return { status, text: stdout + stderr };
}

test('Jest: files of tests in one process each have their environment', (t) => {
  world(t);
  const { status, text } = run(RUNNERS, 'jest', '--rootDir', 'jest', '--runInBand', '--no-cache');
  assert.equal(status, 0, text);
  assert.match(text, /Tests: +4 passed/);
});

test('vitest: the library sees process.env as the test does', (t) => {
  world(t);
  for (const pool of ['forks', 'vmForks']) {
    const { status, text } = run(RUNNERS, 'vitest', 'run', '--root', 'vitest', '--pool', pool);
    assert.equal(status, 0, text);
  }
});

test('esbuild: a bundle works, or names what is missing', (t) => {
  const { directory, write } = world(t, { HF_TOKEN: 'hf_bundled' });
  write('a.js', "const { Secrets } = require('st-secrets'); console.log(Secrets.default.getSync('HF_TOKEN').text())");
  const bundle = (...options) => run(directory, 'esbuild', 'a.js', '--bundle', '--platform=node', '--log-level=warning', ...options);

  assert.equal(bundle('--external:st-secrets', '--outfile=external.js').status, 0);
  assert.equal(run(directory, 'node', 'external.js').text, 'hf_bundled\n');

  assert.equal(bundle('--loader:.node=copy', '--outdir=copied').status, 0);
  assert.equal(run(path.join(directory, 'copied'), 'node', 'a.js').text, 'hf_bundled\n');

  const without = bundle('--outfile=without.js');
  assert.notEqual(without.status, 0);
  assert.match(without.text, /No loader is configured for "\.node" files: .*st_secrets\.node/);

  assert.equal(bundle('--loader:.node=copy', '--format=esm', '--outfile=module.mjs').status, 0);
  const module = run(directory, 'node', 'module.mjs');
  assert.notEqual(module.status, 0);
  assert.match(module.text, /cannot load its add-on for linux-x64 .*--external:st-secrets/);
});
