// Fabric's own JavaScript gateway client, told on stdin what to call; the outcomes go to stdout as JSON.
'use strict';

const crypto = require('node:crypto');
const fs = require('node:fs');
const grpc = require('@grpc/grpc-js');
const { connect, hash, signers } = require('@hyperledger/fabric-gateway');

const { connections, calls } = JSON.parse(fs.readFileSync(0, 'utf8'));
const parties = new Map();

// An identity is written Organisation/Name; each has a gateway at its organisation's own peer.
function party(identity) {
  if (!parties.has(identity)) parties.set(identity, opened(...identity.split('/')));
  return parties.get(identity);
}

function opened(organisation, name) {
  const connection = JSON.parse(fs.readFileSync(connections[organisation], 'utf8'));
  const files = [connection.admin, ...connection.clients].find((each) => each.name.startsWith(name));
  const peer = connection.peers.find((each) => each.msp_id === organisation);
  const client = new grpc.Client(peer.address, grpc.credentials.createSsl(fs.readFileSync(peer.tls_ca)), {
    'grpc.ssl_target_name_override': peer.host,
  });
  const gateway = connect({
    client,
    hash: hash.sha256,
    identity: { mspId: organisation, credentials: fs.readFileSync(files.certificate) },
    signer: signers.newPrivateKeySigner(crypto.createPrivateKey(fs.readFileSync(files.key))),
  });
  return { client, gateway, network: gateway.getNetwork(connection.channel), chaincode: connection.chaincode };
}

async function outcome({ as, how, contract, transaction, args, transient }) {
  const { network, chaincode } = party(as);
  const options = { arguments: args };
  if (transient) {
    options.transientData = Object.fromEntries(
      Object.entries(transient).map(([key, value]) => [key, Buffer.from(value, 'base64')]),
    );
  }
  try {
    const called = network.getContract(chaincode, contract);
    const result = await called[how](transaction, options);
    return { result: Buffer.from(result).toString() };
  } catch (error) {
    return { error: error.name, messages: (error.details ?? []).map((each) => each.message) };
  }
}

async function main() {
  const outcomes = [];
  for (const call of calls) outcomes.push(await outcome(call));
  process.stdout.write(JSON.stringify(outcomes));
  for (const { gateway, client } of parties.values()) {
    gateway.close();
    client.close();
  }
}

main();
