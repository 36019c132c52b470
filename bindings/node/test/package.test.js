'use strict';

// The package as users get it: installed from the tarball into an empty directory, without network or compiler.

const assert = require('node:assert/strict');
const { execFileSync, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');
const { world } = require('./support.js');

const ROOT = path.join(__dirname, '../../..');
const { version } = require('../package.json');
const TARBALL = path.join(ROOT, 'build/dist', `st-secrets-${version}.tgz`);

/** An empty project with the package installed. */
function project(t) {
  const { directory, write } = world(t, { HF_TOKEN: 'hf_from_the_environment' });
  write('package.json', '{"name": "consumer", "private": true}');
  const offline = { ...process.env, npm_config_offline: 'true', CC: '/bin/false' };
  execFileSync('npm', ['install', '--no-audit', '--no-fund', '--silent', TARBALL], { cwd: directory, env: offline });
  const run = (...args) => execFileSync(process.execPath, args, { cwd: directory, encoding: 'utf8' });
  return { directory, write, run };
}

test('the package works from CommonJS and from modules, which share one instance', (t) => {
  const { write, run } = project(t);
  write('a.cjs', "const { Secrets } = require('st-secrets'); console.log(Secrets.default.getSync('HF_TOKEN').text())");
  write(
    'b.mjs',
    `import { createRequire } from 'node:module';
     import * as module from 'st-secrets';
     import { Secrets, version } from 'st-secrets';
     const required = createRequire(import.meta.url)('st-secrets');
     const same = Object.keys(required).every((name) => required[name] === module[name]);
     console.log((await Secrets.default.get('HF_TOKEN')).text(), version, same);`,
  );
  assert.equal(run('a.cjs'), 'hf_from_the_environment\n');
  assert.equal(run('b.mjs'), `hf_from_the_environment ${version} true\n`);
});

test('the package has the program st-secrets', (t) => {
  const { directory } = project(t);
  const environment = { ...process.env, npm_config_offline: 'true' };
  const npx = (...args) => execFileSync('npx', ['st-secrets', ...args], { cwd: directory, env: environment, encoding: 'utf8' });
  assert.equal(npx('--version'), `st-secrets ${version}\n`);
  const script = 'process.exitCode = process.env.HF_TOKEN === "hf_from_the_environment" ? 0 : 1; console.log(process.env.HF_TOKEN)';
  assert.equal(npx('run', 'HF_TOKEN', '--redact', '--', process.execPath, '-e', script), '***\n');
});

test('the package contains the required files and no others', (t) => {
  const { directory } = project(t);
  const root = path.join(directory, 'node_modules/st-secrets');
  assert.deepEqual(fs.readdirSync(root).sort(), ['LICENSE-APACHE', 'LICENSE-MIT', 'README.md', 'lib', 'package.json', 'prebuilt']);
  const hidden = ['.package-lock.json', '.bin'];
  assert.deepEqual(fs.readdirSync(path.join(directory, 'node_modules')).filter((name) => !hidden.includes(name)), ['st-secrets']);
  assert.deepEqual(fs.readdirSync(path.join(root, 'prebuilt/linux-x64')).sort(), ['THIRD-PARTY.txt', 'st-secrets', 'st_secrets.node']);
  const { dependencies, peerDependenciesMeta, scripts } = require('../package.json');
  assert.deepEqual([dependencies, scripts], [undefined, undefined]);
  // The types refer to Node's where TypeScript users have them.
  assert.deepEqual(peerDependenciesMeta, { '@types/node': { optional: true } });
});

/** Checks that the files of this directory compile in a project, where the types of the package are checked too. */
function compiles(project, files, ...options) {
  for (const file of files) project.write(file, fs.readFileSync(path.join(__dirname, file)));
  const tsc = path.join(__dirname, 'node_modules/typescript/bin/tsc');
  const all = [tsc, '--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022', ...options, ...files];
  const { status, stdout } = spawnSync(process.execPath, all, { cwd: project.directory, encoding: 'utf8' });
  assert.deepEqual([status, stdout], [0, '']);
}

test('the types accept correct code and reject errors', (t) => {
  const consumer = project(t);
  fs.symlinkSync(path.join(__dirname, 'node_modules/@types'), path.join(consumer.directory, 'node_modules/@types'));
  compiles(consumer, ['types.mts', 'types_wrong.cts'], '--types', 'node', '--lib', 'es2022');
});

test("the types need neither Node's types nor those of the web", (t) => {
  const consumer = project(t);
  compiles(consumer, ['types_plain.cts']);
  compiles(consumer, ['types_plain.cts'], '--lib', 'es2022');
});

test('the add-on exports only the entry for Node, needs only system libraries, and is never unloaded', () => {
  const file = path.join(__dirname, '../prebuilt/linux-x64/st_secrets.node');
  const names = execFileSync('nm', ['-D', '--defined-only', file], { encoding: 'utf8' }).match(/\S+$/gm);
  assert.deepEqual(names.sort(), ['napi_register_module_v1', 'node_api_module_get_api_version_v1']);
  const dynamic = execFileSync('readelf', ['-dW', file], { encoding: 'utf8' });
  assert.match(dynamic, /FLAGS_1.*NODELETE/);
  const needed = [...dynamic.matchAll(/NEEDED.*\[(.*)\]/g)].map(([, name]) => name);
  assert.deepEqual(needed.filter((name) => !/^(libc\.so\.6|libm\.so\.6|libgcc_s\.so\.1|ld-linux.*)$/.test(name)), []);
  const floor = fs.readFileSync(path.join(ROOT, 'tests/c/glibc-floor.txt'), 'utf8').trim().split('.').map(Number);
  const symbols = execFileSync('objdump', ['-T', file], { encoding: 'utf8' });
  for (const [, major, minor] of symbols.matchAll(/\(?GLIBC_(\d+)\.(\d+)/g)) {
    assert.ok(major < floor[0] || (Number(major) === floor[0] && minor <= floor[1]), `it needs GLIBC_${major}.${minor}`);
  }
});

test('every method has types, and every typed method exists', () => {
  const st = require('st-secrets');
  const types = fs.readFileSync(path.join(__dirname, '../lib/index.d.ts'), 'utf8');
  const hidden = ['constructor', 'close', 'answersFor', 'answersForSync', 'length', 'name', 'prototype'];
  for (const name of ['Secrets', 'Cipher', 'Cache', 'Store', 'Secret', 'Redactor']) {
    const [, body] = new RegExp(`export class ${name} [^{]*{\n([^]*?)\n}`).exec(types);
    const declared = new Set([...body.matchAll(/^ {2}(?:static )?(?:readonly )?(\w+)[(<:]/gm)].map(([, member]) => member));
    const members = [...Object.getOwnPropertyNames(st[name].prototype), ...Object.getOwnPropertyNames(st[name])];
    for (const member of members.filter((each) => !hidden.includes(each))) assert.ok(declared.has(member), `${name}.${member}`);
    for (const member of declared) assert.ok(hidden.includes(member) || members.includes(member), `${name}.${member}`);
  }
  assert.deepEqual(Object.keys(st).filter((name) => !new RegExp(`export (?:class|function|const) ${name}\\b`).test(types)), []);
});

test('the example finds its secrets', (t) => {
  world(t, { HF_TOKEN: 'hf_example' });
  const file = path.join(ROOT, 'examples/node/service.mjs');
  const copy = path.join(__dirname, 'node_modules/.example.mjs');
  fs.copyFileSync(file, copy);
  const { status, stdout, stderr } = spawnSync(process.execPath, [copy], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  assert.match(stdout, /HF_TOKEN: 10 bytes from provider env/);
  assert.equal(stdout.includes('hf_example'), false);
});
