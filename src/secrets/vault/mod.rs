//! HashiCorp Vault and OpenBao: the fourth layer.
