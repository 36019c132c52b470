'use strict';

const path = require('node:path');

const target = `${process.platform}-${process.arch}`;
const file = path.join(__dirname, '..', 'prebuilt', target, 'st_secrets.node');

try {
  module.exports = require(file);
} catch (error) {
  const why = error.code === 'MODULE_NOT_FOUND' ? 'it is not part of this package' : error.message;
  throw new Error(`st-secrets cannot load its add-on for ${target} (Linux with glibc on x64 is supported): ${why}`, {
    cause: error,
  });
}
