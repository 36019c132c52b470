"""Secrets, a cache and encryption of credentials for training stacks, format-compatible with SimpleTuner.

    from st_secrets import get_secrets_manager
    token = get_secrets_manager().get("HF_TOKEN")

`import st_secrets.simpletuner`, before SimpleTuner, puts this package in the place of SimpleTuner's modules. Programs
that import these modules can instead replace `simpletuner.simpletuner_sdk.server.services.cloud` with `st_secrets`:
`st_secrets.secrets`, `st_secrets.cache`, `st_secrets.auth.credential_encryption` and so on.
"""

from __future__ import annotations

from typing import Final

from . import _native
from ._cached import cached
from ._log import set_log_level
from ._native import Secret
from .auth.credential_encryption import (
    Cipher,
    decrypt_credential,
    encrypt_credential,
    reencrypt_credential,
    reset_cipher,
    rotate_key,
)
from .cache import (
    TTLCache,
    get_provider_config_cache,
    get_user_permission_cache,
    invalidate_provider_cache,
    invalidate_user_cache,
)
from .errors import (
    AbandonedError,
    AccessDeniedError,
    BadKeyError,
    BadTokenError,
    BusyError,
    CallbackError,
    ConfigError,
    CorruptError,
    DeadlineError,
    Error,
    FileError,
    InvalidArgumentError,
    NotFoundError,
    ProtocolError,
    ReadOnlyError,
    UnavailableError,
    WrongTypeError,
)
from .redact import RedactingFilter, RedactingStream, Redactor, redacted_output, start_redaction
from .replicate_client import (
    DEFAULT_HARDWARE_INFO,
    clear_hardware_info_cache,
    get_hardware_info,
    get_hardware_info_async,
    set_hardware_info,
)
from .secrets import (
    AWSParametersProvider,
    AWSSecretProvider,
    AWSSecretsManagerProvider,
    AWSSecretsProvider,
    AzureKeyVaultProvider,
    AzureSecretProvider,
    AzureSecretsProvider,
    CredentialsProvider,
    EnvironmentSecretProvider,
    ExecProvider,
    FileSecretProvider,
    GoogleSecretManagerProvider,
    GoogleSecretProvider,
    GoogleSecretsProvider,
    HashiCorpVaultProvider,
    HuggingFaceProvider,
    InfisicalPathProvider,
    InfisicalProvider,
    InfisicalSecretProvider,
    KubernetesProvider,
    KubernetesSecretProvider,
    OnePasswordItemProvider,
    OnePasswordProvider,
    SecretProvider,
    SecretsManager,
    VaultDynamicProvider,
    VaultSecretProvider,
    get_secrets_manager,
)
from .shared_cache import SharedCache
from .storage import ProviderConfigStore
from .store import Store, get_store, reset_store

__version__: Final = _native.version()[0]

SOURCE_NONE: Final = 0
SOURCE_ENV: Final = 1
SOURCE_FILE: Final = 2
SOURCE_AWS: Final = 3
SOURCE_VAULT: Final = 4
SOURCE_CUSTOM: Final = 5
SOURCE_STORE: Final = 6
SOURCE_ENCRYPTION: Final = 7
SOURCE_HUGGINGFACE: Final = 8
SOURCE_EXEC: Final = 9
SOURCE_GOOGLE: Final = 10
SOURCE_AZURE: Final = 11
SOURCE_KUBERNETES: Final = 12
SOURCE_ONEPASSWORD: Final = 13
SOURCE_INFISICAL: Final = 14
SOURCE_AWS_PARAMETERS: Final = 15
SOURCE_CREDENTIALS: Final = 16

__all__ = [
    "AWSParametersProvider",
    "AWSSecretProvider",
    "AWSSecretsManagerProvider",
    "AWSSecretsProvider",
    "AbandonedError",
    "AccessDeniedError",
    "AzureKeyVaultProvider",
    "AzureSecretProvider",
    "AzureSecretsProvider",
    "BadKeyError",
    "BadTokenError",
    "BusyError",
    "CallbackError",
    "Cipher",
    "ConfigError",
    "CorruptError",
    "DEFAULT_HARDWARE_INFO",
    "DeadlineError",
    "CredentialsProvider",
    "EnvironmentSecretProvider",
    "Error",
    "ExecProvider",
    "FileError",
    "FileSecretProvider",
    "GoogleSecretManagerProvider",
    "GoogleSecretProvider",
    "GoogleSecretsProvider",
    "HashiCorpVaultProvider",
    "HuggingFaceProvider",
    "InfisicalPathProvider",
    "InfisicalProvider",
    "InfisicalSecretProvider",
    "InvalidArgumentError",
    "KubernetesProvider",
    "KubernetesSecretProvider",
    "NotFoundError",
    "OnePasswordItemProvider",
    "OnePasswordProvider",
    "ProtocolError",
    "ProviderConfigStore",
    "ReadOnlyError",
    "RedactingFilter",
    "RedactingStream",
    "Redactor",
    "SOURCE_AWS",
    "SOURCE_AWS_PARAMETERS",
    "SOURCE_AZURE",
    "SOURCE_CREDENTIALS",
    "SOURCE_CUSTOM",
    "SOURCE_ENCRYPTION",
    "SOURCE_ENV",
    "SOURCE_EXEC",
    "SOURCE_FILE",
    "SOURCE_GOOGLE",
    "SOURCE_HUGGINGFACE",
    "SOURCE_INFISICAL",
    "SOURCE_KUBERNETES",
    "SOURCE_NONE",
    "SOURCE_ONEPASSWORD",
    "SOURCE_STORE",
    "SOURCE_VAULT",
    "Secret",
    "SecretProvider",
    "SecretsManager",
    "SharedCache",
    "Store",
    "TTLCache",
    "UnavailableError",
    "VaultDynamicProvider",
    "VaultSecretProvider",
    "WrongTypeError",
    "cached",
    "clear_hardware_info_cache",
    "decrypt_credential",
    "encrypt_credential",
    "get_hardware_info",
    "get_hardware_info_async",
    "get_provider_config_cache",
    "get_secrets_manager",
    "get_store",
    "get_user_permission_cache",
    "invalidate_provider_cache",
    "invalidate_user_cache",
    "redacted_output",
    "reencrypt_credential",
    "reset_cipher",
    "reset_store",
    "rotate_key",
    "set_hardware_info",
    "set_log_level",
    "start_redaction",
]
