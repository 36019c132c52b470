//! Sends entries to a webhook, in the format that SimpleTuner sends.

use std::time::Duration;

use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::AuditLog;
use super::event_type::is_security;
use super::query::{AuditFilter, StoredEntry, serialization_bug};
use crate::clock::Deadline;
use crate::config::nearest;
use crate::error::{Error, Result, Source, Status};
use crate::http::retry::{Attempts, FailedAttempt, Retry, RetryClass, RetryDelay};
use crate::http::url::{Origin, Url};
use crate::http::{Client, ClientSettings, HttpRequest, HttpResponse, Roots, is_transient_status, retry_after};
use crate::raw_json::{self, RawPairs};
use crate::settings::{Setting, SettingOrigin};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_RETRIES: u32 = 2;
const MAX_RETRIES: u32 = 100;
const MAX_BATCH: usize = 1000;
/// The longest response. Its contents are not used.
const MAX_BODY: usize = 1 << 20;
const SETTINGS: [&str; 7] = ["url", "token", "security_only", "batch", "timeout", "retries", "ca_file"];

/// Where entries are sent, and how.
struct Webhook {
    url: Zeroizing<String>,
    origin: Origin,
    /// The header `Authorization`.
    authorization: Option<Zeroizing<String>>,
    security_only: bool,
    /// How many entries a request has.
    batch: usize,
    /// The time for a request with its retries.
    timeout: Duration,
    retries: u32,
    roots: Roots,
}

impl Webhook {
    fn parse(json: &str) -> Result<Webhook> {
        let not_an_object = |_| Error::invalid_argument("`webhook_json` is not a JSON object of settings");
        let pairs: RawPairs<'_> = serde_json::from_str(json).map_err(not_an_object)?;
        let (mut url, mut token) = (None, None);
        let mut webhook = Webhook {
            url: Zeroizing::default(),
            origin: Origin { tls: true, host: String::new(), port: 443, socket: None },
            authorization: None,
            security_only: false,
            batch: 1,
            timeout: DEFAULT_TIMEOUT,
            retries: DEFAULT_RETRIES,
            roots: Roots::Platform,
        };
        for (name, value) in &pairs.0 {
            let name = raw_json::name(name.get());
            match &*name {
                name if value.get() == "null" && SETTINGS.contains(&name) => {}
                "url" => url = Some(Zeroizing::new(parsed::<String>(&name, value, "text")?)),
                "token" => token = Some(Zeroizing::new(parsed::<String>(&name, value, "text")?)),
                "security_only" => webhook.security_only = parsed(&name, value, "true or false")?,
                "batch" => webhook.batch = number(&name, value, 1, MAX_BATCH as u64)? as usize,
                "retries" => webhook.retries = number(&name, value, 0, MAX_RETRIES.into())? as u32,
                "timeout" => webhook.timeout = seconds(&name, value)?,
                "ca_file" => {
                    let path: String = parsed(&name, value, "a path")?;
                    let origin = SettingOrigin::Named("the webhook setting `ca_file`".to_owned());
                    webhook.roots = Roots::File(Setting::new(origin, &path));
                }
                _ => return Err(unknown(&name)),
            }
        }
        let url = url.ok_or_else(|| Error::invalid_argument("the webhook setting `url` is missing"))?;
        let invalid = |why| Error::invalid_argument(format!("the webhook setting `url` is not valid: {why}"));
        webhook.origin = Url::parse(&url).map_err(invalid)?.origin;
        webhook.url = url;
        webhook.authorize(token.filter(|token| !token.trim().is_empty()))?;
        Ok(webhook)
    }

    /// Takes over a token. Like SimpleTuner's, it is an API key unless it names its own scheme.
    fn authorize(&mut self, token: Option<Zeroizing<String>>) -> Result<()> {
        let Some(token) = token else { return Ok(()) };
        if self.origin.is_cleartext() {
            let message = format!(
                "the webhook setting `token` is not sent to {}: others could read it on the network; use https://",
                self.origin
            );
            return Err(Error::invalid_argument(message));
        }
        let has_scheme = token.starts_with("Bearer ") || token.starts_with("ApiKey ");
        let scheme = if has_scheme { "" } else { "ApiKey " };
        self.authorization = Some(Zeroizing::new([scheme, token.trim()].concat()));
        Ok(())
    }

    /// Sends one request. Repeats it while the failure may pass and there is time.
    fn post(&self, client: &Client, retry: &Retry, entries: &[&StoredEntry]) -> Result<()> {
        let mut body = String::new();
        for entry in entries {
            body.push_str(&payload(entry)?);
            body.push_str(if self.batch > 1 { "\n" } else { "" });
        }
        let kind = if self.batch > 1 { "application/x-ndjson" } else { "application/json" };
        let mut headers = vec![("Content-Type", Zeroizing::new(kind.to_owned()))];
        headers.extend(self.authorization.clone().map(|value| ("Authorization", value)));
        let deadline = Deadline::after(self.timeout);
        let sent = retry.run(Attempts::at_most(self.retries + 1), deadline, |_| {
            let request = HttpRequest {
                method: "POST",
                url: &self.url,
                headers: &headers,
                body: body.as_bytes(),
                connect_timeout: None,
            };
            let response = client.send(&request, deadline).map_err(FailedAttempt::from_error)?;
            if (200..300).contains(&response.status) { Ok(()) } else { Err(self.rejected(&response)) }
        });
        sent.map_err(|error| error.with_source(Source::Store).map_message(|why| format!("audit webhook: {why}")))
    }

    /// The error of a response. Its text is not shown: it may repeat what was sent.
    fn rejected(&self, response: &HttpResponse) -> FailedAttempt {
        let (code, origin) = (response.status, &self.origin);
        let (status, class, what) = match code {
            401 | 403 => (Status::AccessDenied, RetryClass::Never, "rejects the token; correct `token`"),
            429 => (Status::Unavailable, RetryClass::Throttled, "accepts no more entries now; try again later"),
            300..=399 => (Status::Protocol, RetryClass::Never, "redirects; set `url` to the final URL"),
            code if is_transient_status(code) => {
                (Status::Unavailable, RetryClass::Transient, "failed; try again later")
            }
            500.. => (Status::Unavailable, RetryClass::Never, "failed; try again later"),
            _ => (Status::Protocol, RetryClass::Never, "does not accept the entries; check `url`"),
        };
        let error = Error::new(status, format!("{origin} {what} (HTTP {code})"))
            .with_detail(code.into())
            .with_retryable(status == Status::Unavailable);
        FailedAttempt { error, class, retry_after: retry_after(response) }
    }
}

fn parsed<'a, T: serde::Deserialize<'a>>(name: &str, value: &'a RawValue, expected: &str) -> Result<T> {
    serde_json::from_str(value.get())
        .map_err(|_| Error::invalid_argument(format!("the webhook setting `{name}` must be {expected}")))
}

fn number(name: &str, value: &RawValue, least: u64, most: u64) -> Result<u64> {
    let expected = format!("a number from {least} to {most}");
    let number = parsed(name, value, &expected)?;
    if (least..=most).contains(&number) {
        return Ok(number);
    }
    Err(Error::invalid_argument(format!("the webhook setting `{name}` must be {expected}")))
}

fn seconds(name: &str, value: &RawValue) -> Result<Duration> {
    let expected = "a number of seconds above 0";
    let seconds: f64 = parsed(name, value, expected)?;
    if seconds > 0.0 {
        return Ok(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
    }
    Err(Error::invalid_argument(format!("the webhook setting `{name}` must be {expected}")))
}

fn unknown(name: &str) -> Error {
    let shown: String = name.chars().take(64).collect();
    Error::invalid_argument(match nearest(name, SETTINGS.into_iter()) {
        Some(known) => format!("unknown webhook setting {shown:?}; did you mean `{known}`?"),
        None => format!("unknown webhook setting {shown:?}; the known ones are {}", SETTINGS.join(", ")),
    })
}

/// An entry as SimpleTuner sends it, in the shape of the Elastic Common Schema.
fn payload(entry: &StoredEntry) -> Result<String> {
    let text = |text: &Option<String>| serde_json::to_string(text).map_err(serialization_bug);
    let event_type = entry.event_type.as_deref().unwrap_or_default();
    let category = Some(event_type.split('.').next().unwrap_or_default().to_owned());
    let actor_id = entry.actor_id.map_or("null".to_owned(), |id| id.to_string());
    Ok(format!(
        "{{\"@timestamp\":{},\"event\":{{\"kind\":\"event\",\"category\":[\"audit\"],\"type\":[{}],\"action\":{}}},\
         \"simpletuner\":{{\"audit_id\":{},\"event_type\":{},\"actor_id\":{actor_id},\"actor_username\":{},\"actor_ip\":{},\
         \"target_type\":{},\"target_id\":{},\"details\":{}}}}}",
        text(&entry.timestamp)?,
        text(&category)?,
        text(&entry.action)?,
        entry.id,
        text(&entry.event_type)?,
        text(&entry.actor_username)?,
        text(&entry.actor_ip)?,
        text(&entry.target_type)?,
        text(&entry.target_id)?,
        entry.details()?.get(),
    ))
}

impl AuditLog {
    /// Sends the entries that match a filter, oldest first. Returns the number of the last one that was delivered or
    /// skipped; 0 if no entry matches. Fails only if nothing was.
    pub(in crate::store) fn send(&self, filter: &str, webhook: &str, deadline: Deadline) -> Result<i64> {
        let webhook = Webhook::parse(webhook)?;
        let entries = self.select(AuditFilter::oldest_first(filter)?, deadline)?;
        let client = Client::new(ClientSettings {
            roots: webhook.roots.clone(),
            max_body: MAX_BODY,
            secret_paths: true,
            ..ClientSettings::default()
        });
        let retry = Retry::new(RetryDelay::Decorrelated);
        let is_selected = |entry: &&StoredEntry| {
            !webhook.security_only || is_security(entry.event_type.as_deref().unwrap_or_default())
        };
        let selected: Vec<&StoredEntry> = entries.iter().filter(is_selected).collect();
        let mut delivered = 0;
        for batch in selected.chunks(webhook.batch) {
            if let Err(error) = webhook.post(&client, &retry, batch) {
                return if delivered > 0 { Ok(delivered) } else { Err(error) };
            }
            delivered = batch.last().map_or(delivered, |entry| entry.id);
        }
        Ok(entries.last().map_or(0, |entry| entry.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_an_api_key_unless_it_names_its_scheme() {
        for (token, header) in [
            ("abc", Some("ApiKey abc")),
            ("ApiKey abc", Some("ApiKey abc")),
            ("Bearer abc", Some("Bearer abc")),
            ("bearer abc", Some("ApiKey bearer abc")),
            (" ", None),
            ("", None),
        ] {
            let json = serde_json::json!({"url": "https://siem.example.com/in", "token": token});
            let webhook = Webhook::parse(&json.to_string()).unwrap();
            assert_eq!(webhook.authorization.as_deref().map(String::as_str), header, "{token:?}");
        }
    }

    #[test]
    fn invalid_settings_are_named_and_not_shown() {
        for (json, word) in [
            ("[]", "JSON object"),
            ("{}", "`url` is missing"),
            (r#"{"url": 5}"#, "`url` must be text"),
            (r#"{"url": "ftp://CANARY"}"#, "begins with neither"),
            (r#"{"url": "https://u:CANARY@host/"}"#, "user name or password"),
            (r#"{"ur": "https://host/CANARY"}"#, "did you mean `url`?"),
            (r#"{"url": "https://host/CANARY", "batch": 0}"#, "from 1 to 1000"),
            (r#"{"url": "https://host/CANARY", "retries": -1}"#, "from 0 to 100"),
            (r#"{"url": "https://host/CANARY", "timeout": 0}"#, "seconds above 0"),
            (r#"{"url": "https://host/CANARY", "token": ["CANARY"]}"#, "`token` must be text"),
            (r#"{"url": "http://host.example.com/CANARY", "token": "CANARY"}"#, "use https://"),
        ] {
            let error = Webhook::parse(json).err().unwrap_or_else(|| panic!("{json} was accepted"));
            assert_eq!(error.status(), Status::InvalidArgument, "{error}");
            assert!(error.message().contains(word) && !error.message().contains("CANARY"), "{json}: {error}");
        }
        assert!(Webhook::parse(r#"{"url": "http://127.0.0.1:9200/", "token": "t", "ca_file": null}"#).is_ok());
    }
}
