import { Secrets, StSecretsError } from 'st-secrets';
import { expect, test, vi } from 'vitest';

test('the library sees process.env as the test does', async () => {
  const secrets = new Secrets({ providers: ['env'] });
  process.env.OF_VITEST = 'one';
  expect((await secrets.get('OF_VITEST')).text()).toBe('one');
  vi.stubEnv('OF_VITEST', 'two');
  expect(secrets.getSync('OF_VITEST').text()).toBe('two');
  vi.unstubAllEnvs();
  delete process.env.OF_VITEST;
  await expect(secrets.get('OF_VITEST')).rejects.toThrow(StSecretsError);
});
