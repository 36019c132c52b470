//! `get`, `set` and `delete`: one secret.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::arguments::{Common, Delete, Get, Set};
use crate::failure::{Failure, MISSING, Outcome};
use crate::secrets::{Secrets, warn_of_doubt};
use crate::{prompt, secrets, terminal};

pub(crate) fn get(common: &Common, get: &Get) -> Outcome {
    terminal::refuse_to_show(get.show, "st-secrets get NAME")?;
    let secret = Secrets::open(common)?.get(&get.name)?;
    warn_of_doubt(&get.name, &secret);
    terminal::write_value(secret.value())?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn set(common: &Common, set: &Set) -> Outcome {
    refuse_argument(&set.refused, "st-secrets set NAME")?;
    secrets::check_name(&set.name)?;
    let secrets = Secrets::open(common)?;
    let value = read(&format!("Value of {}", set.name))?;
    secrets.set(&set.name, &value)?;
    Ok(ExitCode::SUCCESS)
}

/// A value for a secret, which has at least a byte.
pub(crate) fn read(prompt: &str) -> Result<Vec<u8>, Failure> {
    let value = prompt::read_value(prompt)?;
    match value.is_empty() {
        true => Err(Failure::usage("the value is empty; to remove a secret, write: st-secrets delete NAME")),
        false => Ok(value),
    }
}

/// A value among the arguments is visible to all users and in the shell's history. It is not repeated here.
pub(crate) fn refuse_argument(refused: &[OsString], command: &str) -> Result<(), Failure> {
    match refused.is_empty() {
        true => Ok(()),
        false => Err(Failure::usage(format!(
            "a value is never an argument, where other users and the shell's history see it; pipe it into: {command}"
        ))),
    }
}

pub(crate) fn delete(common: &Common, delete: &Delete) -> Outcome {
    let secrets = Secrets::open(common)?;
    let deleted = secrets.delete(&delete.name)?;
    if deleted.is_empty() {
        return Err(Failure::new(MISSING, format!("{} has no secret {:?}", secrets.file(), delete.name)));
    }
    for key in deleted {
        terminal::note(&format!("{key} is deleted from {}", secrets.file()));
    }
    Ok(ExitCode::SUCCESS)
}
