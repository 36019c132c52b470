/// <reference lib="esnext.disposable" />
// Node's types are used where they are installed, and nothing fails where they are not.
// @ts-ignore
/// <reference types="node" />
// @ts-ignore
import { Transform, type TransformOptions } from 'node:stream';

/** A Buffer. Without Node's types, the array that it is. */
type Buffer = typeof globalThis extends { Buffer: { alloc(size: number): infer Type } } ? Type : Uint8Array;
type AbortSignal = typeof globalThis extends { AbortSignal: { prototype: infer Type } } ? Type : object;

/** Text or bytes. A `Secret` is passed without a copy in JavaScript. */
export type Value = string | Uint8Array | Secret;
/** A cache key: text or arbitrary bytes. */
export type Key = string | Uint8Array;
/** The library's settings by name: `file_path`, `vault_url`, `cache_ttl`. Times are in seconds. */
export type Settings = {
  readonly [name: string]: string | number | boolean | readonly (string | ProviderElement)[] | null | undefined;
};

/** An element of the setting `providers` with members of its own. */
export type ProviderElement =
  | ExecProvider
  | AwsSecretProvider
  | AwsSecretsProvider
  | GoogleSecretProvider
  | GoogleSecretsProvider
  | AzureSecretProvider
  | AzureSecretsProvider
  | KubernetesSecretProvider
  | OnePasswordItemProvider
  | InfisicalSecretProvider
  | InfisicalPathProvider
  | VaultSecretProvider
  | VaultDynamicProvider;
interface Named {
  /** Identifies the provider in errors, and differs between several of them. */
  readonly name?: string;
}
interface OneSecret extends Named {
  /** The key of its value; default: the name of the secret. */
  readonly as?: string;
}
interface ManySecrets extends Named {
  /** "value": each secret is one value, found by its name without the prefix. "json": each is an object. */
  readonly format?: 'value' | 'json';
}
/** Texts that all have to be met exactly. */
type Texts = Readonly<Record<string, string>>;

/** The output of a program, which is run without a shell. */
export interface ExecProvider extends Named {
  /** The program and its arguments. */
  readonly exec: readonly string[];
  /** Detected by default. */
  readonly format?: 'json' | 'dotenv' | 'value';
  /** The key of the value, if the whole output is one. */
  readonly as?: string;
  /** The environment variables that the output depends on; with the setting `share`, processes on a host share it. */
  readonly depends_on?: readonly string[];
}
/** A secret of AWS Secrets Manager that is one value. */
export interface AwsSecretProvider extends OneSecret {
  /** The name or ARN of the secret. */
  readonly aws_secret: string;
}
/** All secrets of AWS Secrets Manager whose names begin with the prefix and that have these tags. */
export interface AwsSecretsProvider extends ManySecrets {
  readonly aws_secrets: { readonly prefix?: string; readonly tags?: Texts };
}
/** A secret of Google Secret Manager that is one value. */
export interface GoogleSecretProvider extends OneSecret {
  /** Its name, alone or below `projects/…/secrets/`. */
  readonly google_secret: string;
  /** A number or an alias; default: the newest one. */
  readonly version?: string;
}
/** All secrets of Google Secret Manager whose names begin with the prefix and that have these labels. */
export interface GoogleSecretsProvider extends ManySecrets {
  readonly google_secrets: { readonly prefix?: string; readonly labels?: Texts };
}
/** A secret of Azure Key Vault that is one value. */
export interface AzureSecretProvider extends OneSecret {
  readonly azure_secret: string;
  /** Default: the newest one. */
  readonly version?: string;
}
/** All secrets of Azure Key Vault whose names begin with the prefix and that have these tags. */
export interface AzureSecretsProvider extends ManySecrets {
  readonly azure_secrets: { readonly prefix?: string; readonly tags?: Texts };
}
/** One or several Kubernetes Secrets, through the API server; of several, the first that has a key supplies it. */
export interface KubernetesSecretProvider extends Named {
  readonly kubernetes_secret: string | readonly string[];
  /** Default: the setting `kubernetes_namespace`. */
  readonly namespace?: string;
}
/** An item of 1Password Connect: all its fields, or one of them. */
export interface OnePasswordItemProvider extends Named {
  /** Its name or identifier. */
  readonly onepassword_item: string;
  /** The name or identifier of the vault; default: the setting `onepassword_vault`. */
  readonly vault?: string;
  /** The label or identifier of one field, or `SECTION/FIELD`. */
  readonly field?: string;
  /** The key of that field; default: the last part of `field`. */
  readonly as?: string;
}
/** A secret of Infisical. */
export interface InfisicalSecretProvider extends OneSecret {
  readonly infisical_secret: string;
  /** Default: `/`. */
  readonly path?: string;
  /** Default: the settings `infisical_environment` and `infisical_project`. */
  readonly environment?: string;
  readonly project?: string;
}
/** All secrets of Infisical at a path. */
export interface InfisicalPathProvider extends Named {
  readonly infisical_path: string;
  /** Default: the settings `infisical_environment` and `infisical_project`. */
  readonly environment?: string;
  readonly project?: string;
}
/** One or several secrets of a KV engine of Vault or OpenBao; of several, the first that has a key supplies it. */
export interface VaultSecretProvider extends Named {
  /** Mount and path: `kv/train`. */
  readonly vault_secret: string | readonly string[];
  /** Which members of the secrets are taken, and their keys; default: all, under their own names. */
  readonly as?: Texts;
}
/** A credential that Vault or OpenBao issues for a lease. */
export interface VaultDynamicProvider extends Named {
  /** The path of the API: `database/creds/trainer`. */
  readonly vault_dynamic: string;
  /** Which members of the response are secrets, and their keys; default: all, under their own names. */
  readonly as?: Texts;
  /** Sent with a POST; default: the path is read. */
  readonly parameters?: Readonly<Record<string, unknown>>;
  /** Revoke the lease when the manager is closed. */
  readonly revoke?: boolean;
}

export interface CallOptions {
  /** Rejects the promise at once with an `AbortError`. */
  signal?: AbortSignal | null;
}

/** The library's version: "0.1.0", and as a number, `major * 1000000 + minor * 1000 + patch`. */
export const version: string;
export const versionNumber: number;

/** The names of the secrets that SimpleTuner itself uses. */
export const WELL_KNOWN: Readonly<
  Record<'REPLICATE_API_TOKEN' | 'HF_TOKEN' | 'CLOUD_WEBHOOK_SECRET', string>
>;

/** The kind of provider, or the part of the library, that failed or that a value comes from. */
export type Source = 'none' | 'env' | 'file' | 'aws' | 'vault' | 'custom' | 'store' | 'encryption' | 'huggingface' | 'exec' | 'google' | 'azure' | 'kubernetes' | 'onepassword' | 'infisical' | 'aws_parameters' | 'credentials' | (string & {});

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

/** The origin of a secret. */
export interface SecretInfo {
  /**
   * "env", "file", "aws", "vault", "huggingface", "exec", "google", "azure", "kubernetes", "onepassword",
   * "infisical", "aws_parameters", "credentials", or the name of a custom provider.
   */
  readonly provider: string;
  /** The provider's identifier of this version of the secret. */
  readonly version: string | null;
  /** The kind of the provider. */
  readonly source: Source;
  /** The provider is failing; this is its last known value. */
  readonly stale: boolean;
  /** The value comes from a cache. */
  readonly cached: boolean;
  /** An earlier provider failed; it might have returned another value. */
  readonly degraded: boolean;
  /** Another process on this host loaded the value; see the setting `share`. */
  readonly shared: boolean;
  /** The value has a lease, and is revoked at its end, which is that of `expiresIn`. */
  readonly leased: boolean;
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
  /** Releases the value, which is wiped with its last reference. It can no longer be read. */
  dispose(): void;
  /** For `using`. */
  [Symbol.dispose](): void;
  toString(): 'Secret(redacted)';
  toJSON(): 'Secret(redacted)';
}

declare abstract class Handle {
  /**
   * Frees the handle. Calls in progress finish normally; closing again has no effect. The leases that a manager revokes
   * are revoked on another thread; a process that ends by itself waits for that, `process.exit()` does not.
   */
  close(): void;
  /** For `using`. */
  [Symbol.dispose](): void;
}

export interface GetSyncOptions {
  /** Seconds; -1, the default, is the setting `timeout`. */
  timeout?: number;
  /** Bypass all caches and query every provider. */
  refresh?: boolean;
  /** Only use cached and local values; do not wait for a remote provider. */
  cachedOnly?: boolean;
}
export interface GetOptions extends GetSyncOptions, CallOptions {}
export interface Default<T> {
  /** Returned instead of an error if no provider has the secret. */
  default: T;
}

/** The result of a JavaScript provider: a value, optionally with a TTL in seconds; null if it lacks the key. */
export type ProviderValue = Value | { value: Value; ttl?: number } | null | undefined;
/** A JavaScript provider: returns a secret within `timeout` seconds, after which the signal is aborted. */
export type Provider = (
  key: string,
  request: { timeout: number; signal: AbortSignal | undefined },
) => ProviderValue | Promise<ProviderValue>;

/** The settings and providers of a manager, without any secret. */
export interface Description {
  timeout: number;
  providers: { name: string; [detail: string]: unknown }[];
  [detail: string]: unknown;
}
/** The health of what `check` checks. `absent`: not configured, or no file. */
export interface Health {
  state: 'ok' | 'absent' | 'warning' | 'failed';
  detail: string;
  /** What to do, if there is anything to do. */
  advice?: string;
}
/** The health of a manager, without any secret. `ok` is false if a provider failed. */
export interface Check {
  ok: boolean;
  providers: (Health & { name: string })[];
  /** The memory that holds secrets. */
  memory: Health & { mapped_bytes: number; unlocked_bytes: number };
  /** The directory that is shared with other processes, and the server of `share_url`. */
  share: Health;
}
/** The counters of a manager since it was opened. All but `last_load_seconds` only grow. */
export interface Stats {
  /** Gets; each key of `getMany` is one. `not_found` and `failed` of them had no value. */
  gets: number;
  not_found: number;
  failed: number;
  /** In their order. */
  providers: ProviderStats[];
}
export interface ProviderStats {
  name: string;
  /** Gets that had their value from this provider: `hits` of them from memory, `stale` of them an expired one. */
  found: number;
  hits: number;
  stale: number;
  /** How often its source was read; `load_failures` of them failed, in whole or in part. */
  loads: number;
  load_failures: number;
  /** Documents that another process on this host had loaded. */
  shared_loads: number;
  /** Requests that were repeated. */
  retries: number;
  /** The time of all loads, of the last and of the longest one, in seconds. */
  load_seconds: number;
  last_load_seconds: number;
  longest_load_seconds: number;
}
/** What `prometheusMetrics` uses of the package `prom-client`. */
export interface PrometheusClient {
  Counter: new (configuration: any) => unknown;
  Gauge: new (configuration: any) => unknown;
  register: unknown;
}
/**
 * Creates metrics of `prom-client` for the counters of a manager, in its register or the given one:
 * `prometheusMetrics(require('prom-client'), secrets)`. The names begin with `st_secrets_`.
 */
export function prometheusMetrics(client: PrometheusClient, secrets: Secrets, register?: unknown): void;
/** What `observeMetrics` uses of a meter of OpenTelemetry. */
export interface OpenTelemetryMeter {
  createObservableCounter(name: string, options?: any): { addCallback(callback: (result: any) => void): void };
  createObservableGauge(name: string, options?: any): { addCallback(callback: (result: any) => void): void };
}
/** Creates observable instruments for the counters of a manager. The names begin with `st_secrets.`. */
export function observeMetrics(meter: OpenTelemetryMeter, secrets: Secrets): void;
/** What a manager shares with other processes on this host, without any secret. Times are in seconds. */
export interface Sharing {
  /** The setting `share`. */
  share: 'host' | 'off';
  /** Where the documents are, and the user that the directory belongs to. */
  directory: string | null;
  owner: number | null;
  /** Why nothing is shared. */
  refused: string | null;
  documents: {
    /** Part of the names of its files. */
    id: string;
    provider: string;
    /** The secret or path. */
    place: string;
    /** Null if no process has loaded the document, or if this one cannot decrypt it. */
    age: number | null;
    expires_in: number | null;
    /** Whether a process is loading it, and which, in its own PID namespace. */
    loading: boolean;
    loader_pid: number | null;
    /** The message of the last load if it failed, and the time until the next one. */
    failing: string | null;
    retry_in: number | null;
    [detail: string]: unknown;
  }[];
  /** The server through which hosts share: its URL without the password, and the pause after a failure. */
  tier: { url: string; revision: number | null; retry_in: number | null } | null;
}

/** A chain of providers. */
export class Secrets extends Handle {
  /** Opens a manager; missing settings come from the environment. */
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
  /** As `getMany`, on this thread. */
  getManySync(keys: readonly string[]): PromiseSettledResult<Secret>[];
  /** As `get('REPLICATE_API_TOKEN')`. */
  getReplicateToken(options?: GetOptions): Promise<Secret>;
  /** As `get('HF_TOKEN')`. */
  getHfToken(options?: GetOptions): Promise<Secret>;
  /** As `get('CLOUD_WEBHOOK_SECRET')`. */
  getWebhookSecret(options?: GetOptions): Promise<Secret>;

  /** Writes a secret to the secrets file, or to the provider of the setting `set_provider`. */
  set(key: string, value: Value, options?: CallOptions): Promise<void>;
  setSync(key: string, value: Value): void;
  /** As `set('REPLICATE_API_TOKEN', value)`. */
  setReplicateToken(value: Value, options?: CallOptions): Promise<void>;
  /** Removes a secret from there; returns whether it existed. */
  delete(key: string, options?: CallOptions): Promise<boolean>;
  deleteSync(key: string): boolean;

  /** Adds a custom provider, at the end or at a position from 0. */
  addProvider(name: string, get: Provider, options?: { position?: number }): void;
  /** Reads every provider again. */
  refresh(options?: CallOptions & { timeout?: number }): Promise<void>;
  refreshSync(options?: { timeout?: number }): void;
  /**
   * Loads the AWS and Vault documents now, unless they are cached. With the setting `share`, the other processes on
   * this host then use them too.
   */
  prefetch(options?: CallOptions & { timeout?: number }): Promise<void>;
  prefetchSync(options?: { timeout?: number }): void;
  /**
   * A number that increases when anything that the manager serves changes: a document, a file, or what another process
   * of this host published or invalidated.
   */
  readonly generation: number;
  /**
   * Waits until the generation differs from `since` (now), at most for `timeout` seconds (no limit), and returns it.
   * While it waits, a thread looks for changes: of files once a second, and of documents when they are due.
   */
  listen(since?: number, options?: CallOptions & { timeout?: number }): Promise<number>;
  /**
   * Drops the cached values of all processes on this host, and returns when all have confirmed it, or after `timeout`
   * seconds (10). The setting `share` must be `host`. At present everything is dropped, whatever the key.
   */
  invalidate(key?: string | null, options?: CallOptions & { timeout?: number }): Promise<Confirmation>;
  invalidateSync(key?: string | null, options?: { timeout?: number }): Confirmation;
  /**
   * Makes all hosts that share a tier drop what they have cached, and returns which of them have confirmed that, when
   * all have or after `timeout` seconds. A host confirms by a get or `listen` of one of its processes; one that has
   * made no such call for 15 s is not waited for. The setting `share_url` must be set.
   */
  invalidateCluster(key?: string | null, options?: CallOptions & { timeout?: number }): Promise<ClusterConfirmation>;
  invalidateClusterSync(key?: string | null, options?: { timeout?: number }): ClusterConfirmation;
  /** Removes all cached values. A value is wiped when its last reference is released. */
  clearCache(): void;
  /** Returns the settings and the providers in order, without any secret. */
  describe(options?: CallOptions): Promise<Description>;
  describeSync(): Description;
  /** Returns the counters since the manager was opened, without a query. */
  stats(options?: CallOptions): Promise<Stats>;
  statsSync(): Stats;
  /** Returns the health of every provider, with remedies. */
  check(options?: CallOptions): Promise<Check>;
  checkSync(): Check;
  /** Returns what is shared with other processes on this host, without a query. */
  share(options?: CallOptions): Promise<Sharing>;
  shareSync(): Sharing;
  /** Returns the path of the file or directory that the file provider reads, or of the file that `set` creates. */
  filePath(options?: CallOptions): Promise<string>;
  filePathSync(): string;
}

/** Which processes have dropped what they had cached. */
export interface Confirmation {
  scope: 'host';
  /** Those in which no get that begins now returns an older value. */
  confirmed: number[];
  /** Those that are stopped, possibly in the middle of a get. */
  silent: number[];
  /** Whether the lists contain all processes on the host; they have room for 4088. */
  complete: boolean;
}

/** Which hosts have dropped what they had cached. A host has the name of the machine, and a number for its share. */
export interface ClusterConfirmation {
  scope: 'cluster';
  /** Those in which no get that begins now returns an older value. */
  confirmed: string[];
  /** Those that have not confirmed in time, or have made no call lately. */
  silent: string[];
  complete: true;
}

/** Encrypts and decrypts credentials, in SimpleTuner's format. */
export class Cipher extends Handle {
  /** Reads the keys, or creates a key if there is none. Blocks; `Cipher.open` does not. */
  constructor(settings?: Settings);
  /** Opens a cipher on another thread. Settings: `key`, `key_file`, `previous_keys`, `generate`. */
  static open(settings?: Settings, options?: CallOptions): Promise<Cipher>;
  /** The cipher of the whole process, opened on first use. */
  static readonly default: Cipher;
  /** Replaces the cipher of the whole process. */
  static reset(settings?: Settings): void;

  /** Encrypts a value under the newest key and returns the token. */
  encrypt(plaintext: Value, options?: CallOptions): Promise<string>;
  encryptSync(plaintext: Value): string;
  /** Decrypts a token made under any of the keys. */
  decrypt(token: string, options?: CallOptions): Promise<Secret>;
  decryptSync(token: string): Secret;
  /** Re-encrypts a token under the newest key; `changed` is whether it differs from the argument. */
  reencrypt(token: string, options?: CallOptions): Promise<{ token: string; changed: boolean }>;
  reencryptSync(token: string): { token: string; changed: boolean };
  /** Writes a new key to the key file. Tokens of the old key can still be decrypted. */
  rotateKey(options?: CallOptions): Promise<void>;
  rotateKeySync(): void;
}

/** Replaces secret values in text, including escaped and encoded forms. */
export class Redactor extends Handle {
  /** A redactor that has no value yet. Settings: `redact_min`, `redact_with`. */
  constructor(settings?: Settings);
  /** The redactor of the whole process, opened on first use. It replaces each value that the library returns later. */
  static readonly default: Redactor;
  /** Opens the redactor of the whole process with settings. Throws if it is open with other settings. */
  static start(settings?: Settings): void;

  /** Adds a value. Returns whether it has at least `redact_min` bytes; a shorter one is ignored. */
  add(value: Value, options?: { name?: string }): boolean;
  /** Returns the text with every value replaced. */
  redact(text: string): string;
  redact(text: Uint8Array): Buffer;
}
export interface RedactOptions {
  /** Default: the redactor of the process. */
  redactor?: Redactor;
}
/** A stream that passes on what is written to it, with every value replaced. */
export class RedactingTransform extends Transform {
  constructor(options?: TransformOptions & RedactOptions);
}
/** A stream such as `process.stdout`. */
export interface Writable {
  write(...data: never[]): boolean;
}
/**
 * Redacts what the program writes to `process.stdout` and `process.stderr`, and so what `console` prints. Returns a
 * function that ends this. What Node itself prints of an uncaught exception is not redacted.
 */
export function redactOutput(options?: RedactOptions & { streams?: readonly Writable[] }): () => void;

/** The size of a cache and its counters since it was created. */
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
/** Computes a missing value of a cache, now or as a promise. */
export type Load<T> = (key: Key) => T | Promise<T>;

export interface CacheOptions {
  /** Default: 300. */
  defaultTtl?: number;
  /** Default: 1000. */
  maxSize?: number;
  /** Default: 60. */
  cleanupInterval?: number;
  /**
   * After this time the first caller of `getOrLoad` reloads a value, while the others still get the old one. If the
   * reload fails, its caller gets the old value too, except after `ST_NOT_FOUND` or `ST_ACCESS_DENIED`. Default: never.
   */
  softTtl?: number;
  /** The fraction of its lifetime, 0 to 1, by which an entry may expire early. Default: 0. */
  ttlJitter?: number;
  /** How long it is cached that a load found no value. Default: 0, not at all. */
  absentTtl?: number;
  /**
   * The URL of a Redis, Valkey or etcd server through which processes share strings and bytes; objects stay in the
   * process. It needs `shareKey`. See `docs/tier.md`. Default: none.
   */
  tier?: string;
  /** Separates caches that share a server and a key. */
  tierName?: string;
  /** How often the cache asks for changes of other processes. Default: 1. */
  tierInterval?: number;
  /** 32 bytes in base64. Default: `ST_SECRETS_SHARE_KEY`. */
  shareKey?: string;
  shareCaCert?: string;
  shareClientCert?: string;
  shareClientKey?: string;
}

/** A cache whose entries expire. When it is full, it evicts the least recently used entry. Times are in seconds. */
export class Cache extends Handle {
  constructor(options?: CacheOptions);
  /** The built-in cache for provider configuration, shared by all threads. It only stores strings and bytes. */
  static readonly providerConfig: Cache;
  /** The built-in cache for user permissions, shared by all threads. It only stores strings and bytes. */
  static readonly userPermission: Cache;
  /** Removes the entries of a provider from the built-in cache and returns their number. */
  static invalidateProvider(provider: string): number;
  /** Removes the entries of a user from the built-in cache and returns their number. */
  static invalidateUser(userId: number | bigint): number;

  /** Returns the value as a string, or undefined if there is none. */
  get(key: Key): string | undefined;
  /** Returns the value as a new Buffer, or undefined if there is none. */
  getBytes(key: Key): Buffer | undefined;
  /** Stores a copy of the value for `ttl` seconds; default: the cache's `defaultTtl`. */
  set(key: Key, value: Value, ttl?: number): void;
  /** Returns the value that `setObject` stored, by reference. */
  getObject<T = unknown>(key: Key): T | undefined;
  /** Stores any JavaScript value by reference. Not for the built-in caches. */
  setObject(key: Key, value: unknown, ttl?: number): void;
  /** Removes an entry and returns whether it existed. */
  delete(key: Key): boolean;
  /** Removes all entries and returns their number. */
  clear(): number;
  /** Removes the entries whose keys begin with `prefix` and returns their number. */
  invalidatePrefix(prefix: Key): number;
  /** Returns the counters of the cache. */
  stats(): CacheStats;
  /** Returns the value, or stores and returns the result of `load`, which is called once for all callers. */
  getOrLoad(key: Key, load: Load<string | Uint8Array>, options?: LoadOptions): Promise<string>;
  /** As `getOrLoad`, but returns the value as a new Buffer. */
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

/** Identifies a credential of a user. */
export interface CredentialName {
  userId: number | bigint;
  provider: string;
  name: string;
}
/** Selects the user's own credential (no user: null), else the shared secret `globalKey` (none: null or omitted). */
export interface CredentialQuery {
  userId: number | bigint | null;
  provider: string;
  name: string;
  globalKey?: string | null;
}
export interface CipherOptions extends CallOptions {
  /** Default: the cipher of the process. */
  cipher?: Cipher;
}
export interface SourceOptions extends CallOptions {
  /** Default: the manager of the process. */
  secrets?: Secrets;
}
export interface ResolveOptions extends CipherOptions, SourceOptions {}
/** A credential and its origin: the user's own, or the secret shared by all users. */
export interface Resolved {
  source: 'user' | 'global';
  secret: Secret;
}
/** A stored credential, without its value. */
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
/** The result of `reencryptCredentials`: numbers of credentials, and the ids of the unreadable ones. */
export interface ReencryptReport {
  total: number;
  reencrypted: number;
  unchanged: number;
  migrated: number;
  plain: number;
  unreadable: number[];
}
/** An audit entry of the program. It must not contain a secret. */
export interface AuditEntry {
  eventType: string;
  action: string;
  targetType?: string;
  targetId?: string;
  details?: Document;
}
/** An entry of the audit trail; the members are the columns of the table. */
export interface RecordedEntry {
  id: number;
  timestamp: string;
  event_type: string;
  actor_id: number | null;
  actor_username: string | null;
  actor_ip: string | null;
  target_type: string | null;
  target_id: string | null;
  action: string;
  /** An object, unless SimpleTuner has written something else. */
  details: Json;
  previous_hash: string;
  entry_hash: string;
}
/** An event type of SimpleTuner. */
export interface AuditEventType {
  /** The name of SimpleTuner's constant: `AUTH_LOGIN_FAILED`. */
  name: string;
  /** The text in an entry: `auth.login.failed`. */
  value: string;
  category: string;
  /** Whether it is one of the security events. */
  security: boolean;
}
/**
 * Selects entries. Times are ISO 8601, both included; a date is its midnight, and a time without an offset is in UTC.
 */
export interface AuditFilter {
  event_type?: string;
  /** Any of these. */
  event_types?: string[];
  action?: string;
  actor_id?: number;
  actor_username?: string;
  target_type?: string;
  target_id?: string;
  since?: string;
  until?: string;
  /** Any text, compared with the stored times as text. */
  since_text?: string;
  until_text?: string;
  /** Entries with greater ids. */
  after_id?: number;
  limit?: number;
  offset?: number;
}
/** The result of verifying the audit trail. */
export interface AuditReport {
  valid: boolean;
  entries_checked: number;
  first_id: number | null;
  last_id: number | null;
  /** At most 1000. */
  broken_links: BrokenLink[];
  broken_id: number | null;
  kind: 'altered' | 'missing' | 'fork' | null;
  tampered_id: number | null;
  forks: number[];
}
/** A place where the chain is broken. */
export interface BrokenLink {
  id: number;
  kind: 'altered' | 'missing' | 'fork';
  /** If the entry does not follow the one before it. */
  expected_previous?: string;
  actual_previous?: string;
  error?: 'hash_mismatch' | 'entries_removed';
  expected_hash?: null;
  actual_hash?: string;
}
export interface AuditStats {
  total_entries: number;
  /** The most frequent first. */
  by_type: Record<string, number>;
  last_24h: number;
  first_entry: string | null;
  last_entry: string | null;
}
/** A part of the audit trail. */
export interface AuditExport {
  text: string;
  /** The id of the last entry, after which the next part begins (`after_id`); 0 if there is none. */
  lastId: number;
}
/** Where entries are sent. */
export interface AuditWebhook {
  url: string;
  /** The header `Authorization`; without `Bearer ` or `ApiKey `, it is an API key. */
  token?: string;
  /** Skip all entries that are not security events. */
  security_only?: boolean;
  /** How many entries a request has; default: 1. */
  batch?: number;
  /** Seconds for a request with its retries; default: 5. */
  timeout?: number;
  /** Default: 2. */
  retries?: number;
  ca_file?: string;
}
export interface RetentionReport {
  removed: number;
  first_id: number | null;
  last_id: number | null;
  before: string | null;
  record_id: number | null;
}
/** Which databases a store uses, and why. */
export interface StoreDescription {
  state_dir: string | null;
  reason: 'database' | 'state_dir' | 'SIMPLETUNER_STATE_DIR' | 'SIMPLETUNER_CONFIG_DIR' | 'in_use' | 'default';
  explanation: string | null;
  database: string;
  credentials_database: string;
  audit_database: string;
  audit_key: string;
  warnings: string[];
}
export interface BackupOptions extends CallOptions {
  /** Default: `main`, the provider configuration and, normally, the credentials. */
  database?: 'main' | 'audit' | 'credentials';
  /** Overwrite an existing database of this name. */
  replace?: boolean;
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

  /** Returns the configuration of a provider, {} if there is none. */
  getProviderConfig(provider: string, options: CallOptions & AsText): Promise<string>;
  getProviderConfig(provider: string, options?: CallOptions): Promise<Json>;
  getProviderConfigSync(provider: string, options: AsText): string;
  getProviderConfigSync(provider: string): Json;
  /** Replaces the configuration of a provider. */
  saveProviderConfig(provider: string, config: Document, options?: CallOptions): Promise<void>;
  saveProviderConfigSync(provider: string, config: Document): void;
  /** Merges these members into the configuration. */
  updateProviderConfig(provider: string, members: Document, options?: CallOptions): Promise<void>;
  updateProviderConfigSync(provider: string, members: Document): void;
  /** Removes the configuration of a provider and returns whether it existed. */
  deleteProviderConfig(provider: string, options?: CallOptions): Promise<boolean>;
  deleteProviderConfigSync(provider: string): boolean;
  /** Returns the configured providers, with the time of their last change. */
  listProviderConfigs(options?: CallOptions): Promise<{ provider: string; updated_at: string }[]>;
  listProviderConfigsSync(): { provider: string; updated_at: string }[];
  /** Returns the webhook settings of a provider, with defaults. */
  getProviderWebhook(provider: string, options: CallOptions & AsText): Promise<string>;
  getProviderWebhook(provider: string, options?: CallOptions): Promise<Json>;
  getProviderWebhookSync(provider: string, options: AsText): string;
  getProviderWebhookSync(provider: string): Json;
  /** Returns the cost limit of a provider, with defaults. */
  getProviderCostLimit(provider: string, options: CallOptions & AsText): Promise<string>;
  getProviderCostLimit(provider: string, options?: CallOptions): Promise<Json>;
  getProviderCostLimitSync(provider: string, options: AsText): string;
  getProviderCostLimitSync(provider: string): Json;

  /** Returns the hardware prices: the configured ones or the defaults. */
  getHardwareInfo(options: CallOptions & AsText): Promise<string>;
  getHardwareInfo(options?: CallOptions): Promise<Json>;
  getHardwareInfoSync(options: AsText): string;
  getHardwareInfoSync(): Json;
  /** Replaces the cached prices for 300 s. */
  setHardwareInfo(info: Document, options?: CallOptions): Promise<void>;
  setHardwareInfoSync(info: Document): void;
  /** Removes the cached prices. */
  clearHardwareInfo(options?: CallOptions): Promise<void>;
  clearHardwareInfoSync(): void;
  /** Returns the built-in default prices. */
  static defaultHardwareInfo(): Json;
  /** Returns the hourly price of the default device, gpu-l40s. */
  defaultHardwareCostPerHour(options?: CallOptions): Promise<number>;
  defaultHardwareCostPerHourSync(): number;
  /** Returns the hourly price of a device. */
  hardwareCostPerHour(hardwareId: string, options?: CallOptions): Promise<number>;
  hardwareCostPerHourSync(hardwareId: string): number;

  /** Encrypts and stores a credential of a user, and returns its id. */
  setCredential(which: CredentialName, value: Value, options?: CipherOptions): Promise<number>;
  setCredentialSync(which: CredentialName, value: Value, options?: CipherOptions): number;
  /** Returns the value of a user's active credential. */
  getCredential(which: CredentialName, options?: CipherOptions): Promise<Secret>;
  getCredentialSync(which: CredentialName, options?: CipherOptions): Secret;
  /** Removes a credential of a user and returns whether it existed. */
  deleteCredential(which: CredentialName, options?: CallOptions): Promise<boolean>;
  deleteCredentialSync(which: CredentialName): boolean;
  /** Makes a credential inactive, until it is set again, and returns whether it existed. */
  deactivateCredential(which: CredentialName, options?: CallOptions): Promise<boolean>;
  deactivateCredentialSync(which: CredentialName): boolean;
  /** Records the use of an active credential from an earlier call, and returns whether there is one. */
  markCredentialUsed(which: CredentialName, options?: CallOptions): Promise<boolean>;
  markCredentialUsedSync(which: CredentialName): boolean;
  /** Returns whether a user has an active credential of this name. */
  hasCredential(which: CredentialName, options?: CallOptions): Promise<boolean>;
  hasCredentialSync(which: CredentialName): boolean;
  /** Returns credentials without their values, of a user and a provider; default: all. */
  listCredentials(of?: { userId?: number | bigint; provider?: string }, options?: CallOptions): Promise<StoredCredential[]>;
  listCredentialsSync(of?: { userId?: number | bigint; provider?: string }): StoredCredential[];
  /** Returns the user's own credential, or else the secret `globalKey` of a manager. */
  resolveCredential(which: CredentialQuery, options?: ResolveOptions): Promise<Resolved>;
  resolveCredentialSync(which: CredentialQuery, options?: ResolveOptions): Resolved;
  /** Returns where `resolveCredential` would find the credential, without using it; null if nowhere. */
  getCredentialSource(which: CredentialQuery, options?: SourceOptions): Promise<Resolved['source'] | null>;
  getCredentialSourceSync(which: CredentialQuery, options?: SourceOptions): Resolved['source'] | null;
  /** Creates a new key and re-encrypts every stored credential under it. */
  rotateCredentials(options?: CipherOptions): Promise<void>;
  rotateCredentialsSync(options?: CipherOptions): void;
  /** Re-encrypts every stored credential under the newest key; with `plain`, unencrypted ones too. */
  reencryptCredentials(options?: CipherOptions & { plain?: boolean }): Promise<ReencryptReport>;
  reencryptCredentialsSync(options?: CipherOptions & { plain?: boolean }): ReencryptReport;

  /** Appends an entry to the audit trail and returns its id. */
  logAudit(entry: AuditEntry, options?: CallOptions): Promise<number>;
  logAuditSync(entry: AuditEntry): number;
  /** Returns the entries of the audit trail that match the filter, newest first. */
  queryAudit(filter?: AuditFilter | string, options?: CallOptions): Promise<RecordedEntry[]>;
  queryAuditSync(filter?: AuditFilter | string): RecordedEntry[];
  /** Verifies the chain from entry `first` to `last`; default: the whole trail. */
  verifyAudit(range?: { first?: number; last?: number }, options?: CallOptions): Promise<AuditReport>;
  verifyAuditSync(range?: { first?: number; last?: number }): AuditReport;
  /** The event types of SimpleTuner. An entry may have any other type. */
  static auditEventTypes(): AuditEventType[];
  /** Returns statistics of the audit trail. */
  auditStats(options?: CallOptions): Promise<AuditStats>;
  auditStatsSync(): AuditStats;
  /** Exports the entries that match the filter as text, oldest first, at most 10 000. */
  exportAudit(filter?: AuditFilter | string, options?: CallOptions & { format?: 'jsonLines' | 'csv' }): Promise<AuditExport>;
  exportAuditSync(filter?: AuditFilter | string, options?: { format?: 'jsonLines' | 'csv' }): AuditExport;
  /**
   * Sends the entries that match the filter to a webhook, oldest first. Returns the id of the last one that was
   * delivered or skipped, 0 if none matches. If a request fails after others were delivered, the next call, with
   * `after_id`, rejects if the failure persists.
   */
  sendAudit(filter: AuditFilter | string | undefined, webhook: AuditWebhook | string, options?: CallOptions): Promise<number>;
  sendAuditSync(filter: AuditFilter | string | undefined, webhook: AuditWebhook | string): number;
  /** Removes entries that are more than this many days old; default: as SimpleTuner is configured. */
  retainAudit(days?: number, options?: CallOptions): Promise<RetentionReport>;
  retainAuditSync(days?: number): RetentionReport;

  /** Returns which databases the store uses, and why. */
  describe(): StoreDescription;
  /** Writes a complete copy of a database to a file while the database is in use. */
  backup(path: string, options?: BackupOptions): Promise<void>;
  backupSync(path: string, options?: Omit<BackupOptions, 'signal'>): void;
}

export type LogLevel = 'off' | 'error' | 'warn' | 'info' | 'debug' | 'trace';
export interface LogRecord {
  level: LogLevel;
  /** The part of the library that logs. */
  target: string;
  message: string;
  /** Parts of the message, such as `provider`, `key`, `url` and `duration` (seconds). */
  fields: { readonly [name: string]: string | number };
}
/**
 * Sends the log messages of the whole process up to this level to a function, which replaces the previous one; null
 * stops the log.
 */
export function setLog(level: LogLevel, log: ((record: LogRecord) => void) | null): void;
