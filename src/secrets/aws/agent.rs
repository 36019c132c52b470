//! The settings of a local cache of Secrets Manager: AWS's agent, or its extension in Lambda.

use super::endpoint::{checked_url, is_cleartext};
use crate::config::Config;
use crate::settings::{InvalidSetting, Setting};

pub(super) const URL_KEY: &str = "aws_agent_url";
pub(super) const TOKEN_KEY: &str = "aws_agent_token_file";

/// The agent. It has credentials of its own.
pub(super) struct Agent {
    /// Ends with `/`.
    pub(super) url: String,
    pub(super) token_file: Option<Setting>,
}

impl Agent {
    /// Reads the settings; `None` if there is no agent.
    pub(super) fn read(config: &Config) -> Result<Option<Agent>, InvalidSetting> {
        let token_file = config.setting(TOKEN_KEY)?;
        let Some(setting) = config.setting(URL_KEY)? else {
            return match token_file {
                Some(setting) => Err(setting.invalid("needs `aws_agent_url`, the agent that the token is for")),
                None => Ok(None),
            };
        };
        let url = checked_url(&setting)?;
        if is_cleartext(&url) {
            return Err(setting.invalid("must be on this machine, as in http://localhost:2773, or begin with https://"));
        }
        Ok(Some(Agent { url, token_file }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agent_is_on_this_machine_or_encrypted() {
        let read = |url: &str| {
            let mut config = Config::new();
            config.set(URL_KEY, url).unwrap();
            Agent::read(&config).map(|agent| agent.unwrap().url)
        };
        for (url, expected) in [
            ("http://localhost:2773", "http://localhost:2773/"),
            ("http://127.0.0.1:2773/", "http://127.0.0.1:2773/"),
            ("http://[::1]:2773", "http://[::1]:2773/"),
            ("https://agent.internal", "https://agent.internal/"),
        ] {
            assert_eq!(read(url).unwrap(), expected);
        }
        for url in ["http://agent.internal:2773", "http://10.0.0.1:2773", "localhost:2773"] {
            let error = read(url).unwrap_err().error;
            assert!(error.message().starts_with("the configuration key `aws_agent_url` "), "{error}");
        }
        let mut config = Config::new();
        config.set(TOKEN_KEY, "/token").unwrap();
        assert!(Agent::read(&config).err().unwrap().error.message().contains("needs `aws_agent_url`"));
    }
}
