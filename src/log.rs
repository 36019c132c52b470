//! Logging. The library passes its log messages to a sink of the program and prints nothing itself.
//!
//! A message names providers, files and keys, but never contains a value. The sink is called on the thread whose call
//! is being logged, with no lock held. It may call the library; messages that the library would log meanwhile are
//! dropped.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use crate::error::Error;
use crate::fork;
use crate::fork_safe::RwLock;

/// The level of a message. The numbers are those of `ST_LOG_…` in the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Level {
    /// An operation failed.
    Error = 1,
    /// Something is wrong but was worked around: a provider was skipped, a file is readable by other users.
    Warn = 2,
    /// Something changed that later calls see: a file was read again.
    Info = 3,
    /// Which provider a value came from.
    Debug = 4,
    /// Everything else.
    Trace = 5,
}

/// A message with its fields.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Record<'a> {
    /// How severe it is.
    pub level: Level,
    /// The part of the library that logs it.
    pub target: &'a str,
    /// The text, which has all that the fields have.
    pub message: &'a str,
    /// The parts of the message that a program may search for, each name once. No field has a value of a secret.
    pub fields: &'a [Field],
}

/// A part of a message: its name, such as `provider`, and its value.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Field {
    /// Lower-case letters and underscores.
    pub name: &'static str,
    /// The value.
    pub value: FieldValue,
}

/// The value of a [`Field`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FieldValue {
    /// A text.
    Text(String),
    /// An integer, such as an HTTP status.
    Integer(i64),
    /// A number, such as a time in seconds.
    Number(f64),
}

/// The fields of a message that is being logged.
#[derive(Default)]
pub(crate) struct LogFields(Vec<Field>);

impl LogFields {
    pub(crate) fn text(&mut self, name: &'static str, text: &str) {
        self.0.push(Field { name, value: FieldValue::Text(text.to_owned()) });
    }

    pub(crate) fn integer(&mut self, name: &'static str, number: i64) {
        self.0.push(Field { name, value: FieldValue::Integer(number) });
    }

    /// A time, in seconds.
    pub(crate) fn time(&mut self, name: &'static str, time: Duration) {
        self.0.push(Field { name, value: FieldValue::Number(time.as_secs_f64()) });
    }

    /// The status of an error, such as `ST_TIMEOUT`, and its detail: `errno` or an HTTP status.
    pub(crate) fn error(&mut self, error: &Error) {
        self.text("error", error.status().name());
        if error.detail() != 0 {
            self.integer("detail", error.detail().into());
        }
    }
}

type Sink = Arc<dyn Fn(&Record<'_>) + Send + Sync>;

static MAX_LEVEL: AtomicI32 = AtomicI32::new(0);
static SINK: RwLock<Option<Sink>> = RwLock::new(None);

thread_local! {
    static IN_SINK: Cell<bool> = const { Cell::new(false) };
}

/// Sets the sink, which from now on receives the messages up to `max_level`: level, part of the library, and text. The
/// earlier sink is dropped when no call of it is under way.
pub fn set(max_level: Level, sink: impl Fn(Level, &str, &str) + Send + Sync + 'static) {
    set_with_fields(max_level, move |record| sink(record.level, record.target, record.message));
}

/// As [`set`], for a sink that receives the fields of each message too.
pub fn set_with_fields(max_level: Level, sink: impl Fn(&Record<'_>) + Send + Sync + 'static) {
    replace(max_level as i32, Some(Arc::new(sink)));
}

/// Stops logging and drops the sink.
pub fn clear() {
    replace(0, None);
}

fn replace(max_level: i32, sink: Option<Sink>) {
    let _guard = fork::protect();
    MAX_LEVEL.store(max_level, Ordering::Relaxed);
    let before = std::mem::replace(&mut *SINK.write(), sink);
    fork::unprotected(|| drop(before));
}

/// Whether messages of this level are logged.
pub(crate) fn enabled(level: Level) -> bool {
    level as i32 <= MAX_LEVEL.load(Ordering::Relaxed)
}

/// Passes a message to the sink. The caller holds no lock.
pub(crate) fn emit(level: Level, target: &str, message: impl FnOnce() -> String) {
    emit_with(level, target, |_| message());
}

/// Passes a message to the sink, with the fields that `message` adds. The caller holds no lock.
pub(crate) fn emit_with(level: Level, target: &str, message: impl FnOnce(&mut LogFields) -> String) {
    if !enabled(level) || IN_SINK.get() {
        return;
    }
    let _guard = fork::protect();
    let Some(sink) = SINK.read().clone() else { return };
    let mut fields = LogFields::default();
    let message = message(&mut fields);
    pass(sink, &Record { level, target, message: &message, fields: &fields.0 });
}

fn pass(sink: Sink, record: &Record<'_>) {
    fork::unprotected(|| {
        IN_SINK.set(true);
        // A panic of the sink must not fail the call, nor be printed by the library.
        let _ = catch_unwind(AssertUnwindSafe(|| sink(record)));
        IN_SINK.set(false);
        drop(sink);
    });
}
