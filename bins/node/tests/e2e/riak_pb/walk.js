// Walk through what npm's basho-riak-client 2.4.0 does with a cluster: walk.js FOLDER PORT...
//
// FOLDER has the package in it. Every line that it prints is something that held. The first that does not ends it.
'use strict';

const assert = require('assert');
const path = require('path');
const { promisify } = require('util');

const [folder, ...ports] = process.argv.slice(2);
const Riak = require(path.join(folder, 'node_modules', 'basho-riak-client'));

const client = new Riak.Client(ports.map((port) => `127.0.0.1:${port}`));
const call = (name, options) => promisify(client[name].bind(client))(options);
const ping = promisify(client.ping.bind(client));
const text = (object) => object.value.toString('utf8');
const bucket = 'js_carts';

async function refused(what, words, act) {
  try {
    await act();
  } catch (error) {
    assert(words.some((word) => String(error).includes(word)), `${what}: ${error}`);
    console.log(`refused: ${what}`);
    return;
  }
  throw new Error(`${what} was not refused`);
}

function object(value) {
  const made = new Riak.Commands.KV.RiakObject();
  made.setContentType('text/plain');
  made.setValue(value);
  made.setUserMeta([{ key: 'colour', value: 'red' }]);
  made.addToIndex('age_int', 7);
  return made;
}

// Waits for what one node has learned and the others still have to.
async function inTime(what, holds) {
  for (const end = Date.now() + 60000; !(await holds()); ) {
    assert(Date.now() < end, what);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function walk() {
  assert.strictEqual(await ping(), true);
  const info = await promisify(client.fetchServerInfo.bind(client))();
  assert.strictEqual(info.server_version, '3.2.0');
  console.log('ping');

  await call('storeBucketProps', { bucket, allowMult: true, nVal: 3, w: 3 });
  const fetched = () => call('fetchBucketProps', { bucket });
  await inTime('w is 3', async () => (await fetched()).w === 3);
  const props = await fetched();
  assert(props.allowMult && props.nVal === 3 && props.chashKeyfun.mod === 'riak_core_util', JSON.stringify(props));
  await call('resetBucketProps', { bucket });
  await inTime('w is 2 again', async () => (await fetched()).w === 2);
  await refused('a commit hook', ['precommit'], () =>
    call('storeBucketProps', { bucket, precommit: [{ name: 'f' }] }));
  console.log('properties');

  const absent = await call('fetchValue', { bucket, key: 'alice' });
  assert(absent.isNotFound && absent.values.length === 0);
  const stored = await call('storeValue', { bucket, key: 'alice', value: object('tea'), returnBody: true });
  assert.strictEqual(text(stored.values[0]), 'tea');
  const got = await call('fetchValue', { bucket, key: 'alice' });
  assert.strictEqual(text(got.values[0]), 'tea');
  assert.strictEqual(got.values[0].contentType, 'text/plain');
  assert.deepStrictEqual(got.values[0].userMeta, [{ key: 'colour', value: 'red' }]);
  const unnamed = await call('storeValue', { bucket, value: object('unnamed') });
  assert(unnamed.generatedKey);
  console.log('put and get');

  await call('storeValue', { bucket, key: 'alice', value: object('milk') });
  const both = await call('fetchValue', { bucket, key: 'alice' });
  assert.deepStrictEqual(both.values.map(text).sort(), ['milk', 'tea']);
  const merged = object('tea with milk');
  merged.vclock = both.vclock;
  await call('storeValue', { bucket, key: 'alice', value: merged });
  const one = await call('fetchValue', { bucket, key: 'alice', notFoundOk: false, r: 3, timeout: 10000 });
  assert.deepStrictEqual(one.values.map(text), ['tea with milk']);
  console.log('siblings');

  const same = await call('fetchValue', { bucket, key: 'alice', ifModified: one.vclock });
  assert(same.isUnchanged);
  await refused('a put of a key that is there', ['match_found'], () =>
    call('storeValue', { bucket, key: 'alice', value: object('new'), ifNoneMatch: true }));
  await refused('a put of what was changed', ['modified'], () =>
    call('storeValue', { bucket, key: 'alice', value: object('new'), vclock: both.vclock, ifNotModified: true }));
  const head = await call('fetchValue', { bucket, key: 'alice', headOnly: true });
  assert.strictEqual(text(head.values[0]), '');
  console.log('conditions');

  const bucketType = 'js_maps';
  await call('storeValue', { bucketType, bucket, key: 'only', value: object('typed') });
  const listed = await call('listKeys', { bucket, stream: false });
  assert.deepStrictEqual(listed.keys.sort(), ['alice', unnamed.generatedKey].sort());
  const typed = await call('listKeys', { bucketType, bucket, stream: false });
  assert.deepStrictEqual(typed.keys, ['only']);
  const buckets = await call('listBuckets', { bucketType, stream: false });
  assert.deepStrictEqual(buckets.buckets, [bucket]);
  const preferred = await call('fetchPreflist', { bucket, key: 'alice' });
  assert.strictEqual(preferred.preflist.length, 3);
  console.log('listings');

  await call('deleteValue', { bucket, key: 'alice', vclock: one.vclock });
  assert((await call('fetchValue', { bucket, key: 'alice' })).isNotFound);
  const tombstone = await call('fetchValue', { bucket, key: 'alice', returnDeletedVClock: true });
  assert(tombstone.values[0].isTombstone);
  await call('deleteValue', { bucket, key: 'never' });
  console.log('delete');

  await refused('a counter', ['data types'], () =>
    call('fetchCounter', { bucketType: 'js_counters', bucket, key: 'views' }));
  await refused('an index', ['index'], () =>
    call('secondaryIndexQuery', { bucket, indexName: 'age_int', indexKey: 7, stream: false }));
  assert.strictEqual(await ping(), true);
  console.log('done');
}

walk().then(
  () => client.stop(() => process.exit(0)),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
