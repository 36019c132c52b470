'use strict';

// A test file of Jest, run by frameworks.test.js.

/* global expect, jest, test */
const vm = require('node:vm');
const { Secrets, StSecretsError } = require('st-secrets');

const real = vm.runInThisContext('process').env;
const secrets = new Secrets({ providers: ['env'] });
const found = async (key) => (await secrets.get(key)).text();

test('a variable that the test sets is found, in both forms', async () => {
  expect(process.env.ST_OF_TEST).toBe(undefined);
  expect(secrets.getSync('ST_OF_TEST', { default: null })).toBe(null);
  process.env.ST_OF_TEST = 'value';
  expect(secrets.getSync('ST_OF_TEST').text()).toBe('value');
  expect(await found('ST_OF_TEST')).toBe('value');
  expect((await Secrets.default.get('ST_OF_TEST')).text()).toBe('value');
});

test('a variable that the test deletes is not found, and comes back', async () => {
  expect(await found('HF_TOKEN')).toBe('hf_from_the_environment');
  delete process.env.HF_TOKEN;
  await expect(secrets.get('HF_TOKEN')).rejects.toThrow(/HF_TOKEN is not set/);
  await expect(secrets.get('HF_TOKEN')).rejects.toBeInstanceOf(StSecretsError);
  process.env.HF_TOKEN = 'another';
  expect(await found('HF_TOKEN')).toBe('another');
});

test('calls of two copies of the module at once see the same', async () => {
  jest.resetModules();
  const again = new (require('st-secrets').Secrets)({ providers: ['env'] });
  process.env.ST_OF_TEST = 'for both';
  const all = await Promise.all([secrets, again, secrets].map((each) => each.get('ST_OF_TEST')));
  expect(all.map((secret) => secret.text())).toEqual(['for both', 'for both', 'for both']);
});

test('nothing is left in the real environment', async () => {
  await new Promise(setImmediate);
  expect([real.ST_OF_TEST, real.HF_TOKEN]).toEqual([undefined, 'hf_from_the_environment']);
});
