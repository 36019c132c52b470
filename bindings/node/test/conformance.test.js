'use strict';

// The results that every binding must return: tests/vectors/conformance.json, with and without promises.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');
const { sleep, st, world } = require('./support.js');

const VECTORS = path.join(__dirname, '../../../tests/vectors');
const SOURCES = ['none', 'env', 'file', 'aws', 'vault', 'custom', 'store', 'encryption', 'huggingface', 'exec'];
SOURCES[10] = 'google';
SOURCES[11] = 'azure';
SOURCES[12] = 'kubernetes';
SOURCES[13] = 'onepassword';
SOURCES[14] = 'infisical';
SOURCES[15] = 'aws_parameters';
SOURCES[16] = 'credentials';
const STATUSES = ['ST_NOT_FOUND', 'ST_INVALID_ARGUMENT', 'ST_CONFIG', 'ST_IO', 'ST_ACCESS_DENIED', 'ST_UNAVAILABLE', 'ST_TIMEOUT'];

/** The variables of AWS and Vault that tests/python/conformance_servers.py sets. */
const SERVERS = Object.fromEntries(
  Object.entries(process.env)
    .filter(([name]) => name.startsWith('CONFORMANCE_'))
    .map(([name, value]) => [name.slice('CONFORMANCE_'.length), value]),
);

const errorWith = (code) => new st.StSecretsError(-1 - STATUSES.indexOf(code), code, 'an answer of the test');
const origin = ({ provider, source, ...flags }) => {
  const info = ['stale', 'cached', 'degraded', 'shared'].filter((name) => flags[name]);
  return { provider, source: SOURCES.indexOf(source), info };
};
const orNotFound = (value) => {
  if (value === undefined) throw errorWith('ST_NOT_FOUND');
  return { value };
};

/** The state of a case: its directory and open handles. */
class World {
  constructor(directory, isSync) {
    this.directory = directory;
    this.isSync = isSync;
    this.provider_cache = st.Cache.providerConfig;
    this.user_cache = st.Cache.userPermission;
  }

  async open({ secrets, cache, cipher, store }) {
    this.opened = secrets;
    const settings = (of) => Object.fromEntries(Object.entries(of).map(([name, value]) => [name, this.place(value)]));
    if (secrets) this.secrets = new st.Secrets(settings(secrets));
    if (cache) this.cache = new st.Cache({ defaultTtl: cache.default_ttl, maxSize: cache.max_size, cleanupInterval: cache.cleanup_interval });
    if (store) this.store = new st.Store(settings(store));
    if (cipher) this.cipher = this.isSync ? new st.Cipher(settings(cipher)) : await st.Cipher.open(settings(cipher));
  }

  place(text) {
    if (typeof text !== 'string') return text;
    const names = { DIR: this.directory, HOME: path.join(this.directory, 'home'), ...SERVERS };
    return text.replace(/^\$([A-Z_]+)/, (whole, name) => names[name] ?? whole);
  }

  path(name) {
    return path.resolve(this.directory, this.place(name));
  }

  write({ path: name, text, mode }) {
    const file = this.path(name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, text);
    fs.chmodSync(file, parseInt(mode, 8));
  }

  /** Calls a method, or its form without a promise. */
  call(object, method, ...args) {
    return this.isSync && object[`${method}Sync`] ? object[`${method}Sync`](...args) : object[method](...args);
  }

  async secret(method, ...args) {
    const secret = await this.call(this.secrets, method, ...args);
    return { value: secret.bytes(), ...origin(secret.info) };
  }

  /** Gets a secret in another process, which opens a manager of its own. */
  secretOfProcess(key) {
    const script = `
      const { Secrets } = require('st-secrets');
      const secret = new Secrets(JSON.parse(process.argv[1])).getSync(process.argv[2]);
      console.log(JSON.stringify({ value: secret.text(), info: secret.info }));`;
    const settings = Object.fromEntries(Object.entries(this.opened).map(([name, value]) => [name, this.place(value)]));
    const answer = execFileSync(process.execPath, ['-e', script, JSON.stringify(settings), key], { cwd: __dirname });
    const { value, info } = JSON.parse(answer);
    return { value, ...origin(info) };
  }

  /** Returns how many requests AWS has logged since the last call. */
  awsRequests() {
    const all = fs.readFileSync(SERVERS.AWS_LOG, 'utf8').split('"POST / HTTP/1.1"').length - 1;
    const since = all - (this.requestsBefore ?? 0);
    this.requestsBefore = all;
    return since;
  }

  async doInStore(step) {
    const { store, cipher, secrets } = this;
    const { provider, json, filter, hardware_id: hardwareId } = step;
    const which = { userId: step.user_id, provider, name: step.name, globalKey: step.global_key };
    const text = { text: true };
    switch (step.do.slice('store.'.length)) {
      case 'config_get': return { value: await this.call(store, 'getProviderConfig', provider, text) };
      case 'config_save': return this.call(store, 'saveProviderConfig', provider, json);
      case 'config_update': return this.call(store, 'updateProviderConfig', provider, json);
      case 'config_delete': return { existed: await this.call(store, 'deleteProviderConfig', provider) };
      case 'webhook_get': return { value: await this.call(store, 'getProviderWebhook', provider, text) };
      case 'cost_limit_get': return { value: await this.call(store, 'getProviderCostLimit', provider, text) };
      case 'hardware_get': return { value: await this.call(store, 'getHardwareInfo', text) };
      case 'hardware_set': return this.call(store, 'setHardwareInfo', json);
      case 'hardware_clear': return this.call(store, 'clearHardwareInfo');
      case 'hardware_cost': return { number: await this.call(store, 'hardwareCostPerHour', hardwareId) };
      case 'credential_set': return this.call(store, 'setCredential', which, step.value, { cipher });
      case 'credential_get': return { value: (await this.call(store, 'getCredential', which, { cipher })).text() };
      case 'credential_delete': return { existed: await this.call(store, 'deleteCredential', which) };
      case 'credential_resolve': {
        const { source, secret } = await this.call(store, 'resolveCredential', which, { cipher, secrets });
        return { value: secret.text(), origin: { user: 1, global: 2 }[source] };
      }
      case 'audit_log': {
        const { event_type: eventType, action, target_type: targetType, target_id: targetId, details } = step;
        return { id: await this.call(store, 'logAudit', { eventType, action, targetType, targetId, details }) };
      }
      case 'audit_query': return { ids: (await this.call(store, 'queryAudit', filter)).map(({ id }) => id) };
      case 'audit_verify': {
        const { broken_id } = await this.call(store, 'verifyAudit', { first: step.first, last: step.last });
        return { broken_id: broken_id ?? 0 };
      }
      default: throw new Error(`no such step: ${step.do}`);
    }
  }

  async do(step) {
    const { secrets, cipher, cache } = this;
    if (step.do.startsWith('store.')) return this.doInStore(step);
    const ttl = step.ttl === 'inf' ? Infinity : step.ttl;
    switch (step.do) {
      case 'secrets.get': return { value: (await this.secret('get', step.key)).value };
      case 'secrets.get_with':
        return this.secret('get', step.key, { refresh: step.flags.includes('refresh'), cachedOnly: step.flags.includes('cached_only') });
      case 'secrets.get_many':
        return {
          results: (await this.call(secrets, 'getMany', step.keys)).map(({ value, reason }) =>
            value ? { value: value.text() } : { status: reason.code },
          ),
        };
      case 'secrets.set': return this.call(secrets, 'set', step.key, step.value);
      case 'secrets.set_replicate_token': return secrets.setReplicateToken(step.value);
      case 'secrets.delete': return { existed: await this.call(secrets, 'delete', step.key) };
      case 'secrets.refresh': return this.call(secrets, 'refresh');
      case 'secrets.prefetch': return this.call(secrets, 'prefetch');
      case 'secrets.clear_cache': return secrets.clearCache();
      case 'secrets.share': {
        const { share, documents } = await this.call(secrets, 'share');
        return { value: share, count: documents.length };
      }
      case 'process.get_with': return this.secretOfProcess(step.key);
      case 'aws.requests': return { count: this.awsRequests() };
      case 'secrets.file_path': return { value: await this.call(secrets, 'filePath') };
      case 'secrets.get_replicate_token': return { value: (await secrets.getReplicateToken()).bytes() };
      case 'secrets.get_hf_token': return { value: (await secrets.getHfToken()).bytes() };
      case 'secrets.get_webhook_secret': return { value: (await secrets.getWebhookSecret()).bytes() };
      case 'secrets.add_provider': {
        const answer = (key) => {
          const { status, value } = step.answers[key] ?? {};
          if (status) throw errorWith(status);
          return value;
        };
        const get = this.isSync ? answer : async (key) => answer(key);
        return secrets.addProvider(step.name, get, step.position === 'last' ? {} : { position: step.position });
      }
      case 'file.read': return { value: fs.readFileSync(this.path(step.path), 'utf8') };
      case 'file.mode': return { value: (fs.statSync(this.path(step.path)).mode & 0o7777).toString(8) };
      case 'file.write': return this.write(step);
      case 'env.set':
        if (step.value === null) delete process.env[step.name];
        else process.env[step.name] = step.value;
        return {};
      case 'sleep': return sleep(step.seconds);
      case 'cache.set': case 'provider_cache.set': case 'user_cache.set':
        return this[step.do.split('.')[0]].set(step.key, step.value, ttl);
      case 'cache.get': case 'provider_cache.get': case 'user_cache.get':
        return orNotFound(this[step.do.split('.')[0]].get(step.key));
      case 'cache.delete': return { existed: cache.delete(step.key) };
      case 'cache.clear': return { count: cache.clear() };
      case 'cache.invalidate_prefix': return { count: cache.invalidatePrefix(step.prefix) };
      case 'cache.stats': {
        const stats = cache.stats();
        const names = { entries: 'size', max_size: 'maxSize', default_ttl: 'defaultTtl' };
        return { stats: Object.fromEntries(Object.keys(step.expect.stats).map((name) => [name, stats[names[name] ?? name]])) };
      }
      case 'cache.get_or_load': {
        let loaded = false;
        const load = async () => {
          loaded = true;
          if (step.load.status) throw errorWith(step.load.status);
          return step.load.value;
        };
        return cache.getOrLoad(step.key, load).then((value) => ({ value, loaded }), () => ({ failed: true, loaded }));
      }
      case 'invalidate_provider': return { count: st.Cache.invalidateProvider(step.provider) };
      case 'invalidate_user': return { count: st.Cache.invalidateUser(step.user_id) };
      case 'cipher.decrypt': return { value: (await this.call(cipher, 'decrypt', step.token)).bytes() };
      case 'cipher.round_trip': {
        const token = await this.call(cipher, 'encrypt', step.value);
        return { value: (await this.call(cipher, 'decrypt', token)).text(), length: token.length };
      }
      case 'cipher.reencrypt': {
        const { token, changed } = await this.call(cipher, 'reencrypt', step.token);
        return { changed, value: (await this.call(cipher, 'decrypt', token)).text() };
      }
      case 'cipher.rotate_key': return this.call(cipher, 'rotateKey');
      default: throw new Error(`no such step: ${step.do}`);
    }
  }

  check(answer, { hex, value, ...expected }) {
    if (hex !== undefined) assert.deepEqual(answer.value, Buffer.from(hex, 'hex'));
    if (value !== undefined) assert.equal(String(answer.value), this.place(value));
    for (const [name, each] of Object.entries({ status: 'ST_OK', ...expected })) assert.deepEqual(answer[name], each, name);
  }
}

async function outcome(action) {
  try {
    return { status: 'ST_OK', ...(await action()) };
  } catch (error) {
    if (!(error instanceof st.StSecretsError)) throw error;
    return { status: error.code, source: SOURCES.indexOf(error.source) };
  }
}

for (const isSync of [false, true]) {
  for (const { name, env, files, open, steps, servers } of JSON.parse(fs.readFileSync(`${VECTORS}/conformance.json`)).cases) {
    const skip = servers && Object.keys(SERVERS).length === 0 ? 'run it by test.sh, which starts the servers' : false;
    test(`${name} (${isSync ? 'at once' : 'with promises'})`, { skip }, async (t) => {
      const { directory } = world(t);
      process.env.HOME = path.join(directory, 'home');
      fs.mkdirSync(process.env.HOME);
      const place = new World(directory, isSync);
      for (const [variable, value] of Object.entries(env ?? {})) process.env[variable] = place.place(value);
      for (const [file, how] of Object.entries(files ?? {})) place.write({ path: file, ...how });
      const { expect = {}, ...opened } = open;
      place.check(await outcome(() => place.open(opened)), expect);
      for (const [number, step] of steps.entries()) {
        await t.test(`${number + 1}: ${step.do}`, async () => place.check(await outcome(() => place.do(step)), step.expect ?? {}));
      }
    });
  }
}

test('function key vectors', () => {
  const argument = (value) => {
    if (Array.isArray(value)) return value.map(argument);
    if (typeof value !== 'object' || value === null) return value;
    if ('float' in value) return new st.Float({ nan: NaN, inf: Infinity, '-inf': -Infinity }[value.float] ?? value.float);
    if ('bytes' in value) return Buffer.from(value.bytes, 'hex');
    return Object.fromEntries(Object.entries(value.map).map(([name, each]) => [name, argument(each)]));
  };
  // Integers beyond 2^53 are converted to bigints; JSON.parse would round them.
  const text = fs.readFileSync(`${VECTORS}/function_keys.json`, 'utf8').replace(/(?<=[[,] ?)-?\d{17,}(?=[,\]])/g, '{"big": "$&"}');
  const read = (_, value) => (typeof value?.big === 'string' ? BigInt(value.big) : value);
  for (const { prefix, function: name, args, named, key } of JSON.parse(text, read).vectors) {
    const arguments_ = args.map((arg) => (typeof arg === 'bigint' ? arg : argument(arg)));
    const byName = Object.fromEntries(Object.entries(named ?? {}).map(([each, arg]) => [each, argument(arg)]));
    assert.equal(st.functionKey(prefix, name, arguments_, byName), key);
    if (!named) assert.equal(st.cached(() => 1, { keyPrefix: prefix, name }).key(...arguments_), key);
  }
});
