//! Entry points of the fuzzers, see [`crate::fuzzing`].

use super::response::VaultResponse;
use crate::secret_memory::SecretBytes;

/// The secret that no message may quote.
const CANARY: &str = "hvs.CAESIJlWWCANARYtokenTOKENtoken0123456789";

/// Parses a response of the server. No word that could be a token is in the text of its messages.
pub fn vault_response(data: &[u8]) {
    let Ok(body) = SecretBytes::copy_from(data) else { return };
    let response = VaultResponse { status: 400, body };
    if let Some(object) = response.object() {
        for name in ["data", "auth", "metadata", "lease_duration", "client_token", "renewable"] {
            let _ = (object.raw(name), object.text(name), object.secret(name), object.number(name));
            let _ = (object.flag(name), object.has(name), object.texts(name));
            let _ = object.object(name).map(|nested| nested.object("data").is_some());
        }
    }
    let messages = response.messages();
    let quoted = messages.quoted();
    assert!(!quoted.split_whitespace().any(|word| word == CANARY), "{quoted}");
    assert!(!quoted.contains('\n'));
}
