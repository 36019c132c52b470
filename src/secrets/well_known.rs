//! Names of the secrets that SimpleTuner itself uses.

/// Replicate API authentication.
pub const REPLICATE_API_TOKEN: &str = "REPLICATE_API_TOKEN";
/// Hugging Face Hub token.
pub const HF_TOKEN: &str = "HF_TOKEN";
/// The secret that signs webhooks.
pub const CLOUD_WEBHOOK_SECRET: &str = "CLOUD_WEBHOOK_SECRET";

/// All of them.
pub const ALL: [&str; 3] = [REPLICATE_API_TOKEN, HF_TOKEN, CLOUD_WEBHOOK_SECRET];
