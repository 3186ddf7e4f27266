//! Active Directory's binary identifiers: GUIDs and SIDs.

use uuid::Uuid;

use crate::providers::ldap::filter::escape;

/// An `objectGUID` as people and tools write it: the first three parts are stored with the lowest
/// byte first (MS-DTYP, 2.3.4.2).
pub(super) fn guid_text(bytes: &[u8]) -> Option<String> {
    let bytes = <[u8; 16]>::try_from(bytes).ok()?;
    Some(Uuid::from_bytes_le(bytes).to_string())
}

/// A GUID as it stands in a filter.
pub(super) fn guid_filter(text: &str) -> Option<String> {
    let bytes = Uuid::try_parse(text).ok()?.to_bytes_le();
    Some(bytes.iter().map(|byte| format!("\\{byte:02x}")).collect())
}

/// The SID of a group of the same domain as `sid`, as it stands in a filter: the last part is
/// relative to the domain (MS-DTYP, 2.4.2.2).
pub(super) fn relative_sid(sid: &[u8], relative: u32) -> Option<String> {
    // Revision, number of parts, authority (6 bytes), parts (4 bytes each).
    let parts = usize::from(*sid.get(1)?);
    if sid.len() != 8 + 4 * parts || parts < 2 {
        return None;
    }
    let mut group = sid[..sid.len() - 4].to_vec();
    group.extend(relative.to_le_bytes());
    Some(escape(group))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn writes_guids_as_active_directory_does() {
        let bytes = [
            0x90, 0x39, 0x5f, 0x19, 0x1a, 0xb5, 0x1b, 0x4a, 0x9e, 0x96, 0x86, 0xc6, 0x6c, 0xb1,
            0x8d, 0x11,
        ];
        let text = guid_text(&bytes).unwrap();
        assert_eq!(text, "195f3990-b51a-4a1b-9e96-86c66cb18d11");
        assert!(guid_filter(&text).unwrap().starts_with("\\90\\39\\5f\\19"));
        assert_eq!(guid_text(&bytes[1..]), None);
        assert_eq!(guid_filter("*)(cn=*"), None);
    }

    #[test]
    fn takes_the_last_part_of_a_sid_for_another() {
        let mut sid = vec![1, 2, 0, 0, 0, 0, 0, 5];
        sid.extend([21, 0, 0, 0, 0xf4, 1, 0, 0]);
        let group = relative_sid(&sid, 513).unwrap();
        assert!(group.ends_with("\\01\\02\\00\\00"), "{group}");
        assert_eq!(relative_sid(&sid[..9], 513), None);
        assert_eq!(relative_sid(&[], 513), None);
    }

    proptest! {
        #[test]
        fn every_guid_comes_back(bytes in any::<[u8; 16]>()) {
            let text = guid_text(&bytes).unwrap();
            let expected: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
            prop_assert_eq!(guid_filter(&text), Some(expected));
        }
    }
}
