//! Maps and ranges of any number of partitions.

use jedlik_client::admin::Partition;

use super::{few_ranges, node_mark, ranges, ring_map};

fn partitions(numbers: impl IntoIterator<Item = u32>) -> Vec<Partition> {
    numbers.into_iter().map(Partition).collect()
}

#[test]
fn neighbouring_partitions_are_shown_together() {
    let cases: [(&[u32], &str); 4] =
        [(&[], ""), (&[5], "5"), (&[0, 1, 2, 3, 7], "0-3,7"), (&[0, 2, 3], "0,2-3")];
    for (numbers, expected) in cases {
        let partitions = partitions(numbers.iter().copied());
        assert_eq!(ranges(&partitions), expected);
        assert_eq!(few_ranges(&partitions), expected);
    }
}

#[test]
fn of_many_ranges_the_first_are_shown_and_the_others_counted() {
    let apart = |count: u32| partitions((0..count).map(|number| 2 * number));
    assert_eq!(few_ranges(&apart(4)), "0,2,4,6");
    assert_eq!(few_ranges(&apart(5)), "0,2,4 and 2 more ranges");
    assert_eq!(few_ranges(&partitions(0..65_536)), "0-65535");
    assert_eq!(ranges(&apart(5)), "0,2,4,6,8");
}

#[test]
fn a_map_has_a_character_for_each_partition_up_to_its_limit() {
    let mark = |partition: Partition| node_mark(partition.0 as usize % 3);
    insta::assert_snapshot!(ring_map(128, mark), @r"
     0  abcabcab cabcabca bcabcabc abcabcab cabcabca bcabcabc abcabcab cabcabca
    64  bcabcabc abcabcab cabcabca bcabcabc abcabcab cabcabca bcabcabc abcabcab
    ");
    for (count, lines, last) in [
        (1, 1, "  0  a"),
        (8, 1, "  0  abcabcab"),
        (
            1024,
            16,
            "   960  abcabcab cabcabca bcabcabc abcabcab cabcabca bcabcabc abcabcab cabcabca",
        ),
        (65_536, 17, "  and 64512 more partitions; --json has all"),
    ] {
        let map = ring_map(count, mark);
        assert_eq!((map.lines().count(), map.lines().last()), (lines, Some(last)), "{count}");
    }
}

#[test]
fn nodes_have_marks_of_their_own_while_there_are_letters() {
    let marks: String = (0..54).map(node_mark).collect();
    assert_eq!(marks, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ**");
}
