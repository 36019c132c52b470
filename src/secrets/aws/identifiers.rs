//! Secret ids, regions and parameters of roles, checked before anything is sent.

use crate::settings::{InvalidSetting, Setting, excerpt};

/// The id of a secret: its name or its ARN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SecretId {
    pub(super) text: String,
    /// The region in the ARN; `None` for a name.
    pub(super) region: Option<String>,
}

const MAX_NAME: usize = 512;
const MAX_ARN: usize = 2048;
const ARN_FORM: &str = "arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME";

impl SecretId {
    /// Parses a name or an ARN.
    pub(super) fn parse(setting: &Setting) -> Result<SecretId, InvalidSetting> {
        let text = setting.text();
        let invalid = |why: String| Err(setting.invalid_value(why));
        if text.starts_with("arn:") {
            return match arn_region(text) {
                Ok(region) => Ok(SecretId { text: text.to_owned(), region: Some(region.to_owned()) }),
                Err(why) => invalid(format!("is not the ARN of a secret: {why}; the form is {ARN_FORM}")),
            };
        }
        if text.is_empty() || text.len() > MAX_NAME {
            return invalid(format!("has {} characters; the name of a secret has 1 to {MAX_NAME}", text.len()));
        }
        match text.chars().find(|character| !is_name_character(*character)) {
            Some(':') => {
                invalid(format!("is neither the name of a secret, which contains no `:`, nor an ARN, {ARN_FORM}"))
            }
            Some(character) => invalid(format!(
                "contains {character:?}; the name of a secret consists of letters, digits and /_+=.@!-"
            )),
            None => Ok(SecretId { text: text.to_owned(), region: None }),
        }
    }

    /// That of a secret with this name, which AWS returned.
    pub(super) fn of_name(name: String) -> SecretId {
        SecretId { text: name, region: None }
    }

    /// Whether this id identifies the secret with this ARN and name. An ARN may lack the hyphen and six characters that
    /// AWS appends to the name.
    pub(super) fn matches(&self, arn: &str, name: &str) -> bool {
        let without_suffix = arn.len().checked_sub(7).and_then(|end| arn.get(..end));
        match self.region {
            None => self.text == name,
            Some(_) => self.text == arn || Some(self.text.as_str()) == without_suffix,
        }
    }
}

/// Other services create secrets with `!` in the name, as in `rds!cluster-…`.
fn is_name_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || "/_+=.@!-".contains(character)
}

fn arn_region(arn: &str) -> Result<&str, String> {
    let parts: Vec<&str> = arn.splitn(7, ':').collect();
    let &[_, partition, service, region, account, kind, name] = parts.as_slice() else {
        return Err(format!("it has {} of its 7 parts", parts.len()));
    };
    if arn.len() > MAX_ARN {
        return Err(format!("it is longer than {MAX_ARN} characters"));
    }
    if !partition.starts_with("aws") || !is_label(partition) {
        return Err(format!("{:?} is not a partition such as `aws`", excerpt(partition)));
    }
    if service != "secretsmanager" || kind != "secret" {
        return Err(format!("it names a {:?} of {:?}", excerpt(kind), excerpt(service)));
    }
    if !is_label(region) {
        return Err(format!("{:?} is not a region", excerpt(region)));
    }
    if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("an account id has 12 digits".to_owned());
    }
    if name.is_empty() || !name.chars().all(is_name_character) {
        return Err("its name must consist of letters, digits and /_+=.@!-".to_owned());
    }
    Ok(region)
}

/// Checks that a region can be part of a host name. `setting` names the setting for messages.
pub(super) fn checked_region(setting: &Setting) -> Result<String, InvalidSetting> {
    let text = setting.text();
    if is_label(text) {
        return Ok(text.to_owned());
    }
    let why = "is not a region; a region is like us-east-1";
    let corrected = text.to_ascii_lowercase().replace(['_', ' '], "-");
    Err(if is_label(&corrected) && is_aws_region(&corrected) {
        setting.invalid_value(format!("{why}; did you mean {corrected:?}?"))
    } else {
        setting.invalid_value(why)
    })
}

/// Whether a region has the form of AWS regions. Services that are compatible with AWS may use others.
pub(super) fn is_aws_region(region: &str) -> bool {
    let parts: Vec<&str> = region.split('-').collect();
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    matches!(parts.as_slice(), [area, .., last] if parts.len() >= 3 && (2..=4).contains(&area.len()) && number(last))
}

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Checks the ARN of a role.
pub(super) fn checked_role_arn(setting: &Setting) -> Result<String, InvalidSetting> {
    let text = setting.text();
    let is_role = text.starts_with("arn:aws") && text.split(':').count() >= 6 && text.contains(":role/");
    if !is_role || text.len() > 2048 || text.contains(char::is_whitespace) {
        return Err(setting.invalid_value("is not the ARN of a role, arn:aws:iam::ACCOUNT:role/NAME"));
    }
    Ok(text.to_owned())
}

/// Checks the name of a session of a role.
pub(super) fn checked_session_name(setting: &Setting) -> Result<String, InvalidSetting> {
    let text = setting.text();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_=,.@-+".contains(&byte);
    if !(2..=64).contains(&text.len()) || !text.bytes().all(allowed) {
        let why = "is not a valid session name; it has 2 to 64 letters, digits and =,.@+_-";
        return Err(setting.invalid_value(why));
    }
    Ok(text.to_owned())
}

/// Checks an external id, which the owner of a role requires of those who assume it. It is not quoted, because some
/// treat it as a secret.
pub(super) fn checked_external_id(setting: &Setting) -> Result<String, InvalidSetting> {
    let text = setting.text();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&byte);
    if !(2..=1224).contains(&text.len()) || !text.bytes().all(allowed) {
        return Err(setting.invalid("must be an external id, which has 2 to 1224 letters, digits and _+=,.@:/-"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::SettingOrigin;

    fn setting(text: &str) -> Setting {
        Setting::new(SettingOrigin::Config("x"), text)
    }

    fn parse(text: &str) -> Result<SecretId, InvalidSetting> {
        SecretId::parse(&setting(text))
    }

    const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:myapp/prod-a1B2c3";

    #[test]
    fn secret_id_is_a_name_or_an_arn_with_a_region() {
        assert_eq!(parse("simpletuner/prod_1.2+x=@").unwrap().region, None);
        assert_eq!(parse("rds!cluster-0").unwrap().region, None);
        assert_eq!(parse(ARN).unwrap().region.as_deref(), Some("eu-west-1"));
        let china = "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:x-a1B2c3";
        assert_eq!(parse(china).unwrap().region.as_deref(), Some("cn-north-1"));
    }

    #[test]
    fn invalid_secret_id_is_refused_with_the_reason() {
        for (name, reason) in [
            ("", "has 0 characters"),
            ("my secret", "contains ' '"),
            ("name\r\nX-Evil: 1", "contains '\\r'"),
            ("nämé", "contains 'ä'"),
            ("secret:prod", "nor an ARN"),
            ("arn:aws:secretsmanager:eu-west-1", "it has 4 of its 7 parts"),
            ("arn:aws:s3:eu-west-1:123456789012:secret:x", "it names a \"secret\" of \"s3\""),
            ("arn:aws:secretsmanager::123456789012:secret:x", "\"\" is not a region"),
            ("arn:aws:secretsmanager:eu.evil.org/:123456789012:secret:x", "is not a region"),
            ("arn:aws:secretsmanager:eu-west-1:12:secret:x", "12 digits"),
            ("arn:aws:secretsmanager:eu-west-1:123456789012:secret:a b", "its name must consist of"),
        ] {
            let error = parse(name).unwrap_err().error;
            assert!(error.message().starts_with("the configuration key `x`: "), "{error}");
            assert!(error.message().contains(reason), "{name:?}: {error}");
            assert!(!error.message().contains(['\r', '\n']), "{error:?}");
        }
        assert!(parse(&"x".repeat(513)).is_err());
    }

    #[test]
    fn region_can_be_part_of_a_host_name() {
        assert_eq!(checked_region(&setting("us-gov-west-1")).unwrap(), "us-gov-west-1");
        for (given, hint) in [
            ("us_west_2", "did you mean \"us-west-2\"?"),
            ("US-EAST-1", "did you mean \"us-east-1\"?"),
            ("us east", "a region is like us-east-1"),
            ("evil.org/", "a region is like us-east-1"),
            ("us-east-1\r\nX: y", "a region is like us-east-1"),
        ] {
            let error = checked_region(&setting(given)).unwrap_err().error;
            assert!(error.message().starts_with("the configuration key `x`: "), "{error}");
            assert!(error.message().ends_with(hint), "{error}");
        }
        assert!(is_aws_region("us-gov-west-1") && is_aws_region("eusc-de-east-1"));
        assert!(!is_aws_region("useast1") && !is_aws_region("us-wst"));
    }

    #[test]
    fn arn_may_lack_the_suffix_of_the_name() {
        let short = parse("arn:aws:secretsmanager:eu-west-1:123456789012:secret:myapp/prod").unwrap();
        assert!(short.matches(ARN, "myapp/prod"));
        assert!(parse(ARN).unwrap().matches(ARN, "myapp/prod"));
        assert!(parse("myapp/prod").unwrap().matches(ARN, "myapp/prod"));
        assert!(!parse("myapp/pro").unwrap().matches(ARN, "myapp/prod"));
    }

    #[test]
    fn session_name_and_external_id_are_valid_for_sts() {
        let setting = |text: &str| Setting::new(SettingOrigin::Config("x"), text);
        for (text, is_name, is_external_id) in [
            ("ab", true, true),
            ("a.b@c=d,e+f-g_h", true, true),
            ("a", false, false),
            ("a b", false, false),
            ("ä-b", false, false),
            ("a/b:c", false, true),
        ] {
            assert_eq!(checked_session_name(&setting(text)).is_ok(), is_name, "{text}");
            assert_eq!(checked_external_id(&setting(text)).is_ok(), is_external_id, "{text}");
        }
        assert!(checked_session_name(&setting(&"x".repeat(65))).is_err());
        assert!(checked_external_id(&setting(&"x".repeat(1224))).is_ok());
        let error = checked_external_id(&setting(&"x".repeat(1225))).unwrap_err().error;
        assert!(!error.message().contains("xxx"), "{error}");
    }

    #[test]
    fn role_arn_is_checked() {
        for (arn, good) in [
            ("arn:aws:iam::123456789012:role/reader", true),
            ("arn:aws-cn:iam::123456789012:role/path/reader", true),
            ("reader", false),
            ("arn:aws:iam::123456789012:user/reader", false),
            ("arn:aws:iam::123456789012:role/a b", false),
        ] {
            assert_eq!(checked_role_arn(&Setting::new(SettingOrigin::Config("x"), arn)).is_ok(), good, "{arn}");
        }
    }
}
