//! Configuration files that somebody has damaged.

mod bodies;

const WHOLE: &str = include_str!("../../../../fuzz/corpus/configuration/whole.toml");

#[test]
fn a_configuration_cut_anywhere_is_taken_or_its_mistakes_are_told() {
    for end in 0..WHOLE.len() {
        bodies::text(&WHOLE.as_bytes()[..end]);
        bodies::text(&WHOLE.as_bytes()[end..]);
    }
}

#[test]
fn a_configuration_with_any_byte_changed_is_taken_or_its_mistakes_are_told() {
    for at in 0..WHOLE.len() {
        for byte in *b"\"[]{}=.,#\n-9x\\\xff" {
            let mut bytes = WHOLE.as_bytes().to_vec();
            bytes[at] = byte;
            bodies::text(&bytes);
        }
    }
}
