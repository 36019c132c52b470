//! JSON web tokens that a private key signs.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use zeroize::Zeroizing;

/// How a token is signed.
#[derive(Clone, Copy)]
pub(in crate::secrets) enum Algorithm {
    Rs256,
    Ps256,
}

/// An RSA key that signs tokens.
pub(in crate::secrets) struct RsaSigningKey(RsaKeyPair);

impl RsaSigningKey {
    /// Parses the first private key of a text in PEM. The error is `has no …`, `has a …`.
    pub(in crate::secrets) fn from_pem(pem: &[u8]) -> Result<RsaSigningKey, &'static str> {
        let key =
            PrivateKeyDer::from_pem_slice(pem).map_err(|_| match pem.windows(9).any(|part| part == b"ENCRYPTED") {
                true => "has a private key with a password, which is not supported",
                false => "has no private key in PEM",
            })?;
        let pair = match &key {
            PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            _ => return Err("has a private key that is not RSA"),
        };
        pair.map(RsaSigningKey).map_err(|_| "has a private key that is not RSA with 2048 to 4096 bits")
    }

    /// Returns a token with these claims. `header` has members besides `alg` and `typ`.
    pub(in crate::secrets) fn sign(
        &self,
        algorithm: Algorithm,
        mut header: Value,
        claims: &Value,
    ) -> Result<Zeroizing<String>, &'static str> {
        let RsaSigningKey(pair) = self;
        let (name, padding) = match algorithm {
            Algorithm::Rs256 => ("RS256", &RSA_PKCS1_SHA256 as &'static dyn ring::signature::RsaEncoding),
            Algorithm::Ps256 => ("PS256", &RSA_PSS_SHA256 as _),
        };
        header["alg"] = name.into();
        header["typ"] = "JWT".into();
        let mut token = Zeroizing::new(String::with_capacity(2048));
        token.push_str(&base64url(header.to_string().as_bytes()));
        token.push('.');
        token.push_str(&base64url(claims.to_string().as_bytes()));
        let mut signature = vec![0; pair.public().modulus_len()];
        pair.sign(padding, &SystemRandom::new(), token.as_bytes(), &mut signature)
            .map_err(|_| "has a private key that cannot sign")?;
        token.push('.');
        token.push_str(&base64url(&signature));
        Ok(token)
    }
}

pub(in crate::secrets) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_without_an_rsa_key_is_refused() {
        for (pem, words) in [
            ("", "has no private key"),
            ("CANARY", "has no private key"),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n", "with a password"),
            ("-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----\n", "not RSA"),
            ("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n", "not RSA"),
        ] {
            let why = RsaSigningKey::from_pem(pem.as_bytes()).err().unwrap();
            assert!(why.contains(words), "{pem}: {why}");
        }
    }
}
