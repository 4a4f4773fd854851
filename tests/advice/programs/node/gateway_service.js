// A price gateway: each line on a TCP connection is a name, and is answered with the price that a backend tells.
// gateway_service.js [resuming] BACKEND. It prints its port. A name is the backend's path.
'use strict';
const net = require('net');
const { request } = require('undici');

const BACKEND = process.argv.find((word) => word.includes('://'));
const RESUMING = process.argv.includes('resuming');

async function priceOf(name) {
  const { statusCode, body } = await request(`${BACKEND}/${name}`);
  const text = await body.text();
  if (statusCode !== 200) throw new Error(`the backend said ${statusCode}`);
  return text;
}

function refuse(client, error) {
  client.write(`? ${error.message}\n`);
  if (RESUMING) client.resume();
}

async function onName(client, name) {
  client.pause(); // One name at a time.
  try {
    client.write(`${await priceOf(name)}\n`);
    client.resume();
  } catch (error) {
    refuse(client, error);
  }
}

const server = net.createServer((client) => {
  client.setEncoding('utf8');
  client.on('data', (text) => onName(client, text.trim()));
  client.on('error', () => {});
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
