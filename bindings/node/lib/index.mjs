import binding from './index.js';

export const {
  AbortError,
  Cache,
  Cipher,
  Float,
  Secret,
  Secrets,
  StSecretsError,
  Store,
  WELL_KNOWN,
  cached,
  functionKey,
  setLog,
  version,
  versionNumber,
} = binding;
