// A service that reads secrets, caches expensive results, and stores an encrypted token.
//
//     npm install st-secrets-0.1.0.tgz && HF_TOKEN=hf_… node service.mjs
import { Cache, Cipher, Secrets, StSecretsError, cached } from 'st-secrets';

const secrets = Secrets.default;

// A secret and its origin. Only text() and bytes() reveal it.
try {
  const token = await secrets.get('HF_TOKEN', { timeout: 5, signal: AbortSignal.timeout(8000) });
  console.log(`HF_TOKEN: ${token.byteLength} bytes from provider ${token.info.provider}; it prints as ${token}`);
} catch (error) {
  if (!(error instanceof StSecretsError)) throw error;
  console.error(`${error.code}: ${error.message}`);
  process.exitCode = 1;
}

// A custom provider, after the others.
const own = new Secrets({ providers: ['env'] });
own.addProvider('defaults', async (key) => (key === 'REGION' ? 'eu-west-1' : null));
console.log('REGION:', (await own.get('REGION')).text());

// The results of a function, cached for two minutes; one call at a time for each user.
const getUser = cached(async (id) => ({ id, name: `user ${id}` }), { ttl: 120, keyPrefix: 'service', name: 'get_user' });
const [one, same] = await Promise.all([getUser(123), getUser(123)]);
console.log('loaded once:', one === same, 'under', getUser.key(123));

// A cache of strings, shared by the worker threads of the process.
Cache.providerConfig.set('provider:replicate:config', JSON.stringify({ webhook_url: 'https://example.com' }));
console.log('removed:', Cache.invalidateProvider('replicate'));

// Encryption in SimpleTuner's format.
const cipher = await Cipher.open({ key: 'only for this example' });
const stored = await cipher.encrypt('r8_my_api_token');
const plaintext = await cipher.decrypt(stored);
try {
  console.log('decrypted:', plaintext.byteLength, 'bytes');
} finally {
  // Wipes it now. `using plaintext = …`, if supported, does so at the end of the block.
  plaintext.dispose();
}
