//! The identity of a request: what is requested, where, and with which login. Processes with equal identities share a
//! slot.

use std::env;
use std::fs;
use std::io;
use std::ops::Range;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::error::Result;
use crate::secret_memory::{SecretBuffer, SecretBytes};

/// The number of the format of all files. Another number is another slot.
const FORMAT: &str = "1";

/// What is requested, where, and as which identity. Two configurations that could get different answers never have
/// equal identities.
pub(crate) struct Identity {
    /// Names and values, each after its length.
    list: Vec<u8>,
    /// The part of the list that only processes of one host have in common.
    of_host: Range<usize>,
    /// What the process logs in with; it makes the key.
    secrets: Option<SecretBytes>,
}

impl Identity {
    /// An identity of this kind: `aws`, `vault`.
    pub(crate) fn new(kind: &str) -> Identity {
        let mut identity = Identity { list: Vec::new(), of_host: 0..0, secrets: None };
        identity.add("format", FORMAT);
        identity.add("kind", kind);
        let begin = identity.list.len();
        // Between namespaces, times since the start of the machine differ, and what is at a local address.
        for name in ["time", "net"] {
            if let Ok(namespace) = fs::read_link(format!("/proc/self/ns/{name}")) {
                identity.add(&format!("{name} namespace"), namespace.as_os_str().as_encoded_bytes());
            }
        }
        identity.of_host = begin..identity.list.len();
        identity
    }

    /// The list without what only processes of one host have in common.
    pub(super) fn cluster_list(&self) -> Vec<u8> {
        [&self.list[..self.of_host.start], &self.list[self.of_host.end..]].concat()
    }

    /// Adds a part that is not secret.
    pub(crate) fn add(&mut self, name: &str, value: impl AsRef<[u8]>) {
        for bytes in [name.as_bytes(), value.as_ref()] {
            self.list.extend((bytes.len() as u32).to_le_bytes());
            self.list.extend(bytes);
        }
    }

    /// As [`Identity::add`], if there is a value.
    pub(crate) fn add_optional(&mut self, name: &str, value: Option<impl AsRef<[u8]>>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    /// Adds a part by its hash: it may be secret, but is not what the process logs in with.
    pub(crate) fn add_hash(&mut self, name: &str, value: &[u8]) {
        self.add(name, Sha256::digest(value));
    }

    /// Adds what the process logs in with. A process without it cannot read the slot.
    pub(crate) fn add_secret(&mut self, value: &[u8]) -> Result<()> {
        let mut secrets = SecretBuffer::with_capacity(256)?;
        secrets.push(self.secrets.as_deref().unwrap_or_default())?;
        secrets.push(&(value.len() as u32).to_le_bytes())?;
        secrets.push(value)?;
        self.secrets = Some(secrets.freeze());
        Ok(())
    }

    /// Adds the namespace in which processes see each other.
    pub(crate) fn add_pid_namespace(&mut self) {
        let namespace = fs::read_link("/proc/self/ns/pid").ok();
        self.add_optional("pid namespace", namespace.as_ref().map(|name| name.as_os_str().as_encoded_bytes()));
    }

    /// Adds a program with its arguments, and what its output may depend on: the directory, `PATH`, `HOME`, and the
    /// variables that `depends` selects by name.
    pub(crate) fn add_program(&mut self, words: &[String], depends: impl Fn(&[u8]) -> bool) -> io::Result<()> {
        words.iter().for_each(|word| self.add("program", word));
        self.add("directory", env::current_dir()?.as_os_str().as_encoded_bytes());
        // Containers that share may have different programs and files of the same name.
        let namespace = fs::read_link("/proc/self/ns/mnt").ok();
        self.add_optional("mount namespace", namespace.as_ref().map(|name| name.as_os_str().as_encoded_bytes()));
        let mut variables: Vec<_> = env::vars_os()
            .map(|(name, value)| (name.into_encoded_bytes(), Zeroizing::new(value.into_encoded_bytes())))
            .filter(|(name, _)| matches!(&**name, b"PATH" | b"HOME") || depends(name))
            .collect();
        variables.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (name, value) in variables {
            self.add_hash(&String::from_utf8_lossy(&name), &value);
        }
        Ok(())
    }

    pub(super) fn list(&self) -> &[u8] {
        &self.list
    }

    pub(super) fn secrets(&self) -> Option<&SecretBytes> {
        self.secrets.as_ref()
    }

    /// The name of its files: the first 32 hex digits of the hash of the list.
    pub(crate) fn id(&self) -> String {
        Sha256::digest(&self.list)[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Identity) -> bool {
        self.list == other.list && self.secrets.as_deref() == other.secrets.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_parts_make_different_ids() {
        let id = |parts: &[(&str, &str)]| {
            let mut identity = Identity::new("test");
            parts.iter().for_each(|(name, value)| identity.add(name, value));
            identity.id()
        };
        let all: [&[(&str, &str)]; 6] =
            [&[], &[("a", "")], &[("", "a")], &[("a", "b")], &[("ab", "")], &[("a", ""), ("b", "")]];
        let ids: std::collections::HashSet<_> = all.iter().map(|parts| id(parts)).collect();
        assert_eq!(ids.len(), all.len());
        assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
    }

    #[test]
    fn secrets_change_the_key_but_not_the_id() {
        let identity = |secrets: &[&[u8]]| {
            let mut identity = Identity::new("test");
            secrets.iter().for_each(|secret| identity.add_secret(secret).unwrap());
            identity
        };
        let all = [identity(&[]), identity(&[b"ab"]), identity(&[b"a", b"b"]), identity(&[b""])];
        for (at, one) in all.iter().enumerate() {
            assert_eq!(one.id(), all[0].id());
            assert!(all.iter().enumerate().all(|(other, identity)| (other == at) == (identity == one)));
        }
    }
}
