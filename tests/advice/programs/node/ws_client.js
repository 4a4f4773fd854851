// ws: a WebSocket closes when the peer hangs up, but for one that is paused; terminate closes it whatever the peer does.
'use strict';
const { WebSocket } = require('ws');
const { lead, atOnce } = require('./led.js');

const kept = [];

// Opens a WebSocket, on which the peer says something at once, and comes back when `then` has done its work with it.
const open = (base, then) => new Promise((resolve, reject) => {
  const socket = new WebSocket(`${base.replace('http', 'ws')}/101/0`);
  kept.push(socket);
  socket.on('error', reject);
  socket.on('open', () => { then(socket); setTimeout(resolve, 200); });
});

lead({
  idle: (base) => atOnce(() => open(base, () => {})),
  paused: (base) => atOnce(() => open(base, (socket) => socket.pause())),
  resumed: (base) => atOnce(() => open(base, (socket) => { socket.pause(); setTimeout(() => socket.resume(), 100); })),
  terminated: (base) => atOnce(() => open(base, (socket) => { socket.pause(); socket.terminate(); })),
});
