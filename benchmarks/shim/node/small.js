// The contract that is measured, on Fabric's own Node shim; ../contract.py is the same for Python.
// It uses the shim alone, without the contract API above it: the fastest way there is.
'use strict';

const fs = require('node:fs');
const { parseArgs } = require('node:util');
const shim = require('fabric-shim');

const VALUE = Buffer.from('v'.repeat(100));
const READ = 10;
const LISTED = 100;

const transactions = {
  async fill(stub) {
    for (let number = 0; number < LISTED; number++) {
      await stub.putState(`listed/${String(number).padStart(3, '0')}`, VALUE);
    }
    for (let number = 0; number < READ; number++) await stub.putState(`read/${number}`, VALUE);
    return Buffer.alloc(0);
  },
  async get(stub, [key]) {
    return stub.getState(key);
  },
  async put(stub, [key, value]) {
    await stub.putState(key, Buffer.from(value));
    return Buffer.alloc(0);
  },
  async ten(stub, [name]) {
    for (let number = 0; number < READ; number++) await stub.getState(`read/${number}`);
    for (let number = 0; number < READ; number++) await stub.putState(`${name}/${number}`, VALUE);
    return Buffer.alloc(0);
  },
  async range(stub) {
    let found = 0;
    for await (const _ of stub.getStateByRange('listed/', 'listed/\u{10ffff}')) found++;
    return Buffer.from(String(found));
  },
};

class Small {
  async Init() {
    return shim.success();
  }

  async Invoke(stub) {
    const { fcn, params } = stub.getFunctionAndParameters();
    const transaction = transactions[fcn];
    if (!transaction) return shim.error(Buffer.from('no such transaction'));
    return shim.success(await transaction(stub, params));
  }
}

const names = ['address', 'package-id', 'tls-key', 'tls-cert', 'tls-client-ca', 'health'];
const options = Object.fromEntries(names.map((name) => [name, { type: 'string' }]));
const { values } = parseArgs({ options });

shim
  .server(new Small(), {
    ccid: values['package-id'],
    address: values.address,
    tlsProps: {
      key: fs.readFileSync(values['tls-key']),
      cert: fs.readFileSync(values['tls-cert']),
      clientCACerts: fs.readFileSync(values['tls-client-ca']),
    },
  })
  .start();
