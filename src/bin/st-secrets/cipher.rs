//! `encrypt`, `decrypt` and `key`: credentials at rest, in the form of SimpleTuner.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use st_secrets::Cipher;

use crate::arguments::{Common, Decrypt, Encrypt, Key, KeyCommand};
use crate::failure::{Failure, Outcome};
use crate::{config, prompt, store, terminal, value};

pub(crate) fn open(common: &Common) -> Result<Cipher, Failure> {
    Ok(Cipher::open(&config::load(common)?)?)
}

/// The text is what stdin holds, without a final line break, or what is typed.
pub(crate) fn encrypt(common: &Common, encrypt: &Encrypt) -> Outcome {
    value::refuse_argument(&encrypt.refused, "st-secrets encrypt")?;
    let cipher = open(common)?;
    let text = prompt::read_value("Text to encrypt")?;
    let mut token = cipher.encrypt(&text)?.to_vec();
    token.push(b'\n');
    terminal::write_value(&token)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn decrypt(common: &Common, decrypt: &Decrypt) -> Outcome {
    value::refuse_argument(&decrypt.refused, "st-secrets decrypt")?;
    terminal::refuse_to_show(decrypt.show, "st-secrets decrypt")?;
    if io::stdin().is_terminal() {
        return Err(Failure::usage("no token is given; write: st-secrets decrypt < FILE"));
    }
    let cipher = open(common)?;
    let text = cipher.decrypt(prompt::read_stdin()?.trim_ascii())?;
    terminal::write_value(&text)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn key(common: &Common, key: &Key) -> Outcome {
    match key.command {
        KeyCommand::Rotate => store::rotate_key(common, &open(common)?),
    }
}
