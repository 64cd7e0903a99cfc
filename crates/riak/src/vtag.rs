//! Vtags: tags of versions as text, in letters and digits as Riak's are.
//!
//! Invariant: different tags have different texts, and the text of a tag never changes.

use jedlik_protocol::client::Version;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Returns the text of a version's tag.
#[must_use]
pub fn text(tag: u64) -> String {
    let (mut left, mut digits) = (tag, Vec::new());
    loop {
        digits.push(char::from(DIGITS[(left % 62) as usize]));
        left /= 62;
        if left == 0 {
            return digits.iter().rev().collect();
        }
    }
}

/// Returns the text that stands for all versions together: that of the tag where there is one version, and otherwise one
/// that changes with any of them.
#[must_use]
pub fn of_all(versions: &[Version]) -> String {
    let mut tags: Vec<u64> = versions.iter().map(|version| version.tag).collect();
    tags.sort_unstable();
    let together = match &tags[..] {
        [tag] => *tag,
        tags => tags.iter().fold(FNV_BASIS, |hash, tag| {
            let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
            tag.to_le_bytes().into_iter().fold(hash, fold)
        }),
    };
    text(together)
}

/// Constants of FNV-1a with 64 bits.
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// Returns the version whose tag has this text.
#[must_use]
pub fn find<'a>(versions: &'a [Version], wanted: &str) -> Option<&'a Version> {
    versions.iter().find(|version| text(version.tag) == wanted)
}

#[cfg(test)]
mod tests {
    use jedlik_protocol::Value;
    use jedlik_protocol::client::Version;

    use super::{find, of_all, text};

    fn version(tag: u64) -> Version {
        let content = jedlik_vclock::Content::Value(Value::from("tea"));
        Version { content, tag, written_at_ms: 0, expires_at_ms: None }
    }

    #[test]
    fn tags_are_written_in_letters_and_digits() {
        for (tag, expected) in
            [(0, "0"), (61, "z"), (62, "10"), (u64::MAX, "LygHa16AHYF"), (1 << 40, "JMAIjoW")]
        {
            assert_eq!(text(tag), expected, "{tag}");
        }
    }

    #[test]
    fn several_versions_have_one_text_whatever_their_order() {
        let [a, b, c] = [1, 2, 3].map(version);
        assert_eq!(of_all(std::slice::from_ref(&a)), text(1));
        let both = of_all(&[a.clone(), b.clone()]);
        assert_eq!(both, of_all(&[b.clone(), a.clone()]));
        assert_ne!(both, of_all(&[a.clone(), c.clone()]));
        assert_ne!(both, of_all(&[a, b, c]));
    }

    #[test]
    fn a_version_is_found_by_its_text() {
        let versions = [7, 700].map(version);
        assert_eq!(find(&versions, &text(700)), Some(&versions[1]));
        assert_eq!(find(&versions, "nonsense"), None);
    }
}
