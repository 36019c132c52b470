//! Proofs that a request comes from the owner of a key (RFC 9449): a token in the header `DPoP`, signed with ES256.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::json;
use zeroize::Zeroizing;

use crate::secrets::aws::uuid::random_uuid;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const BIT_STRING: u8 = 0x03;
const PARAMETERS: u8 = 0xa0;
const PUBLIC_KEY: u8 = 0xa1;

/// Returns a proof for a POST to this URL; `None` if the key, in PEM, is not one of the curve P-256.
pub(super) fn proof(pem: &str, url: &str) -> Option<Zeroizing<String>> {
    let random = SystemRandom::new();
    let key = key(pem, &random)?;
    let point = key.public_key().as_ref();
    let coordinate = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": coordinate(&point[1..33]), "y": coordinate(&point[33..])});
    let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk});
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    let claims = json!({"htm": "POST", "htu": url, "iat": now, "jti": random_uuid().ok()?});
    let encode = |part: serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = key.sign(&random, signed.as_bytes()).ok()?;
    Some(Zeroizing::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))))
}

/// Parses a key in the form of RFC 5915, which has its public key too.
fn key(pem: &str, random: &SystemRandom) -> Option<EcdsaKeyPair> {
    let lines = pem.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
    let text: Zeroizing<String> = Zeroizing::new(lines.collect());
    let bytes = Zeroizing::new(STANDARD.decode(text.as_bytes()).ok()?);
    let (content, _) = element(&bytes, SEQUENCE)?;
    let (_, rest) = element(content, INTEGER)?;
    let (private, rest) = element(rest, OCTET_STRING)?;
    let (_, rest) = element(rest, PARAMETERS)?;
    let (public, _) = element(element(rest, PUBLIC_KEY)?.0, BIT_STRING)?;
    let public = public.strip_prefix(&[0])?;
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    EcdsaKeyPair::from_private_key_and_public_key(algorithm, private, public, random).ok()
}

/// Returns the content of the first element in DER, which must have this tag, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=127 => (usize::from(*first), rest),
        0x81 => rest.split_first().map(|(len, rest)| (usize::from(*len), rest))?,
        _ => return None,
    };
    (*found == tag).then(|| rest.split_at_checked(len)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_that_is_not_of_the_curve_is_refused() {
        let pem = |bytes: &[u8]| format!("-----BEGIN EC PRIVATE KEY-----\n{}\n-----END", STANDARD.encode(bytes));
        for bytes in
            [&b""[..], b"\x30", b"\x30\x81", b"\x30\x82\x01\x00", b"\x30\x05\x02\x01\x01\x04\x00", b"\x02\x01\x01"]
        {
            assert!(proof(&pem(bytes), "https://x/").is_none(), "{bytes:?}");
        }
        assert!(proof("not base64!", "https://x/").is_none());
    }
}
