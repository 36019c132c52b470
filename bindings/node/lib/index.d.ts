/// <reference types="node" />

/** Text or bytes; a `Secret` is taken as it is, without a copy in JavaScript. */
export type Value = string | Uint8Array | Secret;
/** A key of a cache: text, or any bytes. */
export type Key = string | Uint8Array;
/** Settings by the names that the library has for them: `file_path`, `vault_url`, `cache_ttl`. Times are seconds. */
export type Settings = { readonly [name: string]: string | number | boolean | readonly string[] | null | undefined };

export interface CallOptions {
  /** Ends the promise at once with an `AbortError`. */
  signal?: AbortSignal | null;
}

/** The library's version: "0.1.0", and as `major * 1000000 + minor * 1000 + patch`. */
export const version: string;
export const versionNumber: number;

export const WELL_KNOWN: Readonly<
  Record<'REPLICATE_API_TOKEN' | 'HF_TOKEN' | 'CLOUD_WEBHOOK_SECRET', string>
>;

export type Source = 'none' | 'env' | 'file' | 'aws' | 'vault' | 'custom' | 'store' | 'credential' | (string & {});

/** What went wrong in the library. It never holds a value, key or token. */
export class StSecretsError extends Error {
  private constructor();
  readonly name: 'StSecretsError';
  /** The status as a number: -1. */
  readonly status: number;
  /** The status by name: "ST_NOT_FOUND". */
  readonly code: string;
  /** The provider that failed. */
  readonly source: Source;
  /** The HTTP status or `errno`; 0 if there is none. */
  readonly detail: number;
  /** The same call may succeed later without anybody changing anything. */
  readonly retryable: boolean;
}

/** What a call ends with whose signal was aborted; `cause` is the signal's reason. */
export class AbortError extends Error {
  private constructor();
  readonly name: 'AbortError';
  readonly code: 'ABORT_ERR';
}

export interface SecretInfo {
  /** "env", "file", "aws", "vault", or the name of a provider of the program. */
  readonly provider: string;
  /** The provider's own name of this version of the secret. */
  readonly version: string | null;
  readonly source: Source;
  /** The provider does not answer now; this is what it answered before. */
  readonly stale: boolean;
  /** The value comes from memory. */
  readonly cached: boolean;
  /** A provider that goes before this one failed, so another value may be the one that counts. */
  readonly degraded: boolean;
  /** Seconds since the provider was asked, and until it is asked again. */
  readonly age: number;
  readonly expiresIn: number;
}

/** A value that is redacted wherever it is printed, logged, inspected or serialised. */
export class Secret {
  private constructor();
  /** The value as a string. Throws a `TypeError` where it is not UTF-8. */
  text(): string;
  /** The value as a new Buffer, which is yours to wipe: `fill(0)`. */
  bytes(): Buffer;
  /** How many bytes it has. */
  readonly byteLength: number;
  /** Where it came from; null for what was decrypted. */
  readonly info: SecretInfo | null;
  /** Wipes the value now, unless others hold it too. It cannot be read any more. */
  dispose(): void;
  /** For `using`. */
  [Symbol.dispose](): void;
  toString(): 'Secret(redacted)';
  toJSON(): 'Secret(redacted)';
}

declare abstract class Handle {
  /** Calls under way end as if it were open; closing again does nothing. */
  close(): void;
  /** For `using`. */
  [Symbol.dispose](): void;
}

export interface GetSyncOptions {
  /** Seconds; -1, the default, is that of the settings. */
  timeout?: number;
  /** Look at each source now, whatever is remembered of it. */
  refresh?: boolean;
  /** Ask no provider that may take long. */
  cachedOnly?: boolean;
}
export interface GetOptions extends GetSyncOptions, CallOptions {}
export interface Default<T> {
  /** In place of an error where no provider has the secret. */
  default: T;
}

export type ProviderValue = Value | { value: Value; ttl?: number } | null | undefined;
/** A provider in JavaScript: finds a secret within `timeout` seconds, after which the signal is aborted. */
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

/** A chain of providers in which secrets are found. */
export class Secrets extends Handle {
  constructor(settings?: Settings);
  /** The manager of the whole process, made from the environment on first use. */
  static readonly default: Secrets;
  /** Replaces the manager of the whole process. */
  static reset(settings?: Settings): void;

  /** Finds a secret in the first provider that has it. */
  get(key: string, options?: GetOptions): Promise<Secret>;
  get<T>(key: string, options: GetOptions & Default<T>): Promise<Secret | T>;
  /** As `get`, on this thread. A provider in JavaScript that answers with a promise counts as failed. */
  getSync(key: string, options?: GetSyncOptions): Secret;
  getSync<T>(key: string, options: GetSyncOptions & Default<T>): Secret | T;
  /** Finds several secrets under one deadline; results as of `Promise.allSettled`, in the order of the keys. */
  getMany(keys: readonly string[], options?: CallOptions): Promise<PromiseSettledResult<Secret>[]>;
  getManySync(keys: readonly string[]): PromiseSettledResult<Secret>[];
  getReplicateToken(options?: GetOptions): Promise<Secret>;
  getHfToken(options?: GetOptions): Promise<Secret>;
  getWebhookSecret(options?: GetOptions): Promise<Secret>;

  /** Writes a secret into the secrets file. */
  set(key: string, value: Value, options?: CallOptions): Promise<void>;
  setSync(key: string, value: Value): void;
  setReplicateToken(value: Value, options?: CallOptions): Promise<void>;
  /** Removes a secret from the secrets file; false if it was not there. */
  delete(key: string, options?: CallOptions): Promise<boolean>;
  deleteSync(key: string): boolean;

  /** Adds a provider of the program's own, at the end or at a position from 0. */
  addProvider(name: string, get: Provider, options?: { position?: number }): void;
  /** Looks at every source now. */
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

/** Keys with which credentials are encrypted, as SimpleTuner does. */
export class Cipher extends Handle {
  /** Reads the keys, and makes them where there are none; `Cipher.open` does so without blocking. */
  constructor(settings?: Settings);
  static open(settings?: Settings, options?: CallOptions): Promise<Cipher>;
  /** The cipher of the whole process. */
  static readonly default: Cipher;
  static reset(settings?: Settings): void;

  encrypt(plaintext: Value, options?: CallOptions): Promise<string>;
  encryptSync(plaintext: Value): string;
  decrypt(token: string, options?: CallOptions): Promise<Secret>;
  decryptSync(token: string): Secret;
  /** The token under the newest key, and whether it differs from the one given. */
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
  /** Seconds to keep it; the cache's own if not given. */
  ttl?: number;
  /** Seconds to wait for it; the load goes on. */
  timeout?: number;
}
export type Load<T> = (key: Key) => T | Promise<T>;

/** A cache whose entries live for a time, with the least recently used one going first. Times are seconds. */
export class Cache extends Handle {
  constructor(options?: { defaultTtl?: number; maxSize?: number; cleanupInterval?: number });
  /** The process's cache for provider configuration, which all threads share: strings and bytes alone. */
  static readonly providerConfig: Cache;
  /** The process's cache for permissions of users, which all threads share: strings and bytes alone. */
  static readonly userPermission: Cache;
  static invalidateProvider(provider: string): number;
  static invalidateUser(userId: number | bigint): number;

  get(key: Key): string | undefined;
  getBytes(key: Key): Buffer | undefined;
  set(key: Key, value: Value, ttl?: number): void;
  /** What `setObject` stored: itself, not a copy. */
  getObject<T = unknown>(key: Key): T | undefined;
  setObject(key: Key, value: unknown, ttl?: number): void;
  delete(key: Key): boolean;
  clear(): number;
  invalidatePrefix(prefix: Key): number;
  stats(): CacheStats;
  /** The value, or else what `load` brings: once, however many ask. */
  getOrLoad(key: Key, load: Load<string | Uint8Array>, options?: LoadOptions): Promise<string>;
  getOrLoadBytes(key: Key, load: Load<string | Uint8Array>, options?: LoadOptions): Promise<Buffer>;
}

export interface CachedOptions {
  /** Seconds; 300 if not given. */
  ttl?: number;
  keyPrefix?: string;
  /** In place of the function's own. */
  name?: string;
  /** 1000 if not given. */
  maxSize?: number;
}
export type Cached<F extends (...args: never[]) => unknown> = F & {
  /** For invalidation: `clear()`, `delete(fn.key(123))`. */
  readonly cache: Cache;
  /** The key of a call with these arguments. */
  key(...args: Parameters<F>): string;
};
/** The function with its results cached by its arguments. Results are kept by reference; what fails is not kept. */
export function cached<F extends (...args: never[]) => unknown>(fn: F, options?: CachedOptions): Cached<F>;

/** A number that other languages have as a floating-point one, though it is whole. */
export class Float {
  constructor(value: number);
  readonly value: number;
}
/** The key under which the result of a function call is cached, the same in every language. */
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
  /** That of the process if not given. */
  cipher?: Cipher;
}
export interface ResolveOptions extends CipherOptions {
  /** That of the process if not given. */
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
/** A JSON object, or its text, which is kept as it is written: `1.50`, `NaN`, integers of any size. */
export type Document = object | string;
export interface AsText {
  /** The JSON text, as it is written. */
  text: true;
}

/** SimpleTuner's databases: provider configuration, hardware prices, stored credentials and an audit trail. */
export class Store extends Handle {
  constructor(settings?: Settings);
  /** The store of the whole process, made from the environment on first use. */
  static readonly default: Store;
  static reset(settings?: Settings): void;
  /** The same store: what is done with it is recorded as this actor's. */
  as(actor: { userId?: number | bigint; username?: string | null; ip?: string | null }): Store;

  getProviderConfig(provider: string, options: CallOptions & AsText): Promise<string>;
  getProviderConfig(provider: string, options?: CallOptions): Promise<Json>;
  getProviderConfigSync(provider: string, options: AsText): string;
  getProviderConfigSync(provider: string): Json;
  saveProviderConfig(provider: string, config: Document, options?: CallOptions): Promise<void>;
  saveProviderConfigSync(provider: string, config: Document): void;
  /** Sets these members, and leaves the others as they are. */
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
  /** The user's own credential, else the secret `globalKey` of a manager. */
  resolveCredential(which: CredentialName & { globalKey: string }, options?: ResolveOptions): Promise<Resolved>;
  resolveCredentialSync(which: CredentialName & { globalKey: string }, options?: ResolveOptions): Resolved;
  /** A new key, and every stored credential under it. */
  rotateCredentials(options?: CipherOptions): Promise<void>;
  rotateCredentialsSync(options?: CipherOptions): void;
  /** Every stored credential under the newest key; with `plain`, plain text is encrypted too. */
  reencryptCredentials(options?: CipherOptions & { plain?: boolean }): Promise<ReencryptReport>;
  reencryptCredentialsSync(options?: CipherOptions & { plain?: boolean }): ReencryptReport;

  /** Appends an entry of the program's own; gives its number. */
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
  /** The part of the library that it comes from. */
  target: string;
  message: string;
}
/** Sends the messages of the whole process up to this level to a function, in place of the one before; null stops it. */
export function setLog(level: LogLevel, log: ((record: LogRecord) => void) | null): void;
