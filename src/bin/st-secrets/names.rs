//! Spellings of names, the variables that programs expect, and patterns.

/// The variable in which a program expects this secret: `hf-token` is `HF_TOKEN`.
pub(crate) fn variable(name: &str) -> String {
    let start = if name.starts_with(|first: char| first.is_ascii_digit()) { "_" } else { "" };
    let rest = name.chars().map(|character| match character.to_ascii_uppercase() {
        upper if upper.is_ascii_alphanumeric() => upper,
        _ => '_',
    });
    start.chars().chain(rest).collect()
}

/// Whether a shell can name a variable so.
pub(crate) fn is_variable(name: &str) -> bool {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    !name.is_empty() && name.chars().all(is_part) && !name.starts_with(|first: char| first.is_ascii_digit())
}

/// Returns the canonical form of a name: `HF_TOKEN` for the equivalent names `HF_TOKEN`, `hf_token` and `hf-token`. Any
/// other name, such as `tls.key` or `Hf_Token`, has no equivalents and is returned unchanged.
pub(crate) fn canonical(name: &str) -> String {
    let upper = upper(name);
    match forms(&upper).iter().any(|form| form == name) {
        true => upper,
        false => name.to_owned(),
    }
}

fn upper(name: &str) -> String {
    name.replace(['-', '.'], "_").to_uppercase()
}

/// `HF_TOKEN`, `hf_token` and `hf-token`.
fn forms(upper: &str) -> [String; 3] {
    let lower = upper.to_lowercase();
    let dashed = lower.replace('_', "-");
    [upper.to_owned(), lower, dashed]
}

/// The ways in which a name is looked for: as it is written, then `HF_TOKEN`, `hf_token` and `hf-token`.
pub(crate) fn spellings(name: &str) -> Vec<String> {
    let mut all = vec![name.to_owned()];
    for other in forms(&upper(name)) {
        if !all.contains(&other) {
            all.push(other);
        }
    }
    all
}

/// Whether this pattern has `*` in it.
pub(crate) fn is_pattern(text: &str) -> bool {
    text.contains('*')
}

/// Whether a pattern, in which `*` matches any text, matches this text.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_the_variable_that_programs_expect() {
        for (name, expected) in [
            ("hf-token", "HF_TOKEN"),
            ("hf_token", "HF_TOKEN"),
            ("HF_TOKEN", "HF_TOKEN"),
            ("tls.key", "TLS_KEY"),
            ("db/password", "DB_PASSWORD"),
            ("3d-token", "_3D_TOKEN"),
            ("schlüssel", "SCHL_SSEL"),
        ] {
            assert_eq!(variable(name), expected);
            assert!(is_variable(expected));
        }
        assert!(!is_variable("") && !is_variable("a b") && !is_variable("1a") && !is_variable("a=b"));
    }

    #[test]
    fn a_name_is_looked_for_as_written_first() {
        assert_eq!(spellings("hf-token"), ["hf-token", "HF_TOKEN", "hf_token"]);
        assert_eq!(spellings("HF_TOKEN"), ["HF_TOKEN", "hf_token", "hf-token"]);
        assert_eq!(spellings("Hf.Token"), ["Hf.Token", "HF_TOKEN", "hf_token", "hf-token"]);
        for name in ["hf-token", "HF_TOKEN", "hf_token"] {
            assert_eq!(canonical(name), "HF_TOKEN");
            assert!(spellings(name).iter().all(|spelling| canonical(spelling) == "HF_TOKEN"));
        }
        for name in ["Hf.Token", "Hf_Token", "hf.token", "hf-api_key"] {
            assert_eq!(canonical(name), name);
        }
    }

    #[test]
    fn a_star_matches_any_text() {
        for (pattern, text, expected) in [
            ("HF_*", "HF_TOKEN", true),
            ("*", "", true),
            ("*_TOKEN", "HF_TOKEN", true),
            ("*_TOKEN", "HF_TOKENS", false),
            ("A*B*C", "AxBxC", true),
            ("A*B*C", "AxCxB", false),
            ("AB*BA", "ABA", false),
            ("HF", "HF_TOKEN", false),
            ("HF", "HF", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
