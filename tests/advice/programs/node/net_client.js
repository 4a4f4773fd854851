// Node's net: a socket that is paused never sees the peer's end; one that may stay half open is ended by the program.
'use strict';
const net = require('net');
const { lead, atOnce } = require('./led.js');

const kept = [];

function ask(base, options, then) {
  return new Promise((resolve) => {
    const socket = net.connect({ port: new URL(base).port, host: '127.0.0.1', ...options });
    kept.push(socket);
    socket.write('GET /200/12 HTTP/1.1\r\n\r\n');
    socket.once('data', () => { then(socket); resolve(); });
  });
}

lead({
  idle: (base) => atOnce(() => ask(base, {}, (socket) => socket.resume())),
  paused: (base) => atOnce(() => ask(base, {}, (socket) => {
    socket.pause();
    socket.unshift('what the program has not taken yet');
  })),
  half_open: (base) => atOnce(() => ask(base, { allowHalfOpen: true }, (socket) => socket.resume())),
  ended: (base) => atOnce(() => ask(base, { allowHalfOpen: true }, (socket) => {
    socket.on('end', () => socket.end());
    socket.resume();
  })),
  destroyed: (base) => atOnce(() => ask(base, { allowHalfOpen: true }, (socket) => socket.destroy())),
});
