//! The token that the agent requires.

use std::path::Path;

use zeroize::Zeroizing;

use super::agent::{Agent, TOKEN_KEY};
use super::credentials::read_token;
use super::errors::config_error;
use crate::error::Result;
use crate::settings::{Environment, SettingOrigin};

/// Where the agent itself looks for the token; each has the token, or `file://` and a path.
const TOKEN_VARIABLES: [&str; 3] = ["AWS_TOKEN", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN"];
/// Where the installation of the agent puts the token.
const TOKEN_FILE: &str = "/var/run/awssmatoken";

/// Returns the token, and where it is from.
pub(super) fn token(agent: &Agent, environment: &Environment) -> Result<(Zeroizing<String>, SettingOrigin)> {
    if let Some(setting) = &agent.token_file {
        return Ok((read_token(&setting.path(), &setting.origin.to_string())?, setting.origin.clone()));
    }
    if let Some(setting) = environment.first(&TOKEN_VARIABLES)? {
        return match setting.text().strip_prefix("file://") {
            Some(path) => Ok((read_token(Path::new(path), &setting.origin.to_string())?, setting.origin)),
            None => Ok((setting.value, setting.origin)),
        };
    }
    if !Path::new(TOKEN_FILE).exists() {
        return Err(config_error(format!(
            "there is no token for the agent at {}: set `{TOKEN_KEY}` to its file, or AWS_TOKEN",
            agent.url
        )));
    }
    Ok((read_token(Path::new(TOKEN_FILE), "the agent")?, SettingOrigin::Named(TOKEN_FILE.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Setting;

    #[test]
    fn token_comes_from_the_first_place_that_has_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "of-the-file\n").unwrap();
        let by_path = format!("file://{}", path.display());
        let agent = |token_file: Option<&Path>| Agent {
            url: "http://localhost/".to_owned(),
            token_file: token_file.map(|path| Setting::new(SettingOrigin::Config(TOKEN_KEY), path.to_str().unwrap())),
        };
        let token = |agent: Agent, variables: &[(&str, &str)]| {
            super::token(&agent, &Environment::fixed(variables))
                .map(|(token, origin)| (token.to_string(), origin.to_string()))
        };
        let session = ("AWS_SESSION_TOKEN", "of-lambda");
        assert_eq!(token(agent(None), &[session]).unwrap().0, "of-lambda");
        let (text, origin) = token(agent(None), &[session, ("AWS_TOKEN", &by_path)]).unwrap();
        assert_eq!((text.as_str(), origin.as_str()), ("of-the-file", "the variable AWS_TOKEN"));
        assert_eq!(token(agent(Some(&path)), &[session]).unwrap().0, "of-the-file");
        let missing = token(agent(Some(Path::new("/no/such"))), &[session]).unwrap_err();
        assert!(missing.message().contains("`aws_agent_token_file`"), "{missing}");
    }
}
