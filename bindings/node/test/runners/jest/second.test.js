const { Secrets, StSecretsError } = require('st-secrets');
const secrets = new Secrets({ providers: ['env'] });

test('the library sees process.env as the test does', async () => {
  process.env.OF_SECOND = 'one';
  expect((await secrets.get('OF_SECOND')).text()).toBe('one');
  process.env.OF_SECOND = 'two';
  expect(secrets.getSync('OF_SECOND').text()).toBe('two');
  delete process.env.OF_SECOND;
  await expect(secrets.get('OF_SECOND')).rejects.toThrow(StSecretsError);
  process.env.OF_SECOND = 'left';
});

test('it does not see what another file of tests has set', async () => {
  await expect(secrets.get('OF_FIRST')).rejects.toThrow(StSecretsError);
});
