// undici's request: an idle connection is closed when the peer hangs up; a body that nobody reads or dumps is paused.
'use strict';
const { request } = require('undici');
const { lead, atOnce } = require('./led.js');

const kept = [];

lead({
  idle: (base) => atOnce(async () => (await request(`${base}/200/12`)).body.text()),
  kept: (base) => atOnce(async () => kept.push(await request(`${base}/200/600000/180000`))),
  released: (base) => atOnce(async () => {
    const { body } = await request(`${base}/200/600000/180000`);
    body.on('error', () => {});
    body.destroy();
  }),
});
