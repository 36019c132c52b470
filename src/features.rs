//! The cargo features of the remote providers, which a program that needs none of them leaves out.

use crate::error::{Error, Result, Status};

/// The features, and whether each is compiled in.
const FEATURES: [(&str, bool); 8] = [
    ("aws", cfg!(feature = "aws")),
    ("azure", cfg!(feature = "azure")),
    ("exec", cfg!(feature = "exec")),
    ("google", cfg!(feature = "google")),
    ("infisical", cfg!(feature = "infisical")),
    ("kubernetes", cfg!(feature = "kubernetes")),
    ("onepassword", cfg!(feature = "onepassword")),
    ("vault", cfg!(feature = "vault")),
];

/// Whether this provider, or kind of provider, is compiled in.
pub(crate) fn is_compiled(name: &str) -> bool {
    left_out(name, &FEATURES).is_none()
}

/// Refuses a provider, a kind of provider or a setting of one that is not compiled in.
pub(crate) fn check(name: &str) -> Result<()> {
    check_among(name, &FEATURES)
}

fn check_among(name: &str, features: &[(&'static str, bool)]) -> Result<()> {
    let Some(feature) = left_out(name, features) else { return Ok(()) };
    Err(Error::new(
        Status::Config,
        format!("this library is built without `{name}`; build it with the cargo feature `{feature}`"),
    ))
}

/// The feature of a name, unless it is compiled in. The names of providers and settings begin with that of their
/// feature: `aws_parameters`, `aws_region`.
fn left_out(name: &str, features: &[(&'static str, bool)]) -> Option<&'static str> {
    let belongs =
        |feature: &str| name.strip_prefix(feature).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
    features.iter().find(|(feature, compiled)| !compiled && belongs(feature)).map(|(feature, _)| *feature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_feature_that_is_left_out_are_refused() {
        let features = [("aws", false), ("exec", true), ("vault", false)];
        for (name, feature) in
            [("aws", "aws"), ("aws_parameters", "aws"), ("aws_secret", "aws"), ("vault_url", "vault")]
        {
            let error = check_among(name, &features).unwrap_err();
            assert_eq!(error.status(), Status::Config);
            assert!(error.message().contains(&format!("`{name}`")), "{error}");
            assert!(error.message().contains(&format!("cargo feature `{feature}`")), "{error}");
        }
        for name in ["env", "exec", "file_path", "awsome", "vaults"] {
            assert!(check_among(name, &features).is_ok());
        }
    }

    #[test]
    fn features_that_are_compiled_in_are_accepted() {
        for (feature, compiled) in FEATURES {
            assert_eq!((check(feature).is_ok(), is_compiled(feature)), (compiled, compiled));
        }
    }
}
