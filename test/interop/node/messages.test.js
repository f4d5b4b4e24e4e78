'use strict';

const assert = require('node:assert');
const {arrives, consume, contents, depth, eventually, put, scenario, scenarios} = require('./broker');

const scene = scenarios();

scenario('confirms one by one', async () => {
  const queue = await scene.durable();
  for (let i = 0; i < 50; i++) await put(scene.channel, queue, `${i}`);
  assert.deepStrictEqual(await contents(scene.channel, queue), Array.from({length: 50}, (_, i) => `${i}`));
});

scenario('confirms of a window, alone or multiple', async () => {
  const queue = await scene.durable();
  let answered = 0;
  for (let i = 0; i < 3000; i++) {
    scene.channel.sendToQueue(queue, Buffer.from(`${i}`), {persistent: true}, (err) => {
      assert.ifError(err);
      answered++;
    });
    if (i % 500 === 499) await scene.channel.waitForConfirms();
  }
  assert.strictEqual(answered, 3000);
  assert.strictEqual(await depth(scene.channel, queue), 3000);
});

scenario('a full queue nacks', async () => {
  const queue = await scene.durable({'x-max-length': 1, 'x-overflow': 'reject-publish'});
  await assert.rejects(async () => {
    for (let i = 0; i < 1000; i++) await put(scene.channel, queue, 'x');
  }, /nacked/);
});

scenario('mandatory return', async () => {
  const events = [];
  scene.channel.on('return', (m) => events.push([m.fields.replyCode, m.fields.replyText, m.fields.exchange, m.fields.routingKey, m.content.toString()]));
  await new Promise((done) => scene.channel.publish('amq.direct', 'no.such.key', Buffer.from('x'), {mandatory: true}, (err) => done(events.push(err))));
  assert.deepStrictEqual(events, [[312, 'NO_ROUTE', 'amq.direct', 'no.such.key', 'x'], null]);
});

scenario('properties and headers', async () => {
  const queue = await scene.durable();
  const headers = {text: 'ä', int: 1, big: 2 ** 40, neg: -5, yes: true, none: null, double: 2.5, list: ['x', 1, {deep: [false]}], table: {in: {side: 1}}};
  scene.channel.sendToQueue(queue, Buffer.alloc(0), {
    headers, contentType: 'text/plain', contentEncoding: 'utf-8', persistent: true, priority: 3, correlationId: 'c', replyTo: 'r',
    expiration: '60000', messageId: 'm', timestamp: 1700000000, type: 't', userId: 'guest', appId: 'a',
  });
  await scene.channel.waitForConfirms();
  const {properties} = await scene.channel.get(queue, {noAck: true});
  assert.deepStrictEqual({...properties.headers}, headers);
  assert.deepStrictEqual({...properties, headers: undefined, clusterId: undefined}, {
    contentType: 'text/plain', contentEncoding: 'utf-8', headers: undefined, deliveryMode: 2, priority: 3, correlationId: 'c', replyTo: 'r',
    expiration: '60000', messageId: 'm', timestamp: 1700000000, type: 't', userId: 'guest', appId: 'a', clusterId: undefined,
  });
});

scenario('nack and reject requeue to their place', async () => {
  const queue = await scene.durable();
  await put(scene.channel, queue, 'a', 'b', 'c', 'd');
  await scene.channel.prefetch(4);
  const from = await consume(scene.channel, queue);
  const [a, b, , d] = await from.take('a', 'b', 'c', 'd');
  scene.channel.nack(b, false, true);
  assert.strictEqual((await from.take('b'))[0].fields.redelivered, true);
  scene.channel.reject(a, false);
  scene.channel.ack(d);
  scene.channel.nackAll(true);
  await from.take('b', 'c');
  const other = await scene.connection.createChannel();
  await scene.channel.close();
  await eventually('requeued', async () => (await depth(other, queue)) === 2);
  assert.deepStrictEqual(await contents(other, queue), ['b', 'c']);
});

scenario('prefetch of a consumer and of a channel', async () => {
  for (const global of [false, true]) {
    const queue = await scene.durable();
    const own = await scene.connection.createChannel();
    await own.prefetch(2, global);
    const [one, two] = [await consume(own, queue), await consume(own, queue)];
    await put(scene.channel, queue, ...'abcdef');
    const window = global ? 2 : 4;
    await eventually('window filled', () => one.length + two.length === window);
    assert.strictEqual(await depth(scene.channel, queue), 6 - window);
    own.ackAll();
    await eventually('the next window', () => one.length + two.length === Math.min(6, 2 * window));
    await own.close();
  }
});

scenario('cancelled by the broker', async () => {
  const queue = await scene.durable();
  const from = await consume(scene.channel, queue);
  const other = await scene.connection.createChannel();
  await other.deleteQueue(queue);
  await eventually('cancelled', () => from.length === 1);
  assert.strictEqual(from[0], null);
});

scenario('time to live of queue and message', async () => {
  const [byQueue, byMessage] = [await scene.durable({'x-message-ttl': 5}), await scene.durable()];
  await put(scene.channel, byQueue, 'gone');
  scene.channel.sendToQueue(byMessage, Buffer.from('gone'), {expiration: 5});
  scene.channel.sendToQueue(byMessage, Buffer.from('stays'), {expiration: 600_000});
  await eventually('expired by queue', async () => (await depth(scene.channel, byQueue)) === 0);
  await eventually('expired by message', async () => (await depth(scene.channel, byMessage)) === 1);
  assert.deepStrictEqual(await contents(scene.channel, byMessage), ['stays']);
});

scenario('priorities of messages', async () => {
  const queue = await scene.durable({'x-max-priority': 10});
  for (const priority of [0, 1, 9, 5, 9, 100]) scene.channel.sendToQueue(queue, Buffer.from(`${priority}`), {priority});
  await scene.channel.waitForConfirms();
  assert.deepStrictEqual(await contents(scene.channel, queue), ['100', '9', '9', '5', '1', '0']);
});

scenario('priorities of consumers', async () => {
  const queue = await scene.durable();
  const own = await scene.connection.createChannel();
  await own.prefetch(1);
  const low = await consume(own, queue);
  const high = await consume(own, queue, {priority: 10});
  await put(scene.channel, queue, 'a', 'b');
  await high.take('a');
  await low.take('b');
});

scenario('single active consumer', async () => {
  const queue = await scene.durable({'x-single-active-consumer': true});
  const [one, two] = [await scene.connection.createChannel(), await scene.connection.createChannel()];
  const [first, second] = [await consume(one, queue), await consume(two, queue)];
  await put(scene.channel, queue, 'a', 'b');
  one.ack((await first.take('a', 'b'))[0]);
  await one.checkQueue(queue);
  assert.strictEqual(second.length, 0);
  await one.close();
  assert.strictEqual((await second.take('b'))[0].fields.redelivered, true);
  await put(scene.channel, queue, 'c');
  await second.take('c');
});

const fields = ({reason, queue, exchange, count, 'routing-keys': keys}) => [reason, queue, exchange, count, ...keys];

scenario('dead letter of a rejected message', async () => {
  const dlx = await scene.exchange('topic');
  const graves = await scene.bound(dlx, '#');
  const queue = await scene.durable({'x-dead-letter-exchange': dlx});
  await scene.channel.bindQueue(queue, 'amq.direct', queue);
  scene.channel.publish('amq.direct', queue, Buffer.from('x'), {headers: {mine: 'kept'}, messageId: 'm'});
  const [m] = await (await consume(scene.channel, queue)).take('x');
  scene.channel.nack(m, false, false);
  const dead = await arrives(scene.channel, graves);
  assert.deepStrictEqual([dead.fields.exchange, dead.fields.routingKey, dead.properties.messageId], [dlx, queue, 'm']);
  const {headers} = dead.properties;
  assert.strictEqual(headers.mine, 'kept');
  assert.deepStrictEqual(fields(headers['x-death'][0]), ['rejected', queue, 'amq.direct', 1, queue]);
  const {time} = headers['x-death'][0];
  assert.ok(Math.abs(time.value - Date.now() / 1000) < 60, `time ${JSON.stringify(time)}`);
  assert.deepStrictEqual(['reason', 'queue', 'exchange'].map((k) => headers[`x-first-death-${k}`]), ['rejected', queue, 'amq.direct']);
});

scenario('dead letters of what expires and of what is too long', async () => {
  const graves = await scene.durable();
  const to = {'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': graves};
  const short = await scene.durable(to);
  scene.channel.sendToQueue(short, Buffer.from('x'), {expiration: 5});
  const [death] = (await arrives(scene.channel, graves)).properties.headers['x-death'];
  assert.deepStrictEqual([...fields(death), death['original-expiration']], ['expired', short, '', 1, short, '5']);
  const full = await scene.durable({...to, 'x-max-length': 1});
  await put(scene.channel, full, 'old', 'new');
  const dead = await arrives(scene.channel, graves);
  assert.strictEqual(dead.content.toString(), 'old');
  assert.deepStrictEqual(fields(dead.properties.headers['x-death'][0]), ['maxlen', full, '', 1, full]);
});

scenario('retries count their deaths', async () => {
  const wait = `${await scene.durable()}.wait`;
  const work = await scene.durable({'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': wait});
  await scene.channel.assertQueue(wait, {exclusive: true, deadLetterExchange: '', deadLetterRoutingKey: work, messageTtl: 5});
  await put(scene.channel, work, 'job');
  const tries = await consume(scene.channel, work);
  for (let i = 0; i < 3; i++) scene.channel.reject((await tries.take('job'))[0], false);
  const [m] = await tries.take('job');
  assert.deepStrictEqual(m.properties.headers['x-death'].map(fields), [['expired', wait, '', 3, wait], ['rejected', work, '', 3, work]]);
});

// What a client had buffered may follow its connection.close: it is read, and the close answered.
scenario('a connection is closed with publishes on their way', async () => {
  const queue = await scene.durable();
  for (let i = 0; i < 10; i++) {
    const other = await scene.broker.dial();
    const channel = await other.createChannel();
    while (channel.sendToQueue(queue, Buffer.alloc(10)));
    await other.close();
  }
});
