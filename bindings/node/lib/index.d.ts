/// <reference types="node" />

/** Text or bytes. A `Secret` is passed without a copy in JavaScript. */
export type Value = string | Uint8Array | Secret;
/** A cache key: text or arbitrary bytes. */
export type Key = string | Uint8Array;
/** The library's settings by name: `file_path`, `vault_url`, `cache_ttl`. Times are in seconds. */
export type Settings = { readonly [name: string]: string | number | boolean | readonly string[] | null | undefined };

export interface CallOptions {
  /** Rejects the promise at once with an `AbortError`. */
  signal?: AbortSignal | null;
}

/** The library's version: "0.1.0", and as a number, `major * 1000000 + minor * 1000 + patch`. */
export const version: string;
export const versionNumber: number;

export const WELL_KNOWN: Readonly<
  Record<'REPLICATE_API_TOKEN' | 'HF_TOKEN' | 'CLOUD_WEBHOOK_SECRET', string>
>;

export type Source = 'none' | 'env' | 'file' | 'aws' | 'vault' | 'custom' | 'store' | 'credential' | (string & {});

/** A failure of the library. It never contains a value, key or token. */
export class StSecretsError extends Error {
  private constructor();
  readonly name: 'StSecretsError';
  /** The status as a number, such as -1. */
  readonly status: number;
  /** The status by name, such as "ST_NOT_FOUND". */
  readonly code: string;
  /** The provider that failed. */
  readonly source: Source;
  /** The HTTP status or `errno`; 0 if there is none. */
  readonly detail: number;
  /** Whether the same call may succeed later without any change by the user. */
  readonly retryable: boolean;
}

/** The error of a call whose signal was aborted; `cause` is the signal's reason. */
export class AbortError extends Error {
  private constructor();
  readonly name: 'AbortError';
  readonly code: 'ABORT_ERR';
}

export interface SecretInfo {
  /** "env", "file", "aws", "vault", or the name of a custom provider. */
  readonly provider: string;
  /** The provider's identifier of this version of the secret. */
  readonly version: string | null;
  readonly source: Source;
  /** The provider is failing; this is its last known value. */
  readonly stale: boolean;
  /** The value comes from a cache. */
  readonly cached: boolean;
  /** An earlier provider failed; it might have returned another value. */
  readonly degraded: boolean;
  /** Seconds since the value was fetched, and until it is fetched again. */
  readonly age: number;
  readonly expiresIn: number;
}

/** A value that is redacted wherever it is printed, logged, inspected or serialized. */
export class Secret {
  private constructor();
  /** Returns the value as a string. Throws a `TypeError` if it is not UTF-8. */
  text(): string;
  /** Returns the value as a new Buffer, which the caller wipes: `fill(0)`. */
  bytes(): Buffer;
  /** The length in bytes. */
  readonly byteLength: number;
  /** The origin of the value; null for a decrypted value. */
  readonly info: SecretInfo | null;
  /** Releases the value, which is wiped with its last reference. It cannot be read any more. */
  dispose(): void;
  /** For `using`. */
  [Symbol.dispose](): void;
  toString(): 'Secret(redacted)';
  toJSON(): 'Secret(redacted)';
}

declare abstract class Handle {
  /** Frees the handle. Calls in progress finish normally; closing again has no effect. */
  close(): void;
  /** For `using`. */
  [Symbol.dispose](): void;
}

export interface GetSyncOptions {
  /** Seconds; -1, the default, is the setting `timeout`. */
  timeout?: number;
  /** Bypass all caches and ask every provider. */
  refresh?: boolean;
  /** Only use cached and local values; do not wait for a remote provider. */
  cachedOnly?: boolean;
}
export interface GetOptions extends GetSyncOptions, CallOptions {}
export interface Default<T> {
  /** Returned instead of an error if no provider has the secret. */
  default: T;
}

export type ProviderValue = Value | { value: Value; ttl?: number } | null | undefined;
/** A JavaScript provider: returns a secret within `timeout` seconds, after which the signal is aborted. */
export type Provider = (
  key: string,
  request: { timeout: number; signal: AbortSignal | undefined },
) => ProviderValue | Promise<ProviderValue>;

export interface Description {
  timeout: number;
  providers: { name: string; [detail: string]: unknown }[];
  [detail: string]: unknown;
}
export interface Check {
  ok: boolean;
  providers: { name: string; state: 'ok' | 'absent' | 'warning' | 'failed'; detail: string; advice?: string }[];
  memory: { state: string; [detail: string]: unknown };
}

/** A chain of providers. */
export class Secrets extends Handle {
  constructor(settings?: Settings);
  /** The manager of the whole process, configured from the environment on first use. */
  static readonly default: Secrets;
  /** Replaces the manager of the whole process. */
  static reset(settings?: Settings): void;

  /** Returns a secret from the first provider that has it. */
  get(key: string, options?: GetOptions): Promise<Secret>;
  get<T>(key: string, options: GetOptions & Default<T>): Promise<Secret | T>;
  /** As `get`, on this thread. A JavaScript provider that returns a promise counts as failed. */
  getSync(key: string, options?: GetSyncOptions): Secret;
  getSync<T>(key: string, options: GetSyncOptions & Default<T>): Secret | T;
  /** Returns several secrets within one timeout; results as of `Promise.allSettled`, in the order of the keys. */
  getMany(keys: readonly string[], options?: CallOptions): Promise<PromiseSettledResult<Secret>[]>;
  getManySync(keys: readonly string[]): PromiseSettledResult<Secret>[];
  getReplicateToken(options?: GetOptions): Promise<Secret>;
  getHfToken(options?: GetOptions): Promise<Secret>;
  getWebhookSecret(options?: GetOptions): Promise<Secret>;

  /** Writes a secret to the secrets file. */
  set(key: string, value: Value, options?: CallOptions): Promise<void>;
  setSync(key: string, value: Value): void;
  setReplicateToken(value: Value, options?: CallOptions): Promise<void>;
  /** Removes a secret from the secrets file; returns whether it existed. */
  delete(key: string, options?: CallOptions): Promise<boolean>;
  deleteSync(key: string): boolean;

  /** Adds a custom provider, at the end or at a position from 0. */
  addProvider(name: string, get: Provider, options?: { position?: number }): void;
  /** Reads every provider again. */
  refresh(options?: CallOptions & { timeout?: number }): Promise<void>;
  refreshSync(options?: { timeout?: number }): void;
  clearCache(): void;
  describe(options?: CallOptions): Promise<Description>;
  describeSync(): Description;
  check(options?: CallOptions): Promise<Check>;
  checkSync(): Check;
  filePath(options?: CallOptions): Promise<string>;
  filePathSync(): string;
}

/** Encrypts and decrypts credentials, in SimpleTuner's format. */
export class Cipher extends Handle {
  /** Reads the keys, or creates a key if there is none. Blocks; `Cipher.open` does not. */
  constructor(settings?: Settings);
  static open(settings?: Settings, options?: CallOptions): Promise<Cipher>;
  /** The cipher of the whole process, opened on first use. */
  static readonly default: Cipher;
  static reset(settings?: Settings): void;

  encrypt(plaintext: Value, options?: CallOptions): Promise<string>;
  encryptSync(plaintext: Value): string;
  decrypt(token: string, options?: CallOptions): Promise<Secret>;
  decryptSync(token: string): Secret;
  /** Re-encrypts a token under the newest key; `changed` is whether it differs from the argument. */
  reencrypt(token: string, options?: CallOptions): Promise<{ token: string; changed: boolean }>;
  reencryptSync(token: string): { token: string; changed: boolean };
  rotateKey(options?: CallOptions): Promise<void>;
  rotateKeySync(): void;
}

export interface CacheStats {
  size: number;
  maxSize: number;
  expiredCount: number;
  defaultTtl: number;
  hits: number;
  misses: number;
  evictions: number;
  expirations: number;
  invalidations: number;
  loads: number;
  loadFailures: number;
}
export interface LoadOptions extends CallOptions {
  /** Seconds to keep the value; default: the cache's `defaultTtl`. */
  ttl?: number;
  /** Seconds to wait for the value; the load continues. */
  timeout?: number;
}
export type Load<T> = (key: Key) => T | Promise<T>;

/** A cache whose entries expire. When it is full, it evicts the least recently used entry. Times are in seconds. */
export class Cache extends Handle {
  constructor(options?: { defaultTtl?: number; maxSize?: number; cleanupInterval?: number });
  /** The built-in cache for provider configuration, shared by all threads. It only stores strings and bytes. */
  static readonly providerConfig: Cache;
  /** The built-in cache for user permissions, shared by all threads. It only stores strings and bytes. */
  static readonly userPermission: Cache;
  static invalidateProvider(provider: string): number;
  static invalidateUser(userId: number | bigint): number;

  get(key: Key): string | undefined;
  getBytes(key: Key): Buffer | undefined;
  set(key: Key, value: Value, ttl?: number): void;
  /** Returns the value that `setObject` stored, by reference. */
  getObject<T = unknown>(key: Key): T | undefined;
  setObject(key: Key, value: unknown, ttl?: number): void;
  delete(key: Key): boolean;
  clear(): number;
  invalidatePrefix(prefix: Key): number;
  stats(): CacheStats;
  /** Returns the value, or stores and returns the result of `load`, which is called once for all callers. */
  getOrLoad(key: Key, load: Load<string | Uint8Array>, options?: LoadOptions): Promise<string>;
  getOrLoadBytes(key: Key, load: Load<string | Uint8Array>, options?: LoadOptions): Promise<Buffer>;
}

export interface CachedOptions {
  /** Seconds; default: 300. */
  ttl?: number;
  keyPrefix?: string;
  /** Default: the function's own name. */
  name?: string;
  /** Default: 1000. */
  maxSize?: number;
}
export type Cached<F extends (...args: never[]) => unknown> = F & {
  /** For invalidation: `clear()`, `delete(fn.key(123))`. */
  readonly cache: Cache;
  /** Returns the key of a call with these arguments. */
  key(...args: Parameters<F>): string;
};
/** Caches the results of a function by its arguments. Results are stored by reference; failures are not stored. */
export function cached<F extends (...args: never[]) => unknown>(fn: F, options?: CachedOptions): Cached<F>;

/** A whole number that other languages represent as floating-point. */
export class Float {
  constructor(value: number);
  readonly value: number;
}
/** Returns the key under which the result of a function call is cached, the same in every language. */
export function functionKey(
  prefix: string,
  name: string,
  args?: readonly unknown[],
  named?: { readonly [name: string]: unknown },
): string;

export interface CredentialName {
  userId: number | bigint;
  provider: string;
  name: string;
}
export interface CipherOptions extends CallOptions {
  /** Default: the cipher of the process. */
  cipher?: Cipher;
}
export interface ResolveOptions extends CipherOptions {
  /** Default: the manager of the process. */
  secrets?: Secrets;
}
export interface Resolved {
  source: 'user' | 'global';
  secret: Secret;
}
export interface StoredCredential {
  id: number;
  user_id: number;
  provider: string;
  name: string;
  created_at: string;
  updated_at: string | null;
  last_used_at: string | null;
  is_active: boolean;
  encrypted: boolean;
}
export interface ReencryptReport {
  total: number;
  reencrypted: number;
  unchanged: number;
  migrated: number;
  plain: number;
  unreadable: number[];
}
export interface AuditEntry {
  eventType: string;
  action: string;
  targetType?: string;
  targetId?: string;
  details?: Document;
}
export interface AuditFilter {
  event_type?: string;
  action?: string;
  actor_id?: number;
  actor_username?: string;
  target_type?: string;
  target_id?: string;
  since?: string;
  until?: string;
  limit?: number;
  offset?: number;
}
export interface AuditReport {
  checked: number;
  intact: boolean;
  broken_id: number | null;
  kind: 'altered' | 'missing' | 'fork' | null;
  tampered_id: number | null;
  forks: number[];
}
export type Json = { [name: string]: any };
/** A JSON object, or its text, which is stored as it is written: `1.50`, `NaN`, integers of any size. */
export type Document = object | string;
export interface AsText {
  /** Return the JSON text as it was written. */
  text: true;
}

/** SimpleTuner's databases: provider configuration, hardware prices, stored credentials and the audit trail. */
export class Store extends Handle {
  constructor(settings?: Settings);
  /** The store of the whole process, opened on first use. */
  static readonly default: Store;
  static reset(settings?: Settings): void;
  /** Returns the same store; its changes are recorded under this actor. */
  as(actor: { userId?: number | bigint; username?: string | null; ip?: string | null }): Store;

  getProviderConfig(provider: string, options: CallOptions & AsText): Promise<string>;
  getProviderConfig(provider: string, options?: CallOptions): Promise<Json>;
  getProviderConfigSync(provider: string, options: AsText): string;
  getProviderConfigSync(provider: string): Json;
  saveProviderConfig(provider: string, config: Document, options?: CallOptions): Promise<void>;
  saveProviderConfigSync(provider: string, config: Document): void;
  /** Merges these members into the configuration. */
  updateProviderConfig(provider: string, members: Document, options?: CallOptions): Promise<void>;
  updateProviderConfigSync(provider: string, members: Document): void;
  deleteProviderConfig(provider: string, options?: CallOptions): Promise<boolean>;
  deleteProviderConfigSync(provider: string): boolean;
  listProviderConfigs(options?: CallOptions): Promise<{ provider: string; updated_at: string }[]>;
  listProviderConfigsSync(): { provider: string; updated_at: string }[];
  getProviderWebhook(provider: string, options: CallOptions & AsText): Promise<string>;
  getProviderWebhook(provider: string, options?: CallOptions): Promise<Json>;
  getProviderWebhookSync(provider: string, options: AsText): string;
  getProviderWebhookSync(provider: string): Json;
  getProviderCostLimit(provider: string, options: CallOptions & AsText): Promise<string>;
  getProviderCostLimit(provider: string, options?: CallOptions): Promise<Json>;
  getProviderCostLimitSync(provider: string, options: AsText): string;
  getProviderCostLimitSync(provider: string): Json;

  getHardwareInfo(options: CallOptions & AsText): Promise<string>;
  getHardwareInfo(options?: CallOptions): Promise<Json>;
  getHardwareInfoSync(options: AsText): string;
  getHardwareInfoSync(): Json;
  setHardwareInfo(info: Document, options?: CallOptions): Promise<void>;
  setHardwareInfoSync(info: Document): void;
  clearHardwareInfo(options?: CallOptions): Promise<void>;
  clearHardwareInfoSync(): void;
  hardwareCostPerHour(hardwareId: string, options?: CallOptions): Promise<number>;
  hardwareCostPerHourSync(hardwareId: string): number;

  setCredential(which: CredentialName, value: Value, options?: CipherOptions): Promise<void>;
  setCredentialSync(which: CredentialName, value: Value, options?: CipherOptions): void;
  getCredential(which: CredentialName, options?: CipherOptions): Promise<Secret>;
  getCredentialSync(which: CredentialName, options?: CipherOptions): Secret;
  deleteCredential(which: CredentialName, options?: CallOptions): Promise<boolean>;
  deleteCredentialSync(which: CredentialName): boolean;
  listCredentials(of?: { userId?: number | bigint; provider?: string }, options?: CallOptions): Promise<StoredCredential[]>;
  listCredentialsSync(of?: { userId?: number | bigint; provider?: string }): StoredCredential[];
  /** Returns the user's own credential, or else the secret `globalKey` of a manager. */
  resolveCredential(which: CredentialName & { globalKey: string }, options?: ResolveOptions): Promise<Resolved>;
  resolveCredentialSync(which: CredentialName & { globalKey: string }, options?: ResolveOptions): Resolved;
  /** Creates a new key and re-encrypts every stored credential under it. */
  rotateCredentials(options?: CipherOptions): Promise<void>;
  rotateCredentialsSync(options?: CipherOptions): void;
  /** Re-encrypts every stored credential under the newest key; with `plain`, unencrypted ones too. */
  reencryptCredentials(options?: CipherOptions & { plain?: boolean }): Promise<ReencryptReport>;
  reencryptCredentialsSync(options?: CipherOptions & { plain?: boolean }): ReencryptReport;

  /** Appends an entry to the audit trail and returns its id. */
  logAudit(entry: AuditEntry, options?: CallOptions): Promise<number>;
  logAuditSync(entry: AuditEntry): number;
  queryAudit(filter?: AuditFilter | string, options?: CallOptions): Promise<Json[]>;
  queryAuditSync(filter?: AuditFilter | string): Json[];
  verifyAudit(range?: { first?: number; last?: number }, options?: CallOptions): Promise<AuditReport>;
  verifyAuditSync(range?: { first?: number; last?: number }): AuditReport;
}

export type LogLevel = 'off' | 'error' | 'warn' | 'info' | 'debug' | 'trace';
export interface LogRecord {
  level: LogLevel;
  /** The part of the library that logs. */
  target: string;
  message: string;
}
/**
 * Sends the log messages of the whole process up to this level to a function, which replaces the previous one; null
 * stops the log.
 */
export function setLog(level: LogLevel, log: ((record: LogRecord) => void) | null): void;
