//! Settings from the variables of Vault's and OpenBao's own tools, and their formats.

#[cfg(feature = "aws")]
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
#[cfg(feature = "aws")]
use crate::secrets::aws::AwsCommon;
use crate::secrets::shared_login::SharedLogins;
use crate::settings::{Environment, InvalidSetting, Setting};

/// What the Vault providers of a manager have in common.
#[derive(Clone)]
pub(crate) struct VaultCommon {
    pub(crate) logins: SharedLogins,
    /// For the login with credentials of AWS.
    #[cfg(feature = "aws")]
    pub(crate) aws: Arc<AwsCommon>,
}

/// Reads settings from the configuration and the environment.
pub(super) struct SettingsReader<'a> {
    pub(super) config: &'a Config,
    pub(super) environment: &'a Environment,
    pub(super) common: &'a VaultCommon,
}

impl SettingsReader<'_> {
    /// The value of `BAO_NAME` or, where that is not set, of `VAULT_NAME`. An empty variable counts as not set, but an
    /// empty `BAO_NAME` hides `VAULT_NAME`.
    pub(super) fn tool_variable(&self, name: &str) -> Result<Option<Setting>, InvalidSetting> {
        self.environment.setting(&self.variable_name(name))
    }

    /// As [`tool_variable`](Self::tool_variable), but the value may have several lines.
    pub(super) fn tool_variable_lines(&self, name: &str) -> Result<Option<Setting>, InvalidSetting> {
        self.environment.lines(&self.variable_name(name))
    }

    fn variable_name(&self, name: &str) -> String {
        let of_openbao = format!("BAO_{name}");
        if self.environment.raw(&of_openbao).is_some() { of_openbao } else { format!("VAULT_{name}") }
    }

    /// The value of a configuration key or, where that is not set, of the tools' variable.
    pub(super) fn config_or_variable(&self, key: &'static str, name: &str) -> Result<Option<Setting>, InvalidSetting> {
        match self.config.setting(key)? {
            Some(setting) => Ok(Some(setting)),
            None => self.tool_variable(name),
        }
    }

    /// The files of the client certificate and its key. Both are set, or none.
    pub(super) fn client_certificate(&self) -> Result<Option<(Setting, Setting)>, InvalidSetting> {
        let certificate = self.config_or_variable("vault_client_cert", "CLIENT_CERT")?;
        match (certificate, self.config_or_variable("vault_client_key", "CLIENT_KEY")?) {
            (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            (None, None) => Ok(None),
            (Some(setting), None) => Err(setting.invalid(
                "is set, but neither vault_client_key nor VAULT_CLIENT_KEY is; certificate and key are needed",
            )),
            (None, Some(setting)) => Err(setting.invalid(
                "is set, but neither vault_client_cert nor VAULT_CLIENT_CERT is; certificate and key are needed",
            )),
        }
    }

    /// The value of the tools' variable as a flag: `true` or `false`, or `1`, `t`, `0`, `f`. The default is `false`.
    pub(super) fn flag(&self, name: &str) -> Result<bool, InvalidSetting> {
        let Some(setting) = self.tool_variable(name)? else { return Ok(false) };
        match setting.text() {
            "1" | "t" | "T" => Ok(true),
            "0" | "f" | "F" => Ok(false),
            _ => setting.flag(),
        }
    }

    /// The value of the tools' variable as a time: seconds, or a duration as Go writes it, such as `90`, `1m30s` or
    /// `500ms`; also `1d`.
    pub(super) fn duration(&self, name: &str) -> Result<Option<Duration>, InvalidSetting> {
        let Some(setting) = self.tool_variable(name)? else { return Ok(None) };
        let duration = parse_duration(setting.text());
        duration.map(Some).ok_or_else(|| setting.invalid("must be seconds, or a duration such as 1m30s or 500ms"))
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let (mut rest, mut total) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let after = &rest[digits..];
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        total += number
            * match &after[..unit] {
                "d" => 86_400.0,
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = &after[unit..];
    }
    Duration::try_from_secs_f64(total).ok().filter(|_| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Default for VaultCommon {
        fn default() -> VaultCommon {
            let logins = SharedLogins::default();
            VaultCommon {
                #[cfg(feature = "aws")]
                aws: Arc::new(AwsCommon::new(logins.clone())),
                logins,
            }
        }
    }

    #[test]
    fn duration_is_parsed_as_go_writes_it() {
        for (text, time) in [
            ("90", Some(Duration::from_secs(90))),
            ("1m30s", Some(Duration::from_secs(90))),
            ("500ms", Some(Duration::from_millis(500))),
            ("1.5h", Some(Duration::from_secs(5400))),
            ("1d", Some(Duration::from_secs(86_400))),
            ("", None),
            ("soon", None),
            ("-1", None),
            ("1m30", None),
            ("s", None),
        ] {
            assert_eq!(parse_duration(text), time, "{text:?}");
        }
    }

    #[test]
    fn empty_bao_variable_hides_the_vault_variable() {
        let environment = Environment::fixed(&[("BAO_TOKEN", ""), ("VAULT_TOKEN", "x"), ("VAULT_ADDR", "x")]);
        let common = VaultCommon::default();
        let reader = SettingsReader { config: &Config::new(), environment: &environment, common: &common };
        assert!(reader.tool_variable("TOKEN").unwrap().is_none());
        let origin = reader.tool_variable("ADDR").unwrap().unwrap().origin;
        assert_eq!(origin.to_string(), "the variable VAULT_ADDR");
        assert!(reader.tool_variable("NAMESPACE").unwrap().is_none());
    }
}
