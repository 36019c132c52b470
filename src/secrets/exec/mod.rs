//! The output of a program: `sops`, `pass`, a command of a cloud, a script. A program is run only if `providers` of the
//! configuration names it.

mod output;
mod quote;
mod settings;
mod source;

pub(crate) use source::ExecSource;
