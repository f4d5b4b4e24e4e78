'use strict';

const assert = require('node:assert');
const {consume, contents, eventually, scenario, scenarios} = require('./broker');

const scene = scenarios();

async function publish(exchange, key, headers) {
  scene.channel.publish(exchange, key, Buffer.from(key), {headers});
  await scene.channel.waitForConfirms();
}

scenario('topic', async () => {
  const topic = await scene.exchange('topic');
  const wanted = {'#': ['a', 'a.b', 'a.b.c'], '*': ['a'], 'a.*': ['a.b'], 'a.#': ['a', 'a.b', 'a.b.c'], '#.c': ['a.b.c'], '*.b.#': ['a.b', 'a.b.c'], x: []};
  const queues = {};
  for (const pattern in wanted) queues[pattern] = await scene.bound(topic, pattern);
  for (const key of ['a', 'a.b', 'a.b.c']) await publish(topic, key);
  for (const pattern in wanted) assert.deepStrictEqual(await contents(scene.channel, queues[pattern]), wanted[pattern], pattern);
});

scenario('headers', async () => {
  const headers = await scene.exchange('headers');
  const all = await scene.bound(headers, '', {'x-match': 'all', a: '1', b: 2});
  const any = await scene.bound(headers, '', {'x-match': 'any', a: '1', b: 2});
  const present = await scene.bound(headers, '', {a: null});
  await publish(headers, 'both', {a: '1', b: 2, c: true});
  await publish(headers, 'one', {b: 2});
  await publish(headers, 'other', {a: '2'});
  assert.deepStrictEqual(await contents(scene.channel, all), ['both']);
  assert.deepStrictEqual(await contents(scene.channel, any), ['both', 'one']);
  assert.deepStrictEqual(await contents(scene.channel, present), ['both', 'other']);
});

scenario('exchange to exchange and alternate', async () => {
  const [outer, inner, lost] = [await scene.exchange('topic'), await scene.exchange('fanout'), await scene.exchange('fanout')];
  const [queue, stray] = [await scene.bound(inner, ''), await scene.bound(lost, '')];
  await scene.channel.bindExchange(inner, outer, 'news.#');
  const main = await scene.exchange('direct', {alternateExchange: lost});
  await scene.bound(main, 'known');
  await publish(outer, 'news.eu');
  await publish(outer, 'rain.eu');
  await publish(main, 'unknown');
  assert.deepStrictEqual(await contents(scene.channel, queue), ['news.eu']);
  assert.deepStrictEqual(await contents(scene.channel, stray), ['unknown']);
});

// Debian has no package of the plug-in.
if (process.env.BROKER !== 'rabbitmq') scenario('delayed messages', async () => {
  const later = await scene.exchange('x-delayed-message', {arguments: {'x-delayed-type': 'direct'}});
  const got = await consume(scene.channel, await scene.bound(later, 'k'), {noAck: true});
  for (const delay of [400, 200, 0, -1]) {
    scene.channel.publish(later, 'k', Buffer.from(`${delay}`), {headers: {'x-delay': delay}, persistent: true, mandatory: true});
    await scene.channel.waitForConfirms();
  }
  await got.take('0', '-1');
  const due = await got.take('200', '400');
  assert.deepStrictEqual(due.map((m) => [m.properties.headers['x-delay'], m.fields.exchange, m.fields.routingKey]), [[-200, later, 'k'], [-400, later, 'k']]);
});

scenario('calls by direct reply-to', async () => {
  const queue = await scene.durable();
  const server = await scene.connection.createChannel();
  await server.consume(queue, (m) => {
    server.sendToQueue(m.properties.replyTo, Buffer.from(m.content.toString().toUpperCase()), {correlationId: m.properties.correlationId});
    server.ack(m);
  });
  const replies = await consume(scene.channel, 'amq.rabbitmq.reply-to', {noAck: true});
  for (let i = 0; i < 30; i++) scene.channel.sendToQueue(queue, Buffer.from(`call ${i}`), {replyTo: 'amq.rabbitmq.reply-to', correlationId: `${i}`});
  await eventually('replies', () => replies.length === 30);
  replies.forEach((m, i) => assert.deepStrictEqual([m.properties.correlationId, m.content.toString()], [`${i}`, `CALL ${i}`]));
});

scenario('errors close the channel only', async () => {
  const channel = await scene.connection.createChannel();
  channel.on('error', () => {});
  await assert.rejects(channel.checkQueue('nope'), /404 \(NOT-FOUND\) with message "NOT_FOUND - no queue 'nope' in vhost '\/'"/);
  await scene.channel.checkExchange('amq.direct');
});
