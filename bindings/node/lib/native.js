'use strict';

const target = `${process.platform}-${process.arch}`;

/** Loads the add-on. Its name is a literal, so that a bundler can copy it. */
function load() {
  if (target === 'linux-x64') return require('../prebuilt/linux-x64/st_secrets.node');
  throw Object.assign(new Error('there is none for this platform'), { code: 'MODULE_NOT_FOUND' });
}

function loadOrExplain() {
  try {
    return load();
  } catch (error) {
    // The second one is that of esbuild, in a bundle that is a module.
    const isMissing = error.code === 'MODULE_NOT_FOUND' || error.message.startsWith('Dynamic require of');
    const why = isMissing
      ? 'it is not part of this package or bundle; if it is a bundle, leave st-secrets out of it (esbuild --external:st-secrets)'
      : error.message;
    throw new Error(`st-secrets cannot load its add-on for ${target} (Linux with glibc on x64 is supported): ${why}`, {
      cause: error,
    });
  }
}

// Before any other module is required, which fails in the same bundles with less of an explanation.
const native = loadOrExplain();
const { withEnvironment } = require('./environment.js');

module.exports = withEnvironment(native);
