//! AWS Secrets Manager: the third layer.
