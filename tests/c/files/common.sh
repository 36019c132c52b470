# shellcheck shell=sh
# Sourced by the scripts of this directory: a temporary directory, and checks that report what they expected.

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022

fail() {
    echo "$*"
    exit 1
}

short() {
    printf '%s\n' "$1" | cut -c1-300
}

# fails STATUS WORD COMMAND…: checks that the command fails and its output contains STATUS and WORD.
fails() {
    status=$1 word=$2
    shift 2
    if output=$("$@" 2>&1); then
        fail "unexpected success: $(short "$*")"
    fi
    case $output in
    *" $status "*"$word"*) ;;
    *) fail "$(short "$*"): expected $status and '$word', got: $(short "$output")" ;;
    esac
}

# gives TEXT COMMAND…: checks that the command succeeds and prints TEXT.
gives() {
    expected=$1
    shift
    output=$("$@" 2>&1) || fail "failed: $*: $output"
    [ "$output" = "$expected" ] || fail "$*: expected '$expected', got: $output"
}

# document json|yaml TOKEN: prints a small secrets file.
document() {
    case $1 in
    json) printf '{\n  "A": "one",\n  "HF_TOKEN": "%s",\n  "Z": 26\n}\n' "$2" ;;
    yaml) printf '# tokens\nA: one\nHF_TOKEN: %s  # hub\nZ: 26\n' "$2" ;;
    esac
}

mode_of() {
    stat -c %a "$1"
}
