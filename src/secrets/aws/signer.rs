//! Signs requests with Signature Version 4.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use zeroize::Zeroizing;

use super::call::AwsCall;
use super::keys::AwsCredentials;
use crate::error::{Error, Result, Status};

/// Returns the headers that sign a call with these credentials at this time.
pub(super) fn signature_headers(
    call: &AwsCall<'_>,
    credentials: &AwsCredentials,
    time: SystemTime,
) -> Result<Vec<(&'static str, Zeroizing<String>)>> {
    let failed = || Error::new(Status::Config, "cannot sign the request to AWS");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| failed());
    let token = credentials.session_token.as_ref().map(|token| text(token)).transpose()?;
    let (id, secret) = (text(&credentials.access_key_id)?, text(&credentials.secret_access_key)?);
    let identity = Credentials::new(id, secret, token, None, "st-secrets").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(call.region)
        .name(call.service.signing_name())
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| failed())?
        .into();
    let headers = call.headers.iter().map(|(name, value)| (*name, value.as_str()));
    let request = SignableRequest::new(call.method, call.url, headers, SignableBody::Bytes(call.body));
    let signed = request.and_then(|request| sign(request, &params)).map_err(|_| failed())?;
    let (headers, _) = signed.into_parts().0.into_parts();
    Ok(headers.iter().map(|header| (header.name(), Zeroizing::new(header.value().to_owned()))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::aws::endpoint::Service;

    #[test]
    fn signature_covers_the_headers_that_secrets_manager_checks() {
        let credentials = AwsCredentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", Some("TOKEN"), None, "a test");
        let call = AwsCall {
            service: Service::SecretsManager,
            region: "us-east-1",
            method: "POST",
            url: "https://secretsmanager.us-east-1.amazonaws.com/",
            headers: &[
                ("content-type", Zeroizing::new("application/x-amz-json-1.1".to_owned())),
                ("x-amz-target", Zeroizing::new("secretsmanager.GetSecretValue".to_owned())),
            ],
            body: b"{}",
            credentials: None,
            secrets: &[],
            waits_if_throttled: true,
        };
        let headers = signature_headers(&call, &credentials.unwrap(), SystemTime::UNIX_EPOCH).unwrap();
        let get = |name| headers.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_str()).unwrap();
        assert_eq!(get("x-amz-date"), "19700101T000000Z");
        assert_eq!(get("x-amz-security-token"), "TOKEN");
        let signed = "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, ";
        let scope = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/19700101/us-east-1/secretsmanager/aws4_request, ";
        assert!(get("authorization").starts_with(&format!("{scope}{signed}")), "{}", get("authorization"));
    }
}
