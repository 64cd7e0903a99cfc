//! Names of benchmarks, read from the tree that a benchmark's program prints.
//!
//! Invariant: a name is the path to a leaf, as the program's `--exact` takes it.

/// Characters that a tree's line is indented by for each level.
const INDENT: usize = 3;

/// Returns the paths of the tree's leaves, in its order; a tree without branches has none.
pub(super) fn benchmarks(tree: &str) -> Vec<String> {
    let mut lines = tree.lines().filter(|line| !line.is_empty()).map(level_and_name).peekable();
    let (mut path, mut benchmarks) = (Vec::new(), Vec::new());
    while let Some((level, name)) = lines.next() {
        path.truncate(level);
        path.push(name);
        let is_leaf = lines.peek().is_none_or(|(next, _)| *next <= level);
        if level > 0 && is_leaf {
            benchmarks.push(path.join("::"));
        }
    }
    benchmarks
}

fn level_and_name(line: &str) -> (usize, &str) {
    match line.find("├─ ").or_else(|| line.find("╰─ ")) {
        None => (0, line),
        Some(at) => {
            let indent = line[..at].chars().count();
            (indent / INDENT + 1, &line[at + "├─ ".len()..])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::benchmarks;

    #[test]
    fn each_leaf_is_named_by_its_path() {
        let tree = "
hashing
├─ nodes_of_a_key
│  ├─ 3
│  ╰─ 100
├─ plain
╰─ position_of_a_key
   ├─ siblings  1, entries  3
   ╰─ 256
";
        let expected = [
            "hashing::nodes_of_a_key::3",
            "hashing::nodes_of_a_key::100",
            "hashing::plain",
            "hashing::position_of_a_key::siblings  1, entries  3",
            "hashing::position_of_a_key::256",
        ];
        assert_eq!(benchmarks(tree), expected);
    }

    #[test]
    fn a_filter_that_matches_nothing_leaves_no_benchmark() {
        assert_eq!(benchmarks(""), Vec::<String>::new());
        assert_eq!(benchmarks("hashing\n"), Vec::<String>::new());
    }
}
