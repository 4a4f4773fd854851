// A server that answers each line, notices the end of the connection, and keeps the socket open. Prints its port.
'use strict';
const net = require('net');
const ended = [];

function onCommand(sock, data) {
  sock.write('ok ' + data.length + '\n');
}

const server = net.createServer({ allowHalfOpen: true }, (sock) => {
  sock.on('data', (data) => onCommand(sock, data));
  sock.on('end', () => ended.push(sock));
  sock.on('error', () => {});
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
