#!/bin/sh
# Installs the packages beside this file into the system on which it runs, gets a secret with each, and removes them.
set -eux
cd /opt/st-test
packages="libst-secrets0 libst-secrets-dev st-secrets python3-st-secrets"
dpkg --install ./*.deb

# The cache of the dynamic linker, which a trigger renews.
/sbin/ldconfig -p | grep -q 'libst_secrets\.so\.0 '
# shellcheck disable=SC2046
cc -Wall -Werror -o shared main.c $(pkg-config --cflags --libs st_secrets)
ldd ./shared | grep -q 'libst_secrets\.so\.0 => /lib/.*/libst_secrets\.so\.0\|libst_secrets\.so\.0 => /usr/lib'
[ "$(./shared)" = 6 ]
cc -Wall -Werror -o static main.c -Wl,-Bstatic -lst_secrets -Wl,-Bdynamic -lutil -lrt -lpthread -lm -ldl
if ldd ./static | grep libst_secrets; then exit 1; fi
[ "$(./static)" = 6 ]

[ "$(HF_TOKEN=hf_example st-secrets get HF_TOKEN)" = hf_example ]
st-secrets --version | grep -qF "$ST_TEST_VERSION"
[ -s /usr/share/man/man1/st-secrets-run.1.gz ]

HF_TOKEN=hf_example /usr/bin/python3 -c '
import importlib.metadata
import st_secrets
from st_secrets.secrets import get_secrets_manager

assert st_secrets.__file__ == "/usr/lib/python3/dist-packages/st_secrets/__init__.py", st_secrets.__file__
assert get_secrets_manager().get("HF_TOKEN") == "hf_example"
print(importlib.metadata.version("st-secrets"))
' | grep -qxF "$ST_TEST_VERSION"
# Compiled at installation.
ls /usr/lib/python3/dist-packages/st_secrets/__pycache__/secrets.*.pyc

# A package that was compiled against this one depends on it.
mkdir debian
printf 'Source: app\n\nPackage: app\nArchitecture: any\n' >debian/control
if command -v dpkg-shlibdeps; then
    dpkg-shlibdeps -O ./shared | tee depends
    grep -qF 'libst-secrets0 (>= ' depends
fi
for package in $packages; do
    zcat -f "/usr/share/doc/$package/THIRD-PARTY.txt.gz" "/usr/share/doc/$package/THIRD-PARTY.txt" 2>/dev/null | grep -q '^rustls 0'
    grep -q '^License: Expat' "/usr/share/doc/$package/copyright"
done

# shellcheck disable=SC2086
dpkg --purge $packages
if /sbin/ldconfig -p | grep libst_secrets; then exit 1; fi
[ ! -e /usr/lib/python3/dist-packages/st_secrets ]
