use super::document::{Entries, Problem};
use zeroize::Zeroizing;
pub(super) fn parse(_t: &str) -> Result<Entries, Problem> {
    todo!()
}
pub(super) fn set(_t: &str, _k: &str, _v: &str) -> Result<Zeroizing<String>, Problem> {
    todo!()
}
pub(super) fn delete(_t: &str, _k: &str) -> Result<Option<Zeroizing<String>>, Problem> {
    todo!()
}
