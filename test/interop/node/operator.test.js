'use strict';

const assert = require('node:assert');
const {Broker, arrives, consume, contents, depth, eventually, put, scenario, scenarios} = require('./broker');

const scene = scenarios();

scenario('blocked connection', async () => {
  const {broker, channel} = scene;
  const queue = await scene.durable();
  const publisher = await broker.dial();
  const told = [];
  publisher.on('blocked', (reason) => told.push(reason));
  publisher.on('unblocked', () => told.push('over'));
  const sending = await publisher.createConfirmChannel();
  await put(sending, queue, 'before');
  try {
    await broker.ctl('set_vm_memory_high_watermark', '0');
    sending.sendToQueue(queue, Buffer.from('held'));
    await eventually('blocked', () => told.length === 1);
    assert.deepStrictEqual(told, ['low on memory']);
    const from = await consume(channel, queue);
    channel.ack((await from.take('before'))[0]);
    assert.strictEqual(await depth(channel, queue), 0);
    await broker.ctl('set_vm_memory_high_watermark', '0.4');
    await eventually('unblocked', () => told.length === 2);
    assert.strictEqual(told[1], 'over');
    await sending.waitForConfirms();
    await from.take('held');
  } finally {
    await broker.ctl('set_vm_memory_high_watermark', '0.4');
    await publisher.close();
  }
});

scenario('policy on a live queue', async () => {
  const {broker, channel} = scene;
  const [queue, graves] = [await scene.durable(), await scene.durable()];
  const policy = (definition) => broker.ctl('set_policy', 'node', `^${queue}$`, JSON.stringify(definition), '--apply-to', 'queues');
  await put(channel, queue, 'a', 'b', 'c');
  try {
    await policy({'max-length': 1});
    await eventually('the head is dropped', async () => (await depth(channel, queue)) === 1);
    assert.deepStrictEqual(await contents(channel, queue), ['c']);
    await policy({'message-ttl': 10, 'dead-letter-exchange': '', 'dead-letter-routing-key': graves});
    await put(channel, queue, 'd');
    assert.strictEqual((await arrives(channel, graves)).content.toString(), 'd');
  } finally {
    await broker.ctl('clear_policy', 'node');
  }
});

// The client's own recovery after kill -9: its setup runs again on the new connection.
scenario('reconnect after kill', async () => {
  const broker = new Broker();
  await broker.run('start');
  const got = [];
  let channel;
  const connection = await broker.dial({
    recovery: {
      initialDelay: 50,
      maxDelay: 200,
      async setup(model) {
        channel = await model.createConfirmChannel();
        channel.on('error', () => {});
        await channel.assertQueue('kept');
        await channel.prefetch(1);
        await channel.consume('kept', (m) => m && got.push([m, channel]));
      },
    },
  });
  connection.on('error', () => {});
  await put(channel, 'kept', 'held', 'waiting');
  await eventually('the first delivery', () => got.length === 1);
  const before = channel;
  await broker.run('kill');
  await broker.run('start');
  await eventually('recovered', () => channel !== before && got.length === 2);
  await put(channel, 'kept', 'after');
  for (const body of ['held', 'waiting', 'after']) {
    const index = ['held', 'waiting', 'after'].indexOf(body) + 1;
    await eventually(body, () => got.length > index);
    const [m, on] = got[index];
    assert.strictEqual(m.content.toString(), body);
    if (body === 'held') assert.strictEqual(m.fields.redelivered, true);
    on.ack(m);
  }
  await connection.close();
  await broker.end();
});
