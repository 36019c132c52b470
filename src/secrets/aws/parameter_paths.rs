//! Paths of parameters, checked before anything is sent.

use crate::config::Config;
use crate::settings::{InvalidSetting, Setting, SettingOrigin};

const PATH_KEY: &str = "aws_parameters_path";
const MAX_PATH: usize = 2048;

/// Paths of parameters, in order of precedence.
pub(super) struct ParameterPaths(pub(super) Vec<String>);

impl ParameterPaths {
    /// Reads the setting; `None` if no path is named.
    pub(super) fn read(config: &Config) -> Result<Option<ParameterPaths>, InvalidSetting> {
        let mut paths = Vec::new();
        for text in config.list(PATH_KEY).unwrap_or_default() {
            let path = checked_path(&Setting::new(SettingOrigin::Config(PATH_KEY), text.trim()))?;
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        Ok(Some(ParameterPaths(paths)).filter(|paths| !paths.0.is_empty()))
    }
}

/// Checks a path. Returns it with `/` at its end.
fn checked_path(setting: &Setting) -> Result<String, InvalidSetting> {
    let text = setting.text();
    if !text.starts_with('/') {
        return Err(setting.invalid_value("is not a path; a path begins with `/`, as in /app/prod"));
    }
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/_.-".contains(&byte);
    if text.len() > MAX_PATH || text.contains("//") || !text.bytes().all(is_allowed) {
        let why = format!("is not a path; it has at most {MAX_PATH} letters, digits and _.-/, and no empty part");
        return Err(setting.invalid_value(why));
    }
    Ok(format!("{}/", text.trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_checked_and_ends_with_a_slash() {
        let read = |text: &str| {
            let mut config = Config::new();
            config.set(PATH_KEY, text).unwrap();
            ParameterPaths::read(&config).map(|paths| paths.map_or(Vec::new(), |paths| paths.0))
        };
        assert_eq!(read(" /app/prod ").unwrap(), ["/app/prod/"]);
        assert_eq!(read("/").unwrap(), ["/"]);
        assert_eq!(read(r#"["/a", "/b/", "/a/"]"#).unwrap(), ["/a/", "/b/"]);
        assert!(read("").unwrap().is_empty() && read("[]").unwrap().is_empty());
        for text in ["app", "/a b", "/a//b", "/a:3", "/é", &format!("/{}", "x".repeat(2048))] {
            let error = read(text).unwrap_err().error;
            assert!(error.message().starts_with("the configuration key `aws_parameters_path`: "), "{error}");
        }
    }
}
