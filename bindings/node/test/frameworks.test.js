'use strict';

// The package in the programs that run tests and that make bundles.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');
const { project } = require('./support.js');

/** Runs a program of the packages of the tests. */
function tool(name, directory, ...args) {
  const file = path.join(__dirname, 'node_modules', name);
  return spawnSync(process.execPath, [file, ...args], { cwd: directory, encoding: 'utf8' });
}

test('in Jest, the library sees process.env as each test file does', (t) => {
  const { directory, write } = project(t);
  for (const name of ['first', 'second']) write(`${name}.test.js`, fs.readFileSync(path.join(__dirname, 'jest.js')));
  // Both files in one process: the second would see what the first one left.
  const { status, stderr } = tool('jest/bin/jest.js', directory, '--runInBand', '--rootDir', directory);
  assert.equal(status, 0, stderr);
  assert.match(stderr, /Tests: +8 passed, 8 total/);
});

const PROGRAMS = {
  'program.cjs': "const { Secrets } = require('st-secrets'); console.log(Secrets.default.getSync('HF_TOKEN').text());",
  'program.mjs': "import { Secrets } from 'st-secrets'; console.log(Secrets.default.getSync('HF_TOKEN').text());",
};

for (const [name, text] of Object.entries(PROGRAMS)) {
  const format = name.endsWith('.mjs') ? 'esm' : 'cjs';

  /** Bundles the program in a project. Returns the result of running the bundle. */
  const bundled = (t, ...options) => {
    const { directory, write } = project(t);
    write(name, text);
    const out = path.join(directory, 'out', name);
    const all = [name, '--bundle', '--platform=node', `--format=${format}`, `--outfile=${out}`, ...options];
    const { status, stderr } = spawnSync(path.join(__dirname, 'node_modules/esbuild/bin/esbuild'), all, { cwd: directory, encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    return spawnSync(process.execPath, [out], { encoding: 'utf8' });
  };

  test(`a bundle by esbuild (${format}) says what to do about the add-on`, (t) => {
    const { status, stderr } = bundled(t);
    assert.equal(status, 1);
    assert.match(stderr, /Error: st-secrets has an add-on, which a bundler cannot include: .*--external:st-secrets/);
  });

  test(`a bundle by esbuild (${format}) works with the package beside it`, (t) => {
    const { status, stdout, stderr } = bundled(t, '--external:st-secrets', '--minify');
    assert.deepEqual([status, stdout], [0, 'hf_from_the_environment\n'], stderr);
  });
}
