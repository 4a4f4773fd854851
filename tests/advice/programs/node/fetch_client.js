// Node's fetch: an idle connection is closed when the peer hangs up; a body that nobody reads or cancels is paused.
'use strict';
const { lead, atOnce } = require('./led.js');

const kept = [];

lead({
  idle: (base) => atOnce(async () => (await fetch(`${base}/200/12`)).text()),
  kept: (base) => atOnce(async () => kept.push(await fetch(`${base}/200/600000/100000`))),
  released: (base) => atOnce(async () => (await fetch(`${base}/200/600000/100000`)).body.cancel()),
});
