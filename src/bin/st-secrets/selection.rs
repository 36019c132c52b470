//! The secrets that `run`, `export` and `redact` are to get, and the variables that they become.

use std::collections::{BTreeMap, HashMap};

use crate::arguments::Selection;
use crate::failure::{Failure, MISSING};
use crate::secrets::{SecretBytes, Secrets, check_name, warn_of_doubt};
use crate::{names, terminal};

impl Selection {
    /// Whether the command line selects nothing.
    pub(crate) fn is_empty(&self) -> bool {
        let lists = [&self.names, &self.only, &self.optional, &self.rename];
        !self.all && lists.iter().all(|list| list.is_empty())
    }
}

/// A secret as a variable.
#[derive(Clone)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: SecretBytes,
}

/// A secret that is to be found.
struct Wanted {
    name: String,
    /// Empty: that of its name.
    variables: Vec<String>,
    required: bool,
}

impl Wanted {
    fn variables(&self) -> Vec<String> {
        match self.variables.is_empty() {
            true => vec![names::variable(&self.name)],
            false => self.variables.clone(),
        }
    }
}

/// Secrets in the order in which they were named, each once, however it is spelled.
#[derive(Default)]
struct WantedList {
    all: Vec<Wanted>,
    /// Where each one is, by its canonical name.
    places: HashMap<String, usize>,
}

impl WantedList {
    /// The entry of this name, which is added if there is none.
    fn add(&mut self, name: &str, required: bool) -> &mut Wanted {
        let at = *self.places.entry(names::canonical(name)).or_insert_with(|| {
            self.all.push(Wanted { name: name.to_owned(), variables: Vec::new(), required });
            self.all.len() - 1
        });
        &mut self.all[at]
    }
}

/// Gets all of them as variables, or says of each that is missing or failed why.
pub(crate) fn get(selection: &Selection, secrets: &Secrets) -> Result<Vec<Variable>, Failure> {
    let wanted = wanted(selection, secrets)?;
    refuse_clashes(&wanted)?;
    let variables = find(&wanted, secrets)?.into_iter().flat_map(|(wanted, value)| {
        let names = wanted.variables().into_iter();
        names.map(move |name| Variable { name, value: value.clone() })
    });
    Ok(variables.collect())
}

/// Gets all of them, each with its name.
pub(crate) fn values(selection: &Selection, secrets: &Secrets) -> Result<Vec<(String, SecretBytes)>, Failure> {
    let wanted = wanted(selection, secrets)?;
    Ok(find(&wanted, secrets)?.into_iter().map(|(wanted, value)| (wanted.name.clone(), value)).collect())
}

fn wanted(selection: &Selection, secrets: &Secrets) -> Result<Vec<Wanted>, Failure> {
    check_names(selection)?;
    let mut wanted = named(selection)?;
    if selection.all || selection.only.iter().any(|pattern| names::is_pattern(pattern)) {
        add_all(&mut wanted, selection, secrets)?;
        if wanted.all.is_empty() {
            terminal::warn("no provider lists a secret, so --all selects none; st-secrets check shows the providers");
        }
    }
    Ok(wanted.all)
}

fn find<'w>(wanted: &'w [Wanted], secrets: &Secrets) -> Result<Vec<(&'w Wanted, SecretBytes)>, Failure> {
    let (mut all, mut failures) = (Vec::new(), Vec::new());
    for wanted in wanted {
        let found = match wanted.required {
            true => secrets.get(&wanted.name).map(Some),
            false => secrets.find(&wanted.name),
        };
        match found {
            Ok(Some(secret)) => {
                warn_of_doubt(&wanted.name, &secret);
                all.push((wanted, secret.into_value()));
            }
            Ok(None) => {}
            Err(failure) => failures.push(failure),
        }
    }
    Failure::of_all(failures)?;
    Ok(all)
}

/// A name that holds a value is refused before any other error, which would repeat it.
fn check_names(selection: &Selection) -> Result<(), Failure> {
    let renamed = selection.rename.iter().filter_map(|rename| rename.split_once('=')).map(|(name, _)| name);
    let all = selection.names.iter().chain(&selection.only).chain(&selection.optional).map(String::as_str);
    all.chain(renamed).try_for_each(check_name)
}

/// What the command line names.
fn named(selection: &Selection) -> Result<WantedList, Failure> {
    let mut wanted = WantedList::default();
    for rename in &selection.rename {
        let (name, variable) = rename.split_once('=').unwrap_or_default();
        if name.is_empty() || !names::is_variable(variable) {
            return Err(Failure::usage(
                "--rename takes NAME=VARIABLE, such as --rename HF_TOKEN=HUGGING_FACE_HUB_TOKEN; a variable has letters, \
                 digits and _ alone",
            ));
        }
        wanted.add(name, true).variables.push(variable.to_owned());
    }
    for name in &selection.names {
        wanted.add(name, true);
    }
    for name in selection.only.iter().filter(|pattern| !names::is_pattern(pattern)) {
        wanted.add(name, true);
    }
    for name in &selection.optional {
        // That of a rename is optional too.
        let is_named = selection.names.iter().any(|other| names::canonical(other) == names::canonical(name));
        wanted.add(name, false).required = is_named;
    }
    if selection.is_empty() {
        return Err(Failure::usage("no secret is named; write their names, or --all"));
    }
    Ok(wanted)
}

/// Adds the secrets that providers list and that match `--only`. A provider that fails is an error: its secrets would
/// be missing without notice.
fn add_all(wanted: &mut WantedList, selection: &Selection, secrets: &Secrets) -> Result<(), Failure> {
    let mut listed: BTreeMap<String, String> = BTreeMap::new();
    let mut failures = Vec::new();
    for provider in secrets.names() {
        if let Some(error) = provider.error {
            failures.push(Failure::failed(format!("cannot list the names of provider {}: {error}", provider.provider)));
        }
        for name in provider.names.into_iter().flatten() {
            if is_usable(&provider.provider, &name) {
                listed.entry(names::canonical(&name)).or_insert(name);
            }
        }
    }
    Failure::of_all(failures)?;
    let is_wanted =
        |pattern: &str, name: &str| names::matches(pattern, name) || names::matches(pattern, &names::variable(name));
    for pattern in selection.only.iter().filter(|pattern| names::is_pattern(pattern)) {
        if !listed.values().any(|name| is_wanted(pattern, name)) {
            let message = format!("no secret name matches {pattern:?}; st-secrets list shows the names");
            return Err(Failure::new(MISSING, message));
        }
    }
    // What the command line names, as it is listed: hf.token may be the hf_token of the file.
    let first_listed = |wanted: &Wanted| {
        let spellings = names::spellings(&wanted.name).into_iter();
        spellings.map(|spelling| names::canonical(&spelling)).find(|canonical| listed.contains_key(canonical))
    };
    let named: Vec<String> = wanted.all.iter().filter_map(first_listed).collect();
    for (canonical, name) in &listed {
        let only = &selection.only;
        if named.contains(canonical) {
            continue;
        }
        if only.is_empty() || only.iter().any(|pattern| is_wanted(pattern, name)) {
            wanted.add(name, true);
        }
    }
    Ok(())
}

/// Whether a listed name can be looked up and be a variable. A warning names one that cannot.
fn is_usable(provider: &str, name: &str) -> bool {
    let is_usable = !name.is_empty() && !name.contains(['=', '\0']);
    if !is_usable {
        terminal::warn(&format!("provider {provider} lists {name:?}, which is not a valid name; it is skipped"));
    }
    is_usable
}

/// Two secrets cannot be one variable.
fn refuse_clashes(wanted: &[Wanted]) -> Result<(), Failure> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for wanted in wanted {
        for variable in wanted.variables() {
            if let Some(other) = seen.insert(variable.clone(), &wanted.name) {
                let name = &wanted.name;
                return Err(Failure::usage(format!(
                    "{other:?} and {name:?} would both be the variable {variable}; write --rename {name}=OTHER"
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(names: &[&str], optional: &[&str], rename: &[&str]) -> Selection {
        let owned = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect();
        Selection {
            names: owned(names),
            all: false,
            only: Vec::new(),
            optional: owned(optional),
            rename: owned(rename),
        }
    }

    fn summary(selection: &Selection) -> Vec<(String, Vec<String>, bool)> {
        let wanted = named(selection).unwrap().all;
        wanted.iter().map(|wanted| (wanted.name.clone(), wanted.variables(), wanted.required)).collect()
    }

    #[test]
    fn spellings_of_one_name_are_one_secret() {
        let expected = vec![("hf-token".to_owned(), vec!["HF_TOKEN".to_owned()], true)];
        assert_eq!(summary(&selection(&["hf-token", "HF_TOKEN", "hf_token"], &["HF_TOKEN"], &[])), expected);
    }

    #[test]
    fn a_rename_names_a_secret_and_replaces_its_variable() {
        let found = summary(&selection(&["hf-token"], &[], &["HF_TOKEN=A", "HF_TOKEN=B"]));
        assert_eq!(found, [("HF_TOKEN".to_owned(), vec!["A".to_owned(), "B".to_owned()], true)]);
        let found = summary(&selection(&[], &["x"], &["x=Y"]));
        assert_eq!(found, [("x".to_owned(), vec!["Y".to_owned()], false)]);
        for wrong in ["A", "A=", "=A", "A=B C", "A=B=C"] {
            assert!(named(&selection(&[], &[], &[wrong])).is_err(), "{wrong}");
        }
    }

    #[test]
    fn two_secrets_are_not_one_variable() {
        let wanted = named(&selection(&["a/b", "a_b"], &[], &[])).unwrap().all;
        let failure = refuse_clashes(&wanted).unwrap_err();
        assert!(failure.lines[0].contains("would both be the variable A_B"), "{failure:?}");
        refuse_clashes(&named(&selection(&["a/b", "a_b"], &[], &["a_b=C"])).unwrap().all).unwrap();
    }
}
