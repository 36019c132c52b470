//! Credential files of Google's tools: the key of a service account, a user after `gcloud auth application-default
//! login`, a workload identity federation, an impersonated service account.

use std::path::{Path, PathBuf};

use super::executable::Executable;
use crate::error::{Error, Result, Status};
use crate::files;
use crate::fork;
use crate::secret_memory::SecretBytes;
use crate::secrets::cloud::is_safe;
use crate::secrets::json::SecretObject;

const MAX_FILE: usize = 64 << 10;
/// The token endpoint, if a file does not name one.
const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";
const GOOGLE: &str = "googleapis.com";

/// What a file describes.
pub(super) enum CredentialsFile {
    ServiceAccount { email: String, key_id: String, private_key: SecretBytes },
    User { client_id: String, client_secret: SecretBytes, refresh_token: SecretBytes, token_url: String },
    External(Box<External>),
    Impersonated { source: Box<CredentialsFile>, url: String, delegates: Vec<String>, seconds: u64 },
}

/// An identity of another provider that Google's security token service exchanges.
pub(super) struct External {
    pub(super) audience: String,
    pub(super) subject_token_type: String,
    pub(super) token_url: String,
    pub(super) subject: Subject,
    /// The member of the token, if it is in a JSON object.
    pub(super) field: Option<String>,
    pub(super) client: Option<(String, SecretBytes)>,
    pub(super) workforce_project: Option<String>,
    /// The service account that is impersonated.
    email: Option<String>,
}

impl External {
    /// The variables of a program that prints the token.
    pub(super) fn variables(&self) -> Vec<(&'static str, &str)> {
        let email = self.email.as_deref().map(|email| ("IMPERSONATED_EMAIL", email));
        let own = [("AUDIENCE", self.audience.as_str()), ("TOKEN_TYPE", self.subject_token_type.as_str())];
        own.into_iter().chain(email).collect()
    }
}

/// Where the token of the other provider is.
pub(super) enum Subject {
    File(PathBuf),
    Url {
        url: String,
        headers: Vec<(String, String)>,
    },
    Executable(Executable),
    /// A call of AWS that is signed for this URL, in which `{region}` is replaced.
    Aws {
        url: String,
    },
}

/// A credential file.
pub(super) struct CredentialFile {
    pub(super) path: PathBuf,
    pub(super) contents: SecretBytes,
    pub(super) credentials: CredentialsFile,
    pub(super) project: Option<String>,
    pub(super) quota_project: Option<String>,
}

impl CredentialFile {
    /// Reads a file. One that was changed just now is read again, as it may be half-written.
    pub(super) fn read(path: &Path, has_endpoint: bool) -> Result<CredentialFile> {
        match CredentialFile::read_once(path, has_endpoint) {
            Err(_) if files::is_new(path) => {
                files::settle();
                CredentialFile::read_once(path, has_endpoint)
            }
            read => read,
        }
    }

    fn read_once(path: &Path, has_endpoint: bool) -> Result<CredentialFile> {
        let contents = fork::unprotected(|| files::read(path, MAX_FILE))
            .map_err(|error| error.map_message(|message| format!("credentials for Google: {message}")))?;
        let contents = contents.bytes.freeze();
        let whole = SecretObject::parse(&contents).ok_or_else(|| invalid(path, "is not a JSON object"))?;
        let universe = whole.text("universe_domain").unwrap_or(GOOGLE);
        if universe != GOOGLE && !has_endpoint {
            let what = "is of another universe than googleapis.com; set `google_endpoint_url` to its Secret Manager";
            return Err(invalid(path, what));
        }
        let text = |name| whole.text(name).map(str::to_owned);
        let (project, quota_project) = (text("project_id"), text("quota_project_id"));
        let credentials = credentials(&whole).map_err(|what| invalid(path, what))?;
        Ok(CredentialFile { path: path.to_owned(), contents, credentials, project, quota_project })
    }
}

/// The error of a file: `what` is `is …`, `has no …`.
pub(super) fn invalid(path: &Path, what: impl AsRef<str>) -> Error {
    Error::new(Status::Config, format!("the credentials file {} {}", path.display(), what.as_ref()))
}

fn credentials(file: &SecretObject) -> Result<CredentialsFile, String> {
    let kind = file.text("type").ok_or("has no \"type\"; it is not a credentials file of Google's tools")?;
    let credentials = match kind {
        "service_account" => CredentialsFile::ServiceAccount {
            email: text(file, "client_email")?,
            key_id: file.text("private_key_id").unwrap_or_default().to_owned(),
            private_key: secret(file, "private_key")?,
        },
        "authorized_user" => CredentialsFile::User {
            client_id: text(file, "client_id")?,
            client_secret: secret(file, "client_secret")?,
            refresh_token: secret(file, "refresh_token")?,
            token_url: url(file, "token_uri")?.unwrap_or_else(|| TOKEN_URL.to_owned()),
        },
        "external_account" => CredentialsFile::External(Box::new(external(file)?)),
        "impersonated_service_account" => {
            let source = file.object("source_credentials").ok_or("has no \"source_credentials\"")?;
            return match source.text("type") {
                Some("service_account" | "authorized_user" | "external_account") => {
                    impersonated(file, credentials(&source)?)
                }
                _ => Err("has \"source_credentials\" of a type that is not supported".to_owned()),
            };
        }
        other if other.len() < 40 && other.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') => {
            return Err(format!(
                "has the type {other:?}, which is not supported; use a service account key, `gcloud auth \
                 application-default login` or workload identity federation"
            ));
        }
        _ => return Err("has a \"type\" that is not supported".to_owned()),
    };
    match file.text("service_account_impersonation_url") {
        Some(_) => impersonated(file, credentials),
        None => Ok(credentials),
    }
}

fn impersonated(file: &SecretObject, source: CredentialsFile) -> Result<CredentialsFile, String> {
    let options = file.object("service_account_impersonation");
    let seconds = options.and_then(|options| options.number("token_lifetime_seconds"));
    let delegates = file.text("delegates").map(serde_json::from_str::<Vec<String>>).and_then(Result::ok);
    Ok(CredentialsFile::Impersonated {
        source: Box::new(source),
        url: url(file, "service_account_impersonation_url")?.ok_or("has no \"service_account_impersonation_url\"")?,
        delegates: delegates.unwrap_or_default(),
        seconds: seconds.filter(|seconds| (600..=43_200).contains(seconds)).unwrap_or(3600),
    })
}

fn external(file: &SecretObject) -> Result<External, String> {
    let source = file.object("credential_source").ok_or("has no \"credential_source\"")?;
    let subject = match (source.text("file"), source.text("url")) {
        _ if source.text("environment_id").is_some() => aws(&source)?,
        (Some(path), _) => Subject::File(PathBuf::from(path)),
        (None, Some(url)) => {
            let headers = source.object("headers");
            let headers = headers.iter().flat_map(SecretObject::texts);
            let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            Subject::Url { url: url.to_owned(), headers }
        }
        (None, None) => match source.object("executable") {
            Some(executable) => Subject::Executable(Executable::of_file(&executable)?),
            None => {
                let what =
                    "has a \"credential_source\" that is neither a \"file\", a \"url\", an \"executable\" nor AWS";
                return Err(what.to_owned());
            }
        },
    };
    let format = source.object("format");
    let field = match format.as_ref().and_then(|format| format.text("type")) {
        None | Some("text") => None,
        Some("json") => {
            let name = format.as_ref().and_then(|format| format.text("subject_token_field_name"));
            Some(name.ok_or("has no \"subject_token_field_name\"")?.to_owned())
        }
        Some(_) => return Err("has a \"format\" of its token that is neither \"text\" nor \"json\"".to_owned()),
    };
    let client = match file.text("client_id") {
        Some(id) => Some((id.to_owned(), secret(file, "client_secret")?)),
        None => None,
    };
    Ok(External {
        audience: text(file, "audience")?,
        subject_token_type: text(file, "subject_token_type")?,
        token_url: url(file, "token_url")?.ok_or("has no \"token_url\"")?,
        subject,
        field,
        client,
        workforce_project: file.text("workforce_pool_user_project").map(str::to_owned),
        email: file.text("service_account_impersonation_url").and_then(|url| {
            let name = url.rsplit('/').next()?.strip_suffix(":generateAccessToken")?;
            Some(name.to_owned())
        }),
    })
}

fn aws(source: &SecretObject) -> Result<Subject, String> {
    if source.text("environment_id") != Some("aws1") {
        return Err("has an \"environment_id\" that is not \"aws1\"".to_owned());
    }
    let url = source.text("regional_cred_verification_url").filter(|url| url.starts_with("https://"));
    let url = url.ok_or("has no \"regional_cred_verification_url\" that begins with https://")?;
    Ok(Subject::Aws { url: url.to_owned() })
}

fn text(file: &SecretObject, name: &str) -> Result<String, String> {
    file.text(name).map(str::to_owned).ok_or_else(|| format!("has no {name:?}"))
}

fn secret(file: &SecretObject, name: &str) -> Result<SecretBytes, String> {
    file.get(name).filter(|value| !value.is_empty()).cloned().ok_or_else(|| format!("has no {name:?}"))
}

/// A URL to which a secret is sent.
fn url(file: &SecretObject, name: &str) -> Result<Option<String>, String> {
    match file.text(name) {
        None => Ok(None),
        Some(url) if is_safe(url) => Ok(Some(url.to_owned())),
        Some(_) => Err(format!("has a {name:?} that is not a URL with https://")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(file: Value) -> Result<CredentialsFile, String> {
        credentials(&SecretObject::parse(file.to_string().as_bytes()).unwrap())
    }

    #[test]
    fn unusable_file_is_refused_with_the_reason_and_without_its_text() {
        let external = |source: Value| {
            json!({"type": "external_account", "audience": "a", "subject_token_type": "t",
                "token_url": "https://sts.googleapis.com/v1/token", "credential_source": source})
        };
        for (file, words) in [
            (json!({}), "has no \"type\""),
            (json!({"type": "CANARY!"}), "has a \"type\" that is not supported"),
            (json!({"type": "gdch_service_account"}), "\"gdch_service_account\", which is not supported"),
            (json!({"type": "service_account", "private_key": "CANARY"}), "has no \"client_email\""),
            (
                json!({"type": "authorized_user", "client_id": "a", "client_secret": "CANARY"}),
                "has no \"refresh_token\"",
            ),
            (external(json!({})), "neither a \"file\", a \"url\", an \"executable\" nor AWS"),
            (external(json!({"executable": {"command": "'CANARY"}})), "can be split into words"),
            (external(json!({"executable": {"command": "a", "timeout_millis": 1}})), "\"timeout_millis\""),
            (external(json!({"environment_id": "aws2", "url": "http://x"})), "not \"aws1\""),
            (external(json!({"environment_id": "aws1", "url": "http://x"})), "no \"regional_cred_verification_url\""),
            (external(json!({"file": "/t", "format": {"type": "json"}})), "subject_token_field_name"),
            (
                json!({"type": "external_account", "audience": "a", "subject_token_type": "t",
                    "token_url": "http://CANARY/", "credential_source": {"file": "/t"}}),
                "\"token_url\" that is not a URL with https://",
            ),
            (json!({"type": "impersonated_service_account"}), "has no \"source_credentials\""),
        ] {
            let what = parse(file).err().unwrap();
            assert!(what.contains(words) && !what.contains("CANARY"), "{words}: {what}");
        }
    }
}
