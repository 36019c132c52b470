import binding from './index.js';

export const {
  AbortError,
  Cache,
  Cipher,
  Float,
  RedactingTransform,
  Redactor,
  Secret,
  Secrets,
  StSecretsError,
  Store,
  WELL_KNOWN,
  cached,
  functionKey,
  observeMetrics,
  prometheusMetrics,
  redactOutput,
  setLog,
  version,
  versionNumber,
} = binding;
