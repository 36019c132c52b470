//! Names of secrets and regions, checked before a byte is sent.

use crate::error::{Error, Result, Status};

/// What a secret is asked for by: its name, or its ARN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) text: String,
    /// The region that an ARN names.
    pub(super) region: Option<String>,
}

const MAX_NAME: usize = 512;
const MAX_ID: usize = 2048;
const ARN_FORM: &str = "arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME";

impl Name {
    /// `setting` is where the name was given.
    pub(super) fn parse(text: &str, setting: &str) -> Result<Name> {
        let refused = |why: String| Err(config(format!("{setting}: {:?} {why}", shown(text))));
        if text.starts_with("arn:") {
            return match arn_region(text) {
                Ok(region) => Ok(Name { text: text.to_owned(), region: Some(region.to_owned()) }),
                Err(why) => refused(format!("is not the ARN of a secret: {why}; the form is {ARN_FORM}")),
            };
        }
        if text.is_empty() || text.len() > MAX_NAME {
            return refused(format!("has {} characters; the name of a secret has 1 to {MAX_NAME}", text.len()));
        }
        match text.chars().find(|character| !is_name_character(*character)) {
            Some(':') => refused(format!("is neither the name of a secret, which has no `:`, nor an ARN, {ARN_FORM}")),
            Some(character) => refused(format!(
                "holds {character:?}; the name of a secret has letters, digits and /_+=.@!- alone, no white space"
            )),
            None => Ok(Name { text: text.to_owned(), region: None }),
        }
    }

    /// Whether this is what a secret with this ARN and this name was asked for by. An ARN may have been given without
    /// the six characters that AWS adds to the name.
    pub(super) fn is_of(&self, arn: &str, name: &str) -> bool {
        let without_suffix = arn.len().checked_sub(7).and_then(|end| arn.get(..end));
        match self.region {
            None => self.text == name,
            Some(_) => self.text == arn || Some(self.text.as_str()) == without_suffix,
        }
    }
}

/// `!` is in the names of secrets that other services keep, as in `rds!cluster-…`.
fn is_name_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || "/_+=.@!-".contains(character)
}

fn arn_region(arn: &str) -> std::result::Result<&str, String> {
    let parts: Vec<&str> = arn.splitn(7, ':').collect();
    let &[_, partition, service, region, account, kind, name] = parts.as_slice() else {
        return Err(format!("it has {} of its 7 parts", parts.len()));
    };
    if arn.len() > MAX_ID {
        return Err(format!("it is longer than {MAX_ID} characters"));
    }
    if !partition.starts_with("aws") || !is_label(partition) {
        return Err(format!("{:?} is no partition such as `aws`", shown(partition)));
    }
    if service != "secretsmanager" || kind != "secret" {
        return Err(format!("it is of {:?} in {:?}", shown(kind), shown(service)));
    }
    if !is_label(region) {
        return Err(format!("{:?} is not a region", shown(region)));
    }
    if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("an account has 12 digits".to_owned());
    }
    if name.is_empty() || !name.chars().all(is_name_character) {
        return Err("its name must have letters, digits and /_+=.@!- alone".to_owned());
    }
    Ok(region)
}

/// The region, if it can be part of a host name. `setting` is where it was given.
pub(super) fn region(text: &str, setting: &str) -> Result<String> {
    if is_label(text) {
        return Ok(text.to_owned());
    }
    let why = format!("{setting}: {:?} is not a region; a region is like us-east-1", shown(text));
    let corrected = text.trim().to_ascii_lowercase().replace(['_', ' '], "-");
    Err(config(if is_label(&corrected) && is_usual_region(&corrected) {
        format!("{why}; did you mean {corrected:?}?")
    } else {
        why
    }))
}

/// Whether it has the form of the regions that AWS has. Others have theirs at endpoints of their own.
pub(super) fn is_usual_region(region: &str) -> bool {
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

/// At most 100 characters of what was given.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

pub(super) fn config(message: impl Into<String>) -> Error {
    Error::new(Status::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:myapp/prod-a1B2c3";

    #[test]
    fn a_secret_has_a_name_or_an_arn_that_tells_its_region() {
        assert_eq!(Name::parse("simpletuner/prod_1.2+x=@", "x").unwrap().region, None);
        assert_eq!(Name::parse("rds!cluster-0", "x").unwrap().region, None);
        assert_eq!(Name::parse(ARN, "x").unwrap().region.as_deref(), Some("eu-west-1"));
        let china = "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:x-a1B2c3";
        assert_eq!(Name::parse(china, "x").unwrap().region.as_deref(), Some("cn-north-1"));
    }

    #[test]
    fn what_cannot_be_a_secret_is_refused_with_its_reason() {
        for (name, reason) in [
            ("", "has 0 characters"),
            ("my secret", "holds ' '"),
            ("name\r\nX-Evil: 1", "holds '\\r'"),
            ("nämé", "holds 'ä'"),
            ("secret:prod", "nor an ARN"),
            ("arn:aws:secretsmanager:eu-west-1", "it has 4 of its 7 parts"),
            ("arn:aws:s3:eu-west-1:123456789012:secret:x", "it is of \"secret\" in \"s3\""),
            ("arn:aws:secretsmanager::123456789012:secret:x", "\"\" is not a region"),
            ("arn:aws:secretsmanager:eu.evil.org/:123456789012:secret:x", "is not a region"),
            ("arn:aws:secretsmanager:eu-west-1:12:secret:x", "12 digits"),
            ("arn:aws:secretsmanager:eu-west-1:123456789012:secret:a b", "its name must have"),
        ] {
            let error = Name::parse(name, "`aws_secret_name`").unwrap_err();
            assert_eq!(error.status(), Status::Config);
            assert!(error.message().starts_with("`aws_secret_name`: "), "{error}");
            assert!(error.message().contains(reason), "{name:?}: {error}");
            assert!(!error.message().contains(['\r', '\n']), "{error:?}");
        }
        assert!(Name::parse(&"x".repeat(513), "x").is_err());
    }

    #[test]
    fn a_region_is_part_of_a_host_name() {
        assert_eq!(region("us-gov-west-1", "x").unwrap(), "us-gov-west-1");
        for (given, hint) in [
            ("us_west_2", "did you mean \"us-west-2\"?"),
            ("US-EAST-1", "did you mean \"us-east-1\"?"),
            ("us east", "a region is like us-east-1"),
            ("evil.org/", "a region is like us-east-1"),
            ("us-east-1\r\nX: y", "a region is like us-east-1"),
        ] {
            let error = region(given, "AWS_REGION").unwrap_err();
            assert!(error.message().starts_with("AWS_REGION: "), "{error}");
            assert!(error.message().ends_with(hint), "{error}");
        }
        assert!(is_usual_region("us-gov-west-1") && is_usual_region("eusc-de-east-1"));
        assert!(!is_usual_region("useast1") && !is_usual_region("us-wst"));
    }

    #[test]
    fn an_arn_may_lack_what_aws_adds_to_the_name() {
        let short = Name::parse("arn:aws:secretsmanager:eu-west-1:123456789012:secret:myapp/prod", "x").unwrap();
        assert!(short.is_of(ARN, "myapp/prod"));
        assert!(Name::parse(ARN, "x").unwrap().is_of(ARN, "myapp/prod"));
        assert!(Name::parse("myapp/prod", "x").unwrap().is_of(ARN, "myapp/prod"));
        assert!(!Name::parse("myapp/pro", "x").unwrap().is_of(ARN, "myapp/prod"));
    }
}
