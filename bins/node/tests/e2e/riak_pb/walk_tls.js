// npm's basho-riak-client 2.4.0 over TLS with a token: walk_tls.js FOLDER PB_PORT HTTP_PORT NAME SECRET CA
//
// FOLDER has the package in it. Every line that it prints is something that held. The first that does not ends it.
'use strict';

const assert = require('assert');
const fs = require('fs');
const path = require('path');
const tls = require('tls');
const { promisify } = require('util');

// The client asks for suites of 2014 that no secure server has any more; without them it takes Node's own.
const createSecureContext = tls.createSecureContext;
tls.createSecureContext = (options) => createSecureContext({ ...options, ciphers: undefined });

const [folder, port, , user, password, ca] = process.argv.slice(2);
const Riak = require(path.join(folder, 'node_modules', 'basho-riak-client'));

function client(secret) {
  const auth = { user, password: secret, ca: fs.readFileSync(ca, 'utf8'), rejectUnauthorized: true };
  const node = new Riak.Node({ remoteAddress: '127.0.0.1', remotePort: Number(port), auth });
  return new Riak.Client(new Riak.Cluster({ nodes: [node], executionAttempts: 1 }));
}

async function inTime(what, attempt) {
  for (const end = Date.now() + 60000; ; ) {
    try {
      return await attempt();
    } catch (error) {
      assert(Date.now() < end, `${what}: ${error}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

const call = (client, name, options) => promisify(client[name].bind(client))(options);

async function walk() {
  const value = { bucket: 'carts', key: 'bob', value: 'tea' };
  const shop = client(password);
  await inTime('the token is known', () => call(shop, 'storeValue', value));
  const found = await call(shop, 'fetchValue', { bucket: 'carts', key: 'bob' });
  assert.strictEqual(found.values[0].value.toString(), 'tea');
  console.log('stored and read');
  await assert.rejects(call(shop, 'fetchValue', { bucket: 'other', key: 'k' }), /Forbidden/);
  console.log('refused: another bucket');
  const wrong = client('guess');
  await assert.rejects(call(wrong, 'fetchValue', { bucket: 'carts', key: 'bob' }));
  console.log('refused: a guess');
  console.log('done');
  process.exit(0);
}

walk().catch((error) => {
  console.error(error);
  process.exit(1);
});
