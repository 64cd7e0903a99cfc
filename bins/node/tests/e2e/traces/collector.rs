//! A collector of traces for tests: OTLP over HTTP, as much of it as nodes send. It reads Protocol Buffers by itself, so
//! that nothing which the nodes' messages are made with checks them.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Span as a collector sees it.
#[derive(Debug, Clone, Default)]
pub(super) struct Span {
    /// Identity of the node that sent the span.
    pub(super) node: String,
    pub(super) trace: String,
    pub(super) id: String,
    pub(super) parent: String,
    pub(super) name: String,
    /// Kind by its number: 1 is internal, 2 a server's and 3 a client's.
    pub(super) kind: u64,
    pub(super) began_ns: u64,
    pub(super) ended_ns: u64,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) failed: bool,
}

/// Collector that keeps every span.
pub(super) struct Collector {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let spans = Arc::<Mutex<Vec<Span>>>::default();
        let kept = Arc::clone(&spans);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                // A node that ends may leave a request half sent.
                let Ok(body) = receive(&mut stream) else { continue };
                kept.lock().unwrap().extend(spans_of(&body));
                let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            }
        });
        Self { address, spans }
    }

    /// Returns the option with which a node sends spans here.
    pub(super) fn option(&self) -> String {
        format!("--otlp-endpoint=http://{}", self.address)
    }

    pub(super) fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }
}

fn receive(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let (mut received, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let length = stream.read(&mut part)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        received.extend_from_slice(&part[..length]);
        let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&received[..end]).to_lowercase();
        assert!(head.starts_with("post /v1/traces "), "{head}");
        assert!(head.contains("content-type: application/x-protobuf"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if received.len() == end + 4 + length.unwrap().parse::<usize>().unwrap() {
            return Ok(received.split_off(end + 4));
        }
    }
}

/// Value of a field.
#[derive(Clone, Copy)]
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn bytes(self) -> &'a [u8] {
        let Self::Bytes(bytes) = self else { panic!("the field has bytes") };
        bytes
    }

    fn number(self) -> u64 {
        let Self::Number(number) = self else { panic!("the field has a number") };
        number
    }

    fn text(self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }

    fn hex(self) -> String {
        self.bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Returns a message's fields with their tags.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut bytes)),
            1 => Field::Number(u64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
            2 => {
                let length = varint(&mut bytes) as usize;
                Field::Bytes(take(&mut bytes, length))
            }
            5 => {
                let number = u32::from_le_bytes(take(&mut bytes, 4).try_into().unwrap());
                Field::Number(number.into())
            }
            wire => panic!("there is no type {wire}"),
        };
        fields.push((tag >> 3, field));
    }
    fields
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)[0];
        number |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            break;
        }
    }
    number
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(length);
    *bytes = rest;
    taken
}

/// Returns all fields with that tag.
fn all<'a>(message: &'a [u8], tag: u64) -> impl Iterator<Item = Field<'a>> {
    fields(message).into_iter().filter(move |(one, _)| *one == tag).map(|(_, field)| field)
}

fn spans_of(request: &[u8]) -> Vec<Span> {
    let mut spans = Vec::new();
    for of_resource in all(request, 1) {
        let resource = all(of_resource.bytes(), 1).next().expect("a resource").bytes();
        let resource = attributes(resource, 1);
        assert_eq!(resource["service.name"], "jedlik-node");
        for of_scope in all(of_resource.bytes(), 2) {
            for span in all(of_scope.bytes(), 2) {
                let node = resource["service.instance.id"].clone();
                spans.push(Span { node, ..span_of(span.bytes()) });
            }
        }
    }
    spans
}

fn span_of(message: &[u8]) -> Span {
    let mut span = Span { attributes: attributes(message, 9), ..Span::default() };
    for (tag, field) in fields(message) {
        match tag {
            1 => span.trace = field.hex(),
            2 => span.id = field.hex(),
            4 => span.parent = field.hex(),
            5 => span.name = field.text(),
            6 => span.kind = field.number(),
            7 => span.began_ns = field.number(),
            8 => span.ended_ns = field.number(),
            15 => span.failed = all(field.bytes(), 3).any(|code| code.number() == 2),
            _ => {}
        }
    }
    span
}

fn attributes(message: &[u8], tag: u64) -> BTreeMap<String, String> {
    let pair = |pair: Field<'_>| {
        let name = all(pair.bytes(), 1).next().expect("a name").text();
        (name, value(all(pair.bytes(), 2).next().expect("a value").bytes()))
    };
    all(message, tag).map(pair).collect()
}

fn value(message: &[u8]) -> String {
    match fields(message)[..] {
        [(1, text)] => text.text(),
        [(3, number)] => number.number().to_string(),
        [(5, list)] => {
            let values = all(list.bytes(), 1).map(|item| value(item.bytes()));
            values.collect::<Vec<_>>().join(" ")
        }
        _ => panic!("an attribute of no kind that nodes have"),
    }
}
