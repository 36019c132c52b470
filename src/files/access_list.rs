//! POSIX access control lists (acl(5)), which give named users and groups access to a file. systemd uses one to give
//! the user of a service access to a credential.

/// The version of the extended attribute's format.
const VERSION: [u8; 4] = 2_u32.to_le_bytes();
/// The kinds of entries.
const OWNER: u16 = 0x01;
const USER: u16 = 0x02;
const MASK: u16 = 0x10;
const OTHERS: u16 = 0x20;
/// The permissions to read and to write.
const READ_WRITE: u16 = 0o6;

/// Whether a list lets others than the owner and `user` read or change the file; `None` if it is not understood.
pub(super) fn admits_others(list: &[u8], user: u32) -> Option<bool> {
    let (entries, []) = list.strip_prefix(&VERSION)?.as_chunks::<8>() else { return None };
    let entries = entries.iter().map(|[k0, k1, p0, p1, id @ ..]| {
        (u16::from_le_bytes([*k0, *k1]), u16::from_le_bytes([*p0, *p1]), u32::from_le_bytes(*id))
    });
    let mask = entries.clone().find(|(kind, ..)| *kind == MASK).map_or(READ_WRITE, |(_, mask, _)| mask);
    let mut effective = entries.map(|(kind, permissions, id)| match kind {
        OWNER | MASK => 0,
        USER if id == user => 0,
        OTHERS => permissions,
        // Named users, the owning group and named groups.
        _ => permissions & mask,
    });
    Some(effective.any(|permissions| permissions & READ_WRITE != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: u16 = 0x08;
    const OWNING_GROUP: u16 = 0x04;
    const NOBODY: u32 = u32::MAX;

    fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let bytes = |(kind, permissions, id): &(u16, u16, u32)| {
            [&kind.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        [VERSION.to_vec(), entries.iter().flat_map(bytes).collect()].concat()
    }

    #[test]
    fn entries_that_the_mask_allows_count() {
        let with = |more: &[(u16, u16, u32)], mask| {
            let own = [(OWNER, 4, NOBODY), (USER, 4, 7), (MASK, mask, NOBODY)];
            admits_others(&list(&[&own[..], more].concat()), 7)
        };
        assert_eq!(with(&[(OWNING_GROUP, 0, NOBODY), (OTHERS, 1, NOBODY)], 4), Some(false));
        for entry in [(USER, 4, 8), (OWNING_GROUP, 4, NOBODY), (GROUP, 2, 7)] {
            assert_eq!(with(&[entry], 6), Some(true), "{entry:?}");
            assert_eq!(with(&[entry], 1), Some(false), "{entry:?}");
        }
        assert_eq!(with(&[(OTHERS, 4, NOBODY)], 0), Some(true));
        for unknown in [&b""[..], b"\x03\0\0\0", b"\x02\0\0\0\x01\0"] {
            assert_eq!(admits_others(unknown, 7), None);
        }
    }
}
