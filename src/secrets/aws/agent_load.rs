//! Loads secrets from the agent.

use zeroize::Zeroizing;

use super::agent::{Agent, URL_KEY};
use super::agent_token;
use super::call::AwsCall;
use super::client::{AwsClient, AwsResponse, CallError};
use super::endpoint::{Endpoint, Service};
use super::identifiers::SecretId;
use super::json_service::JsonService;
use super::secrets;
use super::secrets_manager::{LookupResult, SecretsManager, named};
use super::selection::Selection;
use super::settings::MAX_BODY;
use super::state::AwsState;
use crate::clock::Deadline;
use crate::error::{Result, Status};
use crate::http::retry::{Attempts, Patience};
use crate::http::url::percent_encode;
use crate::http::{self, Client, Proxy};
use crate::secrets::document::Document;
use crate::settings::SettingOrigin;

const TOKEN_HEADER: &str = "x-aws-parameters-secrets-token";

/// Loads secrets from the agent, one by one, as one document.
pub(super) fn load(
    state: &AwsState,
    agent: &Agent,
    selection: &Selection,
    deadline: Deadline,
    patience: Patience,
) -> Result<Document> {
    let settings = http::ClientSettings { proxy: Proxy::None, max_body: MAX_BODY, ..Default::default() };
    let client = AwsClient {
        http: Client::new(settings),
        clock_offsets: &state.common.clock_offsets,
        retry: &state.common.retry,
        attempts: Attempts::of_setting(state.provider_settings.max_attempts(), patience),
        correct_clock_skew: false,
    };
    let place = format!("the agent at {}", agent.url);
    let endpoint = Endpoint { url: agent.url.clone(), setting: Some(SettingOrigin::Config(URL_KEY)) };
    let service = JsonService {
        client: &client,
        service: Service::SecretsManager,
        region: &place,
        endpoint: &endpoint,
        credentials: None,
        credentials_origin: &place,
        deadline,
    };
    let manager = SecretsManager { service, selection };
    let token = agent_token::token(agent, &state.environment)?;
    let mut results = Vec::new();
    for id in &selection.secret_ids {
        let result = get(&manager, id, &token).map_err(|failed| failed.error);
        let failed = result.is_err();
        results.push(Some(result));
        if failed {
            break;
        }
    }
    results.resize_with(selection.secret_ids.len(), || None);
    secrets::document(&selection.secret_ids, results)
}

fn get(manager: &SecretsManager<'_>, id: &SecretId, token: &(Zeroizing<String>, SettingOrigin)) -> LookupResult {
    let (service, Selection { version_id, version_stage, .. }) = (&manager.service, manager.selection);
    let (token, origin) = token;
    let mut url = format!("{}secretsmanager/get?secretId={}", service.endpoint.url, percent_encode(&id.text));
    for (name, value) in [("versionId", version_id), ("versionStage", version_stage)] {
        if let Some(value) = value {
            url.push_str(&format!("&{name}={}", percent_encode(value)));
        }
    }
    let call = AwsCall {
        service: service.service,
        region: service.region,
        method: "GET",
        url: &url,
        headers: &[(TOKEN_HEADER, token.clone())],
        body: &[],
        credentials: None,
        secrets: &[token.as_bytes()],
        waits_if_throttled: true,
    };
    match service.client.call(&call, service.deadline) {
        Ok(AwsResponse { response, .. }) => manager.parse(id, &response.body),
        Err(CallError::Transport(error)) => Err(service.unreachable(&named(id), error).into()),
        Err(CallError::Service(service_error)) if service_error.status == 403 && !service_error.from_aws => {
            let what = format!("{}: {}", service.describe(&named(id)), service_error.describe());
            let message = format!("{what}; check the token, which is that of {origin}");
            Err(service_error.to_error(Status::AccessDenied, message).into())
        }
        Err(CallError::Service(service_error)) => manager.failed(id, &service_error),
    }
}
