//! Documents of each provider with a server: one load serves the processes with the same identity, and no others.

use serde_json::{Value, json};

use crate::common::proxy::{Proxy, Request};
use crate::common::servers::azure::{READER, SECRET, STRANGER, TENANT};
use crate::common::servers::infisical::PROJECT;
use crate::common::servers::{Azure, Google, Infisical, Kubernetes, OnePassword, moto, unique};
use crate::common::{temp, temp_in_memory, write};
use crate::worker::{Worker, canary, contains, merged};

type Variables = Vec<(String, String)>;

/// A provider whose requests pass a proxy.
struct Shared<'a> {
    proxy: Proxy,
    settings: Value,
    variables: Variables,
    key: &'a str,
    value: &'a str,
    /// What the path of a request for the document contains; requests without a token do not count.
    document: &'a str,
    /// What the path of a login contains.
    login: Option<&'a str>,
    /// What else processes may have, and what they then get.
    others: Vec<Other<'a>>,
}

/// What a process has besides the settings and variables of the others.
struct Other<'a> {
    settings: Value,
    variables: Variables,
    gets: Gets<'a>,
}

enum Gets<'a> {
    /// This value, with the same login.
    Value(&'a str),
    /// This value or error, as another identity.
    AsOther(Result<&'a str, &'a str>),
}

impl Shared<'_> {
    fn count(&self, counts: impl Fn(&Request) -> bool) -> usize {
        self.proxy.requests().iter().filter(|request| counts(request)).count()
    }

    fn loads(&self) -> usize {
        self.count(|request| request.header("authorization").is_some() && request.path.contains(self.document))
    }

    fn logins(&self) -> usize {
        self.login.map_or(0, |login| self.count(|request| request.path.contains(login)))
    }

    fn start(&self, directory: &std::path::Path, settings: &Value, variables: &Variables) -> Worker {
        let share = json!({"share": "host", "share_dir": directory.join("share"), "timeout": 60});
        let settings = merged(merged(self.settings.clone(), share), settings.clone());
        let variables: Vec<String> =
            self.variables.iter().chain(variables).map(|(name, value)| format!("{name}={value}")).collect();
        let words: Vec<&str> = ["env"].into_iter().chain(variables.iter().map(String::as_str)).collect();
        Worker::start_under(&words, &settings)
    }

    /// Gets the key in several processes at once, and then as others.
    fn is_loaded_once(&self) {
        let directory = temp_in_memory();
        let get = format!("get {}", self.key);
        let mut workers: Vec<Worker> = (0..6).map(|_| self.start(directory.path(), &json!({}), &Vec::new())).collect();
        workers.iter_mut().for_each(|worker| worker.send(&get));
        let answers: Vec<Value> = workers.iter_mut().map(|worker| worker.answer().unwrap()).collect();
        assert!(answers.iter().all(|answer| answer["value"] == self.value), "{answers:?}");
        assert_eq!(answers.iter().filter(|answer| answer["shared"] == json!(false)).count(), 1, "{answers:?}");
        assert_eq!((self.loads(), self.logins()), (1, usize::from(self.login.is_some())));
        for file in std::fs::read_dir(directory.path().join("share")).unwrap() {
            let file = file.unwrap().path();
            assert!(!contains(&file, self.value) && !contains(&file, "CANARY-"), "{}", file.display());
        }
        for Other { settings, variables, gets } in &self.others {
            let logins = self.logins();
            let answer = self.start(directory.path(), settings, variables).ask(&get);
            assert_ne!(answer["shared"], json!(true), "{settings} {variables:?}: {answer}");
            match gets {
                Gets::Value(value) | Gets::AsOther(Ok(value)) => assert_eq!(answer["value"], *value, "{answer}"),
                Gets::AsOther(Err(status)) => assert_eq!(answer["status"], *status, "{answer}"),
            }
            let is_same_login = matches!(gets, Gets::Value(_)) || self.login.is_none();
            assert_eq!(self.logins() == logins, is_same_login, "{settings} {variables:?}");
        }
    }
}

fn owned(variables: &[(&str, &str)]) -> Variables {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn with_settings(settings: Value, gets: Gets<'_>) -> Other<'_> {
    Other { settings, variables: Vec::new(), gets }
}

fn with_variables<'a>(variables: &[(&str, &str)], gets: Gets<'a>) -> Other<'a> {
    Other { settings: json!({}), variables: owned(variables), gets }
}

#[test]
fn documents_of_aws_are_shared_by_processes_with_the_same_key() {
    let name = unique("shared");
    moto().secret(&name, &json!({"A": canary("aws")}).to_string());
    let proxy = Proxy::to(moto().address());
    let user = || -> Variables { moto().user(&["secretsmanager:*"]).variables() };
    Shared {
        settings: json!({
            "providers": ["aws"], "aws_secret_name": name, "aws_region": "us-east-1", "aws_endpoint_url": proxy.url(),
        }),
        proxy,
        variables: user(),
        key: "A",
        value: &canary("aws"),
        document: "",
        login: None,
        others: vec![
            Other { settings: json!({}), variables: user(), gets: Gets::AsOther(Ok(&canary("aws"))) },
            with_settings(json!({"aws_region": "eu-west-1"}), Gets::AsOther(Err("ST_NOT_FOUND"))),
        ],
    }
    .is_loaded_once();
}

#[test]
fn documents_of_google_are_shared_by_processes_with_the_same_account() {
    let google = Google::start();
    let (proxy, directory) = (Proxy::to(&google.address()), temp());
    let through_proxy = |kind: &str| {
        let file = std::fs::read_to_string(google.file(kind)).unwrap().replace(&google.address(), proxy.address());
        write(&directory.path().join(format!("{kind}.json")), &file)
    };
    let (user, revoked) = (through_proxy("user"), through_proxy("revoked"));
    Shared {
        settings: json!({
            "providers": ["google"], "google_secret_name": "app-prod", "google_project": "train-1",
            "google_endpoint_url": proxy.url(), "google_credentials_file": user,
        }),
        variables: owned(&[("HOME", directory.path().to_str().unwrap())]),
        key: "HF_TOKEN",
        value: "CANARY-hf",
        document: "/secrets/",
        login: Some("/token"),
        others: vec![
            with_settings(json!({"google_secret_name": "app-more"}), Gets::Value("other")),
            with_settings(json!({"google_credentials_file": revoked}), Gets::AsOther(Err("ST_ACCESS_DENIED"))),
        ],
        proxy,
    }
    .is_loaded_once();
}

#[test]
fn documents_of_google_are_shared_by_processes_with_the_same_key() {
    let google = Google::start();
    let proxy = Proxy::to(&google.address());
    Shared {
        settings: json!({
            "providers": ["google"], "google_secret_name": "app-prod", "google_project": "train-1",
            "google_endpoint_url": proxy.url(), "google_credentials_file": google.file("service_account"),
        }),
        proxy,
        variables: Vec::new(),
        key: "HF_TOKEN",
        value: "CANARY-hf",
        document: "/secrets/",
        login: None,
        others: vec![
            with_settings(json!({"google_project": "train-2"}), Gets::AsOther(Err("ST_NOT_FOUND"))),
            with_settings(json!({"google_location": "europe-west3"}), Gets::AsOther(Err("ST_NOT_FOUND"))),
            with_settings(
                json!({"google_credentials_file": google.file("stranger")}),
                Gets::AsOther(Err("ST_ACCESS_DENIED")),
            ),
        ],
    }
    .is_loaded_once();
}

#[test]
fn documents_of_azure_are_shared_by_processes_with_the_same_application() {
    let azure = Azure::start();
    let proxy = Proxy::to(&azure.address());
    Shared {
        settings: json!({
            "providers": ["azure"], "azure_vault_url": proxy.url(), "azure_secret_name": "app-prod",
            "azure_auth": "environment",
        }),
        variables: owned(&[
            ("AZURE_TENANT_ID", TENANT),
            ("AZURE_CLIENT_ID", READER),
            ("AZURE_CLIENT_SECRET", SECRET),
            ("AZURE_AUTHORITY_HOST", &proxy.url()),
        ]),
        proxy,
        key: "HF_TOKEN",
        value: "CANARY-in-object",
        document: "/secrets/",
        login: Some("/oauth2/"),
        others: vec![
            with_settings(json!({"azure_secret_name": ["none", "app-prod"]}), Gets::Value("CANARY-in-object")),
            with_variables(&[("AZURE_CLIENT_ID", STRANGER)], Gets::AsOther(Err("ST_ACCESS_DENIED"))),
            with_variables(&[("AZURE_CLIENT_SECRET", "CANARY-wrong")], Gets::AsOther(Err("ST_ACCESS_DENIED"))),
        ],
    }
    .is_loaded_once();
}

#[test]
fn documents_of_kubernetes_are_shared_by_processes_with_the_same_token() {
    let server = Kubernetes::start();
    let proxy = Proxy::to(&server.address());
    let stranger = json!({"kubernetes_token_file": server.token_file("stranger")});
    Shared {
        settings: json!({
            "providers": ["kubernetes"], "kubernetes_url": proxy.url(), "kubernetes_namespace": "ml",
            "kubernetes_secret": "train", "kubernetes_token_file": server.token_file("reader"),
        }),
        proxy,
        variables: Vec::new(),
        key: "HF_TOKEN",
        value: "CANARY-hf",
        document: "/secrets/",
        login: None,
        others: vec![
            with_settings(json!({"kubernetes_namespace": "other"}), Gets::Value("CANARY-elsewhere")),
            with_settings(json!({"kubernetes_secret": "more"}), Gets::Value("CANARY-other")),
            with_settings(stranger, Gets::AsOther(Err("ST_ACCESS_DENIED"))),
        ],
    }
    .is_loaded_once();
}

#[test]
fn documents_of_a_kubeconfig_are_shared_by_processes_with_the_same_user() {
    let server = Kubernetes::start();
    let (proxy, directory) = (Proxy::to(&server.address()), temp());
    // The cluster is the server without TLS, behind the proxy. Paths are relative to the directory of the server.
    let port = std::fs::read_to_string(server.file("tls_port")).unwrap();
    let through_proxy = |login: &str| {
        let file = std::fs::read_to_string(server.kubeconfig(login)).unwrap();
        let file = file.replace(&format!("https://127.0.0.1:{port}"), &proxy.url());
        let file = file.replace("./exec", &server.file("exec"));
        write(&directory.path().join(login), &file).to_str().unwrap().to_owned()
    };
    let files = ["exec", "token", "stranger"].map(through_proxy);
    Shared {
        settings: json!({"providers": ["kubernetes"], "kubernetes_secret": "train"}),
        proxy,
        variables: owned(&[("KUBECONFIG", &files[0])]),
        key: "HF_TOKEN",
        value: "CANARY-hf",
        document: "/secrets/",
        login: None,
        others: vec![
            with_settings(json!({"kubernetes_namespace": "other"}), Gets::Value("CANARY-elsewhere")),
            with_variables(&[("KUBECONFIG", &files[1])], Gets::Value("CANARY-hf")),
            with_variables(&[("KUBECONFIG", &files[2])], Gets::AsOther(Err("ST_ACCESS_DENIED"))),
        ],
    }
    .is_loaded_once();
    let runs = std::fs::read_to_string(server.file("exec.runs")).unwrap();
    assert_eq!(runs.lines().count(), 2, "the program runs once for each load");
}

#[test]
fn documents_of_1password_are_shared_by_processes_with_the_same_token() {
    let server = OnePassword::start();
    let proxy = Proxy::to(&server.address());
    let stranger = json!({"onepassword_token_file": server.file("stranger")});
    Shared {
        settings: json!({
            "providers": ["onepassword"], "onepassword_url": proxy.url(), "onepassword_vault": "train",
            "onepassword_item": "database (prod)", "onepassword_token_file": server.file("reader"),
        }),
        proxy,
        variables: Vec::new(),
        key: "HF_TOKEN",
        value: "CANARY-hf",
        document: "/items/",
        login: None,
        others: vec![
            with_settings(json!({"onepassword_vault": "ML team"}), Gets::Value("CANARY-elsewhere")),
            with_settings(json!({"onepassword_item": "more"}), Gets::Value("CANARY-other")),
            with_settings(stranger, Gets::AsOther(Err("ST_NOT_FOUND"))),
        ],
    }
    .is_loaded_once();
}

#[test]
fn documents_of_infisical_are_shared_by_processes_with_the_same_identity() {
    let server = Infisical::start();
    let proxy = Proxy::to(&server.address());
    let secret = server.file("stranger");
    let stranger = json!({"infisical_client_id": "client-stranger", "infisical_client_secret_file": secret});
    Shared {
        settings: json!({
            "providers": ["infisical"], "infisical_url": proxy.url(), "infisical_project": PROJECT,
            "infisical_environment": "prod", "infisical_client_id": "client-reader",
            "infisical_client_secret_file": server.file("reader"),
        }),
        proxy,
        variables: Vec::new(),
        key: "HF_TOKEN",
        value: "CANARY-hf",
        document: "/secrets/raw",
        login: Some("/universal-auth/login"),
        others: vec![
            with_settings(json!({"infisical_path": "/train"}), Gets::Value("CANARY-train")),
            with_settings(json!({"infisical_environment": "dev"}), Gets::Value("CANARY-dev")),
            with_settings(stranger, Gets::AsOther(Err("ST_ACCESS_DENIED"))),
        ],
    }
    .is_loaded_once();
}
