'use strict';

const assert = require('node:assert/strict');
const http = require('node:http');
const path = require('node:path');
const test = require('node:test');
const { st, status, world } = require('./support.js');

const { Cipher, Secrets, Store } = st;

test('the configuration of a provider is saved, updated, listed and removed', async (t) => {
  const { directory } = world(t);
  const store = new Store({ state_dir: directory });
  assert.deepEqual(await store.getProviderConfig('replicate'), {});
  await store.saveProviderConfig('replicate', { webhook_url: 'https://x', nested: { a: [1] } });
  store.updateProviderConfigSync('replicate', { cost_limit_enabled: true });
  assert.deepEqual(store.getProviderConfigSync('replicate'), { webhook_url: 'https://x', nested: { a: [1] }, cost_limit_enabled: true });
  assert.equal((await store.getProviderWebhook('replicate')).webhook_url, 'https://x');
  assert.equal((await store.getProviderCostLimit('replicate')).cost_limit_enabled, true);
  assert.deepEqual((await store.listProviderConfigs()).map(({ provider }) => provider), ['replicate']);
  assert.equal(await store.deleteProviderConfig('replicate'), true);
  assert.equal(store.deleteProviderConfigSync('replicate'), false);
});

test('hardware prices can be set and cleared', async (t) => {
  const { directory } = world(t);
  const store = new Store({ state_dir: directory });
  assert.equal((await store.getHardwareInfo())['gpu-l40s'].name, 'L40S (48GB)');
  assert.equal(await store.hardwareCostPerHour('gpu-l40s'), 3.51);
  await store.setHardwareInfo({ mine: { name: 'Mine', cost_per_second: 1 } });
  assert.equal(store.hardwareCostPerHourSync('mine'), 3600);
  await store.clearHardwareInfo();
  await assert.rejects(store.hardwareCostPerHour('mine'), status('ST_NOT_FOUND'));
});

test('a credential is stored encrypted and precedes the shared secret', async (t) => {
  const { directory } = world(t, { REPLICATE_API_TOKEN: 'shared' });
  const store = new Store({ state_dir: directory });
  const cipher = new Cipher({ key_file: `${directory}/credential.key` });
  const secrets = new Secrets({ providers: ['env'] });
  const which = { userId: 7, provider: 'replicate', name: 'api_token', globalKey: 'REPLICATE_API_TOKEN' };

  const before = await store.resolveCredential(which, { cipher, secrets });
  assert.deepEqual([before.source, before.secret.text()], ['global', 'shared']);
  await store.setCredential(which, 'own', { cipher });
  assert.equal((await store.getCredential(which, { cipher })).text(), 'own');
  const after = store.resolveCredentialSync(which, { cipher, secrets });
  assert.deepEqual([after.source, after.secret.text()], ['user', 'own']);
  const [listed] = await store.listCredentials({ userId: 7 });
  assert.deepEqual([listed.name, listed.encrypted, JSON.stringify(listed).includes('own')], ['api_token', true, false]);

  await store.rotateCredentials({ cipher });
  assert.equal(store.getCredentialSync(which, { cipher }).text(), 'own');
  const report = await store.reencryptCredentials({ cipher, plain: true });
  assert.deepEqual([report.total, report.unchanged, report.unreadable], [1, 1, []]);
  assert.equal(await store.deleteCredential(which), true);
  await assert.rejects(store.getCredential(which, { cipher }), status('ST_NOT_FOUND'));
});

test('every change is in the audit trail, with its actor', async (t) => {
  const { directory } = world(t);
  const store = new Store({ state_dir: directory });
  const admin = store.as({ userId: 7, username: 'ada', ip: '127.0.0.1' });
  await admin.saveProviderConfig('replicate', { a: 1 });
  const id = await admin.logAudit({ eventType: 'config.changed', action: 'tested', targetType: 'test', targetId: '1', details: { n: 1 } });
  const [last, first] = await store.queryAudit({ actor_username: 'ada' });
  assert.deepEqual([last.id, last.action, first.event_type], [id, 'tested', 'provider.configured']);
  const report = await store.verifyAudit();
  assert.deepEqual([report.entries_checked, report.valid, report.first_id, report.last_id], [2, true, 1, 2]);
  await assert.rejects(store.queryAudit({ acton: 'x' }), /action/);
});

test('the audit trail is counted, exported, sent and cut', async (t) => {
  const { directory } = world(t);
  const store = new Store({ state_dir: directory });
  assert.equal(Store.auditEventTypes().length, 27);
  await store.logAudit({ eventType: 'auth.login.failed', action: 'login' });
  await store.logAudit({ eventType: 'job.submitted', action: 'submit' });
  const stats = await store.auditStats();
  assert.deepEqual([stats.total_entries, stats.by_type['job.submitted'], stats.last_24h], [2, 1, 2]);
  const { text, lastId } = await store.exportAudit({ event_types: ['job.submitted'] });
  assert.deepEqual([JSON.parse(text).action, lastId], ['submit', 2]);
  assert.match(store.exportAuditSync(undefined, { format: 'csv' }).text, /^id,timestamp,/);
  assert.throws(() => store.exportAuditSync(undefined, { format: 'xml' }), TypeError);

  const bodies = [];
  const server = http.createServer(async (request, response) => {
    let body = '';
    for await (const part of request) body += part;
    bodies.push(JSON.parse(body));
    response.end();
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  t.after(() => server.close());
  const webhook = { url: `http://127.0.0.1:${server.address().port}/`, token: 'a token', security_only: true, timeout: 60 };
  assert.equal(await store.sendAudit(undefined, webhook), 2);
  assert.deepEqual(bodies.map((body) => body.simpletuner.event_type), ['auth.login.failed']);

  assert.equal((await store.retainAudit(30)).removed, 0);
  await assert.rejects(store.retainAudit(-1), status('ST_INVALID_ARGUMENT'));
});

test('a backup is a store of its own', async (t) => {
  const { directory } = world(t);
  const store = new Store({ state_dir: directory });
  await store.saveProviderConfig('replicate', { a: 1 });
  const { reason, database } = store.describe();
  assert.deepEqual([reason, database], ['state_dir', path.join(directory, 'cloud', 'jobs.db')]);
  const to = path.join(directory, 'backup.db');
  await store.backup(to);
  await assert.rejects(store.backup(to), status('ST_IO'));
  store.backupSync(to, { replace: true });
  await store.backup(path.join(directory, 'trail.db'), { database: 'audit' });
  assert.deepEqual(new Store({ database: to }).getProviderConfigSync('replicate'), { a: 1 });
  await assert.rejects(store.backup(to, { database: 'jobs' }), TypeError);
});

test('NaN as written by Python is read, and text is unchanged', async (t) => {
  const { directory } = world(t);
  const store = new Store({ state_dir: directory });
  const text = '{"a": NaN, "b": [-Infinity, 1.50], "c": "NaN \\" Infinity", "d": 12345678901234567890}';
  await store.saveProviderConfig('p', text);
  const { a, b, c } = await store.getProviderConfig('p');
  assert.deepEqual({ a, b, c }, { a: NaN, b: [-Infinity, 1.5], c: 'NaN " Infinity' });
  assert.equal(await store.getProviderConfig('p', { text: true }), text);
  assert.equal(store.getProviderConfigSync('p', { text: true }), text);
});
