use super::*;

/// Calls `test` with the settings of this configuration, these variables and this config file.
fn with<T>(
    own: &[(&str, &str)],
    variables: &[(&str, &str)],
    text: &str,
    test: impl FnOnce(Result<AwsSettings<'_>>) -> T,
) -> T {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config");
    std::fs::write(&path, text).unwrap();
    let mut variables = variables.to_vec();
    variables.push(("AWS_CONFIG_FILE", path.to_str().unwrap()));
    let environment = Environment::fixed(&variables);
    let mut config = Config::new();
    config.set("aws_secret_name", "x").unwrap();
    own.iter().for_each(|(key, value)| config.set(key, value).unwrap());
    let selection = Selection::of_config(&config, &environment).unwrap().unwrap();
    let own = ProviderSettings::read(&config, AwsTarget::Secrets(selection)).unwrap();
    test(AwsSettings::read(&own, &environment))
}

#[test]
fn region_has_an_order_of_precedence() {
    let file = "[default]\nregion = of-profile-1\n[profile p]\nregion = of-other-1\n";
    let own: &[_] = &[("aws_region", "of-own-1")];
    let arn = "arn:aws:secretsmanager:of-arn-1:123456789012:secret:x";
    let variable = ("AWS_REGION", "of-variable-1");
    let older = ("AWS_DEFAULT_REGION", "of-older-1");
    for (own, variables, text, region) in [
        (own, &[variable, older][..], file, Some("of-own-1")),
        (&[], &[variable, older], file, Some("of-variable-1")),
        (&[], &[older], file, Some("of-older-1")),
        (&[], &[], file, Some("of-profile-1")),
        (&[], &[("AWS_PROFILE", "p")], file, Some("of-other-1")),
        (&[("aws_profile", "p")], &[("AWS_PROFILE", "default")], file, Some("of-other-1")),
        (&[("aws_secret_name", arn)], &[], file, Some("of-profile-1")),
        (&[("aws_secret_name", arn)], &[], "", Some("of-arn-1")),
        (&[], &[], "", None),
    ] {
        let found = with(own, variables, text, |settings| settings.unwrap().region().unwrap());
        assert_eq!(found.as_deref(), region, "{own:?} {variables:?}");
    }
}

#[test]
fn endpoint_has_an_order_of_precedence() {
    let file = "[default]\nservices = s\nendpoint_url = https://profile\n\
        [services s]\nsecrets_manager =\n  endpoint_url = https://service\n";
    let plain = "[default]\nendpoint_url = https://profile\n";
    let own: &[_] = &[("aws_endpoint_url", "https://own")];
    let special = ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "https://special");
    let general = ("AWS_ENDPOINT_URL", "https://general");
    let ignore = ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true");
    let usual = "https://secretsmanager.us-east-1.amazonaws.com/";
    for (own, variables, text, url) in [
        (own, &[special, general][..], file, "https://own/"),
        (&[], &[special, general], file, "https://special/"),
        (&[], &[general], file, "https://general/"),
        (&[], &[], file, "https://service/"),
        (&[], &[], plain, "https://profile/"),
        (&[], &[], "", usual),
        (&[], &[special, general, ignore], file, usual),
        (own, &[ignore], file, "https://own/"),
        (&[], &[], &format!("{plain}ignore_configured_endpoint_urls = true\n"), usual),
        (&[], &[], "[default]\nuse_fips_endpoint = true\n", "https://secretsmanager-fips.us-east-1.amazonaws.com/"),
    ] {
        let found = with(own, variables, text, |settings| {
            settings.unwrap().endpoint(Service::SecretsManager, "us-east-1").unwrap().url
        });
        assert_eq!(found, url, "{own:?} {variables:?}");
    }
    let sts = with(own, &[special], file, |settings| settings.unwrap().endpoint(Service::Sts, "us-east-1"));
    assert_eq!(sts.unwrap().url, "https://profile/", "the endpoint of another service is not used");
}

#[test]
fn pseudo_region_selects_fips_endpoints() {
    for region in ["fips-us-east-1", "us-east-1-fips"] {
        with(&[], &[("AWS_REGION", region)], "", |settings| {
            let settings = settings.unwrap();
            let region = settings.region().unwrap().unwrap();
            assert_eq!(region, "us-east-1");
            let url = settings.endpoint(Service::SecretsManager, &region).unwrap().url;
            assert_eq!(url, "https://secretsmanager-fips.us-east-1.amazonaws.com/");
        });
    }
}

#[test]
fn attempts_have_an_order_of_precedence() {
    let file = "[default]\nmax_attempts = 5\n";
    let variable = ("AWS_MAX_ATTEMPTS", "4");
    for (own, variables, text, attempts) in [
        (&[("max_attempts", "2")][..], &[variable][..], file, Some(2)),
        (&[], &[variable], file, Some(4)),
        (&[], &[], file, Some(5)),
        (&[], &[], "", None),
    ] {
        assert_eq!(with(own, variables, text, |settings| settings.unwrap().max_attempts), attempts);
    }
    let error = with(&[], &[], "[default]\nmax_attempts = 0\n", |settings| settings.map(drop).unwrap_err());
    assert!(error.message().ends_with("config, line 2: `max_attempts` must be a whole number of 1 or more"), "{error}");
}

#[test]
fn contradiction_is_refused_with_its_location() {
    let services = "[default]\nservices = s\n";
    let fips = "[default]\nuse_fips_endpoint = true\nendpoint_url = https://x\n";
    for (text, words) in [
        (services, "config, line 2: there is no section [services s]"),
        (fips, "config, line 3: `endpoint_url` sets a custom endpoint, which cannot be combined with FIPS"),
        (
            "[default]\nendpoint_url = x\n",
            "config, line 2: `endpoint_url` is not an endpoint such as https://host:port: it begins with neither",
        ),
    ] {
        let error = with(&[], &[], text, |settings| {
            settings.unwrap().endpoint(Service::SecretsManager, "us-east-1").unwrap_err()
        });
        assert!(error.message().contains(words), "{error}");
    }
    let error = with(&[], &[], "[default]\nuse_fips_endpoint = yes\n", |settings| settings.map(drop).unwrap_err());
    assert!(error.message().ends_with("`use_fips_endpoint` must be true or false"), "{error}");
}
