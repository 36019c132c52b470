//! The event types of SimpleTuner. An entry may have any other type, too.

use serde_json::json;

/// An event type.
struct EventType {
    /// The name of SimpleTuner's constant.
    name: &'static str,
    /// The text in an entry.
    value: &'static str,
    category: &'static str,
}

const fn event(name: &'static str, value: &'static str, category: &'static str) -> EventType {
    EventType { name, value, category }
}

/// In SimpleTuner's order.
static EVENT_TYPES: [EventType; 27] = [
    event("AUTH_LOGIN_SUCCESS", "auth.login.success", "authentication"),
    event("AUTH_LOGIN_FAILED", "auth.login.failed", "authentication"),
    event("AUTH_LOGOUT", "auth.logout", "authentication"),
    event("AUTH_SESSION_EXPIRED", "auth.session.expired", "authentication"),
    event("AUTH_API_KEY_USED", "auth.api_key.used", "authentication"),
    event("USER_CREATED", "user.created", "user"),
    event("USER_UPDATED", "user.updated", "user"),
    event("USER_DELETED", "user.deleted", "user"),
    event("USER_PASSWORD_CHANGED", "user.password.changed", "user"),
    event("USER_LEVEL_CHANGED", "user.level.changed", "user"),
    event("USER_PERMISSION_CHANGED", "user.permission.changed", "user"),
    event("API_KEY_CREATED", "api_key.created", "api_key"),
    event("API_KEY_REVOKED", "api_key.revoked", "api_key"),
    event("CREDENTIAL_CREATED", "credential.created", "credential"),
    event("CREDENTIAL_DELETED", "credential.deleted", "credential"),
    event("CREDENTIAL_USED", "credential.used", "credential"),
    event("JOB_SUBMITTED", "job.submitted", "job"),
    event("JOB_CANCELLED", "job.cancelled", "job"),
    event("JOB_APPROVED", "job.approved", "job"),
    event("JOB_REJECTED", "job.rejected", "job"),
    event("QUOTA_EXCEEDED", "quota.exceeded", "quota"),
    event("QUOTA_CHANGED", "quota.changed", "quota"),
    event("CONFIG_CHANGED", "config.changed", "configuration"),
    event("PROVIDER_CONFIGURED", "provider.configured", "configuration"),
    event("PERMISSION_DENIED", "security.permission_denied", "security"),
    event("RATE_LIMITED", "security.rate_limited", "security"),
    event("SUSPICIOUS_ACTIVITY", "security.suspicious", "security"),
];

/// Whether SimpleTuner lists entries of this type among the security events, which `security_only` selects.
pub(super) fn is_security(event_type: &str) -> bool {
    event_type == "auth.login.failed"
        || EVENT_TYPES.iter().any(|event| event.value == event_type && event.category == "security")
}

/// The event types as a JSON array of objects with `name`, `value`, `category` and `security`.
pub(in crate::store) fn event_types() -> String {
    let all = EVENT_TYPES.iter().map(|event| {
        json!({
            "name": event.name,
            "value": event.value,
            "category": event.category,
            "security": is_security(event.value),
        })
    });
    serde_json::Value::Array(all.collect()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn security_events_are_those_of_simpletuner() {
        let security: Vec<_> = EVENT_TYPES.iter().map(|event| event.value).filter(|value| is_security(value)).collect();
        let expected =
            ["auth.login.failed", "security.permission_denied", "security.rate_limited", "security.suspicious"];
        assert_eq!(security, expected);
        assert!(!is_security("security.other") && !is_security(""));
    }

    #[test]
    fn event_types_are_json_with_unique_values() {
        let all: Vec<serde_json::Value> = serde_json::from_str(&event_types()).unwrap();
        let mut values: Vec<_> = all.iter().map(|event| event["value"].as_str().unwrap()).collect();
        values.sort_unstable();
        values.dedup();
        assert_eq!((all.len(), values.len()), (27, 27));
        let first = json!({"name": "AUTH_LOGIN_SUCCESS", "value": "auth.login.success", "category": "authentication", "security": false});
        assert_eq!(all[0], first);
    }
}
