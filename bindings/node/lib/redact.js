'use strict';

const { Transform } = require('node:stream');
const native = require('./native.js');
const { Handle, PROCESS, handleOf, settingsText } = require('./handle.js');
const { optionsOf } = require('./options.js');
const { input } = require('./secret.js');

/** Milliseconds after which text that may be the beginning of a value is passed on. */
const PAUSE = 50;

let ofProcess;

/** Replaces values in text. */
class Redactor extends Handle {
  constructor(settings) {
    super(settings, () => native.redactorOpen(settingsText(settings)));
  }

  /** The redactor of the whole process, opened on first use. */
  static get default() {
    // Opens it: values that are returned before are not known.
    native.redact(null, '');
    ofProcess ??= new Redactor(PROCESS);
    return ofProcess;
  }

  /** Opens the redactor of the whole process with settings. */
  static start(settings) {
    native.redactorStart(settingsText(settings));
  }

  /** Adds a value. Returns whether it is long enough. */
  add(value, options) {
    const { name = null } = optionsOf(options, 'add', ['name']);
    return native.redactorAdd(handleOf(this), input(value), name);
  }

  /** Returns a string for a string, a Buffer for bytes. */
  redact(text) {
    const redacted = native.redact(handleOf(this), text);
    return typeof text === 'string' ? redacted.toString() : redacted;
  }
}

/** One text that is redacted as it is written. What may be the beginning of a value is held back for up to 50 ms. */
class Text {
  #stream;
  #put;
  #waits;
  #timer = null;
  #immediate = null;

  /** `waits` returns whether more text waits to be written, or redacted text for its reader. */
  constructor(redactor, put, waits = () => false) {
    this.#stream = native.redactStreamOpen(handleOf(redactor));
    this.#put = put;
    this.#waits = waits;
  }

  /** Returns the redacted bytes. */
  write(bytes) {
    const [redacted, held] = native.redactStreamWrite(this.#stream, bytes);
    this.#stop();
    if (held > 0) this.#start();
    return redacted;
  }

  /** Returns what is held back. */
  flush() {
    this.#stop();
    return native.redactStreamFlush(this.#stream);
  }

  /** Lets the process run until what is held back is passed on. */
  ref() {
    this.#timer?.ref();
  }

  #start() {
    // The event loop runs timers before it reads, and immediates after it.
    this.#timer = setTimeout(() => {
      this.#immediate = setImmediate(() => this.#paused());
    }, PAUSE);
  }

  #paused() {
    if (this.#waits()) {
      this.#start();
      // A process in which nothing else happens ends.
      this.#timer.unref();
    } else {
      this.#put(this.flush());
    }
  }

  #stop() {
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
  }
}

/** A stream that passes on what is written to it, with every value replaced. */
class RedactingTransform extends Transform {
  #text;

  constructor({ redactor = Redactor.default, ...options } = {}) {
    super({ ...options, decodeStrings: true, writableObjectMode: false });
    const waits = () => this.writableLength > 0 || this.readableLength > 0;
    this.#text = new Text(redactor, (bytes) => this.push(bytes), waits);
  }

  read(size) {
    const chunk = super.read(size);
    if (chunk !== null) this.#text.ref();
    return chunk;
  }

  _transform(chunk, _encoding, callback) {
    let redacted;
    try {
      redacted = this.#text.write(chunk);
    } catch (error) {
      callback(error);
      return;
    }
    callback(null, redacted.length > 0 ? redacted : undefined);
  }

  _flush(callback) {
    callback(null, this.#text.flush());
  }

  _destroy(error, callback) {
    // Ends the timer.
    this.#text.flush();
    callback(error);
  }
}

/**
 * Redacts what the program writes to `process.stdout` and `process.stderr`, and so what `console` prints. Returns a
 * function that ends this.
 */
function redactOutput(options) {
  const given = optionsOf(options, 'redactOutput', ['redactor', 'streams']);
  const { redactor = Redactor.default, streams = [process.stdout, process.stderr] } = given;
  const restore = streams.map((stream) => hook(stream, redactor));
  return () => {
    for (const each of restore) each();
  };
}

function hook(stream, redactor) {
  const { write, end } = stream;
  const own = ['write', 'end'].filter((name) => Object.hasOwn(stream, name));
  const text = new Text(redactor, (bytes) => void write.call(stream, bytes));
  const release = () => {
    const held = text.flush();
    if (held.length > 0) write.call(stream, held);
  };
  const hooked = {
    write(chunk, encoding, callback) {
      const done = typeof encoding === 'function' ? encoding : callback;
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk, typeof encoding === 'string' ? encoding : 'utf8') : chunk;
      return write.call(stream, text.write(bytes), done);
    },
    // The stream's own `end` does not call `write`.
    end(chunk, encoding, callback) {
      const done = [chunk, encoding, callback].find((each) => typeof each === 'function');
      if (typeof chunk === 'string') hooked.write(chunk, encoding);
      else if (chunk !== done && chunk != null) hooked.write(chunk);
      release();
      return end.call(stream, done);
    },
  };
  Object.assign(stream, hooked);
  process.on('exit', release);
  return () => {
    release();
    process.off('exit', release);
    // Another hook may have been installed over this one; it keeps working.
    if (stream.write !== hooked.write || stream.end !== hooked.end) return;
    delete stream.write;
    delete stream.end;
    if (own.includes('write')) stream.write = write;
    if (own.includes('end')) stream.end = end;
  };
}

module.exports = { RedactingTransform, Redactor, redactOutput };
