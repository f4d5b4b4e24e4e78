package interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.MessageProperties;
import com.rabbitmq.client.Return;
import java.util.ArrayList;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import org.junit.jupiter.api.Test;

class PublishTest extends Scenarios {
  @Test
  void confirmsOneByOne() throws Exception {
    String queue = durable();
    channel.confirmSelect();
    List<String> sent = new ArrayList<>();
    for (int i = 0; i < 50; i++) {
      sent.add("" + i);
      put(channel, queue, "" + i);
    }
    assertEquals(sent, contents(channel, queue));
  }

  @Test
  void confirmsOfAWindow() throws Exception {
    String queue = durable();
    channel.confirmSelect();
    for (int i = 0; i < 2000; i++) {
      channel.basicPublish("", queue, MessageProperties.PERSISTENT_BASIC, ("" + i).getBytes());
      if (i % 100 == 99) {
        confirmed(channel);
      }
    }
    assertEquals(2000, depth(channel, queue));
  }

  /** Each publish is answered once, alone or within a multiple. */
  @Test
  void confirmsMultiple() throws Exception {
    String queue = durable();
    channel.confirmSelect();
    int count = 5000;
    TreeSet<Long> waiting = new TreeSet<>();
    for (long tag = 1; tag <= count; tag++) {
      waiting.add(tag);
    }
    BlockingQueue<String> end = new LinkedBlockingQueue<>();
    channel.addConfirmListener((tag, multiple) -> {
      boolean covered = multiple ? waiting.headSet(tag, true).removeIf(t -> true) : waiting.remove(tag);
      if (!covered) {
        end.add("answered again: " + tag);
      } else if (waiting.isEmpty()) {
        end.add("all");
      }
    }, (tag, multiple) -> end.add("nacked: " + tag));
    for (int i = 0; i < count; i++) {
      channel.basicPublish("", queue, MessageProperties.PERSISTENT_BASIC, new byte[10]);
    }
    assertEquals("all", next(end));
    assertEquals(count, depth(channel, queue));
  }

  @Test
  void mandatoryReturnComesBeforeItsConfirm() throws Exception {
    channel.confirmSelect();
    BlockingQueue<Object> events = new LinkedBlockingQueue<>();
    channel.addReturnListener(events::add);
    channel.addConfirmListener((tag, multiple) -> events.add(tag), (tag, multiple) -> events.add(-tag));
    channel.basicPublish("amq.direct", "no.such.key", true, new AMQP.BasicProperties.Builder().messageId("m").build(), "x".getBytes());
    Return returned = (Return) next(events);
    assertEquals("312 NO_ROUTE amq.direct no.such.key m x", returned.getReplyCode() + " " + returned.getReplyText() + " "
        + returned.getExchange() + " " + returned.getRoutingKey() + " " + returned.getProperties().getMessageId() + " " + new String(returned.getBody()));
    assertEquals(1L, next(events));
  }

  @Test
  void aFullQueueNacks() throws Exception {
    String queue = durable(Map.of("x-max-length", 1, "x-overflow", "reject-publish"));
    channel.confirmSelect();
    assertThrows(java.io.IOException.class, () -> {
      for (int i = 0; i < 1000; i++) {
        put(channel, queue, "x");
      }
    });
  }

  @Test
  void propertiesAndHeaders() throws Exception {
    String queue = durable();
    Map<String, Object> headers = new HashMap<>(Map.of(
        "text", "ä", "int", 1, "long", 1L << 40, "yes", true, "double", 2.5, "bytes", new byte[] {0, (byte) 0xce},
        "date", new Date(1600000000000L), "list", List.of("x", 1, Map.of("deep", List.of(false))), "table", Map.of("in", Map.of("side", 1))));
    headers.put("void", null);
    AMQP.BasicProperties sent = new AMQP.BasicProperties.Builder().contentType("text/plain").contentEncoding("utf-8").headers(headers)
        .deliveryMode(2).priority(3).correlationId("c").replyTo("r").expiration("60000").messageId("m").timestamp(new Date(1700000000000L))
        .type("t").userId("guest").appId("a").build();
    channel.confirmSelect();
    channel.basicPublish("", queue, sent, new byte[0]);
    confirmed(channel);
    AMQP.BasicProperties received = get(channel, queue).properties();
    assertEquals(plain(sent.getHeaders()).toString(), plain(received.getHeaders()).toString());
    AMQP.BasicProperties.Builder none = received.builder().headers(null);
    assertEquals(sent.builder().headers(null).build(), none.build());
  }

  /** Longstr values come as a type of the client's; bytes have no equality. */
  private static Object plain(Object value) {
    if (value instanceof Map<?, ?> map) {
      Map<Object, Object> made = new java.util.TreeMap<>();
      map.forEach((k, v) -> made.put(k, plain(v)));
      return made;
    }
    if (value instanceof List<?> list) {
      return list.stream().map(PublishTest::plain).toList();
    }
    return value instanceof byte[] bytes ? java.util.Arrays.toString(bytes) : String.valueOf(value);
  }

  @Test
  void bodiesOfManyFrames() throws Exception {
    var factory = broker.factory();
    factory.setRequestedFrameMax(8192);
    String queue = durable();
    try (var small = factory.newConnection()) {
      var other = small.createChannel();
      for (int size : new int[] {0, 1, 8183, 8184, 8185, 1 << 20}) {
        put(other, queue, "w".repeat(size));
        assertEquals(size, get(other, queue).body().length());
      }
    }
  }

  @Test
  void aMissingExchangeClosesTheChannel() throws Exception {
    channel.confirmSelect();
    channel.basicPublish("nope", "k", null, new byte[0]);
    refused(404, "NOT_FOUND - no exchange 'nope' in vhost '/'", () -> confirmed(channel));
    assertFalse(channel.isOpen());
    assertTrue(connection.isOpen());
  }
}
