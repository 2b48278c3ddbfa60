// Fabric's own JavaScript gateway client, told on stdin what to call; the outcomes go to stdout as JSON.
'use strict';

const crypto = require('node:crypto');
const fs = require('node:fs');
const grpc = require('@grpc/grpc-js');
const { connect, hash, signers } = require('@hyperledger/fabric-gateway');

const { connection: file, identity: name, calls } = JSON.parse(fs.readFileSync(0, 'utf8'));
const connection = JSON.parse(fs.readFileSync(file, 'utf8'));
const files = [connection.admin, ...connection.clients].find((each) => each.name.startsWith(name));
const peer = connection.peers[0];

const client = new grpc.Client(peer.address, grpc.credentials.createSsl(fs.readFileSync(peer.tls_ca)), {
  'grpc.ssl_target_name_override': peer.host,
});
const gateway = connect({
  client,
  hash: hash.sha256,
  identity: { mspId: connection.organisation, credentials: fs.readFileSync(files.certificate) },
  signer: signers.newPrivateKeySigner(crypto.createPrivateKey(fs.readFileSync(files.key))),
});

async function outcome([how, contract, transaction, ...args]) {
  const called = gateway.getNetwork(connection.channel).getContract(connection.chaincode, contract);
  try {
    const result = await called[`${how}Transaction`](transaction, ...args);
    return { result: Buffer.from(result).toString() };
  } catch (error) {
    return { error: error.name, messages: (error.details ?? []).map((each) => each.message) };
  }
}

async function main() {
  const outcomes = [];
  for (const call of calls) outcomes.push(await outcome(call));
  process.stdout.write(JSON.stringify(outcomes));
  gateway.close();
  client.close();
}

main();
