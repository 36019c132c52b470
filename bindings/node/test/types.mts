// Code that the types must accept. Compiled, not run.
import {
  Cache,
  Cipher,
  RedactingTransform,
  Redactor,
  type Secret,
  Secrets,
  type Settings,
  StSecretsError,
  Store,
  cached,
  functionKey,
  redactOutput,
  setLog,
  version,
} from 'st-secrets';

const secrets = new Secrets({ providers: ['env', { exec: ['sops', '-d', 's.json'], as: 'A' }], timeout: 2.5, strict_permissions: true });
const elements: Settings = {
  providers: [
    { aws_secrets: { prefix: 'prod/', tags: { app: 'x' } }, format: 'json' },
    { google_secret: 'db', as: 'DB_PASSWORD', version: '3' },
    { azure_secrets: { tags: { app: 'x' } }, name: 'azure' },
    { kubernetes_secret: ['a', 'b'], namespace: 'ml' },
    { onepassword_item: 'database', vault: 'ML team', field: 'password', as: 'DB_PASSWORD' },
    { infisical_secret: 'DB_PASSWORD', path: '/train', environment: 'prod' },
    { infisical_path: '/train', environment: 'prod' },
    { vault_secret: ['kv/team', 'common/train'], as: { username: 'DB_USER' } },
    { vault_dynamic: 'database/creds/train', as: { password: 'DB_PASSWORD' }, revoke: true },
  ],
};
const secret: Secret = await secrets.get('HF_TOKEN', { timeout: 1, signal: AbortSignal.timeout(100) });
const text: string = secret.text();
const bytes: Buffer = secret.bytes();
const size: number = secret.byteLength;
const either: Secret | null = await secrets.get('HF_TOKEN', { default: null });
const provider: string | undefined = secret.info?.provider;
const shared: boolean | undefined = secret.info?.shared;
await secrets.prefetch({ timeout: 1, signal: AbortSignal.timeout(100) });
const ages: (number | null)[] = (await secrets.share()).documents.map((document) => document.age);
const state: 'ok' | 'absent' | 'warning' | 'failed' = secrets.checkSync().share.state;
secrets.addProvider('mine', async (key, { timeout, signal }) => (!signal?.aborted && key === 'A' ? { value: `${timeout}`, ttl: 1 } : null));
for (const result of await secrets.getMany(['A', 'B'])) {
  if (result.status === 'fulfilled') result.value.dispose();
}

{
  using wiped = secrets.getSync('HF_TOKEN', { cachedOnly: true });
  void wiped;
}

const cache = new Cache({ maxSize: 10 });
const hit: string | undefined = cache.get(new Uint8Array(3));
cache.setObject('key', { a: 1 });
const object: { a: number } | undefined = cache.getObject<{ a: number }>('key');
const loaded: string = await cache.getOrLoad('key', async (key) => `${key}`, { ttl: 1 });

const getUser = cached(async (id: number) => ({ id }), { ttl: 120, keyPrefix: 'mymodule', name: 'get_user' });
const user: { id: number } = await getUser(123);
getUser.cache.delete(getUser.key(123));

const cipher = await Cipher.open({ key: 'k' });
const token: string = cipher.encryptSync(secret);
const store = new Store().as({ userId: 7, username: 'ada' });
const { source } = await store.resolveCredential({ userId: 7, provider: 'p', name: 'n', globalKey: 'K' }, { cipher, secrets });
const config: string = await store.getProviderConfig('p', { text: true });
await store.saveProviderConfig('p', { a: (await store.getProviderConfig('p')).a });
const redactor = new Redactor({ redact_min: 8 });
const added: boolean = redactor.add(secret, { name: 'HF_TOKEN' });
const redacted: string = redactor.redact('text');
const endRedaction: () => void = redactOutput({ redactor });
process.stdin.pipe(new RedactingTransform({ redactor, highWaterMark: 1024 })).pipe(process.stdout);
setLog('warn', ({ level, target, message }) => console.error(level, target, message));
try {
  cipher.decryptSync(token);
} catch (error) {
  if (error instanceof StSecretsError && error.code === 'ST_BAD_TOKEN' && error.retryable) console.error(error.status);
}
const actors: (number | null)[] = (await store.queryAudit({ limit: 1 })).map((entry) => entry.actor_id);
export const all = { actors, elements, added, redacted, endRedaction, text, bytes, size, either, provider, shared, ages, state, hit, object, loaded, user, config, source, version, key: functionKey('p', 'f', [1]) };
