'use strict';

/** Whether this program runs with musl. A report says so, without looking at the network. */
function isMusl() {
  if (process.platform !== 'linux' || !process.report) return false;
  const { excludeNetwork } = process.report;
  process.report.excludeNetwork = true;
  const { header } = process.report.getReport();
  process.report.excludeNetwork = excludeNetwork;
  return !header.glibcVersionRuntime;
}

const target = `${process.platform}-${process.arch}${isMusl() ? '-musl' : ''}`;

/** Loads the add-on. The names are literals, so that a bundler can copy it, which ignores those that are not there. */
function loadOrExplain() {
  try {
    if (target === 'linux-x64') return require('../prebuilt/linux-x64/st_secrets.node');
    if (target === 'linux-arm64') return require('../prebuilt/linux-arm64/st_secrets.node');
    if (target === 'linux-x64-musl') return require('../prebuilt/linux-x64-musl/st_secrets.node');
    if (target === 'linux-arm64-musl') return require('../prebuilt/linux-arm64-musl/st_secrets.node');
    throw Object.assign(new Error('there is none for this platform'), { code: 'MODULE_NOT_FOUND' });
  } catch (error) {
    // The second one is that of esbuild, in a bundle that is a module.
    const isMissing = error.code === 'MODULE_NOT_FOUND' || error.message.startsWith('Dynamic require of');
    const why = isMissing
      ? 'it is not part of this package or bundle; if it is a bundle, leave st-secrets out of it (esbuild --external:st-secrets)'
      : error.message;
    throw new Error(`st-secrets cannot load its add-on for ${target} (Linux on x64 and arm64 is supported): ${why}`, {
      cause: error,
    });
  }
}

// Before any other module is required, which fails in the same bundles with less of an explanation.
const native = loadOrExplain();
const { withEnvironment } = require('./environment.js');

module.exports = withEnvironment(native);
