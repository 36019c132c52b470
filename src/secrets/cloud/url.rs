//! URLs in settings and credential files.

use crate::http::url::Url;
use crate::settings::{InvalidSetting, Setting};

/// Returns the URL of a setting without `/` at its end. It is encrypted, or of this machine.
pub(in crate::secrets) fn checked(setting: &Setting) -> Result<String, InvalidSetting> {
    let url = any(setting)?;
    match is_safe(&url) {
        true => Ok(url),
        false => Err(setting.invalid("must begin with https://, because its host is not this machine")),
    }
}

/// Returns the URL of a setting without `/` at its end, of a server that may be without encryption.
pub(in crate::secrets) fn any(setting: &Setting) -> Result<String, InvalidSetting> {
    Url::parse(setting.text()).map_err(|why| setting.invalid(format!("is not a valid URL: {why}")))?;
    if setting.text().contains('?') {
        return Err(setting.invalid("has a query (`?`)"));
    }
    Ok(setting.text().trim_end_matches('/').to_owned())
}

/// Whether secrets may be sent to this URL: it is encrypted, or of this machine.
pub(in crate::secrets) fn is_safe(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| !url.origin.is_cleartext())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::SettingOrigin;

    #[test]
    fn url_is_encrypted_or_of_this_machine() {
        let check = |url: &str| checked(&Setting::new(SettingOrigin::Config("google_endpoint_url"), url));
        assert_eq!(check("https://host/path/").unwrap(), "https://host/path");
        assert_eq!(check("http://127.0.0.1:1234").unwrap(), "http://127.0.0.1:1234");
        for url in ["http://host/", "host", "https://a:b@host", "https://host/?x=1", "ftp://host"] {
            let error = check(url).unwrap_err().error;
            assert!(error.message().starts_with("the configuration key `google_endpoint_url` "), "{error}");
        }
    }
}
