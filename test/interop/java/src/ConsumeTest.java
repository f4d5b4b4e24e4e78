package interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.rabbitmq.client.Channel;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class ConsumeTest extends Scenarios {
  @Test
  void ackMultiple() throws Exception {
    String queue = durable();
    put(channel, queue, "a", "b", "c");
    List<Got> got = take(consume(channel, queue), "a", "b", "c");
    channel.basicAck(got.get(1).tag(), true);
    channel.close();
    Channel other = connection.createChannel();
    assertTrue(take(consume(other, queue), "c").get(0).again());
  }

  @Test
  void nackRequeuesToItsPlace() throws Exception {
    String queue = durable();
    put(channel, queue, "a", "b", "c", "d");
    channel.basicQos(3);
    BlockingQueue<Got> from = consume(channel, queue);
    List<Got> got = take(from, "a", "b", "c");
    channel.basicAck(got.get(1).tag(), false);
    take(from, "d");
    channel.basicNack(0, true, true);
    List<Got> again = take(from, "a", "c", "d");
    assertEquals(List.of(true, true, true), again.stream().map(Got::again).toList());
  }

  @Test
  void rejectDropsOrRequeues() throws Exception {
    String queue = durable();
    put(channel, queue, "a", "b", "c");
    List<Got> got = take(consume(channel, queue), "a", "b", "c");
    channel.basicReject(got.get(0).tag(), false);
    channel.basicNack(got.get(1).tag(), false, false);
    channel.basicReject(got.get(2).tag(), true);
    channel.close();
    assertEquals(List.of("c"), contents(connection.createChannel(), queue));
  }

  @Test
  void recover() throws Exception {
    String queue = durable();
    put(channel, queue, "a", "b");
    BlockingQueue<Got> from = consume(channel, queue);
    take(from, "a", "b");
    channel.basicRecover(true);
    assertTrue(take(from, "a", "b").get(0).again());
  }

  @Test
  void prefetchOfAConsumerAndOfAChannel() throws Exception {
    for (boolean global : new boolean[] {false, true}) {
      String queue = durable();
      Channel own = connection.createChannel();
      own.basicQos(2, global);
      BlockingQueue<Got> one = consume(own, queue);
      BlockingQueue<Got> two = consume(own, queue);
      put(channel, queue, "a", "b", "c", "d", "e", "f");
      int window = global ? 2 : 4;
      eventually("window filled", () -> one.size() + two.size() == window);
      assertEquals(6 - window, depth(channel, queue));
      own.basicAck(0, true);
      eventually("the next window", () -> one.size() + two.size() == Math.min(6, 2 * window));
      own.close();
    }
  }

  @Test
  void cancelledByTheBroker() throws Exception {
    String queue = durable();
    BlockingQueue<String> cancelled = new LinkedBlockingQueue<>();
    channel.basicConsume(queue, true, "watcher", (tag, d) -> {}, cancelled::add);
    connection.createChannel().queueDelete(queue);
    assertEquals("watcher", next(cancelled));
  }

  @Test
  void exclusiveConsumer() throws Exception {
    String queue = durable();
    channel.basicConsume(queue, true, "only", false, true, Map.of(), (tag, d) -> {}, tag -> {});
    Channel other = connection.createChannel();
    refused(403, "ACCESS_REFUSED - queue '" + queue + "' in vhost '/' in exclusive use", () -> consume(other, queue));
  }

  @Test
  void prioritiesOfMessages() throws Exception {
    String queue = durable(Map.of("x-max-priority", 10));
    channel.confirmSelect();
    for (int priority : new int[] {0, 1, 9, 5, 9, 100}) {
      var properties = new com.rabbitmq.client.AMQP.BasicProperties.Builder().priority(priority).build();
      channel.basicPublish("", queue, properties, ("" + priority).getBytes());
    }
    confirmed(channel);
    assertEquals(List.of("100", "9", "9", "5", "1", "0"), contents(channel, queue));
  }

  @Test
  void prioritiesOfConsumers() throws Exception {
    String queue = durable();
    channel.basicQos(1);
    BlockingQueue<Got> low = consume(channel, queue);
    BlockingQueue<Got> high = consume(channel, queue, false, Map.of("x-priority", 10));
    put(connection.createChannel(), queue, "a", "b");
    take(high, "a");
    take(low, "b");
  }

  @Test
  void singleActiveConsumer() throws Exception {
    String queue = durable(Map.of("x-single-active-consumer", true));
    Channel one = connection.createChannel();
    BlockingQueue<Got> first = consume(one, queue);
    BlockingQueue<Got> second = consume(connection.createChannel(), queue);
    put(channel, queue, "a", "b");
    one.basicAck(take(first, "a", "b").get(0).tag(), false);
    assertNull(second.poll(150, TimeUnit.MILLISECONDS));
    one.close();
    assertTrue(take(second, "b").get(0).again());
    put(channel, queue, "c");
    take(second, "c");
  }
}
