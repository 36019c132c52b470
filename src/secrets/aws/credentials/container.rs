//! The endpoint beside a container: ECS, EKS Pod Identity.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::http::Uri;
use zeroize::Zeroizing;

use super::{Context, Fetched, Keys, at_most, failed};
use crate::error::{Error, Result, Status};
use crate::http::retry::{Backoff, Failed, Retry};
use crate::http::{self, Client, Proxy, Request};
use crate::secrets::aws::environment::Environment;
use crate::secrets::aws::fields::Fields;
use crate::secrets::aws::metadata::{MAX_BODY, Parts, token_file};
use crate::secrets::aws::names::config;
use crate::secrets::aws::refusal::{Kind, Refusal};

const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
const ECS: &str = "http://169.254.170.2";
const CONNECT: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(5);
const ATTEMPTS: u32 = 3;

/// An endpoint that variables name.
#[derive(Clone, PartialEq)]
pub(in crate::secrets::aws) struct Container {
    url: String,
    token: Option<Token>,
    pub(super) place: String,
}

#[derive(Clone, PartialEq)]
enum Token {
    File(PathBuf),
    Text(Zeroizing<String>),
}

impl Container {
    pub(super) fn from_variables(environment: &Environment) -> Result<Option<Container>> {
        let (url, variable) = match (environment.text(RELATIVE)?, environment.text(FULL)?) {
            (Some(path), _) if path.starts_with('/') => (format!("{ECS}{}", path.as_str()), RELATIVE),
            (Some(_), _) => return Err(config(format!("the variable {RELATIVE} must begin with /"))),
            (None, Some(url)) => (url.to_string(), FULL),
            (None, None) => return Ok(None),
        };
        let token = match (environment.text(TOKEN_FILE)?, environment.text(TOKEN)?) {
            (Some(path), _) => Some(Token::File(path.as_str().into())),
            (None, Some(text)) => Some(Token::Text(text)),
            (None, None) => None,
        };
        let parsed: Uri = url.parse().map_err(|_| config(format!("the variable {variable} is not a URL")))?;
        let host = parsed.host().unwrap_or_default();
        if host.is_empty() || !matches!(parsed.scheme_str(), Some("http" | "https")) {
            return Err(config(format!("the variable {variable} is not a URL that begins with http:// or https://")));
        }
        if parsed.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(config(format!("the variable {variable} has a user or a password in it")));
        }
        let place = format!("the container's endpoint {host} (variable {variable})");
        Ok(Some(Container { url, token, place }))
    }

    pub(super) fn token_file(&self) -> Option<&Path> {
        match &self.token {
            Some(Token::File(path)) => Some(path),
            Some(Token::Text(_)) | None => None,
        }
    }

    pub(super) fn fetch(&self, context: &Context<'_>) -> Result<Fetched> {
        self.check_host(context)?;
        let token = match &self.token {
            Some(Token::File(path)) => Some(token_file(path, &format!("the variable {TOKEN_FILE}"))?),
            Some(Token::Text(text)) => Some(text.clone()),
            None => None,
        };
        let headers: Vec<(&str, Zeroizing<String>)> = [("accept", Zeroizing::new("application/json".to_owned()))]
            .into_iter()
            .chain(token.map(|token| ("authorization", token)))
            .collect();
        let request =
            Request { method: "GET", url: &self.url, headers: &headers, body: &[], connect_timeout: Some(CONNECT) };
        let client = client();
        let retry = Retry::new(ATTEMPTS, Backoff::Exponential);
        let response = retry.run(context.deadline, |_| {
            let response = client.send(&request, at_most(context.deadline, PATIENCE));
            let response = response.map_err(|error| self.unreachable(error))?;
            if response.status == 200 {
                return Ok(response);
            }
            let secrets: Vec<&[u8]> = headers.iter().map(|(_, value)| value.as_bytes()).collect();
            let refusal = Refusal::of(&response, &secrets);
            Err(Failed { error: self.refused(&refusal), again: refusal.again(), after: refusal.after })
        })?;
        let answer = Fields::parse(&response.body);
        let Some(parts) = answer.as_ref().and_then(Parts::of) else {
            return Err(self.error(Status::Protocol, "its answer has no AccessKeyId and SecretAccessKey"));
        };
        let keys = Keys::new(parts.id, parts.secret, parts.token, parts.expires, &self.place)?;
        Ok(Fetched::new(keys, std::time::SystemTime::now()))
    }

    /// Keys come over `http` from this machine, or from the addresses that AWS gives to such endpoints, alone.
    fn check_host(&self, context: &Context<'_>) -> Result<()> {
        let Ok(url) = self.url.parse::<Uri>() else { return Ok(()) };
        if url.scheme_str() == Some("https") {
            return Ok(());
        }
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => http::look_up(&host, at_most(context.deadline, CONNECT))
                .map_err(|error| self.error(error.status(), error.message()))?,
        };
        if addresses.is_empty() || !addresses.iter().all(|address| is_allowed(*address)) {
            return Err(self.error(
                Status::Config,
                "http:// is for loopback, 169.254.170.2, 169.254.170.23 and fd00:ec2::23 alone; use https://",
            ));
        }
        Ok(())
    }

    fn unreachable(&self, error: Error) -> Failed {
        Failed::as_marked(error.map_message(|message| format!("no AWS credentials from {}: {message}", self.place)))
    }

    fn refused(&self, refusal: &Refusal) -> Error {
        let advice = match (refusal.kind(), refusal.status) {
            (Kind::Denied, _) | (_, 401 | 403) => "; check its token",
            (Kind::Redirect, _) => "; a redirect is not followed",
            _ => "",
        };
        let message = format!("no AWS credentials from {}: it answers {}{advice}", self.place, refusal.words());
        refusal.error(Status::AccessDenied, message)
    }

    fn error(&self, status: Status, what: impl AsRef<str>) -> Error {
        failed(status, &self.place, what)
    }
}

/// Who knows the path that ECS gives to a task gets the task's keys: no log shows it.
fn client() -> Client {
    Client::new(http::Settings {
        proxy: Proxy::None,
        max_body: MAX_BODY,
        secret_paths: true,
        ..http::Settings::default()
    })
}

fn is_allowed(address: IpAddr) -> bool {
    const ECS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 170, 2));
    const EKS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 170, 23));
    const EKS_V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23));
    address.to_canonical().is_loopback() || [ECS, EKS, EKS_V6].contains(&address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_may_answer_in_clear() {
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
    fn variables_name_the_endpoint() {
        let of = |variables: &[(&str, &str)]| Container::from_variables(&Environment::fixed(variables));
        assert!(of(&[]).unwrap().is_none());
        let both = of(&[(RELATIVE, "/v2/x"), (FULL, "https://other/")]).unwrap().unwrap();
        assert_eq!(both.url, "http://169.254.170.2/v2/x");
        for (variables, reason) in [
            ([(RELATIVE, "@evil.org/"), (TOKEN, "t")], "must begin with /"),
            ([(FULL, "169.254.170.23/v1"), (TOKEN, "t")], "is not a URL"),
            ([(FULL, "http://user:CANARY@localhost/"), (TOKEN, "t")], "has a user"),
            (
                [(FULL, "http://localhost/"), (TOKEN, "CAN\r\nARY: x")],
                "AWS_CONTAINER_AUTHORIZATION_TOKEN holds a line break",
            ),
        ] {
            let error = of(&variables).map(drop).unwrap_err();
            assert!(error.message().contains(reason), "{error}");
            assert!(!error.message().contains("CAN\r"), "{error}");
        }
    }
}
