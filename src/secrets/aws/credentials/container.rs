//! The credentials endpoint of a container: ECS, EKS Pod Identity.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use super::context::{FetchContext, FetchedCredentials, failed, limited};
use super::metadata::{CredentialFields, MAX_BODY, read_token};
use crate::error::{Error, Result, Status};
use crate::http::retry::{Attempts, FailedAttempt, Retry, RetryDelay};
use crate::http::url::{self, Url};
use crate::http::{self, Client, HttpRequest, Proxy};
use crate::secrets::aws::keys::AwsCredentials;
use crate::secrets::aws::service_error::{ErrorKind, ServiceError};
use crate::secrets::json::SecretObject;
use crate::settings::{Environment, SettingOrigin};
use crate::share::Identity;

const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
const ECS: &str = "http://169.254.170.2";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// The endpoint that variables name.
#[derive(Clone, PartialEq)]
pub(in crate::secrets::aws) struct Container {
    url: String,
    token: Option<AuthorizationToken>,
    pub(super) origin: String,
}

#[derive(Clone, PartialEq)]
enum AuthorizationToken {
    File(PathBuf),
    Text(Zeroizing<String>),
}

impl Container {
    /// Reads the variables; `None` if they name no endpoint.
    pub(super) fn from_variables(environment: &Environment) -> Result<Option<Container>> {
        let (setting, url) = match environment.setting(RELATIVE)? {
            Some(path) if !path.text().starts_with('/') => return Err(path.invalid("must begin with /").into()),
            Some(path) => (path.origin, format!("{ECS}{}", path.value.as_str())),
            None => match environment.setting(FULL)? {
                Some(url) => (url.origin, url.value.to_string()),
                None => return Ok(None),
            },
        };
        let token = match environment.setting(TOKEN_FILE)? {
            Some(path) => Some(AuthorizationToken::File(path.path())),
            None => environment.setting(TOKEN)?.map(|token| AuthorizationToken::Text(token.value)),
        };
        let parsed = Url::parse(&url).map_err(|error| setting.invalid(format!("is not a URL: {error}")))?;
        let origin = format!("the container endpoint {} of {setting}", parsed.origin.host);
        Ok(Some(Container { url, token, origin }))
    }

    /// Returns the file with the token, if there is one.
    pub(super) fn token_file(&self) -> Option<&Path> {
        match &self.token {
            Some(AuthorizationToken::File(path)) => Some(path),
            Some(AuthorizationToken::Text(_)) | None => None,
        }
    }

    /// Adds the endpoint to the identity of a process. Its path may be what identifies a task of ECS.
    pub(super) fn identify(&self, identity: &mut Identity) -> Result<()> {
        identity.add_hash("container endpoint", self.url.as_bytes());
        identity.add_secret(self.url.as_bytes())?;
        match self.token()? {
            Some(token) => identity.add_secret(token.as_bytes()),
            None => Ok(()),
        }
    }

    fn token(&self) -> Result<Option<Zeroizing<String>>> {
        Ok(match &self.token {
            Some(AuthorizationToken::File(path)) => {
                Some(read_token(path, &SettingOrigin::Variable(TOKEN_FILE.to_owned()).to_string())?)
            }
            Some(AuthorizationToken::Text(text)) => Some(text.clone()),
            None => None,
        })
    }

    pub(super) fn fetch(&self, context: &FetchContext<'_>) -> Result<FetchedCredentials> {
        self.check_host(context)?;
        let token = self.token()?;
        let headers: Vec<(&str, Zeroizing<String>)> = [("accept", Zeroizing::new("application/json".to_owned()))]
            .into_iter()
            .chain(token.map(|token| ("authorization", token)))
            .collect();
        let request = HttpRequest {
            method: "GET",
            url: &self.url,
            headers: &headers,
            body: &[],
            connect_timeout: Some(CONNECT_TIMEOUT),
        };
        let client = client();
        let attempts = Attempts::of_setting(None, context.patience);
        let response = Retry::new(RetryDelay::Decorrelated).run(attempts, context.deadline, |_| {
            let response = client.send(&request, limited(context.deadline, ATTEMPT_TIMEOUT));
            let response = response.map_err(|error| self.unreachable(error))?;
            if response.status == 200 {
                return Ok(response);
            }
            let secrets: Vec<&[u8]> = headers.iter().map(|(_, value)| value.as_bytes()).collect();
            let service_error = ServiceError::parse(&response, &secrets);
            let (class, retry_after) = (service_error.retry_class(), service_error.retry_after);
            Err(FailedAttempt { error: self.refused(&service_error), class, retry_after })
        })?;
        let fields = SecretObject::parse(&response.body);
        let Some(parts) = fields.as_ref().and_then(CredentialFields::of) else {
            return Err(self.error(Status::Protocol, "its response has no AccessKeyId and SecretAccessKey"));
        };
        let credentials = AwsCredentials::new(parts.id, parts.secret, parts.token, parts.expires, &self.origin)?;
        Ok(FetchedCredentials::new(credentials, std::time::SystemTime::now()))
    }

    /// Checks that an `http` endpoint is on this machine or has one of the addresses that AWS uses for such endpoints.
    fn check_host(&self, context: &FetchContext<'_>) -> Result<()> {
        let Ok(Url { origin: server, .. }) = Url::parse(&self.url) else { return Ok(()) };
        if server.tls {
            return Ok(());
        }
        let host = server.host;
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => http::look_up(&host, limited(context.deadline, CONNECT_TIMEOUT))
                .map_err(|error| self.error(error.status(), error.message()))?,
        };
        if addresses.is_empty() || !addresses.iter().all(|address| is_allowed(*address)) {
            return Err(self.error(
                Status::Config,
                "http:// is allowed only for loopback, 169.254.170.2, 169.254.170.23 and fd00:ec2::23; use https://",
            ));
        }
        Ok(())
    }

    fn unreachable(&self, error: Error) -> FailedAttempt {
        FailedAttempt::from_error(
            error.map_message(|message| format!("no AWS credentials from {}: {message}", self.origin)),
        )
    }

    fn refused(&self, service_error: &ServiceError) -> Error {
        let remedy = match (service_error.kind(), service_error.status) {
            (ErrorKind::AccessDenied, _) | (_, 401 | 403) => "; check its token",
            (ErrorKind::Redirect, _) => "; redirects are not followed",
            _ => "",
        };
        let message =
            format!("no AWS credentials from {}: it responds with {}{remedy}", self.origin, service_error.describe());
        service_error.to_error(Status::AccessDenied, message)
    }

    fn error(&self, status: Status, what: impl AsRef<str>) -> Error {
        failed(status, &self.origin, what)
    }
}

/// The path that ECS gives to a task is as secret as its keys, so it is not logged.
fn client() -> Client {
    Client::new(http::ClientSettings {
        proxy: Proxy::None,
        max_body: MAX_BODY,
        secret_paths: true,
        ..http::ClientSettings::default()
    })
}

fn is_allowed(address: IpAddr) -> bool {
    const ECS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 170, 2));
    const EKS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 170, 23));
    const EKS_V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23));
    url::is_loopback(address) || [ECS, EKS, EKS_V6].contains(&address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleartext_is_allowed_for_local_addresses() {
        for (address, allowed) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("169.254.170.2", true),
            ("169.254.170.23", true),
            ("fd00:ec2::23", true),
            ("169.254.169.254", false),
            ("169.254.170.3", false),
            ("fd00:ec2::254", false),
            ("10.0.0.1", false),
            ("0.0.0.0", false),
        ] {
            assert_eq!(is_allowed(address.parse().unwrap()), allowed, "{address}");
        }
    }

    #[test]
    fn endpoint_is_read_from_variables() {
        let of = |variables: &[(&str, &str)]| Container::from_variables(&Environment::fixed(variables));
        assert!(of(&[]).unwrap().is_none());
        let both = of(&[(RELATIVE, "/v2/x"), (FULL, "https://other/")]).unwrap().unwrap();
        assert_eq!(both.url, "http://169.254.170.2/v2/x");
        for (variables, reason) in [
            ([(RELATIVE, "@evil.org/"), (TOKEN, "t")], "must begin with /"),
            ([(FULL, "169.254.170.23/v1"), (TOKEN, "t")], "begins with neither"),
            ([(FULL, "http://user:CANARY@localhost/"), (TOKEN, "t")], "a user name or password"),
            (
                [(FULL, "http://localhost/"), (TOKEN, "CAN\r\nARY: x")],
                "AWS_CONTAINER_AUTHORIZATION_TOKEN contains a line break",
            ),
        ] {
            let error = of(&variables).map(drop).unwrap_err();
            assert!(error.message().contains(reason), "{error}");
            assert!(!error.message().contains("CAN\r"), "{error}");
        }
    }
}
