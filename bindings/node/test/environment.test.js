'use strict';

// `process.env` may be a copy, as in the files of tests that Jest runs.

const assert = require('node:assert/strict');
const test = require('node:test');
const { sleep, st, status, world } = require('./support.js');

const { Secrets } = st;

/** Replaces `process.env` by a copy until the end of the test. Returns the environment of the process. */
function copied(t) {
  const real = process.env;
  process.env = { ...real };
  t.after(() => {
    process.env = real;
  });
  return real;
}

test('a copy of process.env counts during a call, and only then', async (t) => {
  world(t, { KEPT: 'kept', REMOVED: 'there' });
  const real = copied(t);
  const secrets = new Secrets({ providers: ['env'] });
  process.env.ADDED = 'added';
  process.env.KEPT = 'changed';
  delete process.env.REMOVED;
  process.env.NOTHING = undefined;
  assert.equal(secrets.getSync('ADDED').text(), 'added');
  assert.equal((await secrets.get('KEPT')).text(), 'changed');
  await assert.rejects(secrets.get('REMOVED'), status('ST_NOT_FOUND'));
  assert.throws(() => secrets.getSync('NOTHING'), status('ST_NOT_FOUND'));
  assert.throws(() => secrets.getSync(''), status('ST_INVALID_ARGUMENT'));
  assert.deepEqual([real.ADDED, real.KEPT, real.REMOVED, real.NOTHING], [undefined, 'kept', 'there', undefined]);
});

test('calls at the same time see what was set when they began', async (t) => {
  world(t);
  const real = copied(t);
  const secrets = new Secrets({ providers: ['env'] });
  secrets.addProvider('slow', () => sleep(0.01).then(() => 'late'));
  process.env.FIRST = '1';
  const found = [secrets.get('FIRST'), secrets.get('OTHER')];
  process.env.SECOND = '2';
  found.push(secrets.get('SECOND'));
  assert.deepEqual((await Promise.all(found)).map((secret) => secret.text()), ['1', 'late', '2']);
  assert.deepEqual([real.FIRST, real.SECOND], [undefined, undefined]);
});

test('the home directory comes from a copy, too', (t) => {
  const { directory, write } = world(t);
  write('other/.simpletuner/secrets.json', '{"A": "of the file"}');
  copied(t);
  process.env.HOME = `${directory}/other`;
  assert.equal(new Secrets({ providers: ['file'] }).getSync('A').text(), 'of the file');
});
