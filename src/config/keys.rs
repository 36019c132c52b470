//! The keys of a configuration, and the type of each.

use SettingKind::{Count, Flag, Fraction, Lifetime, List, Providers, Seconds, Size, Text, Texts};

use crate::error::{Error, Result, Status};
use crate::features;

/// The type of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SettingKind {
    Text,
    Flag,
    Seconds,
    /// Seconds, or 0.
    Lifetime,
    List,
    /// A text or a list of texts.
    Texts,
    /// A list of texts and objects.
    Providers,
    Count,
    /// A count, or 0.
    Size,
    /// From 0 to 1.
    Fraction,
}

impl SettingKind {
    pub(super) fn expected(self) -> &'static str {
        match self {
            Text => "text without NUL, CR or LF",
            Flag => "true or false",
            Seconds => "a number of seconds above 0",
            Lifetime => "a number of seconds, 0 or more",
            List => "a JSON array of texts",
            Texts => "text without NUL, CR or LF, or a JSON array of such texts",
            Providers => "a JSON array of names and objects, such as [\"env\", {\"exec\": [\"program\"]}]",
            Count => "a whole number of 1 or more",
            Size => "a whole number, 0 or more",
            Fraction => "a number between 0 and 1",
        }
    }
}

/// Every known key.
const KEYS: &[(&str, SettingKind)] = &[
    ("absent_ttl", Lifetime),
    ("audit_database", Text),
    ("aws_agent_token_file", Text),
    ("aws_agent_url", Text),
    ("aws_endpoint_url", Text),
    ("aws_external_id", Text),
    ("aws_parameters_endpoint_url", Text),
    ("aws_parameters_path", Texts),
    ("aws_profile", Text),
    ("aws_queue_url", Text),
    ("aws_region", Texts),
    ("aws_role_arn", Text),
    ("aws_role_session_name", Text),
    ("aws_secret_name", Texts),
    ("aws_version_id", Text),
    ("aws_version_stage", Text),
    ("azure_auth", Text),
    ("azure_secret_name", Texts),
    ("azure_vault_url", Text),
    ("cache_ttl", Lifetime),
    ("cleanup_interval", Seconds),
    ("database", Text),
    ("default_ttl", Lifetime),
    ("env_prefix", Text),
    ("file_path", Text),
    ("generate", Flag),
    ("google_credentials_file", Text),
    ("google_endpoint_url", Text),
    ("google_location", Text),
    ("google_project", Text),
    ("google_secret_name", Texts),
    ("infisical_auth", Text),
    ("infisical_client_id", Text),
    ("infisical_client_secret", Text),
    ("infisical_client_secret_file", Text),
    ("infisical_environment", Text),
    ("infisical_identity_id", Text),
    ("infisical_jwt_file", Text),
    ("infisical_path", Texts),
    ("infisical_project", Text),
    ("infisical_token", Text),
    ("infisical_token_file", Text),
    ("infisical_url", Text),
    ("key", Text),
    ("key_file", Text),
    ("keyed_hash", Flag),
    ("kubernetes_ca_cert", Text),
    ("kubernetes_client_cert", Text),
    ("kubernetes_client_key", Text),
    ("kubernetes_namespace", Text),
    ("kubernetes_secret", Texts),
    ("kubernetes_selector", Text),
    ("kubernetes_token_file", Text),
    ("kubernetes_url", Text),
    ("max_attempts", Count),
    ("max_backoff", Lifetime),
    ("max_size", Size),
    ("max_stale", Lifetime),
    ("miss_ttl", Lifetime),
    ("onepassword_item", Texts),
    ("onepassword_token", Text),
    ("onepassword_token_file", Text),
    ("onepassword_url", Text),
    ("onepassword_vault", Text),
    ("previous_keys", List),
    ("providers", Providers),
    ("redact_min", Count),
    ("redact_with", Text),
    ("set_provider", Text),
    ("share", Text),
    ("share_ca_cert", Text),
    ("share_client_cert", Text),
    ("share_client_key", Text),
    ("share_dir", Text),
    ("share_key", Text),
    ("share_kms_key", Text),
    ("share_transit", Text),
    ("share_url", Text),
    ("soft_ttl", Lifetime),
    ("state_dir", Text),
    ("strict_permissions", Flag),
    ("tier", Text),
    ("tier_interval", Seconds),
    ("tier_name", Text),
    ("timeout", Seconds),
    ("ttl_jitter", Fraction),
    ("vault_auth", Text),
    ("vault_auth_mount", Text),
    ("vault_aws_region", Text),
    ("vault_aws_server_id", Text),
    ("vault_ca_cert", Text),
    ("vault_client_cert", Text),
    ("vault_client_key", Text),
    ("vault_jwt_file", Text),
    ("vault_kv_version", Text),
    ("vault_metadata_interval", Seconds),
    ("vault_mount", Text),
    ("vault_namespace", Text),
    ("vault_password", Text),
    ("vault_password_file", Text),
    ("vault_path", Texts),
    ("vault_role", Text),
    ("vault_role_id", Text),
    ("vault_secret_id", Text),
    ("vault_secret_id_file", Text),
    ("vault_secret_id_wrapped", Flag),
    ("vault_token", Text),
    ("vault_token_file", Text),
    ("vault_url", Text),
    ("vault_username", Text),
];

/// Returns a known key and its type.
pub(super) fn known_key(key: &str) -> Result<(&'static str, SettingKind)> {
    if let Some(known) = KEYS.iter().find(|(name, _)| *name == key) {
        features::check(known.0)?;
        return Ok(*known);
    }
    let names = KEYS.iter().map(|(name, _)| *name);
    let shown: String = key.chars().take(64).collect();
    Err(Error::new(
        Status::Config,
        match nearest(key, names.clone()) {
            Some(name) => format!("unknown configuration key {shown:?}; did you mean `{name}`?"),
            None => {
                let all: Vec<_> = names.collect();
                format!("unknown configuration key {shown:?}; the known ones are {}", all.join(", "))
            }
        },
    ))
}

/// Returns the known name that is most similar to `given`, if it is similar enough to be what was meant.
pub(crate) fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let given: String = given.chars().take(64).flat_map(char::to_lowercase).collect();
    let distance = |name: &str| strsim::damerau_levenshtein(&given, name);
    known.min_by_key(|name| distance(name)).filter(|name| distance(name) <= 2 + name.len() / 3)
}
