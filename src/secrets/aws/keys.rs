//! AWS key pairs.

use std::time::SystemTime;

use super::errors::config_error;
use crate::error::Result;
use crate::secret_memory::SecretBytes;
use crate::share::Identity;

/// The access key that requests are signed with.
#[derive(Clone)]
pub(super) struct AwsCredentials {
    pub(super) access_key_id: SecretBytes,
    pub(super) secret_access_key: SecretBytes,
    pub(super) session_token: Option<SecretBytes>,
    pub(super) expires: Option<SystemTime>,
}

impl AwsCredentials {
    /// Checks the parts and copies them to secret memory. `origin` is where they are from, for messages.
    pub(super) fn new(
        access_key_id: &str,
        secret_access_key: &str,
        session_token: Option<&str>,
        expires: Option<SystemTime>,
        origin: &str,
    ) -> Result<AwsCredentials> {
        let checked = |what: &str, text: &str| {
            let text = text.trim();
            // They become parts of headers.
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                let why = "is empty, or contains a character that AWS does not use";
                return Err(config_error(format!("{origin}: the {what} {why}")));
            }
            SecretBytes::copy_from(text.as_bytes())
        };
        Ok(AwsCredentials {
            access_key_id: checked("access key id", access_key_id)?,
            secret_access_key: checked("secret access key", secret_access_key)?,
            session_token: session_token.map(|token| checked("session token", token)).transpose()?,
            expires,
        })
    }

    /// Adds the key to the identity of a process.
    pub(super) fn identify(&self, identity: &mut Identity) -> Result<()> {
        identity.add("access key id", &*self.access_key_id);
        identity.add_secret(&self.secret_access_key)?;
        self.session_token.as_ref().map_or(Ok(()), |token| identity.add_secret(token))
    }

    /// The parts, none of which may be in a message.
    pub(super) fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let parts = [Some(&self.access_key_id), Some(&self.secret_access_key), self.session_token.as_ref()];
        parts.into_iter().flatten().map(|bytes| &**bytes)
    }
}

impl PartialEq for AwsCredentials {
    fn eq(&self, other: &AwsCredentials) -> bool {
        self.parts().eq(other.parts()) && self.expires == other.expires
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_key_is_refused_and_not_shown() {
        for (id, secret, token) in [
            ("", "CANARY", None),
            ("AKIA", "CAN\r\nARY", None),
            ("AKIA", "CAN ARY", None),
            ("AKIA", "x", Some("CAN\u{e9}")),
        ] {
            let error = AwsCredentials::new(id, secret, token, None, "the test").map(drop).unwrap_err();
            assert!(error.message().starts_with("the test: the "), "{error}");
            assert!(!error.message().contains("CAN"), "{error}");
        }
        assert!(AwsCredentials::new(" AKIA ", "secret\n", Some("token=="), None, "the test").is_ok());
    }
}
