'use strict';

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const { once } = require('node:events');
const net = require('node:net');
const path = require('node:path');
const { PassThrough } = require('node:stream');
const test = require('node:test');
const { sleep, st, status, world } = require('./support.js');

const { RedactingTransform, Redactor, redactOutput } = st;
const VALUE = 'CANARY-ä1234';

function redactorWith(settings) {
  const redactor = new Redactor(settings);
  redactor.add(VALUE, { name: 'NAME' });
  return redactor;
}

test('values and their forms are replaced', () => {
  const redactor = redactorWith({ redact_with: '<{name}>' });
  assert.equal(redactor.redact(`a ${VALUE} b ${encodeURIComponent(VALUE)} ${JSON.stringify(VALUE)}`), 'a <NAME> b <NAME> "<NAME>"');
  assert.deepEqual(redactor.redact(Buffer.from(Buffer.from(VALUE).toString('hex'))), Buffer.from('<NAME>'));
  assert.deepEqual([redactor.add('short'), redactor.add(Buffer.from('long enough'))], [false, true]);
  assert.equal(redactor.redact('short, long enough'), 'short, <secret>');
  assert.throws(() => new Redactor({ redact_min: 1 }), status('ST_CONFIG'));
  assert.throws(() => redactor.redact(5), TypeError);
  redactor.close();
  assert.throws(() => redactor.redact('x'), status('ST_INVALID_ARGUMENT'));
});

test('a transform redacts over chunks', async () => {
  const transform = new RedactingTransform({ redactor: redactorWith() });
  let text = '';
  transform.setEncoding('utf8').on('data', (chunk) => {
    text += chunk;
  });
  for (const byte of Buffer.from(`a ${VALUE} b\n`)) transform.write(Buffer.of(byte));
  transform.write('CAN');
  transform.end();
  await once(transform, 'end');
  assert.equal(text, 'a *** b\nCAN');
});

test('a transform passes on after a pause what may begin a value', async () => {
  const transform = new RedactingTransform({ redactor: redactorWith() });
  transform.write('prompt C');
  let text = '';
  for await (const chunk of transform) {
    text += chunk;
    if (text === 'prompt C') break;
  }
});

test('a transform holds back the beginning of a value while the rest waits to be written', async () => {
  const transform = new RedactingTransform({ redactor: redactorWith() });
  transform.write('CANA');
  transform.cork();
  transform.write(VALUE.slice(4));
  await sleep(0.2);
  transform.end();
  assert.equal((await transform.toArray()).join(''), '***');
});

test('a transform holds back the beginning of a value while its reader is slow', async () => {
  const transform = new RedactingTransform({ redactor: redactorWith() });
  transform.write('a CANA');
  await sleep(0.2);
  transform.end(VALUE.slice(4));
  assert.equal((await transform.toArray()).join(''), 'a ***');
});

test('a transform reads what has arrived before it passes on the beginning of a value', async (t) => {
  const server = net.createServer().listen(path.join(world(t).directory, 'socket'));
  t.after(() => server.close());
  await once(server, 'listening');
  const writer = net.connect(server.address());
  const [reader] = await once(server, 'connection');
  const transform = reader.pipe(new RedactingTransform({ redactor: redactorWith() }));
  let text = '';
  transform.setEncoding('utf8').on('data', (chunk) => {
    if (text === '') {
      // More arrives while the event loop is busy for longer than the pause.
      writer.end(`${VALUE.slice(4)} b\n`);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
    }
    text += chunk;
  });
  writer.write('a CANA');
  await once(transform, 'end');
  assert.equal(text, 'a *** b\n');
});

test('a transform that nobody reads does not keep the process alive', () => {
  const program = `
    const { Redactor, RedactingTransform } = require('st-secrets');
    const redactor = new Redactor();
    redactor.add('CANARY-1234');
    new RedactingTransform({ redactor }).write('a C');
    const read = new RedactingTransform({ redactor });
    read.write('a C');
    setTimeout(() => read.on('data', (text) => process.stdout.write(text)), 225);`;
  assert.equal(execFileSync(process.execPath, ['-e', program], { cwd: __dirname, encoding: 'utf8', timeout: 60_000 }), 'a C');
});

test('output is redacted until the hook is removed', async () => {
  const stream = new PassThrough();
  const end = redactOutput({ redactor: redactorWith(), streams: [stream] });
  const log = new console.Console(stream);
  log.log('token', VALUE);
  log.log({ token: VALUE });
  await new Promise((resolve) => stream.write(VALUE, 'utf8', resolve));
  stream.write('CAN');
  end();
  assert.equal(Object.hasOwn(stream, 'write'), false);
  stream.write('X');
  const text = stream.read().toString();
  assert.equal(text, "token ***\n{ token: '***' }\n***CANX");
});

test('what ends a stream is redacted too', async () => {
  const ends = [
    ['held', (stream, done) => stream.write('CAN') && stream.end(done), 'CAN'],
    ['text', (stream, done) => stream.end(`a ${VALUE} C`, done), 'a *** C'],
    ['encoded', (stream, done) => stream.end(Buffer.from(VALUE).toString('base64'), 'base64', done), '***'],
    ['bytes', (stream, done) => stream.end(Buffer.from(VALUE), done), '***'],
    ['bytes with an encoding', (stream, done) => stream.end(Buffer.from(VALUE), 'hex', done), '***'],
    ['over writes', (stream, done) => stream.write('CANA') && stream.end(VALUE.slice(4), 'utf8', done), '***'],
  ];
  for (const [name, end, expected] of ends) {
    const stream = new PassThrough();
    const undo = redactOutput({ redactor: redactorWith(), streams: [stream] });
    await new Promise((resolve) => end(stream, resolve));
    assert.equal(stream.read()?.toString(), expected, name);
    undo();
    assert.deepEqual([Object.hasOwn(stream, 'write'), Object.hasOwn(stream, 'end')], [false, false]);
  }
});

test('a hook below another stays, and own functions are restored', () => {
  const stream = new PassThrough();
  const own = { write: stream.write, end: stream.end };
  Object.assign(stream, own);
  const undo = redactOutput({ redactor: redactorWith(), streams: [stream] });
  const hooked = stream.write;
  const { end } = stream;
  stream.end = () => {};
  undo();
  assert.equal(stream.write, hooked);
  stream.end = end;
  undo();
  assert.deepEqual([stream.write, stream.end], [own.write, own.end]);
});

test('the redactor of the process replaces what the library returned', (t) => {
  world(t, { TOKEN: VALUE });
  const program = `
    const { Redactor, Secrets, redactOutput } = require('st-secrets');
    Redactor.start({ redact_with: '<{name}>' });
    try { Redactor.start({}); } catch (error) { console.log(error.code); }
    redactOutput();
    console.log(Secrets.default.getSync('TOKEN').text());
    console.error(Redactor.default.redact('x'));
    process.stdout.write('the end, C');
    process.exit();`;
  const printed = execFileSync(process.execPath, ['-e', program], { cwd: __dirname, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  assert.equal(printed, 'ST_CONFIG\n<TOKEN>\nthe end, C');
});
