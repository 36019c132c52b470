'use strict';

// A bundle of ES modules has no __dirname, and a bundle of the other kind has that of the program.
const EXTERNAL =
  'st-secrets has an add-on, which a bundler cannot include: keep the package out of the bundle (esbuild: ' +
  '--external:st-secrets), and install it beside the program';
if (typeof __dirname === 'undefined') throw new Error(EXTERNAL);

const fs = require('node:fs');
const path = require('node:path');
const { seenByTest } = require('./environment.js');

const target = `${process.platform}-${process.arch}`;
const file = path.join(__dirname, '..', 'prebuilt', target, 'st_secrets.node');

try {
  module.exports = seenByTest(require(file));
} catch (error) {
  if (!fs.existsSync(path.join(__dirname, 'native.js'))) throw new Error(EXTERNAL, { cause: error });
  const why = error.code === 'MODULE_NOT_FOUND' ? 'it is not part of this package' : error.message;
  throw new Error(`st-secrets cannot load its add-on for ${target} (Linux with glibc on x64 is supported): ${why}`, {
    cause: error,
  });
}
