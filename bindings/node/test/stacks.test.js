'use strict';

// The stack of an error names the functions of the program that wait for the call.

const assert = require('node:assert/strict');
const test = require('node:test');
const { st, world } = require('./support.js');

/** What each case calls is made by this name in the stack. */
const CASES = {
  get: (secrets) => secrets.get('NOTHING'),
  'get with a signal': (secrets) => secrets.get('NOTHING', { signal: new AbortController().signal }),
  'get of one of several': (secrets) => Promise.all([secrets.get('HF_TOKEN'), secrets.get('NOTHING')]),
  set: (secrets) => secrets.set('HF_TOKEN', 'value'),
  decrypt: () => new st.Cipher({ key: 'key' }).decrypt('not a token'),
  getSync: (secrets) => secrets.getSync('NOTHING'),
};

for (const [name, call] of Object.entries(CASES)) {
  test(`the stack of an error of ${name} names the caller`, async (t) => {
    world(t, { HF_TOKEN: 'hf' });
    const secrets = new st.Secrets({ providers: ['env'] });
    async function theCaller() {
      return await call(secrets);
    }
    async function theProgram() {
      await theCaller();
    }
    await assert.rejects(theProgram(), (error) => {
      assert.ok(error instanceof st.StSecretsError);
      assert.ok(error.stack.startsWith(`StSecretsError: ${error.message}\n`), error.stack);
      assert.match(error.stack, /theCaller \(.*stacks\.test\.js.*\n.*at (async )?theProgram /);
      return true;
    });
  });
}

test('the stack of a reason of getMany names the caller', async (t) => {
  world(t);
  const secrets = new st.Secrets({ providers: ['env'] });
  async function theCaller() {
    return await secrets.getMany(['NOTHING']);
  }
  const [{ reason }] = await theCaller();
  assert.match(reason.stack, /at async theCaller /);
  assert.doesNotMatch(reason.stack, /addStack/);
});

test('a failure of a provider written in JavaScript has its own stack as the cause', async (t) => {
  world(t);
  const secrets = new st.Secrets({ providers: [] });
  secrets.addProvider('mine', function theProvider() {
    throw new Error('mine');
  });
  async function theCaller() {
    return await secrets.get('NOTHING');
  }
  await assert.rejects(theCaller(), (error) => /theCaller/.test(error.stack) && /theProvider/.test(error.cause.stack));
});
