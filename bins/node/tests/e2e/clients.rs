//! The examples of the page on clients, run as their readers run them: each against a real node.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use jedlik_ports::free_address;

use crate::cluster::Cluster;
use crate::tools::{leave_out, run};
use crate::{http, riak_http, riak_pb};

/// Program that runs an example.
#[derive(Clone, Copy)]
enum Program {
    /// Program of the system.
    Usual(&'static str),
    /// Python with Riak's client, and the shim.
    RiaksPython,
    /// Node.js with Riak's client.
    RiaksNode,
}

/// Examples: the title of the section, the file that its code goes into, the program that runs it, and what it prints.
const EXAMPLES: [(&str, &str, Program, &[&str]); 6] = [
    (
        "curl",
        "cart.sh",
        Program::Usual("sh"),
        &["[\"coffee\"]", "[\"tea\"]", "[\"coffee\",\"tea\"]"],
    ),
    ("Python", "cart.py", Program::Usual("python3"), &CART),
    ("JavaScript", "cart.mjs", Program::Usual("node"), &CART),
    ("Java", "Cart.java", Program::Usual("java"), &CART),
    ("Riak's client for Python", "riak_cart.py", Program::RiaksPython, &CART),
    ("Riak's client for Node.js", "riak_cart.js", Program::RiaksNode, &CART),
];
/// Lines about a cart that two programs fill, and a third one merges and deletes.
const CART: [&str; 3] = ["2 siblings", "1 sibling: coffee tea", "deleted: "];

impl Program {
    /// Returns a command for the program; `None` if it can't be had here.
    fn command(self) -> Option<Command> {
        match self {
            Self::Usual(name) => {
                let found = Command::new(name).arg("--version").output();
                if name != "sh" && !found.is_ok_and(|said| said.status.success()) {
                    leave_out(&format!("{name} is not there, so its example is not run"));
                    return None;
                }
                Some(Command::new(name))
            }
            Self::RiaksPython => {
                let mut python = Command::new(riak_http::python()?);
                let shim = Path::new(env!("CARGO_MANIFEST_DIR")).join(riak_http::SCRIPTS);
                python.env("PYTHONPATH", shim).args(["-B", "-W", "ignore"]);
                Some(python)
            }
            Self::RiaksNode => {
                let packages: PathBuf = riak_pb::client_for_node()?.join("node_modules");
                let mut node = Command::new("node");
                node.env("NODE_PATH", packages);
                Some(node)
            }
        }
    }
}

/// Returns the one block of code in a section of the page.
fn block<'a>(page: &'a str, section: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("\n## {section}\n")).expect(section);
    let section = rest.split("\n## ").next().unwrap();
    let parts: Vec<&str> = section.split("```").collect();
    let [_, block, _] = parts[..] else { panic!("{} parts in {section}", parts.len()) };
    block.split_once('\n').unwrap().1
}

#[test]
fn the_examples_do_what_the_page_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/clients.md");
    let page = fs::read_to_string(page).unwrap();
    let blocks = page.lines().filter(|line| line.starts_with("```")).count() / 2;
    assert_eq!(blocks, EXAMPLES.len(), "every example is run");
    let riak_pb = free_address().unwrap().to_string();
    let cluster = Cluster::start_with(|node| {
        http::open(node);
        if node.name == "n1" {
            node.options.push(format!("--riak-pb-listen={riak_pb}"));
        }
    });
    let door = format!("http://{}", cluster.nodes[0].address.unwrap());
    for (section, file, program, words) in EXAMPLES {
        let Some(mut command) = program.command() else { continue };
        let path = cluster.path(file);
        fs::write(&path, block(&page, section)).unwrap();
        let said = run(command.arg(&path).env("JEDLIK", &door).env("RIAK_PB", &riak_pb)).ok();
        for words in words {
            assert!(said.stdout.contains(words), "{file} says {said:?}, not {words:?}");
        }
        assert!(!said.stdout.to_lowercase().contains("deleted: false"), "{said:?}");
    }
}
