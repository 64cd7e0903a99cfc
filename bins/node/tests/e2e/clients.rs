//! The examples of the page on clients, run as their readers run them: each against a real node.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::cluster::Cluster;
use crate::http::open;
use crate::tools::{leave_out, run};

/// Examples: the language of the block, the file that it goes into, the program that runs it, and what it prints.
const EXAMPLES: [(&str, &str, &str, &[&str]); 4] = [
    ("sh", "cart.sh", "sh", &["[\"coffee\"]", "[\"tea\"]", "[\"coffee\",\"tea\"]"]),
    ("python", "cart.py", "python3", &["2 siblings", "1 sibling: coffee tea", "deleted: 404"]),
    ("javascript", "cart.mjs", "node", &["2 siblings", "1 sibling: coffee tea", "deleted: 404"]),
    ("java", "Cart.java", "java", &["2 siblings", "1 sibling: coffee tea", "deleted: 404"]),
];

/// Returns the one block of a language on the page.
fn block(page: &str, language: &str) -> String {
    let fence = format!("```{language}\n");
    let blocks: Vec<&str> = page.split(&fence).skip(1).collect();
    let [block] = blocks[..] else { panic!("{} blocks of {language}", blocks.len()) };
    block.split("```").next().unwrap().to_owned()
}

#[test]
fn the_examples_do_what_the_page_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/clients.md");
    let page = fs::read_to_string(page).unwrap();
    let cluster = Cluster::start_with(open);
    let door = format!("http://{}", cluster.nodes[0].address.unwrap());
    for (language, file, program, words) in EXAMPLES {
        let found = Command::new(program).arg("--version").output();
        if !found.is_ok_and(|said| said.status.success()) && program != "sh" {
            leave_out(&format!("{program} is not there, so its example is not run"));
            continue;
        }
        let path = cluster.path(file);
        fs::write(&path, block(&page, language)).unwrap();
        let said = run(Command::new(program).arg(&path).env("JEDLIK", &door)).ok();
        for words in words {
            assert!(said.stdout.contains(words), "{file} says {said:?}, not {words:?}");
        }
    }
}
