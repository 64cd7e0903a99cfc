//! Properties of buckets and of their types.

use prost::Message;

use super::{Client, text};
use crate::code;
use crate::messages::{
    Flags, Functions, GetBucket, GetBucketType, GotBucket, Hook, Numbers, SetBucket, SetBucketType,
};

fn bucket() -> GetBucket {
    GetBucket { bucket: text("carts"), bucket_type: None }
}

fn setting(props: &impl Message) -> SetBucket {
    let props = props.encode_to_vec().into();
    SetBucket { bucket: text("carts"), props, bucket_type: None }
}

async fn numbers(client: &mut Client) -> Numbers {
    let got: GotBucket = client.ask(code::GET_BUCKET, &bucket(), code::GOT_BUCKET).await;
    Numbers::decode(got.props).unwrap()
}

#[tokio::test]
async fn properties_are_set_and_reset() {
    let mut client = Client::new();
    assert_eq!(numbers(&mut client).await.n_val, Some(3));
    let set = setting(&Numbers { n_val: Some(5), r: Some(1), ..Numbers::default() });
    let () = client.ask(code::SET_BUCKET, &set, code::BUCKET_SET).await;
    let now = numbers(&mut client).await;
    assert_eq!((now.n_val, now.r, now.w), (Some(5), Some(1), Some(3)));
    let last = setting(&Flags { allow_mult: Some(false), ..Flags::default() });
    let () = client.ask(code::SET_BUCKET, &last, code::BUCKET_SET).await;
    let got: GotBucket = client.ask(code::GET_BUCKET, &bucket(), code::GOT_BUCKET).await;
    let flags = Flags::decode(got.props).unwrap();
    assert_eq!((flags.allow_mult, flags.last_write_wins), (Some(false), Some(true)));
    let () = client.ask(code::RESET_BUCKET, &bucket(), code::BUCKET_RESET).await;
    let now = numbers(&mut client).await;
    assert_eq!((now.n_val, now.r, now.w), (Some(3), Some(2), Some(2)));
}

#[tokio::test]
async fn a_property_that_can_not_be_had_sets_none_of_them() {
    let mut client = Client::new();
    let hooks = Functions { precommit: vec![Hook {}], ..Functions::default() };
    let both =
        [Numbers { n_val: Some(5), ..Numbers::default() }.encode_to_vec(), hooks.encode_to_vec()];
    let set = SetBucket { props: both.concat().into(), ..setting(&()) };
    let refused = client.refused(code::SET_BUCKET, &set).await;
    assert!(refused.contains("precommit"), "{refused}");
    let above = setting(&Numbers { r: Some(4), ..Numbers::default() });
    assert!(client.refused(code::SET_BUCKET, &above).await.contains('r'));
    assert_eq!(numbers(&mut client).await.n_val, Some(3));
}

#[tokio::test]
async fn a_type_has_the_default_properties_for_good() {
    let mut client = Client::new();
    let question = GetBucketType { bucket_type: text("maps") };
    let got: GotBucket = client.ask(code::GET_BUCKET_TYPE, &question, code::GOT_BUCKET).await;
    assert_eq!(Numbers::decode(got.props).unwrap().n_val, Some(3));
    let set = SetBucketType { bucket_type: text("maps") };
    let refused = client.refused(code::SET_BUCKET_TYPE, &set).await;
    assert!(refused.contains("buckets"), "{refused}");
    let unnamed = client.refused(code::GET_BUCKET_TYPE, &GetBucketType::default()).await;
    assert!(unnamed.contains("empty"), "{unnamed}");
}
