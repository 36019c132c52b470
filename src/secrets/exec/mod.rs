//! The output of a program: `sops`, `pass`, a command of a cloud, a script. A program is run only if `providers` of the
//! configuration names it.

#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod output;
mod quote;
mod settings;
mod source;

pub(crate) use source::ExecSource;
