//! Reads single elements of the small XML responses of AWS, in one pass and without building a tree.

use zeroize::Zeroizing;

/// Deeper than any response of AWS.
const MAX_DEPTH: usize = 16;

/// Returns the text of the first element with this path, a chain of element names that may begin anywhere in the
/// document. `None` if there is none, or the document is not well-formed up to its end tag.
pub(super) fn text(document: &str, path: &[&str]) -> Option<Zeroizing<String>> {
    let mut rest = document;
    let mut open: Vec<&str> = Vec::new();
    // The text is never longer than the document, so the buffer is not reallocated and leaves no copies behind.
    let mut found = Zeroizing::new(String::with_capacity(document.len()));
    loop {
        let here = open.ends_with(path);
        let (before, tag) = rest.split_once('<')?;
        if here {
            push_decoded(&mut found, before)?;
        }
        if let Some(comment) = tag.strip_prefix("!--") {
            rest = comment.split_once("-->")?.1;
        } else if let Some(data) = tag.strip_prefix("![CDATA[") {
            let (data, after) = data.split_once("]]>")?;
            if here {
                found.push_str(data);
            }
            rest = after;
        } else if let Some(instruction) = tag.strip_prefix('?') {
            rest = instruction.split_once("?>")?.1;
        } else if tag.starts_with('!') {
            // AWS declares no document type, and entities are not supported.
            return None;
        } else if let Some(end) = tag.strip_prefix('/') {
            let (name, after) = end.split_once('>')?;
            if open.pop()? != local(name.trim_end()) {
                return None;
            }
            if here {
                return Some(found);
            }
            rest = after;
        } else {
            let (element, after) = tag.split_once('>')?;
            rest = after;
            if !element.ends_with('/') {
                if open.len() == MAX_DEPTH {
                    return None;
                }
                open.push(local(element.split(char::is_whitespace).next()?));
            }
        }
    }
}

/// Returns the name without its namespace.
fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

/// Appends a text with its references decoded; `None` for a reference that XML does not define.
fn push_decoded(to: &mut String, text: &str) -> Option<()> {
    let mut parts = text.split('&');
    to.push_str(parts.next()?);
    for part in parts {
        let (name, after) = part.split_once(';')?;
        let number = |digits: &str, radix| char::from_u32(u32::from_str_radix(digits, radix).ok()?);
        to.push(match name {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            _ => match (name.strip_prefix("#x"), name.strip_prefix('#')) {
                (Some(digits), _) => number(digits, 16)?,
                (None, Some(digits)) => number(digits, 10)?,
                (None, None) => return None,
            },
        });
        to.push_str(after);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn element_is_found_by_its_path() {
        let code = |document: &str| text(document, &["Error", "Code"]).map(|text| text.to_string());
        for (document, found) in [
            ("<ErrorResponse xmlns=\"https://sts/\"><Error><Code>A</Code></Error></ErrorResponse>", Some("A")),
            ("<?xml version=\"1.0\"?>\n<Error ><!-- <Code>no</Code> --><Code\n>A</Code ></Error>", Some("A")),
            ("<e:Error><Type/><e:Code>a &lt;b&gt; &#38;&#x26;<![CDATA[<c>]]></e:Code>", Some("a <b> &&<c>")),
            ("<Error><Code></Code></Error>", Some("")),
            ("<Code>A</Code>", None),
            ("<Error><Detail><Code>A</Code></Detail></Error>", None),
            ("<Error><Code>half", None),
            ("<Error><Code>A</Kode></Error>", None),
            ("<Error><Code>&e;</Code></Error>", None),
            ("<!DOCTYPE x [<!ENTITY e \"x\">]><Error><Code>A</Code></Error>", None),
            ("<html><body>Bad Gateway<br></body></html>", None),
            ("</Error>", None),
            ("", None),
        ] {
            assert_eq!(code(document).as_deref(), found, "{document}");
        }
        let deep = "<a>".repeat(100_000);
        assert_eq!(code(&deep), None);
    }
}
