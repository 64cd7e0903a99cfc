//! Lines of a load and a dump: what goes in comes out byte by byte.

use jedlik_client::Attributes;

use super::{DumpLine, Entry, Valued};

fn read(line: &str) -> Result<Entry, String> {
    match DumpLine::from_json(line.as_bytes())? {
        DumpLine::Entry(entry) => Ok(entry),
        other => panic!("{other:?}"),
    }
}

fn entry(key: &[u8], values: &[&[u8]]) -> Entry {
    Entry {
        bucket: None,
        key: key.to_vec(),
        values: values.iter().map(|value| Valued::plain(value)).collect(),
    }
}

#[test]
fn strings_are_stored_as_their_bytes_and_other_json_as_compact_text() {
    let cases: [(&str, &[u8]); 8] = [
        (r#""tea""#, b"tea"),
        (r#""a\n\"b\" \u00e9""#, "a\n\"b\" é".as_bytes()),
        (r#"{"b" : 1.50, "a": [1, 2 ]}"#, br#"{"b":1.50,"a":[1,2]}"#),
        (r#"{"quoted \" space":" x "}"#, br#"{"quoted \" space":" x "}"#),
        (r#"{"a\\": 1}"#, br#"{"a\\":1}"#),
        ("12345678901234567890123", b"12345678901234567890123"),
        ("true", b"true"),
        ("\"\"", b""),
    ];
    for (json, stored) in cases {
        let line = format!(r#"{{"key":"k","value":{json}}}"#);
        let found = read(&line).unwrap();
        assert_eq!(found, entry(b"k", &[stored]), "{line}");
    }
}

#[test]
fn what_is_dumped_loads_as_the_same_bytes() {
    let values: [&[u8]; 10] = [
        b"tea",
        b"",
        b"12",
        b"null",
        br#"{"tea":1}"#,
        br#"{"tea": 1}"#,
        br#"[1,"a b"]"#,
        b"{not json",
        b"\"quoted\"",
        &[0, 255, 10],
    ];
    for value in values {
        for key in [&b"k"[..], &[255, 254], b"line\nend"] {
            let whole = entry(key, &[value]);
            let line = whole.to_json().unwrap();
            assert!(!line.contains('\n'));
            assert_eq!(read(&line).unwrap(), whole, "{line}");
        }
    }
    let siblings = entry(b"k", &values);
    let line = siblings.to_json().unwrap();
    assert_eq!(read(&line).unwrap(), siblings, "{line}");
}

#[test]
fn what_a_value_carries_is_dumped_and_loaded_with_it() {
    let attributes = |kind: &str| Attributes {
        content_type: Some(kind.into()),
        metadata: vec![("colour".into(), "red".into())],
        ..Attributes::default()
    };
    let valued = |kind| Valued { attributes: attributes(kind), ..Valued::plain(b"tea") };
    for values in [vec![valued("text/plain")], vec![valued("a/b"), Valued::plain(b"milk")]] {
        let whole = Entry { values, ..entry(b"k", &[]) };
        let line = whole.to_json().unwrap();
        assert_eq!(read(&line), Ok(whole), "{line}");
    }
    let misplaced = r#"{"key":"k","siblings":[{"value":"tea"}],"attributes":{}}"#;
    assert!(read(misplaced).is_err(), "each sibling has its own");
}

#[test]
fn compact_input_comes_out_as_it_went_in() {
    for line in [
        r#"{"key":"k","value":"tea"}"#,
        r#"{"key":"k","value":{"b":1.50,"a":[]}}"#,
        r#"{"key":"k","value_base64":"/w=="}"#,
        r#"{"key":"k","siblings":[{"value":"a"},{"value_base64":"/w=="}]}"#,
    ] {
        assert_eq!(read(line).unwrap().to_json().unwrap(), line);
    }
}

#[test]
fn lines_that_say_nothing_or_too_much_are_refused() {
    for line in [
        "",
        "[]",
        "{}",
        r#"{"key":"k"}"#,
        r#"{"value":"v"}"#,
        r#"{"key":"k","value":"v","colour":1}"#,
        r#"{"key":"k","value":"v","value_base64":"dg=="}"#,
        r#"{"key":"k","siblings":[]}"#,
        r#"{"key":"k","value":"v","siblings":[{"value":"v"}]}"#,
        r#"{"key":"k","value_base64":"%"}"#,
        r#"{"key":1,"value":"v"}"#,
    ] {
        assert!(read(line).is_err(), "{line}");
    }
}

#[test]
fn what_is_wrong_with_a_line_is_said_with_its_column_and_no_other_line_number() {
    for (line, said) in [
        (r#"{"key":"k" "value":1}"#, "expected `,` or `}` at column 12"),
        (r#"{"key":"k","value":"\ud800"}"#, "unexpected end of hex escape"),
        (r#"{"key":"k","colour":1}"#, "unknown field `colour`"),
    ] {
        let error = read(line).unwrap_err();
        assert!(error.contains(said) && !error.contains(" line "), "{error}");
    }
}

#[test]
fn a_plain_line_stands_for_a_key_that_is_its_value() {
    assert!(Entry::plain("Ångström's".as_bytes()).is_plain());
    assert!(!entry(b"k", &[b"v"]).is_plain());
    assert!(!entry(b"k", &[b"k", b"k"]).is_plain());
    assert!(!entry(b"a\nb", &[b"a\nb"]).is_plain());
}

#[test]
fn lines_of_all_kinds_come_out_as_they_went_in() {
    let properties = ["n", "ttl_ms", "durability"].map(str::to_owned);
    let properties = properties.into_iter().zip(["3", "none", "written"].map(str::to_owned));
    let of = |bucket: &[u8]| Entry { bucket: Some(bucket.to_vec()), ..entry(b"k", &[b"v"]) };
    for (line, json) in [
        (DumpLine::Header, "{\"jedlik_dump\":1}"),
        (DumpLine::End { keys: 7 }, "{\"end\":{\"keys\":7}}"),
        (DumpLine::Entry(of(b"carts")), "{\"bucket\":\"carts\",\"key\":\"k\",\"value\":\"v\"}"),
        (DumpLine::Entry(of(&[255])), "{\"bucket_base64\":\"/w==\",\"key\":\"k\",\"value\":\"v\"}"),
    ] {
        assert_eq!(line.to_json().unwrap(), json);
        assert_eq!(DumpLine::from_json(json.as_bytes()).unwrap(), line);
    }
    for bucket in [&b"carts"[..], &[255]] {
        let line = DumpLine::Properties {
            bucket: bucket.to_vec(),
            properties: properties.clone().collect(),
        };
        let DumpLine::Properties { bucket: name, properties: mut found } =
            DumpLine::from_json(line.to_json().unwrap().as_bytes()).unwrap()
        else {
            panic!("{line:?}")
        };
        found.sort();
        let mut expected: Vec<_> = properties.clone().collect();
        expected.sort();
        assert_eq!((name.as_slice(), found), (bucket, expected));
    }
    let newer = DumpLine::from_json(b"{\"jedlik_dump\":2}");
    assert_eq!(newer, Ok(DumpLine::Unknown { form: "2".into() }));
    let more = DumpLine::from_json(b"{\"jedlik_dump\":1,\"pages\":true}");
    assert_eq!(more, Ok(DumpLine::Unknown { form: "1 with pages".into() }));
}
